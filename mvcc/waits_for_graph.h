// The waits-for graph: searched when a wait begins, never stored.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "isolde/locks.h"
#include "isolde/options.h"
#include "mvcc/lock_owner.h"

namespace isolde::mvcc {

// Where the graph's edges come from: the lock table; in a test, a list.
class BlockerSource {
 public:
  // `is_waiting`: the blocker waits ahead in a queue, and holds nothing that is in the way.
  using Visit = std::function<bool(LockOwner& blocker, bool is_waiting)>;
  // All that `waiter` waits for, until visit() returns false; none if it does not wait.
  virtual void visit_blockers(LockOwner& waiter, const Visit& visit) = 0;

 protected:
  ~BlockerSource() = default;
};

// Its edges are asked for each time: from a waiter to all that hold what it can't have, and to all
// that wait for such ahead of it. So there is no edge that should have gone, and none that was
// forgotten when a request passed others (W2).
//
// Not thread-safe: the source's mutex is held. Nothing here allocates but find_cycle's result.
// Searches leave their marks in the owners, so an owner belongs to one graph.
class WaitsForGraph {
 public:
  explicit WaitsForGraph(BlockerSource& source) : source_(source) {}

  // A shortest cycle through `start`, beginning with it; empty: there is none. Breadth first, each
  // transaction once, of any length.
  std::vector<LockOwner*> find_cycle(LockOwner& start);
  // True if `from` waits for `to`, directly or through others.
  bool reaches(LockOwner& from, const LockOwner& to);
  // An owner that waits ahead of `start` in a queue, and for it, directly or through others; null:
  // there is none.
  LockOwner* find_ahead(LockOwner& start);

 private:
  enum class FirstStep : std::uint8_t { any, queued };
  // Visits all that can be reached from `from`, until one of them is `wanted`.
  bool search(LockOwner& from, const LockOwner& wanted, FirstStep first = FirstStep::any);

  BlockerSource& source_;
  std::uint64_t searches_ = 0;
};

// The transaction of a cycle that is rolled back, and why it is this one.
struct Victim {
  LockOwner* owner;
  std::string reason;
};
Victim choose_victim(const std::vector<LockOwner*>& cycle, VictimPolicy policy);

}  // namespace isolde::mvcc
