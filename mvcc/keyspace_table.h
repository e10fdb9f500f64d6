// The keyspace table: which keyspaces exist, and since when (K1).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/commit_record.h"
#include "engine/mutex.h"
#include "isolde/keyspace.h"
#include "isolde/types.h"

namespace isolde::mvcc {

struct KeyspaceState {
  static constexpr std::uint64_t never = ~std::uint64_t{0};
  // Inside the critical section of a drop: those who look next wait for its outcome.
  static constexpr std::uint64_t undecided = never - 1;

  Keyspace handle;
  std::uint64_t created = 0;  // commit that created it; 0: it was in the base at open
  std::uint64_t loaded = 0;   // the same if that brought a bulk load; else 0
  std::atomic<std::uint64_t> dropped{never};  // commit that dropped it

  // The commit of what the base has and no commit record tells of.
  std::uint64_t image_commit(bool found) const noexcept { return found ? loaded : 0; }
  // True if what the base has is newer than the snapshot, though no chain says so: a load goes past
  // the chains, and views of the base are renewed under a snapshot (I4, I5).
  bool is_loaded_after(std::uint64_t snapshot) const noexcept { return loaded > snapshot; }
};

// Thread safety: all methods concurrently; create and drop under the pipeline's mutex.
//
// Invariants (K1): ids are never reused, a state is never freed, names map to ids.
class KeyspaceTable {
 public:
  static constexpr std::uint32_t max_ids = engine::max_keyspace_ids;

  ~KeyspaceTable();

  // Null: never existed. Lock-free.
  const KeyspaceState* state(KeyspaceId id) const noexcept;
  std::optional<Keyspace> find(std::string_view name) const ISOLDE_EXCLUDES(mutex_);
  std::vector<Keyspace> list() const ISOLDE_EXCLUDES(mutex_);
  // The name of an id, for messages; also of a dropped one.
  std::string name_of(KeyspaceId id) const;

  // An id that no keyspace has had; nothing when they have run out.
  std::optional<KeyspaceId> reserve_id() noexcept;
  // Ids below are taken.
  void skip_ids_below(KeyspaceId id) noexcept;

  // `loaded`: it comes with what a bulk load put straight into the base. `publish` makes the commit
  // visible, before any find() can give the name's handle to a transaction: with the handle first,
  //   Loader     puts the keyspace of commit 7 into the table
  //   Pessimist  finds it, reads the newest commit, 6, under its lock: absent
  //   Loader     makes 7 visible, and takes no lock that the pessimist's would keep it from
  //   Pessimist  reads again, under the same lock: there it is
  void create(
      KeyspaceId id, std::string_view name, std::uint64_t commit, bool loaded = false,
      const std::function<void()>& publish = [] {}) ISOLDE_EXCLUDES(mutex_);
  // A drop in the critical section is announced, then judged (K1), then made or withdrawn.
  void announce_drop(KeyspaceId id) noexcept {
    mutable_state(id)->dropped.store(KeyspaceState::undecided);
  }
  void withdraw_drop(KeyspaceId id) noexcept {
    mutable_state(id)->dropped.store(KeyspaceState::never);
  }
  void drop(KeyspaceId id, std::uint64_t commit) ISOLDE_EXCLUDES(mutex_);

  // The changes of commits in (after, until], in commit order: what a checkpoint writes first.
  void for_each_change(std::uint64_t after, std::uint64_t until,
                       const std::function<bool(const engine::Change&)>& visit) const
      ISOLDE_EXCLUDES(mutex_);
  // The base has them now.
  void forget_changes(std::uint64_t until) ISOLDE_EXCLUDES(mutex_);
  // The log failed: takes back the changes of commits after `durable` (I8). Under the pipeline's
  // mutex.
  void roll_back(std::uint64_t durable) noexcept ISOLDE_EXCLUDES(mutex_);

 private:
  static constexpr std::uint32_t chunk_ids = 1024;
  using Chunk = std::array<std::atomic<KeyspaceState*>, chunk_ids>;
  using Names = std::map<std::string, Keyspace, std::less<>>;
  struct LoggedChange {
    std::uint64_t commit;
    engine::ChangeKind kind;
    Keyspace keyspace;
    Names::node_type name;  // of a drop: to be put back without memory
  };

  KeyspaceState* mutable_state(KeyspaceId id) const noexcept;

  std::array<std::atomic<Chunk*>, max_ids / chunk_ids> chunks_{};
  std::atomic<std::uint32_t> next_id_{1};
  mutable Mutex mutex_;
  Names names_ ISOLDE_GUARDED_BY(mutex_);
  std::vector<LoggedChange> changes_ ISOLDE_GUARDED_BY(mutex_);  // not yet in the base
};

}  // namespace isolde::mvcc
