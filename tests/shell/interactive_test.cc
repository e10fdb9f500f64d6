// The interactive shell, reading its lines from a file: what it prints is exact.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "lab/text/text.h"
#include "lab/workbench/shell_command.h"
#include "tests/shell/process.h"

namespace isolde::shell {
namespace {

using test::Finished;
using test::Workshop;

// What is printed on both streams for these lines, in order.
std::string transcript(const Workshop& workshop, const std::string& lines,
                       const std::string& arguments = "") {
  workshop.write("typed", lines);
  return workshop.bash("isolde " + arguments + " < typed 2>&1").out;
}

BOOST_AUTO_TEST_SUITE(interactive)

BOOST_AUTO_TEST_CASE(outside_a_transaction_each_command_commits_by_itself) {
  const Workshop workshop;
  const Finished finished = workshop.isolde({},
                                            "put x 1\nget x\nget y\nscan *\nadd x 3\nadd_and_get x "
                                            "1\ncount *\ninsert x 2\ndel x\nscan *\n");
  BOOST_TEST(
      finished.out ==
      "A: ok\nA: 1\nA: absent\nA: x=1\nA: ok\nA: 5\nA: 1\nA: already_exists on x\n   key 'x' in "
      "keyspace 'default' already exists; use put to replace its value\nA: ok\nA: empty\n");
  BOOST_TEST(finished.err == "");
  BOOST_TEST(finished.code == 0);
}

BOOST_AUTO_TEST_CASE(a_lost_update_is_typed_by_hand_and_named_by_the_checker) {
  const Workshop workshop;
  BOOST_TEST(transcript(workshop,
                        "put x 10\nsession A rc\nsession B rc\nA: begin\nB: begin\nA: get x\n"
                        "B: get x\nA: put x $a3+1\nB: put x $b2+1\nA: commit\nB: commit\nget x\n"
                        "verdict\n") ==
             "A: ok\n"
             "A: read-committed optimistic\n"
             "B: read-committed optimistic\n"
             "A: ok\nB: ok\nA: 10\nB: 10\nA: ok\nB: ok\nA: ok\nB: ok\nB: 11\n"
             "verdict on 4 committed transactions: lost-update\n"
             "   T3 read x before T2's write of it, so T3 (B) came first; but T3 overwrote\n"
             "   T2's write of x, so T2 came first.\n");
}

BOOST_AUTO_TEST_CASE(who_is_blocked_is_shown_as_blocked_and_wakes_with_the_other_ones_commit) {
  const Workshop workshop;
  BOOST_TEST(transcript(workshop,
                        "put x 1\nsession A rc pessimistic\nsession B rc pessimistic\nA: begin\n"
                        "A: put x 2\nB: put x 3\nB: get x\nsessions\nlocks\nwaits\nA: commit\n"
                        "get x\n") ==
             "A: ok\n"
             "A: read-committed pessimistic\n"
             "B: read-committed pessimistic\n"
             "A: ok\nA: ok\n"
             "B waits: x is X-locked by A (put x 2)\n"
             "session B waits for A, so it can do nothing else; end that wait from the other side, "
             "or by: cancel B\n"
             "   session  begins with                 state\n"
             "   A        read-committed pessimistic  open: read-committed pessimistic\n"
             "   B        read-committed pessimistic  waits for A\n"
             "   what  mode  who  state\n"
             "   x     X     A    held\n"
             "   x     X     B    waits for A\n"
             "B waits: x is X-locked by A (put x 2)\n"
             "A: ok\n"
             "B wakes: put x 3 → ok\n"
             "B: 3\n");
}

BOOST_AUTO_TEST_CASE(a_deadlock_costs_one_and_is_explained) {
  const Workshop workshop;
  const std::string out = transcript(
      workshop,
      "session A rc pessimistic\nsession B rc pessimistic\nA: begin\nB: begin\nA: put x 1\n"
      "B: put y 1\nA: put y 2\nB: put x 2\nexplain\ndeadlocks\nA: commit\nB: rollback\nscan *\n");
  BOOST_TEST(out.find("A waits: y is X-locked by B (put y 1)\n"
                      "B: deadlock on x with A\n") != std::string::npos,
             out);
  BOOST_TEST(out.find("A wakes: put y 2 → ok\n"
                      "B's transaction was aborted in b3, by put x 2: deadlock on x with A\n") !=
                 std::string::npos,
             out);
  BOOST_TEST(out.find("deadlock 1: B was its victim\n") != std::string::npos, out);
  BOOST_TEST(out.ends_with("A: ok\nB: ok\nB: x=1 y=2\n"), out);
}

BOOST_AUTO_TEST_CASE(an_aborted_transaction_is_run_again_by_retry) {
  const Workshop workshop;
  BOOST_TEST(transcript(workshop,
                        "put x 1\nsession B\nB: begin\nB: get x\nB: put x $b2+10\nA: put x 5\n"
                        "B: commit\nB: get x\nB: retry\nB: get x\n") ==
             "A: ok\nB: repeatable-read optimistic\nB: ok\nB: 1\nB: ok\nA: ok\n"
             "B: write_conflict on x with A\n"
             "   A changed x at timestamp 2, after B's snapshot at 1.\n"
             "B: transaction_finished\n"
             "   get x: the transaction of session B was aborted; acknowledge that by\n"
             "   rollback, or begin a new one\n"
             "B: begin → ok\nB: get x → 5\nB: put x $b2+10 → ok\nB: commit → ok\nB: get x → 15\n"
             "B: 15\n");
}

BOOST_AUTO_TEST_CASE(looking_inside_tells_versions_snapshots_reads_and_writes) {
  const Workshop workshop;
  BOOST_TEST(transcript(workshop,
                        "put x 1\nsession B\nB: begin\nsnapshot\nB: get x\nB: count *\nA: put x 2\n"
                        "B: put y 3\nversions x\nversions y\nversions z\nsnapshot\nsnapshot A\n"
                        "reads\nwrites B\nreads A\n"
                        "B: rollback\n") ==
             "A: ok\nB: repeatable-read optimistic\nB: ok\n"
             "B takes its snapshot at its first operation; now that would be 1\n"
             "B: 1\nB: 1\nA: ok\nB: ok\n"
             "   timestamp  value  writer  where   seen by\n"
             "   2          2      A       memory  A\n"
             "   1          1      A       memory  B\n"
             "   timestamp    value  writer  where          seen by\n"
             "   uncommitted  3      B       its write set  B\n"
             "there is no z, and nobody sees one\n"
             "B reads the state at 1: 1 commit since then is not in it\n"
             "A has no transaction; each of its commands reads the newest state, now 2\n"
             "   what  value      version     by\n"
             "   x     1          at 1, by A  get x\n"
             "   x     1          at 1, by A  count *\n"
             "   *     1 entries              count *\n"
             "   key  value  by\n"
             "   y    3      put y 3\n"
             "A has no transaction that has read anything\n"
             "B: ok\n");
}

BOOST_AUTO_TEST_CASE(what_was_typed_is_saved_as_a_script_that_plays_and_meets_what_was_seen) {
  const Workshop workshop;
  const std::string out = transcript(
      workshop,
      "put x 1; put y 1\nsession A ser pessimistic\nsession B ser pessimistic\nA: begin\nB: begin\n"
      "A: get x\nB: get y\nA: put y 2\nB: put x 2\nA: commit\nB: rollback\nscan *\n"
      "save mine.iso\nhistory\n");
  BOOST_TEST(out.find("saved 10 steps; to play them: isolde run mine.iso\n") != std::string::npos,
             out);
  const Finished played = workshop.isolde({"run", "mine.iso"});
  BOOST_TEST(played.code == 0, workshop.read("mine.iso") + played.out + played.err);
  BOOST_TEST(played.out.find("11 passed, 0 failed") != std::string::npos,
             workshop.read("mine.iso") + played.out);
}

BOOST_AUTO_TEST_CASE(a_saved_script_begins_with_what_the_database_held) {
  const Workshop workshop;
  BOOST_TEST(workshop
                 .isolde({"bank.db"},
                         "put \"a b\" \"\\x00\"\nkeyspace stock\n"
                         "in stock put 1 ok\n")
                 .code == 0);
  const Finished typed = workshop.isolde({"bank.db"}, "get \"a b\"\nin stock get 1\nsave s.iso\n");
  BOOST_TEST(typed.out ==
             "A: \"\\x00\"\nA: \"ok\"\nsaved 2 steps; to play them: isolde run s.iso\n");
  const Finished played = workshop.isolde({"run", "s.iso"});
  BOOST_TEST(played.code == 0, workshop.read("s.iso") + played.out + played.err);
}

BOOST_AUTO_TEST_CASE(a_crash_keeps_what_was_committed_and_nothing_else) {
  const Workshop workshop;
  BOOST_TEST(transcript(workshop,
                        "put x 1\nbegin\nput x 2\nsession B pessimistic\nB: begin\nB: put y 1\n"
                        "crash\nget x\nsessions\nreopen\nscan *\nretry\n") ==
             "A: ok\nA: ok\nA: ok\nB: repeatable-read pessimistic\nB: ok\nB: ok\n"
             "crashed: the database is as a killed process leaves it\n"
             "   Lost with it: what A and B had not committed.\n"
             "the database has crashed; reopen it: reopen\n"
             "   session  begins with                  state\n"
             "   A        repeatable-read optimistic   crashed\n"
             "   B        repeatable-read pessimistic  crashed\n"
             "reopened: commits up to 1 are there; 1 of them recovered from the log\n"
             "B: x=1\nB: skipped\n");
}

// The client sends it again, for the answer got lost: with the first attempt before its commit, in
// the middle of it, or behind it.
BOOST_AUTO_TEST_CASE(a_payment_with_a_key_is_charged_once_wherever_the_crash_comes) {
  const std::string payment = "begin ser\ninsert payment/42 30; add balance -30\n";
  for (const std::string accident :
       {"crash\n", "fault next-sync\ncommit\ncrash\n", "commit\ncrash\n"}) {
    const Workshop workshop;
    const std::string out = transcript(
        workshop,
        "put balance 100\n" + payment + accident + "reopen\n" + payment + "commit\nscan *\n",
        "bank.db");
    BOOST_TEST(out.ends_with("A: balance=70 payment/42=30\n"), accident << out);
    BOOST_TEST(workshop.isolde({"verify", "bank.db"}).code == 0);
  }
}

BOOST_AUTO_TEST_CASE(after_a_failed_sync_the_outcome_is_unknown_until_reopened) {
  const Workshop workshop;
  const std::string out =
      transcript(workshop,
                 "put x 1\nfault next-sync\nput x 2\nget x\nput x 3\nexplain\nreopen\nput y 1\n"
                 "get y\n",
                 "bank.db");
  BOOST_TEST(out.find("A: commit_outcome_unknown\n") != std::string::npos, out);
  BOOST_TEST(out.find("A: database_failed\n") != std::string::npos, out);
  BOOST_TEST(out.ends_with("A: ok\nA: 1\n"), out);
}

BOOST_AUTO_TEST_CASE(a_cancelled_wait_ends_its_transaction) {
  const Workshop workshop;
  const std::string out =
      transcript(workshop,
                 "session A rc pessimistic\nsession B rc pessimistic\nA: begin\nA: put x 1\n"
                 "B: begin\nB: put x 2\ncancel B\nB: get x\ncancel B\nA: commit\nB: rollback\n"
                 "save s.iso\n");
  BOOST_TEST(out.find("B wakes: put x 2 → cancelled") != std::string::npos, out);
  BOOST_TEST(out.find("B does not wait for anything\n") != std::string::npos, out);
  BOOST_TEST(out.find("b2 was cancelled by hand") != std::string::npos, out);
}

BOOST_AUTO_TEST_CASE(a_wait_that_nothing_can_end_is_refused_and_a_timeout_ends_one) {
  const Workshop workshop;
  const std::string out =
      transcript(workshop,
                 "session A rc pessimistic\nsession B rc pessimistic\nA: begin\nA: put x 1\n"
                 "B: put x 2\nwait B\nA: commit\nwait B\nA: begin\nA: put x 3\n"
                 "B: begin timeout 50ms\nB: put x 4\nwait B\nB: put y 5\nB: commit\n");
  BOOST_TEST(
      out.find("B waits for A, and nothing will happen while you wait for it") != std::string::npos,
      out);
  BOOST_TEST(out.find("B wakes: put x 4 → lock_timeout on x with A\n") != std::string::npos, out);
}

BOOST_AUTO_TEST_CASE(errors_say_where_and_what_and_the_worst_of_them_is_the_exit_code) {
  struct Wrong {
    std::string lines;
    std::string told;
    int code;
  };
  const std::vector<Wrong> all{
      {"gte x\n", "standard input:1:1: unknown command gte; did you mean get?\n   gte x\n   ^~~\n",
       2},
      {"get\n", "standard input:1:4: expected a key, but the line ends here; the syntax is:", 2},
      {"get x y\n", "standard input:1:7: too much: y; the syntax is:", 2},
      {"\nbegin seriazable\n", "standard input:2:7: begin takes [level]", 2},
      {"session B serialisable\n", "did you mean serializable?", 2},
      {"session B ser pesimistic\n", "did you mean pessimistic?", 2},
      {"B: get x\n", "there is no session B; open it: session B\n", 1},
      {"use C\n", "there is no session C", 1},
      {"close A\n", "A is the only session", 1},
      {"session A rc pessimistic\nsession B rc pessimistic\nA: begin\nA: put x 1\nB: put x 2\n"
       "B: get x\n",
       "session B waits for A, so it can do nothing else; end that wait from the other side, or "
       "by: "
       "cancel B\nA has a transaction open: rolled back, for the input ends here\n"
       "B still waits: rolled back, for the input ends here\n",
       1},
      {"SELECT x\n", "unknown command SELECT; did you mean get or scan?", 2},
      {"set x 1\n", "unknown command set; did you mean put?", 2},
      {".quit\n", "did you mean quit?", 2},
      {"BEGIN\n", "did you mean begin?", 2},
      {"exit now\n", "the syntax is: quit", 2},
      {"source missing\n", "cannot read missing: No such file or directory", 2},
      {"mode tabel\n", "there is no mode 'tabel'; did you mean table?", 2},
      {"help gett\n", "there is no command gett; did you mean get?", 2},
      {"setup\n", "setup belongs to scripts", 2},
      {"get x => 1\n", "expectations belong to scripts", 2},
      {"save x.iso\n", "there is nothing to save", 1},
      {"put x 1\nsave missing/x.iso\n", "missing/x.iso", 1},
      {"begin\nput x 1\n", "A has a transaction open: rolled back, for the input ends here\n", 1},
      {std::string("\x00\xff\xfe\x80 get x\n", 11), "standard input:1:1: byte \\x00", 2},
      {"put x 1\nget \"x\n", "this quote is never closed on its line", 2},
  };
  for (const Wrong& wrong : all) {
    const Workshop workshop;
    const Finished finished = workshop.isolde({"bank.db"}, wrong.lines);
    BOOST_TEST(finished.code == wrong.code, wrong.lines << finished.err);
    BOOST_TEST(finished.err.find(wrong.told) != std::string::npos, wrong.lines << finished.err);
    const Finished verified = workshop.isolde({"verify", "bank.db"});
    BOOST_TEST(verified.code == 0, wrong.lines << verified.err);
  }
}

BOOST_AUTO_TEST_CASE(garbage_is_refused_line_by_line_and_harms_nothing) {
  const Workshop workshop;
  std::string garbage;
  std::uint64_t state = 88172645463325252u;
  for (int i = 0; i < 100'000; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    garbage += static_cast<char>(state & 0xff);
  }
  const Finished finished = workshop.isolde({"bank.db"}, "put x 1\n" + garbage + "\n");
  BOOST_TEST(finished.code == 2);
  BOOST_TEST(finished.out.starts_with("A: ok\n"));
  BOOST_TEST(workshop.isolde({"dump", "bank.db"}).out == "x\t1\n");
  BOOST_TEST(workshop.isolde({"verify", "bank.db"}).code == 0);
}

BOOST_AUTO_TEST_CASE(the_timer_tells_how_long_a_command_took) {
  const Workshop workshop;
  const std::string out = transcript(workshop, "timer on\nput x 1\ntimer off\nget x\n");
  // Behind the command that turns it on, and behind the next one.
  const std::regex timed("   [0-9.]+ m?s\nA: ok\n   [0-9.]+ m?s\nA: 1\n");
  BOOST_TEST(std::regex_match(out, timed), out);
}

BOOST_AUTO_TEST_CASE(more_sessions_than_a_shell_holds_are_refused) {
  const Workshop workshop;
  std::string lines;
  for (int i = 1; i <= 256; ++i) lines += "session S" + std::to_string(i) + "\n";
  const Finished finished = workshop.isolde({}, lines + "close S7\nsession S7\nput x 1\n");
  BOOST_TEST(finished.code == 1);
  BOOST_TEST(finished.err.starts_with("there are 256 sessions"), finished.err);
  BOOST_TEST(finished.out.ends_with("S7: closed\nS7: repeatable-read optimistic\nS7: ok\n"));
}

BOOST_AUTO_TEST_CASE(what_leaves_the_shell_leaves_the_lines_behind_it_unread) {
  const Workshop workshop;
  for (const std::string word : {"quit", "exit"}) {
    const Finished finished = workshop.isolde({}, "put x 1\n" + word + "\nput x 2\n");
    BOOST_TEST(finished.code == 0, finished.err);
    BOOST_TEST(finished.out == "A: ok\n");
  }
}

BOOST_AUTO_TEST_CASE(a_keyspace_that_is_missing_is_told_with_what_creates_it) {
  const Workshop workshop;
  BOOST_TEST(
      transcript(workshop, "in stock get x\nin stock versions x\n") ==
      "A: keyspace_not_found\n   There is no keyspace stock; this creates it: keyspace stock\n"
      "There is no keyspace stock; this creates it: keyspace stock\n");
}

BOOST_AUTO_TEST_CASE(a_database_that_cannot_be_opened_is_exit_code_3) {
  const Workshop workshop;
  workshop.write("file", "no database");
  const Finished finished = workshop.isolde({"./file"}, "get x\n");
  BOOST_TEST(finished.code == 3, finished.err);
  BOOST_TEST(finished.err.starts_with("isolde: cannot open ./file: "), finished.err);
}

BOOST_AUTO_TEST_CASE(sourced_lines_are_echoed_and_their_errors_name_the_file) {
  const Workshop workshop;
  workshop.write("steps", "# two of them\nput x 1\nget x\n\nfetch x\n");
  const std::string out = transcript(workshop, "source steps\nget x\n");
  BOOST_TEST(out ==
             "A[rr optimistic]> # two of them\nA[rr optimistic]> put x 1\nA: ok\n"
             "A[rr optimistic]> get x\nA: 1\n"
             "A[rr optimistic]> fetch x\nsteps:5:1: unknown command fetch; `help` lists the "
             "commands\n   fetch x\n   ^~~~~\nA: 1\n");
  workshop.write("binary", std::string("get x\n\x00\xff\n", 9));
  BOOST_TEST(transcript(workshop, "source binary\nsource .\n") ==
             "binary is no text\ncannot read .: Is a directory\n");
  workshop.write("loop", "source loop\n");
  BOOST_TEST(transcript(workshop, "source loop\n").find("files source each other") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_modes_show_the_same_as_text_table_and_json) {
  const Workshop workshop;
  BOOST_TEST(transcript(workshop,
                        "put x 1; put y 日本\nmode table\nscan *\nmode json\nscan *\n"
                        "get z\ninsert x 2\nmode text\nscan *\n") ==
             "A: put x 1 → ok\nA: put y 日本 → ok\n"
             "A: 2 entries\n   key  value\n   x    1\n   y    日本\n"
             "{\"event\":\"step\",\"session\":\"A\",\"step\":\"a3\",\"command\":\"scan *\","
             "\"outcome\":\"ok\",\"result\":[[\"x\",\"1\"],[\"y\",\"日本\"]]}\n"
             "{\"event\":\"step\",\"session\":\"A\",\"step\":\"a4\",\"command\":\"get z\","
             "\"outcome\":\"ok\",\"result\":null}\n"
             "{\"event\":\"step\",\"session\":\"A\",\"step\":\"a5\",\"command\":\"insert x 2\","
             "\"outcome\":\"already_exists\",\"key\":\"x\",\"message\":\"key 'x' in keyspace "
             "'default' already exists; use put to replace its value\"}\n"
             "A: x=1 y=日本\n");
}

// All that is to be seen, and all that the shell itself does.
constexpr const char* everything = R"(put x 1
session B rc pessimistic
session A rr pessimistic
begin
put x 2
B: begin
B: put y 1
B: put x 5
locks
waits
waits dot
sessions
versions x
snapshot A
snapshot B
writes A
put y 3
deadlocks
deadlocks dot
explain
verdict
stats
history
keyspaces
get x
reads A
commit
B: rollback
close B
save mine.iso
fault next-sync
put z 1
explain
crash
sessions
reopen
help get
help
)";

BOOST_AUTO_TEST_CASE(in_json_each_line_is_an_object_that_names_its_event) {
  const Workshop workshop;
  const Finished finished = workshop.isolde({"--mode", "json"}, everything);
  BOOST_TEST(finished.code == 0, finished.err);
  std::vector<nlohmann::json> seen;
  std::set<std::string> events;
  std::istringstream stream(finished.out);
  for (std::string line; std::getline(stream, line);) {
    seen.push_back(nlohmann::json::parse(line, nullptr, false));
    BOOST_REQUIRE_MESSAGE(seen.back().is_object(), line);
    events.insert(seen.back().value("event", ""));
  }
  const std::set<std::string> all{
      "step",      "session", "locks",     "waits",   "sessions", "versions", "snapshot",
      "reads",     "writes",  "deadlocks", "explain", "verdict",  "stats",    "history",
      "keyspaces", "closed",  "saved",     "fault",   "crashed",  "reopened", "help"};
  BOOST_TEST(events == all, boost::test_tools::per_element());
  const auto first = [&](const std::string& event) {
    return *std::find_if(seen.begin(), seen.end(),
                         [&](const nlohmann::json& json) { return json.at("event") == event; });
  };
  const auto parsed = [](const char* text) { return nlohmann::json::parse(text); };
  BOOST_TEST(first("locks").at("awaited") == parsed(R"([{"session": "B", "mode": "X", "key": "x",
                         "waits_for": [{"session": "A", "mode": "X", "queued": false}]}])"));
  BOOST_TEST(first("waits").at("waits").at(0).at("waits_for").at(0).at("command") == "put x 2");
  BOOST_TEST(first("sessions").at("sessions").at(1).at("state") == "waits");
  BOOST_TEST(first("versions").at("versions") ==
             parsed(R"([{"commit": null, "value": "2", "writer": "A", "memory": false,
                         "lmdb": false, "seen_by": ["A"]},
                        {"commit": 1, "value": "1", "writer": "A", "memory": true,
                         "lmdb": false, "seen_by": ["B"]}])"));
  BOOST_TEST(first("snapshot").at("snapshot") == 1);
  BOOST_TEST(first("writes").at("writes") ==
             parsed(R"([{"key": "x", "value": "2", "command": "put x 2"}])"));
  BOOST_TEST(first("reads").at("reads").at(0).at("key") == "x");
  BOOST_TEST(first("deadlocks").at("deadlocks").at(0).at("victim") == "B");
  BOOST_TEST(first("explain").at("outcome") == "deadlock");
  BOOST_TEST(first("explain").at("cycle").size() == 2u);
  BOOST_TEST(first("verdict").at("serializable") == true);
  BOOST_TEST(first("stats").at("deadlocks") == 1);
  BOOST_TEST(first("history").at("steps").at(0).at("outcome") == "ok");
  BOOST_TEST(first("help").at("commands").size() == 1u);
  BOOST_TEST(seen.back().at("commands").size() > 40u);
}

