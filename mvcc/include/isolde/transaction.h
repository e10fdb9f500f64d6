// A transaction: reads and writes at one isolation level, until commit or rollback.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>

#include "isolde/keyspace.h"
#include "isolde/options.h"
#include "isolde/range.h"
#include "isolde/result.h"

namespace isolde {

namespace mvcc {
class TransactionCore;
class CursorCore;
}  // namespace mvcc

// A mark to which a transaction's writes can be rolled back. Belongs to the transaction that made
// it.
struct Savepoint {
  std::uint64_t depth = 0;   // 1 for the outermost
  std::uint64_t serial = 0;  // tells a stale one from a new one at the same depth
};

struct Entry {
  std::string_view key;
  std::string_view value;
};

// Walks a range entry by entry, at the transaction's snapshot (at read committed and below: the one
// of the moment the cursor was opened). Own writes made before it was opened are seen. One that
// locks as it goes (pessimistic: for update, for share, or at serializable) reads each entry anew
// once it is locked, and sees later own writes too. One that was opened inside a savepoint ends
// when that is rolled back to, whatever it reads: next() answers invalid_argument. Move-only. After
// the transaction's end, and when it was moved from, next() answers transaction_finished. Not
// thread-safe: it counts as an operation of its transaction.
class Cursor {
 public:
  Cursor(Cursor&&) noexcept;
  Cursor& operator=(Cursor&&) noexcept;
  ~Cursor();

  // The next entry, or nothing at the end of the range or limit. The views are valid until the next
  // call on this cursor. Errors: snapshot_too_old, database_failed, transaction_too_large,
  // transaction_finished, invalid_argument (two threads at once); and where it locks, those of
  // locking reads.
  Result<std::optional<Entry>> next();

 private:
  friend class Transaction;
  explicit Cursor(std::unique_ptr<mvcc::CursorCore> core) noexcept;
  std::unique_ptr<mvcc::CursorCore> core_;
};

// Move-only; rolls back in its destructor. Must end before its database is closed; the handle may
// outlive it. One that was moved from answers as one that has ended.
//
// Thread safety: for one thread at a time. It may move between threads; two threads inside it at
// once are detected: the second gets invalid_argument, and nothing has changed.
//
// Every operation may answer transaction_finished (it had ended), snapshot_too_old,
// database_failed, and invalid_argument (misuse, named); those codes are not repeated below.
// A key is 1 to 511 bytes (key_empty, key_too_long), a value at most 16 MiB (value_too_large).
// Whatever a transaction learns before its commit() has returned is provisional (I6).
//
// Pessimistic transactions lock: each write its key, exclusively; locking reads as they say; at
// serializable each tracked read its key, each scan its range with the gaps (up to its limit; a
// cursor step by step). Locks are held to the end. Such an operation may wait, and then also answer
// deadlock, cancelled (both end the transaction), lock_timeout, too_many_locks (both fail the
// operation only; what it has locked stays locked); at repeatable read a write whose key has a
// version newer than the snapshot answers write_conflict at once, and ends the transaction.
// An optimistic transaction takes no locks, but its commit waits for those of others.
class Transaction {
 public:
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) noexcept;  // rolls back what it held
  ~Transaction();

  // The value that the level shows, own writes first; nothing if absent. The view is valid until
  // the next operation on this transaction. Errors: keyspace_not_found, key_*,
  // transaction_too_large (serializable: too much observed).
  Result<std::optional<std::string_view>> get(const Keyspace& keyspace, std::string_view key,
                                              ReadOptions options = {});

  // A read that the commit depends on, at every level. Never returns another's uncommitted value.
  //
  // Optimistic: never waits; commit fails with write_conflict (serializable: serialization_failure)
  // if the key has a version newer than the one read. Errors: as get; invalid_argument for nowait
  // and skip_locked.
  //
  // Pessimistic: takes the key's lock (exclusive for update, shared for share), waiting if it must,
  // and reads then. skip_locked: a locked key reads as absent. Errors: as get; write_conflict
  // (repeatable read: the snapshot is older than the newest version), lock_timeout,
  // lock_not_available, deadlock, cancelled, too_many_locks; invalid_argument for skip_locked at
  // serializable.
  Result<std::optional<std::string_view>> get_for_update(const Keyspace& keyspace,
                                                         std::string_view key,
                                                         LockOptions lock = {});
  Result<std::optional<std::string_view>> get_for_share(const Keyspace& keyspace,
                                                        std::string_view key,
                                                        LockOptions lock = {});

