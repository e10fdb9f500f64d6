// One owner: a database directory is open in one process, and there once (L5).
#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>

#include "isolde/result.h"

namespace isolde::engine {

// Holds `directory`/owner with flock, the pid written in it, until destroyed. Move-only. What a
// process that died leaves in the file is no obstacle: its flock went with it.
class OwnerLock {
 public:
  // The directory must exist. Errors: database_in_use naming the pid (of another process or this
  // one), not_a_database (no directory), permission_denied, disk_full, io_error.
  //
  // `read_only` takes a shared lock if the file is there and can be opened, else none (a copy, or
  // read-only media), and writes nothing. Within one process a directory is open once in any case:
  // LMDB can't open a file twice.
  static Result<OwnerLock> acquire(const std::filesystem::path& directory, bool read_only);
  OwnerLock(OwnerLock&& other) noexcept;
  OwnerLock& operator=(OwnerLock&& other) noexcept;
  ~OwnerLock() { release(); }

 private:
  // The directory itself, so that it is known again by another path to it.
  using Identity = std::pair<std::uint64_t, std::uint64_t>;  // st_dev, st_ino

  OwnerLock(Identity identity, int descriptor) noexcept;
  void release() noexcept;

  Identity identity_;
  int descriptor_ = -1;  // -1: none could be taken
  bool held_ = false;
  std::uint64_t generation_ = 0;  // of the process that took it
};

// Grows by one in the child of every fork of this process: a database opened under another number
// belongs to the parent. Cheap (one relaxed load).
std::uint64_t fork_generation() noexcept;

}  // namespace isolde::engine
