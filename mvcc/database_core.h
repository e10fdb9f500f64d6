// A database's parts, put together: opening, closing, background threads.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/base.h"
#include "engine/files/owner_lock.h"
#include "engine/log/commit_log.h"
#include "engine/mutex.h"
#include "isolde/database.h"
#include "isolde/observer.h"
#include "isolde/options.h"
#include "mvcc/background.h"
#include "mvcc/checkpointer.h"
#include "mvcc/commit_pipeline.h"
#include "mvcc/keyspace_table.h"
#include "mvcc/lock_table.h"
#include "mvcc/reclaimer.h"
#include "mvcc/snapshot_registry.h"
#include "mvcc/version_store.h"

namespace isolde::mvcc {

// Thread safety: as the public Database.
class DatabaseCore {
 public:
  static Result<std::unique_ptr<DatabaseCore>> open(const std::filesystem::path& directory,
                                                    const Options& options,
                                                    engine::FileSystem& files);
  ~DatabaseCore();
  DatabaseCore(const DatabaseCore&) = delete;
  DatabaseCore& operator=(const DatabaseCore&) = delete;

  Result<void> close();
  // True in a child of fork(): the database belongs to the parent. Its threads are not here, and
  // its files must not be touched; not even destroyed may it be.
  bool is_inherited() const noexcept { return engine::fork_generation() != fork_generation_; }
  Error inherited() const;

  // Gives the directory up as a killed process would: no checkpoint, nothing more is written.
  void abandon() noexcept;

  Result<TransactionCore*> begin(const TransactionOptions& options);
  Result<Keyspace> create_keyspace(std::string_view name);
  Result<Keyspace> find_keyspace(std::string_view name) const;
  Result<void> drop_keyspace(std::string_view name, std::chrono::milliseconds patience);
  Result<std::uint64_t> bulk_load(std::string_view name, const Database::EntrySource& source);
  Result<void> backup(const std::filesystem::path& directory);
  Result<VerifyReport> verify();
  Stats stats() const;
  void add_observer(std::shared_ptr<Observer> observer);
  void remove_observer(const std::shared_ptr<Observer>& observer);

  // For transactions.
  engine::Base& base() noexcept { return *base_; }
  engine::CommitLog& log() noexcept { return *log_; }
  VersionStore& store() noexcept { return store_; }
  KeyspaceTable& keyspaces() noexcept { return keyspaces_; }
  SnapshotRegistry& registry() noexcept { return *registry_; }
  const std::shared_ptr<SnapshotRegistry>& shared_registry() const noexcept { return registry_; }
  CommitPipeline& pipeline() noexcept { return *pipeline_; }
  Reclaimer& reclaimer() noexcept { return *reclaimer_; }
  Checkpointer& checkpointer() noexcept { return *checkpointer_; }
  Background& background() noexcept { return *background_; }
  const Options& options() const noexcept { return options_; }
  const std::filesystem::path& directory() const noexcept { return directory_; }

  TransactionId next_transaction_id() noexcept {
    return TransactionId{next_transaction_id_.fetch_add(1) + 1};
  }
  std::uint64_t next_write_sequence() noexcept { return next_write_sequence_.fetch_add(1) + 1; }
  bool is_observed() const noexcept { return observed_.load(std::memory_order_relaxed); }
  void notify(const std::function<void(Observer&)>& event) const;
  // Those who observe, and a number that changes with them: whoever tells of every read keeps the
  // list, for the mutex and the count of its owners would be what all threads meet at.
  using Observers = std::vector<std::shared_ptr<Observer>>;
  std::shared_ptr<const Observers> observers() const;
  std::uint64_t observers_version() const noexcept {
    return observers_version_.load(std::memory_order_acquire);
  }
  void note_abort(ErrorCode code) noexcept {
    aborted_[static_cast<std::size_t>(code)].fetch_add(1, std::memory_order_relaxed);
  }
  void note_retry() noexcept { retries_.fetch_add(1, std::memory_order_relaxed); }
  // After a failed persist (I8); idempotent.
  void note_log_failure() { pipeline_->fail(); }
  // Waits until the checkpointer has caught up (C7). Holds nothing. Errors: those of a checkpoint
  // that keeps failing.
  Result<void> wait_for_room();

