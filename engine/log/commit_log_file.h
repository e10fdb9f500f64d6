// The commit log in files: what CommitLog::open returns.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/log/commit_log.h"
#include "engine/log/log_group.h"
#include "engine/log/log_recovery.h"
#include "engine/log/log_segment.h"
#include "engine/mutex.h"
#include "engine/wait_word.h"

namespace isolde::engine {

// The right to write; the thread that holds it is the leader.
class ISOLDE_CAPABILITY("leadership") Leadership {
 public:
  bool try_lock() noexcept ISOLDE_TRY_ACQUIRE(true) {
    return !taken_.load() && !taken_.exchange(true);
  }
  void unlock() noexcept ISOLDE_RELEASE() { taken_.store(false); }
  bool is_taken() const noexcept { return taken_.load(); }

 private:
  std::atomic<bool> taken_{false};
};

// The segment that a new epoch starts in.
struct NewEpoch {
  LogSegment segment;
  std::uint64_t epoch = 0;
  std::uint64_t chain = 0;         // checksum of the last record
  std::vector<LogSegment> spares;  // of the epoch before
  std::uint64_t next_segment = 1;
};

// Groups are numbered; all that tells them apart is their parity, since at most two have waiters:
// the one being written and the one being filled. How a commit at n becomes durable:
//
//   append()   adds it to the filling group
//   persist()  sleeps on the word of the group that n is in, unless no thread leads: then it leads,
//              takes the filling group, writes and syncs it, publishes durable, gives up
//              leadership, wakes one waiter of the group filled meanwhile to lead that one, wakes
//              its own group
//              (without syncs a group is written in less time than sleeping takes: it spins first)
//
// Lock order: creation_, then mutex_. creation_ alone is held across I/O, and only in reserve().
// Leadership is taken with no mutex held; mutex_ is taken under it, never during I/O.
class FileCommitLog final : public CommitLog {
 public:
  // Nothing is written with an empty `epoch` (read-only).
  FileCommitLog(FileSystem& files, std::filesystem::path directory, const LogOptions& options,
                std::uint64_t database_id, std::uint64_t base_at, std::uint64_t end,
                std::optional<NewEpoch> epoch);

  Result<LogReservation> reserve(std::size_t entry_bytes) override;
  void append(Timestamp at, std::string entry, LogReservation reservation) noexcept override;
  Result<void> persist(Timestamp at) override;

  Timestamp appended() const noexcept override { return {appended_.load()}; }
  Timestamp durable() const noexcept override { return {durable_.load()}; }
  void fail_next_sync() noexcept override { fails_next_sync_.store(true); }
  bool failed() const noexcept override { return failed_.load(); }
  Error failure() const override;

  void release(Timestamp base_at) noexcept override;
  LogStats stats() const override;
  std::uint64_t live_bytes() const noexcept override;
  Result<LogSummary> verify() override;

 private:
  class VerifyPin;

  void unreserve(std::size_t bytes) noexcept override;

  // reserve()
  bool try_reserve_locked(std::size_t entry_bytes) ISOLDE_REQUIRES(mutex_);
  Result<void> create_spare(std::uint64_t need) ISOLDE_REQUIRES(creation_);
  void create_spare_ahead() noexcept;

  // persist(), as the leader
  void lead() ISOLDE_REQUIRES(leadership_);
  void gather() ISOLDE_REQUIRES(leadership_);
  void answer_gatherer() noexcept;
  std::uint64_t take_group() ISOLDE_REQUIRES(leadership_);
  Result<void> write_group() ISOLDE_REQUIRES(leadership_);
  Result<void> write_record(GroupReader& reader) ISOLDE_REQUIRES(leadership_);
  Result<void> switch_segment(std::uint64_t need) ISOLDE_REQUIRES(leadership_);
  Result<void> name_segment(const LogSegment& segment) ISOLDE_REQUIRES(leadership_);
  Result<void> sync(File& file) ISOLDE_REQUIRES(leadership_);
  void publish(const RecordHeader& record, std::uint64_t needs) ISOLDE_REQUIRES(leadership_);
  void fail(Error cause) noexcept;
  bool spin(std::uint64_t at) const noexcept;
  void hand_over() noexcept;
  std::uint64_t claim() const noexcept;
  Error outcome_unknown(std::uint64_t at) const;

