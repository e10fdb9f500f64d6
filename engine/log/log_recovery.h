// Reading a log back: which commits it holds after the base's, and whether anything is missing.
//
// The rules, and which failures they tell apart: docs/log-format.md (L2, L3).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/files/file.h"
#include "engine/log/log_record.h"
#include "isolde/result.h"

namespace isolde::engine {

// Reads a file through a window, so that memory is bounded by the window and the largest record.
class FileWindow {
 public:
  FileWindow(File& file, std::uint64_t size) noexcept : file_(file), size_(size) {}

  // The bytes from `offset` on: at least `bytes`, fewer only at the end of the file. Valid until
  // the next call.
  Result<std::string_view> view(std::uint64_t offset, std::uint64_t bytes);
  std::uint64_t size() const noexcept { return size_; }

 private:
  File& file_;
  std::uint64_t size_;
  std::uint64_t start_ = 0;
  std::size_t held_ = 0;
  std::vector<char> buffer_;
};

// probe_record() on a file, for what stands at `offset`.
struct FileProbe {
  RecordProbe probe;
  std::string_view payload;  // if valid; until the window's next call
};
Result<FileProbe> probe_file(FileWindow& window, std::uint64_t offset);

struct RecoveredSegment {
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;
  std::filesystem::path path;
  bool used_by_epoch = false;  // has records of the epoch that was recovered, dead or live
};

// The log as found.
struct RecoveredLog {
  bool begun = false;                      // it has an epoch
  std::uint64_t epoch = 0;                 // the current one
  std::uint64_t newest_epoch = 0;          // of any record, completed or not
  std::uint64_t claimed = 0;               // every commit up to here was once known to be on disk
  std::uint64_t end = 0;                   // the last commit: base_at if there are none after it
  std::vector<RecordHeader> chain;         // the records with commits after base_at, in order
  std::vector<RecoveredSegment> segments;  // all files of the log, by number
  std::uint64_t next_segment = 1;

  const RecoveredSegment& segment(std::uint64_t number) const;
};

// Scans the log and decides. `fresh`: no log need be there. Errors: corruption, format_unsupported,
// io_error, permission_denied.
Result<RecoveredLog> recover_log(FileSystem& files, const std::filesystem::path& directory,
                                 std::uint64_t database_id, std::uint64_t base_at, bool fresh);

// Calls `sink` for each commit after base_at, in order. Errors: the sink's; corruption if a file
// changed since it was scanned; io_error.
using RecoveredSink = std::function<Result<void>(std::uint64_t at, std::string_view entry)>;
Result<void> replay_log(FileSystem& files, const RecoveredLog& log, std::uint64_t base_at,
                        const RecoveredSink& sink);

// "the log is damaged at byte <offset> of <file>: <what>".
Error log_corruption(std::string_view what, const std::filesystem::path& file,
                     std::uint64_t offset);
// "the log is damaged: <file> <what>", with offset 0 in the evidence.
Error log_file_corruption(std::string_view what, const std::filesystem::path& file);

}  // namespace isolde::engine
