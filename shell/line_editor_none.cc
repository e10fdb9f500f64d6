// Built without a library for line editing: the terminal itself lets correct a line, and no more.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "interrupt.h"
#include "line_editor.h"

namespace isolde::shell {
namespace {

class PlainTerminal final : public LineEditor {
 public:
  PlainTerminal(const Bell& bell, Questions questions)
      : bell_(bell), questions_(std::move(questions)) {}

  Result<Input> next() override {
    if (auto line = take_line()) return Input{Event::line, std::move(*line)};
    if (!prompted_) prompt();
    for (;;) {
      std::array<pollfd, 3> sources{pollfd{STDIN_FILENO, POLLIN, 0},
                                    pollfd{bell_.descriptor(), POLLIN, 0},
                                    pollfd{interrupt_descriptor(), POLLIN, 0}};
      const int ready = ::poll(sources.data(), sources.size(), -1);
      if (ready < 0 && errno != EINTR) {
        return Error(ErrorCode::io_error, "cannot wait for the terminal");
      }
      if (interrupted()) return answer_signal();
      if (ready <= 0) continue;
      if (bell_.take()) return Input{Event::woken, {}};
      if (sources[0].revents == 0) continue;
      std::array<char, 4096> bytes;
      const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) {
        std::fputs("\n", stdout);
        return Input{Event::end, {}};
      }
      typed_.append(bytes.data(), static_cast<std::size_t>(count));
      if (auto line = take_line()) return Input{Event::line, std::move(*line)};
    }
  }

  // What is half typed stays with the terminal, though not in sight.
  void show(std::string_view text, bool error) override {
    if (std::exchange(prompted_, false)) std::fputs("\n", stdout);  // next() prompts anew
    std::FILE* stream = error ? stderr : stdout;
    if (error) std::fflush(stdout);
    std::fwrite(text.data(), 1, text.size(), stream);
    std::fflush(stream);
  }

 private:
  std::optional<std::string> take_line() {
    const std::size_t end = typed_.find('\n');
    if (end == std::string::npos) return std::nullopt;
    std::string line = typed_.substr(0, end);
    typed_.erase(0, end + 1);
    prompted_ = false;
    return line;
  }

  // Ctrl-C: the terminal has dropped the line.
  Result<Input> answer_signal() {
    if (!take_interrupt()) return Error(ErrorCode::cancelled, "told to end");
    typed_.clear();
    std::fputs("\n", stdout);
    prompted_ = false;
    return Input{Event::interrupted, {}};
  }

  // Without the marks that line editors want around escapes.
  void prompt() {
    for (const char c : questions_.prompt()) {
      if (c != '\001' && c != '\002') std::fputc(c, stdout);
    }
    std::fflush(stdout);
    prompted_ = true;
  }

  const Bell& bell_;
  Questions questions_;
  std::string typed_;
  bool prompted_ = false;
};

}  // namespace

std::unique_ptr<LineEditor> LineEditor::create(const Bell& bell, Questions questions) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1) return plain();
  return std::make_unique<PlainTerminal>(bell, std::move(questions));
}

}  // namespace isolde::shell
