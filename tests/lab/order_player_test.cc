// OrderPlayer: the same plays as those of play(), without its threads and its fresh databases.
#include "lab/play/order_player.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <variant>
#include <vector>

#include "lab/script/outcome.h"
#include "lab/script/shipped_scripts.h"
#include "tests/lab/plays.h"

namespace isolde::lab {
namespace {

// What can be told of a play by either of the two, one line a step.
template <typename AnyPlay>
std::string told(const AnyPlay& play) {
  std::string text;
  for (const StepRecord& record : play.steps) {
    Outcome outcome = record.outcome;
    if (outcome.blocked) outcome.blocked->until.reset();
    text.append(record.step->name).append(": ").append(to_script(outcome)).append("\n");
  }
  for (const auto& [place, value] : play.state) {
    text.append(place.first).append("/").append(place.second).append("=").append(value);
    text.append("\n");
  }
  for (const Phenomenon phenomenon : play.verdict.phenomena()) {
    text.append(name(phenomenon)).append("\n");
  }
  return text + (play.verdict.serializable ? "serializable\n" : "not serializable\n");
}

PlayedOrder swift(OrderPlayer& player, const Script& script, Cell cell,
                  const std::vector<std::size_t>& steps) {
  auto result = player.play(script, cell, steps);
  if (const auto* failure = std::get_if<PlayFailure>(&result)) {
    BOOST_FAIL(failure->error.to_string());
  }
  return std::get<PlayedOrder>(std::move(result));
}

BOOST_AUTO_TEST_SUITE(order_player)

BOOST_AUTO_TEST_CASE(every_shipped_schedule_comes_to_what_the_runner_says) {
  const auto player = OrderPlayer::open().value();
  const auto playground = Playground::temporary();
  for (const ShippedScript& shipped : shipped_scripts()) {
    const Script script = test::parsed(std::string(shipped.text), std::string(shipped.name));
    for (std::size_t schedule = 0; schedule < script.schedules.size(); ++schedule) {
      for (std::size_t index = 0; index < CellSet::cell_count; ++index) {
        const Cell cell = Cell::at(index);
        const PlayResult slow = play(script, schedule, cell, *playground);
        const PlayedOrder fast = swift(*player, script, cell, script.schedules[schedule].steps);
        BOOST_TEST_INFO(shipped.name << " at " << cell.to_string());
        BOOST_TEST(told(fast) == told(std::get<Play>(slow)));
      }
    }
  }
}

// What is done to end a play is no part of it: the retry waits for A, and goes on when A is gone.
BOOST_AUTO_TEST_CASE(a_step_that_waits_inside_a_retry_at_the_end_is_blocked) {
  const Script script = test::parsed(
      "setup\n  put x 0\nsession A\n  a1: begin; put x 2\n"
      "session B\n  b1: begin; get x\n  b2: put x 1\n  b3: retry\nsession C\n  c1: put x 5\n"
      "schedule b1 c1 b2 a1 b3\n");
  const Cell cell{Isolation::repeatable_read, Locking::pessimistic};
  const auto player = OrderPlayer::open().value();
  const PlayedOrder fast = swift(*player, script, cell, script.schedules[0].steps);
  BOOST_TEST(to_script(fast.steps.back().outcome) == "blocked by A");
  const PlayResult slow = play(script, 0, cell, *Playground::temporary());
  BOOST_TEST(told(fast) == told(std::get<Play>(slow)));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
