// The contract of the levels by exploration: what a level forbids, no interleaving of any script of
// the catalogue shows; what it admits, some does. In both lockings.
#include <array>
#include <boost/test/unit_test.hpp>
#include <map>
#include <set>
#include <string>

#include "lab/explore/matrix.h"
#include "tests/lab/explorations.h"
#include "tests/support/sanitizer.h"

namespace isolde::lab {
namespace {

// All of them; a sample under sanitizers, which are ten to thirty times slower.
ExploreOptions bounded() {
  ExploreOptions options;
  options.most_runs = isolde::test::sanitized ? 150 : 1'000'000;
  options.seed = 20'041'117;
  return options;
}

// Sessions that choose levels for themselves: then the cell forbids nothing.
bool names_levels(const Script& script) {
  for (const Step& step : script.steps) {
    for (const Command& command : step.commands) {
      const auto* begin = std::get_if<BeginCommand>(&command.action);
      if (begin != nullptr && (begin->level || begin->locking)) return true;
    }
  }
  return false;
}

BOOST_AUTO_TEST_SUITE(explore_contract)

BOOST_AUTO_TEST_CASE(what_is_forbidden_no_interleaving_shows_and_what_is_admitted_some_does) {
  std::array<std::set<Phenomenon>, CellSet::cell_count> found;
  std::uint64_t judged = 0;
  std::uint64_t runs = 0;
  test::for_each_shipped([&](const Script& script, const Extent& extent, Cell cell) {
    const Exploration explored = test::explored(script, extent, cell, bounded());
    BOOST_TEST_INFO(script.source.name() << " at " << cell.to_string());
    BOOST_TEST(explored.broken_promise == "");
    if (!isolde::test::sanitized) BOOST_TEST(explored.is_complete());
    judged += explored.serializable + explored.non_serializable;
    runs += explored.executed + explored.given_up;
    if (names_levels(script)) return;
    for (const auto& [phenomenon, count] : explored.anomalies) {
      BOOST_TEST_INFO(script.source.name() << " at " << cell.to_string() << ": " << name(phenomenon)
                                           << ' ' << count << " times");
      BOOST_TEST(admits(cell.level, phenomenon));
      found[cell.index()].insert(phenomenon);
    }
    if (cell.level == Isolation::serializable) BOOST_TEST(explored.non_serializable == 0u);
  });
  BOOST_TEST_MESSAGE(judged << " interleavings judged by " << runs << " runs");
  for (std::size_t index = 0; index < CellSet::cell_count; ++index) {
    for (const Phenomenon phenomenon : all_phenomena) {
      BOOST_TEST_INFO(name(phenomenon) << " at " << Cell::at(index).to_string());
      BOOST_TEST((found[index].count(phenomenon) == 1) ==
                 admits(Cell::at(index).level, phenomenon));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
