// The command line: usage, exit codes, run, stat, verify, backup.
#include <signal.h>

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "isolde/database.h"
#include "lab/script/shipped_scripts.h"
#include "lab/text/text.h"
#include "tests/shell/process.h"
#include "tests/support/skipped.h"

namespace isolde::shell {
namespace {

using test::Finished;
using test::Workshop;

bool says(const Finished& finished, std::string_view text) {
  return finished.err.find(text) != std::string::npos;
}

// What stands after the last newline but one.
std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of('\n');
  const std::size_t start = text.rfind('\n', end);
  return text.substr(start + 1, end - start);
}

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

BOOST_AUTO_TEST_SUITE(command_line)

BOOST_AUTO_TEST_CASE(wrong_usage_is_explained_with_exit_code_2) {
  const Workshop workshop;
  const std::vector<std::pair<std::vector<std::string>, std::string>> table{
      {{"lod"}, "unknown command 'lod'; did you mean load?"},
      {{"help"}, "unknown command 'help'; did you mean --help?"},
      {{"version"}, "unknown command 'version'; did you mean --version?"},
      {{"vreify", "some.db"}, "unknown command 'vreify'; did you mean verify?"},
      {{"some", "words"}, "unknown command 'some'"},
      {{"load"}, "DIR is required"},
      {{"dump", "a.db", "out", "more"}, "more"},
      {{"load", "a.db", "--as", "csv"}, "csv"},
      {{"run"}, "FILE is required"},
      {{"run", "lost-update", "--level", "strong"}, "strong"},
      {{"run", "lost-update", "--locking", "hopeful"}, "hopeful"},
      {{"run", "lost-update", "--color", "blue"}, "blue"},
      {{"run", "lost-updat"}, "did you mean lost-update?"},
      {{"demo", "lost-updat"}, "no entry 'lost-updat'; did you mean lost-update?"},
      {{"demo", "lost-update", "--level", "strong"}, "strong"},
      {{"run", "dir/missing.iso"}, "cannot read dir/missing.iso"},
      {{"run", "."}, "Is a directory"},
      {{"run", "lost-update", "--keyspace", "x"}, "--database"},
      {{"run", "lost\xff"}, "no file 'lost\xef\xbf\xbd'"},
      {{"run", "lost-updat"}, "`isolde demo` lists those that do"},
      {{"run", ""}, "argument 2 is empty"},
      {{"demo", ""}, "argument 2 is empty"},
      {{"load", "a.db", "-", "--keyspace", ""}, "argument 5 is empty"},
      {{"stress", "--minutes", "nan"}, "--minutes: 'nan' is not a number"},
      {{"stress", "--minutes", "0"}, "--minutes"},
      {{"stress", "--minutes", "x"}, "--minutes"},
      {{"stress", "--seed", "-1"}, "--seed"},
      {{"--unknown"}, "--unknown"},
  };
  for (const auto& [arguments, message] : table) {
    const Finished finished = workshop.isolde(arguments);
    BOOST_TEST_CONTEXT("said: " << finished.err) {
      BOOST_TEST(finished.code == 2);
      BOOST_TEST(says(finished, message));
      BOOST_TEST(finished.out == "");
    }
  }
}

BOOST_AUTO_TEST_CASE(help_and_version_are_no_errors) {
  const Workshop workshop;
  BOOST_TEST(workshop.isolde({"--version"}).out.starts_with("isolde 0."));
  BOOST_TEST(workshop.isolde({"--version"}).code == 0);
  for (const std::string command :
       {"", "run", "demo", "matrix", "load", "dump", "stat", "verify", "backup"}) {
    std::vector<std::string> arguments{"--help"};
    if (!command.empty()) arguments.insert(arguments.begin(), command);
    const Finished finished = workshop.isolde(arguments);
    BOOST_TEST(finished.code == 0);
    BOOST_TEST(finished.out.find("Example") != std::string::npos);
    BOOST_TEST(finished.err == "");
  }
}

BOOST_AUTO_TEST_CASE(a_database_that_cannot_be_opened_is_exit_code_3) {
  const Workshop workshop;
  workshop.write("file", "no directory");
  workshop.bash("mkdir garbage; head -c 100000 /dev/urandom > garbage/data.mdb");
  const std::vector<std::vector<std::string>> commands{
      {"dump", "missing"},
      {"stat", "missing"},
      {"verify", "missing"},
      {"backup", "missing", "to"},
      {"dump", "file"},
      {"load", "file"},
      {"stat", "garbage"},
      {"verify", "garbage"},
      {"run", "lost-update", "--database", "missing"}};
  for (const std::vector<std::string>& command : commands) {
    const Finished finished = workshop.isolde(command);
    BOOST_TEST_CONTEXT(command[0] << ' ' << command[1] << " said: " << finished.err) {
      BOOST_TEST(finished.code == 3);
      BOOST_TEST(finished.err.starts_with("isolde: cannot open "));
    }
  }
  BOOST_TEST(!workshop.has("missing"));
}

BOOST_AUTO_TEST_CASE(a_log_that_may_not_be_read_is_not_called_damaged) {
  const Workshop workshop;
  workshop.isolde({"load", "a.db"}, "a\t1\n");
  // Root may read everything, so it asks as another user, with a copy that this one can reach.
  const std::string command =
      "chmod 755 . a.db && chmod 644 a.db/log && "
      "if ((EUID == 0)); then cp \"$(type -p isolde)\" ./copy && "
      "setpriv --reuid=65534 --regid=65534 --clear-groups ./copy stat a.db; "
      "else isolde stat a.db; fi";
  const Finished finished = workshop.bash(command);
  BOOST_TEST_CONTEXT("said: " << finished.err) {
    BOOST_TEST(finished.code == 3);
    BOOST_TEST(says(finished, "permission_denied: cannot list a.db/log"));
  }
  BOOST_TEST(workshop.bash("chmod 755 a.db/log").code == 0);
}

BOOST_AUTO_TEST_CASE(a_database_in_use_names_its_owner) {
  const Workshop workshop;
  auto database = Database::open(workshop.file("a.db"));
  BOOST_REQUIRE(database);
  const Finished finished = workshop.isolde({"load", "a.db"}, "a\t1\n");
  BOOST_TEST(finished.code == 3);
  BOOST_TEST(says(finished, "database_in_use"));
  BOOST_TEST(says(finished, std::to_string(::getpid())));
}

BOOST_AUTO_TEST_CASE(an_unknown_keyspace_is_told_with_those_there_are) {
  const Workshop workshop;
  workshop.isolde({"load", "a.db", "-k", "accounts"}, "a\t1\n");
  const Finished finished = workshop.isolde({"dump", "a.db", "-k", "acounts"});
  BOOST_TEST(finished.code == 2);
  BOOST_TEST(says(finished, "did you mean accounts?; it has: accounts, default"));
}

BOOST_AUTO_TEST_CASE(a_script_is_told_which_keyspaces_it_could_begin_with) {
  const Workshop workshop;
  workshop.isolde({"load", "a.db", "-k", "apples"}, "a\t1\n");
  const Finished run =
      workshop.isolde({"run", "lost-update", "--database", "a.db", "--keyspace", "aples"});
  BOOST_TEST(run.code == 2);
  BOOST_TEST(says(run, "there is no keyspace aples in a.db; did you mean apples?; it has: apples"));
}

BOOST_AUTO_TEST_CASE(stat_shows_keyspaces_in_text_and_json) {
  const Workshop workshop;
  workshop.isolde({"load", "a.db", "-k", "accounts"}, "alice\t100\nbob\t50\n");
  const Finished text = workshop.isolde({"stat", "a.db"});
  BOOST_TEST(text.code == 0);
  BOOST_TEST(text.out.find("accounts") != std::string::npos);
  const Finished finished = workshop.isolde({"stat", "a.db", "--format", "json"});
  const auto json = nlohmann::json::parse(finished.out);
  BOOST_TEST(json.at("keyspaces")[0].at("name") == "accounts");
  BOOST_TEST(json.at("keyspaces")[0].at("keys") == 2);
  BOOST_TEST(json.at("keyspaces")[0].at("key_bytes") == 8);
  BOOST_TEST(json.at("keyspaces")[0].at("value_bytes") == 5);
  workshop.isolde({"load", "a.db", "-k", "\xff"}, "a\t1\n");
  const Finished bytes = workshop.isolde({"stat", "a.db", "--format", "json"});
  BOOST_TEST(nlohmann::json::parse(bytes.out).at("keyspaces").back().at("name").at("hex") == "ff");
}

BOOST_AUTO_TEST_CASE(verify_accepts_what_is_sound_and_names_what_is_damaged) {
  const Workshop workshop;
  std::string input;
  for (int i = 0; i < 5000; ++i) {
    input += "key" + std::to_string(i) + '\t' + std::string(100, 'v') + '\n';
  }
  workshop.isolde({"load", "a.db", "-k", "ks"}, input);
  const Finished sound = workshop.isolde({"verify", "a.db"});
  BOOST_TEST(sound.code == 0, sound.err);
  BOOST_TEST(sound.out.find("5000 keys") != std::string::npos);
  // Pages of the tree overwritten, the meta pages left alone.
  const Finished damaged = workshop.bash(
      "f=$(ls -S a.db/* | head -1); size=$(stat -c %s $f);"
      "head -c $((size - 16384)) /dev/urandom |"
      " dd of=$f bs=4096 seek=4 conv=notrunc status=none; isolde verify a.db");
  BOOST_TEST(damaged.code == 3);
  BOOST_TEST(says(damaged, "a.db"));
}

BOOST_AUTO_TEST_CASE(a_backup_holds_the_same_and_never_overwrites) {
  const Workshop workshop;
  workshop.isolde({"load", "a.db"}, "a\t1\nb\t2\n");
  BOOST_TEST(workshop.isolde({"backup", "a.db", "copy.db"}).code == 0);
  BOOST_TEST(workshop.isolde({"dump", "copy.db"}).out == "a\t1\nb\t2\n");
  const Finished again = workshop.isolde({"backup", "a.db", "copy.db"});
  BOOST_TEST(again.code == 2);
  BOOST_TEST(says(again, "already_exists"));
}

BOOST_AUTO_TEST_CASE(shipped_scripts_play_at_every_level_as_in_their_transcripts) {
  const Workshop workshop;
  for (const lab::ShippedScript& script : lab::shipped_scripts()) {
    const std::string name(script.name.substr(0, script.name.rfind('.')));
    const Finished finished = workshop.isolde({"run", name, "--level", "all", "--locking", "all"});
    BOOST_TEST_INFO(name);
    BOOST_TEST(finished.code == 0);
    const std::filesystem::path golden = std::filesystem::path(ISOLDE_SOURCE_DIR) / "tests" /
                                         "shell" / "transcripts" / (name + ".txt");
    if (std::getenv("ISOLDE_UPDATE_TRANSCRIPTS") != nullptr) {
      test::write_file(golden, finished.out);
    }
    BOOST_TEST(finished.out == test::read_file(golden));
    std::istringstream lines(finished.out);
    for (std::string line; std::getline(lines, line);) {
      BOOST_TEST(lab::display_width(line) <= 80u);
    }
    BOOST_TEST(last_line(finished.out).ends_with(" passed, 0 failed"));
    BOOST_TEST(workshop.bash("ls -A").out == "");  // no temporary database stays behind
  }
}

BOOST_AUTO_TEST_CASE(the_matrix_fits_80_columns_and_explains_its_words) {
  const Workshop workshop;
  const Finished finished = workshop.isolde({"matrix"});
  BOOST_TEST(finished.code == 0);
  std::istringstream stream(finished.out);
  for (std::string line; std::getline(stream, line);) {
    BOOST_TEST(lab::display_width(line) <= 80u, line);
  }
  BOOST_TEST(
      finished.out.find("\nlost-update                   occurs      occurs      conflict    "
                        "deadlock\n") != std::string::npos);
  BOOST_TEST(finished.out.find("\nconflict     a transaction failed with write_conflict\n") !=
             std::string::npos);
}

BOOST_AUTO_TEST_CASE(demo_lists_the_catalogue_by_group) {
  const Workshop workshop;
  const Finished finished = workshop.isolde({"demo"});
  BOOST_TEST(finished.code == 0, finished.err);
  std::size_t last = 0;
  for (const std::string part :
       {"Phenomena", "\n  lost-update ", "\nDeadlocks\n", "\n  deadlock-of-two ",
        "\nFrom the interview room", "\n  bank-transfer ", "`isolde demo bank-transfer`"}) {
    const std::size_t at = finished.out.find(part);
    BOOST_TEST_INFO(part);
    BOOST_TEST((at != std::string::npos && (at > last || last == 0)));
    last = at;
  }
  const auto json = nlohmann::json::parse(workshop.isolde({"demo", "--format", "json"}).out);
  BOOST_TEST(json.at("entries").size() == lab::shipped_scripts().size());
}

BOOST_AUTO_TEST_CASE(demo_tells_an_entry_from_its_question_to_the_next_command) {
  const Workshop workshop;
  for (const lab::ShippedScript& script : lab::shipped_scripts()) {
    const std::string name(script.name.substr(0, script.name.rfind('.')));
    const Finished finished = workshop.isolde({"demo", name});
    BOOST_TEST_INFO(name);
    BOOST_TEST(finished.code == 0);
    std::size_t last = 0;
    for (const std::string part :
         {"?\n", "───", "verdict: ", "What to notice\n", "What prevents it\n", "What that costs\n",
          "When one would tolerate it\n", "At every level", "\nNext\n"}) {
      const std::size_t at = finished.out.find(part, last);
      BOOST_TEST_INFO(part);
      BOOST_REQUIRE(at != std::string::npos);
      last = at;
    }
    std::istringstream lines(finished.out);
    for (std::string line; std::getline(lines, line);) {
      BOOST_TEST(lab::display_width(line) <= 80u);
    }
  }
}

BOOST_AUTO_TEST_CASE(demo_plays_the_cells_that_are_asked_for_and_knows_aliases) {
  const Workshop workshop;
  const std::string dirty = workshop.isolde({"demo", "dirty-read", "--level", "ser"}).out;
  BOOST_TEST(dirty.find("aborted-read.iso · serializable optimistic") != std::string::npos);
  BOOST_TEST(dirty.find("· read-uncommitted") == std::string::npos);
  const std::string both = workshop.isolde({"demo", "bank-transfer", "--locking", "all"}).out;
  for (const std::string title :
       {"schedule 1 · repeatable-read optimistic", "schedule 2 · repeatable-read pessimistic"}) {
    BOOST_TEST(both.find(title) != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(json_tells_the_same_in_lines) {
  const Workshop workshop;
  const Finished finished =
      workshop.isolde({"run", "lost-update", "phantom", "--level", "all", "--format", "json"});
  BOOST_TEST(finished.code == 0);
  const auto lines = json_lines(finished.out);
  BOOST_REQUIRE(lines.size() == 4 * (8 + 3) + 4 * (7 + 3));
  std::map<std::string, int> conflicts;
  int summaries = 0;
  std::map<std::string, int> anomalies;
  for (const auto& line : lines) {
    if (line.at("event") == "summary") {
      ++summaries;
      BOOST_TEST(line.at("passed") >= 6);
      BOOST_TEST(line.at("failed") == 0);
    }
    if (line.at("event") == "verdict") {
      for (const std::string anomaly : line.at("anomalies")) ++anomalies[anomaly];
      BOOST_TEST(line.at("serializable") == line.at("anomalies").empty());
    }
    if (line.at("event") == "step" && line.at("outcome") != "ok") {
      conflicts[line.at("outcome")] += 1;
      BOOST_TEST(line.at("key") == "bash");
      BOOST_TEST(line.at("with") == "A");
    }
  }
  BOOST_TEST(summaries == 8);
  BOOST_TEST((anomalies == std::map<std::string, int>{{"lost-update", 2}, {"phantom", 2}}));
  BOOST_TEST((conflicts ==
              std::map<std::string, int>{{"serialization_failure", 1}, {"write_conflict", 1}}));
}

BOOST_AUTO_TEST_CASE(a_wrong_expectation_fails_the_run_and_is_pointed_at) {
  const Workshop workshop;
  workshop.write("wrong.iso",
                 "setup\n  put x 1\nsession A\n  a1: get x   => 2\nfinal x=2\nfinal y=absent\n");
  const Finished finished = workshop.isolde({"run", "wrong.iso"});
  BOOST_TEST(finished.code == 1);
  BOOST_TEST(finished.out.find("wrong.iso:4:18: step a1") != std::string::npos);
  BOOST_TEST(finished.out.find("wrong.iso:5:7: final") != std::string::npos);
  BOOST_TEST(last_line(finished.out) == "1 passed, 2 failed");
  const Finished json = workshop.isolde({"run", "wrong.iso", "--format", "json"});
  BOOST_TEST(json.code == 1);
  BOOST_TEST(json_lines(json.out).back().at("failures").size() == 2u);
}

BOOST_AUTO_TEST_CASE(no_script_is_played_if_one_of_them_is_malformed) {
  const Workshop workshop;
  workshop.write("good.iso", "session A\n  a1: put x 1 => ok\n");
  workshop.write("bad.iso", "session A\n  a1: pt x 1\n");
  const Finished finished = workshop.isolde({"run", "good.iso", "bad.iso"});
  BOOST_TEST(finished.code == 2);
  BOOST_TEST(finished.out == "");
  BOOST_TEST(says(finished, "bad.iso:2:7: unknown command pt; did you mean put?"));
}

BOOST_AUTO_TEST_CASE(garbage_for_a_script_is_an_error_and_no_crash) {
  const Workshop workshop;
  for (const std::string source :
       {"isolde run - < /bin/true", "head -c 100000 /dev/zero | isolde run -",
        "head -c 1000000 /dev/urandom | isolde run -", "isolde run - < /dev/null",
        "isolde run /bin/true"}) {
    const Finished finished = workshop.bash(source);
    BOOST_TEST_CONTEXT(source) {
      BOOST_TEST(finished.code == 2);
      BOOST_TEST(finished.out == "");
      BOOST_TEST(lab::is_utf8(finished.err));
      BOOST_TEST(finished.err.size() < 20'000u);
    }
  }
}

BOOST_AUTO_TEST_CASE(scripts_and_histories_may_begin_with_a_byte_order_mark) {
  const Workshop workshop;
  const std::string mark = "\xef\xbb\xbf";
  workshop.write("a.iso", mark + "setup\n  put x 1\nsession A\n  a1: get x => 1\n");
  BOOST_TEST(workshop.isolde({"run", "a.iso"}).code == 0);
  workshop.write("a.jsonl", mark + "{\"event\":\"begin\",\"txn\":1}\n");
  BOOST_TEST(workshop.isolde({"check", "a.jsonl"}).code == 0);
  workshop.write("lines", mark + "put x 1\n");
  const Finished shell = workshop.isolde({}, mark + "source lines\nget x\n");
  BOOST_TEST(shell.code == 0);
  BOOST_TEST(last_line(shell.out) == "A: 1");
}

BOOST_AUTO_TEST_CASE(a_setup_that_fails_is_the_scripts_fault) {
  const Workshop workshop;
  workshop.write("a.iso", "setup\n  put x one\n  add x 1\nsession A\n  a1: get x\n");
  const Finished finished = workshop.isolde({"run", "a.iso"});
  BOOST_TEST(finished.code == 2);
  BOOST_TEST(says(finished, "a.iso:3:3: setup failed: write_conflict"));
}

BOOST_AUTO_TEST_CASE(a_step_that_is_never_played_is_mentioned) {
  const Workshop workshop;
  workshop.write("a.iso", "session A\n  a1: get x\n  a2: get y => 5\nschedule a1\n");
  const Finished finished = workshop.isolde({"run", "a.iso"});
  BOOST_TEST(finished.code == 0);
  BOOST_TEST(says(finished, "a.iso:3:3: note: step a2 is in no schedule"));
}

BOOST_AUTO_TEST_CASE(both_locking_modes_are_played) {
  const Workshop workshop;
  const Finished one = workshop.isolde({"run", "lost-update", "--locking", "pessimistic"});
  BOOST_TEST(one.code == 0);
  BOOST_TEST(one.out.find("→ blocked") != std::string::npos);
  const Finished all = workshop.isolde({"run", "lost-update", "--locking", "all"});
  BOOST_TEST(all.code == 0);
  BOOST_TEST(all.out.find("repeatable-read  pessimistic") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(color_comes_only_where_it_is_wanted) {
  const Workshop workshop;
  const auto colored = [&](const std::string& command) {
    return workshop.bash(command).out.find('\x1b') != std::string::npos;
  };
  BOOST_TEST(!colored("isolde run lost-update"));
  BOOST_TEST(colored("isolde run lost-update --color always"));
  BOOST_TEST(colored("NO_COLOR=1 isolde run lost-update --color always"));
  const std::string in_terminal = "script -qec 'isolde run lost-update' /dev/null < /dev/null";
  if (workshop.bash("command -v script").code != 0) {
    return isolde::test::skipped("there is no `script` to give a terminal");
  }
  BOOST_TEST(colored("unset NO_COLOR; TERM=xterm " + in_terminal));
  BOOST_TEST(!colored("NO_COLOR=1 TERM=xterm " + in_terminal));
}

BOOST_AUTO_TEST_CASE(scripts_play_on_real_data_without_touching_it) {
  const Workshop workshop;
  const std::string packages = "bash\t9.9\nlibc6\t2.36\nlibz\t1.3\nzsh\t5\n";
  BOOST_TEST(workshop.isolde({"load", "a.db", "-k", "packages"}, packages).code == 0);
  const Finished finished = workshop.isolde(
      {"run", "lost-update", "phantom", "--level", "all", "--database", "a.db", "-k", "packages"});
  BOOST_TEST(finished.code == 0, finished.out);
  BOOST_TEST(finished.out.find("get bash → 9.9") != std::string::npos);
  BOOST_TEST(finished.out.find("final: bash=9.9+security") != std::string::npos);
  BOOST_TEST(workshop.isolde({"dump", "a.db", "-k", "packages"}).out == packages);
  const auto stat =
      nlohmann::json::parse(workshop.isolde({"stat", "a.db", "--format", "json"}).out);
  BOOST_TEST(stat.at("keyspaces").size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_limit_on_the_size_of_files_is_told_like_a_full_disk) {
  const Workshop workshop;
  workshop.isolde({"load", "a.db"}, "key\t" + std::string(500'000, 'v') + "\n");
  for (const std::string command : {"load b.db a.tsv", "run lost-update", "dump a.db out.tsv"}) {
    workshop.write("a.tsv", "a\t1\n");
    const Finished finished = workshop.bash("ulimit -f 100; isolde " + command);
    BOOST_TEST_CONTEXT(command << " said: " << finished.err) {
      BOOST_TEST((finished.code == 1 || finished.code == 3));
      BOOST_TEST(says(finished, "File too large"));
    }
  }
  BOOST_TEST(!workshop.has("out.tsv"));
}

BOOST_AUTO_TEST_CASE(an_interrupted_load_loads_nothing_and_ends_with_130) {
  const Workshop workshop;
  BOOST_TEST(workshop.bash("mkfifo pipe").code == 0);
  // The process waits in open() or read() of the pipe, which the signal must end.
  const Finished finished = workshop.isolde_while({"load", "a.db", "pipe"}, [&](int child) {
    const Finished held =
        workshop.bash("exec 3<>pipe; kill -INT " + std::to_string(child) + "; while kill -0 " +
                      std::to_string(child) + " 2>/dev/null && ! grep -q 'State:.Z' /proc/" +
                      std::to_string(child) + "/status; do :; done");
    BOOST_TEST(held.code == 0);
  });
  // Signalled before it could catch anything, it ends by the signal, as bash would say 130.
  BOOST_TEST((finished.code == 130 || finished.code == -SIGINT));
  BOOST_TEST(!workshop.has("a.db"));
}

BOOST_AUTO_TEST_CASE(output_that_cannot_be_written_is_told) {
  const Workshop workshop;
  const Finished finished = workshop.bash("isolde run lost-update > /dev/full");
  BOOST_TEST(finished.code == 1);
  BOOST_TEST(says(finished, "cannot write to standard output"));
}

// As any other command of Unix: it has died of SIGPIPE, without a word, and leaves nothing behind.
BOOST_AUTO_TEST_CASE(closed_standard_streams_are_never_files_of_a_database) {
  const Workshop workshop;
  workshop.write("a.tsv", "key\tvalue\n");
  BOOST_TEST(workshop.bash("isolde load a.db a.tsv <&- >&- 2>&-").code == 0);
  BOOST_TEST(workshop.isolde({"dump", "a.db"}).out == "key\tvalue\n");
  for (const std::string command : {"dump a.db", "stat a.db", "verify a.db", "run lost-update"}) {
    const Finished finished = workshop.bash("isolde " + command + " >&-");
    BOOST_TEST_CONTEXT(command << " said: " << finished.err) {
      BOOST_TEST(finished.code == 1);
      BOOST_TEST(says(finished, "cannot write"));
      BOOST_TEST(says(finished, "standard output"));
    }
  }
  for (const std::string command : {"", "run -", "load b.db", "check -"}) {
    const Finished finished = workshop.bash("timeout 60 isolde " + command + " <&-");
    BOOST_TEST_CONTEXT(command << " said: " << finished.err) {
      BOOST_TEST(finished.code == 2);
      BOOST_TEST(says(finished, "cannot read standard input"));
    }
  }
  BOOST_TEST(!workshop.has("b.db"));
}

BOOST_AUTO_TEST_CASE(a_reader_that_has_seen_enough_ends_any_command_quietly) {
  const Workshop workshop;
  std::string records;
  for (int i = 0; i < 20'000; ++i) records += "key" + std::to_string(i) + "\t1\n";
  workshop.write("in.tsv", records);
  BOOST_TEST(workshop.isolde({"load", "a.db", "in.tsv"}).code == 0);
  std::string typed = "put x 1\n";
  for (int i = 0; i < 20'000; ++i) typed += "get x\n";
  workshop.write("typed", typed + "put x 2\n");
  // The first reader is gone before anything is written, the second one goes while much is.
  for (const std::string command :
       {"--help", "demo", "demo write-skew", "matrix --level ru --locking optimistic",
        "run lost-update --level all", "stat a.db", "verify a.db", "dump a.db",
        "run no-such-script", "a.db < typed"}) {
    BOOST_TEST_CONTEXT(command) {
      const Finished unread = workshop.bash(
          "mkfifo q; exec 3<>q; exec 4>q; exec 3>&-; rm q;"
          "isolde " +
          command + " >&4 2>&4");
      BOOST_TEST((unread.code == 128 + SIGPIPE), unread.code);
      const Finished seen =
          workshop.bash("isolde " + command + " 2>errors | head -1; exit ${PIPESTATUS[0]}");
      BOOST_TEST((seen.code == 128 + SIGPIPE || (seen.code <= 2)), seen.code);
      if (seen.code == 128 + SIGPIPE) BOOST_TEST(workshop.read("errors") == "");
    }
  }
  BOOST_TEST(workshop.bash("ls | grep isolde-").out == "");
  // What had been read in advance of the reader's end is not executed behind it.
  BOOST_TEST(workshop.isolde({"a.db"}, "get x\n").out == "A: 1\n");
  BOOST_TEST(workshop.bash("isolde dump a.db 2>errors | head -1; exit ${PIPESTATUS[0]}").code ==
             128 + SIGPIPE);
  BOOST_TEST(workshop.read("errors") == "");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::shell
