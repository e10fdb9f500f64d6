// Drafts, trials and the shrinker; and what scripts need for them: a sync that fails, steps that
// stand inside the engine, a verdict on promises.
#include "lab/stress/shrinker.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <string>

#include "lab/check/checker.h"
#include "lab/history/history_format.h"
#include "lab/stress/draft_of_history.h"
#include "tests/lab/inner_places.h"
#include "tests/lab/plays.h"

using namespace isolde;
using namespace isolde::lab;
using namespace isolde::lab::test;

namespace {

History history_of(const std::string& lines) {
  auto parsed = parse_history(lines);
  BOOST_REQUIRE(std::holds_alternative<History>(parsed));
  return std::get<History>(std::move(parsed));
}

std::string begin(int txn, const std::string& level) {
  return R"({"event":"begin","txn":)" + std::to_string(txn) + R"(,"level":")" + level + "\"}\n";
}
std::string read(int txn, const std::string& key, int from) {
  return R"({"event":"read","txn":)" + std::to_string(txn) + R"(,"key":")" + key + R"(","from":)" +
         std::to_string(from) + "}\n";
}
std::string write(int txn, const std::string& key) {
  return R"({"event":"write","txn":)" + std::to_string(txn) + R"(,"key":")" + key + "\"}\n";
}
std::string commit(int txn, int at) {
  return R"({"event":"commit","txn":)" + std::to_string(txn) + R"(,"ts":)" + std::to_string(at) +
         "}\n";
}

// Two increments of x, of which one is lost, among thirty transactions that have nothing to do with
// it.
std::string lost_update(const std::string& level) {
  std::string lines = begin(1, level) + begin(2, level) + read(1, "x", 0) + read(2, "x", 0);
  int at = 0;
  for (int other = 10; other < 40; ++other) {
    const std::string key = "k" + std::to_string(other % 7);
    lines += begin(other, level) + write(other, key) + commit(other, ++at);
  }
  lines += write(1, "x") + write(1, "y") + commit(1, at + 1) + write(2, "x") + commit(2, at + 2);
  return lines;
}

Finding anomaly(const std::string& name) { return {Finding::Kind::anomaly, name, {}}; }

}  // namespace

BOOST_FIXTURE_TEST_SUITE(shrinker, InnerPlacesOfTheEngine)

BOOST_AUTO_TEST_CASE(a_history_becomes_the_smallest_script_that_shows_the_same) {
  const History history = history_of(lost_update("read-committed"));
  Trial trial(true);
  const auto shrunken = shrink(history, anomaly("lost-update"), trial);
  BOOST_REQUIRE(shrunken);
  // One of the two writes can commit by itself: begin, get, the other's put, put, commit.
  BOOST_TEST(shrunken->draft.moves.size() == 5u);
  const std::string text = to_script(*shrunken, "Shrunk.");
  BOOST_TEST(text.find("verdict includes lost-update\n") != std::string::npos, text);
  BOOST_TEST(played(text).play.failed() == 0u);
}

BOOST_AUTO_TEST_CASE(what_this_engine_does_not_do_is_not_shrunk) {
  const History history = history_of(lost_update("repeatable-read"));
  const std::vector<Finding> found = findings(check(history), true);
  BOOST_REQUIRE(!found.empty());
  BOOST_TEST((found.front().kind == Finding::Kind::promise));
  Trial trial;
  BOOST_TEST(!shrink(history, found.front(), trial));
  BOOST_TEST(trial.plays() > 0u);
}

// An observer is told of a read once it is done: meanwhile others have committed what it missed.
BOOST_AUTO_TEST_CASE(a_snapshot_is_told_before_the_commit_that_it_misses) {
  const History history =
      history_of(begin(1, "repeatable-read") + begin(2, "read-committed") + write(2, "x") +
                 commit(2, 1) + read(1, "x", 0) + read(1, "y", 0) + commit(1, 2));
  const Draft draft = draft_of(history, {0, 1}, {});
  BOOST_TEST(draft.to_script({}, {}) ==
             "setup\n  put x 0\n  put y 0\nsession A\n  a1: begin rr optimistic\n  a2: get x\n"
             "  a3: get y\n  a4: commit\nsession B\n  b1: begin rc optimistic\n  b2: put x 1\n"
             "  b3: commit\nschedule a1 b1 b2 a2 b3 a3 a4\n");
}

