// The bytes of one commit in the log: after-images only (C6), and changes of the manifest (K1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "isolde/result.h"
#include "isolde/types.h"

namespace isolde::engine {

// Keyspaces ever made in one database: ids are not used twice.
inline constexpr std::uint32_t max_keyspace_ids = 1U << 20;

enum class ChangeKind : std::uint8_t { put = 1, erase = 2, create_keyspace = 3, drop_keyspace = 4 };

// One change of a commit. Views point into the entry.
struct Change {
  ChangeKind kind;
  KeyspaceId keyspace;
  std::string_view key;    // create and drop: the keyspace's name
  std::string_view value;  // put only
};

// Collects the changes of one commit; the encoded entry is what CommitLog::append takes.
class CommitRecord {
 public:
  void put(KeyspaceId keyspace, std::string_view key, std::string_view value);
  void erase(KeyspaceId keyspace, std::string_view key);
  void create_keyspace(KeyspaceId keyspace, std::string_view name);
  void drop_keyspace(KeyspaceId keyspace, std::string_view name);
  // What the calls above will add at most, for reservations.
  static std::size_t bytes_of(std::string_view key, std::string_view value) noexcept;

  void reserve(std::size_t bytes) { bytes_.reserve(bytes); }
  std::size_t size() const noexcept { return bytes_.size(); }
  std::string take() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads an entry change by change: next() returns nothing at the end, corruption if it is malformed
// (its checksum was right, so that is a defect of the writer).
class CommitRecordReader {
 public:
  explicit CommitRecordReader(std::string_view entry) noexcept : rest_(entry) {}
  Result<std::optional<Change>> next();

 private:
  std::string_view rest_;
};

}  // namespace isolde::engine
