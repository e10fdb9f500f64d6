// The speed to reach: ratios within one run, each with the least and the goal.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/run/runner.h"

namespace isolde::bench {

enum class Standing : std::uint8_t { goal, least, missed, not_measured };

struct Target {
  std::string what;
  std::string against;  // "raw LMDB", "best other: sqlite", ...
  double measured = 0;
  double least = 0;
  double goal = 0;
  bool at_most = false;   // the smaller the better
  const char* unit = "";  // "x", "ns", "ms", "%"
  Standing standing = Standing::not_measured;
};

// All that the run can say something about; those that it did not measure are not_measured.
std::vector<Target> judge_targets(const RunResult& run);
// Whether the run says anything about them.
bool any_measured(const std::vector<Target>& targets);
std::string_view name(Standing standing);

}  // namespace isolde::bench
