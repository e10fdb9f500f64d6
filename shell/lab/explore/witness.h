// A script that shows what an exploration has found, with nothing in it that is not needed.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lab/explore/explorer.h"

namespace isolde::lab {

struct Witness {
  std::string what;                   // a phenomenon's name, or "invariant EXPR"
  std::uint64_t interleavings = 0;    // of the exploration that show it
  std::vector<std::string> schedule;  // names of steps
  std::string script;                 // a whole .iso, whose expectation is that it happens again
};

// One for each anomaly and for each violated invariant. None of its steps can be left out, and of
// the orders that show it, it has one with the fewest changes of session. Each was played: it shows
// what it says. Precondition: the player is free.
std::vector<Witness> witnesses(const Exploration& exploration, OrderPlayer& player);

}  // namespace isolde::lab
