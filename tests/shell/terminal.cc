#include "tests/shell/terminal.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "lab/text/text.h"

namespace isolde::shell::test {

VirtualScreen::Row& VirtualScreen::row() {
  if (rows_.size() <= y_) rows_.resize(y_ + 1);
  return rows_[y_];
}

void VirtualScreen::put(std::string_view character, std::size_t width) {
  if (width == 0) {
    if (x_ > 0 && row().size() >= x_) row()[x_ - 1] += character;
    return;
  }
  if (x_ + width > columns_) {
    x_ = 0;
    ++y_;
  }
  Row& cells = row();
  if (cells.size() < x_ + width) cells.resize(x_ + width, " ");
  cells[x_] = character;
  for (std::size_t i = 1; i < width; ++i) cells[x_ + i].clear();
  x_ += width;
}

void VirtualScreen::control(char c) {
  if (c == '\r') x_ = 0;
  if (c == '\n') ++y_;
  if (c == '\b' && x_ > 0) --x_;
  if (c == '\t') x_ = std::min(columns_ - 1, (x_ / 8 + 1) * 8);
  static_cast<void>(row());
}

void VirtualScreen::sequence(std::string_view parameters, char final) {
  const auto number = lab::to_integer(parameters.substr(0, parameters.find(';')));
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(1, number.value_or(1)));
  Row& cells = row();
  switch (final) {
    case 'm':
      ++colours_;
      break;
    case 'A':
      y_ -= std::min(y_, count);
      break;
    case 'B':
      y_ += count;
      break;
    case 'C':
      x_ = std::min(columns_ - 1, x_ + count);
      break;
    case 'D':
      x_ -= std::min(x_, count);
      break;
    case 'G':
      x_ = count - 1;
      break;
    case 'K':
      if (number.value_or(0) == 0 && cells.size() > x_) cells.resize(x_);
      if (number.value_or(0) == 2) cells.clear();
      break;
    case 'J':
      if (cells.size() > x_) cells.resize(x_);
      rows_.resize(y_ + 1);
      break;
    case 'P':
      if (cells.size() > x_) {
        const auto from = cells.begin() + static_cast<std::ptrdiff_t>(x_);
        cells.erase(from, from + static_cast<std::ptrdiff_t>(std::min(count, cells.size() - x_)));
      }
      break;
    case '@':
      if (cells.size() > x_) {
        cells.insert(cells.begin() + static_cast<std::ptrdiff_t>(x_), count, " ");
      }
      break;
    default:
      break;  // modes of the terminal
  }
}

void VirtualScreen::write(std::string_view bytes) {
  pending_ += bytes;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const char c = rest[0];
    if (c == '\x1b') {
      if (rest.size() < 2) break;
      if (rest[1] != '[') {
        rest.remove_prefix(2);
        continue;
      }
      const std::size_t end =
          rest.find_first_of("@ABCDEFGHIJKLMNOPQRSTUVWXYZ`abcdefghijklmnopqrstuvwxyz", 2);
      if (end == std::string_view::npos) break;
      sequence(rest.substr(2, end - 2), rest[end]);
      rest.remove_prefix(end + 1);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      control(c);
      rest.remove_prefix(1);
    } else {
      const std::size_t length = lab::utf8_length(rest);
      constexpr std::size_t longest = 4;
      if (length == 0 && rest.size() < longest && static_cast<unsigned char>(c) >= 0xc0) break;
      const std::string_view character = rest.substr(0, std::max<std::size_t>(1, length));
      put(length == 0 ? "?" : character, length == 0 ? 1 : lab::display_width(character));
      rest.remove_prefix(character.size());
    }
  }
  pending_ = std::string(rest);
}

std::string VirtualScreen::joined(const Row& row, std::size_t to) {
  std::string text;
  for (std::size_t i = 0; i < std::min(to, row.size()); ++i) text += row[i];
  return text;
}

