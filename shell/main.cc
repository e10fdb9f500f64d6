// The command `isolde`.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "exit_code.h"
#include "faults.h"
#include "interrupt.h"
#include "lab/text/source.h"
#include "lab/text/text.h"
#include "stream.h"

namespace isolde::shell {
namespace {

constexpr const char* description =
    "Isolde: a transactional key-value store with every isolation level, side by side.";

constexpr const char* examples = R"(Examples:
  isolde                                    the interactive shell, on a temporary database
  isolde bank.db                            the same on a database that stays
  isolde run lost-update --level all        see it happen, and see what prevents it
  isolde run my-script.iso --level rc       play a script of your own, check what it expects
  isolde demo                               the catalogue: anomalies, deadlocks, interview classics
  isolde matrix                             every phenomenon at every level, played now
  isolde explore my-script.iso              every order of its steps, at every level
  isolde load bank.db accounts.tsv --keyspace accounts
  isolde dump bank.db --keyspace accounts --as jsonl
  isolde stat bank.db

`isolde COMMAND --help` explains one command. Exit codes: 0 fine, 1 an expectation failed or the
work could not be done, 2 usage or malformed input, 3 the database cannot be opened or is damaged,
130 interrupted.
)";

void add_commands(CLI::App& app, Invocation& invocation) {
  app.set_version_flag("--version", std::string("isolde ") + ISOLDE_VERSION);
  app.footer(examples);
  app.require_subcommand(0, 1);
  add_interactive_shell(app, invocation);
  add_run_command(app, invocation);
  add_demo_command(app, invocation);
  add_matrix_command(app, invocation);
  add_explore_command(app, invocation);
  add_check_command(app, invocation);
  add_stress_command(app, invocation);
  add_shrink_command(app, invocation);
  add_load_command(app, invocation);
  add_dump_command(app, invocation);
  add_stat_command(app, invocation);
  add_verify_command(app, invocation);
  add_backup_command(app, invocation);
}

// A first word that is no command, and no directory to open either: a misspelt command, or one that
// is followed by what only a command could take.
bool may_be_directory(int argc, const char* const* argv,
                      const std::vector<std::string_view>& names) {
  const std::string_view word = argv[1];
  std::error_code ignored;
  if (word.find_first_of("/.") != std::string_view::npos || std::filesystem::exists(word, ignored))
    return true;
  if (!lab::nearest(word, names).empty()) return false;
  return argc == 2 || argv[2][0] == '-';
}

// CLI11 would only say that it was not expected.
bool complain_about_command(CLI::App& app, int argc, const char* const* argv) {
  if (argc < 2 || argv[1][0] == '-') return false;
  const std::vector<CLI::App*> commands = app.get_subcommands({});
  std::vector<std::string> names;
  names.reserve(commands.size());
  for (const CLI::App* command : commands) names.push_back(command->get_name());
  const std::string_view word = argv[1];
  for (const std::string& name : names) {
    if (name == word) return false;
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  // Commands of other programs. Taken for directories, they would leave databases of that name.
  const bool foreign = word == "help" || word == "version";
  std::error_code ignored;
  if (foreign ? std::filesystem::exists(word, ignored) : may_be_directory(argc, argv, views)) {
    return false;
  }
  complain(fmt::format(
      "unknown command '{}'{}", lab::printable(word),
      foreign ? fmt::format("; did you mean --{}?", word) : lab::did_you_mean(word, views)));
  std::fputs("`isolde --help` lists the commands.\n", stderr);
  return true;
}

// Mostly the quoted name of a variable that is not set; every command would take it for another.
bool complain_about_empty(int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    if (argv[i][0] != '\0') continue;
    complain(fmt::format("argument {} is empty, and names nothing", i));
    return true;
  }
  return false;
}

int parse_and_run(int argc, const char* const* argv) {
  CLI::App app(description, "isolde");
  Invocation invocation;
  add_commands(app, invocation);
  if (complain_about_empty(argc, argv) || complain_about_command(app, argc, argv)) {
    return exit_usage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app.exit(wanted);
  } catch (const CLI::ParseError& error) {
    complain(error.what());
    std::string command = "isolde";
    for (const CLI::App* parsed : app.get_subcommands()) command += ' ' + parsed->get_name();
    std::fputs(fmt::format("`{} --help` explains the usage.\n", command).c_str(), stderr);
    return exit_usage;
  }
  return invocation.run ? invocation.run() : invocation.otherwise();
}

int guarded_main(int argc, const char* const* argv) {
  try {
    return parse_and_run(argc, argv);
  } catch (const std::bad_alloc&) {
    complain("out of memory; nothing has been changed");
  } catch (const std::exception& error) {
    complain(error.what());
  }
  return exit_failed;
}

}  // namespace

static int run(int argc, const char* const* argv) {
  occupy_standard_streams();
  if (!plant_faults()) return exit_usage;
  catch_interrupts();
  const int code = guarded_main(argc, argv);
  // What is still buffered may meet a full disk, and that must not go unnoticed.
  const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
  if (reader_is_gone()) return die_of_broken_pipe();
  if (failed) {
    complain("cannot write to standard output");
    return code == exit_ok ? exit_failed : code;
  }
  return code;
}

}  // namespace isolde::shell

int main(int argc, char** argv) { return isolde::shell::run(argc, argv); }
