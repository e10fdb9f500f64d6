// Reading the live part of the log back while commits go on.

#include <algorithm>
#include <utility>

#include "engine/commit_log_file.h"

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
                          std::uint64_t database_id, std::uint64_t life,
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
        header.offset != offset || header.database_id != database_id || header.life != life) {
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

Result<LogSummary> FileCommitLog::verify() {
  LogSummary summary;
  if (options_.read_only) return summary;
  const VerifyPin pin(*this);
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
    auto read = read_segment(segment, path, database_id_, life_, records);
    if (!read) return read.error();
  }
  std::sort(
      records.begin(), records.end(),
      [](const RecordHeader& left, const RecordHeader& right) { return left.first < right.first; });
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
