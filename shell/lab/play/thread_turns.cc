#include "lab/play/thread_turns.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace isolde::lab {
namespace {

// Which session of which play a thread is. Other threads (setup, the conductor) are none.
struct Self {
  ThreadTurns* turns = nullptr;
  ThreadTurns::SessionId session = 0;
};
thread_local Self self;

bool is_blocked_place(std::string_view place) { return place.substr(0, 9) == "blocked: "; }

}  // namespace

ThreadTurns::ThreadTurns(std::vector<std::string> names) {
  for (std::string& name : names) add(std::move(name));
}

ThreadTurns::SessionId ThreadTurns::add(std::string name) {
  const std::lock_guard lock(mutex_);
  const SessionId session = slots_.size();
  names_.push_back(std::move(name));
  slots_.emplace_back().thread = std::thread([this, session] { work(session); });
  return session;
}

ThreadTurns::~ThreadTurns() {
  {
    const std::lock_guard lock(mutex_);
    for (Slot& slot : slots_) {
      slot.quit = true;
      slot.turn.notify_one();
    }
  }
  for (Slot& slot : slots_) slot.thread.join();
}

void ThreadTurns::work(SessionId session) {
  self = {this, session};
  std::unique_lock lock(mutex_);
  Slot& slot = slots_[session];
  for (;;) {
    slot.turn.wait(lock, [&slot] { return slot.quit || slot.state == State::running; });
    if (slot.state != State::running) return;
    const std::function<void()> job = std::move(slot.job);
    lock.unlock();
    job();
    lock.lock();
    slot.state = State::idle;
    slot.hold.reset();
    settled_.notify_one();
  }
}

ThreadTurns::State ThreadTurns::until_settled(std::unique_lock<std::mutex>& lock,
                                              SessionId session) {
  const Slot& slot = slots_[session];
  settled_.wait(lock, [&] { return slot.state != State::running && victims_.empty(); });
  return slot.state;
}

ThreadTurns::State ThreadTurns::run(SessionId session, std::function<void()> job) {
  std::unique_lock lock(mutex_);
  Slot& slot = slots_[session];
  slot.job = std::move(job);
  slot.state = State::running;
  slot.turn.notify_one();
  return until_settled(lock, session);
}

ThreadTurns::State ThreadTurns::resume(SessionId session) {
  std::unique_lock lock(mutex_);
  Slot& slot = slots_[session];
  if (slot.state != State::woken) return slot.state;
  slot.state = State::running;
  slot.turn.notify_one();
  return until_settled(lock, session);
}

std::optional<ThreadTurns::SessionId> ThreadTurns::next_woken() {
  const std::lock_guard lock(mutex_);
  if (woken_.empty()) return std::nullopt;
  const auto first = std::min_element(woken_.begin(), woken_.end(), [this](auto a, auto b) {
    return slots_[a].blocked_since < slots_[b].blocked_since;
  });
  const SessionId session = *first;
  woken_.erase(first);
  return session;
}

void ThreadTurns::await_wake() {
  std::unique_lock lock(mutex_);
  settled_.wait(lock, [this] { return !woken_.empty(); });
}

ThreadTurns::State ThreadTurns::state(SessionId session) const {
  const std::lock_guard lock(mutex_);
  return slots_[session].state;
}

std::vector<std::string> ThreadTurns::blockers(SessionId session) const {
  const std::lock_guard lock(mutex_);
  return slots_[session].blockers;
}

std::optional<ThreadTurns::SessionId> ThreadTurns::waited_for(SessionId session) const {
  const std::lock_guard lock(mutex_);
  return slots_[session].waited_for;
}

std::optional<DeadlockReport> ThreadTurns::take_deadlock(SessionId session) {
  const std::lock_guard lock(mutex_);
  return std::exchange(slots_[session].deadlock, std::nullopt);
}

void ThreadTurns::block(std::unique_lock<std::mutex>&, SessionId session) {
  slots_[session].state = State::blocked;
  slots_[session].blocked_since = ++blocks_;
  settled_.notify_one();
}

void ThreadTurns::wake(SessionId session) {
  slots_[session].state = State::woken;
  slots_[session].turn.notify_one();
  woken_.push_back(session);
  settled_.notify_one();
}

void ThreadTurns::await_turn(std::unique_lock<std::mutex>& lock, Slot& slot) {
  slot.turn.wait(lock, [&slot] { return slot.state == State::running; });
}

void ThreadTurns::pause() {
  if (self.turns != this) return;
  std::unique_lock lock(mutex_);
  await_turn(lock, slots_[self.session]);
}

void ThreadTurns::wait_for(SessionId other) {
  std::unique_lock lock(mutex_);
  Slot& slot = slots_[self.session];
  const State state = slots_[other].state;
  if (other == self.session || (state != State::blocked && state != State::woken)) return;
  slot.waited_for = other;
  slot.blockers = {names_[other]};
  block(lock, self.session);
  await_turn(lock, slot);
}

