// Scripts played on the engine: what steps return, how transactions end, what is judged.
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "lab/play/play_json.h"
#include "tests/lab/plays.h"

namespace isolde::lab {
namespace {

using test::at;
using test::Played;
using test::played;

BOOST_AUTO_TEST_SUITE(play_schedule)

BOOST_AUTO_TEST_CASE(every_command_does_what_it_says) {
  const Played run = played(R"(
setup
  put a 1; put b 2; put c 30; insert a 9
session S
  s1: begin
  s2: get a
  s3: get nothing
  s4: put d 4
  s5: insert a 5
  s6: del c
  s7: add_and_get a 10
  s8: add fresh -2
  s9: add b x
  s10: cas b 2 3
  s11: cas b 2 4
  s12: scan *
  s13: scan a..c reverse limit 1
  s14: count * where value >= 3
  s15: sum *
  s16: scan x*
  s17: put word hello; sum *
  s18: if $s2 = 1 put a $s2+$s7
  s19: if $s3 = absent get a
  s20: if $s2 > 1 put a 100
  s21: get a; put e $s21+1; get e
  s22: commit
)");
  const std::vector<std::pair<std::string, std::string>> expected{
      {"s2", "1"},
      {"s3", "absent"},
      {"s4", "ok"},
      {"s5", "already_exists on a"},
      {"s6", "ok"},
      {"s7", "11"},
      {"s8", "ok"},
      {"s9", "invalid_argument"},
      {"s10", "ok"},
      {"s11", "compare_failed on b"},
      {"s12", "a=11 b=3 d=4 fresh=-2"},
      {"s13", "b=3"},
      {"s14", "3"},
      {"s15", "16"},
      {"s16", "empty"},
      {"s17", "invalid_argument"},
      {"s18", "ok"},
      {"s19", "12"},
      {"s20", "skipped"},
      {"s21", "13"},
      {"s22", "ok"},
  };
  for (const auto& [step, outcome] : expected) {
    BOOST_TEST_INFO(step);
    BOOST_TEST(run.outcome(step) == outcome);
  }
  BOOST_TEST(run.play.state.at({"default", "e"}) == "13");
  BOOST_TEST(run.play.state.count({"default", "c"}) == 0u);
}

BOOST_AUTO_TEST_CASE(savepoints_undo_and_release_by_name_innermost_first) {
  const Played run = played(R"(
session S
  s1: begin; put x 1; savepoint p
  s2: put x 2; savepoint p; put x 3
  s3: rollback to p; get x      => 2
  s4: release p; rollback to p; get x => 1
  s5: rollback to q             => invalid_argument
  s6: release p; release p      => invalid_argument
  s7: get x; commit             => 1
final exactly x=1
)");
  BOOST_TEST(run.play.failed() == 0u);
  BOOST_TEST(run.play.passed() == 6u);
}

BOOST_AUTO_TEST_CASE(outside_a_transaction_each_command_commits_by_itself) {
  const Played run = played("session A\n a1: put x 1\n a2: rollback\nsession B\n b1: get x\n");
  BOOST_TEST(run.outcome("b1") == "1");
  BOOST_TEST(run.outcome("a2") == "transaction_finished");
  BOOST_TEST(run.play.endings.at("A").empty());
}

BOOST_AUTO_TEST_CASE(after_an_abort_nothing_commits_by_accident) {
  const Played run = played(R"(
setup
  put x 0
session A
  a1: begin; get x; put x 1
  a2: commit                => write_conflict on x with B
  a3: put y 1               => transaction_finished
  a4: get x                 => transaction_finished
  a5: commit                => transaction_finished
  a6: rollback              => ok
  a7: put z 1               => ok
session B
  b1: put x 2
schedule a1 b1 a2 a3 a4 a5 a6 a7
final exactly x=2 z=1
outcomes write_conflict=1
)");
  BOOST_TEST(run.play.failed() == 0u);
  const Error& error = *run.step("a2").outcome.error;
  BOOST_TEST(error.evidence().self.value().label == "A");
  BOOST_TEST(error.evidence().snapshot.has_value());
  BOOST_TEST(error.evidence().conflict.has_value());
}

BOOST_AUTO_TEST_CASE(a_step_stops_at_its_first_error) {
  const Played run =
      played("session A\n a1: begin; insert x 1; insert x 2; put y 1\n a2: commit\n");
  BOOST_TEST(run.outcome("a1") == "already_exists on x");
  BOOST_TEST(run.step("a1").commands.size() == 3u);
  BOOST_TEST(run.play.state.size() == 1u);
}

BOOST_AUTO_TEST_CASE(begin_takes_the_level_of_the_run_unless_it_names_one) {
  const std::string text = R"(
setup
  put x 1
session A
  a1: begin; get x
  a2: get x
session C
  c1: begin snapshot; get x
  c2: get x
session B
  b1: put x 2
schedule a1 c1 b1 a2 c2
)";
  const Played weak = played(text, at(Isolation::read_committed));
  BOOST_TEST(weak.outcome("a2") == "2");
  BOOST_TEST(weak.outcome("c2") == "1");
  const Played strong = played(text, at(Isolation::serializable));
  BOOST_TEST(strong.outcome("a2") == "1");
  BOOST_TEST(bool(strong.play.endings.at("A").front().kind == Ending::Kind::unfinished));
}

BOOST_AUTO_TEST_CASE(read_uncommitted_sees_what_is_not_committed) {
  const std::string text =
      "session A\n a1: begin; put x 1\n a2: rollback\nsession B\n b1: begin; get x\n"
      "schedule a1 b1 a2\n";
  BOOST_TEST(played(text, at(Isolation::read_uncommitted)).outcome("b1") == "1");
  BOOST_TEST(played(text, at(Isolation::read_committed)).outcome("b1") == "absent");
}

BOOST_AUTO_TEST_CASE(a_second_begin_is_refused_and_the_transaction_goes_on) {
  const Played run = played("session A\n a1: begin; put x 1\n a2: begin\n a3: commit\n");
  BOOST_TEST(run.outcome("a2") == "invalid_argument");
  BOOST_TEST(run.outcome("a3") == "ok");
}

BOOST_AUTO_TEST_CASE(a_read_only_transaction_refuses_writes) {
  const Played run = played("session A\n a1: begin read only\n a2: put x 1\n a3: commit\n");
  BOOST_TEST(run.outcome("a2") == "read_only");
  BOOST_TEST(run.outcome("a3") == "ok");
}

BOOST_AUTO_TEST_CASE(keyspaces_are_apart_and_named_by_in) {
  const Played run = played(R"(
setup
  keyspace stock
  put apple 1; in stock put apple 2
session A
  a1: get apple                       => 1
  a2: in stock get apple              => 2
  a3: if $a1 = 1 in stock del apple   => ok
  a4: in nowhere get apple            => keyspace_not_found
final exactly apple=1
final in stock apple=absent
invariant in stock count * = 0 and count * = 1
)");
  BOOST_TEST(run.play.failed() == 0u);
}

BOOST_AUTO_TEST_CASE(a_checkpoint_changes_nothing_that_a_script_sees) {
  const Played run = played(R"(
setup
  put x 1; checkpoint
session A
  a1: begin; get x
  a2: checkpoint; get x     => 1
session B
  b1: put x 2; checkpoint
schedule a1 b1 a2
final x=2
)");
  BOOST_TEST(run.play.failed() == 0u);
}

BOOST_AUTO_TEST_CASE(wrong_expectations_fail_and_tell_what_was_there) {
  const Played run = played(R"(setup
  put x 1
session A
  a1: get x                 => 2
  a2: put y 1               => already_exists
final x=2 z=3
final exactly y=1
invariant sum * = 3
invariant sum * = 2
outcomes ok=1
schedule a1 a2
)");
  std::vector<std::string> failed;
  for (const Check& check : run.play.checks) {
    if (!check.passed) failed.push_back(std::to_string(check.place.line) + ' ' + check.actual);
  }
  BOOST_TEST(failed == std::vector<std::string>({"4 1", "5 ok", "6 x=1 z=absent", "7 x=1",
                                                 "8 it does not hold", "10 no transactions"}),
             boost::test_tools::per_element());
  BOOST_TEST(run.play.passed() == 1u);
}

BOOST_AUTO_TEST_CASE(expectations_of_other_cells_are_not_judged) {
  const Played run = played(
      "session A\n a1: get x => 1 @ rc | ser pessimistic\n    => absent @ rr optimistic\n"
      "final x=1 @ ru\n");
  BOOST_TEST(run.play.checks.size() == 1u);
  BOOST_TEST(run.play.failed() == 0u);
}

BOOST_AUTO_TEST_CASE(add_answers_nothing_and_add_and_get_the_sum) {
  for (const Cell cell : test::all_cells()) {
    const Played run = played(R"(
setup
  put n 1; put t ten
session A
  a1: begin; add n 2      => ok
  a2: get n               => 3
  a3: add_and_get n $a2   => 6
  a4: commit              => ok
  a5: begin; add t 1      => ok
  a6: get t               => ten
  a7: commit              => write_conflict on t
  a8: begin
  a9: add_and_get t 1     => invalid_argument on t
  a10: add none -1        => ok
  a11: scan *             => n=6 none=-1 t=ten
  a12: commit             => ok
final exactly n=6 none=-1 t=ten
verdict serializable
)",
                              cell);
    BOOST_TEST(run.play.failed() == 0u);
    BOOST_TEST(run.play.checks.size() == 13u);
  }
}

