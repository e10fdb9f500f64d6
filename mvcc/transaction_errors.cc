#include "mvcc/transaction_errors.h"

#include <utility>

#include "mvcc/commit_pipeline.h"

namespace isolde::mvcc {
namespace {

Error about_key(ErrorCode code, std::string_view keyspace, std::string_view key,
                std::string message) {
  Evidence evidence;
  evidence.keyspace = keyspace;
  evidence.key = std::string(key);
  return {code, std::move(message), std::move(evidence)};
}

std::string place(std::string_view keyspace, std::string_view key) {
  return "key " + isolde::quoted(key) + " in keyspace " + isolde::quoted(keyspace);
}

std::string in_mode(LockMode mode) { return " (" + std::string(name(mode)) + ")"; }

// "T2 'b' holds it (shared)", and how many more stand in the way.
std::string obstacle(const std::vector<LockWaitEdge>& waits_for) {
  const LockWaitEdge& first = waits_for.front();
  std::string text = describe(first.holder) +
                     (first.queued ? " waits for it and came before" : " holds it") +
                     in_mode(first.holder_mode);
  if (waits_for.size() > 1) text += ", and " + std::to_string(waits_for.size() - 1) + " more";
  return text;
}

// What `self`, who waits in the first edge, is told of the one it waits for.
Evidence about_wait(const LockWaitEdge& edge) {
  Evidence evidence;
  evidence.keyspace = edge.target.keyspace;
  evidence.key = edge.target.key;
  evidence.range = edge.target.range;
  evidence.self = edge.waiter;
  evidence.culprit = edge.holder;
  evidence.asked_mode = edge.mode;
  evidence.culprit_mode = edge.holder_mode;
  return evidence;
}

Error about_waits(ErrorCode code, std::string message, std::vector<LockWaitEdge> waits_for) {
  Evidence evidence = about_wait(waits_for.front());
  evidence.waits_for = std::move(waits_for);
  return {code, std::move(message), std::move(evidence)};
}

}  // namespace

std::string describe(const TransactionRef& transaction) { return to_text(transaction); }

Error used_twice() {
  return {
      ErrorCode::invalid_argument,
      "this transaction is inside another operation: it is used by two threads at once, or from "
      "within its own scan; give each thread its own transaction, and use a cursor to work on "
      "what it walks over"};
}

Error transaction_finished() {
  return {ErrorCode::transaction_finished,
          "this transaction has ended (by commit, rollback or an error); begin a new one"};
}

Error lock_wait_refused() {
  return {ErrorCode::invalid_argument,
          "nowait and skip_locked mean something only where locks are taken: an optimistic "
          "transaction takes none, use LockWait::wait"};
}

Error skip_locked_refused() {
  return {ErrorCode::invalid_argument,
          "skip_locked would leave out of a serializable transaction what it has to depend on; use "
          "nowait, or a level below"};
}

Error bad_lock_timeout() {
  return {ErrorCode::invalid_argument,
          "a lock timeout can't be negative; 0 is not to wait, no_lock_timeout to wait for ever"};
}

Error cancelled(TransactionRef self) {
  std::string message = describe(self) + " was cancelled from outside";
  Evidence evidence;
  evidence.self = std::move(self);
  return {ErrorCode::cancelled, std::move(message), std::move(evidence)};
}

Error too_many_locks(const LockTarget& target, std::size_t limit) {
  Evidence evidence;
  evidence.keyspace = target.keyspace;
  evidence.key = target.key;
  evidence.range = target.range;
  return {ErrorCode::too_many_locks,
          "the transaction holds " + std::to_string(limit) +
              " locks, which is Options::max_locks_per_transaction, and can't have one on " +
              to_text(target) + ": split it, lock a range instead, or raise the limit",
          std::move(evidence)};
}

Error lock_timeout(std::vector<LockWaitEdge> waits_for, std::chrono::nanoseconds waited) {
  const LockWaitEdge& edge = waits_for.front();
  std::string message =
      describe(edge.waiter) + " waited " +
      std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(waited).count()) +
      " ms in vain for " + to_text(edge.target) + in_mode(edge.mode) + ": " + obstacle(waits_for) +
      "; try again, roll back, or raise the lock timeout";
  return about_waits(ErrorCode::lock_timeout, std::move(message), std::move(waits_for));
}

Error lock_not_available(std::vector<LockWaitEdge> waits_for) {
  const LockWaitEdge& edge = waits_for.front();
  std::string message = describe(edge.waiter) + " can't have " + to_text(edge.target) +
                        in_mode(edge.mode) + " without waiting: " + obstacle(waits_for);
  return about_waits(ErrorCode::lock_not_available, std::move(message), std::move(waits_for));
}

