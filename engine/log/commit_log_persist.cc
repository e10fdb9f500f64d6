// Leader and followers (C3): how appended commits become durable.

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <new>
#include <utility>

#include "engine/invariant.h"
#include "engine/log/commit_log_file.h"
#include "engine/spin.h"

namespace isolde::engine {
namespace {

using Clock = std::chrono::steady_clock;

// How long a leader waits at most for the followers that were released last to come back.
constexpr std::chrono::microseconds most_gather_time{150};

constexpr std::array<char, record_alignment> zeros{};

}  // namespace

Result<void> FileCommitLog::persist(Timestamp at) {
  if (durable_.load() >= at.value) return {};
  ISOLDE_INVARIANT(at.value <= appended_.load(), "a commit is appended before it is persisted");
  answer_gatherer();
  for (;;) {
    // In this order: the leader of our group stores durable_, then advances the word. So if
    // durable_ is still old here, `seen` is too, and the wait ends.
    const std::uint64_t taken = taken_.load();
    const std::uint64_t filling = taken & 1;
    WaitWord& group = groups_[at.value > taken >> 1 ? filling : 1 - filling];
    const std::uint32_t seen = group.value();
    ISOLDE_YIELD("log: persisting");
    if (durable_.load() >= at.value) return {};
    if (failed_.load()) return outcome_unknown(at.value);
    if (leadership_.try_lock()) {
      if (durable_.load() < at.value && !failed_.load()) lead();
      leadership_.unlock();
      hand_over();
      continue;
    }
    if (!spin(at.value)) group.wait(seen);
  }
}

// True if it is worth another look. Never with syncs: those take a hundred times as long.
bool FileCommitLog::spin(std::uint64_t at) const noexcept {
  if (options_.sync) return false;
#ifdef ISOLDE_YIELD_POINTS
  if (yield_hook.load() != nullptr) return false;
#endif
  return spin_until([&] { return durable_.load() >= at || !leadership_.is_taken(); });
}

// A thread that gives up leadership wakes one of those that came too late for its group: they went
// to sleep because another thread led.
void FileCommitLog::hand_over() noexcept {
  const std::uint64_t taken = taken_.load();
  if (appended_.load() <= taken >> 1) return;
  WaitWord& group = groups_[taken & 1];
  group.advance();
  group.wake_one();
}

void FileCommitLog::lead() {
  gather();
  try {
    const std::uint64_t parity = take_group();
    const std::uint64_t count = writing_.count();
    ISOLDE_YIELD("log: group taken");
    auto written = write_group();
    if (!written) return fail(written.error());
    writing_.clear();
    // They and the ones already waiting may make up the next group.
    expected_ = count + (appended_.load() - durable_.load());
    groups_[parity].advance();
    groups_[parity].wake_all();
  } catch (const std::bad_alloc&) {
    fail(std::move(no_memory_));
  }
}

// Clients that were released a moment ago are about to commit again: a short wait makes one group
// of two halves that would take turns, and doubles what a sync carries. Never for a lone client,
// not longer than a sync takes, and rarely if it was in vain.
void FileCommitLog::gather() {
  if (!options_.sync || expected_ < 2) return;
#ifdef ISOLDE_YIELD_POINTS
  if (yield_hook.load() != nullptr) return;
#endif
  const std::uint64_t until = (taken_.load() >> 1) + expected_;
  const std::uint64_t before = appended_.load();
  if (before >= until) return;
  if (gathers_to_skip_ > 0) {
    --gathers_to_skip_;
    return;
  }
  const auto deadline =
      Clock::now() + std::min<std::chrono::nanoseconds>(most_gather_time, sync_time_);
  gather_until_.store(until);
  for (;;) {
    const std::uint32_t seen = gathered_.value();
    if (appended_.load() >= until) break;
    const auto now = Clock::now();
    if (now >= deadline) break;
    gathered_.wait_for(seen, deadline - now);
  }
  gather_until_.store(0);
  if (appended_.load() > before) {
    vain_gathers_ = 0;
  } else {
    constexpr std::uint32_t most_doublings = 6;
    vain_gathers_ = std::min(vain_gathers_ + 1, most_doublings);
    gathers_to_skip_ = 1u << vain_gathers_;
  }
}

void FileCommitLog::answer_gatherer() noexcept {
  std::uint64_t until = gather_until_.load();
  if (until == 0 || appended_.load() < until) return;
  if (!gather_until_.compare_exchange_strong(until, 0)) return;
  gathered_.advance();
  gathered_.wake_one();
}

// Returns the parity of the group taken.
std::uint64_t FileCommitLog::take_group() {
  MutexLock lock(mutex_);
  // The group filled from now on has room for all reservations too: append() does not allocate.
  writing_.make_room(reserved_inline_bytes_, reserved_large_);
  std::swap(filling_, writing_);
  const std::uint64_t parity = taken_.load() & 1;
  taken_.store(appended_.load() << 1 | (1 - parity));
  return parity;
}

Result<void> FileCommitLog::write_group() {
  GroupReader reader(writing_);
  while (!reader.done()) {
    // A record is written only once the one before it is on disk: so a valid record is a witness
    // that all commits before it are durable (L2).
    const bool fits = place_.offset + reader.next_need() <= place_.segment_bytes;
    if (!fits || reader.next_has_segment()) {
      if (auto switched = switch_segment(reader.next_need()); !switched) return switched;
    }
    if (auto written = write_record(reader); !written) return written;
  }
  return {};
}

Result<void> FileCommitLog::write_record(GroupReader& reader) {
  place_.kind = RecordKind::group;
  place_.first = reader.next();
  const auto& payload = reader.take(place_.segment_bytes - place_.offset);
  place_.last = reader.next() - 1;
  ISOLDE_INVARIANT(place_.last >= place_.first, "reserved space suffices for every entry");
  place_.durable = claim();
  const EncodedHeader header = encode_header(place_, payload);
  pieces_.clear();
  pieces_.emplace_back(header.data(), header.size());
  pieces_.insert(pieces_.end(), payload.begin(), payload.end());
  const std::uint64_t padding = padded(place_.length) - place_.length;
  if (padding > 0) pieces_.emplace_back(zeros.data(), static_cast<std::size_t>(padding));
  if (auto written = file_->write_at(place_.offset, pieces_); !written) return written;
  ISOLDE_YIELD("log: record written");
  if (auto synced = sync(*file_); !synced) return synced;
  publish(place_, reader.taken_needs());
  place_.offset += padded(place_.length);
  place_.predecessor = place_.checksum;
  return {};
}

Result<void> FileCommitLog::sync(File& file) {
  if (!options_.sync) return {};
  if (fails_next_sync_.load(std::memory_order_relaxed) && fails_next_sync_.exchange(false)) {
    return file_error("sync (as it was told to fail)", directory_, 0, EIO);
  }
  const auto begun = Clock::now();
  auto synced = file.sync_data();
  syncs_.fetch_add(1, std::memory_order_relaxed);
  const auto taken = Clock::now() - begun;
  sync_time_ += (taken - sync_time_) / 8;
  return synced;
}

void FileCommitLog::publish(const RecordHeader& record, std::uint64_t needs) {
  const std::uint64_t bytes = padded(record.length);
  written_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  const std::uint64_t counted = record.payload_bytes();  // by append()
  live_bytes_.fetch_add(static_cast<std::int64_t>(record.length - counted),
                        std::memory_order_relaxed);
  {
    MutexLock lock(mutex_);
    LogSegment& segment = in_use_.back();
    if (segment.first > segment.last) segment.first = record.first;
    segment.last = record.last;
    segment.end = record.offset + bytes;
    segment.record_bytes += record.length;
    segment.live_bytes += record.length;
    space_.placed(needs, segment.remainder());
  }
  durable_.store(record.last);
}

Result<void> FileCommitLog::switch_segment(std::uint64_t need) {
  LogSegment next;
  {
    MutexLock lock(mutex_);
    next = space_.take_spare(need);
  }
  // Without syncs a crash could keep the old name and yet remove the file that it names, after its
  // release: then it is never named.
  if (options_.sync) {
    if (auto named = name_segment(next); !named) return named;
  }
  file_ = next.file;
  place_.segment = next.number;
  place_.segment_bytes = next.bytes;
  place_.offset = next.end;
  MutexLock lock(mutex_);
  in_use_.push_back(std::move(next));
  return {};
}

// Before the first record in a segment, the log's beginning names it: a file that goes missing, or
// loses its end, is noticed though nothing else may be known of its records.
Result<void> FileCommitLog::name_segment(const LogSegment& segment) {
  ++use_;
  RecordHeader header;
  header.kind = RecordKind::epoch;
  header.database_id = database_id_;
  header.epoch = epoch_;
  header.segment = epoch_segment_;
  header.segment_bytes = epoch_segment_bytes_;
  header.offset = (use_ - 1) % epoch_places * epoch_place_bytes;
  header.first = epoch_first_;
  header.last = epoch_last_;
  header.durable = claim();
  header.predecessor = place_.predecessor;
  const auto payload = encode_epoch({use_, segment.number, segment.bytes});
  const std::array<std::string_view, 1> body{std::string_view(payload.data(), payload.size())};
  const EncodedHeader bytes = encode_header(header, body);
  const std::array<std::string_view, 2> pieces{std::string_view(bytes.data(), bytes.size()),
                                               body[0]};
  if (auto written = epoch_file_->write_at(header.offset, pieces); !written) return written;
  return sync(*epoch_file_);
}

// What a record may claim to be on disk.
std::uint64_t FileCommitLog::claim() const noexcept {
  return options_.sync ? durable_.load() : synced_.load();
}

void FileCommitLog::fail(Error cause) noexcept {
  {
    MutexLock lock(mutex_);
    cause_ = std::move(cause);
    failed_.store(true);
  }
  for (WaitWord& group : groups_) {
    group.advance();
    group.wake_all();
  }
}

Error FileCommitLog::outcome_unknown(std::uint64_t at) const {
  MutexLock lock(mutex_);
  return {
      ErrorCode::commit_outcome_unknown,
      "the commit log failed before commit " + std::to_string(at) +
          " was known to be on disk; whether it survives shows when the database is reopened (" +
          cause_->message() + ")",
      cause_->evidence()};
}

}  // namespace isolde::engine
