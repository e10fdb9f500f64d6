#include "lab/text/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/text/text.h"

namespace isolde::lab {

Source::Source(std::string name, std::string text)
    : name_(std::move(name)), text_(std::move(text)) {
  std::size_t start = 0;
  while (start < text_.size()) {
    starts_.push_back(start);
    const std::size_t end = text_.find('\n', start);
    if (end == std::string::npos) break;
    start = end + 1;
  }
}

std::string_view Source::line(std::size_t line) const {
  const std::size_t start = starts_[line - 1];
  const std::size_t end = std::min(text_.find('\n', start), text_.size());
  std::string_view found = std::string_view(text_).substr(start, end - start);
  if (found.ends_with('\r')) found.remove_suffix(1);
  return found;
}

std::string render_place(const Source& source, const Place& place) {
  if (place.line < 1 || place.line > source.line_count()) return {};
  constexpr std::size_t shown_bytes = 70;
  const std::string_view line = source.line(place.line);
  const std::size_t at = std::min(place.column - 1, line.size());
  // A window around the place: of a line of 10 MB the reader wants the part that is wrong.
  std::size_t from = 0;
  if (line.size() > shown_bytes && at > shown_bytes / 2) from = at - shown_bytes / 2;
  while (from > 0 && from < line.size() &&
         (static_cast<unsigned char>(line[from]) & 0xc0) == 0x80) {
    --from;
  }
  const std::string_view shown = line.substr(from, shown_bytes);
  const std::string before = printable(shown.substr(0, at - from));
  const std::string under =
      printable(shown.substr(std::min(at - from, shown.size()), place.length));
  const std::size_t carets = std::max<std::size_t>(1, display_width(under));
  const std::string number = std::to_string(place.line);
  std::string text = fmt::format("{:>5} | {}{}{}\n", number, from > 0 ? "…" : "", printable(shown),
                                 from + shown.size() < line.size() ? "…" : "");
  text += fmt::format("{:>5} | {:{}}^{:~<{}}\n", "", "", display_width(before) + (from > 0 ? 1 : 0),
                      "", carets - 1);
  return text;
}

std::string render(const Source& source, const ScriptError& error) {
  return fmt::format("{}:{}:{}: {}\n{}", source.name(), error.place.line, error.place.column,
                     error.message, render_place(source, error.place));
}

namespace {

// Edits that turn one into the other: a letter inserted, removed, replaced, or two swapped.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  constexpr std::size_t longest_word = 64;  // nothing longer is a misspelt keyword
  std::string_view best;
  if (word.empty() || word.size() > longest_word) return best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance > 0 && distance < best_distance && distance < candidate.size()) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
  const std::string_view found = nearest(word, candidates);
  return found.empty() ? std::string() : fmt::format("; did you mean {}?", found);
}

}  // namespace isolde::lab