BOOST_AUTO_TEST_CASE(the_same_as_text_keeps_to_80_columns) {
  const Workshop workshop;
  for (const std::string mode : {"text", "table"}) {
    const Finished finished = workshop.isolde({"--mode", mode}, everything);
    std::istringstream stream(finished.out);
    for (std::string line; std::getline(stream, line);) {
      const bool graph = line.find("->") != std::string::npos;
      BOOST_TEST((graph || lab::display_width(line) <= 80u), line);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_limited_search_for_update_locks_no_more_than_it_has_looked_at) {
  const Workshop workshop;
  const std::string data = "put a 1; put b 2; put c 2; put d 2\nsession A rc pessimistic\nbegin\n";
  const std::string out = transcript(
      workshop, data +
                    "scan * where value = 2 limit 1 for update\nlocks\n"
                    "count * where value > 1 reverse limit 1 for update\nlocks\nrollback\n");
  BOOST_TEST(out.ends_with("A: b=2\n"
                           "   what  mode  who  state\n"
                           "   a     X     A    held\n"
                           "   b     X     A    held\n"
                           "A: 1\n"
                           "   what  mode  who  state\n"
                           "   a     X     A    held\n"
                           "   b     X     A    held\n"
                           "   d     X     A    held\n"
                           "A: ok\n"),
             out);
  // With the gaps at serializable: what is behind may change.
  const std::string ranges =
      transcript(workshop, data +
                               "session A ser pessimistic\nrollback\nbegin\n"
                               "scan * where value = 2 limit 1\nsession B\nput c 3\nput aa 3\n");
  BOOST_TEST(ranges.find("A: b=2\nB: repeatable-read optimistic\nB: ok\nB waits: aa is S-locked "
                         "by A") != std::string::npos,
             ranges);
}

BOOST_AUTO_TEST_CASE(the_graph_of_waits_is_graphviz) {
  const Workshop workshop;
  const std::string out = transcript(
      workshop,
      "session A rc pessimistic\nsession B rc pessimistic\nA: begin\nA: put x 1\nB: put x 2\n"
      "waits dot\nA: commit\nwaits\n");
  BOOST_TEST(out.find("digraph") != std::string::npos, out);
  BOOST_TEST(out.ends_with("B wakes: put x 2 → ok\nnobody waits\n"), out);
}

BOOST_AUTO_TEST_CASE(no_temporary_database_stays_behind) {
  const Workshop workshop;
  BOOST_TEST(workshop.isolde({}, "put x 1\n").code == 0);
  BOOST_TEST(workshop.bash("ls -A").out == "");
}

BOOST_AUTO_TEST_CASE(every_command_is_helped_with_an_example_that_parses) {
  const Workshop workshop;
  for (const lab::ShellCommandSpec& spec : lab::shell_command_registry()) {
    const auto parsed = lab::parse_line(spec.example);
    BOOST_TEST(std::holds_alternative<lab::TypedLine>(parsed), spec.example);
    const Finished finished = workshop.isolde({}, "help " + std::string(spec.word) + "\n");
    BOOST_TEST(finished.out.find("Example: " + std::string(spec.example)) != std::string::npos,
               finished.out << finished.err);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::shell
