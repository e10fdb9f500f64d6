// The parser of scripts: what it understands, and how it points at what it does not.
#include "lab/script/script.h"

#include <boost/test/unit_test.hpp>
#include <random>
#include <string>
#include <vector>

#include "lab/script/command_registry.h"
#include "lab/script/shipped_scripts.h"
#include "tests/lab/plays.h"
#include "tests/support/seed.h"

namespace isolde::lab {
namespace {

using test::errors_of;
using test::parsed;

struct Malformed {
  std::string text;
  std::string place;    // "line:column"
  std::string message;  // part of it
};

void check_malformed(const Malformed& malformed) {
  const std::string errors = errors_of(malformed.text);
  BOOST_TEST_INFO(malformed.text);
  BOOST_TEST_INFO(errors);
  BOOST_TEST(errors.starts_with("test.iso:" + malformed.place + ": "));
  BOOST_TEST_INFO(malformed.text);
  BOOST_TEST_INFO(errors);
  BOOST_TEST(errors.find(malformed.message) != std::string::npos);
}

// A line of session A, which begins in line 2, column 7 of the script.
Malformed step(const std::string& command, std::size_t column, const std::string& message) {
  return {"session A\n  a1: " + command + "\n", "2:" + std::to_string(column), message};
}

BOOST_AUTO_TEST_SUITE(script)

BOOST_AUTO_TEST_CASE(the_sections_of_a_script_are_read) {
  const Script script = parsed(R"(# A story
# of two lines.
setup
  put x 1; put "a b" "\x00\n\"\\\t"
  keyspace stock
session A
  a1: begin serializable read only
  a2: if $a1b > 3 in stock put x $a1b+10   => skipped @ ru | rc optimistic
                                           => ok      @ rr pessimistic
  a1b: get x; count a..b where value != 3 reverse limit 2 for share
session B
  b1: rollback
schedule a1 b1
         a1b a2
final exactly x=1 "a b"=absent in stock y=2  @ ser
invariant (x=1 or not sum a* > 3) and in stock count * = 0
outcomes ok=1
schedule b1
final x=$a1b
verdict lost-update dirty-read @ ru
verdict includes phantom @ rc
verdict not serializable @ rc
verdict serializable @ rr | ser
explore non_serializable=6 interleavings=70 @ rr
explore write-skew=6 @ rr
)");
  BOOST_TEST(script.story.size() == 2u);
  BOOST_TEST(script.story[1] == "of two lines.");
  BOOST_TEST(script.setup.size() == 3u);
  const auto& put = std::get<PutCommand>(script.setup[1].action);
  BOOST_TEST(put.key.literal() == "a b");
  BOOST_TEST(put.value.literal() == std::string("\0\n\"\\\t", 5));
  BOOST_TEST(script.sessions.size() == 2u);
  BOOST_TEST(script.steps.size() == 4u);
  BOOST_TEST(script.steps[1].expectations.size() == 2u);
  BOOST_TEST(script.steps[1].commands[0].keyspace.value() == "stock");
  const auto& scan = std::get<ScanCommand>(script.steps[2].commands[1].action);
  BOOST_TEST(scan.limit.value() == 2u);
  BOOST_TEST(scan.reverse);
  BOOST_TEST(bool(scan.mode == ReadMode::for_share));
  BOOST_TEST(script.schedules.size() == 2u);
  BOOST_TEST(script.schedules[0].steps.size() == 4u);
  BOOST_TEST(script.schedules[0].expectations.finals[0].exactly);
  BOOST_TEST(script.schedules[0].expectations.finals[0].items[2].keyspace == "stock");
  BOOST_TEST(script.schedules[0].expectations.invariants.size() == 1u);
  BOOST_TEST(script.schedules[1].expectations.finals.size() == 1u);
  const auto& verdicts = script.schedules[1].expectations.verdicts;
  BOOST_TEST(verdicts.size() == 4u);
  BOOST_TEST(bool(verdicts[0].anomalies ==
                  std::vector<Phenomenon>{Phenomenon::aborted_read, Phenomenon::lost_update}));
  BOOST_TEST(bool(verdicts[1].kind == VerdictExpectation::Kind::includes));
  BOOST_TEST(bool(verdicts[3].kind == VerdictExpectation::Kind::serializable));
  BOOST_TEST(script.explorations.size() == 2u);
  BOOST_TEST(script.explorations[0].counts.at("non_serializable") == 6u);
}

BOOST_AUTO_TEST_CASE(expectations_before_the_first_schedule_belong_to_all_others_to_theirs) {
  const Script script = parsed(
      "session A\n a1: put x 1\n a2: put x 2\nfinal y=absent\n"
      "schedule a1\nfinal x=1\nschedule a1 a2\nfinal x=2\n");
  BOOST_TEST(script.expectations.finals.size() == 1u);
  BOOST_TEST(script.schedules[0].expectations.finals[0].text == "x=1");
  BOOST_TEST(script.schedules[1].expectations.finals[0].text == "x=2");
}

BOOST_AUTO_TEST_CASE(without_a_schedule_the_sessions_play_one_after_the_other) {
  const Script script = parsed("session B\n b1: put x 1\n b2: get x\nsession A\n a1: get x\n");
  BOOST_TEST(script.schedules.size() == 1u);
  BOOST_TEST(script.schedules[0].steps == std::vector<std::size_t>({0, 1, 2}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(windows_line_ends_and_a_missing_last_newline_are_fine) {
  const Script script = parsed("session A\r\n  a1: put x 1  => ok\r\nschedule a1\r\nfinal x=1");
  BOOST_TEST(std::get<PutCommand>(script.steps[0].commands[0].action).value.literal() == "1");
  BOOST_TEST(script.schedules[0].expectations.finals.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_malformed_command_is_pointed_at_with_its_syntax) {
  const std::vector<Malformed> table{
      step("gte x", 7, "did you mean get?"),
      step("get", 10, "the syntax is: get KEY"),
      step("put x", 12, "expected a value, but the line ends here; the syntax is: put KEY VALUE"),
      step("get x y", 13, "too much: y"),
      step("get x for udpate", 17, "expected update or share"),
      step("get x nowait", 13, "follow for update"),
      step("get x for update skip", 28, "expected locked"),
      step("scan x", 12, "is no range"),
      step("scan * limit many", 20, "limit takes a number"),
      step("scan * limit -1", 20, "limit takes a number"),
      step("scan * reverse where value = 1", 22, "stands too late"),
      step("count * where key = 1", 21, "expected value after where"),
      step("count * where value like 1", 27, "expected a comparison"),
      step("begin serialisable", 13, "did you mean serializable?"),
      step("begin timeout", 20, "expected a duration"),
      step("begin timeout 50", 21, "is no duration"),
      step("begin timeout 0ms", 21, "is no duration"),
      step("begin timeout 2h", 21, "is no duration"),
      step("begin timeout 50ms rc", 26, "in this order, not rc"),
      step("begin read x", 18, "expected only"),
      step("savepoint 1x", 17, "is no name"),
      step("in stock commit", 7, "nothing to do with a keyspace"),
      step("if $a1 put x 1", 14, "expected a comparison"),
      step("put x \"abc", 13, "never closed"),
      step("put x \"a\\qc\"", 15, "unknown escape"),
      step("put x \"\\x0\"", 14, "unknown escape"),
      step("put x a\\b", 14, "a backslash needs quotes"),
      step("put x 10+$a1", 13, "begins with its reference"),
      step("put x $a1+", 13, "a term is missing"),
      step("put x $a1.value", 13, "is no reference"),
      step("put x $", 13, "is no reference"),
      step("put x $zz", 13, "there is no step zz"),
      step("get x => ", 15, "expected an outcome"),
      step("get x => a b", 18, "a value with spaces needs quotes"),
      step("get x => k=", 18, "expected a value"),
      step("get x => 1 @ rx", 20, "is no level and no locking mode"),
      step("get x => 1 @ rr serialisable", 23, "expected | and another cell"),
      step("get x => write_conflict with B", 36, "there is no session B"),
      step("get x => blocked by B", 27, "there is no session B"),
      step("get x => blocked by", 26, "expected a session after by"),
      step("get x => blocked until", 29, "expected a step after until"),
      step("get x => blocked until b2", 30, "there is no step b2"),
      step("get x => blocked then", 28, "expected an outcome"),
      step("get x => blocked then blocked", 29, "name how the step ended"),
      step("get x => blocked then skipped", 29, "name how the step ended"),
      step("get x => deferred", 16, "name how the step ends"),
      step("wait", 11, "expected the session to wait for"),
      step("wait B", 12, "there is no session B"),
      step("open c", 13, "expected scan after the cursor's name"),
      step("open 1 scan *", 12, "is no name"),
      step("open c count *", 14, "expected scan"),
      step("next", 11, "expected a cursor"),
      step("close c d", 15, "too much"),
      step("retry now", 13, "too much"),
      step("in stock next c", 7, "nothing to do with a keyspace"),
      step("", 7, "expected a command"),
      step("put x \x01", 13, "byte \\x01 cannot stand here"),
      step("put x \"\xff\"", 14, "must be written \\xff"),
  };
  for (const Malformed& malformed : table) check_malformed(malformed);
}

BOOST_AUTO_TEST_CASE(a_malformed_structure_is_pointed_at) {
  const std::string a = "session A\n  a1: get x\n";
  const std::vector<Malformed> table{
      {"", "1:1", "the script has no steps"},
      {"setup\n  put x 1\n", "2:1", "the script has no steps"},
      {"sesion A\n", "1:1", "did you mean session?"},
      {"setup\n  begin\n" + a, "2:3", "begin belongs into a session"},
      {"setup\n  put x 1 => ok\n" + a, "2:11", "setup expects nothing"},
      {"setup\n  if $a1 = 1 put x 1\n" + a, "2:3", "setup has no steps"},
      {"setup\nsetup\n" + a, "2:6", "one setup"},
      {"session\n", "1:8", "expected the session's name"},
      {"session 1\n", "1:9", "a session's name is"},
      {a + a, "3:9", "session A exists already, in line 1"},
      {a + "  a1: get y\n", "3:3", "step a1 exists already, in line 2"},
      {a + "  get y\n", "3:3", "a step begins with its name and a colon"},
      {"session A\n  => ok\n", "2:3", "a step begins with its name"},
      {a + "schedule a1 a3\n", "3:13", "there is no step a3; did you mean a1?"},
      {a + "schedule a1 a1\n", "3:13", "twice"},
      {a + "schedule\n", "3:9", "a schedule names the steps"},
      {a + "final x\n", "3:8", "expected = after the key"},
      {a + "final x=1 @\n", "3:12", "expected a level"},
      {a + "final x=1 y=2\nfinal y=3 @ rr\n", "4:7", "has a final expectation for"},
      {a + "final x=1\nschedule a1\nfinal x=2\n", "5:7", "in line 3"},
      {a + "invariant x\n", "3:12", "expected a comparison"},
      {a + "invariant $a1 = 3\n", "3:11", "the final state only"},
      {a + "invariant A committed\n", "3:13", "expected a comparison"},
      {a + "invariant (x=1\n", "3:15", "expected )"},
      {a + "outcomes fine=1\n", "3:10", "is no way for a transaction to end"},
      {a + "outcomes ok=one\n", "3:13", "expected a number"},
      {a + "outcomes ok=1\noutcomes ok=2 @ rc\n", "4:10", "are in line 3 already"},
      {a + "verdict\n", "3:8", "expected serializable, not serializable, or anomalies"},
      {a + "verdict write-skow\n", "3:9", "is no anomaly; did you mean write-skew?"},
      {a + "verdict not\n", "3:12", "expected serializable after not"},
      {a + "verdict includes\n", "3:17", "expected serializable"},
      {a + "verdict serializable phantom\n", "3:22", "expected another anomaly"},
      {a + "verdict phantom\nverdict includes phantom @ rc\n", "4:9", "is in line 3 already"},
      {a + "explore\n", "3:8", "expected a name, = and a number"},
      {a + "explore serialisable=3\n", "3:9", "did you mean serializable?"},
      {a + "explore write-skew=many\n", "3:20", "expected a number, 0 or more"},
      {a + "explore aborted=1\nexplore deadlocks=1 aborted=2 @ rc\n", "4:9", "in line 3 already"},
      {"session A\n  a1: get x => 1 @ rr\n   => 2 @ optimistic\n", "3:7",
       "has an expectation for repeatable-read optimistic already, in line 2"},
      {"session A\n  a1: put x 1\n  a2: put y $a1\n", "3:13", "step a1 returns nothing"},
      {std::string("\x7f"
                   "ELF\x02\x01\x00\x00\n",
                   9),
       "1:1", "cannot stand here"},
  };
  for (const Malformed& malformed : table) check_malformed(malformed);
}

BOOST_AUTO_TEST_CASE(an_error_shows_the_line_and_a_caret_under_the_place) {
  BOOST_TEST(errors_of("session A\n  a1: gte x\n") ==
             "test.iso:2:7: unknown command gte; did you mean get?\n"
             "    2 |   a1: gte x\n"
             "      |       ^~~\n");
}

BOOST_AUTO_TEST_CASE(the_caret_stands_right_behind_wide_and_foreign_bytes) {
  const std::string errors = errors_of("session A\n  a1: put \"漢字\" \"\xff\"\n");
  // Two wide characters take four columns; the foreign byte is shown as one replacement character.
  BOOST_TEST(errors.find("    2 |   a1: put \"漢字\" \"\xef\xbf\xbd\"\n"
                         "      |                   ^") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(all_errors_of_a_script_are_told_at_once) {
  const std::string errors = errors_of("session A\n  a1: gte x\n  a2: put x\n  a3: get x\n");
  BOOST_TEST(errors.find("test.iso:2:7") != std::string::npos);
  BOOST_TEST(errors.find("test.iso:3:12") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_line_of_ten_megabytes_is_told_in_part) {
  const std::string errors =
      errors_of("session A\n  a1: put x " + std::string(10 << 20, 'v') + " too-much\n");
  BOOST_TEST(errors.starts_with("test.iso:2:10485774: too much"));
  BOOST_TEST(errors.size() < 1000u);
  BOOST_TEST(errors.find("too-much\n") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(deeply_nested_parentheses_are_refused_rather_than_followed) {
  const std::string text =
      "session A\n a1: get x\ninvariant " + std::string(1'000'000, '(') + "x=1\n";
  BOOST_TEST(errors_of(text).find("nested too deeply") != std::string::npos);
  const std::string nots = "session A\n a1: get x\ninvariant " + [] {
    std::string many;
    for (int i = 0; i < 100'000; ++i) many += "not ";
    return many;
  }() + "x=1\n";
  BOOST_TEST(errors_of(nots).find("nested too deeply") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(every_command_of_the_registry_parses_its_own_example) {
  for (const CommandSpec& spec : command_registry()) {
    BOOST_TEST_INFO(spec.word);
    // Some examples speak of another session's step.
    BOOST_TEST(errors_of("session A\n  a1: " + std::string(spec.example) +
                         "\nsession B\n  b2: get x\n") == "");
    BOOST_TEST(spec.example.starts_with(spec.word));
    BOOST_TEST(spec.syntax.starts_with(spec.word));
    BOOST_TEST(!spec.help.empty());
    BOOST_TEST(find_command(spec.word) == &spec);
  }
}

BOOST_AUTO_TEST_CASE(every_shipped_script_parses_and_has_a_story) {
  BOOST_TEST(shipped_scripts().size() >= 2u);
  for (const ShippedScript& shipped : shipped_scripts()) {
    BOOST_TEST_INFO(shipped.name);
    BOOST_TEST(!parsed(std::string(shipped.text)).story.empty());
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
