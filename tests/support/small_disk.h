// A disk with little room, for the files of one directory, without the right to mount one.
//
// While one exists, this process's writes to files below the directory are counted in blocks,
// LMDB's too, and find the disk full once there are none left: as on a disk, those of a write that
// still fit are written, and ENOSPC comes with the first that does not. What is removed or cut off
// is free again. Only calls through the C library's functions are seen, which are all that this
// project and LMDB make; not stores to mapped files: see holes().
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace isolde::test {

// Thread safety: all methods may be called concurrently. At most one exists at a time.
class SmallDisk {
 public:
  static constexpr std::uint64_t block_bytes = 4096;

  SmallDisk(std::filesystem::path directory, std::uint64_t bytes);
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk();

  // Others take room, until at most so much is left; and give back all of it.
  void fill(std::uint64_t left);
  void drop();

  // The bytes of a file that have no room on the disk yet. A store to such a byte, if the file is
  // mapped, needs room that may not be there, and ends the process.
  std::uint64_t holes(const std::filesystem::path& file);

  // For the C library's functions, until they have acted: else
  //   Thread A  takes room for a block at the end of a file, and is yet to write it
  //   Thread B  looks around, and finds the file shorter: the block is given back
  // or B looks through a folder while A renames a file in it, and does not find the file at all.
  static std::unique_lock<std::recursive_mutex> hold();

  // For the C library's functions, before they act. How many of the bytes have room, which is then
  // taken; `size` without an active disk, and for files elsewhere.
  static std::uint64_t take_room(int descriptor, std::uint64_t offset, std::uint64_t size);

  // For statvfs: what is left, if the file is on the disk.
  static bool tell_space(const std::filesystem::path& file, std::uint64_t& free_bytes);

 private:
  using FileId = std::pair<dev_t, ino_t>;

  // Sees what was removed and cut off since the last call.
  void look_around();
  std::uint64_t free_blocks() const;

  const std::filesystem::path directory_;
  const std::uint64_t blocks_;
  std::recursive_mutex mutex_;
  std::map<FileId, std::set<std::uint64_t>> taken_;  // by file, the blocks that have room
  std::uint64_t taken_by_others_ = 0;
};

}  // namespace isolde::test
