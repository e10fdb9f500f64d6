// The lock table: who holds what, who waits for what, on keys and on ranges (mvcc/README.md).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/mutex.h"
#include "isolde/locks.h"
#include "isolde/options.h"
#include "mvcc/interval_tree.h"
#include "mvcc/key_tree.h"
#include "mvcc/lock_ask.h"
#include "mvcc/lock_listener.h"
#include "mvcc/lock_owner.h"
#include "mvcc/planted_fault.h"
#include "mvcc/waits_for_graph.h"

namespace isolde::mvcc {

struct LockLimits {
  std::size_t locks_per_owner = std::size_t{1} << 20;
  DeadlockStrategy strategy = DeadlockStrategy::detect;
  VictimPolicy victim = VictimPolicy::youngest;
};

// Thread safety: all methods concurrently; those that take an owner for one thread an owner, except
// cancel().
//
// Invariants, whenever mutex_ is free:
//   Locks of two owners on places that overlap are both shared.
//   A request waits if and only if it has a blocker: the holder of a lock that is incompatible, or
//   one who waits for such ahead of it.
//   There is no cycle of waits (DeadlockStrategy::detect).
//   A KeyLock without grants and waiters is not in the table.
//
// Why one mutex: a search must see all queues at one moment (W2), a range request all keys and a
// key request all ranges (W3), and a release must let everyone go at once. It is held for a look-up
// and a few links; all that is slow (memory, names, observers, sleeping) happens outside.
class LockTable final : private BlockerSource {
 public:
  LockTable(LockListener& listener, const LockLimits& limits);
  ~LockTable() ISOLDE_NO_THREAD_SAFETY_ANALYSIS;
  LockTable(const LockTable&) = delete;
  LockTable& operator=(const LockTable&) = delete;

  // What a step leaves to be told and woken outside the mutex.
  struct Aftermath {
    LockOwner* wakes = nullptr;
    std::vector<DeadlockReport> deadlocks;
    bool empty() const noexcept { return wakes == nullptr && deadlocks.empty(); }
  };
  struct Answer {
    enum class Kind : std::uint8_t {
      granted,
      unavailable,  // it would have to wait, and may not
      too_many,
      deadlock,   // the requester is the victim (or, without detection, must not wait)
      cancelled,  // it was doomed before
      waits,      // call wait()
    };
    Kind kind = Kind::granted;
    std::vector<LockWaitEdge> waits_for;     // unavailable; waits, if observed
    LockTarget target;                       // waits, if observed
    std::unique_ptr<DeadlockReport> report;  // deadlock
    Aftermath aftermath;                     // kinds other than `waits`: call settle()
  };
  // Asks for a lock. Never blocks: the caller may be in the middle of an operation. What the owner
  // has already, or has more of, is granted at once.
  Answer request(LockOwner& owner, const LockAsk& ask, bool may_wait) ISOLDE_EXCLUDES(mutex_);
  // Tells observers and wakes others. Holding nothing (W1).
  void settle(Aftermath& aftermath) ISOLDE_EXCLUDES(mutex_);

  struct Ending {
    LockRequest::Outcome outcome = LockRequest::Outcome::granted;
    std::vector<LockWaitEdge> waits_for;     // lock_timeout
    std::unique_ptr<DeadlockReport> report;  // deadlock
  };
  using Deadline = std::optional<std::chrono::steady_clock::time_point>;
  // Waits for a request that was answered `waits`. Holding nothing (W1).
  Ending wait(LockOwner& owner, const LockAsk& ask, Answer& answer, Deadline deadline)
      ISOLDE_EXCLUDES(mutex_);

  // Gives back all that the owner holds, and makes it ready for the next transaction.
  void release_all(LockOwner& owner) noexcept ISOLDE_EXCLUDES(mutex_);
  // Dooms the owner's transaction `id`, and ends its wait if it waits.
  void cancel(LockOwner& owner, TransactionId id) ISOLDE_EXCLUDES(mutex_);
  // Why it was doomed, if that was a deadlock.
  std::unique_ptr<DeadlockReport> take_report(LockOwner& owner) ISOLDE_EXCLUDES(mutex_);

  LockState state() ISOLDE_EXCLUDES(mutex_);
  std::vector<DeadlockReport> deadlocks() const ISOLDE_EXCLUDES(mutex_);
  struct Counts {
    std::uint64_t held = 0;
    std::uint64_t waiters = 0;
    std::uint64_t deadlocks = 0;
    std::uint64_t pending = 0;  // keys that are not in key order yet
  };
  Counts counts() const ISOLDE_EXCLUDES(mutex_);

