// The documentation's examples, run: what it shows is what happens.
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "lab/script/command_registry.h"
#include "lab/workbench/shell_command.h"
#include "tests/shell/process.h"
#include "tests/support/skipped.h"

namespace isolde::shell {
namespace {

using test::Finished;
using test::Workshop;

struct Block {
  std::string language;
  std::vector<std::string> lines;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string page(const std::string& name) {
  return test::read_file(std::filesystem::path(ISOLDE_SOURCE_DIR) / "docs" / name);
}

std::vector<Block> blocks_of(const std::string& name) {
  std::vector<Block> blocks;
  bool inside = false;
  for (const std::string& line : lines_of(page(name))) {
    if (line.starts_with("```")) {
      inside = !inside;
      if (inside) blocks.push_back({line.substr(3), {}});
    } else if (inside) {
      blocks.back().lines.push_back(line);
    }
  }
  return blocks;
}

// "..." alone stands for any lines, within a line for any text, as often as it occurs.
bool line_matches(std::string_view pattern, std::string_view line) {
  const std::size_t dots = pattern.find("...");
  if (dots == std::string_view::npos) return pattern == line;
  if (!line.starts_with(pattern.substr(0, dots))) return false;
  const std::string_view after = pattern.substr(dots + 3);
  for (std::size_t at = dots; at <= line.size(); ++at) {
    if (line_matches(after, line.substr(at))) return true;
  }
  return false;
}

bool matches(const std::vector<std::string>& pattern, std::size_t p,
             const std::vector<std::string>& lines, std::size_t l) {
  if (p == pattern.size()) return l == lines.size();
  if (pattern[p] == "...") {
    for (std::size_t rest = l; rest <= lines.size(); ++rest) {
      if (matches(pattern, p + 1, lines, rest)) return true;
    }
    return false;
  }
  return l < lines.size() && line_matches(pattern[p], lines[l]) &&
         matches(pattern, p + 1, lines, l + 1);
}

void check_command(const Workshop& workshop, const std::string& command,
                   const std::vector<std::string>& expected) {
  if (command.find("mdb_") != std::string::npos && workshop.bash("command -v mdb_load").code != 0) {
    isolde::test::skipped("lmdb-utils is not installed");
    return;
  }
  // As on a terminal, where both streams come out; but in order, each whole.
  const Finished finished = workshop.bash("{ " + command + "\n} 2>&1");
  std::vector<std::string> printed = lines_of(finished.out);
  // AddressSanitizer doubts fibers aloud, although lab/fiber.cc tells it of each switch.
  std::erase_if(printed, [](const std::string& line) {
    return line.find("WARNING: ASan doesn't fully support makecontext") != std::string::npos;
  });
  BOOST_TEST(matches(expected, 0, printed, 0), "$ " << command << "\nprinted:\n" << finished.out);
}

void check_console(const Workshop& workshop, const Block& block) {
  for (std::size_t i = 0; i < block.lines.size();) {
    BOOST_REQUIRE(block.lines[i].starts_with("$ "));
    std::string command = block.lines[i++].substr(2);
    if (command.ends_with("<<END")) {  // what is typed goes on, to a line that says END
      for (bool ends = false; !ends && i < block.lines.size(); ++i) {
        command += '\n' + block.lines[i];
        ends = block.lines[i] == "END";
      }
    }
    std::vector<std::string> expected;
    for (; i < block.lines.size() && !block.lines[i].starts_with("$ "); ++i) {
      expected.push_back(block.lines[i]);
    }
    check_command(workshop, command, expected);
  }
}

// A script that begins with "# NAME.iso:" is kept under that name for the commands that follow.
void check_script(const Workshop& workshop, const Block& block) {
  std::string text;
  for (const std::string& line : block.lines) text += line + '\n';
  std::string name = "example.iso";
  const std::string& first = block.lines.front();
  if (const std::size_t end = first.find(".iso:");
      first.starts_with("# ") && end != std::string::npos) {
    name = first.substr(2, end + 4 - 2);
  }
  workshop.write(name, text);
  const Finished finished = workshop.isolde({"run", name, "--level", "all"});
  BOOST_TEST(finished.code == 0, text << finished.out << finished.err);
  BOOST_TEST(finished.out.find("nothing was expected here") == std::string::npos, text);
}

std::size_t check_page(const std::string& name) {
  const Workshop workshop;
  std::size_t checked = 0;
  for (const Block& block : blocks_of(name)) {
    if (block.language == "console") check_console(workshop, block);
    if (block.language == "iso") check_script(workshop, block);
    checked += block.language == "console" || block.language == "iso" ? 1 : 0;
  }
  return checked;
}

BOOST_AUTO_TEST_SUITE(docs)

BOOST_AUTO_TEST_CASE(the_matcher_itself_can_fail) {
  BOOST_TEST(matches({"a", "...", "d"}, 0, {"a", "b", "c", "d"}, 0));
  BOOST_TEST(!matches({"a", "...", "d"}, 0, {"a", "b", "c"}, 0));
  BOOST_TEST(matches({"in ... s"}, 0, {"in 0.1 s"}, 0));
  BOOST_TEST(!matches({"in ... s"}, 0, {"in 0.1 ms?"}, 0));
  BOOST_TEST(!matches({}, 0, {"a"}, 0));
}

BOOST_AUTO_TEST_CASE(every_example_of_the_command_line_page_runs) {
  BOOST_TEST(check_page("command-line.md") >= 8u);
}

BOOST_AUTO_TEST_CASE(every_example_of_the_explorer_page_runs) {
  BOOST_TEST(check_page("explorer.md") >= 4u);
}

BOOST_AUTO_TEST_CASE(every_example_of_the_scripts_page_plays) {
  BOOST_TEST(check_page("scripts.md") >= 5u);
}

// What is typed stands behind a prompt; the blocks of the page are one session at the terminal.
BOOST_AUTO_TEST_CASE(the_tour_is_what_the_shell_shows_when_it_is_typed) {
  const Workshop workshop;
  std::string typed;
  std::vector<std::string> expected;
  for (const Block& block : blocks_of("tour.md")) {
    if (block.language != "isolde") continue;
    for (const std::string& line : block.lines) {
      expected.push_back(line);
      if (const std::size_t end = line.find("]> "); end != std::string::npos) {
        typed += line.substr(end + 3) + '\n';
      }
    }
  }
  BOOST_TEST(expected.size() > 50u);
  const Finished finished = workshop.isolde({"--echo"}, typed);
  BOOST_TEST(finished.code == 0, finished.err);
  BOOST_TEST(matches(expected, 0, lines_of(finished.out), 0), finished.out);
  const Finished played = workshop.isolde({"run", "tour.iso"});
  BOOST_TEST(played.code == 0, played.out << played.err);
}

BOOST_AUTO_TEST_CASE(every_command_of_the_shell_is_on_the_command_line_page_with_its_example) {
  const std::string text = page("command-line.md");
  for (const lab::ShellCommandSpec& spec : lab::shell_command_registry()) {
    std::string syntax = "| `";
    for (const char c : spec.syntax) syntax += c == '|' ? std::string("\\|") : std::string(1, c);
    BOOST_TEST_INFO(spec.word);
    BOOST_TEST(text.find(syntax + "` |") != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(the_matrix_page_is_what_the_matrix_prints) {
  const Workshop workshop;
  const Finished finished = workshop.isolde({"matrix", "--format", "markdown"});
  BOOST_TEST(finished.code == 0, finished.out);
  const std::string text = page("matrix.md");
  const std::size_t table = text.find("| optimistic |");
  const std::string intro = text.substr(0, table);
  if (std::getenv("ISOLDE_UPDATE_TRANSCRIPTS") != nullptr) {
    test::write_file(std::filesystem::path(ISOLDE_SOURCE_DIR) / "docs" / "matrix.md",
                     intro + finished.out);
  }
  BOOST_REQUIRE(table != std::string::npos);
  BOOST_TEST(text.substr(table) == finished.out);
}

BOOST_AUTO_TEST_CASE(the_page_of_anomalies_is_what_the_catalogue_prints) {
  const Workshop workshop;
  const Finished finished = workshop.isolde({"demo", "--format", "markdown"});
  BOOST_TEST(finished.code == 0, finished.err);
  if (std::getenv("ISOLDE_UPDATE_TRANSCRIPTS") != nullptr) {
    test::write_file(std::filesystem::path(ISOLDE_SOURCE_DIR) / "docs" / "anomalies.md",
                     finished.out);
  }
  BOOST_TEST((page("anomalies.md") == finished.out));
}

BOOST_AUTO_TEST_CASE(every_command_of_the_page_of_anomalies_runs) {
  BOOST_TEST(check_page("anomalies.md") >= 36u);
}

BOOST_AUTO_TEST_CASE(every_command_of_the_interview_page_runs) {
  BOOST_TEST(check_page("interview.md") >= 15u);
}

BOOST_AUTO_TEST_CASE(every_command_of_the_stress_page_runs) {
  BOOST_TEST(check_page("stress.md") >= 2u);
}

BOOST_AUTO_TEST_CASE(every_command_is_on_the_scripts_page_with_syntax_and_example) {
  const std::string text = page("scripts.md");
  const auto in_table = [](std::string_view code) {
    std::string escaped = "`";
    for (const char c : code) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
    return escaped + '`';
  };
  for (const lab::CommandSpec& spec : lab::command_registry()) {
    BOOST_TEST_INFO(spec.word);
    BOOST_TEST(text.find("| " + in_table(spec.syntax) + " | " + in_table(spec.example) + " |") !=
               std::string::npos);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::shell
