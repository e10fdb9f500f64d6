#include "engine/log/log_recovery.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "engine/log/log_segment.h"

namespace isolde::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t window_bytes = std::size_t{1} << 20;

// Where a record stands, and what it says of itself.
struct Damaged {
  RecordHeader header;
  std::uint64_t segment;
  std::uint64_t offset;
};

struct EpochRecord {
  RecordHeader header;
  EpochPayload payload;
};

// Everything that the files hold, before any of it is believed.
struct Findings {
  std::vector<RecordHeader> records;  // rewritten and group, of every epoch
  std::vector<EpochRecord> epochs;
  std::vector<Damaged> damaged;
  RecordHeader claimant;  // the record with the highest `durable`
};

class Scanner {
 public:
  Scanner(std::uint64_t database_id, RecoveredLog& log) : database_id_(database_id), log_(log) {}

  Result<void> scan(FileSystem& files, const RecoveredSegment& segment) {
    auto file = files.open(segment.path, OpenMode::read_only);
    if (!file) return file.error();
    FileWindow window(**file, segment.bytes);
    for (std::size_t place = 0; place < epoch_places; ++place) {
      auto taken = look(window, segment, place * epoch_place_bytes);
      if (!taken) return taken.error();
    }
    for (std::uint64_t offset = first_record_offset; offset < segment.bytes;) {
      auto taken = look(window, segment, offset);
      if (!taken) return taken.error();
      offset += *taken;
    }
    return {};
  }

  Findings findings;

 private:
  // What stands at `offset`: returns how far to go on.
  Result<std::uint64_t> look(FileWindow& window, const RecoveredSegment& segment,
                             std::uint64_t offset) {
    auto found = probe_file(window, offset);
    if (!found) return found.error();
    const RecordHeader& header = found->probe.header;
    switch (found->probe.status) {
      case RecordProbe::Status::nothing:
        return std::uint64_t{record_alignment};
      case RecordProbe::Status::damaged:
        findings.damaged.push_back({header, segment.number, offset});
        return std::uint64_t{record_alignment};
      case RecordProbe::Status::other_version: {
        Evidence evidence;
        evidence.file = segment.path.string();
        evidence.offset = offset;
        return Error(ErrorCode::format_unsupported,
                     "the log " + segment.path.string() + " has format version " +
                         std::to_string(found->probe.version) + ", this program reads version " +
                         std::to_string(log_format_version),
                     std::move(evidence));
      }
      case RecordProbe::Status::valid:
        break;
    }
    if (header.segment != segment.number || header.offset != offset) {
      // In the middle of a file it may be the content of a user's value, laid bare by a record
      // that was written over the beginning of its own: it means nothing there. At the beginning
      // there is never anything but records.
      if (offset > first_record_offset || header.offset != offset) {
        return std::uint64_t{record_alignment};
      }
      return log_corruption("it is the file " + segment_name(header.segment) + " of " +
                                (header.database_id == database_id_ ? "this" : "another") +
                                " database under another name",
                            segment.path, offset);
    }
    if (header.database_id != database_id_) {
      return log_corruption("it belongs to another database", segment.path, offset);
    }
    remember(header, found->payload);
    return padded(header.length);
  }

  void remember(const RecordHeader& header, std::string_view payload) {
    if (header.durable >= findings.claimant.durable) findings.claimant = header;
    log_.newest_epoch = std::max(log_.newest_epoch, header.epoch);
    if (header.kind == RecordKind::epoch) {
      findings.epochs.push_back({header, *decode_epoch(payload)});
    } else {
      findings.records.push_back(header);
    }
  }

  std::uint64_t database_id_;
  RecoveredLog& log_;
};

Result<void> list_segments(FileSystem& files, const fs::path& directory, RecoveredLog& log) {
  auto names = files.list(directory);
  if (!names) return names.error();
  for (const std::string& name : *names) {
    const auto number = segment_number(name);
    if (!number || name != segment_name(*number)) continue;
    const fs::path path = directory / name;
    auto file = files.open(path, OpenMode::read_only);
    if (!file) return file.error();
    const auto bytes = (*file)->size();
    if (!bytes) return bytes.error();
    log.segments.push_back({*number, *bytes, path, false});
    log.next_segment = std::max(log.next_segment, *number + 1);
  }
  std::sort(log.segments.begin(), log.segments.end(),
            [](const auto& left, const auto& right) { return left.number < right.number; });
  return {};
}

// Decides what the findings mean.
class Judge {
 public:
  Judge(const fs::path& directory, const Findings& findings, std::uint64_t database_id,
        std::uint64_t base_at, RecoveredLog& log)
      : directory_(directory),
        findings_(findings),
        database_id_(database_id),
        base_at_(base_at),
        log_(log) {}

  Result<void> judge(bool fresh) {
    if (auto chosen = choose_epoch(fresh); !chosen) return chosen;
    log_.end = base_at_;
    log_.claimed = std::max(base_at_, findings_.claimant.durable);
    if (!log_.begun) return {};
    if (auto complete = check_files(); !complete) return complete;
    return follow_chain();
  }