Error must_not_wait(std::vector<LockWaitEdge> waits_for) {
  const LockWaitEdge& edge = waits_for.front();
  std::string message = describe(edge.waiter) + " would have to wait for " + to_text(edge.target) +
                        in_mode(edge.mode) +
                        ", which the strategy 'no_wait' does not allow: " + obstacle(waits_for) +
                        "; run the transaction again";
  return about_waits(ErrorCode::deadlock, std::move(message), std::move(waits_for));
}

Error deadlock(const DeadlockReport& report, DeadlockStrategy strategy) {
  const bool is_cycle = strategy == DeadlockStrategy::detect;
  // The victim's own wait; where it was wounded, the wait of the one that wounded it.
  const LockWaitEdge* own = &report.cycle.front();
  for (const LockWaitEdge& edge : report.cycle) {
    if (edge.waiter.id == report.victim.id) own = &edge;
  }
  std::string message;
  if (is_cycle) {
    constexpr std::size_t told = 8;
    message = describe(report.victim) + " is the victim of a deadlock of " +
              std::to_string(report.cycle.size()) + ": ";
    for (std::size_t at = 0; at < report.cycle.size() && at < told; ++at) {
      const LockWaitEdge& edge = report.cycle[at];
      message += describe(edge.waiter) + " waits for " + to_text(edge.target) + in_mode(edge.mode) +
                 ", which " + describe(edge.holder) +
                 (edge.queued ? " waits for before it" : " holds") + in_mode(edge.holder_mode) +
                 "; ";
    }
    if (report.cycle.size() > told) {
      message += "and " + std::to_string(report.cycle.size() - told) + " more; ";
    }
  }
  message += report.reason + "; run the transaction again";
  Evidence evidence = about_wait(*own);
  if (own->waiter.id != report.victim.id) {
    std::swap(evidence.self, evidence.culprit);
    std::swap(evidence.asked_mode, evidence.culprit_mode);
  }
  (is_cycle ? evidence.cycle : evidence.waits_for) = report.cycle;
  evidence.reason = report.reason;
  return {ErrorCode::deadlock, std::move(message), std::move(evidence)};
}

Error keyspace_not_found(std::string_view name) {
  Evidence evidence;
  evidence.keyspace = name;
  return {ErrorCode::keyspace_not_found,
          "there is no keyspace " + isolde::quoted(name) +
              " in this database (never created, or dropped); Database::keyspace creates it",
          std::move(evidence)};
}

Error read_only_refused(bool whole_database) {
  return {ErrorCode::read_only, whole_database
                                    ? "the database was opened read-only; open it without "
                                      "Options::read_only to write"
                                    : "the transaction was begun read-only; begin it without "
                                      "TransactionOptions::read_only to write"};
}

std::optional<Error> check_key(std::string_view key) {
  if (key.empty()) {
    return Error(ErrorCode::key_empty, "the key is empty; a key has 1 to 511 bytes");
  }
  if (key.size() > max_key_bytes) {
    Evidence evidence;
    evidence.key = std::string(key.substr(0, max_key_bytes));
    return Error(ErrorCode::key_too_long,
                 "the key " + isolde::quoted(key) + " has " + std::to_string(key.size()) +
                     " bytes; a key has 1 to 511",
                 std::move(evidence));
  }
  return std::nullopt;
}

Error value_too_large(std::string_view keyspace, std::string_view key, std::size_t bytes) {
  return about_key(ErrorCode::value_too_large, keyspace, key,
                   "the value for " + place(keyspace, key) + " has " + std::to_string(bytes) +
                       " bytes; at most " + std::to_string(max_value_bytes) + " are allowed");
}

Error transaction_too_large(std::string_view verb, std::size_t bytes, std::size_t limit) {
  return {ErrorCode::transaction_too_large,
          "the transaction has " + std::string(verb) + " " + std::to_string(bytes) +
              " bytes; Options::max_transaction_bytes allows " + std::to_string(limit) +
              ": split it, or raise the limit"};
}

Error already_exists(std::string_view keyspace, std::string_view key) {
  return about_key(ErrorCode::already_exists, keyspace, key,
                   place(keyspace, key) + " already exists; use put to replace its value");
}

Error compare_failed(std::string_view keyspace, std::string_view key,
                     std::optional<std::string_view> found) {
  return about_key(ErrorCode::compare_failed, keyspace, key,
                   place(keyspace, key) + " does not have the expected value: it " +
                       (found ? "is " + isolde::quoted(*found) : std::string("is absent")));
}

Error not_a_sum(std::string_view keyspace, std::string_view key, std::string_view found,
                std::int64_t delta) {
  return about_key(ErrorCode::invalid_argument, keyspace, key,
                   "cannot add " + std::to_string(delta) + " to " + place(keyspace, key) +
                       ": its value " + isolde::quoted(found) +
                       " is not a decimal integer, or the sum does not fit in 64 bits");
}

Error adds_too_large(std::string_view keyspace, std::string_view key) {
  return about_key(
      ErrorCode::invalid_argument, keyspace, key,
      "what the transaction adds to " + place(keyspace, key) + " does not fit in 64 bits");
}

