// Input read line by line, and output that appears whole or not at all.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "isolde/result.h"

namespace isolde::shell {

// Descriptors 0 to 2 that were closed at the start would be given to the next files that are
// opened: a message on standard error might then be written into a database. This fills the gaps
// with what fails to be read or written, as a closed stream does. To be called before anything is
// opened.
void occupy_standard_streams() noexcept;

// To standard output; whether all of it went there.
bool print(std::string_view text);

// What some editors write in front of UTF-8. It says how to read the bytes, and is none of them.
inline constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1, bool owned = true) noexcept : fd_(fd), owned_(owned) {}
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  int get() const noexcept { return fd_; }
  // Closes it now; the error of close(), or 0.
  int close() noexcept;

 private:
  int fd_;
  bool owned_;
};

// Lines of a file, or of standard input ("-"); a byte order mark in front is passed over.
class LineInput {
 public:
  // Errors: io_error, permission_denied.
  static Result<LineInput> open(const std::string& path);

  // The file's name for messages.
  const std::string& name() const noexcept { return name_; }
  // The next line without its newline, valid until the next call; nothing at the end. Errors:
  // io_error, cancelled (interrupted), value_too_large (a line longer than any record).
  Result<std::optional<std::string_view>> next();

 private:
  LineInput(std::string name, Descriptor fd) : name_(std::move(name)), fd_(std::move(fd)) {}
  Result<bool> fill();

  std::string name_;
  Descriptor fd_;
  std::string buffer_;
  std::size_t at_ = 0;        // begin of the next line
  std::size_t searched_ = 0;  // no newline from at_ up to here
  bool begun_ = false;
  bool over_ = false;
};

// Bytes to a file or to standard output ("-"). A regular file is written beside its place and
// renamed when it is whole, so that a failure leaves what was there before.
class Output {
 public:
  // Errors: io_error, permission_denied.
  static Result<Output> open(const std::string& path);

  Output(Output&& other) noexcept;
  Output& operator=(Output&&) = delete;
  ~Output();

  const std::string& name() const noexcept { return name_; }
  // Errors: io_error, disk_full.
  Result<void> write(std::string_view bytes);
  // Everything is in its place (a file: synced) once this succeeds.
  Result<void> finish();

 private:
  Output(std::string name, std::string temporary, Descriptor fd)
      : name_(std::move(name)), temporary_(std::move(temporary)), fd_(std::move(fd)) {}
  Result<void> flush();
  Error failure(int error) const;

  std::string name_;
  std::string temporary_;  // empty: written in place
  Descriptor fd_;
  std::string buffer_;
};

// The whole of a small file or of standard input, at most `limit` bytes; a byte order mark in front
// is passed over. Errors: io_error,
// permission_denied, invalid_argument (too large), cancelled.
Result<std::string> read_whole(const std::string& path, std::size_t limit);

}  // namespace isolde::shell
