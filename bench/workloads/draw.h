// Random choices: uniform, and Zipfian as YCSB draws them.
#pragma once

#include <cmath>
#include <cstdint>

namespace isolde::bench {

// xorshift64*; one for each client.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 | 1) {
    for (int i = 0; i < 8; ++i) next();  // neighbouring seeds begin alike
  }
  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1d;
  }
  std::uint64_t below(std::uint64_t bound) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>(static_cast<Wide>(next()) * bound >> 64);
  }
  double real() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // [0, 1)
  bool chance(double share) { return real() < share; }

 private:
  std::uint64_t state_;
};

// FNV-1a over the eight bytes, as YCSB spreads its hot keys over the key space.
inline std::uint64_t fnv64(std::uint64_t number) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (int i = 0; i < 8; ++i) {
    hash = (hash ^ (number & 0xff)) * 0x100000001b3;
    number >>= 8;
  }
  return hash;
}

// Ranks 0, 1, 2, ... with probability proportional to 1 / (rank + 1)^theta (Gray et al. 1994,
// "Quickly generating billion-record synthetic databases", which is YCSB's generator).
class Zipfian {
 public:
  // 0 < theta < 1. Sums `items` terms.
  Zipfian(std::uint64_t items, double theta) : theta_(theta) { grow_to(items); }
  // With a sum that is known, as that of YCSB's 10^10 items.
  Zipfian(std::uint64_t items, double theta, double zeta)
      : items_(items), theta_(theta), zeta_(zeta) {
    prepare();
  }

  std::uint64_t rank(Random& random) const {
    const double u = random.real();
    const double uz = u * zeta_;
    if (uz < 1) return 0;
    if (uz < 1 + std::pow(0.5, theta_)) return 1;
    const double rank = static_cast<double>(items_) * std::pow(eta_ * u - eta_ + 1, alpha_);
    const auto whole = static_cast<std::uint64_t>(rank);
    return whole < items_ ? whole : items_ - 1;
  }

  // More items, for a set that grows (YCSB D); adds the new terms only.
  void grow_to(std::uint64_t items) {
    for (; items_ < items; ++items_) zeta_ += 1 / std::pow(static_cast<double>(items_ + 1), theta_);
    prepare();
  }

 private:
  void prepare() {
    alpha_ = 1 / (1 - theta_);
    const double zeta2 = 1 + std::pow(0.5, theta_);
    eta_ = (1 - std::pow(2 / static_cast<double>(items_), 1 - theta_)) / (1 - zeta2 / zeta_);
  }

  std::uint64_t items_ = 0;
  double theta_;
  double zeta_ = 0;
  double alpha_ = 0;
  double eta_ = 0;
};

// Draws a key number below `keys`: uniform (theta 0), or Zipfian with the hot ones spread over all
// keys.
class KeyChooser {
 public:
  KeyChooser(std::uint64_t keys, double theta)
      : KeyChooser(keys, theta > 0, theta > 0 ? Zipfian(keys, theta) : Zipfian(2, 0.5)) {}

  // As YCSB does: at its own theta, 0.99, ranks come from 10^10 items however many keys there are,
  // so that its hottest key draws less than a Zipfian over the keys would.
  static KeyChooser as_ycsb(std::uint64_t keys, double theta) {
    if (theta != 0.99) return {keys, theta};
    return {keys, true, Zipfian(10'000'000'000, 0.99, 26.46902820178302)};
  }

  std::uint64_t draw(Random& random) const {
    return skewed_ ? fnv64(zipfian_.rank(random)) % keys_ : random.below(keys_);
  }

 private:
  KeyChooser(std::uint64_t keys, bool skewed, const Zipfian& zipfian)
      : keys_(keys), skewed_(skewed), zipfian_(zipfian) {}

  std::uint64_t keys_;
  bool skewed_;
  Zipfian zipfian_;
};

}  // namespace isolde::bench
