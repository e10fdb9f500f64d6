#include "lab/play/fiber_turns.h"

#include <utility>

namespace isolde::lab {

FiberTurns::SessionId FiberTurns::add(std::string name) {
  const SessionId session = book_.add(std::move(name));
  if (carriers_.size() == session) carriers_.emplace_back();
  return session;
}

template <typename Step>
FiberTurns::State FiberTurns::enter(SessionId session, Step step) {
  const SessionId before = std::exchange(running_, session);
  book_.set(session, State::running);
  step(carriers_[session]);
  running_ = before;
  if (book_.state(session) == State::running) book_.set(session, State::idle);
  return book_.state(session);
}

FiberTurns::State FiberTurns::run(SessionId session, std::function<void()> job) {
  carriers_[session].job = std::move(job);
  return enter(session, [](Carrier& carrier) { carrier.fiber.run(carrier.job); });
}

FiberTurns::State FiberTurns::resume(SessionId session) {
  return enter(session, [](Carrier& carrier) { carrier.fiber.resume(); });
}

FiberTurns::SessionId FiberTurns::let_time_pass(SessionId first) {
  resume(first);
  return first;
}

void FiberTurns::wait_for(const std::string& name) {
  const SessionId self = running_;
  if (self != none && book_.block_for_session(self, name)) carriers_[self].fiber.leave();
}

void FiberTurns::on_block(const EventTransaction& txn, const BlockEvent& event) {
  if (running_ != none) book_.block_for_lock(running_, txn, event);
}

void FiberTurns::on_sleep(const EventTransaction&) {
  if (running_ != none) carriers_[running_].fiber.leave();
}

void FiberTurns::on_wake(const EventTransaction& txn, WakeReason) { book_.wake(txn.id); }

// Of one that let time pass: it is woken and has the turn at once.
void FiberTurns::on_resume(const EventTransaction&) {
  if (running_ != none) book_.take_turn(running_);
}

}  // namespace isolde::lab
