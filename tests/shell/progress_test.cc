// What takes long, on a terminal: it says how far it is, and Ctrl-C ends it in good order.
#include <boost/test/unit_test.hpp>
#include <string>

#include "tests/shell/terminal.h"

namespace isolde::shell {
namespace {

using test::Terminal;
using test::VirtualScreen;
using test::Workshop;

bool shows(const Terminal& terminal, const std::string& text) {
  return terminal.screen().text().find(text) != std::string::npos;
}

// Shown twice, differently: it is kept up to date.
void expect_progress(Terminal& terminal, const std::string& what) {
  terminal.expect(what);
  const std::string first = terminal.screen().text();
  terminal.until("another " + what, [&](const VirtualScreen& screen) {
    const std::string now = screen.text();
    return now != first && now.find(what) != std::string::npos;
  });
}

BOOST_AUTO_TEST_SUITE(progress)

BOOST_AUTO_TEST_CASE(explore_tells_its_runs_and_ctrl_c_keeps_what_there_is) {
  const Workshop workshop;
  std::string script;
  for (const char* session : {"a", "b", "c"}) {
    script.append("session S").append(session).append("\n");
    for (char step = '1'; step <= '9'; ++step) {
      script.append("  ").append(session).append(1, step).append(": put x 1\n");
    }
  }
  workshop.write("long.iso", script);  // 2 * 10^11 orders
  Terminal terminal(workshop, {"explore", "long.iso", "--limit", "4000000000"});
  expect_progress(terminal, " runs");
  BOOST_TEST(shows(terminal, "1 of 8, read-uncommitted optimistic: "), terminal.screen().text());
  terminal.type("\x03");
  BOOST_TEST(terminal.exit_code() == 130);
  BOOST_TEST(shows(terminal, "long.iso: interrupted; what is told is of the runs until then"),
             terminal.screen().text());
  BOOST_TEST(shows(terminal, "interleavings judged by"), terminal.screen().text());
  BOOST_TEST(!shows(terminal, "1 of 8"), terminal.screen().text());
}

BOOST_AUTO_TEST_CASE(stress_tells_what_ran_and_what_is_left_and_ctrl_c_ends_it_with_a_summary) {
  for (const char* mode : {"steps", "threads"}) {
    const Workshop workshop;
    Terminal terminal(workshop, {"stress", "--minutes", "90", "--seed", "7", "--mode", mode});
    expect_progress(terminal, " left, no failure: ");
    BOOST_TEST(shows(terminal, " rounds of threads, "), terminal.screen().text());
    terminal.type("\x03");
    BOOST_TEST(terminal.exit_code() == 130);
    BOOST_TEST(shows(terminal, "transactions: "), terminal.screen().text());
    BOOST_TEST(shows(terminal, "interrupted; nothing went wrong until then"),
               terminal.screen().text());
    BOOST_TEST(!shows(terminal, "no failure"), terminal.screen().text());
  }
}

BOOST_AUTO_TEST_CASE(where_there_is_no_terminal_a_short_run_tells_nothing_of_it) {
  const Workshop workshop;
  const test::Finished finished =
      workshop.isolde({"stress", "--minutes", "0.01", "--seed", "7", "--mode", "steps"});
  BOOST_TEST(finished.code == 0);
  BOOST_TEST(finished.err == "");
  BOOST_TEST(finished.out.find("nothing went wrong\n") != std::string::npos, finished.out);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::shell