 private:
  static constexpr std::size_t bucket_count = std::size_t{1} << 20;
  static constexpr std::size_t remembered_deadlocks = 64;
  static constexpr std::size_t released_at_once = 1024;
  static constexpr std::size_t most_pending = 1024;

  static bool are_compatible(LockMode a, LockMode b) noexcept {
    return a == LockMode::shared && b == LockMode::shared;
  }
  static bool ignores(const LockOwner& owner, LockMode held) noexcept {
    return is_planted(PlantedFault::shared_locks_ignored) && owner.locking == Locking::optimistic &&
           held == LockMode::shared;
  }
  static bool is_ahead(const LockRequest& a, const LockRequest& b) noexcept;
  static Span span_of(const LockRequest& request) noexcept {
    return request.key != nullptr ? request.key->span() : request.range->span();
  }

  // Everyone else's locks and waits that are incompatible with `mode` on the span, until
  // visit(owner, mode, is_waiting) returns false. `key`: the key's lock, if the span is a key.
  template <typename Visit>
  void for_each_conflict(const LockOwner& owner, const Span& span, const KeyLock* key,
                         LockMode mode, bool is_range, Visit&& visit) ISOLDE_REQUIRES(mutex_) {
    const auto of_key = [&](const KeyLock& lock) {
      for (Grant* grant = lock.grants; grant != nullptr; grant = grant->next) {
        if (grant->owner == &owner || are_compatible(grant->mode, mode)) continue;
        if (ignores(owner, grant->mode)) continue;
        if (!visit(*grant->owner, grant->mode, false)) return false;
      }
      for (LockOwner* waiter = lock.first_waiter; waiter != nullptr;
           waiter = waiter->request_.next) {
        if (waiter == &owner || are_compatible(waiter->request_.mode, mode)) continue;
        if (!visit(*waiter, waiter->request_.mode, true)) return false;
      }
      return true;
    };
    if (key != nullptr && !of_key(*key)) return;
    if (is_range) {
      merge_pending();
      if (!keys_.for_each_overlap(span, of_key)) return;
    }
    ranges_.for_each_overlap(span, [&](const RangeLock& range) {
      if (range.owner == &owner || are_compatible(range.mode, mode)) return true;
      if (ignores(owner, range.mode)) return true;
      return visit(*range.owner, range.mode, range.waiting);
    });
  }
  // All that a waiter waits for; none if it does not wait.
  template <typename Visit>
  void for_each_blocker(const LockOwner& waiter, Visit&& visit) ISOLDE_REQUIRES(mutex_) {
    const LockRequest& request = waiter.request_;
    if (!request.waiting) return;
    for_each_conflict(waiter, span_of(request), request.key, request.mode, request.key == nullptr,
                      [&](LockOwner& other, LockMode mode, bool is_waiting) {
                        if (is_waiting && !is_ahead(other.request_, request)) return true;
                        return visit(other, mode, is_waiting);
                      });
  }
  // The same, for graph_, which only works under mutex_ (the analysis can't see that).
  void visit_blockers(LockOwner& waiter,
                      const Visit& visit) override ISOLDE_NO_THREAD_SAFETY_ANALYSIS;

  // The steps of request().
  struct Obstacles;
  bool is_covered(const LockOwner& owner, const LockAsk& ask, const KeyLock* key) const
      ISOLDE_REQUIRES(mutex_);
  Obstacles find_obstacles(LockOwner& owner, const LockAsk& ask, const KeyLock* key)
      ISOLDE_REQUIRES(mutex_);
  void pass_waiters(LockOwner& owner) ISOLDE_REQUIRES(mutex_);
  bool is_blocked(const LockOwner& waiter) noexcept ISOLDE_REQUIRES(mutex_);
  void enqueue(LockOwner& owner, const LockAsk& ask, KeyLock* key, std::unique_ptr<RangeLock> range,
               std::vector<std::uint64_t> passed) ISOLDE_REQUIRES(mutex_);
  void judge_wait(LockOwner& owner, Answer& answer, bool is_awaited) ISOLDE_REQUIRES(mutex_);
  void resolve_deadlocks(LockOwner& requester, Answer& answer) ISOLDE_REQUIRES(mutex_);
  void wound_younger(LockOwner& requester, Answer& answer) ISOLDE_REQUIRES(mutex_);
  DeadlockReport describe(const std::vector<LockOwner*>& cycle, const Victim& victim)
      ISOLDE_REQUIRES(mutex_);
  void remember(const DeadlockReport& report) ISOLDE_REQUIRES(mutex_);

