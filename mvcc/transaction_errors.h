// The errors of transactions, each phrased once: what, where, who, and what to do.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/error.h"
#include "isolde/locks.h"
#include "isolde/options.h"
#include "isolde/types.h"

namespace isolde::mvcc {

struct Conflict;

Error used_twice();
Error transaction_finished();
Error lock_wait_refused();
Error skip_locked_refused();
Error bad_lock_timeout();
Error cancelled(TransactionRef self);
Error too_many_locks(const LockTarget& target, std::size_t limit);
// `waits_for`: those who stand in the way, never empty; the first is the culprit.
Error lock_timeout(std::vector<LockWaitEdge> waits_for, std::chrono::nanoseconds waited);
Error lock_not_available(std::vector<LockWaitEdge> waits_for);
// no_wait: it must not wait for them.
Error must_not_wait(std::vector<LockWaitEdge> waits_for);
// A cycle that is broken at the cost of its victim, or (wound_wait) an edge that must not be.
Error deadlock(const DeadlockReport& report, DeadlockStrategy strategy);
Error keyspace_not_found(std::string_view name);
Error read_only_refused(bool whole_database);
Error value_too_large(std::string_view keyspace, std::string_view key, std::size_t bytes);
Error transaction_too_large(std::string_view verb, std::size_t bytes, std::size_t limit);
Error already_exists(std::string_view keyspace, std::string_view key);
Error compare_failed(std::string_view keyspace, std::string_view key,
                     std::optional<std::string_view> found);
Error not_a_sum(std::string_view keyspace, std::string_view key, std::string_view found,
                std::int64_t delta);
// The adds of one transaction to one key, together.
Error adds_too_large(std::string_view keyspace, std::string_view key);
Error savepoint_not_found();
Error cursor_rolled_back();
Error database_closed();
Error out_of_memory(std::string_view doing);
Error too_many_transactions();
Error snapshot_too_old(TransactionRef self, std::uint64_t snapshot, std::chrono::nanoseconds age,
                       std::size_t max_version_memory);

// Why a commit was refused for what another transaction had committed.
Error conflict(const Conflict& found, std::string_view keyspace, TransactionRef self,
               Isolation isolation);

// Nothing if the key is 1 to 511 bytes.
std::optional<Error> check_key(std::string_view key);

// "T12 'transfer'", "T12", or what is known of it.
std::string describe(const TransactionRef& transaction);

}  // namespace isolde::mvcc
