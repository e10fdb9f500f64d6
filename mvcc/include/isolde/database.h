// A database: a directory, opened by one process at a time.
#pragma once

#include <chrono>
#include <concepts>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "isolde/keyspace.h"
#include "isolde/locks.h"
#include "isolde/observer.h"
#include "isolde/options.h"
#include "isolde/result.h"
#include "isolde/stats.h"
#include "isolde/transaction.h"

namespace isolde {

namespace mvcc {
class DatabaseCore;
}

// Decides whether a transact() goes on, and sleeps between attempts. Internal to transact().
class RetryLoop {
 public:
  // `core`: null if the database was closed.
  RetryLoop(mvcc::DatabaseCore* core, const TransactionOptions& options);
  // After a failed attempt: waits and returns true to run again, or false to give up.
  bool again(const Error& error);
  // The work has committed: it must not be run again.
  void settle() noexcept { settled_ = true; }
  std::uint32_t attempts() const noexcept { return attempt_; }

 private:
  mvcc::DatabaseCore* core_;
  RetryPolicy policy_;
  std::string label_;
  std::chrono::steady_clock::time_point start_;
  std::uint32_t attempt_ = 0;
  bool settled_ = false;
};

// Move-only handle. Closes in its destructor (see close()). One that was closed or moved from
// answers invalid_argument, or has nothing to tell; close() and abandon() do nothing then.
//
// In a child of fork() the parent's database answers database_in_use to all that could change it
// or read it anew, and its destructor does nothing.
//
// Thread safety: all methods may be called concurrently, except close, move and destruction.
class Database {
 public:
  // Opens the directory, creating it if asked, recovering it if its last owner did not close it. A
  // directory that holds a plain LMDB environment is adopted: its named databases become
  // keyspaces, records of the unnamed one the keyspace "default".
  // Errors: database_in_use (names the pid), not_a_database, permission_denied, corruption (file
  // and offset), format_unsupported, disk_full, io_error, invalid_argument.
  static Result<Database> open(const std::filesystem::path& directory, const Options& options = {});

  Database(Database&&) noexcept;
  Database& operator=(Database&&) noexcept;
  ~Database();

  // Brings the base up to date with a last checkpoint and gives the directory up. Every transaction
  // must have ended: an open one is a programmer error and ends the process, named by its label.
  // Errors (it is closed all the same; nothing acknowledged is lost): disk_full, io_error.
  Result<void> close();

  // The keyspace of that name, created durably if missing. A name has 1 to 255 bytes without NUL
  // and does not begin with "isolde:". Errors: invalid_argument, read_only, database_failed,
  // commit_outcome_unknown, disk_full.
  Result<Keyspace> keyspace(std::string_view name);
  // The same without creating it: keyspace_not_found.
  Result<Keyspace> find_keyspace(std::string_view name) const;
  std::vector<Keyspace> keyspaces() const;  // by name
  // Removes a keyspace and all in it, atomically and durably. Waits up to `patience` for every
  // transaction that may still look at it: with a snapshot, an open cursor or reads for update,
  // with locks in it, pessimistic at serializable with locks anywhere. While it looks it has the
  // whole keyspace locked, exclusively. Errors: keyspace_not_found,
  // keyspace_busy (names one of them), read_only, database_failed, commit_outcome_unknown,
  // disk_full.
  Result<void> drop_keyspace(std::string_view name,
                             std::chrono::milliseconds patience = std::chrono::seconds(5));

  // Starts a transaction; it takes its snapshot at its first operation. Errors: invalid_argument
  // (an option that is out of range, or not offered by this version), database_in_use (in a fork
  // of the owner), out_of_memory (also if 262,144 transactions are open).
  Result<Transaction> begin(const TransactionOptions& options = {});

  // Runs `work(Transaction&)`, which returns a Result, then commits; runs both again as
  // options.retry says while the error is retryable. An error that `work` returns rolls back. If
  // an error ended the transaction, that error counts, whatever `work` made of it; if `work`
  // committed or rolled back itself, its result stands, and what it has committed is not run again.
  // Returns what `work` returned, or the last error unchanged but for the number of attempts in its
  // evidence; invalid_argument if `work` moved the transaction away.
  template <typename Work>
  requires std::invocable<Work&, Transaction&>
  auto transact(const TransactionOptions& options, Work&& work)
      -> std::invoke_result_t<Work&, Transaction&> {
    using Outcome = std::invoke_result_t<Work&, Transaction&>;
    RetryLoop loop(core_.get(), options);
    for (;;) {
      Outcome outcome = attempt<Outcome>(options, work, loop);
      if (outcome.has_value()) return outcome;
      if (!loop.again(outcome.error())) {
        return Outcome(outcome.error().with_attempts(loop.attempts()));
      }
    }
  }
  template <typename Work>
  requires std::invocable<Work&, Transaction&>
  auto transact(Work&& work) -> std::invoke_result_t<Work&, Transaction&> {
    return transact(TransactionOptions{}, std::forward<Work>(work));
  }

