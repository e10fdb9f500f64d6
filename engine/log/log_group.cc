#include "engine/log/log_group.h"

namespace isolde::engine {

std::size_t GroupReader::next_entry_bytes() const noexcept {
  if (const auto* large = next_large()) return large->entry.size();
  EntryReader reader(std::string_view(group_.bytes_).substr(position_));
  return reader.next()->size();
}

std::uint64_t GroupReader::next_need() const noexcept {
  const auto* large = next_large();
  if (large != nullptr && large->segment_need != 0) return large->segment_need;
  return alone_bytes(next_entry_bytes());
}

bool GroupReader::next_has_segment() const noexcept {
  const auto* large = next_large();
  return large != nullptr && large->segment_need != 0;
}

void GroupReader::finish_run(std::size_t run_start) {
  if (position_ > run_start) {
    pieces_.push_back(std::string_view(group_.bytes_).substr(run_start, position_ - run_start));
  }
}

const std::vector<std::string_view>& GroupReader::take(std::uint64_t record_bytes) {
  pieces_.clear();
  taken_needs_ = 0;
  const std::uint64_t first = next_;
  // Most groups fit as a whole, in one piece.
  if (first == group_.first() && group_.large_.empty() &&
      padded(record_header_bytes + group_.bytes_.size()) <= record_bytes) {
    pieces_.push_back(group_.bytes_);
    taken_needs_ = group_.needs_;
    next_ = group_.last() + 1;
    return pieces_;
  }
  std::size_t run_start = position_;
  std::uint64_t length = record_header_bytes;
  while (!done()) {
    const std::size_t entry_bytes = next_entry_bytes();
    length += entry_prefix_bytes + entry_bytes;
    const bool own_segment = next_has_segment();
    if (padded(length) > record_bytes || (own_segment && next_ != first)) break;
    position_ += entry_prefix_bytes;
    if (const auto* large = next_large()) {
      finish_run(run_start);
      run_start = position_;
      pieces_.push_back(large->entry);
      ++large_;
    } else {
      position_ += entry_bytes;
    }
    if (!own_segment) taken_needs_ += alone_bytes(entry_bytes);
    ++next_;
  }
  finish_run(run_start);
  return pieces_;
}

}  // namespace isolde::engine
