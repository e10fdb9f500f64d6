#include "line_editor.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include "interrupt.h"
#include "stream.h"

namespace isolde::shell {
namespace {

class PlainLines final : public LineEditor {
 public:
  Result<Input> next() override {
    // Many lines may have been read at once; none of them is executed after a signal.
    if (interrupted()) return Error(ErrorCode::cancelled, "interrupted");
    if (!input_) {
      auto opened = LineInput::open("-");
      if (!opened) return opened.error();
      input_.emplace(std::move(*opened));
    }
    auto line = input_->next();
    if (!line) return line.error();
    if (!*line) return Input{Event::end, {}};
    return Input{Event::line, std::string(**line)};
  }

  // Both streams in the order of what happens, for those who look at both.
  void show(std::string_view text, bool error) override {
    if (error) std::fflush(stdout);
    std::FILE* stream = error ? stderr : stdout;
    std::fwrite(text.data(), 1, text.size(), stream);
    std::fflush(stream);
  }

 private:
  std::optional<LineInput> input_;
};

}  // namespace

Bell::Bell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw std::runtime_error("cannot make an eventfd");
}

Bell::~Bell() { ::close(fd_); }

void Bell::ring() const noexcept {
  const std::uint64_t one = 1;
  // It fails only if it has been rung 2^64 - 1 times; then it rings anyway.
  [[maybe_unused]] const ssize_t written = ::write(fd_, &one, sizeof one);
}

bool Bell::take() const noexcept {
  std::uint64_t rung = 0;
  return ::read(fd_, &rung, sizeof rung) == sizeof rung;
}

std::unique_ptr<LineEditor> LineEditor::plain() { return std::make_unique<PlainLines>(); }

}  // namespace isolde::shell
