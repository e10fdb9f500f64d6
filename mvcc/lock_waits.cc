// Waiting for locks: who must not, who is told, who is woken.
#include <new>
#include <utility>

#include "engine/yield_point.h"
#include "mvcc/lock_table.h"

namespace isolde::mvcc {
namespace {

WakeReason reason_of(LockRequest::Outcome outcome) noexcept {
  switch (outcome) {
    case LockRequest::Outcome::deadlock:
      return WakeReason::deadlock;
    case LockRequest::Outcome::cancelled:
      return WakeReason::cancelled;
    case LockRequest::Outcome::lock_timeout:
      return WakeReason::lock_timeout;
    default:
      return WakeReason::granted;
  }
}

// How many calls of observers this thread is in, one inside the other, about waits.
thread_local int telling = 0;

struct Telling {
  Telling() noexcept { ++telling; }
  Telling(const Telling&) = delete;
  Telling& operator=(const Telling&) = delete;
  ~Telling() { --telling; }
};

}  // namespace

// A new wait: does it close a cycle?
void LockTable::judge_wait(LockOwner& owner, Answer& answer, bool is_awaited) {
  answer.kind = Answer::Kind::waits;
  if (limits_.strategy == DeadlockStrategy::detect && is_awaited) {
    resolve_deadlocks(owner, answer);
  } else if (limits_.strategy == DeadlockStrategy::wound_wait) {
    wound_younger(owner, answer);
  }
  if (owner.request_.waiting && owner.request_.told) answer.waits_for = edges(owner);
}

// One request can close several cycles. All victims are chosen before anything is done: if the
// requester is one of them, all its cycles are broken and nobody else has to pay.
void LockTable::resolve_deadlocks(LockOwner& requester, Answer& answer) {
  std::vector<std::pair<LockOwner*, std::unique_ptr<DeadlockReport>>> found;
  const auto let_in_again = [&] {
    for (auto& [victim, report] : found) victim->is_left_out_ = false;
  };
  try {
    for (;;) {
      const std::vector<LockOwner*> cycle = graph_.find_cycle(requester);
      if (cycle.empty()) break;
      const Victim victim = choose_victim(cycle, limits_.victim);
      auto report = std::make_unique<DeadlockReport>(describe(cycle, victim));
      if (victim.owner == &requester) {
        let_in_again();
        found.clear();
        found.emplace_back(victim.owner, std::move(report));
        break;
      }
      found.emplace_back(victim.owner, std::move(report));
      victim.owner->is_left_out_ = true;
    }
    for (const auto& [victim, report] : found) answer.aftermath.deadlocks.push_back(*report);
  } catch (...) {
    let_in_again();
    throw;
  }
  let_in_again();
  for (auto& [victim, report] : found) {
    remember(*report);
    end_wait(*victim, LockRequest::Outcome::deadlock);
    if (victim == &requester) {
      answer.kind = Answer::Kind::deadlock;
      answer.report = std::move(report);
    } else {
      victim->report_ = std::move(report);
      victim->wake_next_ = std::exchange(answer.aftermath.wakes, victim);
    }
  }
}

// Rosenkrantz, Stearns, Lewis 1978: then all waits are of younger for older ones, and no cycle can
// be. One that does not wait learns of it at its next operation, unless it commits first.
void LockTable::wound_younger(LockOwner& requester, Answer& answer) {
  std::vector<LockOwner*> younger;
  for_each_blocker(requester, [&](LockOwner& other, LockMode, bool) {
    if (other.begun > requester.begun && !other.is_doomed(other.id.value)) {
      younger.push_back(&other);
    }
    return true;
  });
  const std::vector<LockWaitEdge> all =
      younger.empty() ? std::vector<LockWaitEdge>() : edges(requester);
  for (LockOwner* victim : younger) {
    if (victim->is_doomed(victim->id.value)) continue;  // it was there twice
    auto report = std::make_unique<DeadlockReport>();
    for (const LockWaitEdge& edge : all) {
      if (edge.holder.id == victim->id) report->cycle.push_back(edge);
    }
    report->victim = victim->reference();
    report->reason = to_text(report->victim) + " began after " + to_text(requester.reference()) +
                     ", which needs its lock, and the strategy is 'wound_wait'";
    victim->report_ = std::move(report);
    victim->wounded.store(victim->id.value);
    if (!victim->request_.waiting) continue;
    end_wait(*victim, LockRequest::Outcome::deadlock);
    victim->wake_next_ = std::exchange(answer.aftermath.wakes, victim);
  }
}

void LockTable::visit_blockers(LockOwner& waiter, const Visit& visit) {
  for_each_blocker(waiter, [&](LockOwner& blocker, LockMode, bool is_waiting) {
    return visit(blocker, is_waiting);
  });
}

DeadlockReport LockTable::describe(const std::vector<LockOwner*>& cycle, const Victim& victim) {
  DeadlockReport report;
  for (std::size_t at = 0; at < cycle.size(); ++at) {
    const LockOwner* holder = cycle[(at + 1) % cycle.size()];
    std::optional<std::pair<LockMode, bool>> found;
    for_each_blocker(*cycle[at], [&](const LockOwner& other, LockMode mode, bool is_waiting) {
      // What it holds says more than what it waits for.
      if (&other == holder && (!found || found->second)) found.emplace(mode, is_waiting);
      return true;
    });
    report.cycle.push_back(edge(*cycle[at], *holder, found->first, found->second));
  }
  report.victim = victim.owner->reference();
  report.reason = victim.reason;
  return report;
}

void LockTable::remember(const DeadlockReport& report) {
  if (ring_.size() < remembered_deadlocks) {
    ring_.push_back(report);
  } else {
    ring_[found_deadlocks_ % remembered_deadlocks] = report;
  }
  ++found_deadlocks_;
}

void LockTable::settle(Aftermath& aftermath) {
  tell_deadlocks(aftermath);
  deliver(std::exchange(aftermath.wakes, nullptr));
}

void LockTable::tell_deadlocks(const Aftermath& aftermath) {
  if (!listener_.is_observed()) return;
  const Telling inside;
  for (const DeadlockReport& report : aftermath.deadlocks) listener_.on_deadlock(report);
}

void LockTable::tell_woken(const LockOwner& owner) {
  if (!owner.request_.told) return;
  const Telling inside;
  listener_.on_wake(owner, reason_of(owner.request_.outcome));
}

void LockTable::signal(LockOwner& owner) noexcept {
  ISOLDE_YIELD("locks: waking");
  owner.signalled_.store(true);
  owner.word_.advance();
  owner.word_.wake_all();
}

// All are told of before any is sent on its way. Otherwise, with two woken by one who waits itself:
//   Waker   has said that it is blocked; says "A woken", signals A
//   A       runs, ends, says so
// and an observer would think that everybody is blocked, though B has its lock.
//
// on_wake comes after on_block, which is called outside the mutex, so perhaps not yet:
//   Waiter    is in the queue, lets go of the mutex
//   Releaser  grants it, and would say "woken"
//   Waiter    says "blocked"
// So the releaser waits for the announcement; never the other way round, and after all who have
// announced themselves are on their way. But an observer may release, or cancel, from inside of
// such a call: then the thread that would wait can be the one that is waited for, or each of two.
// There the waiter is left to say "woken" itself, once it has said "blocked".
void LockTable::deliver(LockOwner* wakes) {
  using Announcement = LockOwner::Announcement;
  LockOwner* ready = nullptr;
  LockOwner* late = nullptr;
  while (wakes != nullptr) {
    LockOwner& owner = *std::exchange(wakes, wakes->wake_next_);
    Announcement seen = owner.announcement_.load();
    if (seen == Announcement::pending && telling > 0 &&
        owner.announcement_.compare_exchange_strong(seen, Announcement::overtaken)) {
      continue;
    }
    LockOwner*& list = seen == Announcement::made ? ready : late;
    owner.wake_next_ = std::exchange(list, &owner);
  }
  for (LockOwner* owner = ready; owner != nullptr; owner = owner->wake_next_) tell_woken(*owner);
  // Once signalled, it may wait again, and be in another list.
  while (ready != nullptr) signal(*std::exchange(ready, ready->wake_next_));
  while (late != nullptr) {
    LockOwner& owner = *std::exchange(late, late->wake_next_);
    for (;;) {
      const std::uint32_t seen = owner.word_.value();
      if (owner.announcement_.load() == Announcement::made) break;
      owner.word_.wait(seen);
    }
    tell_woken(owner);
    signal(owner);
  }
}

LockTable::Ending LockTable::wait(LockOwner& owner, const LockAsk& ask, Answer& answer,
                                  Deadline deadline) {
  const bool told = owner.request_.told;
  tell_deadlocks(answer.aftermath);
  // Before it says that it is blocked itself: an observer who then finds everybody blocked would be
  // wrong. Waiting for the announcement of a late one, as deliver() may, is safe here: it entered
  // the queue before this waiter did, so no circle of such waits can close.
  deliver(std::exchange(answer.aftermath.wakes, nullptr));
  if (told) {
    announce(owner, BlockEvent{answer.target, ask.mode, answer.waits_for});
    listener_.on_sleep(owner);
  }

  Ending ending;
  for (;;) {
    const std::uint32_t seen = owner.word_.value();
    if (owner.signalled_.load()) break;
    if (!deadline) {
      owner.word_.wait(seen);
      continue;
    }
    const auto left = *deadline - std::chrono::steady_clock::now();
    if (left.count() > 0) {
      owner.word_.wait_for(seen, left);
      continue;
    }
    if (give_up(owner, ending)) break;
    // Its wait had ended already, and who ended it will say so.
    deadline.reset();
  }
  ending.outcome = owner.request_.outcome;
  if (ending.outcome == LockRequest::Outcome::deadlock) ending.report = take_report(owner);
  // Not a call that anybody could be waiting for: a client may stay in it for long.
  if (told) listener_.on_resume(owner);
  return ending;
}

void LockTable::announce(LockOwner& owner, const BlockEvent& event) {
  {
    const Telling inside;
    listener_.on_block(owner, event);
  }
  auto seen = LockOwner::Announcement::pending;
  if (owner.announcement_.compare_exchange_strong(seen, LockOwner::Announcement::made)) {
    owner.word_.advance();
    owner.word_.wake_all();
  } else {
    tell_woken(owner);
    owner.signalled_.store(true);
  }
}

bool LockTable::give_up(LockOwner& owner, Ending& ending) {
  Aftermath aftermath;
  KeyLock* freed = nullptr;
  {
    MutexLock lock(mutex_);
    if (!owner.request_.waiting) return false;
    try {
      ending.waits_for = edges(owner);
    } catch (const std::bad_alloc&) {
      // The wait ends all the same; whoever asks is told that there was no memory to say more.
    }
    end_wait(owner, LockRequest::Outcome::lock_timeout);
    grant_candidates(nullptr, aftermath);
    freed = take_freed();
  }
  tell_woken(owner);
  deliver(aftermath.wakes);
  keep_or_free(owner, freed);
  return true;
}

void LockTable::cancel(LockOwner& owner, TransactionId id) {
  // Before the look at its queue: it looks here when it joins one, under the mutex. Only upwards:
  //   Canceller  finds T5 alive
  //   T5         ends; T9 begins in its place, and is cancelled
  //   Canceller  would write 5 over that, and T9 would wait for ever
  std::uint64_t seen = owner.doomed.load();
  while (seen < id.value && !owner.doomed.compare_exchange_weak(seen, id.value)) {
  }
  Aftermath aftermath;
  KeyLock* freed = nullptr;
  {
    MutexLock lock(mutex_);
    if (!owner.request_.waiting || owner.id != id) return;
    end_wait(owner, LockRequest::Outcome::cancelled);
    owner.wake_next_ = std::exchange(aftermath.wakes, &owner);
    grant_candidates(nullptr, aftermath);
    freed = take_freed();
  }
  deliver(aftermath.wakes);
  while (freed != nullptr) KeyLock::Delete()(std::exchange(freed, freed->hash_next));
}

std::unique_ptr<DeadlockReport> LockTable::take_report(LockOwner& owner) {
  MutexLock lock(mutex_);
  return std::move(owner.report_);
}

}  // namespace isolde::mvcc
