// The text of a script, places in it, and errors that point at them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace isolde::lab {

// A stretch of one line; line and column count from 1, columns and lengths are in bytes.
struct Place {
  std::size_t line = 1;
  std::size_t column = 1;
  std::size_t length = 1;
};

// A script's name and lines. Copyable; views into it live as long as it does.
class Source {
 public:
  Source(std::string name, std::string text);

  const std::string& name() const noexcept { return name_; }
  const std::string& text() const noexcept { return text_; }
  std::size_t line_count() const noexcept { return starts_.size(); }
  // The line without its line end ("\n" or "\r\n"). Precondition: 1 <= line <= line_count().
  std::string_view line(std::size_t line) const;

 private:
  std::string name_;
  std::string text_;
  std::vector<std::size_t> starts_;
};

struct ScriptError {
  Place place;
  std::string message;
};

// "file:line:column: message", the line, and a caret under the place. A long line is shown in part,
// bytes that a terminal should not see are replaced, so that the caret stands right.
std::string render(const Source& source, const ScriptError& error);
// The line and the caret only.
std::string render_place(const Source& source, const Place& place);

// The candidate that `word` was probably meant to be, or an empty view. At most a third of the
// letters may differ.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);
// "; did you mean X?", or nothing.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

}  // namespace isolde::lab
