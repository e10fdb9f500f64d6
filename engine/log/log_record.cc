#include "engine/log/log_record.h"

#include <xxhash.h>

#include <cstring>
#include <memory>
#include <new>

namespace isolde::engine {
namespace {

// Field offsets. The first 32 bytes, and what the checksum covers, are the same in every version of
// the format, so that an older program can tell a newer log from a damaged one.
constexpr std::size_t at_magic = 0;
constexpr std::size_t at_version = 8;
constexpr std::size_t at_kind = 12;
constexpr std::size_t at_length = 16;
constexpr std::size_t at_checksum = 24;
constexpr std::size_t after_checksum = 32;
constexpr std::size_t at_database_id = 32;
constexpr std::size_t at_epoch = 40;
constexpr std::size_t at_segment = 48;
constexpr std::size_t at_offset = 56;
constexpr std::size_t at_segment_bytes = 64;
constexpr std::size_t at_first = 72;
constexpr std::size_t at_last = 80;
constexpr std::size_t at_durable = 88;
constexpr std::size_t at_predecessor = 96;
static_assert(at_predecessor + 8 == record_header_bytes);

template <typename Integer>
void store(char* to, Integer value) noexcept {
  for (std::size_t i = 0; i < sizeof value; ++i) {
    to[i] = static_cast<char>(value >> (8 * i));
  }
}

template <typename Integer>
Integer load(const char* from) noexcept {
  Integer value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i) {
    value |= static_cast<Integer>(static_cast<unsigned char>(from[i])) << (8 * i);
  }
  return value;
}

struct StateDeleter {
  void operator()(XXH3_state_t* state) const noexcept { XXH3_freeState(state); }
};

std::uint64_t checksum_of(std::string_view header, std::span<const std::string_view> payload) {
  // One state a thread: creating one costs more than hashing a small record.
  thread_local const std::unique_ptr<XXH3_state_t, StateDeleter> state(XXH3_createState());
  if (!state) throw std::bad_alloc();
  XXH3_64bits_reset(state.get());
  XXH3_64bits_update(state.get(), header.data(), at_checksum);
  XXH3_64bits_update(state.get(), header.data() + after_checksum,
                     record_header_bytes - after_checksum);
  for (const std::string_view piece : payload) {
    XXH3_64bits_update(state.get(), piece.data(), piece.size());
  }
  return XXH3_64bits_digest(state.get());
}

RecordHeader decode_header(const char* bytes) noexcept {
  RecordHeader header;
  header.kind = static_cast<RecordKind>(load<std::uint32_t>(bytes + at_kind));
  header.length = load<std::uint64_t>(bytes + at_length);
  header.checksum = load<std::uint64_t>(bytes + at_checksum);
  header.database_id = load<std::uint64_t>(bytes + at_database_id);
  header.epoch = load<std::uint64_t>(bytes + at_epoch);
  header.segment = load<std::uint64_t>(bytes + at_segment);
  header.offset = load<std::uint64_t>(bytes + at_offset);
  header.segment_bytes = load<std::uint64_t>(bytes + at_segment_bytes);
  header.first = load<std::uint64_t>(bytes + at_first);
  header.last = load<std::uint64_t>(bytes + at_last);
  header.durable = load<std::uint64_t>(bytes + at_durable);
  header.predecessor = load<std::uint64_t>(bytes + at_predecessor);
  return header;
}

}  // namespace

EncodedHeader encode_header(RecordHeader& header, std::span<const std::string_view> payload) {
  header.length = record_header_bytes;
  for (const std::string_view piece : payload) header.length += piece.size();
  EncodedHeader bytes{};
  store(&bytes[at_magic], log_magic);
  store(&bytes[at_version], log_format_version);
  store(&bytes[at_kind], static_cast<std::uint32_t>(header.kind));
  store(&bytes[at_length], header.length);
  store(&bytes[at_database_id], header.database_id);
  store(&bytes[at_epoch], header.epoch);
  store(&bytes[at_segment], header.segment);
  store(&bytes[at_offset], header.offset);
  store(&bytes[at_segment_bytes], header.segment_bytes);
  store(&bytes[at_first], header.first);
  store(&bytes[at_last], header.last);
  store(&bytes[at_durable], header.durable);
  store(&bytes[at_predecessor], header.predecessor);
  header.checksum = checksum_of({bytes.data(), bytes.size()}, payload);
  store(&bytes[at_checksum], header.checksum);
  return bytes;
}

std::array<char, EpochPayload::encoded_bytes> encode_epoch(const EpochPayload& epoch) noexcept {
  std::array<char, EpochPayload::encoded_bytes> bytes{};
  store(&bytes[0], epoch.use);
  store(&bytes[8], epoch.segment);
  store(&bytes[16], epoch.segment_bytes);
  return bytes;
}

std::optional<EpochPayload> decode_epoch(std::string_view payload) noexcept {
  if (payload.size() != EpochPayload::encoded_bytes) return std::nullopt;
  return EpochPayload{load<std::uint64_t>(payload.data()), load<std::uint64_t>(payload.data() + 8),
                      load<std::uint64_t>(payload.data() + 16)};
}

std::optional<std::uint64_t> announced_length(std::string_view bytes) noexcept {
  if (bytes.size() < record_header_bytes || load<std::uint64_t>(bytes.data()) != log_magic) {
    return std::nullopt;
  }
  return load<std::uint64_t>(bytes.data() + at_length);
}

RecordProbe probe_record(std::string_view bytes) {
  RecordProbe probe;
  if (bytes.size() < sizeof log_magic || load<std::uint64_t>(bytes.data()) != log_magic) {
    return probe;
  }
  probe.status = RecordProbe::Status::damaged;
  if (bytes.size() < record_header_bytes) return probe;
  probe.version = load<std::uint32_t>(bytes.data() + at_version);
  probe.header = decode_header(bytes.data());
  const std::uint64_t length = probe.header.length;
  if (length < record_header_bytes || length > bytes.size()) return probe;
  const std::string_view payload = bytes.substr(record_header_bytes, length - record_header_bytes);
  if (checksum_of(bytes.substr(0, record_header_bytes), {&payload, 1}) != probe.header.checksum) {
    return probe;
  }
  if (probe.version != log_format_version) {
    probe.status = RecordProbe::Status::other_version;
    return probe;
  }
  if (probe.header.kind < RecordKind::epoch || probe.header.kind > RecordKind::group) return probe;
  if (probe.header.kind == RecordKind::epoch ? !decode_epoch(payload)
                                             : probe.header.first > probe.header.last) {
    return probe;
  }
  probe.status = RecordProbe::Status::valid;
  return probe;
}

std::optional<std::string_view> EntryReader::next() noexcept {
  if (rest_.size() < entry_prefix_bytes) return std::nullopt;
  const auto length = load<std::uint32_t>(rest_.data());
  if (length > rest_.size() - entry_prefix_bytes) return std::nullopt;
  const std::string_view entry = rest_.substr(entry_prefix_bytes, length);
  rest_.remove_prefix(entry_prefix_bytes + length);
  return entry;
}

std::array<char, entry_prefix_bytes> encode_entry_prefix(std::size_t entry_bytes) noexcept {
  std::array<char, entry_prefix_bytes> bytes{};
  store(bytes.data(), static_cast<std::uint32_t>(entry_bytes));
  return bytes;
}

std::uint64_t chain_seed(std::uint64_t database_id, std::uint64_t epoch) noexcept {
  std::array<char, 16> bytes{};
  store(&bytes[0], database_id);
  store(&bytes[8], epoch);
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace isolde::engine
