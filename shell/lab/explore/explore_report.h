// Explorations for people and for programs.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lab/explore/explorer.h"
#include "lab/explore/witness.h"

namespace isolde::lab {

// One exploration, with what is told of it.
struct Explored {
  Exploration exploration;
  std::vector<Witness> witnesses;
};

// Of the interleavings that are serializable anyway (at read committed, optimistic, nothing aborts
// and the checker finds no cycle), those in which a mode of serializable aborts a transaction.
struct FalseAborts {
  Locking locking = Locking::optimistic;
  std::uint64_t anyway = 0;      // serializable anyway
  std::uint64_t infeasible = 0;  // of those: it makes a session wait that has a step in this order
  std::uint64_t aborted = 0;
  std::map<ErrorCode, std::uint64_t> reasons;  // of those: by the error of the first to abort
};

// Of one extent in all its cells: for each locking of serializable that is among them, if read
// committed optimistic is as well, and both were explored to the same extent.
std::vector<FalseAborts> false_aborts(const std::vector<const Explored*>& cells);

// Calls visit with the cells of each extent of each script, in order.
void for_each_extent(const std::vector<Explored>& explored,
                     const std::function<void(const std::vector<const Explored*>&)>& visit);

// An `explore NAME=N` that was judged.
struct ExploreCheck {
  Place place;
  std::string expected;
  std::string actual;
  bool passed = false;
};
// All that the script expects of the cells that were explored; counts are summed over its extents.
std::vector<ExploreCheck> explore_checks(const std::vector<Explored>& explored);

// `outcomes`: list the groups of equal outcomes as well.
std::string explore_text(const std::vector<Explored>& explored, bool outcomes);
// {"runs": [...], "false_aborts": [...]}. `interleavings`: every one that was run, as JSON objects
// by run (see interleaving_json), or empty.
std::string explore_json(const std::vector<Explored>& explored,
                         const std::vector<std::vector<std::string>>& interleavings);
// {"schedule": [...], "results": {...}, "final": {...}, "committed": [...], ...}
std::string interleaving_json(const Script& script, const PlayedOrder& play,
                              const std::vector<std::size_t>& schedule);

}  // namespace isolde::lab
