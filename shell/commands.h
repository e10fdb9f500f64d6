// The subcommands of `isolde`. Each adds itself to the parser, and once parsed leaves in the
// invocation what is to be run; that returns the exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace isolde::shell {

struct Invocation {
  std::function<int()> run;
  std::function<int()> otherwise;  // where no subcommand is named
};

void add_interactive_shell(CLI::App& app, Invocation& invocation);
void add_run_command(CLI::App& app, Invocation& invocation);
void add_demo_command(CLI::App& app, Invocation& invocation);
void add_matrix_command(CLI::App& app, Invocation& invocation);
void add_explore_command(CLI::App& app, Invocation& invocation);
void add_check_command(CLI::App& app, Invocation& invocation);
void add_stress_command(CLI::App& app, Invocation& invocation);
void add_shrink_command(CLI::App& app, Invocation& invocation);
void add_load_command(CLI::App& app, Invocation& invocation);
void add_dump_command(CLI::App& app, Invocation& invocation);
void add_stat_command(CLI::App& app, Invocation& invocation);
void add_verify_command(CLI::App& app, Invocation& invocation);
void add_backup_command(CLI::App& app, Invocation& invocation);

}  // namespace isolde::shell
