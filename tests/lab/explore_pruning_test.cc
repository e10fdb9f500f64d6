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

// What a pruning would be that had forgotten one reason why two slots depend on each other.
struct Omission {
  const char* name;
  bool (*independent)(const Footprint&, const Footprint&);
};

template <typename Forget>
bool independent_without(Footprint a, Footprint b, const Forget& forget) {
  forget(a);
  forget(b);
  return independent(a, b);
}

void forget_channel(Footprint& footprint, std::uint8_t channel) {
  for (Access& access : footprint.accesses) {
    access.reads = static_cast<std::uint8_t>(access.reads & ~channel);
    access.writes = static_cast<std::uint8_t>(access.writes & ~channel);
  }
}

const Omission omissions[] = {
    {"a session's own order",
     [](const Footprint& a, const Footprint& b) {
       return independent_without(a, b, [](Footprint& each) { each.sessions = 0; });
     }},
    {"commits and snapshots",
     [](const Footprint& a, const Footprint& b) {
       return independent_without(a, b, [](Footprint& each) { each.takes_snapshot = false; });
     }},
    {"who is the youngest",
     [](const Footprint& a, const Footprint& b) {
       return independent_without(a, b, [](Footprint& each) { each.may_lock = false; });
     }},
    {"who waited first",
     [](const Footprint& a, const Footprint& b) {
       return independent_without(a, b, [](Footprint& each) { each.blocks = false; });
     }},
    {"committed versions",
     [](const Footprint& a, const Footprint& b) {
       return independent_without(a, b,
                                  [](Footprint& each) { forget_channel(each, Access::committed); });
     }},
    {"locks",
     [](const Footprint& a, const Footprint& b) {
       return independent_without(a, b,
                                  [](Footprint& each) { forget_channel(each, Access::locks); });
     }},
    {"what is uncommitted",
     [](const Footprint& a, const Footprint& b) {
       return independent_without(
           a, b, [](Footprint& each) { forget_channel(each, Access::uncommitted); });
     }},
    {"that a range is more than its first key",
     [](const Footprint& a, const Footprint& b) {
       return independent_without(a, b, [](Footprint& each) {
         for (Access& access : each.accesses) access.upper = access.lower + '\0';
       });
     }},
};

BOOST_AUTO_TEST_SUITE(explore_pruning)

// The comparison itself is put to the test: each omission must make it fail for some script. Two
// reasons are missing: real time matters only where an engine shows stale reads, which this one
// does not; and no script that is this small has a step that touches everything.
BOOST_AUTO_TEST_CASE(a_pruning_that_forgets_a_reason_does_not_agree_with_all_interleavings) {
  constexpr std::uint64_t most = 1'000;
  std::map<std::string, std::string> noticed;  // omission -> where
  test::for_each_shipped([&](const Script& script, const Extent& extent, Cell cell) {
    if (noticed.size() == std::size(omissions) || test::orders_of(extent) > most) return;
    std::string all;
    for (const Omission& omission : omissions) {
      if (noticed.count(omission.name) != 0) continue;
      if (all.empty()) {
        ExploreOptions everything;
        everything.prune = false;
        all = told(test::explored(script, extent, cell, everything));
      }
      ExploreOptions forgetful;
      forgetful.independent = omission.independent;
      if (told(test::explored(script, extent, cell, forgetful)) != all) {
        noticed[omission.name] = script.source.name() + " at " + cell.to_string();
      }
    }
  });
  for (const Omission& omission : omissions) {
    BOOST_TEST_MESSAGE(omission.name << ": " << noticed[omission.name]);
    BOOST_TEST(noticed[omission.name] != "", omission.name);
  }
}

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
