// How the interactive shell tells what happens: as text, tables or JSON.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/locks.h"
#include "lab/script/outcome.h"

namespace isolde::lab {

struct ScreenStyle {
  enum class Mode : std::uint8_t { text, table, json };
  Mode mode = Mode::text;
  bool color = false;
  std::size_t width = 80;  // columns, at least 40
  // Says for how long a session waits or has waited. Off where the same input must print the same.
  bool clock = false;
  // Breaks what may be long at the width. Off where other programs may read it.
  bool wraps = false;
  bool timer = false;  // after each command, how long it took
};

using Rows = std::vector<std::vector<std::string>>;

class Screen {
 public:
  enum class Paint : std::uint8_t { plain, good, bad, waiting, dim, bold };

  explicit Screen(ScreenStyle style) : style_(style) {}
  ScreenStyle& style() noexcept { return style_; }
  const ScreenStyle& style() const noexcept { return style_; }
  bool json() const noexcept { return style_.mode == ScreenStyle::Mode::json; }

  std::string painted(std::string_view text, Paint paint) const;
  // The name of a session in its colour; sessions are told apart by the name, not the colour alone.
  std::string session(std::size_t index, std::string_view name) const;
  // The escape that begins a session's colour, or nothing.
  std::string session_escape(std::size_t index) const;

  // "A: 10". Long results stand in lines of their own, below.
  std::string outcome(std::size_t index, std::string_view name, std::string_view verb,
                      const Outcome& outcome) const;
  // Sentences below, indented and wrapped.
  std::string note(std::string_view text) const;
  // What could not be done, or was not understood.
  std::string complaint(std::string_view text) const;
  // Rows under a first row of headings.
  std::string table(const Rows& rows) const;

  // "x is X-locked by B (put x 1, 0.4 s)".
  std::string edge(const LockWaitEdge& edge, const std::optional<std::string>& reason,
                   std::optional<std::chrono::nanoseconds> waited) const;

 private:
  std::string entries(const Entries& entries) const;
  ScreenStyle style_;
};

// A key, or a range, as scripts spell it; with `in KEYSPACE` in front unless it is the default one.
std::string spelled(const LockTarget& target);
std::string spelled_key(std::string_view keyspace, std::string_view key);
// "0.4 ms", "1.2 s".
std::string spelled(std::chrono::nanoseconds duration);
// "X" or "S".
char letter_of(LockMode mode) noexcept;

}  // namespace isolde::lab
