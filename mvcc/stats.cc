// Histograms, and the figures that Database::stats copies out.
#include "isolde/stats.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <ctime>

#include "mvcc/database_core.h"
#include "mvcc/transaction_core.h"

namespace isolde {
namespace {

std::size_t bucket_of(std::chrono::nanoseconds duration) noexcept {
  const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 1));
  return std::min<std::size_t>(std::bit_width(ns) - 1, LatencyHistogram::bucket_count - 1);
}

}  // namespace

void LatencyHistogram::record(std::chrono::nanoseconds duration) noexcept {
  ++buckets[bucket_of(duration)];
  ++count;
  total += duration;
  maximum = std::max(maximum, duration);
}

void LatencyHistogram::merge(const LatencyHistogram& other) noexcept {
  for (std::size_t i = 0; i < bucket_count; ++i) buckets[i] += other.buckets[i];
  count += other.count;
  total += other.total;
  maximum = std::max(maximum, other.maximum);
}

std::chrono::nanoseconds LatencyHistogram::quantile(double q) const noexcept {
  if (count == 0) return std::chrono::nanoseconds{0};
  const double wanted = std::clamp(q, 0.0, 1.0) * static_cast<double>(count);
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < bucket_count; ++i) {
    seen += buckets[i];
    if (buckets[i] != 0 && static_cast<double>(seen) >= wanted) {
      return std::min(maximum, std::chrono::nanoseconds(std::int64_t{1} << (i + 1)));
    }
  }
  return maximum;
}

namespace mvcc {

void SharedHistogram::record(std::chrono::nanoseconds duration) noexcept {
  const auto bump = [](auto& counter, auto by) {
    counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  };
  bump(buckets[bucket_of(duration)], std::uint64_t{1});
  bump(total_ns, duration.count());
  if (duration.count() > maximum_ns.load(std::memory_order_relaxed)) {
    maximum_ns.store(duration.count(), std::memory_order_relaxed);
  }
}

void SharedHistogram::merge_into(LatencyHistogram& histogram) const noexcept {
  LatencyHistogram copy;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    copy.buckets[i] = buckets[i].load(std::memory_order_relaxed);
    copy.count += copy.buckets[i];
  }
  copy.total = std::chrono::nanoseconds(total_ns.load(std::memory_order_relaxed));
  copy.maximum = std::chrono::nanoseconds(maximum_ns.load(std::memory_order_relaxed));
  histogram.merge(copy);
}

namespace {

void add_slot(const Slot& slot, std::int64_t now_ns, Stats& stats) {
  const auto get = [](const SlotCounters::Counter& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  stats.begun += get(slot.counters.begun);
  stats.committed += get(slot.counters.committed);
  stats.committed_writing += get(slot.counters.committed_writing);
  stats.rolled_back += get(slot.counters.rolled_back);
  slot.commit_latency.merge_into(stats.commit_latency);
  slot.lock_wait.merge_into(stats.lock_wait);
  const std::uint64_t snapshot = std::min(slot.snapshot.load(), slot.pinned.load());
  if (snapshot >= too_old || !slot.core) return;
  SnapshotStats live;
  const TransactionRef owner = slot.core->reference();
  live.transaction = owner.id;
  live.label = owner.label;
  live.snapshot = Timestamp{snapshot};
  live.age = std::chrono::nanoseconds(
      std::max<std::int64_t>(0, now_ns - slot.snapshot_taken_ns.load(std::memory_order_relaxed)));
  live.versions_behind = stats.visible.value > snapshot ? stats.visible.value - snapshot : 0;
  stats.snapshots.push_back(std::move(live));
}

}  // namespace

Stats DatabaseCore::stats() const {
  Stats stats;
  stats.visible = Timestamp{pipeline_->visible()};
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const std::int64_t now_ns = now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
  registry_->for_each([&](const Slot& slot) { add_slot(slot, now_ns, stats); });
  std::sort(stats.snapshots.begin(), stats.snapshots.end(),
            [](const SnapshotStats& a, const SnapshotStats& b) { return a.snapshot < b.snapshot; });
  for (std::size_t code = 0; code < aborted_.size(); ++code) {
    const std::uint64_t count = aborted_[code].load(std::memory_order_relaxed);
    if (count != 0) stats.aborted[static_cast<ErrorCode>(code)] = count;
  }
  stats.retries = retries_.load(std::memory_order_relaxed);
  stats.backpressure_wait = background_->waits();

  const LockTable::Counts locks = locks_->counts();
  stats.locks_held = locks.held;
  stats.lock_waiters = locks.waiters;
  stats.deadlocks = locks.deadlocks;

  stats.durable = log_->durable();
  stats.checkpoint = base_->at();
  stats.failed = log_->failed();
  stats.chains = store_.chains();
  stats.versions = store_.versions();
  stats.version_bytes = store_.bytes();
  stats.old_version_bytes = store_.old_bytes();
  stats.reclaimed_versions = store_.reclaimed_versions();
  stats.dropped_chains = store_.dropped_chains();
  const engine::LogStats log = log_->stats();
  stats.log_live_bytes = log.live_bytes;
  stats.log_file_bytes = log.file_bytes;
  stats.log_syncs = log.syncs;
  stats.log_written_bytes = log.written_bytes;
  stats.checkpoints = checkpointer_->stats().count.load(std::memory_order_relaxed);
  stats.last_checkpoint =
      std::chrono::nanoseconds(checkpointer_->stats().last_ns.load(std::memory_order_relaxed));
  stats.base_file_bytes = base_->file_bytes();
  stats.base_map_bytes = base_->map_bytes();
  return stats;
}

}  // namespace mvcc
}  // namespace isolde