 private:
  Result<void> choose_epoch(bool fresh) {
    const RecordHeader* orphan = nullptr;
    for (const EpochRecord& epoch : findings_.epochs) {
      const bool newer = epoch.header.epoch != log_.epoch ? epoch.header.epoch > log_.epoch
                                                          : epoch.payload.use > epoch_.payload.use;
      if (!log_.begun || newer) epoch_ = epoch;
      log_.begun = true;
      log_.epoch = epoch_.header.epoch;
    }
    // Records of kind group follow a synced epoch record; those of a rewrite that was cut short by
    // a crash do not.
    for (const RecordHeader& record : findings_.records) {
      if (record.kind == RecordKind::group && record.epoch > log_.epoch) orphan = &record;
    }
    if (orphan != nullptr) {
      return log_corruption("the beginning of epoch " + std::to_string(orphan->epoch) +
                                ", to which this record belongs, is damaged or missing",
                            path_of(orphan->segment), orphan->offset);
    }
    if (log_.begun || fresh) return {};
    if (log_.segments.empty()) {
      return log_file_corruption(
          "has no log files, and the newest commits may be in them alone: put them back",
          directory_);
    }
    return log_file_corruption(
        "and the other files beside it do not hold the beginning of a log: put the original files "
        "back",
        log_.segments.front().path);
  }

  bool is_live(const RecordHeader& record) const noexcept {
    return record.epoch == log_.epoch && record.last > base_at_;
  }

  // Truncated and missing files: what they held is not the torn tail of anything, because every
  // file had its full size before its first record.
  Result<void> check_files() {
    for (const RecordHeader& record : findings_.records) {
      if (record.epoch != log_.epoch) continue;
      auto& segment = *std::lower_bound(
          log_.segments.begin(), log_.segments.end(), record.segment,
          [](const RecoveredSegment& left, std::uint64_t number) { return left.number < number; });
      segment.used_by_epoch = true;
      if (is_live(record)) {
        if (auto sound = check_size(record.segment, record.segment_bytes); !sound) return sound;
      }
    }
    if (auto sound = check_size(epoch_.header.segment, epoch_.header.segment_bytes); !sound) {
      return sound;
    }
    return check_size(epoch_.payload.segment, epoch_.payload.segment_bytes);
  }

  Result<void> check_size(std::uint64_t number, std::uint64_t bytes) const {
    const auto found =
        std::find_if(log_.segments.begin(), log_.segments.end(),
                     [&](const RecoveredSegment& segment) { return segment.number == number; });
    if (found == log_.segments.end()) {
      return log_file_corruption("is missing: put it back", path_of(number));
    }
    if (found->bytes >= bytes) return {};
    return log_corruption(
        "the file ends there, it is truncated: it had " + std::to_string(bytes) + " bytes",
        found->path, found->bytes);
  }

  Result<void> follow_chain() {
    std::vector<RecordHeader> live;
    for (const RecordHeader& record : findings_.records) {
      if (is_live(record)) live.push_back(record);
    }
    std::sort(live.begin(), live.end(), [](const RecordHeader& left, const RecordHeader& right) {
      return left.first < right.first;
    });
    for (const RecordHeader& record : live) {
      if (!continues(record)) return stop(&record);
      log_.chain.push_back(record);
      log_.end = record.last;
    }
    return stop(nullptr);
  }

  bool continues(const RecordHeader& record) const noexcept {
    if (!log_.chain.empty()) {
      return record.first == log_.end + 1 && record.predecessor == log_.chain.back().checksum;
    }
    // The first one may begin with commits that a checkpoint has taken meanwhile.
    if (record.first > base_at_ + 1) return false;
    return record.first != epoch_.header.first ||
           record.predecessor == chain_seed(database_id_, log_.epoch);
  }

  // The chain ends before commit log_.end + 1; `next` is the first record that does not continue
  // it. A torn tail, unless that commit was once known to be on disk (L2).
  Result<void> stop(const RecordHeader* next) const {
    const std::uint64_t missing = log_.end + 1;
    if (findings_.claimant.durable < missing) return {};
    const std::string which = "commit " + std::to_string(missing);
    if (log_.chain.empty() && missing < epoch_.header.first) {
      return log_corruption("it begins with commit " + std::to_string(epoch_.header.first) +
                                ", but the base is at commit " + std::to_string(base_at_) +
                                ": the base is older than the log",
                            path_of(epoch_.header.segment), epoch_.header.offset);
    }
    for (const Damaged& damaged : findings_.damaged) {
      if (damaged.header.epoch == log_.epoch && damaged.header.first == missing) {
        return log_corruption("the record of " + which + ", which was on disk, is damaged",
                              path_of(damaged.segment), damaged.offset);
      }
    }
    if (next != nullptr && next->first <= missing) {
      return log_corruption("the record of " + which + " does not continue the one before it",
                            path_of(next->segment), next->offset);
    }
    const RecordHeader& claimant = findings_.claimant;
    const std::string claim = which + ", which was on disk according to the record at byte " +
                              std::to_string(claimant.offset) + " of " +
                              segment_name(claimant.segment) + ", is damaged or missing";
    if (!log_.chain.empty()) {
      const RecordHeader& before = log_.chain.back();
      return log_corruption(claim, path_of(before.segment), before.offset + padded(before.length));
    }
    return log_corruption(claim, path_of(epoch_.header.segment), first_record_offset);
  }

