// The commit log: what makes a commit durable, one sync for a group of commits.
//
// Format, recovery and the reasons for both: docs/log-format.md (rules L1-L4, L6, I6, I8).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "engine/files/file.h"
#include "isolde/result.h"
#include "isolde/types.h"

namespace isolde::engine {

struct LogOptions {
  std::size_t segment_bytes = std::size_t{16} << 20;
  bool read_only = false;  // replay only; nothing is written, append is never called
  // false: persist() writes without syncing, and durable() means "the operating system has it"
  // (Durability::none).
  bool sync = true;
  // No log is expected: the database is new, or was adopted. Otherwise a directory without a
  // beginning of a log is corruption.
  bool fresh = false;
};

struct LogStats {
  // Records with a commit that is not in the base. Not counted: what pads them to sectors (more
  // than the records, where each has one small commit), since a checkpoint costs what the commits
  // cost.
  std::uint64_t live_bytes = 0;
  std::uint64_t file_bytes = 0;  // all segments
  std::uint64_t syncs = 0;
  std::uint64_t written_bytes = 0;  // records, padding included
};

struct LogSummary {  // what verify() found
  std::uint64_t records = 0;
  std::uint64_t commits = 0;
};

// Space set aside for one entry; gives it back unless it was handed to append().
class LogReservation;

// Thread safety: all methods may be called concurrently, except that calls of append() are made one
// at a time (under the commit pipeline's mutex).
//
// Invariants:
//   durable() <= appended(); both only grow.
//   A commit n is acknowledged only when durable() >= n. durable() grows only after a sync that
//   began after the record's last byte was written.
//   Space for every reservation exists in preallocated, synced segments: append() cannot fail.
//   After a failed write or sync nothing is written any more, and durable() stays (I8).
class CommitLog {
 public:
  // Called for each commit after `base_at`, in order. The view lives until it returns.
  using ReplaySink = std::function<Result<void>(Timestamp, std::string_view entry)>;

  // Opens the log in `directory` (created if missing) of the database `database_id`, whose base is
  // at `base_at`; replays; begins a new epoch (L3), synced before it returns. Errors: corruption
  // (file, offset: L2, a foreign log, a missing or truncated file), format_unsupported, disk_full,
  // io_error, permission_denied, and what the sink returns.
  static Result<std::unique_ptr<CommitLog>> open(FileSystem& files,
                                                 const std::filesystem::path& directory,
                                                 const LogOptions& options,
                                                 std::uint64_t database_id, Timestamp base_at,
                                                 const ReplaySink& replay);

  virtual ~CommitLog() = default;

  // Sets space aside for an entry of up to `entry_bytes`, creating a segment if need be (may take
  // milliseconds: call it before the critical section, holding nothing: W1). Errors: disk_full,
  // io_error, database_failed.
  virtual Result<LogReservation> reserve(std::size_t entry_bytes) = 0;

  // Adds the entry of commit `at` (= appended() + 1) to the group that is written next. Does no
  // I/O.
  virtual void append(Timestamp at, std::string entry, LogReservation reservation) noexcept = 0;

  // Returns once durable() >= at, writing and syncing as the leader of a group if no other does
  // (C3), else waiting for the one that does. Errors: commit_outcome_unknown if the log failed
  // before `at` was durable. Holds no mutex during I/O.
  virtual Result<void> persist(Timestamp at) = 0;

  virtual Timestamp appended() const noexcept = 0;
  virtual Timestamp durable() const noexcept = 0;
  // The next sync answers io_error, once, as a disk that is about to die would.
  virtual void fail_next_sync() noexcept = 0;
  virtual bool failed() const noexcept = 0;
  // The error that failed it, as database_failed. Precondition: failed().
  virtual Error failure() const = 0;

  // The base is durably at `base_at`: segments with nothing newer may be reused. Never fails; what
  // cannot be reused or removed now is tried again later.
  virtual void release(Timestamp base_at) noexcept = 0;

  virtual LogStats stats() const = 0;
  virtual std::uint64_t live_bytes() const noexcept = 0;  // cheap: read by every commit (C7)

  // Reads all live records back. Errors: corruption, io_error.
  virtual Result<LogSummary> verify() = 0;

 private:
  friend class LogReservation;
  virtual void unreserve(std::size_t bytes) noexcept = 0;
};

class LogReservation {
 public:
  LogReservation() = default;
  LogReservation(CommitLog& log, std::size_t bytes) noexcept : log_(&log), bytes_(bytes) {}
  LogReservation(LogReservation&& other) noexcept
      : log_(std::exchange(other.log_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  LogReservation& operator=(LogReservation&& other) noexcept {
    if (this != &other) {
      give_back();
      log_ = std::exchange(other.log_, nullptr);
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }
  ~LogReservation() { give_back(); }

  std::size_t bytes() const noexcept { return bytes_; }
  // For append(): the space is used up.
  std::size_t consume() noexcept {
    log_ = nullptr;
    return std::exchange(bytes_, 0);
  }

 private:
  void give_back() noexcept {
    if (log_ != nullptr) std::exchange(log_, nullptr)->unreserve(std::exchange(bytes_, 0));
  }

  CommitLog* log_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace isolde::engine
