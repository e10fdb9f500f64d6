#include "lab/play/fiber_turns.h"

#include <algorithm>
#include <utility>

namespace isolde::lab {

void FiberTurns::assign(const std::vector<std::string>& names) {
  names_ = names;
  slots_.assign(names.size(), Slot());
  while (fibers_.size() < names.size()) fibers_.emplace_back();
  woken_.clear();
  waiting_.clear();
  blocks_ = 0;
  saw_deadlock_ = false;
}

FiberTurns::State FiberTurns::enter(SessionId session, const std::function<void()>* job) {
  const SessionId before = std::exchange(running_, session);
  slots_[session].state = State::running;
  if (job != nullptr) {
    fibers_[session].run(*job);
  } else {
    fibers_[session].resume();
  }
  running_ = before;
  Slot& slot = slots_[session];
  if (slot.state == State::running) slot.state = State::idle;
  return slot.state;
}

FiberTurns::State FiberTurns::run(SessionId session, const std::function<void()>& job) {
  return enter(session, &job);
}

FiberTurns::State FiberTurns::resume(SessionId session) { return enter(session, nullptr); }

FiberTurns::State FiberTurns::let_time_pass(SessionId session) { return enter(session, nullptr); }

std::optional<FiberTurns::SessionId> FiberTurns::next_woken() {
  if (woken_.empty()) return std::nullopt;
  const auto first = std::min_element(woken_.begin(), woken_.end(), [this](auto a, auto b) {
    return slots_[a].blocked_since < slots_[b].blocked_since;
  });
  const SessionId session = *first;
  woken_.erase(first);
  return session;
}

void FiberTurns::block(SessionId session) {
  slots_[session].state = State::blocked;
  slots_[session].blocked_since = ++blocks_;
}

void FiberTurns::wake(SessionId session) {
  slots_[session].state = State::woken;
  woken_.push_back(session);
}

void FiberTurns::wait_for(SessionId other) {
  const SessionId self = running_;
  Slot& slot = slots_[self];
  const State state = slots_[other].state;
  if (other == self || (state != State::blocked && state != State::woken)) return;
  slot.waited_for = other;
  slot.blockers = {names_[other]};
  block(self);
  fibers_[self].leave();
}

void FiberTurns::end_wait(SessionId session) {
  slots_[session].waited_for.reset();
  wake(session);
}

void FiberTurns::on_block(const EventTransaction& txn, const BlockEvent& event) {
  if (running_ == nobody) return;
  Slot& slot = slots_[running_];
  waiting_[txn.id.value] = running_;
  slot.blockers.clear();
  for (const std::string& name : names_) {
    const bool waited_for =
        std::any_of(event.waits_for.begin(), event.waits_for.end(),
                    [&name](const LockWaitEdge& edge) { return edge.holder.label == name; });
    if (waited_for) slot.blockers.push_back(name);
  }
  block(running_);
}

void FiberTurns::on_sleep(const EventTransaction&) {
  if (running_ != nobody) fibers_[running_].leave();
}

void FiberTurns::on_wake(const EventTransaction& txn, WakeReason) {
  const auto found = waiting_.find(txn.id.value);
  if (found == waiting_.end()) return;
  const SessionId session = found->second;
  waiting_.erase(found);
  wake(session);
}

// Of one that let time pass: it is woken and has the turn at once.
void FiberTurns::on_resume(const EventTransaction&) {
  if (running_ == nobody) return;
  slots_[running_].state = State::running;
  std::erase(woken_, running_);
}

void FiberTurns::on_deadlock(const DeadlockReport&) { saw_deadlock_ = true; }

}  // namespace isolde::lab
