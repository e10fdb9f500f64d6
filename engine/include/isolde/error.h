// Errors: a code (the contract), a sentence for people, and the evidence for programs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/locks.h"
#include "isolde/types.h"

namespace isolde {

enum class ErrorCode : std::uint8_t {
  // End the transaction; running it again may succeed.
  write_conflict,         // a key that it wrote, or read for update, has a newer version
  serialization_failure,  // something that it observed at serializable has a newer version
  deadlock,               // it was chosen as the victim of a waits-for cycle
  snapshot_too_old,       // its snapshot was given up to keep within max_version_memory

  // End the transaction; not retried automatically.
  cancelled,
  commit_outcome_unknown,  // the log failed: the commit may or may not have survived
  database_failed,         // the log failed earlier; only reads of durable snapshots go on
  transaction_finished,    // the transaction had ended before this call

  // Fail the operation only; the transaction goes on as if it had not been asked.
  lock_timeout,
  lock_not_available,
  already_exists,
  compare_failed,
  too_many_locks,
  key_empty,
  key_too_long,
  value_too_large,
  transaction_too_large,
  keyspace_not_found,
  keyspace_busy,
  read_only,
  invalid_argument,
  disk_full,
  out_of_memory,

  // Opening a database (and verify, backup).
  database_in_use,
  corruption,
  not_a_database,
  permission_denied,
  io_error,
  format_unsupported,
};

class Error;

// The contract's spelling: "write_conflict", ...
std::string_view name(ErrorCode code) noexcept;

// True for the codes of the first group: the whole transaction may be run again.
bool is_retryable(ErrorCode code) noexcept;
// The same of one error: false as well for a conflict that would come again (Evidence::is_lasting).
bool is_retryable(const Error& error) noexcept;

// True if a transaction that received this code has ended (and released everything).
bool ends_transaction(ErrorCode code) noexcept;

// What an error is about. Every field is filled where it means something, copied out of the engine.
struct Evidence {
  std::string keyspace;
  std::optional<std::string> key;
  std::optional<EvidenceRange> range;     // the range that was observed, for range conflicts
  std::optional<TransactionRef> self;     // the transaction that received the error
  std::optional<TransactionRef> culprit;  // the other one: writer, holder, owner of a snapshot
  std::optional<Timestamp> snapshot;      // what self had read at
  std::optional<Timestamp> conflict;      // the version that is newer
  std::optional<LockMode> asked_mode;     // of locks: what self asked for ...
  std::optional<LockMode> culprit_mode;   // ... and what the culprit holds, or waits for ahead
  std::vector<LockWaitEdge> waits_for;    // lock_timeout, lock_not_available: what self waited for
  std::vector<LockWaitEdge> cycle;        // deadlock: all of it, see DeadlockReport
  std::string reason;                     // deadlock: why self was chosen; of an add: see below
  // A write_conflict that would come again: an add meets a value that is no integer, or too large
  // for the sum (`reason` says which). transact() does not retry it.
  bool is_lasting = false;
  std::optional<std::string> file;      // for files: the path ...
  std::optional<std::uint64_t> offset;  // ... the byte offset in it ...
  int system_error = 0;                 // ... and errno
  std::uint32_t attempts = 0;           // set by Database::transact
};

// An error. Cheap to move and copy (shared, immutable detail). Thread-safe like any value.
class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message, Evidence evidence = {});

  ErrorCode code() const noexcept { return code_; }
  // One sentence that names the thing, the place and the remedy. Without the code's name.
  const std::string& message() const noexcept;
  const Evidence& evidence() const noexcept;
  // "write_conflict: key 'x' in ..." for logs and terminals.
  std::string to_string() const;

  // The same error with the number of attempts in its evidence (transact's last word).
  Error with_attempts(std::uint32_t attempts) const;

 private:
  struct Detail;
  ErrorCode code_;
  std::shared_ptr<const Detail> detail_;
};

// `key` for a message: quoted, non-printing bytes as \xNN, shortened past 64 bytes.
std::string quoted(std::string_view key);

}  // namespace isolde
