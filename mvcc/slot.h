// A slot: the place of one transaction in the snapshot registry.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

#include "engine/base/base.h"
#include "isolde/stats.h"
#include "isolde/types.h"
#include "mvcc/planted_fault.h"
#include "mvcc/write_set.h"

namespace isolde::mvcc {

class SnapshotRegistry;
class TransactionCore;

// Words that a slot publishes instead of a snapshot.
inline constexpr std::uint64_t no_snapshot = ~std::uint64_t{0};
inline constexpr std::uint64_t too_old = ~std::uint64_t{0} - 1;
inline constexpr std::uint64_t no_view = ~std::uint64_t{0};

// Counters of one slot; written by its owner only, read by anyone.
struct SlotCounters {
  using Counter = std::atomic<std::uint64_t>;
  Counter begun{0};
  Counter committed{0};
  Counter committed_writing{0};
  Counter rolled_back{0};

  static void bump(Counter& counter) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
};

// A LatencyHistogram that its owner records into while others read.
struct SharedHistogram {
  std::array<std::atomic<std::uint64_t>, LatencyHistogram::bucket_count> buckets{};
  std::atomic<std::int64_t> total_ns{0};
  std::atomic<std::int64_t> maximum_ns{0};

  void record(std::chrono::nanoseconds duration) noexcept;
  void merge_into(LatencyHistogram& histogram) const noexcept;
};

// Thread safety: the atomics by anyone; the rest by whoever holds the gate: the owner while busy,
// the reclaimer while taken. `writes` has a latch of its own.
//
// Invariant: a slot that is busy and has no published snapshot is pending (R1).
struct alignas(128) Slot {
  // The gate's bits; above them a count that changes with each operation.
  static constexpr std::uint64_t claimed = 1;
  static constexpr std::uint64_t busy = 2;
  static constexpr std::uint64_t taken = 4;
  static constexpr std::uint64_t count_unit = 8;

  std::atomic<std::uint64_t> gate{0};
  std::atomic<std::uint64_t> snapshot{no_snapshot};
  std::atomic<std::uint64_t> pinned{no_snapshot};
  // Snapshots above `pinned` are depended on as well (cursors of different moments): everything
  // newer than what it sees is to be kept.
  std::atomic<bool> pins_newer{false};
  std::atomic<std::uint64_t> view_version{no_view};
  // What holds a drop back (K1). Of its transaction: `snapshot` is that of all operations, not of
  // one ...
  std::atomic<bool> keeps_snapshot{false};
  // ... and it has locked something at serializable: what it has not read yet must be as what it
  // has read.
  std::atomic<bool> locks_reads{false};

  engine::BaseView view;
  engine::BaseCursor cursor;      // for one scan after the other
  std::uint64_t view_serial = 0;  // grows with each renewal: cursors bind anew
  WriteSet writes;
  SlotCounters counters;
  SharedHistogram commit_latency;
  SharedHistogram lock_wait;
  std::atomic<std::int64_t> snapshot_taken_ns{0};  // steady clock, when the oldest one was taken
  std::uint32_t index = 0;
  std::unique_ptr<TransactionCore> core;  // made once, used by one transaction after the other
  std::atomic<TransactionCore*> published_core{nullptr};  // the same, for other threads
  // Set when the database is closed while a handle still names the ended transaction in here: what
  // the slot lives in stays until that handle has gone.
  std::shared_ptr<SnapshotRegistry> home;

  Slot();
  ~Slot();

  // Of the owner, while busy: a number for this stay in the slot, another one after each leave.
  std::uint64_t stay() const noexcept { return gate.load(std::memory_order_relaxed); }
  void unpin() noexcept {
    pinned.store(no_snapshot, std::memory_order_release);
    pins_newer.store(false, std::memory_order_release);
  }
  bool is_too_old() const noexcept {
    if (is_planted(PlantedFault::too_old_unchecked)) return false;
    return snapshot.load() == too_old || pinned.load() == too_old;
  }
};

}  // namespace isolde::mvcc
