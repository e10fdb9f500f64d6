#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "engine/files/file.h"

namespace isolde::engine {
namespace {

namespace fs = std::filesystem;

// Closes the descriptor on every way out.
class Descriptor {
 public:
  explicit Descriptor(int number) noexcept : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const noexcept { return number_; }
  int release() noexcept { return std::exchange(number_, -1); }

 private:
  int number_;
};

constexpr std::size_t zero_block_bytes = std::size_t{256} << 10;
constexpr std::array<char, zero_block_bytes> zeros{};
constexpr std::uint64_t page_bytes = 4096;

class PosixFile final : public File {
 public:
  PosixFile(int descriptor, fs::path path) : descriptor_(descriptor), path_(std::move(path)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) override {
    std::size_t done = 0;
    while (done < buffer.size()) {
      const ssize_t got = ::pread(descriptor_.get(), buffer.data() + done, buffer.size() - done,
                                  static_cast<off_t>(offset + done));
      if (got < 0) {
        if (errno == EINTR) continue;
        return file_error("read", path_, offset + done, errno);
      }
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  Result<void> write_at(std::uint64_t offset, std::span<const std::string_view> pieces) override {
    constexpr std::size_t most_pieces = 64;  // in one call, well below IOV_MAX
    std::size_t next = 0;
    std::size_t skip = 0;  // bytes of pieces[next] that are written
    while (next < pieces.size()) {
      std::array<iovec, most_pieces> vectors;
      std::size_t count = 0;
      for (std::size_t i = next; i < pieces.size() && count < most_pieces; ++i) {
        const std::string_view rest = pieces[i].substr(i == next ? skip : 0);
        // The system call does not write through it, but its struct is not const.
        vectors[count++] = {const_cast<char*>(rest.data()), rest.size()};
      }
      const ssize_t put = ::pwritev(descriptor_.get(), vectors.data(), static_cast<int>(count),
                                    static_cast<off_t>(offset));
      if (put < 0) {
        if (errno == EINTR) continue;
        return file_error("write", path_, offset, errno);
      }
      offset += static_cast<std::uint64_t>(put);
      std::size_t left = static_cast<std::size_t>(put);
      bool moved = left > 0;
      while (next < pieces.size() && left >= pieces[next].size() - skip) {
        left -= pieces[next].size() - skip;
        skip = 0;
        ++next;
        moved = true;
      }
      skip += left;
      if (!moved) return file_error("write", path_, offset, EIO);
    }
    return {};
  }

  // A page a call: the kernel caches what one write brings in a piece of that size, and ext4 goes
  // over all blocks of the piece at each write into it. Measured (Linux 6.18): writes of 512 bytes
  // into 4 MiB that one call had written took six times as long.
  Result<void> write_zeros(std::uint64_t offset, std::uint64_t end) override {
    while (offset < end) {
      const std::uint64_t page_end = (offset / page_bytes + 1) * page_bytes;
      const auto bytes = static_cast<std::size_t>(std::min(page_end, end) - offset);
      const std::string_view piece(zeros.data(), bytes);
      if (auto written = write_at(offset, {&piece, 1}); !written) return written;
      offset += bytes;
    }
    return {};
  }

  Result<void> sync_data() override {
    if (::fdatasync(descriptor_.get()) != 0) return file_error("sync", path_, 0, errno);
    return {};
  }

  Result<std::uint64_t> size() override {
    struct stat status {};
    if (::fstat(descriptor_.get(), &status) != 0) return file_error("examine", path_, 0, errno);
    return static_cast<std::uint64_t>(status.st_size);
  }

 private:
  Descriptor descriptor_;
  fs::path path_;
};

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const fs::path& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case OpenMode::read_only:
        flags |= O_RDONLY;
        break;
      case OpenMode::read_write:
        flags |= O_RDWR;
        break;
      case OpenMode::create_new:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
    }
    int descriptor = -1;
    do {
      descriptor = ::open(path.c_str(), flags, 0666);
    } while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) {
      return file_error(mode == OpenMode::create_new ? "create" : "open", path, 0, errno);
    }
    return std::unique_ptr<File>(std::make_unique<PosixFile>(descriptor, path));
  }

  Result<void> remove(const fs::path& path) override {
    if (::unlink(path.c_str()) != 0) return file_error("remove", path, 0, errno);
    return {};
  }

  Result<std::vector<std::string>> list(const fs::path& directory) override {
    DIR* stream = ::opendir(directory.c_str());
    if (stream == nullptr) {
      if (errno == ENOENT) return std::vector<std::string>{};
      return file_error("list", directory, 0, errno);
    }
    std::vector<std::string> names;
    int failure = 0;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(stream);
      if (entry == nullptr) {
        failure = errno;
        break;
      }
      struct stat status {};
      if (::fstatat(::dirfd(stream), entry->d_name, &status, 0) != 0) {
        // A file that has gone meanwhile was not there. One that can't be looked at is: leaving it
        // out would call a log lost that only its permissions hide.
        if (errno == EACCES) {
          failure = errno;
          break;
        }
      } else if (S_ISREG(status.st_mode)) {
        names.emplace_back(entry->d_name);
      }
    }
    ::closedir(stream);
    if (failure != 0) return file_error("list", directory, 0, failure);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<void> create_directory(const fs::path& directory) override {
    if (::mkdir(directory.c_str(), 0777) == 0) return {};
    const int failure = errno;
    struct stat status {};
    if (failure == EEXIST && ::stat(directory.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) {
      return {};
    }
    return file_error("create", directory, 0, failure);
  }

  Result<void> sync_directory(const fs::path& directory) override {
    const Descriptor descriptor(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (descriptor.get() < 0) return file_error("open", directory, 0, errno);
    if (::fsync(descriptor.get()) != 0) return file_error("sync", directory, 0, errno);
    return {};
  }
};

ErrorCode code_of(int system_error) noexcept {
  switch (system_error) {
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::disk_full;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::permission_denied;
    default:
      return ErrorCode::io_error;
  }
}

}  // namespace

Result<void> File::write_zeros(std::uint64_t offset, std::uint64_t end) {
  constexpr std::size_t blocks_a_write = 16;
  std::array<std::string_view, blocks_a_write> pieces;
  while (offset < end) {
    std::size_t count = 0;
    std::uint64_t next = offset;
    for (; count < blocks_a_write && next < end; ++count) {
      const auto bytes =
          static_cast<std::size_t>(std::min<std::uint64_t>(end - next, zeros.size()));
      pieces[count] = {zeros.data(), bytes};
      next += bytes;
    }
    if (auto written = write_at(offset, {pieces.data(), count}); !written) return written;
    offset = next;
  }
  return {};
}

FileSystem& posix_file_system() {
  static PosixFileSystem files;
  return files;
}

Error file_error(std::string_view doing, const fs::path& path, std::uint64_t offset,
                 int system_error) {
  std::string message = "cannot ";
  message += doing;
  message += ' ';
  message += path.string();
  if (doing == "read" || doing == "write") message += " at byte " + std::to_string(offset);
  message += ": " + std::generic_category().message(system_error);
  Evidence evidence;
  evidence.file = path.string();
  evidence.offset = offset;
  evidence.system_error = system_error;
  return {code_of(system_error), std::move(message), std::move(evidence)};
}

}  // namespace isolde::engine
