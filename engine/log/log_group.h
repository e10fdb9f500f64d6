// The commits that are written together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/log/log_record.h"

namespace isolde::engine {

// Entries one after the other, as the payload of a record has them; large ones are kept as they
// came, not copied. Not thread-safe.
class LogGroup {
 public:
  // Entries reserved with more than this are kept as strings.
  static constexpr std::size_t most_inline_bytes = 4096;

  bool empty() const noexcept { return count_ == 0; }
  std::uint64_t first() const noexcept { return first_; }
  std::uint64_t last() const noexcept { return first_ + count_ - 1; }
  std::uint64_t count() const noexcept { return count_; }

  // After this, adding entries of so many bytes (prefixes included), `large` of them large, does
  // not allocate. Throws std::bad_alloc.
  void make_room(std::size_t inline_bytes, std::size_t large) {
    if (bytes_.capacity() - bytes_.size() < inline_bytes) {
      bytes_.reserve(2 * (bytes_.size() + inline_bytes));
    }
    if (large_.capacity() - large_.size() < large) large_.reserve(2 * (large_.size() + large));
  }

  void add(std::uint64_t at, std::string_view entry) noexcept {
    count(at, entry.size());
    needs_ += alone_bytes(entry.size());
    bytes_.append(entry);
  }
  // `segment_need`: not 0 if a segment of its own was reserved for it.
  void add_large(std::uint64_t at, std::string entry, std::uint64_t segment_need) noexcept {
    count(at, entry.size());
    if (segment_need == 0) needs_ += alone_bytes(entry.size());
    large_.push_back({at, std::move(entry), segment_need});
  }

  void clear() noexcept {
    constexpr std::size_t most_kept_bytes = std::size_t{4} << 20;
    if (bytes_.capacity() > most_kept_bytes) bytes_ = std::string();
    bytes_.clear();
    large_.clear();
    count_ = 0;
    needs_ = 0;
  }

 private:
  friend class GroupReader;

  struct Large {
    std::uint64_t at;
    std::string entry;
    std::uint64_t segment_need;
  };

  void count(std::uint64_t at, std::size_t entry_bytes) noexcept {
    if (count_++ == 0) first_ = at;
    const auto prefix = encode_entry_prefix(entry_bytes);
    bytes_.append(prefix.data(), prefix.size());
  }

  std::uint64_t first_ = 1;
  std::uint64_t count_ = 0;
  std::uint64_t needs_ = 0;
  std::string bytes_;  // prefixes, and the entries that are not large
  std::vector<Large> large_;
};

// Takes as many entries out of a group as fit into a record.
class GroupReader {
 public:
  explicit GroupReader(const LogGroup& group) noexcept : group_(group), next_(group.first()) {}

  bool done() const noexcept { return next_ > group_.last(); }
  std::uint64_t next() const noexcept { return next_; }
  // What the next entry needs alone; and whether a segment of its own is reserved for it.
  std::uint64_t next_need() const noexcept;
  bool next_has_segment() const noexcept;

  // The payload of a record of at most `record_bytes`, padding included, with `next()` first; empty
  // if that does not fit. An entry with a segment of its own is taken only as the first. Valid
  // until the next call.
  const std::vector<std::string_view>& take(std::uint64_t record_bytes);
  // The sum of the ordinary needs of what take() took.
  std::uint64_t taken_needs() const noexcept { return taken_needs_; }

 private:
  const LogGroup::Large* next_large() const noexcept {
    return large_ < group_.large_.size() && group_.large_[large_].at == next_
               ? &group_.large_[large_]
               : nullptr;
  }
  std::size_t next_entry_bytes() const noexcept;
  void finish_run(std::size_t run_start);

  const LogGroup& group_;
  std::uint64_t next_;
  std::size_t position_ = 0;  // in the group's bytes
  std::size_t large_ = 0;
  std::uint64_t taken_needs_ = 0;
  std::vector<std::string_view> pieces_;
};

}  // namespace isolde::engine
