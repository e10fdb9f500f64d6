// The waits-for graph: searched when a wait begins, never stored.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/mutex.h"
#include "isolde/locks.h"
#include "isolde/options.h"
#include "mvcc/lock_owner.h"

namespace isolde::mvcc {

class LockTable;

// Its edges are derived from the lock table each time they are asked for: from a waiter to all who
// hold what it can't have, and to all who wait for such ahead of it. So there is no edge that
// should have gone, and none that was forgotten when a request passed others (W2).
//
// Not thread-safe: used under the table's mutex. Nothing here allocates but find_cycle's result.
class WaitsForGraph {
 public:
  explicit WaitsForGraph(LockTable& table) : table_(table) {}

  // A shortest cycle through `start`, beginning with it; empty: there is none. Breadth first, each
  // transaction once, of any length.
  std::vector<LockOwner*> find_cycle(LockOwner& start);
  // True if `from` waits for `to`, directly or through others.
  bool reaches(LockOwner& from, const LockOwner& to);
  // One who waits ahead of `start` in a queue, and for it, directly or through others; null:
  // nobody.
  LockOwner* find_ahead(LockOwner& start);

 private:
  enum class FirstStep : std::uint8_t { any, queued };
  // Visits all that can be reached from `from`, until one of them is `wanted`.
  // (The analysis can't see that the table, which calls, holds its mutex.)
  bool search(LockOwner& from, const LockOwner& wanted,
              FirstStep first = FirstStep::any) ISOLDE_NO_THREAD_SAFETY_ANALYSIS;

  LockTable& table_;
  std::uint64_t searches_ = 0;
};

// Who of a cycle pays, and why.
struct Victim {
  LockOwner* owner;
  std::string reason;
};
Victim choose_victim(const std::vector<LockOwner*>& cycle, VictimPolicy policy);

}  // namespace isolde::mvcc
