#include "lab/stress/draft.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "lab/text/text.h"

namespace isolde::lab {
namespace {

constexpr std::size_t comment_width = 98;
constexpr std::size_t alphabet_size = 26;

// A, B, ... Z, S27, S28, ...
std::string session_name(std::size_t number) {
  if (number < alphabet_size) return std::string(1, static_cast<char>('A' + number));
  return fmt::format("S{}", number + 1);
}

std::string step_prefix(std::size_t number) {
  if (number < alphabet_size) return std::string(1, static_cast<char>('a' + number));
  return fmt::format("s{}_", number + 1);
}

}  // namespace

bool is_begin(std::string_view text) noexcept { return text.substr(0, 5) == "begin"; }

bool is_end(std::string_view text) noexcept { return text == "commit" || text == "rollback"; }

std::vector<Draft::Span> Draft::transactions() const {
  std::vector<Span> spans;
  std::map<std::size_t, std::size_t> open;  // by session: index of its span
  for (std::size_t move = 0; move < moves.size(); ++move) {
    const Move& at = moves[move];
    auto found = open.find(at.session);
    if (found == open.end() || is_begin(at.text)) {
      open[at.session] = spans.size();
      spans.push_back({});
      found = open.find(at.session);
    }
    spans[found->second].moves.push_back(move);
  }
  return spans;
}

Draft Draft::without(const std::vector<std::size_t>& sorted_moves) const {
  Draft draft;
  draft.setup = setup;
  draft.moves.reserve(moves.size());
  for (std::size_t move = 0; move < moves.size(); ++move) {
    if (!std::binary_search(sorted_moves.begin(), sorted_moves.end(), move)) {
      draft.moves.push_back(moves[move]);
    }
  }
  return draft;
}

std::string Draft::to_script(std::string_view comment,
                             const std::vector<std::string>& lines) const {
  std::map<std::size_t, std::size_t> numbers;  // sessions, as they first appear
  std::vector<std::size_t> steps_of;
  std::vector<std::string> names;
  names.reserve(moves.size());
  for (const Move& move : moves) {
    const std::size_t number = numbers.emplace(move.session, numbers.size()).first->second;
    if (number == steps_of.size()) steps_of.push_back(0);
    names.push_back(fmt::format("{}{}", step_prefix(number), ++steps_of[number]));
  }
  std::string script;
  for (const std::string& line : wrapped(comment, comment_width)) {
    if (!line.empty()) script += fmt::format("# {}\n", line);
  }
  if (!setup.empty()) script += "setup\n";
  for (const std::string& line : setup) script += fmt::format("  {}\n", line);
  std::vector<std::string> sessions(steps_of.size());
  for (std::size_t i = 0; i < moves.size(); ++i) {
    const Move& move = moves[i];
    std::string hold;
    if (move.hold && i + 1 < moves.size()) {
      const std::size_t until =
          std::min(i + std::max<std::size_t>(1, move.hold_for), moves.size() - 1);
      hold = fmt::format("hold \"{}\" until {}; ", *move.hold, names[until]);
    }
    sessions[numbers[move.session]] += fmt::format("  {}: {}{}\n", names[i], hold, move.text);
  }
  for (std::size_t number = 0; number < sessions.size(); ++number) {
    script += fmt::format("session {}\n{}", session_name(number), sessions[number]);
  }
  script += fmt::format("schedule {}\n", fmt::join(names, " "));
  for (const std::string& line : lines) script += line + '\n';
  return script;
}

}  // namespace isolde::lab
