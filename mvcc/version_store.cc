#include "mvcc/version_store.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdlib>
#include <new>
#include <utility>

#include "engine/yield_point.h"
#include "mvcc/planted_fault.h"

namespace isolde::mvcc {

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

void VersionStore::unlink(Chain& chain) noexcept {
  std::atomic<Chain*>* link = &bucket(chain.hash);
  while (link->load() != &chain) link = &link->load()->hash_next;
  link->store(chain.hash_next.load());
  ISOLDE_YIELD("drop: unhashed");
  merge_pending();
  {
    MutexLock lock(order_mutex_);
    order_.remove(&chain);
  }
  chain.dropped = true;
  unlink_epoch_.fetch_add(1);
  live_chains_.fetch_sub(1);
  bytes_.subtract(chain.footprint());
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
  for (Chain* chain = pending_.exchange(nullptr); chain != nullptr; ++merged) {
    Chain* next = chain->link(0).load();
    ISOLDE_YIELD("merge: chain taken");
    order_.insert(chain);
    chain = next;
  }
  // Only now: a reader who finds nothing unmerged walks the index at once, and must find them all.
  unmerged_.fetch_sub(merged);
}

}  // namespace isolde::mvcc
