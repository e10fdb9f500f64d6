// The snapshot registry: which snapshots and views are live.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "engine/base/base.h"
#include "engine/mutex.h"
#include "isolde/result.h"
#include "mvcc/slot.h"

namespace isolde::mvcc {

// What the reclaimer must respect, read at one moment.
struct LiveSet {
  std::vector<std::uint64_t> snapshots;    // ascending, no duplicates
  std::uint64_t keep_above = no_snapshot;  // every version newer than this is depended on
  std::uint64_t oldest_view = no_view;     // the oldest version of the base that a slot holds
  bool pending = false;                    // some slot is between its enter and its publication
};

// Thread safety: all methods concurrently.
//
// Invariants:
//   A slot seen idle without a snapshot by collect() publishes none older than the `visible` that
//   was read before, and holds or opens no view older than the base was then (R1, R2): its next
//   enter is an exchange on the gate that comes after collect()'s look in the order of the
//   sequentially consistent operations.
class SnapshotRegistry {
 public:
  explicit SnapshotRegistry(engine::Base& base);
  ~SnapshotRegistry();

  // A claimed slot for a new transaction; null: all are taken. Cheap for a thread that uses the
  // same one again.
  Slot* claim();
  // For tests: as if the table ended after so many.
  void limit_slots(std::uint32_t slots) noexcept { most_slots_.store(slots); }
  static void release(Slot& slot) noexcept;

  // Enters the slot for one operation; false: another thread is inside it.
  static bool enter(Slot& slot) noexcept;
  static void leave(Slot& slot) noexcept;
  // Pauses a thread that waits for another to leave a gate.
  static void wait_for_gate() noexcept;

  // Makes the slot's view open and current. Precondition: busy. Errors: io_error, out_of_memory.
  Result<void> refresh_view(Slot& slot);

  // Adds what all slots hold to `live`. Read `visible` before (R2).
  void collect(LiveSet& live) const;
  // Takes the views of idle slots that are older than the base; with `give_up_places` all of them,
  // and LMDB's reader places with them (R7).
  void take_idle_views(bool give_up_places);
  // Gate words of the busy slots, and whether all of them have changed since (R5).
  struct BusySlot {
    const Slot* slot;
    std::uint64_t gate;
  };
  std::vector<BusySlot> busy_slots() const;
  static bool all_left(std::vector<BusySlot>& slots);

  // Runs `work` while no view is open anywhere (L7); nothing if a busy slot does not leave by the
  // deadline: then nothing was done.
  std::optional<Result<void>> while_quiesced(std::chrono::milliseconds patience,
                                             const std::function<Result<void>()>& work);

  // The slot with the oldest snapshot below `limit`, if any.
  struct Oldest {
    Slot* slot = nullptr;
    std::uint64_t snapshot = 0;
  };
  Oldest oldest() const;
  // Who may still look at a keyspace that a drop would take away, or may be about to: see
  // mvcc/README.md. (Holders of locks in it are in the lock table.)
  struct DropHolder {
    Slot* slot = nullptr;
    std::optional<std::uint64_t> snapshot;
    bool is_pending = false;  // soon it is known whether it does
  };
  std::optional<DropHolder> drop_holder() const;
  // Marks it too old if it still holds that snapshot (R6).
  static bool mark_too_old(const Oldest& oldest) noexcept;

  template <typename Visit>
  void for_each(Visit&& visit) const {
    const std::uint32_t count = count_.load();
    for (std::uint32_t index = 0; index < count; ++index) visit(at(index));
  }

 private:
  static constexpr std::uint32_t chunk_slots = 64;
  static constexpr std::uint32_t max_chunks = 4096;

  Slot& at(std::uint32_t index) const noexcept {
    return chunks_[index / chunk_slots].load()[index % chunk_slots];
  }
  static bool try_claim(Slot& slot) noexcept;
  Slot* claim_any();
  // Waits for the gate to be free of owner and reclaimer, then takes it; false past the deadline.
  static bool take(Slot& slot, std::chrono::steady_clock::time_point deadline) noexcept;

  engine::Base& base_;
  const std::uint64_t number_;  // tells it from every other registry of the process
  std::array<std::atomic<Slot*>, max_chunks> chunks_{};
  std::atomic<std::uint32_t> count_{0};
  std::atomic<std::uint32_t> next_{0};
  std::atomic<std::uint32_t> most_slots_{chunk_slots * max_chunks};
  Mutex mutex_;  // growth, and quiescing (which forbids it)
};

}  // namespace isolde::mvcc
