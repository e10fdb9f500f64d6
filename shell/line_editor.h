// Where the lines of the interactive shell come from: a terminal with line editing, or plain input.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/result.h"

namespace isolde::shell {

// Wakes a poll() from any thread. What the shell's sessions ring when time has woken one of them.
class Bell {
 public:
  Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;
  ~Bell();

  void ring() const noexcept;  // async-signal-safe, thread-safe
  bool take() const noexcept;  // it was rung since the last time
  int descriptor() const noexcept { return fd_; }

 private:
  int fd_;
};

// Not thread-safe, but for the bell.
class LineEditor {
 public:
  enum class Event : std::uint8_t { line, woken, interrupted, end };
  struct Input {
    Event event = Event::end;
    std::string line;
  };
  // What the editor asks about: the prompt (with \001 \002 around escapes), completions of the word
  // at the end of a line, and whether that word names a file.
  struct Questions {
    std::function<std::string()> prompt;
    std::function<std::vector<std::string>(std::string_view)> completions;
    std::function<bool(std::string_view)> completes_files;
  };

  virtual ~LineEditor() = default;
  // The next line; or that the bell rang meanwhile, or that Ctrl-C was hit on an empty line; what
  // is half typed then stays. Errors: io_error, cancelled (told to end), value_too_large.
  virtual Result<Input> next() = 0;
  // Shows text above the line that is being typed.
  virtual void show(std::string_view text, bool error) = 0;

  // Of the terminal if standard input and output are one, else plain; plain as well if this was
  // built without line editing.
  static std::unique_ptr<LineEditor> create(const Bell& bell, Questions questions);
  // Reads lines and nothing else.
  static std::unique_ptr<LineEditor> plain();
};

}  // namespace isolde::shell
