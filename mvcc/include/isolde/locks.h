// Locks as people and programs see them: modes, what is locked, who waits for whom, deadlocks.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "isolde/error.h"
#include "isolde/options.h"

namespace isolde {

enum class LockMode : std::uint8_t { shared, exclusive };

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

// A cycle of the waits-for graph, and who was chosen to break it.
struct DeadlockReport {
  std::vector<LockWaitEdge> cycle;  // edge i's holder is edge i + 1's waiter; the last closes it
  TransactionRef victim;
  std::string reason;  // one sentence: why the victim was chosen
};

}  // namespace isolde
