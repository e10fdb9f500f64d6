// The real binary in a real terminal: a pseudo-terminal, and a screen that understands what line
// editors write to one.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/shell/process.h"

namespace isolde::shell::test {

// What stands on a terminal of so many columns: as many lines as there ever were, none scrolls
// away. Understands UTF-8 with wide and combining characters, and the sequences that xterm is known
// for: cursor movement, erasing, inserting and deleting characters; colours are counted, not shown.
class VirtualScreen {
 public:
  explicit VirtualScreen(std::size_t columns) : columns_(columns) {}

  void write(std::string_view bytes);
  // Each without trailing blanks; none at the end that is empty.
  std::vector<std::string> lines() const;
  std::string text() const;
  // The line that the cursor is in, up to the cursor.
  std::string before_cursor() const;
  std::size_t colours() const noexcept { return colours_; }

 private:
  using Row = std::vector<std::string>;  // a cell a column; empty: behind a wide character

  void put(std::string_view character, std::size_t width);
  void control(char c);
  void sequence(std::string_view parameters, char final);
  Row& row();
  static std::string joined(const Row& row, std::size_t to);

  std::size_t columns_;
  std::vector<Row> rows_{1};
  std::size_t y_ = 0;
  std::size_t x_ = 0;
  std::size_t colours_ = 0;
  std::string pending_;  // the beginning of something incomplete
};

// `isolde ARGUMENTS...` on a terminal of 80 columns, in a directory of its own. Nothing sleeps:
// every wait is for something to be seen, and fails loudly if the program ends or a generous time
// is over.
class Terminal {
 public:
  explicit Terminal(const Workshop& workshop, const std::vector<std::string>& arguments = {},
                    const std::vector<std::pair<std::string, std::string>>& environment = {});
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal();

  // Keys as they are: "\r" is Enter, "\t" Tab, "\x03" Ctrl-C, "\x04" Ctrl-D.
  void type(std::string_view keys);
  // Types a line once the prompt is there, and waits for the next prompt.
  void enter(std::string_view line);
  // Until the screen is as wanted; `wanted` says how, for the failure.
  void until(const std::string& wanted, const std::function<bool(const VirtualScreen&)>& is_there);
  void expect(const std::string& text);
  // Until the cursor stands behind this text, at the end of what is typed.
  void expect_typed(const std::string& text);
  // Reads to the end; the exit code, or -signal.
  int exit_code();
  // Closes the terminal, as its window would be; the exit code, or -signal.
  int hang_up();

  const VirtualScreen& screen() const noexcept { return screen_; }

 private:
  int await_end();
  bool read_some(int timeout_ms);
  [[noreturn]] void fail(const std::string& wanted) const;

  int master_ = -1;
  pid_t child_ = -1;
  VirtualScreen screen_{80};
};

}  // namespace isolde::shell::test