// Issue 13, defect 5: the answer is what is committed, or the commit fails.
BOOST_AUTO_TEST_CASE(two_who_add_are_not_told_the_same_number_and_both_committed) {
  for (const Cell cell : test::all_cells()) {
    const Played run = played(R"(
session A
  a1: begin; add_and_get n 1
  a2: commit
session B
  b1: begin; add_and_get n 1   => 1 @ optimistic
                               => blocked by A until a2 then 2 @ pessimistic
  b2: commit                   => write_conflict on n with A @ ru optimistic | rc optimistic | rr optimistic
                               => serialization_failure on n with A @ ser optimistic
                               => ok @ pessimistic
schedule a1 b1 a2 b2
final n=1 @ optimistic
final n=2 @ pessimistic
verdict serializable
)",
                              cell);
    BOOST_TEST(run.play.failed() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(each_schedule_begins_with_a_fresh_setup) {
  const Script script = test::parsed(R"(
setup
  put x 1
session A
  a1: add_and_get x 1   => 2
schedule a1
final exactly x=2
schedule a1
final exactly x=2
)");
  const auto playground = Playground::temporary();
  for (const std::size_t schedule : {0, 1, 0}) {
    const auto run = play(script, schedule, {}, *playground);
    BOOST_TEST(std::get<Play>(run).failed() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(a_setup_that_fails_is_told_with_its_place) {
  const Script script =
      test::parsed("setup\n  put x one\n  add_and_get x 1\nsession A\n a1: get x\n");
  const auto playground = Playground::temporary();
  const auto run = play(script, 0, {}, *playground);
  const auto& failure = std::get<PlayFailure>(run);
  BOOST_TEST(failure.place.value().line == 3u);
  BOOST_TEST(bool(failure.error.code() == ErrorCode::invalid_argument));
}

BOOST_AUTO_TEST_CASE(an_interrupted_run_ends_as_cancelled) {
  const Script script = test::parsed("session A\n a1: begin\n a2: put x 1\n");
  const auto playground = Playground::temporary();
  int asked = 0;
  const auto run = play(script, 0, {}, *playground, [&] { return ++asked == 2; });
  BOOST_TEST(bool(std::get<PlayFailure>(run).error.code() == ErrorCode::cancelled));
}

const char* const lost_update = R"(
setup
  put x 10
session A
  a1: begin
  a2: get x
  a3: put x $a2+1
  a4: commit
session B
  b1: begin
  b2: get x
  b3: put x $b2+1
  b4: commit
schedule a1 b1 a2 b2 a3 b3 a4 b4
verdict lost-update          @ ru | rc
verdict serializable         @ rr | ser
)";

BOOST_AUTO_TEST_CASE(the_verdict_comes_from_the_checker) {
  for (const Isolation level : all_levels) {
    const Played run = played(lost_update, at(level));
    BOOST_TEST_INFO(name(level));
    BOOST_TEST(run.play.passed() == 1u);
    BOOST_TEST(run.play.failed() == 0u);
  }
}

BOOST_AUTO_TEST_CASE(wrong_verdicts_fail) {
  const std::string text =
      std::string(lost_update).substr(0, std::string(lost_update).find("verdict"));
  const auto failed = [&](const std::string& expectation, Isolation level) {
    return played(text + "verdict " + expectation + "\n", at(level)).play.failed();
  };
  for (const std::string wrong :
       {"serializable", "write-skew", "lost-update write-skew", "includes phantom"}) {
    BOOST_TEST_INFO(wrong);
    BOOST_TEST(failed(wrong, Isolation::read_committed) == 1u);
  }
  for (const std::string wrong : {"not serializable", "lost-update", "includes lost-update"}) {
    BOOST_TEST_INFO(wrong);
    BOOST_TEST(failed(wrong, Isolation::repeatable_read) == 1u);
  }
  for (const std::string right : {"lost-update", "includes lost-update", "not serializable"}) {
    BOOST_TEST_INFO(right);
    BOOST_TEST(failed(right, Isolation::read_committed) == 0u);
  }
}

BOOST_AUTO_TEST_CASE(cursors_walk_what_scan_would_return) {
  const Played run = played(R"(
setup
  put a 1; put b 2; put c 3; put d 4; keyspace ks; in ks put z 26
session S
  s1: open c scan *                       => transaction_finished
  s2: begin
  s3: open c scan a..d where value >= 2 reverse limit 2
  s4: next c                              => c=3
  s5: put $s4.key $s4+10; next c          => b=2
  s6: next c                              => empty
  s7: open c scan *                       => invalid_argument
  s8: close c; in ks open c scan *; next c => z=26
  s9: next other                          => invalid_argument
  s10: close other                        => invalid_argument
  s11: commit
  s12: next c                             => transaction_finished
  s13: begin; next c                      => invalid_argument
final c=13
)");
  for (const Check& check : run.play.checks) {
    BOOST_TEST_INFO(check.what << ": expected " << check.expected << ", but " << check.actual);
    BOOST_TEST(check.passed);
  }
  BOOST_TEST(run.play.checks.size() == 11u);
}

BOOST_AUTO_TEST_CASE(a_retry_runs_the_aborted_transaction_again_from_its_begin) {
  const Played run = played(R"(
setup
  put x 10
session A
  a1: put y 0; begin; get x
  a2: put x $a1+1; insert y 9; put never 1
  a3: commit                  => write_conflict on x with B
  a4: retry                   => ok
  a5: retry                   => skipped
  a6: get x                   => 21
session B
  b1: put x 20
schedule a1 b1 a2 a3 a4 a5 a6
final exactly x=21 y=0
outcomes ok=1 write_conflict=1
)");
  for (const Check& check : run.play.checks) {
    BOOST_TEST_INFO(check.what << ": expected " << check.expected << ", but " << check.actual);
    BOOST_TEST(check.passed);
  }
  // begin, get, put, insert (refused as before, which ends its step), commit.
  BOOST_TEST(run.step("a4").commands.size() == 5u);
}

BOOST_AUTO_TEST_CASE(a_retry_may_be_aborted_and_retried_again) {
  const Played run = played(R"(
setup
  put x 0
session A
  a1: begin; get x
  a2: add_and_get x 1
  a3: commit             => write_conflict
  a4: retry              => ok
  a5: if $a2 > 5 retry   => skipped
session B
  b1: put x 5
session C
  c1: begin; get x; put x 7
  c2: commit             => write_conflict
  c3: get x              => transaction_finished
  c4: rollback; retry    => ok
schedule a1 c1 b1 a2 a3 a4 a5 c2 c3 c4
final x=6
)");
  for (const Check& check : run.play.checks) {
    BOOST_TEST_INFO(check.what << ": expected " << check.expected << ", but " << check.actual);
    BOOST_TEST(check.passed);
  }
}

BOOST_AUTO_TEST_CASE(an_existing_database_is_played_in_without_being_touched) {
  auto directory = TemporaryDirectory::create("isolde-test-");
  BOOST_REQUIRE(directory);
  auto database = Database::open(directory->path() / "db", {.durability = Durability::none()});
  BOOST_REQUIRE(database);
  const Keyspace packages = database->keyspace("packages").value();
  for (const char* name : {"bash", "libc6", "libz"}) {
    database->transact([&](Transaction& txn) { return txn.put(packages, name, "1.0"); }).value();
  }
  const Script script = test::parsed(R"(
setup
  insert bash 0.0; keyspace other
session A
  a1: get bash              => 1.0
  a2: count lib*            => 2
  a3: put bash 2.0; del libz; in other put x 1
final bash=2.0 libz=absent libc6=1.0 in other x=1
)");
  {
    auto playground = Playground::inside(*database, "packages");
    BOOST_REQUIRE(playground);
    for (int round = 0; round < 2; ++round) {
      const auto run = play(script, 0, {}, **playground);
      const Play& finished = std::get<Play>(run);
      for (const Check& check : finished.checks) {
        BOOST_TEST_INFO(check.expected << ", but " << check.actual);
        BOOST_TEST(check.passed);
      }
      // Of the copied data only what has changed is shown.
      BOOST_TEST(finished.changes.size() == 3u);
      BOOST_TEST(!finished.changes.at({"default", "libz"}).has_value());
    }
  }
  std::vector<std::string> names;
  for (const Keyspace& keyspace : database->keyspaces()) names.push_back(keyspace.name());
  BOOST_TEST(names == std::vector<std::string>({"default", "packages"}),
             boost::test_tools::per_element());
  auto txn = database->begin().value();
  BOOST_TEST(txn.get(packages, "bash").value().value() == "1.0");
  BOOST_TEST(!Playground::inside(*database, "nowhere"));
}

BOOST_AUTO_TEST_CASE(a_temporary_database_is_gone_afterwards) {
  std::filesystem::path where;
  {
    const auto playground = Playground::temporary();
    BOOST_REQUIRE(playground->restart());
    where = playground->database().directory();
    BOOST_TEST(std::filesystem::exists(where));
  }
  BOOST_TEST(!std::filesystem::exists(where.parent_path()));
}

BOOST_AUTO_TEST_CASE(an_error_of_the_disk_is_told_alike_in_each_run) {
  const char* const script = "session A\n  a1: fail next-sync\n  a2: put x 1\n";
  const Played first = played(script);
  const Played second = played(script);
  const Error& error = first.step("a2").outcome.error.value();
  BOOST_TEST(bool(error.code() == ErrorCode::commit_outcome_unknown));
  BOOST_TEST(error.message().find(" db/log") != std::string::npos, error.message());
  BOOST_TEST(error.message() == second.step("a2").outcome.error.value().message());
}

std::vector<nlohmann::json> lines_of(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

BOOST_AUTO_TEST_CASE(json_lines_have_the_promised_shape) {
  const Played run = played(R"(
setup
  put x 1; put "\xff" "\xfe"; keyspace ks; in ks put k v
session A
  a1: begin; get x                 => 1
  a2: scan x*
  a3: if $a1 = 2 get x
  a4: get nothing
  a5: put x 2; count *
  a6: commit                       => write_conflict
  a7: get "\xff"
session B
  b1: put x 3                      => write_conflict
schedule a1 a2 a3 a4 a5 b1 a6 a7
)");
  const auto lines = lines_of(json_lines(run.play));
  BOOST_REQUIRE(lines.size() == 9u + 2);
  for (const auto& line : lines) {
    BOOST_TEST(line.at("script") == "test.iso");
    BOOST_TEST(line.at("schedule") == 1);
    BOOST_TEST(line.at("level") == "repeatable-read");
    BOOST_TEST(line.at("locking") == "optimistic");
  }
  BOOST_TEST(lines[0].at("event") == "step");
  BOOST_TEST(lines[0].at("session") == "A");
  BOOST_TEST(lines[0].at("step") == "a1");
  BOOST_TEST(lines[0].at("command") == "begin; get x");
  BOOST_TEST(lines[0].at("outcome") == "ok");
  BOOST_TEST(lines[0].at("result") == "1");
  BOOST_TEST(lines[1].at("result").dump() == R"([["x","1"]])");
  BOOST_TEST(lines[2].at("outcome") == "skipped");
  BOOST_TEST(lines[3].at("result").is_null());
  BOOST_TEST(lines[4].at("result") == 2);
  BOOST_TEST(lines[6].at("outcome") == "write_conflict");
  BOOST_TEST(lines[6].at("key") == "x");
  BOOST_TEST(lines[6].at("with") == "B");
  BOOST_TEST(lines[7].at("outcome") == "transaction_finished");
  BOOST_TEST(lines[8].at("event") == "final");
  BOOST_TEST(lines[8].at("state").at("x") == "3");
  BOOST_TEST(lines[8].at("state").at("ks/k") == "v");
  BOOST_TEST(lines[8].at("state").at(R"("\xff")").at("hex") == "fe");
  BOOST_TEST(lines[9].at("event") == "verdict");
  BOOST_TEST(lines[9].at("anomalies").empty());
  BOOST_TEST(lines[9].at("serializable") == true);
  BOOST_TEST(lines[10].at("event") == "summary");
  BOOST_TEST(lines[10].at("passed") == 2);
  BOOST_TEST(lines[10].at("failed") == 1);
  BOOST_TEST(lines[10].at("failures")[0].at("line") == 13);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
