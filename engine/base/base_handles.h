// Which LMDB handle a keyspace has, and in which states of the base the keyspace exists (K1).
// Private to the base.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>

#include "isolde/types.h"

namespace isolde::engine {

// The handle of one keyspace, which exists in the states with since <= version < until.
struct HandleEntry {
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

  std::atomic<std::uint64_t> since{never};
  std::atomic<std::uint64_t> until{never};
  std::atomic<unsigned> handle{0};

  bool exists_at(std::uint64_t version) const noexcept {
    return version >= since.load(std::memory_order_acquire) &&
           version < until.load(std::memory_order_acquire);
  }
};

// From keyspace id to entry, on the path of every read: no mutex, two loads for the first thousand
// ids. Ids are never reused, so entries are never removed, and an entry's address is good for the
// table's lifetime.
//
// Thread safety: find() concurrently with everything, entry() in one thread at a time.
//
// Why an entry is filled before the LMDB commit that it belongs to, with the number that this
// commit will have, and emptied again should it fail: otherwise
//   checkpoint  commits 12, which creates the keyspace
//   reader      opens its view on 12, finds no entry, answers absent for a key that is there
//   checkpoint  fills the entry
class HandleTable {
 public:
  HandleTable() { entry(KeyspaceId{0}); }
  HandleTable(const HandleTable&) = delete;
  HandleTable& operator=(const HandleTable&) = delete;
  ~HandleTable() {
    for (auto& branch : root_) {
      std::unique_ptr<Branch> owned(branch.load(std::memory_order_relaxed));
      if (!owned) continue;
      for (auto& leaf : *owned) delete leaf.load(std::memory_order_relaxed);
    }
  }

  const HandleEntry* find(KeyspaceId keyspace) const noexcept {
    const std::uint32_t id = keyspace.value;
    if (id < leaf_entries) return &(*first_)[id];
    const Branch* branch = root_[id >> (leaf_bits + branch_bits)].load(std::memory_order_acquire);
    if (branch == nullptr) return nullptr;
    const Leaf* leaf =
        (*branch)[(id >> leaf_bits) % branch->size()].load(std::memory_order_acquire);
    return leaf == nullptr ? nullptr : &(*leaf)[id % leaf_entries];
  }

  // The entry of `keyspace`, made if need be.
  HandleEntry& entry(KeyspaceId keyspace) {
    const std::uint32_t id = keyspace.value;
    auto& branch = root_[id >> (leaf_bits + branch_bits)];
    if (branch.load(std::memory_order_relaxed) == nullptr) {
      branch.store(std::make_unique<Branch>().release(), std::memory_order_release);
    }
    auto& leaf = (*branch.load(std::memory_order_relaxed))[(id >> leaf_bits) % (1u << branch_bits)];
    if (leaf.load(std::memory_order_relaxed) == nullptr) {
      leaf.store(std::make_unique<Leaf>().release(), std::memory_order_release);
    }
    Leaf* entries = leaf.load(std::memory_order_relaxed);
    if (first_ == nullptr) first_ = entries;
    return (*entries)[id % leaf_entries];
  }

 private:
  static constexpr unsigned leaf_bits = 10;
  static constexpr unsigned branch_bits = 11;
  static constexpr std::uint32_t leaf_entries = 1u << leaf_bits;
  using Leaf = std::array<HandleEntry, leaf_entries>;
  using Branch = std::array<std::atomic<Leaf*>, 1u << branch_bits>;

  Leaf* first_ = nullptr;  // set by the constructor, the same ever after
  std::array<std::atomic<Branch*>, 1u << (32 - branch_bits - leaf_bits)> root_{};
};

}  // namespace isolde::engine
