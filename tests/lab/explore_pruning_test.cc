// Leaving out interleavings that differ only in the order of steps that do not touch each other
// changes no count and no outcome.
#include <boost/test/unit_test.hpp>
#include <map>
#include <string>

#include "tests/lab/explorations.h"
#include "tests/support/sanitizer.h"
#include "tests/support/seed.h"

namespace isolde::lab {
namespace {

// All that must not depend on what was left out, one thing a line.
std::string told(const Exploration& exploration) {
  std::string text;
  for (const char* name : {"interleavings", "infeasible", "serializable", "non_serializable",
                           "blocked", "aborted", "deadlocks", "invariant_violations"}) {
    text.append(name) += '=' + std::to_string(exploration.count(name)) + '\n';
  }
  text += "broken promises=" + std::to_string(exploration.broken_promises) + '\n';
  for (const auto& [phenomenon, count] : exploration.anomalies) {
    text.append(name(phenomenon)) += '=' + std::to_string(count) + '\n';
  }
  for (const auto& [outcome, group] : exploration.outcomes) {
    text.append(std::to_string(group.interleavings)).append(" times: ").append(outcome);
    text += '\n';
  }
  return text;
}

BOOST_AUTO_TEST_SUITE(explore_pruning)

BOOST_AUTO_TEST_CASE(pruned_and_unpruned_agree_on_every_outcome_of_every_catalogue_script) {
  const std::uint64_t most = isolde::test::sanitized ? 100 : 4'000;
  std::uint64_t pruned_runs = 0;
  std::uint64_t all_runs = 0;
  test::for_each_shipped([&](const Script& script, const Extent& extent, Cell cell) {
    if (test::orders_of(extent) > most) return;
    const Exploration pruned = test::explored(script, extent, cell);
    ExploreOptions everything;
    everything.prune = false;
    const Exploration all = test::explored(script, extent, cell, everything);
    BOOST_TEST_INFO(script.source.name() << " at " << cell.to_string());
    BOOST_TEST(told(pruned) == told(all));
    BOOST_TEST((pruned.marks == all.marks));
    BOOST_TEST(pruned.executed <= all.executed);
    pruned_runs += pruned.executed + pruned.given_up;
    all_runs += all.executed + all.given_up;
  });
  BOOST_TEST_MESSAGE(pruned_runs << " runs instead of " << all_runs);
  BOOST_TEST(pruned_runs < all_runs);
}

BOOST_AUTO_TEST_CASE(what_is_drawn_is_among_what_a_pruned_exploration_has_found) {
  ExploreOptions drawn;
  drawn.prune = false;
  drawn.most_runs = isolde::test::rounds(200);
  drawn.seed = isolde::test::seed();
  BOOST_TEST_INFO("ISOLDE_SEED=" << drawn.seed);
  const std::uint64_t most = isolde::test::sanitized ? 100 : 4'000;
  test::for_each_shipped([&](const Script& script, const Extent& extent, Cell cell) {
    if (test::orders_of(extent) <= most) return;
    if (isolde::test::sanitized && test::orders_of(extent) > 10 * most) return;
    const Exploration pruned = test::explored(script, extent, cell);
    if (pruned.sampled) return;
    const Exploration sample = test::explored(script, extent, cell, drawn);
    BOOST_TEST(sample.sampled.value() == drawn.most_runs);
    for (const auto& [outcome, group] : sample.outcomes) {
      BOOST_TEST_INFO(script.source.name() << " at " << cell.to_string() << ": " << outcome);
      BOOST_TEST(pruned.outcomes.count(outcome) == 1u);
    }
  });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
