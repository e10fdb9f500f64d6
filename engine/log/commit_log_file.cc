#include "engine/log/commit_log_file.h"

#include <algorithm>
#include <new>
#include <utility>

#include "engine/invariant.h"

namespace isolde::engine {
namespace {

// Far beyond what a transaction may hold; a length in the log has 32 bits.
constexpr std::size_t most_entry_bytes = std::size_t{1} << 30;

}  // namespace

FileCommitLog::FileCommitLog(FileSystem& files, std::filesystem::path directory,
                             const LogOptions& options, std::uint64_t database_id,
                             std::uint64_t base_at, std::uint64_t end,
                             std::optional<NewEpoch> epoch)
    : files_(files),
      directory_(std::move(directory)),
      options_(options),
      database_id_(database_id),
      epoch_(epoch ? epoch->epoch : 0),
      epoch_segment_(epoch ? epoch->segment.number : 0),
      epoch_segment_bytes_(epoch ? epoch->segment.bytes : 0),
      epoch_file_(epoch ? epoch->segment.file : nullptr),
      epoch_first_(base_at + 1),
      epoch_last_(end),
      appended_(end),
      durable_(end),
      released_(base_at),
      synced_(end),
      taken_(end << 1),
      space_(options.segment_bytes, epoch ? epoch->segment.remainder() : 0) {
  if (!epoch) return;
  next_segment_ = epoch->next_segment;
  file_ = epoch->segment.file;
  place_.database_id = database_id_;
  place_.epoch = epoch_;
  place_.segment = epoch->segment.number;
  place_.segment_bytes = epoch->segment.bytes;
  place_.offset = epoch->segment.end;
  place_.last = end;
  place_.predecessor = epoch->chain;
  live_bytes_ = static_cast<std::int64_t>(epoch->segment.live_bytes);
  in_use_.push_back(std::move(epoch->segment));
  for (LogSegment& spare : epoch->spares) space_.add_spare(std::move(spare));
}

Result<LogReservation> FileCommitLog::reserve(std::size_t entry_bytes) {
  if (options_.read_only) {
    return Error(ErrorCode::read_only, "the database was opened read-only");
  }
  if (entry_bytes > most_entry_bytes) {
    return Error(ErrorCode::transaction_too_large,
                 "a transaction's changes are " + std::to_string(entry_bytes) +
                     " bytes in the log, the most is " + std::to_string(most_entry_bytes));
  }
  try {
    bool ahead = false;
    {
      MutexLock lock(mutex_);
      if (try_reserve_locked(entry_bytes)) {
        ahead = space_.wants_spare() && !spare_ahead_failed_;
        lock.unlock();
        LogReservation reservation(*this, entry_bytes);
        if (failed()) return failure();
        if (ahead) create_spare_ahead();
        return reservation;
      }
    }
    if (failed()) return failure();
    ISOLDE_YIELD("log: creating a segment");
    MutexLock creating(creation_);
    for (;;) {
      {
        MutexLock lock(mutex_);
        if (try_reserve_locked(entry_bytes)) return LogReservation(*this, entry_bytes);
      }
      if (auto created = create_spare(alone_bytes(entry_bytes)); !created) return created.error();
    }
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::out_of_memory, "no memory for " + std::to_string(entry_bytes) +
                                               " bytes of changes on their way to the log");
  }
}

bool FileCommitLog::try_reserve_locked(std::size_t entry_bytes) {
  const bool is_large = entry_bytes > LogGroup::most_inline_bytes;
  const std::size_t inline_bytes = entry_prefix_bytes + (is_large ? 0 : entry_bytes);
  filling_.make_room(reserved_inline_bytes_ + inline_bytes, reserved_large_ + (is_large ? 1 : 0));
  if (!space_.try_reserve(alone_bytes(entry_bytes))) return false;
  reserved_inline_bytes_ += inline_bytes;
  reserved_large_ += is_large ? 1 : 0;
  return true;
}

void FileCommitLog::unreserve(std::size_t bytes) noexcept {
  const bool is_large = bytes > LogGroup::most_inline_bytes;
  MutexLock lock(mutex_);
  space_.unreserve(alone_bytes(bytes));
  reserved_inline_bytes_ -= entry_prefix_bytes + (is_large ? 0 : bytes);
  reserved_large_ -= is_large ? 1 : 0;
}

Result<void> FileCommitLog::create_spare(std::uint64_t need) {
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;
  {
    MutexLock lock(mutex_);
    number = next_segment_++;
    bytes = space_.segment_bytes_for(need);
  }
  auto created = create_segment(files_, directory_, number, bytes);
  if (!created) return created.error();
  MutexLock lock(mutex_);
  space_.add_spare(*std::move(created));
  spare_ahead_failed_ = false;
  return {};
}

// Best effort: only the caller waits for it, and has its reservation already.
void FileCommitLog::create_spare_ahead() noexcept {
  if (!creation_.try_lock()) return;
  bool created = false;
  try {
    bool wanted = false;
    {
      MutexLock lock(mutex_);
      wanted = space_.wants_spare() && !spare_ahead_failed_;
    }
    created = !wanted || create_spare(0).has_value();
  } catch (const std::bad_alloc&) {
    created = false;
  }
  if (!created) {
    // Not with every commit again on a full disk.
    MutexLock lock(mutex_);
    spare_ahead_failed_ = true;
  }
  creation_.unlock();
}

