// A transaction's state and operations, behind the public Transaction.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/observer.h"
#include "isolde/options.h"
#include "isolde/result.h"
#include "isolde/stats.h"
#include "isolde/transaction.h"
#include "mvcc/commit_pipeline.h"
#include "mvcc/event.h"
#include "mvcc/keyspace_table.h"
#include "mvcc/lock_owner.h"
#include "mvcc/lock_table.h"
#include "mvcc/merged_scan.h"
#include "mvcc/read_set.h"
#include "mvcc/slot.h"

namespace isolde::mvcc {

class CursorCore;
class DatabaseCore;
class Operation;  // operation.h

// The answer of one point read, while the slot is busy.
struct Seen {
  std::optional<std::string_view> value;
  TransactionId writer;
  std::optional<std::uint64_t> commit;  // nothing: uncommitted
  std::uint64_t sequence = 0;           // of another's uncommitted write
  bool is_base = false;                 // what the view of the base says
  // With an add of one's own: what is shown, of which the rest tells what it is added to.
  std::optional<std::string_view> sum = {};

  std::optional<std::string_view> shown() const noexcept { return sum ? sum : value; }
};

// Keys that a scan with skip_locked leaves out.
using SkippedKeys = std::set<std::string, std::less<>>;

// How one operation waits for its locks: all of its waits together have one deadline.
struct LockPatience {
  LockWait wait = LockWait::wait;
  std::chrono::milliseconds timeout = no_lock_timeout;
  std::optional<std::chrono::steady_clock::time_point> deadline;  // once it has begun to wait
};

// Lives in a slot, used by one transaction after the other (no allocation at begin).
//
// Thread safety: one thread at a time, detected by the slot's gate.
class TransactionCore {
 public:
  using VisitFunction = bool (*)(void*, std::string_view, std::string_view);

  TransactionCore(DatabaseCore& database, Slot& slot) : database_(database), slot_(slot) {}

  void start(const TransactionOptions& options);
  // The handle is gone: rolls back if still active, and gives the slot back.
  void finish() noexcept;
  // What keeps the observers' list: before the database goes.
  void forget_observers() noexcept {
    observers_.reset();
    observers_version_ = 0;
  }

  Result<std::optional<std::string_view>> get(const Keyspace& keyspace, std::string_view key,
                                              ReadMode mode, const LockOptions& lock_options,
                                              bool tracked);
  Result<void> put(const Keyspace& keyspace, std::string_view key, std::string_view value);
  Result<void> erase(const Keyspace& keyspace, std::string_view key);
  Result<void> insert(const Keyspace& keyspace, std::string_view key, std::string_view value);
  Result<void> add(const Keyspace& keyspace, std::string_view key, std::int64_t delta);
  Result<std::int64_t> add_and_get(const Keyspace& keyspace, std::string_view key,
                                   std::int64_t delta);
  Result<void> compare_and_set(const Keyspace& keyspace, std::string_view key,
                               std::string_view expected, std::string_view value);
  Result<std::size_t> scan(const Keyspace& keyspace, const KeyRange& range,
                           const ScanOptions& options, void* context, VisitFunction visit);
  Result<std::unique_ptr<CursorCore>> cursor(const Keyspace& keyspace, const KeyRange& range,
                                             const ScanOptions& options);

  // The versions that are committed now, for those who look inside.
  Result<std::vector<VersionInfo>> versions(const Keyspace& keyspace, std::string_view key);

  Result<Savepoint> savepoint();
  Result<void> rollback_to(Savepoint savepoint);
  Result<void> release(Savepoint savepoint);

  Result<Timestamp> commit();
  Result<void> rollback();

  // From any thread: dooms it if it is still the transaction `id`. True if it was active.
  bool cancel(TransactionId id);
  Result<void> set_lock_timeout(std::chrono::milliseconds timeout);

  bool active() const noexcept { return active_.load(std::memory_order_relaxed); }
  // How it ended: by its own commit, or by an error that the user has not yet acknowledged by a
  // rollback.
  bool has_committed() const noexcept { return has_committed_; }
  const std::optional<Error>& ended_by() const noexcept { return ended_by_; }
  TransactionId id();
  TransactionId id_if_known() const noexcept {
    return TransactionId{id_.load(std::memory_order_relaxed)};
  }
  // Id and label, for other threads.
  TransactionRef reference() const;
  Isolation isolation() const noexcept { return options_.isolation; }
  Locking locking() const noexcept { return options_.locking; }
  const std::string& label() const noexcept { return options_.label; }
  bool read_only() const noexcept { return options_.read_only; }
  std::optional<Timestamp> snapshot() const noexcept;

 private:
  friend class CursorCore;
  friend class Operation;

