#include "mvcc/snapshot_registry.h"

#include <algorithm>
#include <thread>

#include "engine/yield_point.h"
#include "mvcc/planted_fault.h"
#include "mvcc/transaction_core.h"

namespace isolde::mvcc {
namespace {

// The slot that this thread used last, of whatever database. By number, not by address: a registry
// made later may stand where an earlier one stood.
thread_local struct {
  std::uint64_t registry = 0;
  Slot* slot = nullptr;
} last_used;

std::atomic<std::uint64_t> registries_made{0};

}  // namespace

void SnapshotRegistry::wait_for_gate() noexcept {
#ifdef ISOLDE_YIELD_POINTS
  if (yield_to_hook("blocked: gate")) return;
#endif
  std::this_thread::yield();
}

Slot::Slot() = default;
Slot::~Slot() = default;

SnapshotRegistry::SnapshotRegistry(engine::Base& base)
    : base_(base), number_(registries_made.fetch_add(1) + 1) {}

SnapshotRegistry::~SnapshotRegistry() {
  for (auto& chunk : chunks_) delete[] chunk.load();
}

bool SnapshotRegistry::try_claim(Slot& slot) noexcept {
  std::uint64_t gate = slot.gate.load();
  if ((gate & (Slot::claimed | Slot::busy | Slot::taken)) != 0) return false;
  return slot.gate.compare_exchange_strong(gate, gate | Slot::claimed);
}

Slot* SnapshotRegistry::claim() {
  if (last_used.registry == number_ && try_claim(*last_used.slot)) return last_used.slot;
  Slot* slot = claim_any();
  if (slot != nullptr) last_used = {number_, slot};
  return slot;
}

// At the end of the table one more look, and no more: whoever claims says that it has failed.
Slot* SnapshotRegistry::claim_any() {
  for (;;) {
    const std::uint32_t count = count_.load();
    for (std::uint32_t tried = 0; tried < count; ++tried) {
      Slot& slot = at(next_.fetch_add(1) % count);
      if (try_claim(slot)) return &slot;
    }
    MutexLock lock(mutex_);
    if (count_.load() != count) continue;
    if (count + chunk_slots > most_slots_.load()) return nullptr;
    auto* slots = new Slot[chunk_slots];
    for (std::uint32_t index = 0; index < chunk_slots; ++index) {
      slots[index].index = count + index;
    }
    chunks_[count / chunk_slots].store(slots);
    count_.store(count + chunk_slots);
  }
}

void SnapshotRegistry::release(Slot& slot) noexcept {
  slot.unpin();
  slot.snapshot.store(no_snapshot, std::memory_order_release);
  slot.keeps_snapshot.store(false, std::memory_order_relaxed);
  // Taking a view leaves the claim alone, so wait for it: both change the same word.
  std::uint64_t gate = slot.gate.load(std::memory_order_relaxed);
  for (;;) {
    if ((gate & Slot::taken) != 0) {
      wait_for_gate();
      gate = slot.gate.load();
      continue;
    }
    const std::uint64_t freed = (gate & ~(Slot::claimed | Slot::busy)) + Slot::count_unit;
    if (slot.gate.compare_exchange_weak(gate, freed)) return;
  }
}

bool SnapshotRegistry::enter(Slot& slot) noexcept {
  std::uint64_t gate = slot.gate.load();
  for (;;) {
    if ((gate & Slot::busy) != 0) return false;
    if ((gate & Slot::taken) != 0) {
      wait_for_gate();
      gate = slot.gate.load();
      continue;
    }
    if (slot.gate.compare_exchange_weak(gate, gate | Slot::busy)) {
      ISOLDE_YIELD("read: pending");
      return true;
    }
  }
}

void SnapshotRegistry::leave(Slot& slot) noexcept {
  // Only the owner changes a busy gate. Releasing what it read before is all that is needed: who
  // sees the new count may free what was unlinked.
  const std::uint64_t gate = slot.gate.load(std::memory_order_relaxed);
  slot.gate.store((gate & ~Slot::busy) + Slot::count_unit, std::memory_order_release);
}

Result<void> SnapshotRegistry::refresh_view(Slot& slot) {
  // An open view is registered as long as it is open, also while its slot is idle or free.
  if (slot.view.is_open() && slot.view.version() >= base_.version()) return {};
  // Closed: nothing of it is registered, so pin everything until it is open. Open but old: the old
  // number stays registered until the new view is there (R3).
  if (!slot.view.is_open()) slot.view_version.store(0);
  if (is_planted(PlantedFault::view_gap_in_renewal) ||
      is_planted(PlantedFault::view_not_registered)) {
    slot.view_version.store(no_view);
  }
  ISOLDE_YIELD("read: before view");
  auto renewed = slot.view.renew(base_);
  if (!renewed && renewed.error().code() == ErrorCode::out_of_memory) {
    take_idle_views(true);
    renewed = slot.view.renew(base_);
  }
  if (!renewed) {
    slot.view_version.store(no_view);
    return renewed;
  }
  ISOLDE_YIELD("read: view open");
  ++slot.view_serial;
  if (is_planted(PlantedFault::view_not_registered)) return {};
  slot.view_version.store(slot.view.version().value);
  return {};
}

void SnapshotRegistry::collect(LiveSet& live) const {
  for_each([&](const Slot& slot) {
    // The gate first: see the class invariant, and mvcc/README.md for the timeline.
    const std::uint64_t gate = slot.gate.load();
    if ((gate & Slot::claimed) != 0) ISOLDE_YIELD("collect: gate seen");
    const std::uint64_t snapshot = slot.snapshot.load();
    const std::uint64_t pinned = slot.pinned.load();
    if ((gate & Slot::claimed) != 0) ISOLDE_YIELD("collect: snapshot seen");
    const std::uint64_t view = slot.view_version.load();
    if ((gate & Slot::busy) != 0 && snapshot == no_snapshot) live.pending = true;
    if (snapshot < too_old) live.snapshots.push_back(snapshot);
    if (pinned < too_old) {
      live.snapshots.push_back(pinned);
      if (slot.pins_newer.load()) live.keep_above = std::min(live.keep_above, pinned);
    }
    live.oldest_view = std::min(live.oldest_view, view);
  });
  std::sort(live.snapshots.begin(), live.snapshots.end());
  live.snapshots.erase(std::unique(live.snapshots.begin(), live.snapshots.end()),
                       live.snapshots.end());
}

bool SnapshotRegistry::take(Slot& slot, std::chrono::steady_clock::time_point deadline) noexcept {
  for (;;) {
    std::uint64_t gate = slot.gate.load();
    if ((gate & (Slot::busy | Slot::taken)) == 0) {
      if (slot.gate.compare_exchange_strong(gate, gate | Slot::taken)) return true;
      continue;
    }
    if (std::chrono::steady_clock::now() >= deadline) return false;
    wait_for_gate();
  }
}

void SnapshotRegistry::take_idle_views(bool give_up_places) {
  const std::uint64_t current = base_.version().value;
  for_each([&](Slot& slot) {
    const std::uint64_t view = slot.view_version.load();
    if (!give_up_places && (view == no_view || view >= current)) return;
    std::uint64_t gate = slot.gate.load();
    if ((gate & (Slot::busy | Slot::taken)) != 0) return;
    if (!slot.gate.compare_exchange_strong(gate, gate | Slot::taken)) return;
    ISOLDE_YIELD("reclaim: view taken");
    if (give_up_places) {
      slot.view.close();
    } else {
      slot.view.reset();
    }
    slot.view_version.store(no_view);
    slot.gate.store(gate);
  });
}

std::vector<SnapshotRegistry::BusySlot> SnapshotRegistry::busy_slots() const {
  std::vector<BusySlot> busy;
  for_each([&](const Slot& slot) {
    const std::uint64_t gate = slot.gate.load();
    if ((gate & Slot::busy) != 0) busy.push_back({&slot, gate});
  });
  return busy;
}

bool SnapshotRegistry::all_left(std::vector<BusySlot>& slots) {
  std::erase_if(slots, [](const BusySlot& busy) { return busy.slot->gate.load() != busy.gate; });
  return slots.empty();
}

std::optional<Result<void>> SnapshotRegistry::while_quiesced(
    std::chrono::milliseconds patience, const std::function<Result<void>()>& work) {
  MutexLock lock(mutex_);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const std::uint32_t count = count_.load();
  std::uint32_t held = 0;
  while (held < count && take(at(held), deadline)) ++held;
  std::optional<Result<void>> outcome;
  if (held == count) {
    for (std::uint32_t index = 0; index < count; ++index) {
      at(index).view.reset();
      at(index).view_version.store(no_view);
    }
    outcome = work();
  }
  for (std::uint32_t index = 0; index < held; ++index) {
    Slot& slot = at(index);
    slot.gate.store(slot.gate.load() & ~Slot::taken);
  }
  return outcome;
}

SnapshotRegistry::Oldest SnapshotRegistry::oldest() const {
  Oldest found;
  for_each([&](Slot& slot) {
    for (const std::uint64_t word : {slot.snapshot.load(), slot.pinned.load()}) {
      if (word < too_old && (found.slot == nullptr || word < found.snapshot)) {
        found = {&slot, word};
      }
    }
  });
  return found;
}

// The gate first: a slot seen idle looks at the keyspace only after the drop was announced. What a
// single operation reads at (below repeatable read) is over with the operation, and it looks at the
// keyspace again before it answers.
std::optional<SnapshotRegistry::DropHolder> SnapshotRegistry::drop_holder() const {
  std::optional<DropHolder> found;
  const auto consider = [&](const DropHolder& holder) {
    const bool is_older =
        found && found->snapshot && holder.snapshot && *holder.snapshot < *found->snapshot;
    if (!found || found->is_pending || is_older) found = holder;
  };
  for_each([&](Slot& slot) {
    const std::uint64_t gate = slot.gate.load();
    if ((gate & Slot::claimed) == 0) return;
    const std::uint64_t snapshot = slot.snapshot.load();
    const std::uint64_t pinned = slot.pinned.load();
    if (slot.locks_reads.load()) consider({&slot, std::nullopt, false});
    if (pinned < too_old) consider({&slot, pinned, false});
    if (!slot.keeps_snapshot.load()) return;
    if (snapshot < too_old) {
      consider({&slot, snapshot, false});
    } else if (snapshot == no_snapshot && (gate & Slot::busy) != 0 && !found) {
      consider({&slot, std::nullopt, true});
    }
  });
  return found;
}

bool SnapshotRegistry::mark_too_old(const Oldest& oldest) noexcept {
  bool marked = false;
  for (auto* word : {&oldest.slot->snapshot, &oldest.slot->pinned}) {
    std::uint64_t expected = oldest.snapshot;
    marked = word->compare_exchange_strong(expected, too_old) || marked;
  }
  return marked;
}

}  // namespace isolde::mvcc
