// What the recorder keeps while it records: events as bytes, a buffer for each thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/types.h"

namespace isolde::lab {

// One event as it is recorded: fixed fields, then the bytes of a name and of a second one.
struct RecordedEvent {
  enum class Kind : std::uint8_t { begin, read, scan, write, undo, commit, abort };
  static constexpr std::uint16_t absent = 1;
  static constexpr std::uint16_t cursor = 2;
  static constexpr std::uint16_t untracked = 4;
  static constexpr std::uint16_t before_write = 8;
  static constexpr std::uint16_t reverse = 16;
  static constexpr std::uint16_t limited = 32;
  static constexpr std::uint16_t uncommitted = 64;
  static constexpr std::uint16_t has_second = 128;

  Kind kind = Kind::begin;
  Isolation level = Isolation::serializable;
  Locking locking = Locking::optimistic;
  std::uint8_t detail = 0;  // the mode of a read, the kind of a write
  std::uint16_t flags = 0;
  std::uint16_t keyspace = 0;
  std::uint32_t first_bytes = 0;   // a key, a lower bound, a label, a cause
  std::uint32_t second_bytes = 0;  // an upper bound
  std::uint64_t order = 0;
  std::uint64_t transaction = 0;
  std::uint64_t writer = 0;   // read; scan: reads that are its entries
  std::uint64_t version = 0;  // timestamp, or sequence of an uncommitted write
  std::uint64_t at = 0;       // the snapshot; begin, commit and abort: nanoseconds
  std::uint64_t digest = 0;   // of the value written, or of the base value read; 0: absent

  bool has(std::uint16_t flag) const noexcept { return (flags & flag) != 0; }
  void set(std::uint16_t flag, bool on) noexcept {
    if (on) flags = static_cast<std::uint16_t>(flags | flag);
  }
  std::string_view first() const noexcept {
    return {reinterpret_cast<const char*>(this + 1), first_bytes};
  }
  std::string_view second() const noexcept {
    return {reinterpret_cast<const char*>(this + 1) + first_bytes, second_bytes};
  }
  std::size_t footprint() const noexcept {
    const std::size_t bytes = sizeof(RecordedEvent) + first_bytes + second_bytes;
    return (bytes + alignof(RecordedEvent) - 1) / alignof(RecordedEvent) * alignof(RecordedEvent);
  }
};

// The events of one thread, in their order. Only that thread appends.
class RecordBuffer {
 public:
  // Room for an event with that many bytes behind it.
  void* allocate(std::size_t bytes) {
    const std::size_t needed = (sizeof(RecordedEvent) + bytes + alignof(RecordedEvent) - 1) /
                               alignof(RecordedEvent) * alignof(RecordedEvent);
    if (chunks_.empty() || chunks_.back().used + needed > chunks_.back().size) {
      const std::size_t size = std::max(chunk_bytes, needed);
      chunks_.push_back({std::make_unique_for_overwrite<std::byte[]>(size), size, 0});
    }
    Chunk& chunk = chunks_.back();
    void* place = chunk.bytes.get() + chunk.used;
    chunk.used += needed;
    return place;
  }

  std::uint16_t keyspace(std::string_view name) {
    for (std::size_t i = 0; i < keyspaces_.size(); ++i) {
      if (keyspaces_[i] == name) return static_cast<std::uint16_t>(i);
    }
    keyspaces_.emplace_back(name);
    return static_cast<std::uint16_t>(keyspaces_.size() - 1);
  }
  const std::string& keyspace_name(std::uint16_t index) const { return keyspaces_[index]; }
  // Keeps a chunk: what is recorded again and again, a play after the other, allocates nothing.
  void clear() {
    if (chunks_.empty()) return;
    chunks_.erase(chunks_.begin() + 1, chunks_.end());
    chunks_.front().used = 0;
  }

  // Walks the events.
  class Reader {
   public:
    explicit Reader(const RecordBuffer& buffer) : buffer_(&buffer) { settle(); }
    const RecordedEvent* get() const noexcept { return event_; }
    const RecordBuffer& buffer() const noexcept { return *buffer_; }
    void next() {
      at_ += event_->footprint();
      settle();
    }

   private:
    void settle() {
      while (chunk_ < buffer_->chunks_.size() && at_ == buffer_->chunks_[chunk_].used) {
        ++chunk_;
        at_ = 0;
      }
      const bool over = chunk_ == buffer_->chunks_.size();
      event_ =
          over ? nullptr
               : reinterpret_cast<const RecordedEvent*>(buffer_->chunks_[chunk_].bytes.get() + at_);
    }
    const RecordBuffer* buffer_;
    const RecordedEvent* event_ = nullptr;
    std::size_t chunk_ = 0;
    std::size_t at_ = 0;
  };

 private:
  static constexpr std::size_t chunk_bytes = std::size_t{256} << 10;
  struct Chunk {
    std::unique_ptr<std::byte[]> bytes;
    std::size_t size;
    std::size_t used;
  };
  std::vector<Chunk> chunks_;
  std::vector<std::string> keyspaces_;
};

}  // namespace isolde::lab
