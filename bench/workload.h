// What is measured: the same keys, values and transactions for every store.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace isolde::bench {

inline constexpr std::size_t key_bytes = 16;
inline constexpr std::size_t value_bytes = 100;

// One transaction of each kind; README.md has the table.
enum class Operation : std::uint8_t { empty, read, scan, lock, update, transfer };

// How Isolde runs it; raw LMDB has one way.
enum class Mode : std::uint8_t {
  repeatable_read,
  read_committed_for_update,
  serializable,
  // Locking as they go; those below repeatable read, and serializable ones, read for update.
  read_committed_pessimistic,
  repeatable_read_pessimistic,
  serializable_pessimistic,
};

// Which copy of the data it works on, so that one workload leaves nothing behind for another.
enum class StoreKind : std::uint8_t {
  quiet,     // as loaded
  chains,    // 100,000 of the keys updated since the last checkpoint, and none to come
  durable,   // commits are synced
  unsynced,  // commits are not
};

struct Workload {
  std::string name;
  Operation operation;
  int clients;
  StoreKind store;
  std::uint64_t count = 1;  // keys read or scanned in one transaction
  std::uint64_t hot = 0;    // draws from the first `hot` keys only; 0: from all
  Mode mode = Mode::repeatable_read;

  bool writes() const { return operation == Operation::update || operation == Operation::transfer; }
};

// The workloads, reads first.
std::vector<Workload> all_workloads();

// Key number i of the data set; ascending in i.
class Key {
 public:
  explicit Key(std::uint64_t number) {
    std::memcpy(bytes_.data(), "account:", 8);
    for (std::size_t i = 0; i < 8; ++i) {
      bytes_[8 + i] = static_cast<char>(number >> (8 * (7 - i)));
    }
  }
  std::string_view view() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<char, key_bytes> bytes_;
};

// A value that was copied out and can be changed.
class Value {
 public:
  // The value that key `number` is loaded with.
  explicit Value(std::uint64_t number);
  explicit Value(std::string_view from) { std::memcpy(bytes_.data(), from.data(), value_bytes); }
  std::string_view view() const { return {bytes_.data(), bytes_.size()}; }
  // Changes its balance, and with it all the other bytes.
  void add(std::int64_t amount);

 private:
  std::array<char, value_bytes> bytes_;
};

// Reads every byte, as a user of the value would.
inline std::uint64_t touch(std::string_view value) {
  std::uint64_t sum = value.size();
  while (value.size() >= sizeof sum) {
    std::uint64_t word;
    std::memcpy(&word, value.data(), sizeof word);
    sum += word;
    value.remove_prefix(sizeof word);
  }
  for (const char byte : value) sum += static_cast<unsigned char>(byte);
  return sum;
}

// Every key once, in an order that jumps about.
class Sweep {
 public:
  static constexpr std::uint64_t batch = 1000;  // keys updated in one transaction

  explicit Sweep(std::uint64_t keys) : keys_(keys), stride_(keys * 618 / 1000 + 1) {
    while (std::gcd(stride_, keys_) != 1) ++stride_;
  }
  std::uint64_t at(std::uint64_t i) const { return i * stride_ % keys_; }

 private:
  std::uint64_t keys_;
  std::uint64_t stride_;
};

// Draws keys; one for each client (xorshift64*).
class Picker {
 public:
  Picker(std::uint64_t keys, std::uint64_t seed)
      : keys_(keys), state_(seed * 0x9e3779b97f4a7c15 | 1) {}

  // Below `bound`, which is below 2^32.
  std::uint64_t below(std::uint64_t bound) {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    const std::uint64_t random = state_ * 0x2545f4914f6cdd1d;
    return (random >> 32) * bound >> 32;
  }
  std::uint64_t range(const Workload& work) const {
    return work.hot == 0 ? keys_ : std::min(work.hot, keys_);
  }
  Key one(const Workload& work) { return Key(below(range(work))); }
  // A start with `count` keys from it on.
  Key start(std::uint64_t count) { return Key(below(keys_ > count ? keys_ - count : 1)); }
  // Two different keys in key order.
  std::pair<Key, Key> two(const Workload& work) {
    const std::uint64_t first = below(range(work));
    std::uint64_t second = below(range(work) - 1);
    if (second >= first) ++second;
    return {Key(std::min(first, second)), Key(std::max(first, second))};
  }

 private:
  std::uint64_t keys_;
  std::uint64_t state_;
};

}  // namespace isolde::bench
