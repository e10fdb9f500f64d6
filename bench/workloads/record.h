// Keys and values as the workloads store them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace isolde::bench {

// A prefix of up to eight bytes and a number: 16 bytes, ascending in the number.
class Key {
 public:
  Key(std::string_view prefix, std::uint64_t number) {
    std::memset(bytes_, ':', 8);
    std::memcpy(bytes_, prefix.data(), std::min<std::size_t>(prefix.size(), 8));
    for (unsigned i = 0; i < 8; ++i) {
      bytes_[8 + i] = static_cast<char>(number >> (8 * (7 - i)));
    }
  }
  std::string_view view() const { return {bytes_, sizeof bytes_}; }
  static std::uint64_t number_of(std::string_view key) {
    std::uint64_t number = 0;
    for (std::size_t i = 8; i < key.size(); ++i) {
      number = number << 8 | static_cast<unsigned char>(key[i]);
    }
    return number;
  }

 private:
  char bytes_[16];
};

// The accounts, which most workloads run on, are numbered from 0.
inline constexpr std::string_view account_prefix = "account:";
inline Key account_key(std::uint64_t number) { return {account_prefix, number}; }

// A balance, and filler that changes with it in every byte.
class Record {
 public:
  Record(std::size_t bytes, std::int64_t balance) : bytes_(bytes, '\0') { set(balance); }
  explicit Record(std::string_view from) : bytes_(from) {}

  static std::int64_t balance_of(std::string_view bytes) {
    std::int64_t balance = 0;
    std::memcpy(&balance, bytes.data(), std::min(sizeof balance, bytes.size()));
    return balance;
  }
  std::int64_t balance() const { return balance_of(bytes_); }
  void set(std::int64_t balance) {
    std::memcpy(bytes_.data(), &balance, sizeof balance);
    auto filler = static_cast<std::uint64_t>(balance);
    for (std::size_t at = sizeof balance; at < bytes_.size(); at += sizeof filler) {
      filler = filler * 0x9e3779b97f4a7c15 + 1;
      std::memcpy(bytes_.data() + at, &filler, std::min(sizeof filler, bytes_.size() - at));
    }
  }
  void add(std::int64_t amount) { set(balance() + amount); }
  std::string_view view() const { return bytes_; }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

// Reads every byte, as a user of the value would.
inline std::uint64_t touch(std::string_view bytes) {
  std::uint64_t sum = bytes.size();
  while (bytes.size() >= sizeof sum) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data(), sizeof word);
    sum += word;
    bytes.remove_prefix(sizeof word);
  }
  for (const char byte : bytes) sum += static_cast<unsigned char>(byte);
  return sum;
}

}  // namespace isolde::bench
