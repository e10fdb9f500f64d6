#include "isolde/options.h"

namespace isolde {

std::string_view name(VictimPolicy policy) noexcept {
  switch (policy) {
    case VictimPolicy::youngest:
      return "youngest";
    case VictimPolicy::oldest:
      return "oldest";
    case VictimPolicy::fewest_writes:
      return "fewest_writes";
    case VictimPolicy::requester:
      return "requester";
    case VictimPolicy::lowest_priority:
      return "lowest_priority";
  }
  return "unknown";
}

std::string_view name(DeadlockStrategy strategy) noexcept {
  switch (strategy) {
    case DeadlockStrategy::detect:
      return "detect";
    case DeadlockStrategy::no_wait:
      return "no_wait";
    case DeadlockStrategy::wound_wait:
      return "wound_wait";
    case DeadlockStrategy::timeout_only:
      return "timeout_only";
  }
  return "unknown";
}

}  // namespace isolde
