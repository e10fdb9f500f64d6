// Drafts: scripts that programs write, cut down and write again.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace isolde::lab {

// One schedule of some sessions. The moves stand in the order of the schedule, so leaving one out
// leaves the order of the others as it was. Texts name no steps: those are named when it is
// spelled.
struct Draft {
  struct Move {
    std::size_t session = 0;
    std::string text;  // a command of the script language
    // It stands at this place inside the engine until so many further moves have been made.
    std::optional<std::string> hold = {};
    std::size_t hold_for = 1;
  };
  std::vector<std::string> setup;
  std::vector<Move> moves;

  // The first move of the transaction that this move begins or is in, and the one behind its last.
  // Moves of other sessions stand in between.
  struct Span {
    std::vector<std::size_t> moves;
  };
  std::vector<Span> transactions() const;
  Draft without(const std::vector<std::size_t>& sorted_moves) const;

  // As a script: the comment that it begins with, and lines behind the schedule (expectations).
  std::string to_script(std::string_view comment, const std::vector<std::string>& lines) const;
};

bool is_begin(std::string_view text) noexcept;
bool is_end(std::string_view text) noexcept;  // commit, or rollback of all

}  // namespace isolde::lab
