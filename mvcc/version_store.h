// The version store: every chain, reachable by hash and in key order.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "engine/mutex.h"
#include "mvcc/ordered_index.h"
#include "mvcc/version.h"

namespace isolde::mvcc {

// A count that one thread at a time adds to and another subtracts from, without exchanges.
class TwoSidedCount {
 public:
  void add(std::uint64_t n) noexcept { bump(added_, n); }         // under the pipeline's mutex
  void subtract(std::uint64_t n) noexcept { bump(removed_, n); }  // under the reclaimer's
  std::uint64_t value() const noexcept {
    const std::uint64_t removed = removed_.load(std::memory_order_relaxed);
    const std::uint64_t added = added_.load(std::memory_order_relaxed);
    return added > removed ? added - removed : 0;
  }
  std::uint64_t added() const noexcept { return added_.load(std::memory_order_relaxed); }
  std::uint64_t removed() const noexcept { return removed_.load(std::memory_order_relaxed); }

 private:
  static void bump(std::atomic<std::uint64_t>& counter, std::uint64_t n) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::atomic<std::uint64_t> added_{0};
  std::atomic<std::uint64_t> removed_{0};
};

// Thread safety: find, order and the figures concurrently with everything, by threads whose slot is
// busy (or who are the reclaimer); install_* and unlink under the pipeline's mutex; drop_version
// under the reclaimer's.
//
// Invariants:
//   I1  a key that has a chain is answered by it alone: a chain is in the hash table from its
//       install to its unlinking, and both happen under the pipeline's mutex (R4).
//   A chain is in the pending list or in the ordered index, in one of them, as long.
class VersionStore {
 public:
  VersionStore();
  ~VersionStore();
  VersionStore(const VersionStore&) = delete;
  VersionStore& operator=(const VersionStore&) = delete;

  static std::uint64_t hash(KeyspaceId keyspace, std::string_view key) noexcept;

  // Asks for the memory that a look-up begins with, for a caller with something to do before it.
  void expect_find(std::uint64_t hash) const noexcept {
    if (chains() != 0) __builtin_prefetch(&bucket(hash));
  }

  Chain* find(KeyspaceId keyspace, std::string_view key, std::uint64_t hash) const noexcept {
    // The filter in front: most reads find no chain at all.
    if (live_chains_.load() == 0) return nullptr;
    for (Chain* chain = bucket(hash).load(); chain != nullptr; chain = chain->hash_next.load()) {
      if (chain->hash == hash && chain->keyspace == keyspace && chain->key() == key) return chain;
    }
    return nullptr;
  }

  // Takes over a new chain with its versions.
  void install_chain(ChainPtr chain) noexcept;
  // Makes a version the chain's newest, and takes it over.
  void install_version(Chain& chain, Version* version) noexcept;
  // Takes chains, in key order, out of both indexes; their memory stays the caller's to retire
  // (R5).
  void unlink(std::span<Chain* const> chains) noexcept;
  // Asks for the memory that unlinking a chain begins with.
  void expect_unlink(const Chain& chain) const noexcept {
    __builtin_prefetch(&bucket(chain.hash), 1);
  }
  // Accounts for a version taken out of the middle of a chain, or with its chain.
  void forget_version(const Version& version, bool old) noexcept;

  // Puts chains that only the hash table knows into key order; cheap when there are none.
  void merge_pending() noexcept;
  const OrderedIndex& order() const noexcept { return order_; }
  // Changes whenever a chain is unlinked: a chain found earlier is still linked if it has not.
  std::uint64_t unlink_epoch() const noexcept { return unlink_epoch_.load(); }

  std::uint64_t chains() const noexcept { return live_chains_.load(std::memory_order_relaxed); }
  std::uint64_t versions() const noexcept { return versions_.value(); }
  std::uint64_t bytes() const noexcept { return bytes_.value(); }
  std::uint64_t old_bytes() const noexcept { return old_bytes_.value(); }
  // Versions that were ever replaced by a newer one: paces the reclaimer.
  std::uint64_t superseded() const noexcept { return superseded_.load(std::memory_order_relaxed); }
  std::uint64_t reclaimed_versions() const noexcept { return versions_.removed(); }
  std::uint64_t dropped_chains() const noexcept { return unlink_epoch_.load(); }

 private:
  static constexpr std::size_t bucket_count = std::size_t{1} << 20;

  std::atomic<Chain*>& bucket(std::uint64_t hash) const noexcept {
    return buckets_[hash & (bucket_count - 1)];
  }
  void account_new(const Version& version) noexcept;
  // A list of chains linked by level 0. Returns how many they were.
  std::uint64_t put_in_order(Chain* list) noexcept ISOLDE_REQUIRES(order_mutex_);
  std::uint64_t put_in_order_sorted(Chain* list) ISOLDE_REQUIRES(order_mutex_);

  struct FreeBuckets {
    void operator()(std::atomic<Chain*>* buckets) const noexcept;
  };
  // Zero pages until touched: an idle database pays for the buckets that it uses.
  std::unique_ptr<std::atomic<Chain*>[], FreeBuckets> buckets_;
  std::atomic<std::uint64_t> live_chains_{0};
  std::atomic<Chain*> pending_{nullptr};
  std::atomic<std::uint64_t> unmerged_{0};  // chains not yet in key order
  std::atomic<std::uint64_t> unlink_epoch_{0};

  Mutex order_mutex_;
  OrderedIndex order_;  // links are changed under order_mutex_

  TwoSidedCount versions_;
  TwoSidedCount bytes_;
  TwoSidedCount old_bytes_;
  std::atomic<std::uint64_t> superseded_{0};
};

}  // namespace isolde::mvcc
