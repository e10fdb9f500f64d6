// Observers: the one way to look inside. The shell, the recorder and the metrics are its clients.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "isolde/error.h"
#include "isolde/locks.h"
#include "isolde/options.h"
#include "isolde/range.h"
#include "isolde/types.h"

namespace isolde {

// The transaction that an event is about. Views live until the callback returns.
struct EventTransaction {
  TransactionId id;
  std::string_view label;
  Isolation isolation;
  Locking locking;
};

// Which version a read returned. Where the transaction has an add of its own pending, what was
// returned is the sum, and told is the version that it was added to.
struct ObservedVersion {
  // The transaction that wrote it; TransactionId{0}: a base value, written before any version in
  // memory.
  TransactionId writer;
  // Its commit timestamp; Timestamp{0} for base values, nothing for uncommitted versions (the
  // reader's own, or another's at read uncommitted).
  std::optional<Timestamp> commit;
  std::optional<std::string_view> value;  // nothing: absent or erased
  // Another's uncommitted write: its WriteEvent's sequence. Otherwise 0.
  std::uint64_t sequence = 0;
};

struct ReadEvent {
  std::string_view keyspace;
  std::string_view key;
  ObservedVersion version;
  ReadMode mode = ReadMode::plain;
  bool tracked = true;
  std::optional<Timestamp> snapshot;  // what it was read at
  bool cursor = false;                // through a cursor that is open
  // The first half of an insert, add_and_get or compare_and_set; if it succeeds, its WriteEvent is
  // next.
  bool before_write = false;
};

// One finished scan, after a ReadEvent for each entry that it yielded. Not told of scans with
// skip_locked: they have observed their entries only, and not the gaps in between.
struct ScanEvent {
  std::string_view keyspace;
  const KeyRange& observed;  // up to the last key returned when limited, else the whole range
  bool reverse = false;
  // How many entries it returned. Their ReadEvents come before it; among them, in their places,
  // those of keys that a dirty scan found erased by others that had not committed (`hidden`).
  std::size_t yielded = 0;
  std::size_t hidden = 0;
  ReadMode mode = ReadMode::plain;
  bool tracked = true;
  std::optional<Timestamp> snapshot;
  bool limited = false;  // it stopped before the end of the range that was asked for
  bool cursor = false;   // one step of a cursor
};

enum class WriteKind : std::uint8_t { put, erase, insert, add, compare_and_set, add_and_get };

struct WriteEvent {
  std::string_view keyspace;
  std::string_view key;
  WriteKind kind;
  // What the transaction itself now sees; nothing: erased, or a blind add.
  std::optional<std::string_view> value;
  std::optional<std::int64_t> delta;  // of an add
  std::uint64_t sequence = 0;         // order among all uncommitted writes of the database
};

// An operation has to wait for a lock.
struct BlockEvent {
  const LockTarget& target;
  LockMode mode;
  // Those waited for: the holders, and the incompatible waiters ahead. Never empty.
  const std::vector<LockWaitEdge>& waits_for;
};

enum class WakeReason : std::uint8_t { granted, deadlock, lock_timeout, cancelled };

// An attempt of transact() that failed and, if `retrying`, will be run again after `delay`.
struct AttemptEvent {
  std::string_view label;
  std::uint32_t attempt;  // 1, 2, ...
  const Error& error;
  bool retrying;
  std::chrono::microseconds delay{0};
};

// Callbacks run in the thread of the transaction, outside every internal mutex, in the order of
// that transaction's operations. They may call the database, not the transaction of the event,
// which is still inside the operation that is told of. They must not wait there for a lock: its
// holder may be about to be woken by this very thread. They must not throw: what they are told of
// has happened. Callbacks of different transactions run concurrently.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_begin(const EventTransaction&) {}
  virtual void on_read(const EventTransaction&, const ReadEvent&) {}
  virtual void on_scan(const EventTransaction&, const ScanEvent&) {}
  virtual void on_write(const EventTransaction&, const WriteEvent&) {}
  // Rolled back to a savepoint: its writes with a greater sequence are undone.
  virtual void on_undo(const EventTransaction&, std::uint64_t /*sequence*/) {}
  // The commit is visible and durable as the database promises. Timestamp: its own, or for a
  // transaction that wrote nothing the snapshot that it read last.
  virtual void on_commit(const EventTransaction&, Timestamp) {}
  // Rolled back: by the user (no error) or by the error named.
  virtual void on_abort(const EventTransaction&, const Error* /*cause*/) {}
  virtual void on_attempt(const AttemptEvent&) {}

  // Waiting. So that a client can know at every moment exactly which transactions are blocked,
  // without a clock:
  // - on_block is called in the waiter's thread, before it sleeps, once a wait.
  // - on_sleep is called once for each on_block, after it, in the waiter's thread: from here on
  //   the thread that ends the wait need not wait for the waiter. A client that runs several
  //   transactions in one thread goes on with the others inside, and returns once on_wake was
  //   called for this one and the operation that called it is over; a client that returns earlier
  //   sleeps. No internal mutex is held.
  // - on_wake is called once for each on_block, after it, by the thread that ended the wait (the
  //   one that released, or chose the victim, or cancelled; on a timeout the waiter), before the
  //   waiter runs on and before that thread's own operation returns. (What an observer itself ends
  //   in a callback about waits: by the waiter's thread, if its on_block has not returned yet.)
  // - on_resume is called once for each on_wake, after it, in the waiter's thread, before the
  // waiter
  //   does anything else: it holds no view and no internal mutex there, so that a client may keep
  //   it until its turn. One release can wake several waiters; without this their further
  //   requests would come in any order, and no play of theirs could be repeated.
  // - on_deadlock is called in the thread whose request closed the cycle: before its own on_block,
  //   if it goes on waiting, and before the victim is woken. A request that is its own victim never
  //   blocks.
  virtual void on_block(const EventTransaction&, const BlockEvent&) {}
  virtual void on_sleep(const EventTransaction&) {}
  virtual void on_wake(const EventTransaction&, WakeReason) {}
  virtual void on_resume(const EventTransaction&) {}
  virtual void on_deadlock(const DeadlockReport&) {}
};

}  // namespace isolde
