#include "cell_options.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <system_error>

#include "lab/text/text.h"

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
      .add_option(
          "--locking", options.locking,
          options.locking.empty()
              ? std::string("optimistic, pessimistic, or all")
              : fmt::format("optimistic, pessimistic, or all; default: {}", options.locking))
      ->check(CLI::IsMember({"optimistic", "pessimistic", "all"}));
  command.add_option("--color", options.color, "auto (default), always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}));
}

CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  const std::string wanted = fmt::format("a whole number from {} to {}", least, most);
  return {[=](const std::string& text) {
            std::uint64_t number = 0;
            const char* end = text.data() + text.size();
            const auto [stopped, error] = std::from_chars(text.data(), end, number);
            const bool whole = error == std::errc() && stopped == end;
            return whole && number >= least && number <= most
                       ? std::string()
                       : fmt::format("'{}' is not {}", lab::printable(text), wanted);
          },
          fmt::format("in [{} - {}]", least, most)};
}

CLI::Validator number_between(double least, double most) {
  const std::string wanted = fmt::format("a number from {} to {}", least, most);
  return {[=](const std::string& text) {
            double number = 0;
            // Compared so that a NaN, which is in no order, is refused.
            return CLI::detail::lexical_cast(text, number) && number >= least && number <= most
                       ? std::string()
                       : fmt::format("'{}' is not {}", lab::printable(text), wanted);
          },
          fmt::format("in [{} - {}]", least, most)};
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

lab::TranscriptStyle transcript_style(const CellOptions& options) {
  constexpr std::size_t narrowest = 40;
  constexpr std::size_t widest = 120;  // lanes further apart are harder to follow
  lab::TranscriptStyle style;
  style.color = want_color(options);
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    style.width = std::clamp<std::size_t>(size.ws_col, narrowest, widest);
  }
  return style;
}

}  // namespace isolde::shell