  // Writes, private until commit. Errors: keyspace_not_found, key_*, value_too_large,
  // transaction_too_large, read_only; nothing has changed then.
  Result<void> put(const Keyspace& keyspace, std::string_view key, std::string_view value);
  // Blind: succeeds whether or not the key is there.
  Result<void> erase(const Keyspace& keyspace, std::string_view key);
  // Also: already_exists if the transaction sees the key. Atomic at every level (rule C6): if the
  // newest version at commit makes the success wrong, commit fails.
  Result<void> insert(const Keyspace& keyspace, std::string_view key, std::string_view value);
  // Adds to a decimal 64-bit integer, absent counting as 0. Blind: it reads nothing and answers
  // nothing; the sum is computed on the newest value at commit, so that concurrent additions all
  // count. They never conflict but at repeatable read, where it is a write like any. If the newest
  // value is no integer then, or the sum does not fit, commit fails with write_conflict
  // (Evidence::is_lasting: transact does not retry it). A later read of the key in this transaction
  // shows the sum. Also: invalid_argument if what this transaction itself has put there is no
  // integer, or its own sum does not fit.
  Result<void> add(const Keyspace& keyspace, std::string_view key, std::int64_t delta);
  // The same, and answers the sum, which is then a read that the commit depends on, at every level,
  // as of get_for_update: it answers what will be committed, or commit fails. Never adds to
  // another's uncommitted value. Also: invalid_argument if the value is no integer or the sum does
  // not fit.
  Result<std::int64_t> add_and_get(const Keyspace& keyspace, std::string_view key,
                                   std::int64_t delta);
  // Writes `value` if the transaction sees exactly `expected`. Also: compare_failed (absent too).
  Result<void> compare_and_set(const Keyspace& keyspace, std::string_view key,
                               std::string_view expected, std::string_view value);

  // Calls `visit(key, value)` for each entry of the range in key order (reverse: descending), until
  // it returns false (if it returns bool), the limit or the bound; returns how many were visited.
  // The views are valid during the call of `visit` only, which must not call this transaction
  // (invalid_argument) nor wait for other work on this database: use a cursor for that.
  // At serializable the range that was observed is remembered: up to the last entry visited if it
  // stopped there, else to the bound. Errors: as get.
  template <typename Visit>
  requires std::invocable<Visit&, std::string_view, std::string_view> Result<std::size_t> scan(
      const Keyspace& keyspace, const KeyRange& range, const ScanOptions& options, Visit&& visit) {
    const auto call = [](void* context, std::string_view key, std::string_view value) -> bool {
      auto& target = *static_cast<std::remove_reference_t<Visit>*>(context);
      if constexpr (std::is_same_v<decltype(target(key, value)), bool>) {
        return target(key, value);
      } else {
        target(key, value);
        return true;
      }
    };
    return scan_with(keyspace, range, options,
                     const_cast<void*>(static_cast<const void*>(std::addressof(visit))), call);
  }
  template <typename Visit>
  requires std::invocable<Visit&, std::string_view, std::string_view> Result<std::size_t> scan(
      const Keyspace& keyspace, const KeyRange& range, Visit&& visit) {
    return scan(keyspace, range, ScanOptions{}, std::forward<Visit>(visit));
  }

  Result<Cursor> cursor(const Keyspace& keyspace, KeyRange range, ScanOptions options = {});

  // Savepoints nest. rollback_to undoes the writes made since, ends the cursors opened since, and
  // keeps the savepoint; reads stay remembered (W4). release forgets it and those inside it,
  // keeping the writes. Errors: invalid_argument for one that is no longer there.
  Result<Savepoint> savepoint();
  Result<void> rollback_to(Savepoint savepoint);
  Result<void> release(Savepoint savepoint);

  // Ends it. Success: all its writes are visible together, and under Durability::sync on disk, as
  // is everything that it observed. Returns its commit timestamp; for one that wrote nothing, the
  // snapshot it read last. Errors end it as well and leave nothing of it behind, except:
  // commit_outcome_unknown (it may survive or not), and disk_full, out_of_memory,
  // keyspace_not_found (dropped meanwhile), and where others hold locks on what an optimistic one
  // wrote lock_timeout and too_many_locks, after which it is still open and unchanged.
  // Also: write_conflict, serialization_failure, deadlock, cancelled.
  Result<Timestamp> commit();

  // Ends it, leaving nothing behind. Also acknowledges an earlier end: ok then too.
  Result<void> rollback();

  // From any thread, while this object lives and is not moved: ends it with `cancelled`, at once if
  // it waits for a lock, else at its next operation. Nothing if it has ended, or is past the point
  // in its commit where it can be stopped.
  void cancel() noexcept;
  // For the operations that follow, commit included: instead of the one it was begun with.
  // Errors: invalid_argument (negative).
  Result<void> set_lock_timeout(std::chrono::milliseconds timeout);

  // False once it has ended, in whatever way.
  bool active() const noexcept;
  // Unique in its database while that is open. Given at the first call, or the first write.
  TransactionId id() const;
  Isolation isolation() const noexcept;
  Locking locking() const noexcept;
  std::string_view label() const noexcept;
  bool read_only() const noexcept;
  // What it reads at, once fixed by the first operation: repeatable read, and optimistic
  // serializable ones.
  std::optional<Timestamp> snapshot() const noexcept;

 private:
  friend class Database;
  using VisitFunction = bool (*)(void*, std::string_view, std::string_view);

  explicit Transaction(mvcc::TransactionCore* core) noexcept : core_(core) {}
  // For transact(): whether it was moved away, and how it ended; the error is forgotten once the
  // user has rolled back.
  bool is_moved_from() const noexcept { return core_ == nullptr; }
  bool has_committed() const noexcept;
  std::optional<Error> ended_by() const;
  Result<std::size_t> scan_with(const Keyspace& keyspace, const KeyRange& range,
                                const ScanOptions& options, void* context, VisitFunction visit);

  mvcc::TransactionCore* core_;
};

}  // namespace isolde
