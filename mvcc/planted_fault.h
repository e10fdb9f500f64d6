// Faults that tests plant, to see that what they attack the store with would find them. Compiled in
// with the yield points (engine/yield_point.h) only; elsewhere is_planted() is a constant false.
#pragma once

#include <atomic>
#include <cstdint>

namespace isolde::mvcc {

// Each leaves out one step that a rule of the design demands.
enum class PlantedFault : std::uint8_t {
  none,
  pending_ignored,           // R1: a slot between its enter and its publication is overlooked
  visible_after_slots,       // R2: the reclaimer reads `visible` after the slots
  step_not_registered,       // R2: a running checkpoint's X counts as no live snapshot
  view_not_registered,       // R1: lookups in a view that the slot has not published
  view_gap_in_renewal,       // R3: the old view is given up before the new one is open
  dropped_under_views,       // I3: a chain goes though a live view is older than its newest version
  freed_at_once,             // R5: what was unlinked is gone under the readers who stand on it
  base_image_not_rechecked,  // C1: a chain is built though there is one by now
  visible_before_installed,  // I7: a commit can be seen before all of its versions are there
  merge_announced_early,     // chains count as merged before they are in key order
  drop_not_rechecked,        // R4: a chain goes though a version was installed meanwhile
  too_old_unchecked,         // R6: answers are believed though the snapshot was given up
  newer_pin_forgotten,       // only the oldest of a transaction's cursors is respected
  ended_copies_kept,         // R8: a private write is shown though it is in what is committed
  released_before_visible,   // C4: the next holder of a lock reads what was there before
  flag_read_outside,         // C5: an optimist looks for pessimists before the critical section
  flag_raised_outside,       // C5: the first pessimist arrives without the pipeline's mutex
  judged_before_locked,      // C5: an optimist is validated, and then waits for its locks
  shared_locks_ignored,      // C5: an optimist writes what others have locked to read it
  gaps_not_locked,           // W3: a scan locks no range
};

#ifdef ISOLDE_YIELD_POINTS
// Set and cleared only while no other thread is inside the library.
inline std::atomic<PlantedFault> planted_fault{PlantedFault::none};
inline bool is_planted(PlantedFault fault) noexcept {
  return planted_fault.load(std::memory_order_relaxed) == fault;
}
#else
constexpr bool is_planted(PlantedFault) noexcept { return false; }
#endif

}  // namespace isolde::mvcc
