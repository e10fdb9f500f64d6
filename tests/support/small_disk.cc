#include "tests/support/small_disk.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <vector>

namespace isolde::test {
namespace {

std::atomic<SmallDisk*> active_disk{nullptr};

std::uint64_t blocks_of(std::uint64_t bytes) {
  return (bytes + SmallDisk::block_bytes - 1) / SmallDisk::block_bytes;
}

}  // namespace

SmallDisk::SmallDisk(std::filesystem::path directory, std::uint64_t bytes)
    : directory_(std::move(directory)), blocks_(bytes / block_bytes) {
  SmallDisk* none = nullptr;
  if (!active_disk.compare_exchange_strong(none, this)) std::abort();
}

SmallDisk::~SmallDisk() { active_disk.store(nullptr); }

void SmallDisk::fill(std::uint64_t left) {
  const std::lock_guard lock(mutex_);
  look_around();
  const std::uint64_t spare = free_blocks();
  taken_by_others_ += spare - std::min(spare, left / block_bytes);
}

void SmallDisk::drop() {
  const std::lock_guard lock(mutex_);
  taken_by_others_ = 0;
}

std::uint64_t SmallDisk::holes(const std::filesystem::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) std::abort();
  const std::lock_guard lock(mutex_);
  look_around();
  const std::set<std::uint64_t>& taken = taken_[{status.st_dev, status.st_ino}];
  return (blocks_of(static_cast<std::uint64_t>(status.st_size)) - taken.size()) * block_bytes;
}

std::unique_lock<std::recursive_mutex> SmallDisk::hold() {
  SmallDisk* const disk = active_disk.load();
  if (disk == nullptr) return {};
  return std::unique_lock(disk->mutex_);
}

bool SmallDisk::tell_space(const std::filesystem::path& file, std::uint64_t& free_bytes) {
  SmallDisk* const disk = active_disk.load();
  if (disk == nullptr) return false;
  const auto inside = file.lexically_relative(disk->directory_);
  if (inside.empty() || *inside.begin() == "..") return false;
  const std::lock_guard lock(disk->mutex_);
  disk->look_around();
  free_bytes = disk->free_blocks() * block_bytes;
  return true;
}

std::uint64_t SmallDisk::free_blocks() const {
  std::uint64_t taken = taken_by_others_;
  for (const auto& [file, blocks] : taken_) taken += blocks.size();
  return blocks_ - std::min(blocks_, taken);
}

