// Scripts whose expectations are rewritten to what happened.
#include "lab/play/update.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <variant>
#include <vector>

#include "tests/lab/plays.h"

namespace isolde::lab {
namespace {

UpdatedScript updated(const std::string& text, const std::vector<Cell>& cells) {
  const Script script = test::parsed(text);
  const auto playground = Playground::temporary();
  std::vector<Play> plays;
  for (std::size_t schedule = 0; schedule < script.schedules.size(); ++schedule) {
    for (const Cell& cell : cells) {
      auto result = play(script, schedule, cell, *playground);
      plays.push_back(std::move(std::get<Play>(result)));
    }
  }
  return updated_script(script, plays);
}

std::vector<Cell> optimistic_cells() {
  std::vector<Cell> cells;
  for (const Isolation level : all_levels) cells.push_back(test::at(level));
  return cells;
}

BOOST_AUTO_TEST_SUITE(update)

BOOST_AUTO_TEST_CASE(failed_expectations_say_what_happened_and_the_rest_stays_as_it_was) {
  const UpdatedScript result = updated(R"(# story
setup
  put x 1; keyspace ks
session A
  a1: get x    => 2   # why
  a2: get x    => ok
  a3: del y    => already_exists on y
  a4: in ks put "a b" "c=d"; scan *   => k=v
final x=7 y=3 in ks "a b"=1   # end
invariant x=5
outcomes ok=3
verdict write-skew
)",
                                       {Cell{}});
  BOOST_TEST(result.text == R"(# story
setup
  put x 1; keyspace ks
session A
  a1: get x    => 1   # why
  a2: get x    => ok
  a3: del y    => ok
  a4: in ks put "a b" "c=d"; scan *   => x=1
final x=1 y=absent in ks "a b"="c=d"   # end
invariant x=5
outcomes ok=3
verdict write-skew
)");
  BOOST_TEST(result.rewritten == 4u);
}

BOOST_AUTO_TEST_CASE(cells_that_differ_get_lines_of_their_own) {
  const UpdatedScript result = updated(R"(
setup
  put x 1
session A
  a1: begin; get x
  a2: get x    => 3
  a3: commit   => ok
session B
  b1: put x 2
schedule a1 b1 a2 a3
  final x=3    @ rr
)",
                                       optimistic_cells());
  BOOST_TEST(result.text == R"(
setup
  put x 1
session A
  a1: begin; get x
  a2: get x    => 2 @ ru optimistic | rc optimistic
               => 3 @ pessimistic
               => 1 @ rr optimistic | ser optimistic
  a3: commit   => ok
session B
  b1: put x 2
schedule a1 b1 a2 a3
  final x=2 @ rr optimistic
  final x=3 @ rr pessimistic
)");
  BOOST_TEST(test::errors_of(result.text) == "");
  BOOST_TEST(updated(result.text, optimistic_cells()).rewritten == 0u);
}

BOOST_AUTO_TEST_CASE(what_schedules_disagree_about_is_kept) {
  const std::string text =
      "session A\n a1: get x  => 5\nsession B\n b1: put x 1\n"
      "final x=9\nschedule a1\nschedule b1 a1\n";
  const UpdatedScript result = updated(text, {Cell{}});
  BOOST_TEST(result.rewritten == 0u);
  BOOST_TEST(result.text == text);
}

BOOST_AUTO_TEST_CASE(an_empty_state_and_an_error_are_spelled) {
  const UpdatedScript result = updated(
      "setup\n  put x 1\nsession A\n a1: begin; insert x 2 => ok\n a2: del x; commit\n"
      "final exactly x=1\n",
      {Cell{}});
  BOOST_TEST(result.text ==
             "setup\n  put x 1\nsession A\n a1: begin; insert x 2 => already_exists on x\n"
             " a2: del x; commit\nfinal exactly empty\n");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