  fs::path path_of(std::uint64_t segment) const { return directory_ / segment_name(segment); }

  const fs::path& directory_;
  const Findings& findings_;
  std::uint64_t database_id_;
  std::uint64_t base_at_;
  RecoveredLog& log_;
  EpochRecord epoch_{};
};

}  // namespace

Error log_corruption(std::string_view what, const fs::path& file, std::uint64_t offset) {
  Evidence evidence;
  evidence.file = file.string();
  evidence.offset = offset;
  std::string message = "the log is damaged at byte " + std::to_string(offset) + " of ";
  message += file.string();
  message += ": ";
  message += what;
  return {ErrorCode::corruption, std::move(message), std::move(evidence)};
}

Error log_file_corruption(std::string_view what, const fs::path& file) {
  Evidence evidence;
  evidence.file = file.string();
  evidence.offset = 0;
  std::string message = "the log is damaged: ";
  message += file.string();
  message += ' ';
  message += what;
  return {ErrorCode::corruption, std::move(message), std::move(evidence)};
}

Result<std::string_view> FileWindow::view(std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t available = offset < size_ ? size_ - offset : 0;
  bytes = std::min(bytes, available);
  if (offset < start_ || offset + bytes > start_ + held_) {
    const auto wanted =
        static_cast<std::size_t>(std::min(std::max<std::uint64_t>(bytes, window_bytes), available));
    if (buffer_.size() < wanted) buffer_.resize(wanted);
    held_ = 0;
    start_ = offset;
    auto got = file_.read_at(offset, {buffer_.data(), wanted});
    if (!got) return got.error();
    held_ = *got;
  }
  return std::string_view(buffer_.data(), held_).substr(static_cast<std::size_t>(offset - start_));
}

Result<FileProbe> probe_file(FileWindow& window, std::uint64_t offset) {
  auto bytes = window.view(offset, record_header_bytes);
  if (!bytes) return bytes.error();
  FileProbe found;
  const auto length = announced_length(*bytes);
  if (!length) return found;
  if (*length <= window.size() - offset && *length > bytes->size()) {
    bytes = window.view(offset, *length);
    if (!bytes) return bytes.error();
  }
  found.probe = probe_record(*bytes);
  if (found.probe.status == RecordProbe::Status::valid) {
    found.payload = bytes->substr(record_header_bytes,
                                  static_cast<std::size_t>(found.probe.header.payload_bytes()));
  }
  return found;
}

const RecoveredSegment& RecoveredLog::segment(std::uint64_t number) const {
  return *std::find_if(segments.begin(), segments.end(),
                       [&](const RecoveredSegment& segment) { return segment.number == number; });
}

Result<RecoveredLog> recover_log(FileSystem& files, const fs::path& directory,
                                 std::uint64_t database_id, std::uint64_t base_at, bool fresh) {
  RecoveredLog log;
  if (auto listed = list_segments(files, directory, log); !listed) return listed.error();
  Scanner scanner(database_id, log);
  for (const RecoveredSegment& segment : log.segments) {
    if (auto scanned = scanner.scan(files, segment); !scanned) return scanned.error();
  }
  Judge judge(directory, scanner.findings, database_id, base_at, log);
  if (auto judged = judge.judge(fresh); !judged) return judged.error();
  return log;
}

Result<void> replay_log(FileSystem& files, const RecoveredLog& log, std::uint64_t base_at,
                        const RecoveredSink& sink) {
  std::unique_ptr<File> file;
  std::optional<FileWindow> window;
  std::uint64_t open_segment = 0;
  for (const RecordHeader& record : log.chain) {
    const RecoveredSegment& segment = log.segment(record.segment);
    if (open_segment != record.segment) {
      auto opened = files.open(segment.path, OpenMode::read_only);
      if (!opened) return opened.error();
      file = *std::move(opened);
      window.emplace(*file, segment.bytes);
      open_segment = record.segment;
    }
    auto found = probe_file(*window, record.offset);
    if (!found) return found.error();
    if (found->probe.status != RecordProbe::Status::valid ||
        found->probe.header.checksum != record.checksum) {
      return log_corruption("it changed while it was read", segment.path, record.offset);
    }
    EntryReader entries(found->payload);
    for (std::uint64_t at = record.first; at <= record.last; ++at) {
      const auto entry = entries.next();
      if (!entry) return log_corruption("a record lacks commits", segment.path, record.offset);
      if (at <= base_at) continue;
      if (auto taken = sink(at, *entry); !taken) return taken;
    }
    if (!entries.rest().empty()) {
      return log_corruption("a record has more than its commits", segment.path, record.offset);
    }
  }
  return {};
}

}  // namespace isolde::engine
