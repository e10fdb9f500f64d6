// What the recorder keeps while it records: events as bytes, a buffer for each thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/types.h"

namespace isolde::lab {

// One event as it is recorded: a head, then those of its figures that are not 0, then the bytes of
// a name and of a second one. Short, for a long recording is bound by the memory that it fills.
struct RecordedEvent {
  enum class Kind : std::uint8_t { begin, read, scan, write, undo, commit, abort };
  static constexpr std::uint8_t absent = 1;
  static constexpr std::uint8_t cursor = 2;
  static constexpr std::uint8_t untracked = 4;
  static constexpr std::uint8_t before_write = 8;
  static constexpr std::uint8_t reverse = 16;
  static constexpr std::uint8_t limited = 32;
  static constexpr std::uint8_t uncommitted = 64;
  static constexpr std::uint8_t has_second = 128;

  struct Figures {
    std::uint64_t writer = 0;   // read; scan: reads that are its entries
    std::uint64_t version = 0;  // timestamp, or sequence of an uncommitted write
    std::uint64_t at = 0;       // the snapshot; begin, commit and abort: nanoseconds
    std::uint64_t digest = 0;   // of the value written, or of the base value read; 0: absent
  };

  Kind kind = Kind::begin;
  Isolation level = Isolation::serializable;
  Locking locking = Locking::optimistic;
  std::uint8_t detail = 0;  // the mode of a read, the kind of a write
  std::uint8_t flags = 0;
  std::uint8_t figures_kept = 0;  // a bit for each of Figures, in their order
  std::uint16_t keyspace = 0;
  std::uint32_t first_bytes = 0;   // a key, a lower bound, a label, a cause
  std::uint32_t second_bytes = 0;  // an upper bound
  std::uint64_t order = 0;
  std::uint64_t transaction = 0;

  bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
  void set(std::uint8_t flag, bool on) noexcept {
    if (on) flags = static_cast<std::uint8_t>(flags | flag);
  }
  Figures figures() const noexcept {
    const auto* kept = reinterpret_cast<const std::uint64_t*>(this + 1);
    const auto next = [&](unsigned bit) { return (figures_kept >> bit & 1U) != 0 ? *kept++ : 0; };
    Figures all;
    all.writer = next(0);
    all.version = next(1);
    all.at = next(2);
    all.digest = next(3);
    return all;
  }
  std::string_view first() const noexcept { return {names(), first_bytes}; }
  std::string_view second() const noexcept { return {names() + first_bytes, second_bytes}; }
  std::size_t footprint() const noexcept {
    return footprint_of(static_cast<std::size_t>(std::popcount(figures_kept)),
                        std::size_t{first_bytes} + second_bytes);
  }

  // Makes one of these in `place`, which has footprint_of() bytes.
  static RecordedEvent& make(void* place, const Figures& figures, std::string_view first,
                             std::string_view second) noexcept {
    auto* const event = new (place) RecordedEvent;
    auto* kept = reinterpret_cast<std::uint64_t*>(event + 1);
    unsigned bit = 1;
    for (const std::uint64_t figure :
         {figures.writer, figures.version, figures.at, figures.digest}) {
      if (figure != 0) {
        *kept++ = figure;
        event->figures_kept = static_cast<std::uint8_t>(event->figures_kept | bit);
      }
      bit <<= 1;
    }
    event->first_bytes = static_cast<std::uint32_t>(first.size());
    event->second_bytes = static_cast<std::uint32_t>(second.size());
    auto* const names = reinterpret_cast<char*>(kept);
    if (!first.empty()) std::memcpy(names, first.data(), first.size());
    if (!second.empty()) std::memcpy(names + first.size(), second.data(), second.size());
    return *event;
  }
  static std::size_t footprint_of(const Figures& figures, std::size_t name_bytes) noexcept {
    const int kept = (figures.writer != 0 ? 1 : 0) + (figures.version != 0 ? 1 : 0) +
                     (figures.at != 0 ? 1 : 0) + (figures.digest != 0 ? 1 : 0);
    return footprint_of(static_cast<std::size_t>(kept), name_bytes);
  }

 private:
  static std::size_t footprint_of(std::size_t figures, std::size_t name_bytes) noexcept {
    const std::size_t bytes = sizeof(RecordedEvent) + figures * sizeof(std::uint64_t) + name_bytes;
    return (bytes + alignof(RecordedEvent) - 1) / alignof(RecordedEvent) * alignof(RecordedEvent);
  }
  const char* names() const noexcept {
    return reinterpret_cast<const char*>(this + 1) +
           static_cast<std::size_t>(std::popcount(figures_kept)) * sizeof(std::uint64_t);
  }
};

// The events of one thread, in their order. Only that thread appends.
class RecordBuffer {
 public:
  void* allocate(std::size_t needed) {
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
