// The file layer: all access of the commit log to files goes through it, so that tests can replace
// it by a twin that fails, tears, reorders and forgets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/result.h"

namespace isolde::engine {

// An open file. Thread safety: calls on one file may be concurrent; sync_data covers the writes
// that had returned before it was called. Errors of all: disk_full (ENOSPC, EDQUOT),
// permission_denied (EACCES, EPERM, EROFS), io_error; with file, offset and errno in the evidence.
class File {
 public:
  virtual ~File() = default;

  // Reads up to `buffer.size()` bytes; fewer only at the end of the file.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) = 0;
  // Writes all pieces, one after the other, from `offset` on. On error any part may have been
  // written.
  virtual Result<void> write_at(std::uint64_t offset, std::span<const std::string_view> pieces) = 0;
  // Writes zeros up to `end` (not included), as what small writes are to go into later.
  virtual Result<void> write_zeros(std::uint64_t offset, std::uint64_t end);
  // fdatasync. After an error what was written before is in doubt for good (never retried: I8).
  virtual Result<void> sync_data() = 0;
  virtual Result<std::uint64_t> size() = 0;
};

enum class OpenMode : std::uint8_t { read_only, read_write, create_new };

// Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<File>> open(const std::filesystem::path& path, OpenMode mode) = 0;
  virtual Result<void> remove(const std::filesystem::path& path) = 0;
  // Names (not paths) of the regular files in a directory, sorted; empty if there is no directory.
  virtual Result<std::vector<std::string>> list(const std::filesystem::path& directory) = 0;
  virtual Result<void> create_directory(const std::filesystem::path& directory) = 0;  // ok if there
  // Makes creations and removals in it durable.
  virtual Result<void> sync_directory(const std::filesystem::path& directory) = 0;
};

// The operating system's files.
FileSystem& posix_file_system();

// The error for an errno, phrased once: "cannot write log/00000002.log at byte 512: No space left
// on device". `doing` is a verb in the infinitive ("write").
Error file_error(std::string_view doing, const std::filesystem::path& path, std::uint64_t offset,
                 int system_error);

}  // namespace isolde::engine
