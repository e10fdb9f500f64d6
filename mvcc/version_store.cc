#include "mvcc/version_store.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "engine/yield_point.h"
#include "mvcc/planted_fault.h"

namespace isolde::mvcc {
namespace {

// A chain with the first bytes that tell its key from others: most comparisons need no more.
struct SortedChain {
  std::uint64_t word;
  Chain* chain;
};

std::uint64_t word_of(std::string_view key, std::size_t from) noexcept {
  std::array<unsigned char, 8> bytes{};
  if (from < key.size())
    std::memcpy(bytes.data(), &key[from], std::min(key.size() - from, bytes.size()));
  std::uint64_t word = 0;
  for (const unsigned char byte : bytes) word = word << 8 | byte;
  return word;
}

void sort_chains(std::vector<SortedChain>& chains) {
  const Chain& first = *chains.front().chain;
  std::size_t shared = first.key_size;  // bytes that all keys begin with
  bool one_keyspace = true;
  for (const SortedChain& sorted : chains) {
    const std::string_view key = sorted.chain->key();
    shared = std::min(shared, key.size());
    const auto end = first.key().begin() + static_cast<std::ptrdiff_t>(shared);
    const auto differs = std::mismatch(first.key().begin(), end, key.begin()).first;
    shared = static_cast<std::size_t>(differs - first.key().begin());
    one_keyspace = one_keyspace && sorted.chain->keyspace == first.keyspace;
  }
  for (SortedChain& sorted : chains) sorted.word = word_of(sorted.chain->key(), shared);
  std::sort(chains.begin(), chains.end(), [&](const SortedChain& a, const SortedChain& b) {
    if (!one_keyspace && a.chain->keyspace != b.chain->keyspace) {
      return a.chain->keyspace < b.chain->keyspace;
    }
    return a.word != b.word ? a.word < b.word : a.chain->key() < b.chain->key();
  });
}

}  // namespace

void VersionStore::FreeBuckets::operator()(std::atomic<Chain*>* buckets) const noexcept {
  std::free(buckets);
}

VersionStore::VersionStore()
    : buckets_(static_cast<std::atomic<Chain*>*>(
          std::calloc(bucket_count, sizeof(std::atomic<Chain*>)))) {
  if (!buckets_) throw std::bad_alloc();
}

VersionStore::~VersionStore() {
  merge_pending();
  for (Chain* chain = order_.first(); chain != nullptr;) {
    Chain* next = chain->link(0).load();
    DestroyChain{}(chain);
    chain = next;
  }
}

std::uint64_t VersionStore::hash(KeyspaceId keyspace, std::string_view key) noexcept {
  return XXH3_64bits_withSeed(key.data(), key.size(), keyspace.value);
}

void VersionStore::account_new(const Version& version) noexcept {
  versions_.add(1);
  bytes_.add(version.footprint());
}

void VersionStore::install_chain(ChainPtr owned) noexcept {
  Chain* chain = owned.release();
  bytes_.add(chain->footprint());
  const Version* newest = chain->newest.load();
  for (const Version* version = newest; version != nullptr; version = version->older.load()) {
    account_new(*version);
    if (version != newest) {
      old_bytes_.add(version->footprint());
      superseded_.store(superseded() + 1, std::memory_order_relaxed);
    }
  }
  // The count first: a reader that is to find the chain must not be turned away by the filter.
  live_chains_.fetch_add(1);
  std::atomic<Chain*>& head = bucket(chain->hash);
  chain->hash_next.store(head.load());
  head.store(chain);
  ISOLDE_YIELD("install: chain hashed");
  unmerged_.fetch_add(1);
  Chain* pending = pending_.load();
  do {
    chain->link(0).store(pending);
  } while (!pending_.compare_exchange_weak(pending, chain));
}

void VersionStore::install_version(Chain& chain, Version* version) noexcept {
  Version* superseded_version = chain.newest.load();
  account_new(*version);
  old_bytes_.add(superseded_version->footprint());
  superseded_.store(superseded() + 1, std::memory_order_relaxed);
  version->older.store(superseded_version);
  chain.newest.store(version);
}

// All of them leave the hash table before the first leaves the order: a point read then finds the
// same in the base, and a scan may meet the chain or not (I3). Both indexes are left before the
// epoch says so: who stands on an unlinked chain at the same epoch is inside an operation (R5).
void VersionStore::unlink(std::span<Chain* const> chains) noexcept {
  if (chains.empty()) return;
  for (Chain* chain : chains) {
    std::atomic<Chain*>* link = &bucket(chain->hash);
    while (link->load() != chain) link = &link->load()->hash_next;
    link->store(chain->hash_next.load());
    ISOLDE_YIELD("drop: unhashed");
  }
  {
    MutexLock lock(order_mutex_);
    OrderedIndex::Finger finger;
    for (Chain* chain : chains) order_.remove(chain, finger);
  }
  std::uint64_t bytes = 0;
  for (Chain* chain : chains) {
    chain->dropped = true;
    bytes += chain->footprint();
  }
  unlink_epoch_.fetch_add(chains.size());
  live_chains_.fetch_sub(chains.size());
  bytes_.subtract(bytes);
}

void VersionStore::forget_version(const Version& version, bool old) noexcept {
  versions_.subtract(1);
  bytes_.subtract(version.footprint());
  if (old) old_bytes_.subtract(version.footprint());
}

void VersionStore::merge_pending() noexcept {
  ISOLDE_YIELD("merge: begin");
  if (unmerged_.load() == 0) return;
  MutexLock lock(order_mutex_);
  std::uint64_t merged = 0;
  if (is_planted(PlantedFault::merge_announced_early)) merged = 0 - unmerged_.exchange(0);
  merged += put_in_order(pending_.exchange(nullptr));
  // Only now: a reader who finds nothing unmerged walks the index at once, and must find them all.
  unmerged_.fetch_sub(merged);
}

std::uint64_t VersionStore::put_in_order(Chain* list) noexcept {
  // Few new chains are put in one by one; many are sorted first, so that each finds its place next
  // to the one before.
  constexpr std::uint64_t fewest_sorted = 32;
  if (unmerged_.load() >= fewest_sorted) {
    try {
      return put_in_order_sorted(list);
    } catch (const std::bad_alloc&) {
      // Thrown before anything was taken off the list.
    }
  }
  std::uint64_t merged = 0;
  for (; list != nullptr; ++merged) {
    Chain* next = list->link(0).load();
    ISOLDE_YIELD("merge: chain taken");
    OrderedIndex::Finger finger;
    order_.insert(list, finger);
    list = next;
  }
  return merged;
}

std::uint64_t VersionStore::put_in_order_sorted(Chain* list) {
  // So many at a time, that what sorting takes of memory has a bound.
  constexpr std::size_t most_at_once = std::size_t{1} << 16;
  std::vector<SortedChain> batch;
  batch.reserve(std::min<std::size_t>(unmerged_.load(), most_at_once));
  std::uint64_t merged = 0;
  while (list != nullptr) {
    batch.clear();
    for (; list != nullptr && batch.size() < batch.capacity(); list = list->link(0).load()) {
      ISOLDE_YIELD("merge: chain taken");
      batch.push_back({0, list});
    }
    sort_chains(batch);
    OrderedIndex::Finger finger;
    for (const SortedChain& sorted : batch) order_.insert(sorted.chain, finger);
    merged += batch.size();
  }
  return merged;
}

}  // namespace isolde::mvcc
