#include "engine/files/owner_lock.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <string>
#include <system_error>

namespace isolde::engine {
namespace {

std::atomic<std::uint64_t> generation{0};

// The directories that this process has open, with the descriptor that holds the lock.
//
// Why a child of fork closes the descriptors: flock belongs to the open file, which the child
// shares. A child that lives longer than its parent would keep the database locked.
// A plain std::mutex, as it is held across fork() and must not meet a test's scheduler there.
class Registry {
 public:
  using Identity = std::pair<std::uint64_t, std::uint64_t>;

  // Never destroyed: locks in static objects may be released after any destructor of ours.
  static Registry& instance() {
    static Registry* const registry = new Registry;
    return *registry;
  }

  bool add(Identity identity) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return held_.emplace(identity, -1).second;
  }
  void set_descriptor(Identity identity, int descriptor) {
    const std::lock_guard<std::mutex> lock(mutex_);
    held_[identity] = descriptor;
  }
  void remove(Identity identity) {
    const std::lock_guard<std::mutex> lock(mutex_);
    held_.erase(identity);
  }

 private:
  Registry() {
    ::pthread_atfork([] { instance().mutex_.lock(); }, [] { instance().mutex_.unlock(); },
                     [] { instance().forget_in_child(); });
  }

  void forget_in_child() {
    for (const auto& [identity, descriptor] : held_) {
      if (descriptor >= 0) ::close(descriptor);
    }
    held_.clear();
    generation.fetch_add(1, std::memory_order_relaxed);
    mutex_.unlock();
  }

  std::mutex mutex_;
  std::map<Identity, int> held_;
};

Error owner_error(ErrorCode code, const std::filesystem::path& path, std::string message,
                  int system_error = 0) {
  Evidence evidence;
  evidence.file = path.string();
  evidence.system_error = system_error;
  return {code, std::move(message), std::move(evidence)};
}

Error system_error(const std::filesystem::path& path, const std::string& doing, int error) {
  ErrorCode code = ErrorCode::io_error;
  if (error == EACCES || error == EPERM || error == EROFS) code = ErrorCode::permission_denied;
  if (error == ENOSPC || error == EDQUOT) code = ErrorCode::disk_full;
  if (error == ENOENT || error == ENOTDIR) code = ErrorCode::not_a_database;
  return owner_error(
      code, path,
      "cannot " + doing + ' ' + path.string() + ": " + std::generic_category().message(error),
      error);
}

Error in_use(const std::filesystem::path& directory, int descriptor) {
  char text[32] = {};
  const ssize_t size = ::pread(descriptor, text, sizeof text - 1, 0);
  std::string pid(text, size > 0 ? static_cast<std::size_t>(size) : 0);
  pid = pid.substr(0, pid.find_first_not_of("0123456789"));
  return owner_error(ErrorCode::database_in_use, directory,
                     directory.string() + " is open in " +
                         (pid.empty() ? "another process" : "process " + pid) +
                         "; close it there first");
}

// Opens and locks the file: its descriptor, or -1 where none is to be had for reading only.
Result<int> lock_file(const std::filesystem::path& directory, bool read_only) {
  const std::filesystem::path file = directory / "owner";
  for (;;) {
    const int descriptor = read_only ? ::open(file.c_str(), O_RDONLY | O_CLOEXEC)
                                     : ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (descriptor < 0) {
      if (read_only && errno != EMFILE && errno != ENFILE) return -1;
      return system_error(file, "open", errno);
    }
    if (::flock(descriptor, (read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
      const int error = errno;
      Error failure =
          error == EWOULDBLOCK ? in_use(directory, descriptor) : system_error(file, "lock", error);
      ::close(descriptor);
      return failure;
    }
    // Another process may have removed the file between open and flock: then this lock locks
    // nothing.
    struct stat locked {};
    struct stat named {};
    if (::fstat(descriptor, &locked) == 0 && ::stat(file.c_str(), &named) == 0 &&
        locked.st_dev == named.st_dev && locked.st_ino == named.st_ino) {
      return descriptor;
    }
    ::close(descriptor);
  }
}

Result<void> write_pid(const std::filesystem::path& directory, int descriptor) {
  const std::string pid = std::to_string(::getpid()) + '\n';
  if (::ftruncate(descriptor, 0) == 0 &&
      ::pwrite(descriptor, pid.data(), pid.size(), 0) == static_cast<ssize_t>(pid.size())) {
    return {};
  }
  return system_error(directory / "owner", "write", errno);
}

// Fork must count from the start, not from the first lock on.
[[maybe_unused]] const Registry& registry_at_start = Registry::instance();

}  // namespace

Result<OwnerLock> OwnerLock::acquire(const std::filesystem::path& directory, bool read_only) {
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) return system_error(directory, "open", errno);
  const Identity identity{status.st_dev, status.st_ino};
  if (!Registry::instance().add(identity)) {
    return owner_error(ErrorCode::database_in_use, directory,
                       directory.string() + " is already open in this process (" +
                           std::to_string(::getpid()) + "); use that Database");
  }
  OwnerLock owner(identity, -1);
  Result<int> descriptor = lock_file(directory, read_only);
  if (!descriptor) return descriptor.error();
  owner.descriptor_ = *descriptor;
  Registry::instance().set_descriptor(identity, *descriptor);
  if (!read_only) {
    if (Result<void> written = write_pid(directory, *descriptor); !written) return written.error();
  }
  return owner;
}

OwnerLock::OwnerLock(Identity identity, int descriptor) noexcept
    : identity_(identity), descriptor_(descriptor), held_(true), generation_(fork_generation()) {}

OwnerLock::OwnerLock(OwnerLock&& other) noexcept
    : identity_(std::move(other.identity_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      held_(std::exchange(other.held_, false)),
      generation_(other.generation_) {}

OwnerLock& OwnerLock::operator=(OwnerLock&& other) noexcept {
  if (this != &other) {
    release();
    identity_ = other.identity_;
    descriptor_ = std::exchange(other.descriptor_, -1);
    held_ = std::exchange(other.held_, false);
    generation_ = other.generation_;
  }
  return *this;
}

// In a child of fork the descriptor is closed already, and its number may be another file's.
void OwnerLock::release() noexcept {
  if (!std::exchange(held_, false) || generation_ != fork_generation()) return;
  const int descriptor = std::exchange(descriptor_, -1);
  Registry::instance().remove(identity_);
  if (descriptor < 0) return;
  ::flock(descriptor, LOCK_UN);
  ::close(descriptor);
}

std::uint64_t fork_generation() noexcept { return generation.load(std::memory_order_relaxed); }

}  // namespace isolde::engine
