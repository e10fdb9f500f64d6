// Runs plans of the surface model, one after the other, in child processes: a crash or a hang of
// one is a find like any other.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/mvcc/surface_plan.h"

namespace isolde::test::surface {

struct Find {
  std::uint64_t seed = 0;
  double seconds = 0;     // until it was found
  std::string what;       // what is wrong, in words
  std::string trace;      // what was done, a line an operation
  std::size_t steps = 0;  // of the shrunk plan
};

struct Campaign {
  bool threads = false;
  std::uint64_t seed = 0;
  // Either so many runs, or as many as fit into the time.
  std::size_t runs = 0;
  std::optional<std::chrono::seconds> time;
  // Goes on after a find, and tells of each kind once.
  bool all_finds = false;
  // Called with each find, while it goes on.
  std::function<void(const Find&)> found;
};

struct CampaignOutcome {
  std::size_t runs = 0;
  std::vector<Find> finds;
};

CampaignOutcome run_campaign(const Campaign& campaign);

}  // namespace isolde::test::surface
