#include "engine/base/lmdb_error.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <string>

namespace isolde::engine {
namespace {

// LMDB answers EIO to a short write, which is what a disk that fills up, or a limit on the size of
// files, gives first.
bool is_disk_full(int code, const std::filesystem::path& file) noexcept {
  if (code == ENOSPC || code == EDQUOT || code == EFBIG) return true;
  if (code != EIO) return false;
  constexpr std::uint64_t nothing_left = 1 << 16;
  struct statvfs space {};
  struct stat status {};
  rlimit limit{};
  return (::statvfs(file.c_str(), &space) == 0 &&
          std::uint64_t{space.f_bavail} * space.f_frsize < nothing_left) ||
         (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
          ::stat(file.c_str(), &status) == 0 &&
          static_cast<std::uint64_t>(status.st_size) + nothing_left >= limit.rlim_cur);
}

ErrorCode code_for(int code, const std::filesystem::path& file) noexcept {
  if (is_disk_full(code, file)) return ErrorCode::disk_full;
  switch (code) {
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::permission_denied;
    case ENOMEM:
    case MDB_READERS_FULL:
    case MDB_DBS_FULL:
    case MDB_TLS_FULL:
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
      return ErrorCode::out_of_memory;
    case MDB_INVALID:
      return ErrorCode::not_a_database;
    case MDB_VERSION_MISMATCH:
      return ErrorCode::format_unsupported;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_CURSOR_FULL:
    case MDB_INCOMPATIBLE:
    case MDB_MAP_RESIZED:
      return ErrorCode::corruption;
    default:
      return ErrorCode::io_error;
  }
}

}  // namespace

Error lmdb_error(int code, std::string_view doing, const std::filesystem::path& file) {
  std::string message = "cannot ";
  message += doing;
  message += ' ';
  message += file.string();
  message += ": ";
  if (code == MDB_READERS_FULL) {
    message += "all places for read views are taken";
  } else if (code == EIO && is_disk_full(code, file)) {
    message += mdb_strerror(ENOSPC);
  } else {
    message += mdb_strerror(code);
  }
  Evidence evidence;
  evidence.file = file.string();
  evidence.system_error = code > 0 ? code : 0;
  return {code_for(code, file), std::move(message), std::move(evidence)};
}

Error corrupt_base(std::string_view what, const std::filesystem::path& file) {
  Evidence evidence;
  evidence.file = file.string();
  return {ErrorCode::corruption,
          file.string() + " is damaged: " + std::string(what) + "; restore it from a backup",
          std::move(evidence)};
}

}  // namespace isolde::engine