  bool is_pessimistic() const noexcept { return options_.locking == Locking::pessimistic; }
  bool is_serializable() const noexcept { return options_.isolation == Isolation::serializable; }
  // One snapshot for all operations; the others read the newest state, each at its own moment.
  bool keeps_snapshot() const noexcept {
    return options_.isolation >= Isolation::repeatable_read && !locks_reads();
  }
  // Serializable by validation at commit: what it observes is remembered ...
  bool remembers_reads() const noexcept { return is_serializable() && !is_pessimistic(); }
  // ... or by two-phase locking.
  bool locks_reads() const noexcept { return is_serializable() && is_pessimistic(); }
  // C6: what insert and compare_and_set found is looked at again when they are installed.
  bool settles_at_commit() const noexcept {
    return options_.isolation <= Isolation::read_committed && !is_pessimistic();
  }

  // Inside an operation.
  Result<void> prepare_read();
  void take_snapshot() noexcept;
  void pin_snapshot() noexcept;
  void leave_operation() noexcept;
  Result<Seen> read(KeyspaceId keyspace, std::string_view key, std::uint64_t hash, ReadMode mode);
  Result<Seen> read_committed(KeyspaceId keyspace, std::string_view key, std::uint64_t hash);
  void take_snapshot_after(std::vector<WriteSet::Copy>& copies);
  std::vector<WriteSet::Copy> uncommitted_copies(KeyspaceId keyspace, std::string_view key);
  void apply_uncommitted(std::vector<WriteSet::Copy>& copies, Seen& seen);
  Result<MergedScan> open_scan(const Keyspace& keyspace, const KeyRange& range,
                               const ScanOptions& options);
  std::vector<OverlayEntry> overlay(KeyspaceId keyspace, const KeyRange& range,
                                    std::vector<WriteSet::Copy> copies);
  void track_key(KeyspaceId keyspace, std::string_view key, std::uint64_t hash);
  // Before anything is done in it; sets keyspace_.
  std::optional<Error> check_keyspace(const Keyspace& keyspace);
  // Of keyspace_, once snapshot and view are registered, or the lock is held (K1).
  std::optional<Error> check_not_dropped();
  std::optional<Error> check_not_loaded(std::string_view key, bool is_read);
  std::optional<Error> check_writable(const Keyspace& keyspace, std::string_view key,
                                      std::size_t value_bytes);
  std::optional<Error> check_read_bound() const;
  std::optional<Error> check_lock_wait(LockWait wait) const;
  // `shown`: what the transaction itself now sees, for the observers; `delta`: of an add.
  void write(const Keyspace& keyspace, std::string_view key, Write write, WriteKind kind,
             std::optional<std::string_view> shown,
             std::optional<std::int64_t> delta = std::nullopt);
  Result<Seen> read_before_write(const Keyspace& keyspace, std::string_view key, ReadMode mode);
  bool has_savepoint(Savepoint savepoint) const noexcept;
  // After a lookup: the error that ends the transaction if its answer can't be believed (R6).
  std::optional<Error> check_snapshot();
  struct ObservedScan {
    KeyRange range;
    std::size_t yielded = 0;
    std::size_t hidden = 0;
    bool limited = false;
    bool cursor = false;
  };
  void track_entry(const Keyspace& keyspace, const MergedScan::Item& item,
                   const ScanOptions& options, bool cursor);
  // Of a key that is not there for a dirty reader: observers are told who has erased it.
  void tell_hidden(const Keyspace& keyspace, const MergedScan::Item& item,
                   const ScanOptions& options, bool cursor);
  void track_scan(const Keyspace& keyspace, const ObservedScan& observed,
                  const ScanOptions& options);

  // Locks (transaction_locks.cc). Inside an operation, which pauses while it waits (W1). False:
  // skipped. Errors that end the transaction have ended it.
  Result<bool> lock(Operation& operation, const LockAsk& ask, LockPatience& patience);
  Result<bool> answer_to(LockTable::Answer answer, const LockAsk& ask,
                         const LockPatience& patience);
  Result<bool> answer_to(LockTable::Ending ending, std::chrono::nanoseconds waited);
  // The same for one key, and at repeatable read the look whether it has changed since.
  Result<bool> lock_key(Operation& operation, const Keyspace& keyspace, std::string_view key,
                        std::uint64_t hash, LockMode mode, LockPatience& patience, bool is_read);
  std::optional<Error> lock_for_write(Operation& operation, const Keyspace& keyspace,
                                      std::string_view key);
  std::optional<Error> check_newest(KeyspaceId keyspace, std::string_view key, std::uint64_t hash,
                                    bool is_read);
  LockPatience patience_for(LockWait wait, std::optional<std::chrono::milliseconds> timeout) const;
  bool locks_scan(const ScanOptions& options) const noexcept {
    return is_pessimistic() &&
           (options.mode != ReadMode::plain || (locks_reads() && options.tracked));
  }
  std::optional<Error> check_scan(const Keyspace& keyspace, const ScanOptions& options);
  // W3. Afterwards the operation reads at a snapshot after the last grant.
  Result<void> lock_scan(Operation& operation, const Keyspace& keyspace, const KeyRange& range,
                         const ScanOptions& options, SkippedKeys& skipped);
  Result<void> lock_range(Operation& operation, const Keyspace& keyspace, const KeyRange& range,
                          LockMode mode, LockPatience& patience);
  Result<void> lock_scanned_range(Operation& operation, const Keyspace& keyspace,
                                  const KeyRange& range, const ScanOptions& options,
                                  LockPatience& patience);
  struct ScannedKeys;
  Result<void> lock_scanned_keys(Operation& operation, const Keyspace& keyspace,
                                 const KeyRange& range, const ScanOptions& options,
                                 LockPatience& patience, SkippedKeys& skipped);
  Result<void> peek_keys(Operation& operation, const Keyspace& keyspace, const KeyRange& range,
                         const ScanOptions& options, LockPatience& patience, ScannedKeys& keys);
  Result<std::optional<std::string>> peek_last(const Keyspace& keyspace, const KeyRange& range,
                                               const ScanOptions& options);
  void forget_snapshot() noexcept;
  std::optional<Error> lock_writes(Operation& operation);
  void release_locks() noexcept;
  bool is_doomed() const noexcept {
    const std::uint64_t id = id_.load(std::memory_order_relaxed);
    return id != 0 && locks_.is_doomed(id);
  }
  Error end_doomed();

