// The files of the log, and the space in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/files/file.h"
#include "engine/log/log_record.h"
#include "isolde/result.h"

namespace isolde::engine {

// A file of the log, written in full and synced before its first use, so that a sync of records
// never has to sync metadata of the file system (L1).
struct LogSegment {
  std::uint64_t number = 0;
  std::uint64_t bytes = 0;  // of the file
  std::shared_ptr<File> file;

  // Since it was taken into use:
  std::uint64_t end = first_record_offset;  // of the records that are written
  std::uint64_t first = 0;                  // commits in them; first > last: none
  std::uint64_t last = 0;
  std::uint64_t record_bytes = 0;  // of them, without what pads them
  std::uint64_t live_bytes = 0;    // the same, those of released commits subtracted

  std::uint64_t capacity() const noexcept { return bytes - first_record_offset; }
  std::uint64_t remainder() const noexcept { return bytes - end; }
};

inline constexpr std::size_t least_segment_bytes = 2 * first_record_offset;

std::string segment_name(std::uint64_t number);
// Nothing if it is not the name of a segment.
std::optional<std::uint64_t> segment_number(std::string_view name) noexcept;

// Creates and preallocates a segment, durably. After an error it is gone again (if it could be
// removed). Errors: disk_full, permission_denied, io_error.
Result<LogSegment> create_segment(FileSystem& files, const std::filesystem::path& directory,
                                  std::uint64_t number, std::uint64_t bytes);

// Which reservations the preallocated space can bear. Not thread-safe.
//
// Entries are placed one after the other, in an order that is not known when they are reserved, and
// none is split: where one does not fit into the rest of the segment in use, that rest is wasted.
//
// An ordinary entry, of need n = alone_bytes(entry) <= S, the capacity of an ordinary segment,
// wastes less than n, so it uses up less than 2n of the space C = (rest of the segment in use) + S
// * spares. Invariant: C >= 2 * (sum of the outstanding ordinary needs); then placing any of them
// keeps it.
//
// A larger entry, of need N, has a spare of its own, with capacity >= N + S: what it wastes of the
// segment in use, it brings back. Invariant: the k outstanding large needs, by size, fit the k
// largest spares, by size. Taking the smallest spare that fits a large need, or the smallest of all
// for an ordinary one, keeps it.
class LogSpace {
 public:
  LogSpace(std::uint64_t segment_bytes, std::uint64_t active_remainder) noexcept;

  bool is_large(std::uint64_t need) const noexcept { return need > ordinary_; }

  // Sets space aside if that keeps the invariants.
  bool try_reserve(std::uint64_t need);
  void unreserve(std::uint64_t need) noexcept;
  // An ordinary reservation turned out to need less.
  void shrink(std::uint64_t reserved, std::uint64_t need) noexcept;
  // The size of the file that would help try_reserve(need).
  std::uint64_t segment_bytes_for(std::uint64_t need) const noexcept;
  // It would be good to have one more before it is needed.
  bool wants_spare() const noexcept;

  void add_spare(LogSegment segment);
  // The next segment, for an ordinary need, or for a large one (which thereby is placed).
  // Precondition: the need is reserved; for an ordinary one: it does not fit into the segment in
  // use.
  LogSegment take_spare(std::uint64_t need);
  // Ordinary needs are placed; the segment in use has this much left.
  void placed(std::uint64_t needs, std::uint64_t active_remainder) noexcept;

  std::size_t spares() const noexcept { return spares_.size(); }
  std::uint64_t spare_bytes() const noexcept;
  // Takes away a spare that no reservation needs, the largest first, but `kept` stay; never the one
  // with number `pinned`.
  std::optional<LogSegment> take_surplus(std::size_t kept, std::uint64_t pinned);

 private:
  bool holds(const std::vector<LogSegment>& spares) const noexcept;

  std::uint64_t segment_bytes_;
  std::uint64_t ordinary_;            // S
  std::uint64_t active_remainder_;    // at most S of it counts
  std::uint64_t outstanding_ = 0;     // ordinary needs
  std::vector<std::uint64_t> large_;  // needs, ascending
  std::vector<LogSegment> spares_;    // ascending by capacity
};

}  // namespace isolde::engine
