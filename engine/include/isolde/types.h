// Strong types and enumerations that every part of Isolde shares.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

namespace isolde {

// A commit timestamp: dense (1, 2, 3, ...), given in commit order. Timestamp{0} is the state before
// the first commit; versions that were read from the base carry it, because no live snapshot can
// tell them from older ones.
struct Timestamp {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(const Timestamp&, const Timestamp&) = default;
};

// Identifies one transaction while its database is open; never reused, never 0 for a real one.
struct TransactionId {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(const TransactionId&, const TransactionId&) = default;
};

// Identifies a keyspace for good: ids are never reused, also not after a drop (rule K1).
struct KeyspaceId {
  std::uint32_t value = 0;
  friend constexpr auto operator<=>(const KeyspaceId&, const KeyspaceId&) = default;
};

// The four levels, weakest first. Their contract is docs/levels.md.
enum class Isolation : std::uint8_t {
  read_uncommitted,
  read_committed,
  repeatable_read,  // snapshot isolation
  serializable,
};

// How a transaction meets conflicts: judged at commit, or prevented by locks as it goes.
enum class Locking : std::uint8_t { optimistic, pessimistic };

// Canonical names ("read-uncommitted", ..., "optimistic", "pessimistic").
std::string_view name(Isolation level) noexcept;
std::string_view name(Locking locking) noexcept;

// Accepts the canonical names, the short ones (ru rc rr ser) and "snapshot"; nothing else.
std::optional<Isolation> isolation_from_name(std::string_view text) noexcept;
std::optional<Locking> locking_from_name(std::string_view text) noexcept;

// Bounds that do not depend on options. Anything beyond is an error before anything changed.
inline constexpr std::size_t max_key_bytes = 511;            // LMDB's limit
inline constexpr std::size_t max_value_bytes = 16u << 20;    // 16 MiB
inline constexpr std::size_t max_keyspace_name_bytes = 255;  // UTF-8 or not, no NUL

}  // namespace isolde

template <>
struct std::hash<isolde::TransactionId> {
  std::size_t operator()(const isolde::TransactionId& id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value);
  }
};
