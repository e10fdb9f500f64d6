#include "engine/commit_record.h"

#include <limits>

namespace isolde::engine {
namespace {

constexpr std::size_t most_varint_bytes = 5;

void append_varint(std::string& bytes, std::uint32_t value) {
  while (value >= 0x80) {
    bytes += static_cast<char>(value | 0x80);
    value >>= 7;
  }
  bytes += static_cast<char>(value);
}

std::optional<std::uint32_t> take_varint(std::string_view& bytes) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < most_varint_bytes && i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    value |= std::uint64_t{byte & 0x7fu} << (7 * i);
    if (byte < 0x80) {
      if (value > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
      bytes.remove_prefix(i + 1);
      return static_cast<std::uint32_t>(value);
    }
  }
  return std::nullopt;
}

std::optional<std::string_view> take_bytes(std::string_view& bytes) noexcept {
  const auto length = take_varint(bytes);
  if (!length || *length > bytes.size()) return std::nullopt;
  const std::string_view taken = bytes.substr(0, *length);
  bytes.remove_prefix(*length);
  return taken;
}

void append_change(std::string& bytes, ChangeKind kind, KeyspaceId keyspace, std::string_view key) {
  bytes += static_cast<char>(kind);
  append_varint(bytes, keyspace.value);
  append_varint(bytes, static_cast<std::uint32_t>(key.size()));
  bytes += key;
}

Error malformed(std::string_view what) {
  return {ErrorCode::corruption,
          "a commit in the log is malformed (" + std::string(what) +
              ") although its checksum is right: it was written by a defective program"};
}

}  // namespace

void CommitRecord::put(KeyspaceId keyspace, std::string_view key, std::string_view value) {
  append_change(bytes_, ChangeKind::put, keyspace, key);
  append_varint(bytes_, static_cast<std::uint32_t>(value.size()));
  bytes_ += value;
}

void CommitRecord::erase(KeyspaceId keyspace, std::string_view key) {
  append_change(bytes_, ChangeKind::erase, keyspace, key);
}

void CommitRecord::create_keyspace(KeyspaceId keyspace, std::string_view name) {
  append_change(bytes_, ChangeKind::create_keyspace, keyspace, name);
}

void CommitRecord::drop_keyspace(KeyspaceId keyspace, std::string_view name) {
  append_change(bytes_, ChangeKind::drop_keyspace, keyspace, name);
}

std::size_t CommitRecord::bytes_of(std::string_view key, std::string_view value) noexcept {
  return 1 + 3 * most_varint_bytes + key.size() + value.size();
}

Result<std::optional<Change>> CommitRecordReader::next() {
  if (rest_.empty()) return std::optional<Change>();
  Change change{static_cast<ChangeKind>(rest_.front()), {}, {}, {}};
  if (change.kind < ChangeKind::put || change.kind > ChangeKind::drop_keyspace) {
    return malformed("unknown kind of change " +
                     std::to_string(static_cast<unsigned>(change.kind)));
  }
  rest_.remove_prefix(1);
  const auto keyspace = take_varint(rest_);
  if (!keyspace) return malformed("keyspace id");
  change.keyspace.value = *keyspace;
  const auto key = take_bytes(rest_);
  if (!key) return malformed("key");
  change.key = *key;
  if (change.kind == ChangeKind::put) {
    const auto value = take_bytes(rest_);
    if (!value) return malformed("value");
    change.value = *value;
  }
  return std::optional<Change>(change);
}

}  // namespace isolde::engine
