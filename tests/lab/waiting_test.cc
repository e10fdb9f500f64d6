// Scripts whose steps wait: who is blocked, until when, and in which order things go on.
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "lab/play/play_json.h"
#include "lab/play/transcript.h"
#include "tests/lab/inner_places.h"
#include "tests/lab/plays.h"

namespace isolde::lab {
namespace {

using test::Played;
using test::played;

constexpr Cell pessimistic{Isolation::read_committed, Locking::pessimistic};

void check_all(const Played& run, std::size_t expected) {
  for (const Check& check : run.play.checks) {
    BOOST_TEST_INFO(check.what << ": expected " << check.expected << ", but " << check.actual);
    BOOST_TEST(check.passed);
  }
  BOOST_TEST(run.play.checks.size() == expected);
}

// "b2 blocked", "b3 deferred", "a3", "b2 woken", ... in the order in which it happened.
std::vector<std::string> order_of(const Play& play) {
  std::vector<std::string> order;
  for (const PlayEvent& event : play.events) {
    const char* const suffix = event.kind == PlayEvent::Kind::blocked    ? " blocked"
                               : event.kind == PlayEvent::Kind::deferred ? " deferred"
                               : event.kind == PlayEvent::Kind::woken    ? " woken"
                                                                         : "";
    order.push_back(event.step->name + suffix);
  }
  return order;
}

BOOST_AUTO_TEST_SUITE(waiting)

BOOST_AUTO_TEST_CASE(a_blocked_step_goes_on_when_the_holder_commits) {
  const Played run = played(R"(
setup
  put x 0
session A
  a1: begin; put x 1
  a2: commit                => ok
session B
  b1: begin
  b2: put x 2; get x        => blocked by A until a2 then 2
  b3: commit                => ok
schedule a1 b1 b2 a2 b3
final x=2
)",
                            pessimistic);
  check_all(run, 4);
  BOOST_TEST(order_of(run.play) ==
                 std::vector<std::string>({"a1", "b1", "b2 blocked", "a2", "b2 woken", "b3"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(steps_of_a_blocked_session_are_deferred_until_it_is_woken) {
  const Played run = played(R"(
session A
  a1: begin; put x 1
  a2: put y 1               => ok
  a3: commit
session B
  b1: begin; put x 2        => blocked by A
  b2: get x                 => 2
  b3: commit                => ok
session C
  c1: begin; put x 3        => blocked by A B until a3 then ok
  c2: commit                => ok
schedule a1 b1 b2 c1 b3 c2 a2 a3
final x=3 y=1
)",
                            pessimistic);
  check_all(run, 7);
  // First the woken, then the deferred, in the order in which they were.
  BOOST_TEST(order_of(run.play) ==
                 std::vector<std::string>({"a1", "b1 blocked", "b2 deferred", "c1 blocked",
                                           "b3 deferred", "c2 deferred", "a2", "a3", "b1 woken",
                                           "b2", "b3", "c1 woken", "c2"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_the_waker_still_has_to_do_in_its_step_comes_first) {
  const std::string text = R"(
session A
  a1: begin; put x 1
  a2: commit; put y 1; put y 2; get y   => 2
session B
  b1: begin; put x 2; put y 9; commit   => blocked by A until a2 then ok
schedule a1 b1 a2
final x=2 y=9
)";
  for (int round = 0; round < 100; ++round) {
    const Played run = played(text, pessimistic);
    BOOST_REQUIRE(run.play.failed() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(a_blocked_step_meets_no_plain_outcome_and_blocked_is_compared_exactly) {
  const std::string text = R"(
session A
  a1: begin; put x 1
  a2: commit
session B
  b1: put x 2   => @
session C
  c1: put y 1
schedule a1 b1 c1 a2
)";
  const auto failed = [&](const std::string& outcome) {
    std::string script = text;
    script.replace(script.find("=> @"), 4, "=> " + outcome);
    return played(script, pessimistic).play.failed();
  };
  for (const char* right : {"blocked", "blocked by A", "blocked until a2", "blocked then ok",
                            "blocked by A until a2 then ok"}) {
    BOOST_TEST_INFO(right);
    BOOST_TEST(failed(right) == 0u);
  }
  for (const char* wrong : {"ok", "blocked by C", "blocked by A C", "blocked until c1",
                            "blocked then deadlock", "skipped", "blocked by A until a2 then 2"}) {
    BOOST_TEST_INFO(wrong);
    BOOST_TEST(failed(wrong) == 1u);
  }
}

BOOST_AUTO_TEST_CASE(who_is_still_blocked_at_the_end_is_rolled_back) {
  const Played run = played(R"(
setup
  put x 0
session A
  a1: begin; put x 1
session B
  b1: begin; put y 1; put x 2; commit   => blocked by A
schedule a1 b1
final exactly x=0
outcomes unfinished=2
verdict serializable
)",
                            pessimistic);
  check_all(run, 4);
}

BOOST_AUTO_TEST_CASE(a_deferred_step_that_nothing_can_bring_to_its_turn_is_a_failure) {
  const Played run = played(R"(session A
  a1: begin; put x 1
session B
  b1: put x 2
  b2: put x 3
schedule a1 b1 b2
)",
                            pessimistic);
  BOOST_REQUIRE(run.play.failed() == 1u);
  BOOST_TEST(run.play.checks.back().place.line == 5u);
  BOOST_TEST(run.play.checks.back().actual == "session B is still blocked when the schedule ends");
}

BOOST_AUTO_TEST_CASE(a_deadlock_names_its_victim_and_its_cycle) {
  const Played run = played(R"(
session A
  a1: begin; put x 1
  a2: put y 1               => blocked by B until b2 then ok
  a3: commit                => ok
session B
  b1: begin; put y 2
  b2: put x 2               => deadlock on x with A
  b3: put z 2               => transaction_finished
  b4: rollback              => ok
schedule a1 b1 a2 b2 b3 a3 b4
final exactly x=1 y=1
outcomes deadlock=1 ok=1
)",
                            pessimistic);
  check_all(run, 7);
  BOOST_TEST(run.step("b2").deadlock.value().cycle.size() == 2u);
  BOOST_TEST(!run.step("a2").deadlock.has_value());
}

BOOST_AUTO_TEST_CASE(the_victim_may_be_somebody_who_waits) {
  const Played cycle = played(R"(
session Old
  o1: begin; put x 1
  o2: put y 1               => blocked by Young until o2 then ok
  o3: commit                => ok
session Young
  y1: begin; put y 2
  y2: put x 2               => blocked by Old until o2 then deadlock on x with Old
  y3: retry                 => ok
schedule o1 y1 y2 o2 o3 y3
)",
                              pessimistic);
  check_all(cycle, 4);
  BOOST_TEST(
      order_of(cycle.play) == std::vector<std::string>({"o1", "y1", "y2 blocked", "o2 blocked",
                                                        "y2 woken", "o2 woken", "o3", "y3"}),
      boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_retry_may_wait_as_well) {
  const Played run = played(R"(
setup
  put x 0
session A
  a1: begin rr; get x; add x 10
  a2: commit
  a3: begin; add x 100
  a4: commit                => ok
session B
  b1: begin rr; get x
  b2: add x 1               => blocked by A until a2 then write_conflict on x with A
  b3: commit                => transaction_finished
  b4: retry                 => blocked by A until a4 then write_conflict on x with A
  b5: retry                 => ok
schedule a1 b1 b2 a2 b3 a3 b4 a4 b5
final x=111
)",
                            pessimistic);
  check_all(run, 6);
}

BOOST_AUTO_TEST_CASE(a_lock_timeout_comes_where_it_is_waited_for) {
  const Played run = played(R"(
session A
  a1: begin; put x 1
  a2: commit                => ok
session B
  b1: begin timeout 1ms
  b2: put x 2               => blocked by A until c1 then lock_timeout on x with A
  b3: put y 2; commit       => ok
session C
  c1: wait B                => ok
schedule a1 b1 b2 c1 b3 a2
final x=1 y=2
)",
                            pessimistic);
  check_all(run, 5);
}

BOOST_AUTO_TEST_CASE(a_lock_timeout_comes_at_the_end_at_the_latest) {
  const Played run = played(R"(
session A
  a1: begin; put x 1
session B
  b1: begin timeout 1ms
  b2: put x 2               => blocked by A then lock_timeout
  b3: commit                => ok
schedule a1 b1 b2 b3
)",
                            pessimistic);
  check_all(run, 2);
}

BOOST_AUTO_TEST_CASE(wait_holds_a_session_back_until_another_is_not_blocked) {
  const Played run = played(R"(
session A
  a1: begin; put x 1
  a2: commit
session B
  b1: put x 2               => blocked by A until a2 then ok
session C
  c0: wait B; get x         => absent
  c1: wait B; get x         => blocked by B until a2 then 2
  c2: put done yes          => ok
schedule c0 a1 b1 c1 c2 a2
)",
                            pessimistic);
  check_all(run, 4);
  BOOST_TEST(order_of(run.play) ==
                 std::vector<std::string>({"c0", "a1", "b1 blocked", "c1 blocked", "c2 deferred",
                                           "a2", "b1 woken", "c1 woken", "c2"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_optimistic_commit_waits_for_locks_like_everybody) {
  const Played run = played(R"(
session A
  a1: begin pessimistic; put x 1
  a2: commit                => ok
session B
  b1: begin optimistic; put x 2
  b2: commit                => blocked by A until a2 then ok
schedule a1 b1 b2 a2
final x=2
)",
                            pessimistic);
  check_all(run, 3);
}

const char* const crowded = R"(
setup
  put x 0; put y 0; put z 0
session A
  a1: begin; get x for update; get y for update
  a2: commit; put z 1
session B
  b1: begin; scan x..z for update; put z 2; commit
session C
  c1: begin; scan x..z reverse for update; put z 3
  c2: commit
session D
  d1: begin; get x for share; put z 4; commit
session E
  e1: begin; get y for share; put x 5
  e2: commit
  e3: retry
schedule a1 b1 c1 d1 e1 c2 a2 e2 e3
)";

BOOST_AUTO_TEST_CASE(the_same_script_gives_the_same_transcript_a_thousand_times) {
  const Script script = test::parsed(crowded);
  const auto playground = Playground::temporary();
  std::string first;
  for (int round = 0; round < 1000; ++round) {
    const Cell cell{round % 2 == 0 ? Isolation::read_committed : Isolation::serializable,
                    Locking::pessimistic};
    const auto result = play(script, 0, cell, *playground);
    std::string text = transcript(std::get<Play>(result), *playground, {});
    if (round < 2) {
      first += text;
      BOOST_TEST(text.find("blocked by") != std::string::npos);
    } else {
      BOOST_REQUIRE(first.find(text) != std::string::npos);
    }
  }
}

BOOST_AUTO_TEST_CASE(json_tells_of_waiting_twice) {
  const Played run = played(R"(
session A
  a1: begin; put x 1
  a2: put y 1
  a3: commit
session B
  b1: begin; put y 2
  b2: put x 2
  b3: get x
schedule a1 b1 b2 b3 a2 a3
)",
                            pessimistic);
  std::vector<nlohmann::json> steps;
  std::istringstream stream(json_lines(run.play));
  for (std::string line; std::getline(stream, line);) {
    auto json = nlohmann::json::parse(line);
    if (json.at("event") == "step") steps.push_back(std::move(json));
  }
  // a1, b1, b2 blocked, b3 deferred, a2 blocked, b2 woken, a2 woken, b3, a3.
  BOOST_REQUIRE(steps.size() == 9u);
  BOOST_TEST(steps[2].at("outcome") == "blocked");
  BOOST_TEST(steps[2].at("by")[0] == "A");
  BOOST_TEST(steps[3].at("outcome") == "deferred");
  BOOST_TEST(!steps[3].contains("woken"));
  BOOST_TEST(steps[5].at("step") == "b2");
  BOOST_TEST(steps[5].at("woken") == true);
  BOOST_TEST(steps[5].at("outcome") == "deadlock");
  BOOST_TEST(steps[5].at("cycle").size() == 2u);
  BOOST_TEST(steps[6].at("step") == "a2");
  BOOST_TEST(steps[6].at("outcome") == "ok");
  BOOST_TEST(steps[7].at("step") == "b3");
  BOOST_TEST(steps[7].at("outcome") == "transaction_finished");
}

#ifdef ISOLDE_YIELD_POINTS
BOOST_FIXTURE_TEST_CASE(a_play_ends_though_a_session_that_waits_for_a_lock_was_to_be_held_behind_it,
                        InnerPlacesOfTheEngine) {
  // B comes to its place only when A is rolled back, after the play: no step would let it go.
  const Played run = played(R"(
setup
  put x 1
session A
  a1: begin; put x 2
session B
  b1: begin
  b2: hold "read: before lookup" until a1; get x for update   => blocked by A
schedule a1 b1 b2
)",
                            pessimistic);
  check_all(run, 1);
}
#endif

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