  // release()
  std::vector<LogSegment> recycle_locked() ISOLDE_REQUIRES(mutex_);
  void remove_segments(std::vector<LogSegment> segments) noexcept;

  Result<LogSummary> verify_closed();
  Result<void> verify_epoch();

  static std::uint64_t live_bytes_of(const LogSegment& segment, std::uint64_t released) noexcept;

  FileSystem& files_;
  const std::filesystem::path directory_;
  const LogOptions options_;
  const std::uint64_t database_id_;
  const std::uint64_t epoch_;
  const std::uint64_t epoch_segment_;  // whose places hold this epoch's records
  const std::uint64_t epoch_segment_bytes_;
  const std::shared_ptr<File> epoch_file_;
  const std::uint64_t epoch_first_;  // as in those records
  const std::uint64_t epoch_last_;

  std::atomic<std::uint64_t> appended_;
  std::atomic<std::uint64_t> durable_;
  std::atomic<std::uint64_t> released_;
  // What is in the log or the base even after a crash of the machine, whatever the options.
  std::atomic<std::uint64_t> synced_;
  // Twice the last commit that a leader took, plus the parity of the group that is being filled:
  // one word, so that a waiter can't mistake its group while a leader takes it.
  std::atomic<std::uint64_t> taken_;
  std::atomic<bool> failed_{false};
  std::atomic<std::int64_t> live_bytes_{0};
  std::atomic<std::uint64_t> syncs_{0};
  std::atomic<bool> fails_next_sync_{false};
  std::atomic<std::uint64_t> written_bytes_{0};

  std::array<WaitWord, 2> groups_;              // by parity: done, or to be led
  WaitWord gathered_;                           // the leader waits for its group to grow
  std::atomic<std::uint64_t> gather_until_{0};  // to this commit; 0: it does not wait

  Mutex creation_;  // one creates segments at a time

  mutable Mutex mutex_;
  LogGroup filling_ ISOLDE_GUARDED_BY(mutex_);
  LogSpace space_ ISOLDE_GUARDED_BY(mutex_);
  std::size_t reserved_inline_bytes_ ISOLDE_GUARDED_BY(mutex_) = 0;
  std::size_t reserved_large_ ISOLDE_GUARDED_BY(mutex_) = 0;
  std::vector<LogSegment> in_use_ ISOLDE_GUARDED_BY(mutex_);     // the last one is being written to
  std::vector<LogSegment> condemned_ ISOLDE_GUARDED_BY(mutex_);  // could not be removed so far
  std::uint64_t next_segment_ ISOLDE_GUARDED_BY(mutex_) = 1;
  bool spare_ahead_failed_ ISOLDE_GUARDED_BY(mutex_) = false;
  int verifying_ ISOLDE_GUARDED_BY(mutex_) = 0;  // segments must not be reused meanwhile
  std::optional<Error> cause_ ISOLDE_GUARDED_BY(mutex_);
  // Of the leader: made before there is no memory for it.
  Error no_memory_{ErrorCode::out_of_memory, "no memory to write a group of commits"};

  Leadership leadership_;
  LogGroup writing_ ISOLDE_GUARDED_BY(leadership_);
  std::shared_ptr<File> file_ ISOLDE_GUARDED_BY(leadership_);  // of the segment in use
  RecordHeader place_ ISOLDE_GUARDED_BY(leadership_);          // of the next record, and the chain
  std::uint64_t use_ ISOLDE_GUARDED_BY(leadership_) = 1;
  std::vector<std::string_view> pieces_ ISOLDE_GUARDED_BY(leadership_);
  std::uint64_t expected_ ISOLDE_GUARDED_BY(leadership_) = 0;  // commits in the next group
  std::uint32_t vain_gathers_ ISOLDE_GUARDED_BY(leadership_) = 0;
  std::uint32_t gathers_to_skip_ ISOLDE_GUARDED_BY(leadership_) = 0;
  std::chrono::nanoseconds sync_time_ ISOLDE_GUARDED_BY(leadership_){0};  // moving average
};

}  // namespace isolde::engine
