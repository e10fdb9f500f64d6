// Latencies: counts in buckets that are exact to 1/32.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace isolde::bench {

// A plain block of memory, so that it can be sent between processes.
class Histogram {
 public:
  void record(std::uint64_t nanoseconds) {
    ++buckets_[bucket_of(nanoseconds)];
    ++count_;
    maximum_ = std::max(maximum_, nanoseconds);
  }
  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    maximum_ = std::max(maximum_, other.maximum_);
  }
  std::uint64_t count() const { return count_; }
  std::uint64_t maximum() const { return maximum_; }

  // An upper bound of the q-quantile, at most 1/32 above it; 0 if nothing was recorded.
  std::uint64_t quantile(double q) const {
    if (count_ == 0) return 0;
    const auto wanted = static_cast<std::uint64_t>(q * static_cast<double>(count_ - 1)) + 1;
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= wanted) return std::min(upper_bound_of(i), maximum_);
    }
    return maximum_;
  }

 private:
  static constexpr unsigned fine = 5;  // 2^5 buckets for each power of two
  static constexpr unsigned powers = 40;

  static std::size_t bucket_of(std::uint64_t value) {
    const auto width = static_cast<unsigned>(std::bit_width(value));
    if (width <= fine) return value;
    const unsigned shift = width - fine - 1;
    const std::size_t bucket = (std::size_t{shift} << fine) + (value >> shift);
    return std::min<std::size_t>(bucket, (powers << fine) - 1);
  }
  static std::uint64_t upper_bound_of(std::size_t bucket) {
    if (bucket < (std::size_t{1} << (fine + 1))) return bucket;
    const std::size_t shift = (bucket >> fine) - 1;
    const std::uint64_t base = (bucket & ((1U << fine) - 1)) + (1U << fine);
    return ((base + 1) << shift) - 1;
  }

  std::array<std::uint64_t, (powers << fine)> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t maximum_ = 0;
};

}  // namespace isolde::bench
