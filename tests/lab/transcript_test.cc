// Transcripts: what people see.
#include "lab/play/transcript.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "lab/text/text.h"
#include "tests/lab/plays.h"

namespace isolde::lab {
namespace {

using test::at;

// The transcript of a script in one cell.
std::string transcribed(const std::string& text, Cell cell = {}, TranscriptStyle style = {}) {
  const Script script = test::parsed(text);
  const auto playground = Playground::temporary();
  const auto run = play(script, 0, cell, *playground);
  return transcript(std::get<Play>(run), *playground, style);
}

std::size_t widest_line(const std::string& text) {
  std::size_t widest = 0;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    widest = std::max(widest, display_width(line));
  }
  return widest;
}

const std::string three_sessions = R"(
setup
  put counter 1; put "key with spaces" "some value that is rather long, for a lane"
session Alice
  a1: begin; get counter; put counter $a1+1
  a2: commit
session Bob
  b1: begin; get "key with spaces"; put counter 漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字
  b2: commit
session C
  c1: get a-very-long-key-that-does-not-fit-into-a-lane-at-all-and-has-no-spaces
schedule a1 b1 c1 a2 b2
)";

BOOST_AUTO_TEST_SUITE(transcript)

BOOST_AUTO_TEST_CASE(a_lane_for_each_session_and_the_evidence_below) {
  const std::string shown = transcribed(R"(setup
  put x 1
session A
  a1: begin; put x 2
  a2: commit
session B
  b1: begin; get x
  b2: put x 3
  b3: commit => ok
schedule a1 b1 a2 b2 b3
)");
  BOOST_TEST(shown == R"(
test.iso · repeatable-read optimistic

  setup: put x 1

  A                                       B
  ──────────────────────────────────────  ──────────────────────────────────────
  a1 begin → ok
     put x 2 → ok
                                          b1 begin → ok
                                             get x → 1
  a2 commit → ok
                                          b2 put x 3 → ok
                                          b3 commit → ✗ write_conflict
      A changed x at timestamp 2, after B's snapshot at 1.
      ✗ expected ok

  final: x=2
  verdict: serializable
  ✗ test.iso:9:17: step b3 at repeatable-read optimistic: expected ok, but it
  was write_conflict on x with A
    9 |   b3: commit => ok
      |                 ^~
)");
}

BOOST_AUTO_TEST_CASE(nothing_is_wider_than_the_terminal) {
  for (const std::size_t width : {60u, 80u, 100u}) {
    BOOST_TEST(widest_line(transcribed(three_sessions, {}, {false, width})) <= width);
  }
}

BOOST_AUTO_TEST_CASE(more_sessions_than_there_are_columns_are_still_told) {
  std::string crowd;
  for (int i = 0; i < 200; ++i) {
    const std::string number = std::to_string(i);
    crowd.append("session S").append(number).append("\n  s").append(number).append(": get x\n");
  }
  const std::string shown = transcribed(crowd);
  BOOST_TEST(shown.find("s199 get x") != std::string::npos);
  BOOST_TEST(widest_line(shown) < 200 * 20);
}

BOOST_AUTO_TEST_CASE(color_adds_escapes_and_nothing_else) {
  const std::string plain = transcribed(three_sessions);
  std::string colored = transcribed(three_sessions, {}, {true, 80});
  BOOST_TEST(colored != plain);
  for (std::size_t at = colored.find('\x1b'); at != std::string::npos; at = colored.find('\x1b')) {
    colored.erase(at, colored.find('m', at) - at + 1);
  }
  BOOST_TEST(colored == plain);
}

BOOST_AUTO_TEST_CASE(the_same_script_gives_the_same_transcript) {
  const std::string first = transcribed(three_sessions, at(Isolation::serializable));
  for (int round = 0; round < 1000; ++round) {
    BOOST_REQUIRE(transcribed(three_sessions, at(Isolation::serializable)) == first);
  }
}

BOOST_AUTO_TEST_CASE(a_range_conflict_names_the_range_and_who_came_in) {
  const std::string shown = transcribed(R"(
session A
  a1: begin serializable; count room*
  a2: put a 1; commit
session B
  b1: put room1 taken
schedule a1 b1 a2
)");
  BOOST_TEST_INFO(shown);
  BOOST_TEST(shown.find("✗ serialization_failure") != std::string::npos);
  BOOST_TEST(shown.find("B changed room") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_open_transaction_at_the_end_is_mentioned) {
  const std::string shown = transcribed("session A\n a1: begin; put x 1\n");
  BOOST_TEST(shown.find("A did not commit, and was rolled back at the end") != std::string::npos);
  BOOST_TEST(shown.find("final: nothing") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
