#include "lab/script/script.h"

#include <set>

namespace isolde::lab {

std::vector<std::size_t> Script::unplayed_steps() const {
  std::set<std::size_t> played;
  for (const Schedule& schedule : schedules) {
    played.insert(schedule.steps.begin(), schedule.steps.end());
  }
  std::vector<std::size_t> unplayed;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (played.count(i) == 0) unplayed.push_back(i);
  }
  return unplayed;
}

}  // namespace isolde::lab