// Its acknowledgement may come long after others have the locks.
BOOST_AUTO_TEST_CASE(a_commit_is_told_before_a_pessimist_overwrites_it) {
  const std::string pessimist =
      R"({"event":"begin","txn":2,"level":"read-committed","locking":"pessimistic"})"
      "\n";
  const History history = history_of(begin(1, "read-committed") + write(1, "x") + pessimist +
                                     write(2, "x") + commit(1, 1) + commit(2, 2));
  const Draft draft = draft_of(history, {0, 1}, {});
  BOOST_TEST(draft.to_script({}, {}) ==
             "session A\n  a1: begin rc optimistic\n  a2: put x 1\n  a3: commit\nsession B\n"
             "  b1: begin rc pessimistic\n  b2: put x 2\n  b3: commit\n"
             "schedule a1 a2 b1 a3 b2 b3\n");
}

BOOST_AUTO_TEST_CASE(an_insert_that_failed_is_told_as_the_read_that_it_was) {
  const auto conditional = [](const std::string& key) {
    return R"({"event":"read","txn":1,"key":")" + key +
           R"(","from":0,"conditional":true})"
           "\n";
  };
  const History history =
      history_of(begin(1, "repeatable-read") + conditional("x") + conditional("y") +
                 R"({"event":"write","txn":1,"key":"y","kind":"add-and-get"})"
                 "\n" +
                 commit(1, 1));
  const Draft draft = draft_of(history, {0}, {});
  BOOST_TEST(draft.to_script({}, {}) ==
             "setup\n  put x 0\n  put y 0\nsession A\n  a1: begin rr optimistic\n  a2: get x\n"
             "  a3: add_and_get y 1\n  a4: commit\nschedule a1 a2 a3 a4\n");
}

// Thirty transactions read what was aborted, as they may; further on an update is lost.
BOOST_AUTO_TEST_CASE(a_broken_promise_is_shrunk_whatever_else_there_is_in_the_history) {
  std::string lines = begin(1, "read-uncommitted") + write(1, "z");
  for (int reader = 2; reader < 32; ++reader) {
    lines += begin(reader, "read-uncommitted") + read(reader, "z", 1) + commit(reader, 0);
  }
  lines += "{\"event\":\"abort\",\"txn\":1}\n";
  const std::string level = "read-committed";
  lines += begin(100, level) + read(100, "x", 0) + begin(101, level) + write(101, "x") +
           commit(101, 1) + write(100, "x") + commit(100, 2);
  Trial trial(true);
  const auto shrunken = shrink(history_of(lines), anomaly("lost-update"), trial);
  BOOST_REQUIRE(shrunken);
  BOOST_TEST(trial.plays() < 100u);
}

BOOST_AUTO_TEST_CASE(nothing_of_what_is_left_can_be_left_out) {
  const History history = history_of(lost_update("read-committed"));
  const Finding wanted = anomaly("lost-update");
  Trial trial(true);
  const auto shrunken = shrink(history, wanted, trial);
  BOOST_REQUIRE(shrunken);
  for (std::size_t move = 0; move < shrunken->draft.moves.size(); ++move) {
    BOOST_TEST(!trial.shows(shrunken->draft.without({move}), wanted));
  }
}

BOOST_AUTO_TEST_CASE(an_undone_write_is_told_with_its_savepoint) {
  const std::string lines = begin(1, "read-committed") + begin(2, "read-committed") +
                            read(1, "x", 0) + write(1, "z") +
                            "{\"event\":\"undo\",\"txn\":1,\"count\":1}\n" + write(2, "x") +
                            commit(2, 1) + write(1, "x") + commit(1, 2);
  Trial trial(true);
  BOOST_TEST(shrink(history_of(lines), anomaly("lost-update"), trial).has_value());
}

BOOST_AUTO_TEST_CASE(a_draft_is_spelled_with_its_sessions_and_holds) {
  Draft draft;
  draft.setup = {"put x 1"};
  draft.moves = {{7, "begin rc optimistic"}, {3, "get x"}, {7, "commit", "commit: validated", 9}};
  draft.moves.push_back({3, "get x"});
  BOOST_TEST(draft.to_script("Why.", {"verdict promised"}) ==
             "# Why.\nsetup\n  put x 1\nsession A\n  a1: begin rc optimistic\n"
             "  a2: hold \"commit: validated\" until b2; commit\nsession B\n  b1: get x\n"
             "  b2: get x\nschedule a1 b1 a2 b2\nverdict promised\n");
}

