// What the tests of the log share.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/log/commit_log.h"
#include "engine/log/log_record.h"
#include "engine/log/log_segment.h"
#include "tests/support/fault_file_system.h"

namespace isolde::engine {

using Entries = std::map<std::uint64_t, std::string>;

inline const std::filesystem::path log_directory = "/db/log";
inline constexpr std::uint64_t test_database = 0x1501de;

inline std::filesystem::path segment_path(std::uint64_t number) {
  return log_directory / segment_name(number);
}

// An entry that tells its commit.
inline std::string entry_of(std::uint64_t at, std::size_t bytes = 40) {
  std::string entry = "commit " + std::to_string(at) + " ";
  while (entry.size() < bytes) entry += static_cast<char>('a' + (entry.size() + at) % 26);
  return entry;
}

struct OpenedLog {
  std::unique_ptr<CommitLog> log;
  Entries replayed;
  bool dense = true;  // in order, from base_at + 1, without gaps
};

inline LogOptions small_segments() {
  LogOptions options;
  options.segment_bytes = least_segment_bytes;
  return options;
}

inline Result<OpenedLog> open_log(FileSystem& files, std::uint64_t base_at = 0,
                                  LogOptions options = small_segments(),
                                  std::uint64_t database_id = test_database) {
  OpenedLog opened;
  std::uint64_t next = base_at + 1;
  auto log = CommitLog::open(files, log_directory, options, database_id, Timestamp{base_at},
                             [&](Timestamp at, std::string_view entry) -> Result<void> {
                               opened.dense = opened.dense && at.value == next++;
                               opened.replayed[at.value] = std::string(entry);
                               return {};
                             });
  if (!log) return log.error();
  opened.log = *std::move(log);
  return opened;
}

inline LogOptions fresh_log(LogOptions options = small_segments()) {
  options.fresh = true;
  return options;
}

// Appends the next commit; returns its timestamp.
inline Result<std::uint64_t> append(CommitLog& log, std::string entry) {
  auto reservation = log.reserve(entry.size());
  if (!reservation) return reservation.error();
  const Timestamp at{log.appended().value + 1};
  log.append(at, std::move(entry), *std::move(reservation));
  return at.value;
}

// Appends and persists one commit with the entry of its timestamp.
inline Result<void> commit(CommitLog& log, std::size_t bytes = 40) {
  auto at = append(log, entry_of(log.appended().value + 1, bytes));
  if (!at) return at.error();
  return log.persist(Timestamp{*at});
}

// The valid records of a file, found by reading all of it.
inline std::vector<RecordHeader> records_in(const std::string& contents) {
  std::vector<RecordHeader> records;
  for (std::size_t offset = 0; offset < contents.size(); offset += record_alignment) {
    const auto probe = probe_record(std::string_view(contents).substr(offset));
    if (probe.status == RecordProbe::Status::valid && probe.header.offset == offset) {
      records.push_back(probe.header);
    }
  }
  return records;
}

// Where commit `at` stands in the newest epoch.
inline RecordHeader record_of(const test::FaultFileSystem& files, std::uint64_t at) {
  RecordHeader found;
  for (const auto& path : files.files()) {
    for (const RecordHeader& record : records_in(files.contents(path))) {
      if (record.kind != RecordKind::epoch && record.first <= at && at <= record.last &&
          record.epoch >= found.epoch) {
        found = record;
      }
    }
  }
  return found;
}

}  // namespace isolde::engine
