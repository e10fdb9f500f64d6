// The interactive shell in a real terminal, typed at by hand.
#include "tests/shell/terminal.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

namespace isolde::shell {
namespace {

using test::Terminal;
using test::VirtualScreen;
using test::Workshop;

bool shows(const Terminal& terminal, const std::string& text) {
  return terminal.screen().text().find(text) != std::string::npos;
}

BOOST_AUTO_TEST_SUITE(terminal)

BOOST_AUTO_TEST_CASE(the_screen_itself_understands_what_it_is_told) {
  VirtualScreen screen(10);
  screen.write("ab\x1b[31mc\x1b[0m\r\nx\bz\r\n日本語日本語");
  BOOST_TEST(screen.text() == "abc\nz\n日本語日本\n語\n");
  BOOST_TEST(screen.colours() == 2u);
  screen.write("\x1b[A\r\x1b[Khey\x1b[2Do");
  BOOST_TEST(screen.text() == "abc\nz\nhoy\n語\n");
  BOOST_TEST(screen.before_cursor() == "ho");
}

BOOST_AUTO_TEST_CASE(a_lost_update_typed_by_hand_in_two_sessions) {
  const Workshop workshop;
  Terminal terminal(workshop, {"--level", "rc"});
  for (const char* line : {"put x 10", "session B", "A: begin", "B: begin", "A: get x", "B: get x",
                           "A: put x 11", "B: put x 11", "A: commit", "B: commit", "get x"}) {
    terminal.enter(line);
  }
  BOOST_TEST(shows(terminal, "B: 11"), terminal.screen().text());
  terminal.enter("verdict");
  BOOST_TEST(shows(terminal, "lost-update"), terminal.screen().text());
  terminal.type("\x04");
  BOOST_TEST(terminal.exit_code() == 0);
}

BOOST_AUTO_TEST_CASE(a_blocked_session_leaves_the_prompt_free_and_the_prompt_says_so) {
  const Workshop workshop;
  Terminal terminal(workshop, {"--level", "rc", "--locking", "pessimistic"});
  terminal.enter("begin");
  BOOST_TEST(terminal.screen().before_cursor() == "A[rc pessimistic open]> ");
  terminal.enter("put x 1");
  terminal.enter("session B");
  terminal.enter("put x 2");
  BOOST_TEST(shows(terminal, "B waits: x is X-locked by A (put x 1)"), terminal.screen().text());
  BOOST_TEST(terminal.screen().before_cursor() == "B[rc pessimistic waits]> ");
  terminal.enter("A: commit");
  BOOST_TEST(shows(terminal, "B wakes after "), terminal.screen().text());
  BOOST_TEST(terminal.screen().before_cursor() == "B[rc pessimistic]> ");
  terminal.enter("get x");
  BOOST_TEST(shows(terminal, "B: 2"));
}

BOOST_AUTO_TEST_CASE(a_wake_prints_itself_above_the_line_being_typed_which_survives) {
  const Workshop workshop;
  Terminal terminal(workshop, {"--level", "rc", "--locking", "pessimistic"});
  terminal.enter("begin");
  terminal.enter("put x 1");
  terminal.enter("session B");
  terminal.enter("begin timeout 1s");
  terminal.enter("put x 2");
  terminal.type("put 日本 half-typ");
  terminal.expect_typed("put 日本 half-typ");
  terminal.expect("B wakes after ");
  terminal.expect("lock_timeout on x with A");
  terminal.expect_typed("B[rc pessimistic open]> put 日本 half-typ");
  BOOST_TEST(terminal.screen().text().find("half") == terminal.screen().text().rfind("half"),
             terminal.screen().text());
  terminal.type("ed\r");
  terminal.expect_typed("]> ");
  terminal.enter("get 日本");
  BOOST_TEST(shows(terminal, "B: half-typed"), terminal.screen().text());
}

BOOST_AUTO_TEST_CASE(a_deadlock_in_two_sessions_costs_the_younger_one) {
  const Workshop workshop;
  Terminal terminal(workshop, {"--level", "rc", "--locking", "pessimistic"});
  for (const char* line :
       {"begin", "session B", "begin", "A: put x 1", "B: put y 1", "A: put y 2", "B: put x 2"}) {
    terminal.enter(line);
  }
  BOOST_TEST(shows(terminal, "B: deadlock on x with A"), terminal.screen().text());
  BOOST_TEST(shows(terminal, ": put y 2 → ok"), terminal.screen().text());
  BOOST_TEST(terminal.screen().before_cursor() == "B[rc pessimistic aborted]> ");
  terminal.enter("explain");
  BOOST_TEST(shows(terminal, "B's transaction was aborted in b3"), terminal.screen().text());
}

BOOST_AUTO_TEST_CASE(tab_completes_commands_sessions_levels_keyspaces_and_live_keys) {
  const Workshop workshop;
  Terminal terminal(workshop);
  terminal.enter("put account/alice 1");
  terminal.enter("keyspace stock");
  terminal.enter("session Bob");
  const std::vector<std::pair<std::string, std::string>> all{
      {"vers\t", "versions "},
      {"use B\t", "use Bob "},
      {"B\tget", "Bob: get"},
      {"begin seri\t", "begin serializable "},
      {"session C \tread-c\t", "session C read-committed "},
      {"in st\tget", "in stock get"},
      {"get acc\t", "get account/alice "},
      {"Bob: get a\t", "Bob: get account/alice "},
      {"help dead\t", "help deadlocks "},
  };
  for (const auto& [typed, completed] : all) {
    terminal.type(typed);
    terminal.expect_typed("]> " + completed);
    terminal.type("\x15");  // Ctrl-U
    terminal.expect_typed("]> ");
  }
  workshop.write("steps.txt", "get account/alice\n");
  terminal.type("source ste\t\r");
  terminal.expect("Bob: 1");
}

BOOST_AUTO_TEST_CASE(history_is_there_again_the_next_time) {
  const Workshop workshop;
  {
    Terminal terminal(workshop);
    terminal.enter("put x 1");
    terminal.enter("get x");
    terminal.type("\x1b[A\x1b[A");
    terminal.expect_typed("]> put x 1");
    terminal.type("\x1b[B");
    terminal.expect_typed("]> get x");
    terminal.type("\x15quit\r");
    BOOST_TEST(terminal.exit_code() == 0);
  }
  Terminal terminal(workshop);
  terminal.expect_typed("]> ");
  terminal.type("\x1b[A\x1b[A");
  terminal.expect_typed("]> get x");
  terminal.type("\x15\x12put");  // Ctrl-R
  terminal.expect("`put': put x 1");
  terminal.type("\r");
  terminal.expect("A: ok");
}

BOOST_AUTO_TEST_CASE(ctrl_c_ends_a_wait_or_empties_the_line_but_not_the_shell) {
  const Workshop workshop;
  Terminal terminal(workshop, {"--level", "rc", "--locking", "pessimistic"});
  terminal.expect_typed("]> ");
  terminal.type("put half");
  terminal.expect_typed("]> put half");
  terminal.type("\x03");
  terminal.expect("^C");
  terminal.expect_typed("]> ");
  terminal.enter("begin");
  terminal.enter("put x 1");
  terminal.enter("session B");
  terminal.enter("put x 2");
  terminal.type("wait B 1000s\r");
  terminal.expect("wait B 1000s");
  terminal.until("the wait to begin", [](const VirtualScreen& screen) {
    return screen.before_cursor().empty();  // the line was entered: the cursor is below it
  });
  terminal.type("\x03");
  terminal.expect("B still waits");
  terminal.expect_typed("B[rc pessimistic waits]> ");
  terminal.type("\x03");
  terminal.expect("put x 2 → cancelled");
  terminal.expect_typed("B[rc pessimistic]> ");
  terminal.type("\x03");
  terminal.expect("To leave: quit, or Ctrl-D.");
  terminal.enter("A: commit");
  terminal.enter("get x");
  BOOST_TEST(shows(terminal, "B: 1"), terminal.screen().text());
  terminal.type("\x04");
  BOOST_TEST(terminal.exit_code() == 0);
}

BOOST_AUTO_TEST_CASE(ctrl_c_gives_up_reading_a_file_that_never_ends) {
  const Workshop workshop;
  BOOST_TEST(workshop.bash("mkfifo pipe").code == 0);
  Terminal terminal(workshop);
  terminal.enter("put x 1");
  terminal.type("source pipe\r");
  terminal.expect("source pipe");
  terminal.until("the line to be entered",
                 [](const VirtualScreen& screen) { return screen.before_cursor().empty(); });
  terminal.type("\x03");
  terminal.expect("interrupted");
  terminal.enter("get x");
  BOOST_TEST(shows(terminal, "A: 1"), terminal.screen().text());
}

BOOST_AUTO_TEST_CASE(complaints_break_between_words_at_80_columns) {
  const Workshop workshop;
  Terminal terminal(workshop);
  terminal.enter("begin serialisable");
  BOOST_TEST(
      shows(terminal,
            "begin takes [level] [locking] [read only] [timeout 50ms] [priority N], in this\n"
            "order, not serialisable; did you mean serializable?\n"
            "   begin serialisable\n         ^~~~~~~~~~~~\n"),
      terminal.screen().text());
}

BOOST_AUTO_TEST_CASE(long_lines_wide_characters_and_binary_keys_keep_to_80_columns) {
  const Workshop workshop;
  Terminal terminal(workshop);
  terminal.expect_typed("]> ");
  const std::string value(120, 'v');
  terminal.type("put 日本語 " + value + "\r");
  terminal.expect("A: ok");
  terminal.expect_typed("]> ");
  terminal.enter("put \"\\x00\\xff\" 1");
  terminal.enter("put 鍵 値");
  terminal.type("scan *\r");
  terminal.expect("A: 3 entries");
  terminal.expect("\"\\x00\\xff\"=1");
  terminal.expect("鍵=値");
  terminal.expect_typed("]> ");
  terminal.enter("mode table");
  terminal.enter("scan 鍵*");
  BOOST_TEST(shows(terminal, "   鍵   値"), terminal.screen().text());
}

BOOST_AUTO_TEST_CASE(colour_tells_sessions_apart_unless_it_is_unwanted) {
  const Workshop workshop;
  {
    Terminal terminal(workshop);
    terminal.enter("put x 1");
    BOOST_TEST(terminal.screen().colours() > 0u);
  }
  Terminal terminal(workshop, {}, {{"NO_COLOR", "1"}});
  terminal.enter("put x 1");
  BOOST_TEST(shows(terminal, "A: ok"));
  BOOST_TEST(terminal.screen().colours() == 0u);
}

BOOST_AUTO_TEST_CASE(a_window_that_is_closed_leaves_no_temporary_database_behind) {
  const Workshop workshop;
  Terminal terminal(workshop);
  terminal.enter("put x 1");
  BOOST_TEST(workshop.bash("ls -d isolde-shell-*").code == 0);
  BOOST_TEST(terminal.hang_up() > 0);  // it meets the signal first, or the end of its input
  BOOST_TEST(workshop.bash("ls -d isolde-shell-*").code != 0);
}

BOOST_AUTO_TEST_CASE(what_was_typed_is_saved_and_plays) {
  const Workshop workshop;
  Terminal terminal(workshop);
  for (const char* line : {"put x 1", "session B", "begin", "get x", "A: put x 2", "put x 3",
                           "commit", "save mine.iso", "quit"}) {
    if (line == std::string_view("quit")) {
      terminal.type("quit\r");
    } else {
      terminal.enter(line);
    }
  }
  BOOST_TEST(terminal.exit_code() == 0);
  const test::Finished played = workshop.isolde({"run", "mine.iso"});
  BOOST_TEST(played.code == 0, played.out << played.err);
  BOOST_TEST(played.out.find("write_conflict") != std::string::npos, played.out);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::shell
