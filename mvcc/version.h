// Versions and chains: the nodes of the version store.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string_view>

#include "isolde/types.h"

namespace isolde::mvcc {

// One committed value or tombstone. Its bytes follow it in memory.
//
// Thread safety: written by one thread until a chain publishes it; then immutable but for `older`,
// which the reclaimer moves past versions that nobody sees.
struct Version {
  std::atomic<Version*> older{nullptr};
  std::uint64_t commit = 0;  // 0: a base image
  TransactionId writer;      // 0: unknown, a base image or replayed from the log
  std::uint32_t size = 0;
  std::uint32_t capacity = 0;
  bool tombstone = false;

  std::string_view value() const noexcept {
    return {reinterpret_cast<const char*>(this + 1), size};
  }
  std::optional<std::string_view> seen() const noexcept {
    if (tombstone) return std::nullopt;
    return value();
  }
  std::size_t footprint() const noexcept { return sizeof(Version) + capacity; }

  // Precondition: value.size() <= capacity, and nobody else can see it yet.
  void assign(std::string_view value) noexcept {
    std::memcpy(reinterpret_cast<char*>(this + 1), value.data(), value.size());
    size = static_cast<std::uint32_t>(value.size());
    tombstone = false;
  }

  static Version* create(std::optional<std::string_view> value, std::size_t capacity = 0) {
    const std::size_t bytes = value ? std::max(value->size(), capacity) : capacity;
    auto* version = new (::operator new(sizeof(Version) + bytes)) Version;
    version->capacity = static_cast<std::uint32_t>(bytes);
    version->tombstone = !value;
    if (value && !value->empty()) version->assign(*value);
    return version;
  }
  static void destroy(Version* version) noexcept {
    version->~Version();
    ::operator delete(version);
  }
};

struct DestroyVersion {
  void operator()(Version* version) const noexcept { Version::destroy(version); }
};
using VersionPtr = std::unique_ptr<Version, DestroyVersion>;

// All versions in memory of one key. Followed in memory by its tower (links of the ordered index)
// and the key.
//
// Thread safety: `newest` grows under the pipeline's mutex; `hash_next` changes under it as well;
// the tower under the index's mutex; `dropped` under both. Readers follow all of them without any.
struct Chain {
  std::atomic<Version*> newest{nullptr};
  std::atomic<Chain*> hash_next{nullptr};
  std::uint64_t hash = 0;
  KeyspaceId keyspace;
  std::uint16_t key_size = 0;
  std::uint8_t height = 1;
  bool dropped = false;  // unlinked: guarded by the pipeline's mutex

  using Link = std::atomic<Chain*>;
  // Level 0 doubles as the link of the pending list until the chain is merged into the index.
  Link& link(unsigned level) noexcept { return reinterpret_cast<Link*>(this + 1)[level]; }
  const Link& link(unsigned level) const noexcept {
    return reinterpret_cast<const Link*>(this + 1)[level];
  }
  std::string_view key() const noexcept {
    return {reinterpret_cast<const char*>(reinterpret_cast<const Link*>(this + 1) + height),
            key_size};
  }
  std::size_t footprint() const noexcept {
    return sizeof(Chain) + height * sizeof(Link) + key_size;
  }
  // The version that a snapshot sees: the newest one with commit <= snapshot. Never null for a
  // registered snapshot (I2); null for one that is older than the chain reaches.
  Version* at(Timestamp snapshot) const noexcept {
    Version* version = newest.load();
    while (version != nullptr && version->commit > snapshot.value) version = version->older.load();
    return version;
  }

  static Chain* create(KeyspaceId keyspace, std::string_view key, std::uint64_t hash,
                       unsigned height) {
    const std::size_t bytes = sizeof(Chain) + height * sizeof(Link) + key.size();
    auto* chain = new (::operator new(bytes)) Chain;
    chain->hash = hash;
    chain->keyspace = keyspace;
    chain->key_size = static_cast<std::uint16_t>(key.size());
    chain->height = static_cast<std::uint8_t>(height);
    for (unsigned level = 0; level < height; ++level) new (&chain->link(level)) Link(nullptr);
    std::memcpy(const_cast<char*>(chain->key().data()), key.data(), key.size());
    return chain;
  }
  // The chain alone, not its versions.
  static void destroy(Chain* chain) noexcept {
    chain->~Chain();
    ::operator delete(chain);
  }
};

struct DestroyChain {
  void operator()(Chain* chain) const noexcept {
    for (Version* version = chain->newest.load(); version != nullptr;) {
      Version* older = version->older.load();
      Version::destroy(version);
      version = older;
    }
    Chain::destroy(chain);
  }
};
// Owns a chain that is not installed, with its versions.
using ChainPtr = std::unique_ptr<Chain, DestroyChain>;

}  // namespace isolde::mvcc
