// Faults that are planted, to see that what the store is attacked with would find them. Compiled in
// with the yield points (engine/yield_point.h) only; elsewhere is_planted() is a constant false.
// Tests choose one here, the command by ISOLDE_FAULT (shell/faults.h).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

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
  ranges_not_validated,      // trap 1: a range that was observed counts for nothing at commit
  first_committer_ignored,   // at repeatable read a newer version of a written key is overlooked
  values_compared,           // trap 8: a key set back to what it was counts as unchanged
  reclaimed_too_early,       // I2: versions go though a live snapshot still sees them
  half_published,            // I7: of what a commit wrote only the first half can be seen
  registered_late,           // R1: a snapshot is registered at the second operation only
  acknowledged_early,        // I6: a commit is acknowledged whatever its sync comes to
  queue_edges_forgotten,     // W2: who waits behind a waiter is not seen to wait for it
};

// By the names that ISOLDE_FAULT takes.
inline constexpr std::array<std::pair<std::string_view, PlantedFault>, 28> planted_fault_names{{
    {"pending-ignored", PlantedFault::pending_ignored},
    {"visible-after-slots", PlantedFault::visible_after_slots},
    {"step-not-registered", PlantedFault::step_not_registered},
    {"view-not-registered", PlantedFault::view_not_registered},
    {"view-gap-in-renewal", PlantedFault::view_gap_in_renewal},
    {"dropped-under-views", PlantedFault::dropped_under_views},
    {"freed-at-once", PlantedFault::freed_at_once},
    {"base-image-not-rechecked", PlantedFault::base_image_not_rechecked},
    {"visible-before-installed", PlantedFault::visible_before_installed},
    {"merge-announced-early", PlantedFault::merge_announced_early},
    {"drop-not-rechecked", PlantedFault::drop_not_rechecked},
    {"too-old-unchecked", PlantedFault::too_old_unchecked},
    {"newer-pin-forgotten", PlantedFault::newer_pin_forgotten},
    {"ended-copies-kept", PlantedFault::ended_copies_kept},
    {"released-before-visible", PlantedFault::released_before_visible},
    {"flag-read-outside", PlantedFault::flag_read_outside},
    {"flag-raised-outside", PlantedFault::flag_raised_outside},
    {"judged-before-locked", PlantedFault::judged_before_locked},
    {"shared-locks-ignored", PlantedFault::shared_locks_ignored},
    {"gaps-not-locked", PlantedFault::gaps_not_locked},
    {"ranges-not-validated", PlantedFault::ranges_not_validated},
    {"first-committer-ignored", PlantedFault::first_committer_ignored},
    {"values-compared", PlantedFault::values_compared},
    {"reclaimed-too-early", PlantedFault::reclaimed_too_early},
    {"half-published", PlantedFault::half_published},
    {"registered-late", PlantedFault::registered_late},
    {"acknowledged-early", PlantedFault::acknowledged_early},
    {"queue-edges-forgotten", PlantedFault::queue_edges_forgotten},
}};

constexpr std::optional<PlantedFault> planted_fault_from_name(std::string_view text) noexcept {
  for (const auto& [name, fault] : planted_fault_names) {
    if (name == text) return fault;
  }
  return std::nullopt;
}

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
