// Locks as people and programs see them: modes, what is locked, what waits for what, deadlocks.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/types.h"

namespace isolde {

// Shared locks go together; an exclusive one goes with no other transaction's.
enum class LockMode : std::uint8_t { shared, exclusive };

// "shared", "exclusive".
std::string_view name(LockMode mode) noexcept;

// A transaction named in evidence. The label is empty if it had none, or is no longer remembered.
struct TransactionRef {
  TransactionId id;
  std::string label;
};

// A key range in evidence: [lower, upper), without upper: to the end of the keyspace.
struct EvidenceRange {
  std::string lower;
  std::optional<std::string> upper;
};

// A key, or a range with its gaps: exactly one of the two.
struct LockTarget {
  std::string keyspace;
  std::optional<std::string> key;
  std::optional<EvidenceRange> range;
};

// One edge of the waits-for graph.
struct LockWaitEdge {
  TransactionRef waiter;
  LockTarget target;  // what the waiter asked for
  LockMode mode = LockMode::exclusive;
  TransactionRef holder;
  LockMode holder_mode = LockMode::exclusive;
  // The "holder" is itself waiting, ahead in the queue, in a mode that is incompatible.
  bool queued = false;
  std::chrono::steady_clock::time_point since;  // when the waiter began to wait
};

// A cycle of the waits-for graph, and the transaction chosen to break it.
struct DeadlockReport {
  std::vector<LockWaitEdge> cycle;  // edge i's holder is edge i + 1's waiter; the last closes it
  TransactionRef victim;
  std::string reason;  // one sentence: why the victim was chosen
};

struct HeldLock {
  TransactionRef holder;
  LockTarget target;
  LockMode mode = LockMode::exclusive;
};

struct AwaitedLock {
  TransactionRef waiter;
  LockTarget target;
  LockMode mode = LockMode::exclusive;
  std::chrono::steady_clock::time_point since;
  std::vector<LockWaitEdge> waits_for;  // never empty
};

// All locks of a database at one moment, copied out: Database::locks().
struct LockState {
  std::vector<HeldLock> held;        // by place: keys in key order, then ranges
  std::vector<AwaitedLock> awaited;  // the longest waiter first
  std::chrono::steady_clock::time_point taken;

  // For people: what each waiter waits for, how long, and its holder; then what is held.
  std::string to_text() const;
  // The waits-for graph in Graphviz' language: one node a transaction, one arrow an edge.
  std::string to_dot() const;
};

// The cycle, edge by edge, the victim and the reason, for people; and the cycle for Graphviz.
std::string to_text(const DeadlockReport& report);
std::string to_dot(const DeadlockReport& report);
// "key 'x' in keyspace 'accounts'", "range ['a', 'm') in ...".
std::string to_text(const LockTarget& target);
// "T12 'transfer'", "T12", or what is known of it.
std::string to_text(const TransactionRef& transaction);

}  // namespace isolde
