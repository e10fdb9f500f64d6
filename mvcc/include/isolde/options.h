// Options of a database, of a transaction and of single operations.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "isolde/types.h"

namespace isolde {

// What an acknowledged commit survives (rule L6). Chosen per database.
struct Durability {
  enum class Kind : std::uint8_t {
    sync,      // commit() returns when the commit is on disk
    periodic,  // commit() returns when it is visible; the log is synced every `interval`
    none,      // commit() returns when the operating system has it: survives the process, not the
               // machine
  };
  Kind kind = Kind::sync;
  std::chrono::milliseconds interval{0};  // periodic only

  static constexpr Durability sync() { return {}; }
  static constexpr Durability periodic(std::chrono::milliseconds interval) {
    return {Kind::periodic, interval};
  }
  static constexpr Durability none() { return {Kind::none, {}}; }
};

// Which transaction of a deadlock is rolled back. Ties go to the one that began last.
enum class VictimPolicy : std::uint8_t {
  youngest,         // the one that began last
  oldest,           // the one that began first
  fewest_writes,    // the one that has written the fewest keys
  requester,        // the one whose request closed the cycle
  lowest_priority,  // TransactionOptions::priority
};

// What is done about deadlocks. All but `detect` are there to be compared with it.
enum class DeadlockStrategy : std::uint8_t {
  detect,        // the waits-for graph is searched when a wait begins
  no_wait,       // a request that would have to wait fails with `deadlock` at once
  wound_wait,    // older ones abort the younger that they would wait for; younger ones wait
  timeout_only,  // nothing: the lock timeout breaks them
};

// "youngest", ..., "detect", ...
std::string_view name(VictimPolicy policy) noexcept;
std::string_view name(DeadlockStrategy strategy) noexcept;

// A lock timeout that never comes.
inline constexpr std::chrono::milliseconds no_lock_timeout = std::chrono::milliseconds::max();

struct Options {
  Durability durability = Durability::sync();
  bool create_if_missing = true;
  bool read_only = false;  // writes nothing, not even recovery; for read-only media and inspection

  // Old versions (superseded, kept for live snapshots) may take this much memory, in bytes; past it
  // the oldest snapshot is given up with snapshot_too_old.
  std::size_t max_version_memory = std::size_t{1} << 30;
  // What one transaction may write or, at serializable, observe, in bytes of keys and values.
  std::size_t max_transaction_bytes = std::size_t{64} << 20;

  // A checkpoint starts when the log holds this many bytes that are not in the base, padding not
  // counted (a small commit that is written alone is padded to 512 bytes). Commits wait when it
  // holds four times as many (rule C7).
  std::size_t checkpoint_log_bytes = std::size_t{64} << 20;
  // Size of a preallocated log segment, in bytes, 4096 to 4 GiB; a transaction that needs more gets
  // a larger one.
  std::size_t log_segment_bytes = std::size_t{16} << 20;
  // Address space reserved for the base at first, in bytes. It grows by itself; smaller only for
  // tools that cannot map much (valgrind, some sanitizers).
  std::size_t initial_map_bytes = std::size_t{64} << 30;
  std::uint32_t max_keyspaces = 256;

  // How long an operation waits for locks in all before it fails with lock_timeout; 0: not at all.
  std::chrono::milliseconds lock_timeout{5'000};
  // Locks that one transaction may hold (keys and ranges); beyond: too_many_locks.
  std::size_t max_locks_per_transaction = std::size_t{1} << 20;
  DeadlockStrategy deadlock_strategy = DeadlockStrategy::detect;
  VictimPolicy deadlock_victim = VictimPolicy::youngest;

  // Turns the background threads off: checkpoints and reclaim run only when called. For tests.
  bool background_work = true;
};

// How transact() runs a transaction again after a retryable error: exponential backoff with full
// jitter (a delay drawn uniformly from 0 to min(max_delay, base_delay * 2^attempt)).
struct RetryPolicy {
  std::uint32_t max_attempts = 20;
  std::chrono::milliseconds max_time{10'000};  // no new attempt starts after this
  std::chrono::microseconds base_delay{100};
  std::chrono::microseconds max_delay{100'000};
};

struct TransactionOptions {
  Isolation isolation = Isolation::repeatable_read;
  Locking locking = Locking::optimistic;
  std::string label = {};                                      // shown in errors, stats and events
  bool read_only = false;                                      // writes fail with read_only
  RetryPolicy retry = {};                                      // transact() only
  std::optional<std::chrono::milliseconds> lock_timeout = {};  // instead of Options::lock_timeout
  int priority = 0;  // VictimPolicy::lowest_priority: the lowest one pays
};

// What a locking read does about a lock that another holds. Pessimistic transactions only:
// optimistic ones take no locks, and answer invalid_argument to anything but `wait`.
enum class LockWait : std::uint8_t {
  wait,
  nowait,       // lock_not_available instead of waiting
  skip_locked,  // as if what is locked were not there; not at serializable
};

// How one locking read waits. A LockWait alone will do.
struct LockOptions {
  LockWait wait = LockWait::wait;
  std::optional<std::chrono::milliseconds> timeout = {};  // instead of the transaction's

  LockOptions() = default;
  LockOptions(LockWait lock_wait) : wait(lock_wait) {}  // NOLINT(google-explicit-constructor)
  LockOptions(LockWait lock_wait, std::chrono::milliseconds lock_timeout)
      : wait(lock_wait), timeout(lock_timeout) {}
};

struct ReadOptions {
  // false: this one read is not validated at serializable (the caller vouches for it).
  // Pessimistic and serializable: it takes no lock.
  bool tracked = true;
};

enum class ReadMode : std::uint8_t { plain, for_update, for_share };

struct ScanOptions {
  bool reverse = false;
  std::optional<std::size_t> limit = {};  // at most this many entries
  ReadMode mode = ReadMode::plain;
  LockWait lock_wait = LockWait::wait;
  bool tracked = true;                                         // see ReadOptions
  std::optional<std::chrono::milliseconds> lock_timeout = {};  // of each call; see LockOptions
};

}  // namespace isolde
