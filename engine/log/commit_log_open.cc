// Opening: replay, and the beginning of a new epoch (L3).

#include <algorithm>
#include <array>
#include <utility>

#include "engine/log/commit_log_file.h"

namespace isolde::engine {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t rewritten_payload_bytes = std::size_t{256} << 10;
constexpr std::size_t buffer_bytes = std::size_t{1} << 20;
constexpr std::size_t most_kept_spares = 4;

// Writes the commits that were replayed, merged into large records, behind the room for the record
// that begins the epoch, into a file of its own: nothing that the old epoch needs is touched.
class EpochWriter {
 public:
  EpochWriter(FileSystem& files, const fs::path& directory, const RecoveredLog& log,
              std::uint64_t database_id, std::uint64_t base_at, std::uint64_t segment_bytes)
      : files_(files), directory_(directory), base_at_(base_at), claim_(log.claimed) {
    std::uint64_t payload = 0;
    for (const RecordHeader& record : log.chain) payload += record.payload_bytes();
    constexpr std::uint64_t overhead = record_header_bytes + record_alignment;
    const std::uint64_t records = payload / rewritten_payload_bytes + 1;
    const std::uint64_t bytes = first_record_offset + padded(payload + records * overhead);
    segment_.number = log.next_segment;
    segment_.bytes = std::max(segment_bytes, payload == 0 ? 0 : bytes);
    segment_.first = base_at + 1;
    segment_.last = base_at;
    header_.kind = RecordKind::rewritten;
    header_.database_id = database_id;
    header_.epoch = log.newest_epoch + 1;
    header_.segment = segment_.number;
    header_.segment_bytes = segment_.bytes;
    header_.offset = first_record_offset;
    header_.last = base_at;
    header_.durable = claim_;
    header_.predecessor = chain_seed(database_id, header_.epoch);
  }
  EpochWriter(const EpochWriter&) = delete;
  EpochWriter& operator=(const EpochWriter&) = delete;
  // Unless it was finished, the file is removed again; if that fails it is dead, and removed at the
  // next open.
  ~EpochWriter() {
    if (finished_ || !segment_.file) return;
    segment_.file.reset();
    static_cast<void>(files_.remove(path()));
  }

  Result<void> begin() {
    auto file = files_.open(path(), OpenMode::create_new);
    if (!file) return file.error();
    segment_.file = *std::move(file);
    return segment_.file->write_zeros(0, first_record_offset);
  }

  Result<void> add(std::uint64_t at, std::string_view entry) {
    const auto prefix = encode_entry_prefix(entry.size());
    payload_.append(prefix.data(), prefix.size()).append(entry);
    segment_.last = at;
    return payload_.size() < rewritten_payload_bytes ? Result<void>() : finish_record();
  }

  // All of it is on disk before the epoch's first record is: an epoch is valid with all its commits
  // or not at all.
  Result<void> finish() {
    if (auto done = finish_record(); !done) return done;
    if (auto done = flush(); !done) return done;
    File& file = *segment_.file;
    if (auto done = file.write_zeros(segment_.end, segment_.bytes); !done) return done;
    if (auto done = file.sync_data(); !done) return done;
    if (auto done = files_.sync_directory(directory_); !done) return done;
    if (auto done = write_epoch(); !done) return done;
    if (auto done = file.sync_data(); !done) return done;
    segment_.live_bytes = segment_.record_bytes;
    finished_ = true;
    return {};
  }

  NewEpoch take() && {
    NewEpoch epoch;
    epoch.epoch = header_.epoch;
    epoch.chain = header_.predecessor;
    epoch.next_segment = segment_.number + 1;
    epoch.segment = std::move(segment_);
    finished_ = true;
    return epoch;
  }

 private:
  fs::path path() const { return directory_ / segment_name(segment_.number); }

  Result<void> finish_record() {
    if (payload_.empty()) return {};
    header_.first = header_.last + 1;
    header_.last = segment_.last;
    header_.offset = segment_.end;
    const std::string_view payload = payload_;
    const EncodedHeader header = encode_header(header_, {&payload, 1});
    buffer_.append(header.data(), header.size()).append(payload_);
    buffer_.append(static_cast<std::size_t>(padded(header_.length) - header_.length), '\0');
    segment_.end += padded(header_.length);
    segment_.record_bytes += header_.length;
    header_.predecessor = header_.checksum;
    payload_.clear();
    return buffer_.size() < buffer_bytes ? Result<void>() : flush();
  }

