// The chains in key order: a skip list (Pugh 1990) that readers walk without any lock.
#pragma once

#include <algorithm>
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

  // Where a run of insertions, or of removals, in ascending order has got to: the next place is
  // sought from there, which for neighbours is a step or two instead of a descent through nodes
  // that no cache holds. Valid as long as nothing else changes the index.
  class Finger {
   private:
    friend class OrderedIndex;
    std::array<Chain*, max_height> before_{};  // the last one before the place; null: the head
    bool is_placed_ = false;
  };

  // Height for a new chain: level n + 1 with a quarter of the chance of level n.
  static unsigned draw_height() noexcept;

  // Precondition: the chain is behind all that the finger was used for.
  void insert(Chain* chain, Finger& finger) noexcept;
  void remove(Chain* chain, Finger& finger) noexcept;

  // Null: there is none. The chain may belong to another keyspace.
  Chain* first_at_or_after(OrderedKey place) const noexcept;
  Chain* last_before(OrderedKey place) const noexcept;
  Chain* first() const noexcept { return head_[0].load(); }

 private:
  using Link = Chain::Link;
  // Puts the finger, at each level, on the last chain before `place`.
  void move(Finger& finger, OrderedKey place) noexcept;
  Link& link(Chain* chain, unsigned level) noexcept {
    return chain == nullptr ? head_[level] : chain->link(level);
  }
  const Link& link(const Chain* chain, unsigned level) const noexcept {
    return chain == nullptr ? head_[level] : chain->link(level);
  }
  // The last chain before `place`, null for the head.
  const Chain* predecessor(OrderedKey place) const noexcept;

  std::array<Link, max_height> head_{};
};

// A walk in key order. The nodes of chains lie anywhere in memory, and waiting for each of them
// would be most of a long walk: they are asked for ahead, of each chain first the node, then its
// newest version, then what that one replaced.
//
// Precondition: what it passes stays (the slot is busy, or the caller is the one who frees).
class ChainWalk {
 public:
  explicit ChainWalk(Chain* first) noexcept : ahead_{first} {
    for (std::size_t i = 1; i < steps; ++i) ask_for(i);
  }

  // Null: the end.
  Chain* at() const noexcept { return ahead_[0]; }
  void step() noexcept {
    std::copy(ahead_.begin() + 1, ahead_.end(), ahead_.begin());
    ask_for(steps - 1);
  }

 private:
  static constexpr std::size_t steps = 6;
  static constexpr std::size_t with_version = 4;
  static constexpr std::size_t with_older = 2;

  void ask_for(std::size_t last) noexcept {
    const Chain* before = ahead_[last - 1];
    ahead_[last] = before == nullptr ? nullptr : before->link(0).load(std::memory_order_acquire);
    fetch(ahead_[last]);
    if (const Chain* chain = ahead_[std::min(last, with_version)]) fetch(chain->newest.load());
    if (const Chain* chain = ahead_[std::min(last, with_older)]) {
      fetch(chain->newest.load()->older.load());
    }
  }
  static void fetch(const void* memory) noexcept {
    if (memory == nullptr) return;
    __builtin_prefetch(memory);
    __builtin_prefetch(static_cast<const char*>(memory) + 64);
  }

  std::array<Chain*, steps> ahead_;
};

}  // namespace isolde::mvcc