  // Gives entries in ascending key order (strictly), nothing at the end. May return an error, which
  // ends the load.
  using EntrySource = std::function<Result<std::optional<Entry>>()>;
  // Loads a whole new keyspace straight into the base, atomically: it appears complete and durable,
  // or not at all, as of one commit: older snapshots do not see it. `name` must not exist. Much
  // faster than transactions. Returns the number of entries. Errors: already_exists,
  // invalid_argument (out of order, or a bad name), key_*, value_too_large, disk_full, read_only,
  // database_failed, and what `source` returns.
  Result<std::uint64_t> bulk_load(std::string_view name, const EntrySource& source);

  // Carries all that is durable into the base now. Errors: disk_full, io_error, corruption (a
  // foreign writer changed the base), database_failed, read_only.
  Result<void> checkpoint();
  // Frees the versions that no snapshot can see any more, now rather than in the background. With
  // Options::background_work off nothing else does.
  void reclaim();
  // Copies the database, as of a moment during the call, into a new or empty directory, while
  // transactions go on; the copy is complete or the call failed. Errors: already_exists,
  // permission_denied, disk_full, io_error, database_failed, read_only (opened so, with commits in
  // the log only).
  Result<void> backup(const std::filesystem::path& directory);
  // Reads everything: the base's trees (order, sizes, manifest) and the log (checksums, chaining).
  // Errors: corruption (file and place), io_error.
  Result<VerifyReport> verify();

  Stats stats() const;

  // Every lock that is held or awaited now, and what each waiter waits for. Copies them all.
  LockState locks() const;
  // The last 64 deadlocks, the oldest first.
  std::vector<DeadlockReport> deadlocks() const;
  // Transaction::cancel, by id. False: no live transaction has it.
  bool cancel(TransactionId id);

  // The committed versions of a key that are known now, the newest first: those in memory, and what
  // the base holds. Empty: there is no such key, and no snapshot could still see one.
  // Errors: keyspace_not_found, key_*, io_error.
  Result<std::vector<VersionInfo>> versions(const Keyspace& keyspace, std::string_view key) const;

  // To see what happens when things go wrong. Precondition of abandon() as of close(); it gives
  // the directory up as a process that is killed would: no last checkpoint, nothing more is
  // written; the next open recovers it.
  void abandon() noexcept;
  // The next sync of the log fails, once, as a dying disk's would: the database fails with it.
  // Durability::none makes no syncs.
  void fail_next_sync() noexcept;

  // An observer sees events of operations that begin after add_observer returned, and none after
  // remove_observer has. Transactions that have told it something may keep it alive until the
  // database is closed.
  void add_observer(std::shared_ptr<Observer> observer);
  void remove_observer(const std::shared_ptr<Observer>& observer);

  const std::filesystem::path& directory() const noexcept;
  const Options& options() const noexcept;

 private:
  friend struct DatabaseInternals;  // tests/support only
  // In a child of fork(): lets go of what is the parent's without touching it.
  void forget_if_inherited() noexcept;
  explicit Database(std::unique_ptr<mvcc::DatabaseCore> core) noexcept;

  template <typename Outcome, typename Work>
  Outcome attempt(const TransactionOptions& options, Work& work, RetryLoop& loop) {
    auto txn = begin(options);
    if (!txn) return Outcome(txn.error());
    Outcome outcome = work(*txn);
    if (txn->is_moved_from()) {
      return Outcome(Error(ErrorCode::invalid_argument,
                           "the work of transact() moved its transaction away, so how that ended "
                           "can't be known; use it where it is, or begin one of your own"));
    }
    if (auto error = txn->ended_by()) return Outcome(*std::move(error));
    if (txn->has_committed()) loop.settle();
    if (!outcome.has_value() || !txn->active()) return outcome;
    if (auto committed = txn->commit(); !committed) return Outcome(committed.error());
    return outcome;
  }

  // Does what only an open database can, with a full memory turned into an error.
  template <typename Work>
  auto asked(std::string_view doing, Work&& work) const -> decltype(work());

  std::unique_ptr<mvcc::DatabaseCore> core_;
};

}  // namespace isolde
