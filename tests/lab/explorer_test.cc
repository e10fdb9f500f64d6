// The explorer: what it counts, what it finds, and how it says so.
#include "lab/explore/explorer.h"

#include <boost/test/unit_test.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "lab/explore/explore_report.h"
#include "lab/explore/orders.h"
#include "lab/explore/witness.h"
#include "tests/lab/explorations.h"

namespace isolde::lab {
namespace {

constexpr Cell rr{Isolation::repeatable_read, Locking::optimistic};
constexpr Cell rr_locking{Isolation::repeatable_read, Locking::pessimistic};
constexpr Cell ser{Isolation::serializable, Locking::optimistic};
constexpr Cell rc{Isolation::read_committed, Locking::optimistic};

const std::string write_skew =
    "setup\n  put alice on\n  put bob on\n"
    "session A\n  a1: begin\n  a2: get bob\n  a3: if $a2 = on put alice off\n  a4: commit\n"
    "session B\n  b1: begin\n  b2: get alice\n  b3: if $b2 = on put bob off\n  b4: commit\n";

Exploration explored(const Script& script, Cell cell, const ExploreOptions& options = {}) {
  return test::explored(script, extents(script).front(), cell, options);
}

ExploreOptions everything() {
  ExploreOptions options;
  options.prune = false;
  return options;
}

bool told(const std::string& text, const std::string& what) {
  return text.find(what) != std::string::npos;
}

BOOST_AUTO_TEST_SUITE(explorer)

BOOST_AUTO_TEST_CASE(write_skew_is_counted_interleaving_by_interleaving) {
  const Script script = test::parsed(write_skew);
  // Both commit unless one begins to read after the other's commit: 2 * C(6,2) = 10 orders do that
  // with the other's whole transaction ahead of the first read.
  const Exploration snapshot = explored(script, rr);
  BOOST_TEST(snapshot.interleavings == 70u);
  BOOST_TEST(snapshot.infeasible == 0u);
  BOOST_TEST(snapshot.serializable == 10u);
  BOOST_TEST(snapshot.non_serializable == 60u);
  BOOST_TEST(snapshot.anomalies.at(Phenomenon::write_skew) == 60u);
  BOOST_TEST(snapshot.executed < 10u);
  const Exploration strict = explored(script, ser);
  BOOST_TEST(strict.serializable == 70u);
  BOOST_TEST(strict.aborted == 60u);
  BOOST_TEST(strict.anomalies.empty());
}

BOOST_AUTO_TEST_CASE(an_order_that_steps_a_blocked_session_is_infeasible) {
  // b2 waits for A from a2 on: b3 must not come before a3.
  const Script script = test::parsed(
      "session A\n  a1: begin\n  a2: put x 1\n  a3: commit\n"
      "session B\n  b1: begin\n  b2: put x 2\n  b3: commit\n");
  const Cell cell{Isolation::read_committed, Locking::pessimistic};
  const Exploration found = explored(script, cell, everything());
  BOOST_TEST(found.interleavings == 20u);
  BOOST_TEST(found.infeasible + found.executed == 20u);
  BOOST_TEST(found.infeasible > 0u);
  BOOST_TEST(found.blocked > 0u);
  for (const auto& [outcome, group] : found.outcomes) {
    const auto& steps = group.schedule;
    BOOST_TEST(steps.size() == 6u);
  }
}

BOOST_AUTO_TEST_CASE(a_session_that_nobody_can_wake_makes_its_later_steps_infeasible) {
  const Script script = test::parsed(
      "session A\n  a1: begin\n  a2: put x 1\n"
      "session B\n  b1: put x 2\n  b2: get x\n");
  const Cell cell{Isolation::read_committed, Locking::pessimistic};
  const Exploration found = explored(script, cell);
  // a1 a2 b1 b2: A never commits, so b1 waits for good, and b2 never comes.
  BOOST_TEST(found.interleavings == 6u);
  BOOST_TEST(found.serializable == 5u);
  BOOST_TEST(found.infeasible == 1u);
}

BOOST_AUTO_TEST_CASE(a_lock_timeout_passes_only_when_nobody_else_can_go_on) {
  const Script script = test::parsed(
      "session A\n  a1: begin\n  a2: put x 1\n"
      "session B\n  b1: begin timeout 1ms\n  b2: put x 2\n  b3: commit\n");
  const Cell cell{Isolation::read_committed, Locking::pessimistic};
  const Exploration found = explored(script, cell, everything());
  bool timed_out = false;
  for (const auto& [outcome, group] : found.outcomes) {
    timed_out = timed_out || told(outcome, "b2=lock_timeout");
  }
  BOOST_TEST(timed_out);
  BOOST_TEST(found.infeasible + found.executed == 10u);
}

BOOST_AUTO_TEST_CASE(sessions_may_name_their_own_levels) {
  const Script script = test::parsed(
      "setup\n  put x 0\n"
      "session A\n  a1: begin serializable pessimistic\n  a2: get x\n  a3: put x $a2+1\n"
      "  a4: commit\n"
      "session B\n  b1: begin rc optimistic\n  b2: get x\n  b3: put x $b2+1\n  b4: commit\n");
  const Exploration found = explored(script, rr);
  BOOST_TEST(found.mixed);
  BOOST_TEST(found.broken_promises == 0u);
  // A read at read committed may lose A's update; A never loses B's.
  BOOST_TEST(found.anomalies.count(Phenomenon::lost_update) == 1u);
  BOOST_TEST(!explored(test::parsed(write_skew), rr).mixed);
}

BOOST_AUTO_TEST_CASE(a_violated_invariant_is_counted_and_has_a_witness_that_plays) {
  const Script script =
      test::parsed(write_skew + "invariant alice=on or bob=on @ rr\ninvariant bob=never @ ser\n");
  const Exploration found = explored(script, rr);
  BOOST_TEST(found.invariants.size() == 1u);
  BOOST_TEST(found.invariant_violations == 60u);
  const std::vector<Witness> shown = witnesses(found, test::player());
  BOOST_TEST(shown.size() == 2u);
  BOOST_TEST(shown.back().what == "invariant alice=on or bob=on");
  BOOST_TEST(shown.back().interleavings == 60u);
  const test::Played again = test::played(shown.back().script, rr);
  BOOST_TEST(again.play.passed() == 1u);
  BOOST_TEST(again.play.failed() == 0u);
}

BOOST_AUTO_TEST_CASE(the_witness_of_every_finding_shows_it_when_run_and_needs_all_its_steps) {
  std::set<std::string> seen;
  test::for_each_shipped([&](const Script& script, const Extent& extent, Cell cell) {
    const bool weakest = cell.level == Isolation::read_uncommitted;
    if (!weakest || test::orders_of(extent) > 5'000) return;
    ExploreOptions few;
    few.most_runs = 500;
    const Exploration found = test::explored(script, extent, cell, few);
    const std::vector<Witness> shown = witnesses(found, test::player());
    BOOST_TEST_INFO(script.source.name() << " at " << cell.to_string());
    BOOST_TEST(shown.size() >= found.anomalies.size());
    for (const Witness& witness : shown) {
      if (!seen.insert(witness.what).second) continue;
      BOOST_TEST_INFO(witness.script);
      const test::Played again = test::played(witness.script, cell);
      BOOST_TEST(again.play.passed() == 1u);
      BOOST_TEST(again.play.failed() == 0u);
      BOOST_TEST(witness.schedule.size() <= 12u);
    }
  });
  BOOST_TEST(seen.count("write-skew") == 1u);
  BOOST_TEST(seen.count("predicate-write-skew") == 1u);
}

BOOST_AUTO_TEST_CASE(a_witness_leaves_out_what_is_not_needed) {
  const Script script =
      test::parsed(write_skew + "session C\n  c1: begin\n  c2: put elsewhere 1\n  c3: commit\n");
  const Exploration found = explored(script, rr);
  const std::vector<Witness> shown = witnesses(found, test::player());
  BOOST_TEST(shown.size() == 1u);
  // Two transactions, of which one alone needs neither to be interrupted more than once.
  BOOST_TEST(shown.front().schedule.size() <= 8u);
  BOOST_TEST(!told(shown.front().script, "session C"));
}

BOOST_AUTO_TEST_CASE(a_drawing_repeats_itself_with_its_seed) {
  const Script script = test::parsed(write_skew);
  ExploreOptions options = everything();
  options.most_runs = 40;
  options.seed = 7;
  const Exploration once = explored(script, rr_locking, options);
  const Exploration again = explored(script, rr_locking, options);
  BOOST_TEST(once.sampled.value() == 40u);
  BOOST_TEST(!once.is_complete());
  BOOST_TEST(once.infeasible + once.serializable + once.non_serializable == 40u);
  BOOST_TEST((once.marks == again.marks));
  options.seed = 8;
  BOOST_TEST((once.marks != explored(script, rr_locking, options).marks));
}

BOOST_AUTO_TEST_CASE(a_stopped_exploration_keeps_what_it_has) {
  const Script script = test::parsed(write_skew);
  ExploreOptions options = everything();
  options.go_on = [](std::uint64_t runs) { return runs < 64; };
  const Exploration part = explored(script, rr, options);
  BOOST_TEST(part.interrupted);
  BOOST_TEST(part.executed == 64u);
  BOOST_TEST(part.serializable + part.non_serializable == 64u);
  BOOST_TEST(told(explore_text({{part, {}}}, false), "interrupted"));
}

BOOST_AUTO_TEST_CASE(a_setup_that_fails_is_a_failure_with_its_place) {
  const Script script =
      test::parsed("setup\n  put x one\n  add_and_get x 1\nsession A\n  a1: get x\n");
  const auto result = explore(script, extents(script).front(), rr, test::player(), {});
  const auto* failure = std::get_if<PlayFailure>(&result);
  BOOST_REQUIRE(failure != nullptr);
  BOOST_TEST(failure->place.value().line == 3u);
}

BOOST_AUTO_TEST_CASE(schedules_of_different_steps_are_explored_one_by_one) {
  const std::string lanes = "session A\n  a1: get x\n  a2: get y\nsession B\n  b1: put x 1\n";
  BOOST_TEST(extents(test::parsed(lanes)).size() == 1u);
  BOOST_TEST(extents(test::parsed(lanes + "schedule a1 b1\n")).front().steps[0].size() == 2u);
  const std::vector<Extent> two =
      extents(test::parsed(lanes + "schedule a1 b1\nschedule a2 b1\nschedule b1 a1\n"));
  BOOST_TEST(two.size() == 2u);
  BOOST_TEST(two[0].schedules == std::vector<std::size_t>({0, 2}),
             boost::test_tools::per_element());
  BOOST_TEST(two[1].steps[0] == std::vector<std::size_t>({1}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(counts_that_a_script_expects_are_judged) {
  const Script script = test::parsed(write_skew +
                                     "explore non_serializable=60 interleavings=70 @ rr\n"
                                     "explore write-skew=1 @ rr optimistic\n"
                                     "explore aborted=60 @ ser optimistic\n");
  const auto checks = explore_checks({{explored(script, rr), {}}, {explored(script, ser), {}}});
  BOOST_TEST(checks.size() == 3u);
  BOOST_TEST(checks[0].passed);
  BOOST_TEST(!checks[1].passed);
  BOOST_TEST(checks[1].actual == "write-skew=60");
  BOOST_TEST(checks[2].passed);
  ExploreOptions few = everything();
  few.most_runs = 5;
  BOOST_TEST(!explore_checks({{explored(script, rr, few), {}}}).front().passed);
}

BOOST_AUTO_TEST_CASE(false_aborts_are_counted_with_their_reason) {
  // A before B explains all of it, even if B commits in between; but A has read what B overwrote.
  const Script script = test::parsed(
      "setup\n  put x 0\n"
      "session A\n  a1: begin\n  a2: get x\n  a3: put y 1\n  a4: commit\n"
      "session B\n  b1: put x 1\n");
  const Exploration base = explored(script, rc);
  const Exploration strict = explored(script, ser);
  const Explored first{base, {}};
  const Explored second{strict, {}};
  const auto aborts = false_aborts({&first, &second});
  BOOST_TEST(aborts.size() == 1u);
  BOOST_TEST(aborts.front().anyway == 5u);
  BOOST_TEST(aborts.front().aborted == 2u);  // b1 between a2 and a4
  BOOST_TEST(aborts.front().reasons.at(ErrorCode::serialization_failure) == 2u);
  BOOST_TEST(told(explore_text({first, second}, false), "serialization_failure in 2: what it had"));
}

BOOST_AUTO_TEST_CASE(json_has_the_promised_shape) {
  const Script script = test::parsed(write_skew);
  std::vector<std::string> listed;
  ExploreOptions options = everything();
  options.on_run = [&](const PlayedOrder& play, const std::vector<std::size_t>&) {
    listed.push_back(interleaving_json(script, play, {0, 1, 2, 3}));
  };
  const Exploration found = explored(script, rr, options);
  const Explored whole{found, witnesses(found, test::player())};
  const auto json = nlohmann::json::parse(explore_json({whole}, {listed}));
  const auto& run = json.at("runs").at(0);
  BOOST_TEST(run.at("level") == "repeatable-read");
  BOOST_TEST(run.at("locking") == "optimistic");
  BOOST_TEST(run.at("interleavings") == 70);
  BOOST_TEST(run.at("executed") == 70);
  BOOST_TEST(run.at("anomalies").at("write-skew") == 60);
  BOOST_TEST(run.at("outcomes").size() == 70u);
  for (const char* count : {"infeasible", "serializable", "non_serializable", "blocked", "aborted",
                            "deadlocks", "invariant_violations"}) {
    BOOST_TEST(run.at(count).is_number());
  }
  BOOST_TEST(told(run.at("witness").at("write-skew").at("script"), "verdict includes write-skew"));
  const auto& outcome = run.at("outcomes").at(0);
  BOOST_TEST(outcome.at("results").at("a2") == "on");
  BOOST_TEST(outcome.at("final").at("bob").is_string());
  BOOST_TEST(outcome.at("committed").size() == 2u);
  BOOST_TEST(outcome.at("aborted").empty());
  BOOST_TEST(outcome.at("serializable").is_boolean());
  BOOST_TEST(outcome.at("anomalies").is_array());
  BOOST_TEST(outcome.at("schedule").size() == 4u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(orders)

BOOST_AUTO_TEST_CASE(each_order_has_a_number_of_its_own) {
  const Orders orders({3, 2, 2});
  BOOST_TEST(orders.all() == 210u);
  const std::vector<std::size_t> slots{0, 1, 2, 0, 1, 2, 0};
  std::set<std::uint64_t> numbers;
  const auto never = [](std::size_t, std::size_t) { return false; };
  orders.for_each_like(slots, never, [&](std::uint64_t number) { numbers.insert(number); });
  BOOST_TEST(numbers.size() == 210u);
  BOOST_TEST(*numbers.rbegin() == 209u);
  BOOST_TEST(orders.count_like(slots, never) == 210u);
  const auto always = [](std::size_t, std::size_t) { return true; };
  BOOST_TEST(orders.count_like(slots, always) == 1u);
}

BOOST_AUTO_TEST_CASE(a_partial_order_is_counted_as_its_orders_are_listed) {
  const Orders orders({3, 3});
  const std::vector<std::size_t> slots{0, 1, 0, 1, 0, 1};
  const auto some = [](std::size_t i, std::size_t j) { return i == 1 && j == 4; };
  std::uint64_t listed = 0;
  orders.for_each_like(slots, some, [&](std::uint64_t) { ++listed; });
  BOOST_TEST(orders.count_like(slots, some) == listed);
  BOOST_TEST(listed > 1u);
  BOOST_TEST(listed < 20u);
}

BOOST_AUTO_TEST_CASE(what_is_too_much_to_count_is_not_wrong) {
  BOOST_TEST(Orders({40, 40}).all() == Orders::too_many);
  BOOST_TEST(Orders({30, 30}).all() == 118'264'581'564'861'424u);
  BOOST_TEST(!Orders(std::vector<std::size_t>(30, 3)).are_countable());
  std::mt19937_64 source(1);
  BOOST_TEST(Orders({2, 1}).random(source).size() == 3u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
