// Ranges of keys, in byte order (the order of memcmp, shorter first).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace isolde {

// [lower, upper), half-open; without an upper bound to the end of the keyspace.
struct KeyRange {
  std::string lower;
  std::optional<std::string> upper;

  static KeyRange all() { return {}; }
  static KeyRange from(std::string_view lower) { return {std::string(lower), std::nullopt}; }
  static KeyRange between(std::string_view lower, std::string_view upper) {
    return {std::string(lower), std::string(upper)};
  }
  // Exactly the keys that begin with `prefix`.
  static KeyRange prefix(std::string_view prefix) {
    KeyRange range{std::string(prefix), std::nullopt};
    std::string end(prefix);
    while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
    if (!end.empty()) {
      end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
      range.upper = std::move(end);
    }
    return range;
  }

  bool contains(std::string_view key) const { return key >= lower && (!upper || key < *upper); }
  bool empty() const { return upper && *upper <= lower; }
};

}  // namespace isolde
