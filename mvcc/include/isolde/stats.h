// Figures about a database, copied out at one moment.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "isolde/error.h"
#include "isolde/types.h"

namespace isolde {

// Counts of durations in buckets of powers of two: bucket i counts durations d with
// 2^i <= d < 2^(i+1) nanoseconds (bucket 0 also 0).
struct LatencyHistogram {
  static constexpr std::size_t bucket_count = 40;
  std::array<std::uint64_t, bucket_count> buckets{};
  std::uint64_t count = 0;
  std::chrono::nanoseconds total{0};
  std::chrono::nanoseconds maximum{0};

  void record(std::chrono::nanoseconds duration) noexcept;
  void merge(const LatencyHistogram& other) noexcept;
  // An upper bound of the q-quantile (0 <= q <= 1), exact to its bucket; 0 when empty.
  std::chrono::nanoseconds quantile(double q) const noexcept;
};

struct SnapshotStats {
  TransactionId transaction;  // 0: it has not needed an id yet
  std::string label;
  Timestamp snapshot;
  std::chrono::nanoseconds age{0};    // since the snapshot was taken
  std::uint64_t versions_behind = 0;  // commits that it does not see: what it may pin
};

struct Stats {
  std::uint64_t begun = 0;
  std::uint64_t committed = 0;  // read-only ones included
  std::uint64_t committed_writing = 0;
  std::uint64_t rolled_back = 0;               // by the user
  std::map<ErrorCode, std::uint64_t> aborted;  // by an error, by code
  std::uint64_t retries = 0;                   // attempts of transact() after the first
  LatencyHistogram commit_latency;             // of commit() of writing transactions
  LatencyHistogram backpressure_wait;          // of commits that had to wait for a checkpoint
  LatencyHistogram lock_wait;                  // of operations that had to wait for a lock

  std::uint64_t locks_held = 0;    // keys and ranges
  std::uint64_t lock_waiters = 0;  // transactions that wait for one
  std::uint64_t deadlocks = 0;     // that were found

  Timestamp visible;     // newest commit that new snapshots see
  Timestamp durable;     // newest commit known to be on disk
  Timestamp checkpoint;  // the base is exactly at this commit
  bool failed = false;   // the log failed (I8)

  std::uint64_t chains = 0;  // keys answered by memory
  std::uint64_t versions = 0;
  std::uint64_t version_bytes = 0;      // all versions and chains, overhead included
  std::uint64_t old_version_bytes = 0;  // those kept only for live snapshots
  std::uint64_t reclaimed_versions = 0;
  std::uint64_t dropped_chains = 0;

  std::uint64_t log_live_bytes = 0;  // not yet in the base; without padding
  std::uint64_t log_file_bytes = 0;
  std::uint64_t log_syncs = 0;
  std::uint64_t log_written_bytes = 0;
  std::uint64_t checkpoints = 0;
  std::chrono::nanoseconds last_checkpoint{0};
  std::uint64_t base_file_bytes = 0;
  std::uint64_t base_map_bytes = 0;

  std::vector<SnapshotStats> snapshots;  // live ones, oldest first
};

// One version of a key: Database::versions().
struct VersionInfo {
  Timestamp commit;                  // 0: not known, it was in the base before it was in memory
  TransactionId writer;              // 0: not known, it was written before the database was opened
  std::optional<std::string> value;  // nothing: erased
  bool in_memory = false;
  bool in_base = false;
};

// The outcome of Database::verify(): counts of what was read and found sound.
struct VerifyReport {
  std::uint64_t keyspaces = 0;
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;  // keys and values
  std::uint64_t log_records = 0;
  std::uint64_t log_commits = 0;
  Timestamp checkpoint;
};

}  // namespace isolde
