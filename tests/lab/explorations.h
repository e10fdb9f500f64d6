// Explorations in tests: of shipped scripts, with one player for all.
#pragma once

#include <boost/test/unit_test.hpp>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lab/explore/explorer.h"
#include "lab/explore/orders.h"
#include "lab/script/shipped_scripts.h"
#include "tests/lab/plays.h"

namespace isolde::lab::test {

inline OrderPlayer& player() {
  static const std::unique_ptr<OrderPlayer> shared = OrderPlayer::open().value();
  return *shared;
}

inline Exploration explored(const Script& script, const Extent& extent, Cell cell,
                            const ExploreOptions& options = {}) {
  auto result = explore(script, extent, cell, player(), options);
  if (const auto* failure = std::get_if<PlayFailure>(&result)) {
    BOOST_FAIL(script.source.name() + ": " + failure->error.to_string());
  }
  return std::get<Exploration>(std::move(result));
}

inline std::uint64_t orders_of(const Extent& extent) {
  std::vector<std::size_t> lengths;
  for (const auto& steps : extent.steps) lengths.push_back(steps.size());
  return Orders(lengths).all();
}

// Calls visit(script, extent, cell) for all that ships.
template <typename Visit>
void for_each_shipped(Visit visit) {
  for (const ShippedScript& shipped : shipped_scripts()) {
    const Script script = parsed(std::string(shipped.text), std::string(shipped.name));
    for (const Extent& extent : extents(script)) {
      for (std::size_t index = 0; index < CellSet::cell_count; ++index) {
        visit(script, extent, Cell::at(index));
      }
    }
  }
}

}  // namespace isolde::lab::test
