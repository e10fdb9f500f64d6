// One owner: a database directory is open in one process, and there once (L5).
#pragma once

#include <filesystem>

#include "isolde/result.h"

namespace isolde::engine {

// Holds `directory`/owner with flock, the pid written in it, until destroyed. Move-only.
class OwnerLock {
 public:
  // Errors: database_in_use naming the pid (of another process or this one), permission_denied,
  // io_error. `read_only`: takes a shared lock if the file can be opened, none on read-only media.
  static Result<OwnerLock> acquire(const std::filesystem::path& directory, bool read_only);
  OwnerLock(OwnerLock&& other) noexcept;
  OwnerLock& operator=(OwnerLock&& other) noexcept;
  ~OwnerLock();

 private:
  OwnerLock(int descriptor, std::filesystem::path directory) noexcept;
  int descriptor_ = -1;
  std::filesystem::path directory_;
};

// Grows by one in the child of every fork of this process: a database opened under another number
// belongs to the parent.
std::uint64_t fork_generation() noexcept;

}  // namespace isolde::engine
