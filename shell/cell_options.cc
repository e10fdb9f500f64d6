#include "cell_options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace isolde::shell {

void add_cell_options(CLI::App& command, CellOptions& options) {
  command
      .add_option(
          "--level", options.level,
          fmt::format("read-uncommitted, read-committed, repeatable-read, serializable (ru, "
                      "rc, rr, ser, snapshot), or all; default: {}",
                      options.level))
      ->check(CLI::IsMember({"read-uncommitted", "read-committed", "repeatable-read",
                             "serializable", "ru", "rc", "rr", "ser", "snapshot", "all"}));
  command
      .add_option("--locking", options.locking,
                  fmt::format("optimistic, pessimistic, or all; default: {}", options.locking))
      ->check(CLI::IsMember({"optimistic", "pessimistic", "all"}));
  command.add_option("--color", options.color, "auto (default), always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}));
}

std::vector<lab::Cell> cells_of(const CellOptions& options) {
  std::vector<lab::Cell> cells;
  const auto wanted_level = isolation_from_name(options.level);
  const auto wanted_locking = locking_from_name(options.locking);
  for (const Locking locking : lab::all_lockings) {
    for (const Isolation level : lab::all_levels) {
      if ((!wanted_level || level == *wanted_level) &&
          (!wanted_locking || locking == *wanted_locking)) {
        cells.push_back({level, locking});
      }
    }
  }
  return cells;
}

bool want_color(const CellOptions& options) {
  if (options.color != "auto") return options.color == "always";
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 &&
         (terminal == nullptr || std::string_view(terminal) != "dumb");
}

}  // namespace isolde::shell
