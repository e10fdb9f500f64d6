// isolde explore: usage, exit codes, what it prints.
#include <signal.h>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/shell/process.h"

namespace isolde::shell {
namespace {

using test::Finished;
using test::Workshop;

bool holds(const std::string& text, std::string_view what) {
  return text.find(what) != std::string::npos;
}

const std::string counter =
    "setup\n  put x 0\n"
    "session A\n  a1: begin\n  a2: get x\n  a3: put x $a2+1\n  a4: commit\n"
    "session B\n  b1: begin\n  b2: get x\n  b3: put x $b2+1\n  b4: commit\n";

BOOST_AUTO_TEST_SUITE(explore_command)

BOOST_AUTO_TEST_CASE(bad_input_is_explained_with_exit_code_2) {
  const Workshop workshop;
  workshop.write("empty.iso", "setup\n  put x 1\n");
  workshop.write("broken.iso", "session A\n  a1: gett x\n");
  workshop.write("setup.iso", "setup\n  put x one\n  add_and_get x 1\nsession A\n  a1: get x\n");
  std::string crowd;
  for (int i = 0; i < 65; ++i) {
    const std::string number = std::to_string(i);
    crowd.append("session S").append(number).append("\n  s").append(number).append(": get x\n");
  }
  workshop.write("crowd.iso", crowd);
  const std::vector<std::pair<std::vector<std::string>, std::string>> table{
      {{"explore"}, "FILE is required"},
      {{"explore", "missing/file.iso"}, "cannot read missing/file.iso"},
      {{"explore", "lost-updat"}, "did you mean lost-update?"},
      {{"explore", "lost-update", "--limit", "0"}, "--limit"},
      {{"explore", "lost-update", "--limit", "-1"}, "--limit"},
      {{"explore", "lost-update", "--limit", "18446744073709551617"}, "--limit"},
      {{"explore", "lost-update", "--seed", "x"}, "--seed"},
      {{"explore", "lost-update", "--seed", "-1"}, "--seed: '-1' is not a whole number"},
      {{"explore", "lost-update", "--seed", "18446744073709551616"}, "--seed"},
      {{"explore", "lost-update", "--level", "strong"}, "strong"},
      {{"explore", "lost-update", "--format", "markdown"}, "markdown"},
      {{"explore", "empty.iso"}, "the script has no steps"},
      {{"explore", "broken.iso"}, "broken.iso:2:"},
      {{"explore", "crowd.iso"}, "65 sessions are too many to explore"},
      {{"explore", "setup.iso"}, "setup failed"},
  };
  for (const auto& [arguments, told] : table) {
    const Finished finished = workshop.isolde(arguments);
    BOOST_TEST_INFO(told << ": " << finished.err);
    BOOST_TEST(finished.code == 2);
    BOOST_TEST(holds(finished.err, told));
    BOOST_TEST(finished.out == "");
  }
}

BOOST_AUTO_TEST_CASE(what_a_script_expects_of_an_exploration_decides_the_exit_code) {
  const Workshop workshop;
  workshop.write("right.iso", counter + "explore lost-update=60 @ rc optimistic\n");
  workshop.write("wrong.iso", counter + "explore lost-update=61 @ rc optimistic\n");
  workshop.write("invariant.iso", counter + "invariant x=2 @ rc\n");
  BOOST_TEST(workshop.isolde({"explore", "right.iso"}).code == 0);
  const Finished wrong = workshop.isolde({"explore", "wrong.iso", "--level", "rc"});
  BOOST_TEST(wrong.code == 1);
  BOOST_TEST(holds(wrong.err, "wrong.iso:13:9: expected explore lost-update=61"));
  BOOST_TEST(holds(wrong.err, "but lost-update=60"));
  const Finished invariant = workshop.isolde({"explore", "invariant.iso", "--level", "rc"});
  BOOST_TEST(invariant.code == 1);
  BOOST_TEST(holds(invariant.out, "violated: invariant x=2: 60 at read-committed optimistic"));
}

BOOST_AUTO_TEST_CASE(a_witness_that_is_saved_plays) {
  const Workshop workshop;
  workshop.write("counter.iso", counter);
  const Finished found = workshop.isolde({"explore", "counter.iso", "--format", "json"});
  BOOST_TEST(found.code == 0);
  const auto json = nlohmann::json::parse(found.out);
  BOOST_TEST(json.at("runs").size() == 8u);
  for (const auto& run : json.at("runs")) {
    for (const auto& [what, witness] : run.at("witness").items()) {
      workshop.write("witness.iso", witness.at("script").get<std::string>());
      const Finished played =
          workshop.isolde({"run", "witness.iso", "--level", run.at("level").get<std::string>(),
                           "--locking", run.at("locking").get<std::string>()});
      BOOST_TEST_INFO(what << ": " << played.out);
      BOOST_TEST(played.code == 0);
    }
  }
  BOOST_TEST(json.at("false_aborts").size() == 2u);
}

BOOST_AUTO_TEST_CASE(above_its_limit_it_draws_and_names_the_seed) {
  const Workshop workshop;
  const Finished once = workshop.isolde(
      {"explore", "lost-update", "--all", "--limit", "30", "--seed", "5", "--level", "rc"});
  BOOST_TEST(once.code == 0);
  BOOST_TEST(holds(once.out, "30 orders drawn with seed 5"));
}

BOOST_AUTO_TEST_CASE(an_interrupted_exploration_tells_what_it_has_and_ends_with_130) {
  const Workshop workshop;
  BOOST_TEST(workshop.bash("mkfifo script").code == 0);
  // Reading the script from a pipe that says when it is being read: by then signals are caught.
  // What it is given keeps it busy for minutes.
  const Finished finished = workshop.isolde_while(
      {"explore", "script", "--all", "--limit", "4000000000"}, [&](int child) {
        const Finished fed = workshop.bash(
            "isolde demo --help >/dev/null; { echo 'session A'; for i in 1 2 3 4 5 6 7 8 "
            "9; do echo \"  a$i: put x $i\"; done; echo 'session B'; for i in 1 2 3 4 "
            "5 6 7 8 9; do echo \"  b$i: put x $i\"; done; } > script; kill -INT " +
            std::to_string(child));
        BOOST_TEST(fed.code == 0);
      });
  BOOST_TEST(finished.code == 130);
  BOOST_TEST(holds(finished.err, "interrupted"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::shell