std::vector<std::string> VirtualScreen::lines() const {
  std::vector<std::string> lines;
  for (const Row& row : rows_) {
    std::string line = joined(row, row.size());
    while (line.ends_with(' ')) line.pop_back();
    lines.push_back(std::move(line));
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

std::string VirtualScreen::text() const {
  std::string text;
  for (const std::string& line : lines()) text += line + '\n';
  return text;
}

std::string VirtualScreen::before_cursor() const {
  return y_ < rows_.size() ? joined(rows_[y_], x_) : std::string();
}

Terminal::Terminal(const Workshop& workshop, const std::vector<std::string>& arguments,
                   const std::vector<std::pair<std::string, std::string>>& environment) {
  const std::string binary = std::string(ISOLDE_BINARY_DIR) + "/bin/isolde";
  std::vector<std::string> command{binary};
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& argument : command) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  winsize size{};
  size.ws_row = 24;
  size.ws_col = 80;
  child_ = ::forkpty(&master_, nullptr, nullptr, &size);
  if (child_ < 0) throw std::runtime_error("cannot open a terminal");
  if (child_ == 0) {
    if (::chdir(workshop.path().c_str()) != 0) ::_exit(126);
    ::setenv("TERM", "xterm-256color", 1);
    ::setenv("LC_ALL", "C.UTF-8", 1);
    ::setenv("HOME", workshop.path().c_str(), 1);
    ::setenv("TMPDIR", workshop.path().c_str(), 1);
    ::setenv("INPUTRC", "/dev/null", 1);
    ::unsetenv("NO_COLOR");
    ::unsetenv("ISOLDE_HISTORY");
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    ::execv(pointers[0], pointers.data());
    ::_exit(127);
  }
}

Terminal::~Terminal() {
  if (child_ > 0) {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }
  if (master_ >= 0) ::close(master_);
}

bool Terminal::read_some(int timeout_ms) {
  pollfd source{master_, POLLIN, 0};
  if (::poll(&source, 1, timeout_ms) <= 0) return false;
  std::array<char, 4096> bytes;
  const ssize_t count = ::read(master_, bytes.data(), bytes.size());
  if (count <= 0) return false;  // EIO: the other side is gone
  screen_.write({bytes.data(), static_cast<std::size_t>(count)});
  return true;
}

void Terminal::fail(const std::string& wanted) const {
  throw std::runtime_error("waited in vain for: " + wanted + "\nthe screen:\n" + screen_.text());
}

void Terminal::until(const std::string& wanted,
                     const std::function<bool(const VirtualScreen&)>& is_there) {
  constexpr int patience_ms = 60'000;  // of a machine that is busy with something else
  while (!is_there(screen_)) {
    if (!read_some(patience_ms)) fail(wanted);
  }
}

void Terminal::expect(const std::string& text) {
  until(text, [&text](const VirtualScreen& screen) {
    return screen.text().find(text) != std::string::npos;
  });
}

void Terminal::expect_typed(const std::string& text) {
  until("typed: " + text,
        [&text](const VirtualScreen& screen) { return screen.before_cursor().ends_with(text); });
}

void Terminal::type(std::string_view keys) {
  while (!keys.empty()) {
    const ssize_t written = ::write(master_, keys.data(), keys.size());
    if (written < 0 && errno != EINTR) fail("to be able to type");
    if (written > 0) keys.remove_prefix(static_cast<std::size_t>(written));
  }
}

void Terminal::enter(std::string_view line) {
  expect_typed("]> ");
  type(line);
  expect_typed("]> " + std::string(line));
  const std::size_t lines = screen_.lines().size();
  type("\r");
  until("a prompt after " + std::string(line), [lines](const VirtualScreen& screen) {
    return screen.lines().size() > lines && screen.before_cursor().ends_with("]> ");
  });
}

int Terminal::exit_code() {
  constexpr int patience_ms = 60'000;
  while (read_some(patience_ms)) {
  }
  return await_end();
}

int Terminal::hang_up() {
  ::close(std::exchange(master_, -1));
  return await_end();
}

int Terminal::await_end() {
  int status = 0;
  while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
  }
  child_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace isolde::shell::test
