// The background threads: checkpoints, reclaim, periodic syncs; and commits that wait for them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "engine/mutex.h"
#include "isolde/error.h"
#include "isolde/options.h"
#include "isolde/result.h"
#include "isolde/stats.h"
#include "mvcc/checkpointer.h"
#include "mvcc/commit_pipeline.h"
#include "mvcc/reclaimer.h"

namespace isolde::mvcc {

// Thread safety: all methods concurrently.
class Background {
 public:
  Background(const Options& options, engine::CommitLog& log, CommitPipeline& pipeline,
             Checkpointer& checkpointer, Reclaimer& reclaimer);
  ~Background();

  // Waits for work under way, and begins no more.
  void stop() ISOLDE_EXCLUDES(mutex_);

  // Called before each writing commit: wakes the threads when they have something to do, and waits
  // while the log holds four times what starts a checkpoint (C7): what a checkpoint lowers, nothing
  // else. Errors: those of a checkpoint that fails.
  Result<void> wait_for_room() ISOLDE_EXCLUDES(mutex_);
  // For what ends a snapshot that pinned much, or a checkpoint run by a user.
  void wake_reclaimer() noexcept;

  LatencyHistogram waits() const ISOLDE_EXCLUDES(mutex_);

 private:
  void checkpoint_loop() ISOLDE_EXCLUDES(mutex_);
  void reclaim_loop() ISOLDE_EXCLUDES(mutex_);
  void sync_loop() ISOLDE_EXCLUDES(mutex_);
  // As the parts, but that what finds no memory is to be tried again.
  bool has_news() noexcept;
  bool persist() noexcept;
  Result<void> wait_slowly() ISOLDE_EXCLUDES(mutex_);
  void ask_for_checkpoint() ISOLDE_EXCLUDES(mutex_);

  const Options& options_;
  engine::CommitLog& log_;
  CommitPipeline& pipeline_;
  Checkpointer& checkpointer_;
  Reclaimer& reclaimer_;

  mutable Mutex mutex_;
  ConditionVariable checkpoint_wanted_;
  ConditionVariable reclaim_wanted_;
  ConditionVariable checkpoint_done_;
  ConditionVariable stopping_;
  bool stopped_ ISOLDE_GUARDED_BY(mutex_) = false;
  std::atomic<bool> checkpoint_asked_{false};
  std::atomic<bool> reclaim_asked_{false};
  std::optional<Error> checkpoint_error_ ISOLDE_GUARDED_BY(mutex_);
  LatencyHistogram waits_ ISOLDE_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace isolde::mvcc
