// The reclaimer: takes back the versions and chains that nobody can see (R2, R4 to R7, I3).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/base.h"
#include "engine/log/commit_log.h"
#include "engine/mutex.h"
#include "mvcc/commit_pipeline.h"
#include "mvcc/snapshot_registry.h"
#include "mvcc/version_store.h"

namespace isolde::mvcc {

// Thread safety: all methods concurrently.
//
// Invariants:
//   I2  a version goes only if no live snapshot sees it, and it is not newer than `durable` was:
//       after a failure of the log new snapshots are at `durable`, below the `visible` of before
//       (I8).
//   I3  a chain goes only if its newest version is in the base at the oldest live view, and every
//       live snapshot is at or above it.
//
// The race that reading `visible` and `durable` before the slots prevents (R2):
//   Reclaimer  scans the slots: none
//   Reader     begins at visible = 12
//   Committer  installs 15
//   Reclaimer  reads visible = 15, keeps nothing older than 15, and drops what the reader sees
class Reclaimer {
 public:
  Reclaimer(VersionStore& store, SnapshotRegistry& registry, CommitPipeline& pipeline,
            engine::CommitLog& log, engine::Base& base, std::size_t max_version_memory);
  ~Reclaimer();

  // Goes over all chains once: prunes, drops, frees what earlier passes retired. Then, while old
  // versions take too much memory, gives up the oldest snapshot and prunes again.
  // Without memory it stops where it is: another pass goes on.
  void run() noexcept ISOLDE_EXCLUDES(mutex_);
  // True if a pass is likely to find something.
  bool is_worth_a_pass() const noexcept;

  // True if what was pinned at the last pass may not be any more: an old snapshot or view has
  // ended.
  bool has_news() ISOLDE_EXCLUDES(mutex_);

  // A checkpoint is about to run at `highest()`, which is called while nothing can be pruned, and
  // is what is durable then: registers it and the smaller steps that it
  // may fall back to; returns them, largest first. Empty: there is nothing to do.
  std::vector<std::uint64_t> begin_checkpoint(const std::function<std::uint64_t()>& highest)
      ISOLDE_EXCLUDES(mutex_);
  // It has failed for lack of memory.
  void give_up_checkpoint() noexcept ISOLDE_EXCLUDES(mutex_);
  // It is over; the base is at base.at() as of base.version().
  void end_checkpoint() ISOLDE_EXCLUDES(mutex_);
  // The base has a new version that is at the same commit.
  void note_base_version() ISOLDE_EXCLUDES(mutex_);

 private:
  struct Retired {
    std::vector<SnapshotRegistry::BusySlot> busy;
    std::vector<Version*> versions;
    std::vector<Chain*> chains;
  };
  struct Candidate {
    Chain* chain;
    Version* newest;
  };

  void pass() ISOLDE_EXCLUDES(mutex_);
  bool enforce_memory_limit();
  // One slice of chains from a key on; false at the end. Adds the chains to `held` that the base
  // has, and an old view or snapshot keeps.
  bool slice(std::string& key, KeyspaceId& keyspace, std::uint64_t& held) ISOLDE_REQUIRES(mutex_);
  bool collect(LiveSet& live, std::uint64_t& durable) ISOLDE_REQUIRES(mutex_);
  std::uint64_t base_reaches(const LiveSet& live) const ISOLDE_REQUIRES(mutex_);
  void prune(Chain& chain, const LiveSet& live, std::uint64_t durable) ISOLDE_REQUIRES(mutex_);
  void drop(const std::vector<Candidate>& candidates) ISOLDE_REQUIRES(mutex_);
  void seal_retired() ISOLDE_REQUIRES(mutex_);
  void free_retired() ISOLDE_REQUIRES(mutex_);
  static void destroy(Retired& retired) noexcept;
  // For a planted fault: as if it had been freed, and the memory used for something else.
  static void spoil(Retired& retired) noexcept;

  VersionStore& store_;
  SnapshotRegistry& registry_;
  CommitPipeline& pipeline_;
  engine::CommitLog& log_;
  engine::Base& base_;
  const std::size_t max_version_memory_;

  Mutex mutex_;
  std::vector<std::uint64_t> steps_ ISOLDE_GUARDED_BY(mutex_);  // of the running checkpoint
  // Which commit the base is at as of which version; the views of slots are somewhere in here.
  struct Reached {
    std::uint64_t version;
    std::uint64_t at;
  };
  std::deque<Reached> reached_ ISOLDE_GUARDED_BY(mutex_);
  std::deque<Retired> retired_ ISOLDE_GUARDED_BY(mutex_);
  Retired open_ ISOLDE_GUARDED_BY(mutex_);
  std::uint64_t oldest_at_last_pass_ ISOLDE_GUARDED_BY(mutex_) = 0;
  std::uint64_t view_at_last_pass_ ISOLDE_GUARDED_BY(mutex_) = 0;
  // Versions and chains that it could not take, roughly: those that commits brought meanwhile too.
  std::uint64_t left_at_last_pass_ ISOLDE_GUARDED_BY(mutex_) = 0;
  std::uint64_t superseded_at_last_look_ ISOLDE_GUARDED_BY(mutex_) = 0;
  std::atomic<std::uint64_t> superseded_at_last_pass_{0};
  std::atomic<std::uint64_t> old_bytes_after_last_pass_{0};
  std::atomic<bool> pass_wanted_{false};
};

}  // namespace isolde::mvcc
