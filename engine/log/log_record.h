// One record of the log: its header, its checksum, and where it may stand.
//
// The bytes are laid down in docs/log-format.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "isolde/types.h"

namespace isolde::engine {

inline constexpr std::uint64_t log_magic = 0x474f4c444c4f5349;  // "ISOLDLOG"
inline constexpr std::uint32_t log_format_version = 1;

// No write touches a sector that holds an acknowledged record, so none can tear one.
inline constexpr std::size_t record_alignment = 512;
inline constexpr std::size_t record_header_bytes = 104;
inline constexpr std::size_t entry_prefix_bytes = 4;

// Each segment begins with room for two records that begin an epoch, written in turn, a page apart
// so that writing one can't harm the other on a disk with 4 KiB sectors.
inline constexpr std::size_t epoch_place_bytes = 4096;
inline constexpr std::size_t epoch_places = 2;
inline constexpr std::size_t first_record_offset = epoch_places * epoch_place_bytes;

enum class RecordKind : std::uint32_t {
  epoch = 1,      // from here on the log has this epoch; names the segment in use
  rewritten = 2,  // commits of an earlier epoch, copied before the epoch began (L3)
  group = 3,      // commits of this epoch, written after its beginning was synced
};

struct RecordHeader {
  RecordKind kind = RecordKind::group;
  std::uint64_t length = 0;  // header and payload, without the padding
  std::uint64_t checksum = 0;
  std::uint64_t database_id = 0;
  std::uint64_t epoch = 0;
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;
  std::uint64_t segment_bytes = 0;
  std::uint64_t first = 0;        // epoch: the first commit that is not in the base
  std::uint64_t last = 0;         // epoch: the last commit that was rewritten, first - 1 if none
  std::uint64_t durable = 0;      // every commit up to this one was on disk when this was written
  std::uint64_t predecessor = 0;  // checksum of the record with the commits before

  std::uint64_t payload_bytes() const noexcept { return length - record_header_bytes; }
};

// The payload of an epoch record.
struct EpochPayload {
  static constexpr std::size_t encoded_bytes = 24;
  std::uint64_t use = 0;      // grows with each segment taken into use
  std::uint64_t segment = 0;  // the one in use: it exists, in its full size
  std::uint64_t segment_bytes = 0;
};

using EncodedHeader = std::array<char, record_header_bytes>;

// Encodes `header` with the checksum over it and the payload; stores it in header.checksum too.
EncodedHeader encode_header(RecordHeader& header, std::span<const std::string_view> payload);
std::array<char, EpochPayload::encoded_bytes> encode_epoch(const EpochPayload& epoch) noexcept;
std::optional<EpochPayload> decode_epoch(std::string_view payload) noexcept;

// What stands at the beginning of `bytes`, which reach to the end of the segment (or further than
// the record).
struct RecordProbe {
  enum class Status : std::uint8_t {
    nothing,        // no magic
    damaged,        // a magic, but the checksum or the structure is wrong
    other_version,  // right checksum, another format version
    valid,
  };
  Status status = Status::nothing;
  std::uint32_t version = 0;
  RecordHeader header;  // damaged: as far as it can be read, to tell where commits are missing
};
RecordProbe probe_record(std::string_view bytes);
// The length that a record at the beginning of `bytes` says it has; nothing without a magic.
std::optional<std::uint64_t> announced_length(std::string_view bytes) noexcept;

// Entries one after the other out of the payload of a record whose checksum is right.
class EntryReader {
 public:
  explicit EntryReader(std::string_view payload) noexcept : rest_(payload) {}
  // Nothing at the end, or if the payload is malformed: then rest() is not empty.
  std::optional<std::string_view> next() noexcept;
  std::string_view rest() const noexcept { return rest_; }

 private:
  std::string_view rest_;
};

std::array<char, entry_prefix_bytes> encode_entry_prefix(std::size_t entry_bytes) noexcept;

constexpr std::uint64_t padded(std::uint64_t bytes) noexcept {
  return (bytes + record_alignment - 1) / record_alignment * record_alignment;
}
// What an entry takes up in a record of its own: no way of grouping entries takes more.
constexpr std::uint64_t alone_bytes(std::uint64_t entry_bytes) noexcept {
  return padded(record_header_bytes + entry_prefix_bytes + entry_bytes);
}

// Stands for the predecessor of an epoch's first record.
std::uint64_t chain_seed(std::uint64_t database_id, std::uint64_t epoch) noexcept;

}  // namespace isolde::engine