  Result<void> flush() {
    const std::string_view bytes = buffer_;
    const std::uint64_t from = segment_.end - bytes.size();
    auto written = segment_.file->write_at(from, {&bytes, 1});
    buffer_.clear();
    return written;
  }

  Result<void> write_epoch() {
    RecordHeader epoch = header_;
    epoch.kind = RecordKind::epoch;
    epoch.offset = 0;
    epoch.first = base_at_ + 1;
    epoch.last = segment_.last;
    epoch.durable = std::max(claim_, segment_.last);
    const auto payload = encode_epoch({1, segment_.number, segment_.bytes});
    const std::array<std::string_view, 1> body{std::string_view(payload.data(), payload.size())};
    const EncodedHeader header = encode_header(epoch, body);
    const std::array<std::string_view, 2> pieces{std::string_view(header.data(), header.size()),
                                                 body[0]};
    return segment_.file->write_at(0, pieces);
  }

  FileSystem& files_;
  const fs::path& directory_;
  std::uint64_t base_at_;
  std::uint64_t claim_;
  LogSegment segment_;
  RecordHeader header_;  // of the record before
  std::string payload_;
  std::string buffer_;  // ends at segment_.end
  bool finished_ = false;
};

// The files of the epochs before are dead now. A few that certainly were preallocated in full,
// since acknowledged commits were in them, are used again; the others go. What fails is tried again
// at the next open.
void recycle_old_files(FileSystem& files, const RecoveredLog& log, std::uint64_t segment_bytes,
                       NewEpoch& epoch) {
  for (const RecoveredSegment& old : log.segments) {
    if (old.used_by_epoch && old.bytes == segment_bytes && epoch.spares.size() < most_kept_spares) {
      if (auto file = files.open(old.path, OpenMode::read_write)) {
        LogSegment spare;
        spare.number = old.number;
        spare.bytes = old.bytes;
        spare.file = *std::move(file);
        epoch.spares.push_back(std::move(spare));
        continue;
      }
    }
    static_cast<void>(files.remove(old.path));
  }
}

}  // namespace

Result<std::unique_ptr<CommitLog>> CommitLog::open(FileSystem& files, const fs::path& directory,
                                                   const LogOptions& given,
                                                   std::uint64_t database_id, Timestamp base_at,
                                                   const ReplaySink& replay) {
  LogOptions options = given;
  options.segment_bytes = static_cast<std::size_t>(
      padded(std::max<std::size_t>(given.segment_bytes, least_segment_bytes)));
  auto log = recover_log(files, directory, database_id, base_at.value, options.fresh);
  if (!log) return log.error();

  if (options.read_only) {
    auto replayed = replay_log(
        files, *log, base_at.value,
        [&](std::uint64_t at, std::string_view entry) { return replay(Timestamp{at}, entry); });
    if (!replayed) return replayed.error();
    return std::unique_ptr<CommitLog>(std::make_unique<FileCommitLog>(
        files, directory, options, database_id, base_at.value, log->end, std::nullopt));
  }

  if (auto created = files.create_directory(directory); !created) return created.error();
  if (auto synced = files.sync_directory(directory.parent_path()); !synced) return synced.error();
  EpochWriter writer(files, directory, *log, database_id, base_at.value, options.segment_bytes);
  if (auto begun = writer.begin(); !begun) return begun.error();
  auto replayed = replay_log(files, *log, base_at.value,
                             [&](std::uint64_t at, std::string_view entry) -> Result<void> {
                               if (auto taken = replay(Timestamp{at}, entry); !taken) return taken;
                               return writer.add(at, entry);
                             });
  if (!replayed) return replayed.error();
  if (auto finished = writer.finish(); !finished) return finished.error();
  NewEpoch epoch = std::move(writer).take();
  recycle_old_files(files, *log, options.segment_bytes, epoch);
  return std::unique_ptr<CommitLog>(std::make_unique<FileCommitLog>(
      files, directory, options, database_id, base_at.value, log->end, std::move(epoch)));
}

}  // namespace isolde::engine
