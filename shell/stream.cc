#include "stream.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "interrupt.h"

namespace isolde::shell {
namespace {

constexpr std::size_t chunk_bytes = std::size_t{1} << 20;
// A value of 16 MiB takes at most four times that in an escaped form; no record is longer.
constexpr std::size_t longest_line = std::size_t{80} << 20;

Error system_failure(std::string_view doing, const std::string& name, int error) {
  const ErrorCode code = error == ENOSPC || error == EDQUOT || error == EFBIG ? ErrorCode::disk_full
                         : error == EACCES || error == EPERM ? ErrorCode::permission_denied
                                                             : ErrorCode::io_error;
  Evidence evidence;
  evidence.file = name;
  evidence.system_error = error;
  return {code,
          fmt::format("cannot {} {}: {}", doing, name, std::generic_category().message(error)),
          std::move(evidence)};
}

Result<Descriptor> open_input(const std::string& path) {
  if (path == "-") return Descriptor(STDIN_FILENO, false);
  // A pipe without a writer would make open() wait, for longer than Ctrl-C can reach.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return system_failure("read", path, errno);
  Descriptor opened(fd);
  struct stat status {};
  if (::fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
    return system_failure("read", path, EISDIR);
  }
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) {
    return system_failure("read", path, errno);
  }
  return opened;
}

// Waits until there is something to read, or the end. A signal that comes between a look at the
// flag and a read would be noticed only after the read; the descriptor rings before and after.
Result<void> await_input(int fd) {
  std::array<pollfd, 2> sources{pollfd{fd, POLLIN, 0}, pollfd{interrupt_descriptor(), POLLIN, 0}};
  while (!interrupted()) {
    const int ready = ::poll(sources.data(), sources.size(), -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0 || sources[0].revents != 0) return {};
  }
  return Error(ErrorCode::cancelled, "interrupted");
}

// Appends what can be read; false at the end of the input.
Result<bool> read_chunk(int fd, const std::string& name, std::string& buffer) {
  const std::size_t old_size = buffer.size();
  buffer.resize(old_size + chunk_bytes);
  for (;;) {
    if (auto there = await_input(fd); !there) {
      buffer.resize(old_size);
      return there.error();
    }
    const ssize_t count = ::read(fd, buffer.data() + old_size, chunk_bytes);
    if (count < 0 && errno == EINTR) continue;
    buffer.resize(old_size + static_cast<std::size_t>(count < 0 ? 0 : count));
    if (count < 0) return system_failure("read", name, errno);
    return count > 0;
  }
}

}  // namespace

void occupy_standard_streams() noexcept {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // Opened for the wrong direction; the lowest free descriptor is this one.
    [[maybe_unused]] const int opened =
        ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

bool print(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
}

Descriptor::Descriptor(Descriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), owned_(other.owned_) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    (void)close();
    fd_ = std::exchange(other.fd_, -1);
    owned_ = other.owned_;
  }
  return *this;
}

Descriptor::~Descriptor() { (void)close(); }

int Descriptor::close() noexcept {
  const int fd = std::exchange(fd_, -1);
  if (fd < 0 || !owned_) return 0;
  return ::close(fd) == 0 ? 0 : errno;
}

Result<LineInput> LineInput::open(const std::string& path) {
  auto fd = open_input(path);
  if (!fd) return fd.error();
  return LineInput(path == "-" ? "standard input" : path, std::move(*fd));
}

Result<bool> LineInput::fill() {
  buffer_.erase(0, at_);
  searched_ -= at_;
  at_ = 0;
  if (buffer_.size() > longest_line) {
    return Error(ErrorCode::value_too_large, "this line is longer than any record can be");
  }
  return read_chunk(fd_.get(), name_, buffer_);
}

Result<std::optional<std::string_view>> LineInput::next() {
  for (;;) {
    const std::size_t end = buffer_.find('\n', searched_);
    if (!begun_ && (end != std::string::npos || over_)) {
      begun_ = true;
      if (buffer_.starts_with(byte_order_mark)) at_ = searched_ = byte_order_mark.size();
    }
    if (end != std::string::npos) {
      const std::string_view line = std::string_view(buffer_).substr(at_, end - at_);
      at_ = searched_ = end + 1;
      return std::optional(line);
    }
    searched_ = buffer_.size();
    if (over_) {
      if (at_ == buffer_.size()) return std::optional<std::string_view>();
      const std::string_view line = std::string_view(buffer_).substr(at_);
      at_ = buffer_.size();
      return std::optional(line);
    }
    auto more = fill();
    if (!more) return more.error();
    over_ = !*more;
  }
}

Result<Output> Output::open(const std::string& path) {
  if (path == "-") return Output("standard output", {}, Descriptor(STDOUT_FILENO, false));
  struct stat status {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && !S_ISREG(status.st_mode)) {  // a device or a pipe cannot be replaced
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return system_failure("write", path, errno);
    return Output(path, {}, Descriptor(fd));
  }
  std::string temporary = path + ".partial-XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return system_failure("write", path, errno);
  Descriptor opened(fd);
  // mkostemp makes it private; a dump has the permissions that any new file would have.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  if (::fchmod(fd, exists ? status.st_mode & 0777 : 0666 & ~mask) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    return system_failure("write", path, error);
  }
  return Output(path, std::move(temporary), std::move(opened));
}

Output::Output(Output&& other) noexcept
    : name_(std::move(other.name_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::move(other.fd_)),
      buffer_(std::move(other.buffer_)) {}

Output::~Output() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Error Output::failure(int error) const { return system_failure("write", name_, error); }

Result<void> Output::write(std::string_view bytes) {
  buffer_ += bytes;
  if (buffer_.size() < chunk_bytes) return {};
  return flush();
}

Result<void> Output::flush() {
  std::size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t count = ::write(fd_.get(), buffer_.data() + done, buffer_.size() - done);
    if (count < 0) {
      if (errno != EINTR) return failure(errno);
      if (interrupted()) return Error(ErrorCode::cancelled, "interrupted");
      continue;
    }
    done += static_cast<std::size_t>(count);
  }
  buffer_.clear();
  return {};
}

Result<void> Output::finish() {
  if (auto flushed = flush(); !flushed) return flushed;
  if (!temporary_.empty() && ::fsync(fd_.get()) != 0) return failure(errno);
  if (const int error = fd_.close(); error != 0) return failure(error);
  if (temporary_.empty()) return {};
  if (std::rename(temporary_.c_str(), name_.c_str()) != 0) return failure(errno);
  temporary_.clear();
  return {};
}

Result<std::string> read_whole(const std::string& path, std::size_t limit) {
  auto fd = open_input(path);
  if (!fd) return fd.error();
  const std::string name = path == "-" ? "standard input" : path;
  std::string text;
  for (;;) {
    auto more = read_chunk(fd->get(), name, text);
    if (!more) return more.error();
    if (text.size() > limit) {
      return Error(ErrorCode::invalid_argument,
                   fmt::format("{} is larger than {} bytes; that is no script", name, limit));
    }
    if (*more) continue;
    if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
    return text;
  }
}

}  // namespace isolde::shell