Error cursor_rolled_back() {
  return {ErrorCode::invalid_argument,
          "the cursor was opened inside a savepoint that has been rolled back; open another"};
}

Error database_closed() {
  return {ErrorCode::invalid_argument,
          "this database handle was closed or moved from; open the database again, or use the "
          "handle that it was moved to"};
}

Error savepoint_not_found() {
  return {ErrorCode::invalid_argument,
          "the savepoint is gone: it was released, or rolled back over, or belongs to another "
          "transaction"};
}

Error too_many_transactions() {
  return {
      ErrorCode::out_of_memory,
      "too many transactions are open in this database: each takes a place of its own, and all "
      "of them are taken; end some (a handle that is kept after its transaction's end keeps the "
      "place, too)"};
}
Error out_of_memory(std::string_view doing) {
  return {ErrorCode::out_of_memory,
          "out of memory while " + std::string(doing) + "; nothing was changed"};
}

namespace {

// Running it again meets the same value: nothing but a write of another one helps.
Error add_failed(const Conflict& found, std::string_view keyspace, TransactionRef self) {
  Evidence evidence;
  evidence.is_lasting = true;
  evidence.reason = "its value " + isolde::quoted(found.value) +
                    (found.is_integer ? " is too large for the sum, which does not fit in 64 bits"
                                      : " is no decimal integer");
  const bool is_known = found.commit != 0;
  std::string message =
      describe(self) + " adds to " + place(keyspace, found.key) + ", but " + evidence.reason;
  if (is_known) {
    message +=
        ", as " + describe(found.culprit) + " wrote it at commit " + std::to_string(found.commit);
  }
  message += "; running the transaction again would not help, writing another value would";
  evidence.keyspace = keyspace;
  evidence.key = found.key;
  evidence.self = std::move(self);
  evidence.snapshot = Timestamp{found.snapshot};
  if (is_known) {
    evidence.culprit = found.culprit;
    evidence.conflict = Timestamp{found.commit};
  }
  return {ErrorCode::write_conflict, std::move(message), std::move(evidence)};
}

}  // namespace

Error conflict(const Conflict& found, std::string_view keyspace, TransactionRef self,
               Isolation isolation) {
  if (found.kind == Conflict::Kind::not_a_sum) return add_failed(found, keyspace, std::move(self));
  const std::string writer = describe(found.culprit);
  const std::string what = place(keyspace, found.key);
  // A condition may fail on a version that is in the base by now: nobody remembers whose it was.
  const bool is_known = found.commit != 0;
  const std::string at = is_known ? " at commit " + std::to_string(found.commit) : "";
  const std::string snapshot = std::to_string(found.snapshot);
  std::string message;
  switch (found.kind) {
    case Conflict::Kind::newer_in_range:
      message = writer + " changed " + what + at + ", inside a range that " + describe(self) +
                " had observed at snapshot " + snapshot;
      break;
    case Conflict::Kind::condition_failed:
      message = what + " no longer allows what " + describe(self) + " found possible: " + writer +
                " changed it" + at;
      break;
    default:
      message = writer + " changed " + what + at + ", after " + describe(self) +
                (found.was_read ? " had read it at snapshot "
                                : ", which writes it too, took its snapshot ") +
                snapshot;
      break;
  }
  message += "; run the transaction again";
  Evidence evidence;
  evidence.keyspace = keyspace;
  evidence.key = found.key;
  evidence.range = found.range;
  evidence.self = std::move(self);
  if (is_known) evidence.culprit = found.culprit;
  evidence.snapshot = Timestamp{found.snapshot};
  if (is_known) evidence.conflict = Timestamp{found.commit};
  const ErrorCode code = isolation == Isolation::serializable ? ErrorCode::serialization_failure
                                                              : ErrorCode::write_conflict;
  return {code, std::move(message), std::move(evidence)};
}

Error snapshot_too_old(TransactionRef self, std::uint64_t snapshot, std::chrono::nanoseconds age,
                       std::size_t max_version_memory) {
  const auto age_ms = std::chrono::duration_cast<std::chrono::milliseconds>(age).count();
  std::string message = "the snapshot of " +
                        (self.id.value == 0 && self.label.empty() ? std::string("this transaction")
                         : self.id.value == 0 ? "transaction " + isolde::quoted(self.label)
                                              : describe(self)) +
                        " (at commit " + std::to_string(snapshot) + ", " + std::to_string(age_ms) +
                        " ms old) was the oldest, and was given up because old versions exceeded "
                        "Options::max_version_memory of " +
                        std::to_string(max_version_memory) +
                        " bytes; run it again, in shorter transactions";
  Evidence evidence;
  evidence.self = std::move(self);
  evidence.snapshot = Timestamp{snapshot};
  return {ErrorCode::snapshot_too_old, std::move(message), std::move(evidence)};
}

}  // namespace isolde::mvcc
