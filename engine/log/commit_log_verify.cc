// Reading the live part of the log back while commits go on.

#include <algorithm>
#include <utility>

#include "engine/log/commit_log_file.h"

namespace isolde::engine {

// Keeps release() from giving segments to others to write to.
class FileCommitLog::VerifyPin {
 public:
  explicit VerifyPin(FileCommitLog& log) : log_(log) {
    MutexLock lock(log_.mutex_);
    ++log_.verifying_;
  }
  VerifyPin(const VerifyPin&) = delete;
  VerifyPin& operator=(const VerifyPin&) = delete;
  ~VerifyPin() {
    std::vector<LogSegment> surplus;
    {
      MutexLock lock(log_.mutex_);
      if (--log_.verifying_ == 0) surplus = log_.recycle_locked();
    }
    log_.remove_segments(std::move(surplus));
  }

 private:
  FileCommitLog& log_;
};

namespace {

// All records between the beginning and the end of what was written: each must be valid.
Result<void> read_segment(const LogSegment& segment, const std::filesystem::path& path,
                          std::uint64_t database_id, std::uint64_t epoch,
                          std::vector<RecordHeader>& records) {
  const auto size = segment.file->size();
  if (!size) return size.error();
  if (*size < segment.bytes) {
    return log_corruption(
        "the file ends there, it is truncated: it had " + std::to_string(segment.bytes) + " bytes",
        path, *size);
  }
  FileWindow window(*segment.file, segment.end);
  for (std::uint64_t offset = first_record_offset; offset < segment.end;) {
    auto found = probe_file(window, offset);
    if (!found) return found.error();
    const RecordHeader& header = found->probe.header;
    if (found->probe.status != RecordProbe::Status::valid || header.segment != segment.number ||
        header.offset != offset || header.database_id != database_id || header.epoch != epoch) {
      return log_corruption("the record there is damaged", path, offset);
    }
    std::uint64_t entries = 0;
    EntryReader reader(found->payload);
    while (reader.next()) ++entries;
    if (entries != header.last - header.first + 1 || !reader.rest().empty()) {
      return log_corruption("the record there does not hold its commits", path, offset);
    }
    records.push_back(header);
    offset += padded(header.length);
  }
  return {};
}

}  // namespace

// Nothing is being written: as at an opening.
Result<LogSummary> FileCommitLog::verify_closed() {
  const std::uint64_t released = released_.load();
  const auto log = recover_log(files_, directory_, database_id_, released, options_.fresh);
  if (!log) return log.error();
  LogSummary summary;
  summary.records = log->chain.size();
  summary.commits = log->end - released;
  const auto ignore = [](std::uint64_t, std::string_view) -> Result<void> { return {}; };
  if (auto read = replay_log(files_, *log, released, ignore); !read) return read.error();
  return summary;
}

// One of the two places may be being written just now.
Result<void> FileCommitLog::verify_epoch() {
  for (std::size_t place = 0; place < epoch_places; ++place) {
    FileWindow window(*epoch_file_, first_record_offset);
    const auto found = probe_file(window, place * epoch_place_bytes);
    if (!found) return found.error();
    if (found->probe.status == RecordProbe::Status::valid &&
        found->probe.header.kind == RecordKind::epoch && found->probe.header.epoch == epoch_) {
      return {};
    }
  }
  return log_corruption("the beginning of the log's epoch is damaged",
                        directory_ / segment_name(epoch_segment_), 0);
}

Result<LogSummary> FileCommitLog::verify() {
  if (options_.read_only) return verify_closed();
  const VerifyPin pin(*this);
  if (auto sound = verify_epoch(); !sound) return sound.error();
  std::vector<LogSegment> segments;
  std::uint64_t released = 0;
  {
    MutexLock lock(mutex_);
    segments = in_use_;
    released = released_.load();
  }
  std::vector<RecordHeader> records;
  for (const LogSegment& segment : segments) {
    const auto path = directory_ / segment_name(segment.number);
    auto read = read_segment(segment, path, database_id_, epoch_, records);
    if (!read) return read.error();
  }
  std::sort(
      records.begin(), records.end(),
      [](const RecordHeader& left, const RecordHeader& right) { return left.first < right.first; });
  LogSummary summary;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const RecordHeader& record = records[i];
    // Records that are dead may have gone with the segments that they were in.
    const bool continues = i > 0 && records[i - 1].last + 1 == record.first &&
                           records[i - 1].checksum == record.predecessor;
    if (!continues && record.first > released + 1) {
      return log_corruption("the record there does not continue the one before it",
                            directory_ / segment_name(record.segment), record.offset);
    }
    if (record.last <= released) continue;
    ++summary.records;
    summary.commits += record.last - std::max(record.first, released + 1) + 1;
  }
  return summary;
}

}  // namespace isolde::engine
