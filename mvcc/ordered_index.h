// The chains in key order: a skip list (Pugh 1990) that readers walk without any lock.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include "mvcc/version.h"

namespace isolde::mvcc {

// A place in the order: keyspace first, then key by bytes.
struct OrderedKey {
  KeyspaceId keyspace;
  std::string_view key;
};

// Thread safety: first_at_or_after, last_before and Chain::link(0) concurrently with everything;
// insert and remove exclude each other (the caller's mutex).
//
// Invariant: a removed chain keeps its links, so that a reader who stands on it finds the way back
// to chains that follow it (R5).
class OrderedIndex {
 public:
  static constexpr unsigned max_height = 16;

  // Height for a new chain: level n + 1 with a quarter of the chance of level n.
  static unsigned draw_height() noexcept;

  void insert(Chain* chain) noexcept;
  void remove(Chain* chain) noexcept;

  // Null: there is none. The chain may belong to another keyspace.
  Chain* first_at_or_after(OrderedKey place) const noexcept;
  Chain* last_before(OrderedKey place) const noexcept;
  Chain* first() const noexcept { return head_[0].load(); }

 private:
  using Link = Chain::Link;
  // The last link at each level that leads to something before `place`.
  std::array<Link*, max_height> links_before(OrderedKey place) noexcept;
  const Link& link(const Chain* chain, unsigned level) const noexcept {
    return chain == nullptr ? head_[level] : chain->link(level);
  }
  // The last chain before `place`, null for the head.
  const Chain* predecessor(OrderedKey place) const noexcept;

  std::array<Link, max_height> head_{};
};

}  // namespace isolde::mvcc
