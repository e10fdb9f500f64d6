// The commit pipeline: the one critical section that orders commits (C1 to C5).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/commit_record.h"
#include "engine/log/commit_log.h"
#include "engine/mutex.h"
#include "isolde/error.h"
#include "mvcc/keyspace_table.h"
#include "mvcc/read_set.h"
#include "mvcc/recent_commits.h"
#include "mvcc/slot.h"
#include "mvcc/version_store.h"
#include "mvcc/write_set.h"

namespace isolde::mvcc {

// What keeps a commit from being made: facts copied out under the mutex, phrased outside it.
struct Conflict {
  enum class Kind : std::uint8_t {
    newer_version,     // a key that was written or read has a newer version
    newer_in_range,    // a range that was observed has
    condition_failed,  // an insert or compare_and_set that no longer holds (C6)
    not_a_sum,         // an add meets no integer, or one too large (C6)
    snapshot_too_old,
    database_failed,
    keyspace_dropped,
  };
  Kind kind = Kind::newer_version;
  KeyspaceId keyspace;
  std::string key;
  std::optional<EvidenceRange> range;
  bool was_read = false;    // else it was written
  std::string value;        // not_a_sum: what was found, or its beginning; and whether it is
  bool is_integer = false;  // an integer
  TransactionRef culprit;
  std::uint64_t commit = 0;  // the culprit's; 0: not known
  std::uint64_t snapshot = 0;
};

struct PreparedWrite {
  KeyspaceId keyspace;
  std::string_view key;
  std::uint64_t hash = 0;
  Write* write = nullptr;
  Chain* chain = nullptr;  // as found while preparing; may have been dropped since
  ChainPtr fresh;          // if none was found: a chain with the base image, to be installed
};

// A commit that is ready for the critical section: nothing in there allocates or fails.
//
// Invariant (C1): what it has looked up (chains, fresh chains with their base images, the commit as
// of which its reads hold) was found under the view that the slot has held ever since. It is good
// for one stay in the slot; after a pause a new one is made.
struct PreparedCommit {
  explicit PreparedCommit(Slot& in) noexcept : slot(&in), stay(in.stay()) {}

  Slot* slot;
  std::uint64_t stay;
  Isolation isolation = Isolation::repeatable_read;
  std::optional<std::uint64_t> snapshot;      // repeatable read and above
  const ReadSet* reads = nullptr;             // what must be unchanged; null or empty: nothing
  std::optional<std::uint64_t> validated_at;  // reads hold as of this commit already
  std::vector<PreparedWrite> writes;          // in key order
  bool is_locked = false;                     // exclusive locks on all that is written are held
  std::vector<std::uint32_t> reads_by_hash;   // if validated_at: places in reads->keys(), by hash
  engine::CommitRecord record;                // encoded; with sums to compute: room for it
  bool encode_late = false;                   // there are sums to compute
  engine::LogReservation reservation;
  std::unique_ptr<RecentCommit> recent;  // after the commit: what the ring forgot for it
};

// Thread safety: all methods concurrently.
//
// Invariants:
//   I5  timestamps are dense; install, log order and `visible` follow them.
//   I7  `visible` steps over a commit after all its versions are installed.
//   I8  after fail(), visible() == durable and never grows.
class CommitPipeline {
 public:
  CommitPipeline(VersionStore& store, KeyspaceTable& keyspaces, engine::CommitLog& log,
                 Timestamp at)
      : store_(store), keyspaces_(keyspaces), log_(log), visible_(at.value) {}

  std::uint64_t visible() const noexcept { return visible_.load(); }

  struct Outcome {
    enum class Kind : std::uint8_t { committed, refused, prepare_again, lock_first, held };
    Kind kind = Kind::committed;
    std::uint64_t commit = 0;  // the culprit's; 0: not known
    std::optional<Conflict> conflict;
  };
  // Validates, and if there are writes installs, publishes and appends. Precondition: the slot is
  // busy with a registered snapshot. `prepare_again`: a chain was dropped since it was found.
  // `lock_first`: there are pessimists alive, and the writes are not locked (C5).
  Outcome commit(PreparedCommit& prepared) ISOLDE_EXCLUDES(mutex_);
  // Validates the reads as of the returned commit, outside the critical section (C2).
  Outcome validate_outside(const PreparedCommit& prepared);

  // What refuses a pessimist at its write or locking read: a version newer than its snapshot. The
  // key is locked, so that none comes after the look. Precondition: as commit().
  std::optional<Conflict> find_newer(KeyspaceId keyspace, std::string_view key, std::uint64_t hash,
                                     std::uint64_t snapshot, bool was_read) ISOLDE_EXCLUDES(mutex_);