  LockTable& locks() noexcept { return *locks_; }
  // Order of begin, for victims. Optimists need one only while there may be pessimists: one from
  // before the first pessimist is older than all of them.
  std::uint64_t next_begun(Locking locking) noexcept {
    if (locking == Locking::optimistic && !knows_pessimists_.load(std::memory_order_relaxed)) {
      return 0;
    }
    knows_pessimists_.store(true, std::memory_order_relaxed);
    return next_begun_.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  bool cancel(TransactionId id);

 private:
  // Waits are told as they happen, to whoever observes then.
  class WaitTeller : public LockListener {
   public:
    explicit WaitTeller(const DatabaseCore& database) : database_(database) {}
    bool is_observed() const noexcept override { return database_.is_observed(); }
    void on_block(const LockOwner& waiter, const BlockEvent& event) override;
    void on_sleep(const LockOwner& waiter) override;
    void on_wake(const LockOwner& waiter, WakeReason reason) override;
    void on_resume(const LockOwner& waiter) override;
    void on_deadlock(const DeadlockReport& report) override;
    std::string keyspace_name(KeyspaceId id) const override;

   private:
    const DatabaseCore& database_;
  };

  DatabaseCore(std::filesystem::path directory, const Options& options, engine::FileSystem& files);
  Result<void> open_parts();
  Result<void> replay(Timestamp at, std::string_view entry);
  std::optional<Error> check_keyspace_count() const;
  // Waits for no room in the log: that is the caller's business, before it holds anything (W1).
  Result<void> commit_keyspace_change(
      std::size_t bytes,
      const std::function<CommitPipeline::Outcome(engine::LogReservation)>& commit);
  void require_no_transactions() const;
  void leave_slots_to_handles() noexcept;
  Result<void> settle_base();
  Result<void> persist_visible(std::uint64_t commit);
  Result<void> carry_into_base();
  CommitPipeline::Outcome try_drop(const Keyspace& keyspace, std::string& entry,
                                   engine::LogReservation& reservation, std::optional<Error>& busy)
      ISOLDE_EXCLUDES(drops_mutex_);
  std::optional<Result<std::uint64_t>> try_load(KeyspaceId id, std::string_view name,
                                                const Database::EntrySource& source);
  static Error loaded_name_exists(std::string_view name);
  static Error keyspace_busy(std::string_view name, const TransactionRef& holder,
                             std::optional<std::uint64_t> snapshot);

  const std::filesystem::path directory_;
  const Options options_;
  engine::FileSystem& files_;
  std::uint64_t fork_generation_;

  // In the order of their dependence; destroyed in reverse.
  std::optional<engine::OwnerLock> owner_;
  std::unique_ptr<engine::Base> base_;
  std::unique_ptr<engine::CommitLog> log_;
  VersionStore store_;
  KeyspaceTable keyspaces_;
  std::shared_ptr<SnapshotRegistry> registry_;
  WaitTeller wait_teller_{*this};
  std::unique_ptr<LockTable> locks_;
  std::unique_ptr<CommitPipeline> pipeline_;
  std::unique_ptr<Reclaimer> reclaimer_;
  std::unique_ptr<Checkpointer> checkpointer_;
  std::unique_ptr<Background> background_;

  std::atomic<std::uint64_t> next_transaction_id_{0};
  std::atomic<std::uint64_t> next_write_sequence_{0};
  std::atomic<std::uint64_t> next_begun_{0};
  std::atomic<bool> knows_pessimists_{false};
  std::array<std::atomic<std::uint64_t>, 32> aborted_{};
  std::atomic<std::uint64_t> retries_{0};
  Timestamp last_replayed_;
  bool open_ = false;

  Mutex drops_mutex_;

  std::atomic<bool> observed_{false};
  std::atomic<std::uint64_t> observers_version_{0};
  mutable Mutex observers_mutex_;
  std::shared_ptr<const Observers> observers_ ISOLDE_GUARDED_BY(observers_mutex_);
};

}  // namespace isolde::mvcc

namespace isolde {

// What tests may do that users can't.
struct DatabaseInternals {
  static Result<Database> open(const std::filesystem::path& directory, const Options& options,
                               engine::FileSystem& files);
  static mvcc::DatabaseCore& core(Database& database) noexcept;
  // As if the process had been killed: see DatabaseCore::abandon.
  static void abandon(Database database) noexcept;
};

}  // namespace isolde