void ThreadTurns::end_wait(SessionId session) {
  const std::lock_guard lock(mutex_);
  slots_[session].waited_for.reset();
  wake(session);
}

void ThreadTurns::allow_holds(bool allowed) {
  const std::lock_guard lock(mutex_);
  holds_allowed_ = allowed;
  if (allowed) return;
  for (Slot& slot : slots_) slot.hold.reset();
}

bool ThreadTurns::hold(const std::string& place, const std::string& until) {
  if (self.turns != this) return false;
  const std::lock_guard lock(mutex_);
  if (!holds_allowed_) return false;
  slots_[self.session].hold.emplace(place, until);
  return true;
}

bool ThreadTurns::is_held(SessionId session) const {
  const std::lock_guard lock(mutex_);
  return slots_[session].held_until.has_value();
}

bool ThreadTurns::wake_held(const std::optional<std::string>& step) {
  bool any = false;
  for (SessionId session = 0; session < slots_.size(); ++session) {
    auto& until = slots_[session].held_until;
    if (!until || (step && *until != *step)) continue;
    until.reset();
    wake(session);
    any = true;
  }
  return any;
}

void ThreadTurns::let_go(const std::optional<std::string>& step) {
  const std::lock_guard lock(mutex_);
  wake_held(step);
}

void ThreadTurns::reached(const char* place) {
  if (self.turns != nullptr) {
    self.turns->reached_by(self.session, place);
  } else if (is_blocked_place(place)) {
    // A thread of the database: it must not keep a processor busy with trying.
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void ThreadTurns::reached_by(SessionId session, std::string_view place) {
  std::unique_lock lock(mutex_);
  Slot& slot = slots_[session];
  if (is_blocked_place(place)) {
    give_way(lock, session, place);
  } else if (slot.hold && slot.hold->first == place && slot.state == State::running) {
    slot.held_until = std::move(slot.hold->second);
    slot.hold.reset();
    slot.blockers.clear();
    block(lock, session);
    await_turn(lock, slot);
  }
}

void ThreadTurns::give_way(std::unique_lock<std::mutex>& lock, SessionId session,
                           std::string_view place) {
  Slot& slot = slots_[session];
  // Who waits on a word waits for a signal, which a session that was woken is not to give. And who
  // has a victim to wake keeps the turn (T4).
  const bool is_mutex = place != "blocked: word";
  if (slot.state == State::blocked) {
    // It sleeps in a wait for a lock, of which the engine has told.
    slot.turn.wait(lock, [&slot] { return slot.state != State::blocked; });
  } else if (slot.state == State::running && victims_.empty() &&
             (wake_held(std::nullopt) || (is_mutex && !woken_.empty()))) {
    // Who stood there has been blocked for longer, so it goes first (T3); as does one that had to
    // give way itself, and may hold what is needed here.
    slot.blockers.clear();
    slot.blocked_since = ++blocks_;
    wake(session);
    await_turn(lock, slot);
  } else {
    // What it waits for is on its way: a signal, or a thread that is about to be done.
    lock.unlock();
    std::this_thread::yield();
  }
}

void ThreadTurns::on_block(const EventTransaction& txn, const BlockEvent& event) {
  if (self.turns != this) return;
  std::unique_lock lock(mutex_);
  Slot& slot = slots_[self.session];
  waiting_[txn.id.value] = self.session;
  slot.blockers.clear();
  for (const std::string& name : names_) {
    const bool waited_for =
        std::any_of(event.waits_for.begin(), event.waits_for.end(),
                    [&name](const LockWaitEdge& edge) { return edge.holder.label == name; });
    if (waited_for) slot.blockers.push_back(name);
  }
  std::erase(woken_, self.session);
  block(lock, self.session);
}

void ThreadTurns::on_wake(const EventTransaction& txn, WakeReason) {
  const std::lock_guard lock(mutex_);
  const auto found = waiting_.find(txn.id.value);
  if (found == waiting_.end()) return;
  const SessionId session = found->second;
  waiting_.erase(found);
  victims_.erase(txn.id.value);
  wake(session);
}

void ThreadTurns::on_resume(const EventTransaction&) { pause(); }

void ThreadTurns::on_deadlock(const DeadlockReport& report) {
  const std::lock_guard lock(mutex_);
  if (waiting_.count(report.victim.id.value) != 0) victims_.insert(report.victim.id.value);
  const auto found = std::find(names_.begin(), names_.end(), report.victim.label);
  if (found != names_.end()) {
    slots_[static_cast<SessionId>(found - names_.begin())].deadlock = report;
  }
}

}  // namespace isolde::lab