void FileCommitLog::append(Timestamp at, std::string entry, LogReservation reservation) noexcept {
  const std::size_t reserved = reservation.consume();
  ISOLDE_INVARIANT(entry.size() <= reserved, "C1: no entry outgrows its reservation");
  const bool is_large = reserved > LogGroup::most_inline_bytes;
  const std::uint64_t reserved_need = alone_bytes(reserved);
  const std::size_t entry_bytes = entry.size();
  {
    MutexLock lock(mutex_);
    ISOLDE_INVARIANT(at.value == appended_.load() + 1, "I5: commits are appended in order");
    const bool has_segment = space_.is_large(reserved_need);
    if (!has_segment) space_.shrink(reserved_need, alone_bytes(entry_bytes));
    reserved_inline_bytes_ -= entry_prefix_bytes + (is_large ? 0 : reserved);
    reserved_large_ -= is_large ? 1 : 0;
    if (is_large) {
      filling_.add_large(at.value, std::move(entry), has_segment ? reserved_need : 0);
    } else {
      filling_.add(at.value, entry);
    }
    appended_.store(at.value);
  }
  live_bytes_.fetch_add(static_cast<std::int64_t>(entry_prefix_bytes + entry_bytes),
                        std::memory_order_relaxed);
}

Error FileCommitLog::failure() const {
  MutexLock lock(mutex_);
  ISOLDE_INVARIANT(cause_.has_value(), "failure() of a log that has not failed");
  return {ErrorCode::database_failed,
          "the commit log has failed, nothing can be written until the database is reopened (" +
              cause_->message() + ")",
          cause_->evidence()};
}

std::uint64_t FileCommitLog::live_bytes() const noexcept {
  const std::int64_t bytes = live_bytes_.load(std::memory_order_relaxed);
  return bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

LogStats FileCommitLog::stats() const {
  LogStats stats;
  stats.live_bytes = live_bytes();
  stats.syncs = syncs_.load(std::memory_order_relaxed);
  stats.written_bytes = written_bytes_.load(std::memory_order_relaxed);
  MutexLock lock(mutex_);
  stats.file_bytes = space_.spare_bytes();
  for (const LogSegment& segment : in_use_) stats.file_bytes += segment.bytes;
  for (const LogSegment& segment : condemned_) stats.file_bytes += segment.bytes;
  return stats;
}

// Records are counted in proportion to their commits: exact at both ends.
std::uint64_t FileCommitLog::live_bytes_of(const LogSegment& segment,
                                           std::uint64_t released) noexcept {
  if (segment.first > segment.last || released >= segment.last) return 0;
  const std::uint64_t bytes = segment.record_bytes;
  if (released < segment.first) return bytes;
  const double share = static_cast<double>(segment.last - released) /
                       static_cast<double>(segment.last - segment.first + 1);
  return static_cast<std::uint64_t>(static_cast<double>(bytes) * share);
}

void FileCommitLog::release(Timestamp base_at) noexcept {
  std::vector<LogSegment> surplus;
  {
    MutexLock lock(mutex_);
    const std::uint64_t released = std::max(released_.load(), base_at.value);
    released_.store(released);
    // The base's own sync made them so.
    if (synced_.load() < released) synced_.store(released);
    for (LogSegment& segment : in_use_) {
      const std::uint64_t live = live_bytes_of(segment, released);
      live_bytes_.fetch_sub(static_cast<std::int64_t>(segment.live_bytes - live),
                            std::memory_order_relaxed);
      segment.live_bytes = live;
    }
    spare_ahead_failed_ = false;
    try {
      surplus = recycle_locked();
    } catch (const std::bad_alloc&) {
      // The next release finds them.
    }
  }
  remove_segments(std::move(surplus));
}

// Segments with nothing newer than the base become spares; returns those that are too many.
std::vector<LogSegment> FileCommitLog::recycle_locked() {
  std::vector<LogSegment> surplus = std::exchange(condemned_, {});
  if (verifying_ > 0 || in_use_.empty()) return surplus;
  // As many as were needed between two releases will be needed again.
  const std::size_t kept = std::max<std::size_t>(in_use_.size(), 2);
  const std::uint64_t released = released_.load();
  for (std::size_t i = 0; i + 1 < in_use_.size();) {
    if (in_use_[i].last > released) {
      ++i;
      continue;
    }
    space_.add_spare(std::move(in_use_[i]));
    in_use_.erase(in_use_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  while (auto segment = space_.take_surplus(kept, epoch_segment_)) {
    surplus.push_back(*std::move(segment));
  }
  return surplus;
}

void FileCommitLog::remove_segments(std::vector<LogSegment> segments) noexcept {
  for (LogSegment& segment : segments) {
    segment.file.reset();
    try {
      if (files_.remove(directory_ / segment_name(segment.number))) continue;
      MutexLock lock(mutex_);
      condemned_.push_back(std::move(segment));
    } catch (const std::bad_alloc&) {
      // Its file lies there until the next open, as one that could not be removed.
    }
  }
}

}  // namespace isolde::engine