BOOST_AUTO_TEST_CASE(a_step_stands_inside_the_engine_until_the_step_it_names) {
#ifdef ISOLDE_YIELD_POINTS
  const Played result = played(
      "setup\n  put x 1\nsession A\n  a1: begin rc\n  a2: put x 2\n"
      "  a3: hold \"commit: installed\" until b2; commit\nsession B\n  b1: get x\n  b2: get x\n"
      "  b3: get x\nschedule a1 a2 a3 b1 b2 b3\nverdict promised\n");
  BOOST_TEST(result.outcome("b1") == "1");
  BOOST_TEST(result.outcome("b2") == "1");
  BOOST_TEST(result.outcome("a3") == "blocked until b2 then ok");
  BOOST_TEST(result.outcome("b3") == "2");
  BOOST_TEST(result.play.failed() == 0u);
#endif
}

BOOST_AUTO_TEST_CASE(who_needs_what_a_held_step_holds_lets_it_go_on_first) {
#ifdef ISOLDE_YIELD_POINTS
  // Between validation and installation the mutex of all commits is held.
  const Played result = played(
      "session A\n  a1: put x 1\n  a2: hold \"commit: validated\" until b2; put x 2\nsession B\n"
      "  b1: put x 3\n  b2: get x\nschedule a1 a2 b1 b2\nfinal x=2\n");
  BOOST_TEST(result.outcome("a2") == "blocked until b1 then ok");
  BOOST_TEST(result.play.failed() == 0u);
#endif
}

BOOST_AUTO_TEST_CASE(a_hold_that_nobody_comes_by_changes_nothing) {
#ifdef ISOLDE_YIELD_POINTS
  const Played result = played(
      "session A\n  a1: hold \"no such place\" until b1; put x 1\nsession B\n  b1: get x\n"
      "schedule a1 b1\n");
  BOOST_TEST(result.outcome("a1") == "ok");
  BOOST_TEST(result.outcome("b1") == "1");
#endif
}

BOOST_AUTO_TEST_CASE(without_places_inside_the_engine_nothing_can_be_held) {
  set_inner_places(nullptr);
  const Played result = played(
      "session A\n  a1: hold \"commit: validated\" until a2; put x 1\n  a2: get x\n"
      "schedule a1 a2\n");
  BOOST_TEST(result.outcome("a1") == "invalid_argument");
}

BOOST_AUTO_TEST_CASE(a_commit_whose_sync_fails_is_in_doubt_and_gone_for_who_comes_later) {
  const Played result = played(
      "setup\n  put x 1\nsession A\n  a1: fail next-sync\n  a2: put x 2\nsession B\n"
      "  b1: get x\n  b2: put x 3\nschedule a1 a2 b1 b2\nverdict promised\n");
  BOOST_TEST(result.outcome("a2") == "commit_outcome_unknown");
  BOOST_TEST(result.outcome("b1") == "1");
  BOOST_TEST(result.outcome("b2") == "database_failed");
  BOOST_TEST(result.play.failed() == 0u);
}

// The dirty read came before the commit began: it is no sign that the commit has happened.
BOOST_AUTO_TEST_CASE(a_dirty_read_of_what_is_in_doubt_later_breaks_no_promise) {
  const Played result = played(
      "setup\n  put x 1\nsession A\n  a1: begin ru\n  a2: put x 2\n  a3: commit\nsession B\n"
      "  b1: begin ru\n  b2: get x\n  b3: commit\nsession C\n  c1: fail next-sync\n"
      "schedule a1 b1 a2 c1 b2 b3 a3\nverdict promised\n");
  BOOST_TEST(result.outcome("b2") == "2");
  BOOST_TEST(result.outcome("a3") == "commit_outcome_unknown");
  BOOST_TEST(result.play.failed() == 0u);
}

BOOST_AUTO_TEST_CASE(a_weak_level_that_keeps_its_word_is_promised_though_not_serializable) {
  const Played result = played(
      "setup\n  put x 1\nsession A\n  a1: begin rc\n  a2: get x\n  a3: put x 2\n  a4: commit\n"
      "session B\n  b1: put x 3\nschedule a1 a2 b1 a3 a4\nverdict promised\n"
      "verdict not serializable\n");
  BOOST_TEST(result.play.failed() == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