  // Commit, in steps.
  struct LogSpace {
    std::size_t bytes = 0;
    engine::LogReservation reservation;
  };
  Result<CommitPipeline::Outcome> reserve_and_pass(Operation& operation);
  Result<CommitPipeline::Outcome> lock_and_pass(Operation& operation, LogSpace& space);
  Result<CommitPipeline::Outcome> pass_pipeline(LogSpace& space, bool is_locked);
  Error ended_by(Error error);
  void keep_spare(std::unique_ptr<RecentCommit> recent) noexcept;
  Result<void> prepare_writes(PreparedCommit& prepared);
  Result<ChainPtr> fresh_chain(const PreparedWrite& write);
  Result<std::optional<std::string_view>> base_image(const PreparedWrite& write) const;
  void index_reads(PreparedCommit& prepared) const;
  Result<void> persist(std::uint64_t needed);
  Result<Timestamp> finish_commit(Timestamp commit, std::uint64_t needed);
  Error phrase(const Conflict& conflict);
  Error end_with(Error error);
  void drop_private_state(bool installed = false) noexcept;

  EventTransaction event_self() const;
  // Calls the observers. The list is this core's own until it changes.
  template <typename Told>
  void tell(Told&& told);
  // For events: a copy of the handle would be counted by all threads in one place.
  const std::string& name_of(KeyspaceId keyspace) const;
  void tell_read(const Keyspace& keyspace, std::string_view key, const Seen& seen, ReadKind kind);
  Error too_old_error() const;

  DatabaseCore& database_;
  Slot& slot_;
  TransactionOptions options_;  // the label: changed under label_mutex_, for reference()
  mutable Mutex label_mutex_;
  std::atomic<std::uint64_t> id_{0};
  std::atomic<bool> active_{false};       // changed by its thread
  std::atomic<bool> waiting_{false};      // inside an operation that has left the slot for a pause
  std::uint64_t snapshot_ = no_snapshot;  // what the operation (or all of them) reads at
  std::uint64_t last_snapshot_ = 0;
  // Newest version read, or change of a keyspace seen (I6).
  std::uint64_t observed_ = 0;
  const KeyspaceState* keyspace_ = nullptr;  // of the running operation
  // Tells one transaction in this core from the next, also to a cursor that was left over.
  std::atomic<std::uint64_t> serial_{0};
  bool has_committed_ = false;
  std::optional<Error> ended_by_;
  bool reads_for_update_ = false;
  std::uint32_t open_cursors_ = 0;  // that pin a snapshot
  CursorCore* cursors_ = nullptr;   // all that are open, the last one opened first
  std::uint64_t cursors_opened_ = 0;
  ReadSet reads_;
  LockOwner locks_;
  bool uses_locks_ = false;  // has asked for one: there may be something to release
  std::optional<std::chrono::milliseconds> lock_timeout_;
  std::string value_;  // what the last get returned
  // If it was what the base says: of which key, and in which view (Slot::view_serial; 0: it was
  // not). In the same view the base need not be searched again for the image that a commit keeps.
  struct BaseRead {
    std::uint64_t view_serial = 0;
    KeyspaceId keyspace;
    std::string key;
    bool found = false;
  };
  BaseRead base_read_;
  std::unique_ptr<RecentCommit> spare_recent_;  // for the next commit: one that the ring forgot
  std::string scratch_;  // a sum, or another's private value, that the current read returns
  std::string dirty_;
  void tell_of(const ReadNote& note, std::string_view bytes);
  void tell_events();
  // Told to the observers once the slot is left; empty unless there are any.
  std::string event_bytes_;
  std::vector<Event> events_;
  std::shared_ptr<const std::vector<std::shared_ptr<Observer>>> observers_;
  std::uint64_t observers_version_ = 0;
  struct Mark {
    std::uint64_t serial;
    std::size_t undo_mark;
    std::uint64_t sequence;  // of the newest write before it
    std::uint64_t cursors;   // that were opened before it
  };
  std::vector<Mark> savepoints_;
  std::uint64_t savepoint_serial_ = 0;
  std::uint64_t last_write_sequence_ = 0;
};

}  // namespace isolde::mvcc
