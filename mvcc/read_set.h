// The read set: what a commit depends on. Absent keys and empty ranges are reads too (trap 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isolde/types.h"

namespace isolde::mvcc {

// One key that was read, at a snapshot.
struct KeyRead {
  std::uint64_t hash;
  std::uint64_t snapshot;
  KeyspaceId keyspace;
  std::size_t key_offset;
  std::uint32_t key_size;
};

// [lower, upper) as observed by a scan, at a snapshot; without upper: to the end.
struct RangeRead {
  KeyspaceId keyspace;
  std::string lower;
  std::optional<std::string> upper;
  std::uint64_t snapshot;

  bool contains(KeyspaceId other, std::string_view key) const {
    return other == keyspace && key >= lower && (!upper || key < *upper);
  }
};

// Not thread-safe: belongs to its transaction. Everything in it was read at serializable, or for
// update at any level.
class ReadSet {
 public:
  void add_key(KeyspaceId keyspace, std::string_view key, std::uint64_t hash,
               std::uint64_t snapshot) {
    // A loop over one key would grow it without end otherwise.
    if (!keys_.empty() && keys_.back().hash == hash && keys_.back().snapshot == snapshot &&
        key_of(keys_.back()) == key && keys_.back().keyspace == keyspace) {
      return;
    }
    // First the bytes: those of a key that is not noted are in nobody's way.
    const std::size_t offset = bytes_.size();
    bytes_.append(key);
    keys_.push_back({hash, snapshot, keyspace, offset, static_cast<std::uint32_t>(key.size())});
  }
  void add_range(RangeRead range) {
    const std::size_t bytes = range.lower.size() + (range.upper ? range.upper->size() : 0);
    ranges_.push_back(std::move(range));
    range_bytes_ += bytes;
  }
  void clear() noexcept {
    keys_.clear();
    ranges_.clear();
    bytes_.clear();
    range_bytes_ = 0;
  }

  bool empty() const noexcept { return keys_.empty() && ranges_.empty(); }
  const std::vector<KeyRead>& keys() const noexcept { return keys_; }
  const std::vector<RangeRead>& ranges() const noexcept { return ranges_; }
  std::string_view key_of(const KeyRead& read) const noexcept {
    return std::string_view(bytes_).substr(read.key_offset, read.key_size);
  }
  // What it takes in memory, for max_transaction_bytes.
  std::size_t bytes() const noexcept {
    return bytes_.size() + range_bytes_ + keys_.size() * sizeof(KeyRead) +
           ranges_.size() * sizeof(RangeRead);
  }

 private:
  std::vector<KeyRead> keys_;
  std::vector<RangeRead> ranges_;
  std::string bytes_;  // the keys, one after the other
  std::size_t range_bytes_ = 0;
};

}  // namespace isolde::mvcc