// An inode may have been given to another file since: that one was empty at its first write.
void SmallDisk::look_around() {
  std::map<FileId, std::set<std::uint64_t>> found;
  std::error_code failed;
  for (auto entry = std::filesystem::recursive_directory_iterator(directory_, failed);
       !failed && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(failed)) {
    struct stat status {};
    if (::lstat(entry->path().c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    std::set<std::uint64_t>& blocks = found[{status.st_dev, status.st_ino}];
    if (const auto known = taken_.find({status.st_dev, status.st_ino}); known != taken_.end()) {
      blocks = std::move(known->second);
    }
    blocks.erase(blocks.lower_bound(blocks_of(static_cast<std::uint64_t>(status.st_size))),
                 blocks.end());
  }
  taken_ = std::move(found);
}

std::uint64_t SmallDisk::take_room(int descriptor, std::uint64_t offset, std::uint64_t size) {
  SmallDisk* const disk = active_disk.load();
  struct stat status {};
  if (disk == nullptr || size == 0 || ::fstat(descriptor, &status) != 0) return size;
  const std::lock_guard lock(disk->mutex_);
  disk->look_around();
  const auto file = disk->taken_.find({status.st_dev, status.st_ino});
  if (file == disk->taken_.end()) return size;
  std::uint64_t spare = disk->free_blocks();
  for (std::uint64_t block = offset / block_bytes; block * block_bytes < offset + size; ++block) {
    if (file->second.contains(block)) continue;
    if (spare == 0) return block * block_bytes - std::min(block * block_bytes, offset);
    file->second.insert(block);
    --spare;
  }
  return size;
}

}  // namespace isolde::test

// The C library's functions, for the whole process, as a program's own come before a library's.
// They go on to a sanitizer's, if there is one, else to the system.
using isolde::test::SmallDisk;

extern "C" {

__attribute__((weak)) ssize_t __interceptor_write(int, const void*, size_t);
__attribute__((weak)) ssize_t __interceptor_pwrite(int, const void*, size_t, off_t);
__attribute__((weak)) ssize_t __interceptor_writev(int, const iovec*, int);
__attribute__((weak)) ssize_t __interceptor_pwritev(int, const iovec*, int, off_t);

}  // extern "C"

namespace {

ssize_t real_write(int descriptor, const void* bytes, size_t size) {
  if (__interceptor_write != nullptr) return __interceptor_write(descriptor, bytes, size);
  return ::syscall(SYS_write, descriptor, bytes, size);
}

ssize_t real_pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
  if (__interceptor_pwrite != nullptr) return __interceptor_pwrite(descriptor, bytes, size, offset);
  return ::syscall(SYS_pwrite64, descriptor, bytes, size, offset);
}

// At an offset, or where the file's own position is.
ssize_t real_writev(int descriptor, const iovec* pieces, int count, const off_t* offset) {
  if (offset == nullptr) {
    if (__interceptor_writev != nullptr) return __interceptor_writev(descriptor, pieces, count);
    return ::syscall(SYS_writev, descriptor, pieces, count);
  }
  if (__interceptor_pwritev != nullptr) {
    return __interceptor_pwritev(descriptor, pieces, count, *offset);
  }
  return ::syscall(SYS_pwritev, descriptor, pieces, count, *offset, off_t{0});
}

std::uint64_t position(int descriptor) {
  return static_cast<std::uint64_t>(std::max(off_t{0}, ::lseek(descriptor, 0, SEEK_CUR)));
}

ssize_t full() {
  errno = ENOSPC;
  return -1;
}

ssize_t write_pieces(int descriptor, const iovec* pieces, int count, const off_t* offset) {
  const auto held = SmallDisk::hold();
  std::uint64_t size = 0;
  for (int i = 0; i < count; ++i) size += pieces[i].iov_len;
  const std::uint64_t from =
      offset == nullptr ? position(descriptor) : static_cast<std::uint64_t>(*offset);
  std::uint64_t room = SmallDisk::take_room(descriptor, from, size);
  if (room == size) return real_writev(descriptor, pieces, count, offset);
  if (room == 0) return full();
  std::vector<iovec> fitting(pieces, pieces + count);
  for (iovec& piece : fitting) {
    piece.iov_len = std::min<std::uint64_t>(piece.iov_len, room);
    room -= piece.iov_len;
  }
  return real_writev(descriptor, fitting.data(), count, offset);
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t size) {
  const auto held = SmallDisk::hold();
  const std::uint64_t room = SmallDisk::take_room(descriptor, position(descriptor), size);
  return room == 0 && size > 0 ? full() : real_write(descriptor, bytes, room);
}

ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
  const auto held = SmallDisk::hold();
  const std::uint64_t room =
      SmallDisk::take_room(descriptor, static_cast<std::uint64_t>(offset), size);
  return room == 0 && size > 0 ? full() : real_pwrite(descriptor, bytes, room, offset);
}

ssize_t writev(int descriptor, const iovec* pieces, int count) {
  return write_pieces(descriptor, pieces, count, nullptr);
}

ssize_t pwritev(int descriptor, const iovec* pieces, int count, off_t offset) {
  return write_pieces(descriptor, pieces, count, &offset);
}

int fallocate(int descriptor, int mode, off_t offset, off_t size) {
  const auto held = SmallDisk::hold();
  const auto wanted = static_cast<std::uint64_t>(size);
  if (SmallDisk::take_room(descriptor, static_cast<std::uint64_t>(offset), wanted) < wanted) {
    return static_cast<int>(full());
  }
  return static_cast<int>(::syscall(SYS_fallocate, descriptor, mode, offset, size));
}

int rename(const char* from, const char* to) noexcept {
  const auto held = SmallDisk::hold();
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

int statvfs(const char* file, struct statvfs* space) noexcept {
  static const auto real = reinterpret_cast<decltype(&::statvfs)>(::dlsym(RTLD_NEXT, "statvfs"));
  if (const int code = real(file, space); code != 0) return code;
  if (std::uint64_t free_bytes = 0; SmallDisk::tell_space(file, free_bytes)) {
    space->f_bavail = space->f_bfree = free_bytes / space->f_frsize;
  }
  return 0;
}

}  // extern "C"
