#include "lab/workbench/screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "isolde/keyspace.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

constexpr std::array<std::string_view, 5> session_colors{"36", "35", "34", "96", "95"};

std::string_view code_of(Screen::Paint paint) {
  switch (paint) {
    case Screen::Paint::good:
      return "32";
    case Screen::Paint::bad:
      return "31";
    case Screen::Paint::waiting:
      return "33";
    case Screen::Paint::dim:
      return "2";
    case Screen::Paint::bold:
      return "1";
    case Screen::Paint::plain:
      break;
  }
  return {};
}

}  // namespace

char letter_of(LockMode mode) noexcept { return mode == LockMode::shared ? 'S' : 'X'; }

std::string spelled_key(std::string_view keyspace, std::string_view key) {
  constexpr std::size_t shown_bytes = 48;
  std::string text = spelled_short(key, shown_bytes);
  if (keyspace != default_keyspace_name) {
    text = fmt::format("in {} {}", spelled_short(keyspace), text);
  }
  return text;
}

std::string spelled(const LockTarget& target) {
  if (target.key) return spelled_key(target.keyspace, *target.key);
  std::string text = target.range ? spelled(*target.range) : std::string("something");
  if (target.keyspace != default_keyspace_name) {
    text = fmt::format("in {} {}", spelled_short(target.keyspace), text);
  }
  return text;
}

std::string spelled(std::chrono::nanoseconds duration) {
  const double ms = std::chrono::duration<double, std::milli>(duration).count();
  if (ms < 100) return fmt::format("{:.1f} ms", ms);
  return fmt::format("{:.1f} s", ms / 1000);
}

std::string Screen::painted(std::string_view text, Paint paint) const {
  const std::string_view code = code_of(paint);
  if (!style_.color || text.empty() || code.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::string Screen::session_escape(std::size_t index) const {
  if (!style_.color) return {};
  return fmt::format("\x1b[{}m", session_colors[index % session_colors.size()]);
}

std::string Screen::session(std::size_t index, std::string_view name) const {
  if (!style_.color) return std::string(name);
  return fmt::format("{}{}\x1b[0m", session_escape(index), name);
}

std::string Screen::note(std::string_view text) const {
  constexpr std::size_t indent = 3;
  std::string block;
  for (std::string line : wrapped(text, style_.width - indent)) {
    while (line.ends_with(' ')) line.pop_back();
    block += std::string(indent, ' ') + line + '\n';
  }
  return block;
}

std::string Screen::complaint(std::string_view text) const {
  if (!style_.wraps) return painted(text, Paint::bad) + '\n';
  std::string lines;
  for (const std::string& line : wrapped(text, style_.width)) {
    lines += painted(line, Paint::bad) + '\n';
  }
  return lines;
}

std::string Screen::table(const Rows& rows) const {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      const bool last = i + 1 == rows[r].size();
      line += last ? rows[r][i] : padded(rows[r][i], widths[i] + 2);
    }
    while (line.ends_with(' ')) line.pop_back();
    text += "   " + (r == 0 ? painted(line, Paint::dim) : line) + '\n';
  }
  return text;
}

std::string Screen::entries(const Entries& entries) const {
  if (style_.mode == ScreenStyle::Mode::table) {
    Rows rows{{"key", "value"}};
    for (const auto& [key, value] : entries) rows.push_back({spelled(key), spelled(value)});
    return table(rows);
  }
  std::string text;
  for (const auto& [key, value] : entries) {
    text += fmt::format("   {}={}\n", spelled(key), spelled(value));
  }
  return text;
}

std::string Screen::outcome(std::size_t index, std::string_view name, std::string_view verb,
                            const Outcome& outcome) const {
  const std::string head = session(index, name) + std::string(verb);
  const std::string plain = std::string(name) + std::string(verb);
  if (outcome.error) {
    return head + painted(to_script(outcome), Paint::bad) + '\n';
  }
  if (const auto* entries = std::get_if<Entries>(&outcome.value);
      entries != nullptr && !outcome.skipped && !entries->empty()) {
    const std::string line = to_script(outcome);
    const bool fits = display_width(plain) + display_width(line) <= style_.width;
    if (style_.mode == ScreenStyle::Mode::text && fits) return head + line + '\n';
    return fmt::format("{}{} entr{}\n{}", head, entries->size(), entries->size() == 1 ? "y" : "ies",
                       this->entries(*entries));
  }
  return head + to_script(outcome) + '\n';
}

std::string Screen::edge(const LockWaitEdge& edge, const std::optional<std::string>& reason,
                         std::optional<std::chrono::nanoseconds> waited) const {
  const std::string holder = edge.holder.label.empty() ? "another transaction" : edge.holder.label;
  std::string text = fmt::format(
      "{} is {}", spelled(edge.target),
      edge.queued ? fmt::format("wanted before by {} ({})", holder, letter_of(edge.holder_mode))
                  : fmt::format("{}-locked by {}", letter_of(edge.holder_mode), holder));
  std::vector<std::string> details;
  if (reason && !edge.queued) details.push_back(printable(*reason));
  if (waited && style_.clock) details.push_back(spelled(*waited));
  if (!details.empty()) text += fmt::format(" ({})", fmt::join(details, ", "));
  return text;
}

}  // namespace isolde::lab
