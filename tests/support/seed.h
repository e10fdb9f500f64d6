// Randomised tests: a seed that is printed and can be given back, and a factor for longer runs.
#pragma once

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

#include "tests/support/sanitizer.h"

namespace isolde::test {

// From ISOLDE_SEED, else new each time. A failing test shows it as its context.
inline std::uint64_t seed() {
  const char* given = std::getenv("ISOLDE_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 0)
                       : (std::uint64_t{std::random_device{}()} << 32 | std::random_device{}());
  BOOST_TEST_MESSAGE("ISOLDE_SEED=" << seed);
  return seed;
}

// ISOLDE_TEST_SCALE: how many times as long the randomised tests run (default 1).
inline std::size_t scale() {
  const char* given = std::getenv("ISOLDE_TEST_SCALE");
  const unsigned long long factor = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  return factor > 0 ? static_cast<std::size_t>(factor) : 1;
}

// Rounds of a randomised test in one thread: under sanitizers, ten to thirty times slower, a tenth.
inline std::size_t rounds(std::size_t count) {
  return std::max<std::size_t>(1, (sanitized ? count / 10 : count) * scale());
}

// The rounds of a fuzzer: `rounds(count)` of them, and on until ISOLDE_FUZZ_SECONDS (default 0)
// have passed; the checks before a landing give each fuzzer a minute.
//   for (Fuzzing fuzzing(20'000); fuzzing.goes_on(); fuzzing.next()) ... fuzzing.round() ...
class Fuzzing {
 public:
  explicit Fuzzing(std::size_t count) : least_(rounds(count)) {
    const char* given = std::getenv("ISOLDE_FUZZ_SECONDS");
    if (given != nullptr) until_ += std::chrono::seconds(std::strtoul(given, nullptr, 10));
  }
  ~Fuzzing() { BOOST_TEST_MESSAGE(round_ << " rounds"); }
  Fuzzing(const Fuzzing&) = delete;
  Fuzzing& operator=(const Fuzzing&) = delete;

  bool goes_on() const { return round_ < least_ || std::chrono::steady_clock::now() < until_; }
  void next() { ++round_; }
  std::size_t round() const { return round_; }

 private:
  std::size_t least_;
  std::size_t round_ = 0;
  std::chrono::steady_clock::time_point until_ = std::chrono::steady_clock::now();
};

// One seed out of another, for the i-th round of a test.
inline std::uint64_t derive(std::uint64_t seed, std::uint64_t i) {
  std::uint64_t mixed = seed + (i + 1) * 0x9e3779b97f4a7c15;  // splitmix64
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

}  // namespace isolde::test
