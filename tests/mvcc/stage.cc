#include "tests/mvcc/stage.h"

#include <string>
#include <utility>

namespace isolde::test {
namespace {

constexpr std::size_t nobody = ~std::size_t{0};
thread_local std::size_t current_session = nobody;

const char* text_of(WakeReason reason) {
  switch (reason) {
    case WakeReason::granted:
      return "granted";
    case WakeReason::deadlock:
      return "deadlock";
    case WakeReason::lock_timeout:
      return "lock_timeout";
    case WakeReason::cancelled:
      return "cancelled";
  }
  return "?";
}

}  // namespace

Stage::Stage(std::size_t sessions) : sessions_(sessions) {
  for (std::size_t session = 0; session < sessions; ++session) {
    sessions_[session].thread = std::thread([this, session] { serve(session); });
  }
}

Stage::~Stage() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  for (Session& session : sessions_) {
    session.wanted.notify_one();
    session.thread.join();
  }
}

void Stage::serve(std::size_t number) {
  current_session = number;
  Session& session = sessions_[number];
  std::unique_lock lock(mutex_);
  for (;;) {
    session.wanted.wait(lock, [&] { return stopping_ || !session.work.empty(); });
    if (session.work.empty()) return;
    const std::function<void()> work = std::move(session.work.front());
    session.work.pop_front();
    session.is_running = true;
    lock.unlock();
    work();
    lock.lock();
    session.is_running = false;
    if (is_settled()) settled_.notify_one();
  }
}

bool Stage::is_settled() const {
  for (const Session& session : sessions_) {
    if (!session.is_blocked && (session.is_running || !session.work.empty())) return false;
  }
  return true;
}

void Stage::run(std::size_t number, std::function<void()> work) {
  std::unique_lock lock(mutex_);
  Session& session = sessions_.at(number);
  session.work.push_back(std::move(work));
  session.wanted.notify_one();
  settled_.wait(lock, [&] { return is_settled(); });
}

bool Stage::is_blocked(std::size_t session) {
  const std::lock_guard lock(mutex_);
  return sessions_.at(session).is_blocked;
}

std::vector<std::string> Stage::faults() {
  const std::lock_guard lock(mutex_);
  return faults_;
}

std::vector<std::string> Stage::take_events() {
  const std::lock_guard lock(mutex_);
  return std::exchange(events_, {});
}

void Stage::on_block(const EventTransaction& txn, const BlockEvent& event) {
  const std::lock_guard lock(mutex_);
  events_.push_back("block " + std::string(txn.label) +
                    (event.mode == LockMode::exclusive ? " X" : " S"));
  if (event.waits_for.empty()) faults_.push_back("blocked by nobody");
  if (current_session == nobody) {
    faults_.push_back("on_block outside of the waiter's thread");
    return;
  }
  Session& session = sessions_[current_session];
  if (session.is_blocked) faults_.push_back("blocked twice");
  session.is_blocked = true;
  waiters_[txn.id] = current_session;
  if (is_settled()) settled_.notify_one();
}

void Stage::on_wake(const EventTransaction& txn, WakeReason reason) {
  const std::lock_guard lock(mutex_);
  events_.push_back("wake " + std::string(txn.label) + " " + text_of(reason));
  const auto found = waiters_.find(txn.id);
  if (found == waiters_.end()) {
    faults_.push_back("woken without a block");
    return;
  }
  Session& session = sessions_[found->second];
  if (!session.is_blocked && reason != WakeReason::deadlock) {
    faults_.push_back("woken while not blocked");
  }
  session.is_blocked = false;
  session.was_woken = true;
  waiters_.erase(found);
}

void Stage::on_resume(const EventTransaction& txn) {
  const std::lock_guard lock(mutex_);
  events_.push_back("resume " + std::string(txn.label));
  if (current_session == nobody || !std::exchange(sessions_[current_session].was_woken, false)) {
    faults_.push_back("resumed without a wake, or elsewhere");
  }
}

void Stage::on_deadlock(const DeadlockReport& report) {
  const std::lock_guard lock(mutex_);
  events_.push_back("deadlock " + report.victim.label);
  // It will be woken, after the one that closed the cycle has blocked.
  if (const auto found = waiters_.find(report.victim.id); found != waiters_.end()) {
    sessions_[found->second].is_blocked = false;
  }
}

}  // namespace isolde::test
