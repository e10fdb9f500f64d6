#include "engine/log/log_segment.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace isolde::engine {
namespace {

constexpr std::string_view suffix = ".log";
constexpr std::size_t least_digits = 8;
constexpr std::uint64_t sync_step_bytes = std::uint64_t{2} << 20;

}  // namespace

std::string segment_name(std::uint64_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < least_digits) digits.insert(0, least_digits - digits.size(), '0');
  return digits.append(suffix);
}

std::optional<std::uint64_t> segment_number(std::string_view name) noexcept {
  if (name.size() < least_digits + suffix.size() || !name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  std::uint64_t number = 0;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (failure != std::errc() || end != name.data() + name.size() || number == 0) {
    return std::nullopt;
  }
  return number;
}

Result<LogSegment> create_segment(FileSystem& files, const std::filesystem::path& directory,
                                  std::uint64_t number, std::uint64_t bytes) {
  const std::filesystem::path path = directory / segment_name(number);
  auto file = files.open(path, OpenMode::create_new);
  if (!file) return file.error();
  Result<void> done;
  // In steps: commits that are synced meanwhile queue behind one step, not behind the whole file.
  for (std::uint64_t from = 0; done && from < bytes; from += sync_step_bytes) {
    done = (*file)->write_zeros(from, std::min(bytes, from + sync_step_bytes));
    if (done) done = (*file)->sync_data();
  }
  if (done) done = files.sync_directory(directory);
  if (!done) {
    file->reset();
    // What can't be removed is dead, and removed at the next open.
    static_cast<void>(files.remove(path));
    return done.error();
  }
  LogSegment segment;
  segment.number = number;
  segment.bytes = bytes;
  segment.file = *std::move(file);
  segment.first = 1;
  return segment;
}

LogSpace::LogSpace(std::uint64_t segment_bytes, std::uint64_t active_remainder) noexcept
    : segment_bytes_(segment_bytes),
      ordinary_(segment_bytes - first_record_offset),
      active_remainder_(active_remainder) {}

bool LogSpace::holds(const std::vector<LogSegment>& spares) const noexcept {
  if (large_.size() > spares.size()) return false;
  const std::size_t rest = spares.size() - large_.size();
  for (std::size_t i = 0; i < large_.size(); ++i) {
    if (spares[rest + i].capacity() < large_[i] + ordinary_) return false;
  }
  return std::min(active_remainder_, ordinary_) + ordinary_ * rest >= 2 * outstanding_;
}

bool LogSpace::try_reserve(std::uint64_t need) {
  if (!is_large(need)) {
    outstanding_ += need;
    if (holds(spares_)) return true;
    outstanding_ -= need;
    return false;
  }
  const auto place = large_.insert(std::upper_bound(large_.begin(), large_.end(), need), need);
  if (holds(spares_)) return true;
  large_.erase(place);
  return false;
}

void LogSpace::unreserve(std::uint64_t need) noexcept {
  if (is_large(need)) {
    large_.erase(std::lower_bound(large_.begin(), large_.end(), need));
  } else {
    outstanding_ -= need;
  }
}

void LogSpace::shrink(std::uint64_t reserved, std::uint64_t need) noexcept {
  outstanding_ -= reserved - need;
}

std::uint64_t LogSpace::segment_bytes_for(std::uint64_t need) const noexcept {
  return is_large(need) ? segment_bytes_ + need : segment_bytes_;
}

bool LogSpace::wants_spare() const noexcept {
  return spares_.size() <= large_.size() && active_remainder_ < ordinary_ / 2;
}

void LogSpace::add_spare(LogSegment segment) {
  const auto smaller = [](const LogSegment& left, const LogSegment& right) {
    return left.capacity() < right.capacity();
  };
  const auto place = std::upper_bound(spares_.begin(), spares_.end(), segment, smaller);
  spares_.insert(place, std::move(segment));
}

LogSegment LogSpace::take_spare(std::uint64_t need) {
  auto spare = spares_.begin();
  if (is_large(need)) {
    while (spare->capacity() < need + ordinary_) ++spare;
    unreserve(need);
    active_remainder_ = spare->capacity() - need;
  } else {
    active_remainder_ = spare->capacity();
  }
  LogSegment taken = std::move(*spare);
  spares_.erase(spare);
  taken.end = first_record_offset;
  taken.first = 1;
  taken.last = 0;
  taken.record_bytes = 0;
  taken.live_bytes = 0;
  return taken;
}

void LogSpace::placed(std::uint64_t needs, std::uint64_t active_remainder) noexcept {
  outstanding_ -= needs;
  active_remainder_ = active_remainder;
}

std::uint64_t LogSpace::spare_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const LogSegment& spare : spares_) bytes += spare.bytes;
  return bytes;
}

std::optional<LogSegment> LogSpace::take_surplus(std::size_t kept, std::uint64_t pinned) {
  // Large ones are of no use to ordinary entries beyond an ordinary one's capacity.
  for (std::size_t i = spares_.size(); i-- > 0;) {
    const bool oversized = spares_[i].bytes > segment_bytes_ && large_.empty();
    if (spares_[i].number == pinned || (spares_.size() <= kept && !oversized)) continue;
    std::vector<LogSegment> others = spares_;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    if (!holds(others)) continue;
    LogSegment taken = std::move(spares_[i]);
    spares_ = std::move(others);
    return taken;
  }
  return std::nullopt;
}

}  // namespace isolde::engine
