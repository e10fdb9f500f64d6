// The write set: a transaction's private writes, until its commit makes versions of them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory_resource>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/mutex.h"
#include "isolde/keyspace.h"
#include "isolde/types.h"
#include "mvcc/version.h"

namespace isolde::mvcc {

// What must hold for the newest committed version when a write is installed (C6).
enum class Condition : std::uint8_t { none, absent, equals };

// One private write. Either a new version (value or tombstone), or a sum to add to whatever is
// newest at commit.
struct Write {
  VersionPtr version;   // for a delta: room for the sum, empty until commit
  VersionPtr expected;  // Condition::equals only
  std::optional<std::int64_t> delta;
  Condition condition = Condition::none;
  std::uint64_t sequence = 0;  // order among all uncommitted writes of the database (R8)

  std::size_t footprint() const noexcept {
    return version->capacity + (expected ? expected->capacity : 0);
  }
};

struct WriteKey {
  KeyspaceId keyspace;
  std::pmr::string key;
};
struct WriteKeyView {
  KeyspaceId keyspace;
  std::string_view key;
};
struct WriteKeyLess {
  using is_transparent = void;
  static WriteKeyView view(const WriteKey& key) { return {key.keyspace, key.key}; }
  static WriteKeyView view(const WriteKeyView& key) { return key; }
  template <typename A, typename B>
  bool operator()(const A& a, const B& b) const {
    const WriteKeyView left = view(a);
    const WriteKeyView right = view(b);
    if (left.keyspace != right.keyspace) return left.keyspace < right.keyspace;
    return left.key < right.key;
  }
};

// Thread safety: the owner (its slot busy) reads without the latch, and writes under it; others
// read under it (R8). `commit` is set in the critical section of the commit, before `visible`.
//
// Invariant: empty() as seen by others only after its commit is visible, or after its abort.
class WriteSet {
 public:
  using Writes = std::pmr::map<WriteKey, Write, WriteKeyLess>;

  WriteSet() : arena_(first_block_.data(), first_block_.size()), writes_(&arena_) {}

  // Owner.
  bool empty() const noexcept { return writes_.empty(); }
  std::size_t size() const noexcept { return writes_.size(); }
  std::size_t bytes() const noexcept { return bytes_; }  // of keys and values
  const Writes& writes() const noexcept { return writes_; }
  const Write* find(KeyspaceId keyspace, std::string_view key) const;
  // Puts a write in the place of what was there for the key.
  void set(KeyspaceId keyspace, std::string_view key, Write write) ISOLDE_EXCLUDES(latch_);
  Writes& writes_for_install() noexcept { return writes_; }
  // `installed`: the store has taken the versions over. (Readers at read uncommitted may look at
  // them here until then; the committer's slot is busy, so the store can't free them meanwhile.)
  void clear(bool installed) noexcept ISOLDE_EXCLUDES(latch_);

  // Savepoints: marks in the list of undone writes.
  std::size_t mark() noexcept;
  void undo_to(std::size_t mark) ISOLDE_EXCLUDES(latch_);
  void forget_marks() noexcept;

  // Readers at read uncommitted: a copy of the write for a key, or of all in a range.
  struct Copy {
    std::string key;
    std::optional<std::string> value;   // nothing: erased
    std::optional<std::int64_t> delta;  // instead of a value: to be added to what is below
    std::uint64_t sequence = 0;
    std::uint64_t commit = 0;  // not 0: its commit has begun, with this timestamp
    TransactionId writer;
    const WriteSet* from = nullptr;
    std::uint64_t life = 0;  // of `from`
  };
  // Takes the copies out whose transactions have ended since, and notes for the others whether
  // their commits have begun; true if any has ended: its commit, if any, is visible.
  static bool forget_ended(std::vector<Copy>& copies);
  std::optional<Copy> copy_of(KeyspaceId keyspace, std::string_view key) ISOLDE_EXCLUDES(latch_);
  void copy_range(KeyspaceId keyspace, std::string_view lower,
                  const std::optional<std::string>& upper, std::vector<Copy>& copies)
      ISOLDE_EXCLUDES(latch_);
  // True if others may find something here: spares them the latch.
  bool has_writes() const noexcept { return has_writes_.load(); }

  std::atomic<std::uint64_t> commit{0};
  std::atomic<TransactionId> writer{};

 private:
  struct Undo {
    KeyspaceId keyspace;
    std::string key;
    std::optional<Write> before;
  };
  Copy copy(const Writes::value_type& entry) const;

  Mutex latch_;
  std::atomic<bool> has_writes_{false};
  std::atomic<std::uint64_t> life_{0};  // grows when a transaction ends
  // Small transactions never leave the first block.
  std::array<std::byte, 512> first_block_;
  std::pmr::monotonic_buffer_resource arena_;
  Writes writes_;
  std::vector<Undo> undo_;
  bool undo_wanted_ = false;
  std::size_t bytes_ = 0;
};

}  // namespace isolde::mvcc
