// The checkpointer: carries what is durable into the base (L4, K1, I3).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "engine/base/base.h"
#include "engine/log/commit_log.h"
#include "engine/mutex.h"
#include "isolde/result.h"
#include "mvcc/keyspace_table.h"
#include "mvcc/reclaimer.h"
#include "mvcc/snapshot_registry.h"
#include "mvcc/version_store.h"

namespace isolde::mvcc {

struct CheckpointStats {
  std::atomic<std::uint64_t> count{0};
  std::atomic<std::int64_t> last_ns{0};
};

// Thread safety: all methods concurrently; checkpoints run one at a time.
//
// Invariants:
//   The base is exactly the committed state at base.at(), at any moment.
//   L4  a checkpoint is at or below `durable`; the log may reuse its space only after it is synced.
//   K1  a drop is visible only once nobody may still look at the keyspace, so that none holds a
//       checkpoint back.
class Checkpointer {
 public:
  Checkpointer(VersionStore& store, KeyspaceTable& keyspaces, SnapshotRegistry& registry,
               Reclaimer& reclaimer, engine::Base& base, engine::CommitLog& log);

  // Errors: database_failed, disk_full, io_error, corruption.
  Result<void> run() ISOLDE_EXCLUDES(mutex_);
  // Doubles the map (frees the handles of dropped keyspaces) with all views quiesced. Precondition:
  // under exclusive().
  Result<void> grow_map();
  Result<void> free_handles();
  // Runs work that must not meet a checkpoint (bulk load, verify, backup).
  template <typename Work>
  auto exclusive(Work&& work) ISOLDE_EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    return work();
  }

  const CheckpointStats& stats() const noexcept { return stats_; }

 private:
  Result<void> run_locked() ISOLDE_REQUIRES(mutex_);
  Result<engine::ApplyOutcome> apply(std::uint64_t to) ISOLDE_REQUIRES(mutex_);
  Result<void> discard_unclaimed_loads() ISOLDE_REQUIRES(mutex_);
  void release_what_base_has() ISOLDE_REQUIRES(mutex_);
  Result<void> quiesced(const std::function<Result<void>()>& work);

  VersionStore& store_;
  KeyspaceTable& keyspaces_;
  SnapshotRegistry& registry_;
  Reclaimer& reclaimer_;
  engine::Base& base_;
  engine::CommitLog& log_;
  Mutex mutex_;
  CheckpointStats stats_;
};

}  // namespace isolde::mvcc