  // A pessimist is alive from before its first lock until after its last. From 0 to 1 under the
  // mutex (C5), because of an optimist that finds the flag down:
  //   Optimist   in the critical section: no pessimists; validates
  //   Pessimist  arrives, locks x, reads x, and will write y because of it
  //   Optimist   installs its x
  // With the mutex, either the optimist's x is visible before the pessimist has its lock, or the
  // optimist sees the flag and waits for the lock.
  void pessimist_arrives() ISOLDE_EXCLUDES(mutex_);
  void pessimist_leaves() noexcept { pessimists_.fetch_sub(1); }
  bool has_pessimists() const noexcept { return pessimists_.load() != 0; }

  // Creates (or drops) a keyspace as a commit of its own. Creating one whose name exists, and
  // dropping one that is gone, refuse.
  Outcome create_keyspace(KeyspaceId id, std::string_view name, std::string entry,
                          engine::LogReservation reservation, bool loaded = false)
      ISOLDE_EXCLUDES(mutex_);
  // `is_held`: whether somebody may still look at it; asked in the critical section, after the drop
  // was announced to those who look from then on. Then `held`, and nothing has changed.
  //   Dropper  asks who has a snapshot: none
  //   Reader   takes its snapshot at 19, gets a value
  //   Dropper  drops at 20: the reader's next get finds no keyspace
  // Announced first, the drop is either seen by the reader's look at the keyspace, which comes
  // after its snapshot is registered, or sees that snapshot.
  Outcome drop_keyspace(KeyspaceId id, const std::function<bool()>& is_held, std::string& entry,
                        engine::LogReservation& reservation) ISOLDE_EXCLUDES(mutex_);

  // The commit that dropped the keyspace, once no drop of it is being judged; KeyspaceState::never.
  std::uint64_t await_drop(const KeyspaceState& keyspace) noexcept ISOLDE_EXCLUDES(mutex_) {
    if (keyspace.dropped.load() == KeyspaceState::undecided) MutexLock barrier(mutex_);
    return keyspace.dropped.load();
  }

  // Returns once commit `at`, which the caller has read, is in the log's buffer. It is published
  // before it is appended, both under the mutex:
  //   Writer    publishes 12
  //   Reader    reads 12, commits, and asks the log to persist 12
  //   Writer    appends 12
  void await_append(std::uint64_t at) noexcept ISOLDE_EXCLUDES(mutex_) {
    if (log_.appended().value < at) MutexLock barrier(mutex_);
  }

  // The log failed: visible, and the keyspaces, go back to what is durable, for good (I8).
  void fail() ISOLDE_EXCLUDES(mutex_);

  // Held by the reclaimer while it drops chains (R4).
  Mutex& mutex() noexcept ISOLDE_RETURN_CAPABILITY(mutex_) { return mutex_; }

 private:
  std::optional<Conflict> validate(const PreparedCommit& prepared) ISOLDE_REQUIRES(mutex_);
  std::optional<Conflict> validate_writes(const PreparedCommit& prepared) ISOLDE_REQUIRES(mutex_);
  std::optional<Conflict> validate_reads_directly(const PreparedCommit& prepared) const;
  std::optional<Conflict> validate_since(const PreparedCommit& prepared, std::uint64_t since)
      ISOLDE_REQUIRES(mutex_);
  std::optional<Conflict> validate_range(const RangeRead& range) const;
  std::optional<Conflict> check_loaded(KeyspaceId keyspace, std::uint64_t snapshot,
                                       std::string_view key) const;
  bool resolve_chains(PreparedCommit& prepared) ISOLDE_REQUIRES(mutex_);
  std::optional<Conflict> check_condition(const PreparedWrite& prepared) const;
  void install(PreparedCommit& prepared, std::uint64_t commit) ISOLDE_REQUIRES(mutex_);
  void name_culprit(Conflict& conflict) const ISOLDE_REQUIRES(mutex_);

  VersionStore& store_;
  KeyspaceTable& keyspaces_;
  engine::CommitLog& log_;
  Mutex mutex_;
  std::atomic<std::uint64_t> visible_;
  std::atomic<std::uint64_t> pessimists_{0};
  bool failed_ ISOLDE_GUARDED_BY(mutex_) = false;
  RecentCommits recent_ ISOLDE_GUARDED_BY(mutex_);
};

// The sum of a decimal 64-bit integer (absent counts as 0) and `delta`; nothing if `text` is not
// one or the sum overflows.
std::optional<std::int64_t> add_to(std::optional<std::string_view> text,
                                   std::int64_t delta) noexcept;

// Adds the changes of a commit to its record.
void encode(const std::vector<PreparedWrite>& writes, engine::CommitRecord& record);

}  // namespace isolde::mvcc