  // Ends a wait that has not ended; others may be granted what it kept from them.
  void end_wait(LockOwner& owner, LockRequest::Outcome outcome) noexcept ISOLDE_REQUIRES(mutex_);
  void dequeue(LockOwner& owner) noexcept ISOLDE_REQUIRES(mutex_);
  void grant_key(LockOwner& owner, KeyLock& key, LockMode mode) noexcept ISOLDE_REQUIRES(mutex_);
  void grant_range(LockOwner& owner, std::unique_ptr<RangeLock> range) noexcept
      ISOLDE_REQUIRES(mutex_);
  static RangeLock* touching(const LockOwner& owner, const RangeLock& range) noexcept;
  static bool widens_own(const LockOwner& owner, const KeyLock* key, const RangeLock* range);
  void add_candidates(const Span& span, const KeyLock* key, bool is_range) noexcept
      ISOLDE_REQUIRES(mutex_);
  static void add_candidate(LockOwner& waiter, LockOwner*& candidates) noexcept;
  // Grants the candidates that have no blocker left; `requester` is not woken: it is not asleep.
  void grant_candidates(const LockOwner* requester, Aftermath& aftermath) noexcept
      ISOLDE_REQUIRES(mutex_);
  void release_grant(Grant& grant) noexcept ISOLDE_REQUIRES(mutex_);
  KeyLock* take_freed() noexcept ISOLDE_REQUIRES(mutex_) { return std::exchange(freed_, nullptr); }

  KeyLock* find(const LockAsk& ask) const noexcept ISOLDE_REQUIRES(mutex_);
  KeyLock& add_key(LockOwner& owner, const LockAsk& ask) noexcept ISOLDE_REQUIRES(mutex_);
  void remove_if_idle(KeyLock& key) noexcept ISOLDE_REQUIRES(mutex_);
  void merge_pending() noexcept ISOLDE_REQUIRES(mutex_);

  LockTarget target_of(const Span& span, bool is_range) const;
  LockWaitEdge edge(const LockOwner& waiter, const LockOwner& holder, LockMode mode,
                    bool queued) const;
  std::vector<LockWaitEdge> edges(const LockOwner& waiter) ISOLDE_REQUIRES(mutex_);
  // At a waiter's deadline; false: its wait has ended already.
  bool give_up(LockOwner& owner, Ending& ending) ISOLDE_EXCLUDES(mutex_);
  void tell_deadlocks(const Aftermath& aftermath);
  void tell_woken(const LockOwner& owner);
  void announce(LockOwner& owner, const BlockEvent& event);
  static void signal(LockOwner& owner) noexcept;
  void deliver(LockOwner* wakes);
  static void reserve_spares(LockOwner& owner, const LockAsk& ask);
  // What was freed under the mutex; a few are kept for the owner's next locks.
  static void keep_or_free(LockOwner& owner, KeyLock* freed) noexcept;

  LockListener& listener_;
  const LockLimits limits_;
  mutable Mutex mutex_;
  struct FreeBuckets {
    void operator()(KeyLock** buckets) const noexcept;
  };
  // Zero pages until touched. Never grown: a million locks are one a bucket.
  std::unique_ptr<KeyLock*[], FreeBuckets> buckets_ ISOLDE_GUARDED_BY(mutex_);
  // Keys enter the tree when a range is first looked at: until then they are in this list, linked
  // by left (back) and right (on), as long as they are few. Point work pays nothing for key order,
  // and no range has to wait until a million keys of others are in it.
  KeyLock* pending_ ISOLDE_GUARDED_BY(mutex_) = nullptr;
  std::size_t pending_count_ ISOLDE_GUARDED_BY(mutex_) = 0;
  KeyTree<KeyLock> keys_ ISOLDE_GUARDED_BY(mutex_);
  IntervalTree<RangeLock> ranges_ ISOLDE_GUARDED_BY(mutex_);  // held and awaited
  LockOwner* first_waiter_ ISOLDE_GUARDED_BY(mutex_) = nullptr;
  LockOwner* last_waiter_ ISOLDE_GUARDED_BY(mutex_) = nullptr;
  std::size_t waiters_ ISOLDE_GUARDED_BY(mutex_) = 0;
  LockOwner* candidates_ ISOLDE_GUARDED_BY(mutex_) = nullptr;
  KeyLock* freed_ ISOLDE_GUARDED_BY(mutex_) = nullptr;  // linked by hash_next
  std::uint64_t sequence_ ISOLDE_GUARDED_BY(mutex_) = 0;
  std::uint64_t held_ ISOLDE_GUARDED_BY(mutex_) = 0;
  std::uint64_t found_deadlocks_ ISOLDE_GUARDED_BY(mutex_) = 0;
  std::vector<DeadlockReport> ring_ ISOLDE_GUARDED_BY(mutex_);  // [found % size] is the oldest
  WaitsForGraph graph_ ISOLDE_GUARDED_BY(mutex_){*this};
};

}  // namespace isolde::mvcc
