#include "lab/play/thread_turns.h"

#include <chrono>
#include <utility>

namespace isolde::lab {
namespace {

// Which session of which play a thread is. Other threads (setup, the conductor) are none.
struct Self {
  ThreadTurns* turns = nullptr;
  Turns::SessionId session = 0;
};
thread_local Self self;

bool is_blocked_place(std::string_view place) { return place.substr(0, 9) == "blocked: "; }

}  // namespace

void ThreadTurns::allow_holds() {
  if (!has_inner_places()) return;
  places_ = std::make_unique<InnerPlaces>(&ThreadTurns::reached);
  const std::lock_guard lock(mutex_);
  holds_allowed_ = true;
}

Turns::SessionId ThreadTurns::add(std::string name) {
  const std::lock_guard lock(mutex_);
  const SessionId session = book_.add(std::move(name));
  carriers_.emplace_back().thread = std::thread([this, session] { work(session); });
  return session;
}

void ThreadTurns::clear() {
  {
    const std::lock_guard lock(mutex_);
    for (Carrier& carrier : carriers_) {
      carrier.quit = true;
      carrier.turn.notify_one();
    }
  }
  for (Carrier& carrier : carriers_) carrier.thread.join();
  const std::lock_guard lock(mutex_);
  carriers_.clear();
  book_.clear();
}

void ThreadTurns::work(SessionId session) {
  self = {this, session};
  std::unique_lock lock(mutex_);
  Carrier& carrier = carriers_[session];
  const auto is_running = [&] { return book_.state(session) == State::running; };
  for (;;) {
    carrier.turn.wait(lock, [&] { return carrier.quit || is_running(); });
    if (!is_running()) return;
    const std::function<void()> job = std::move(carrier.job);
    lock.unlock();
    job();
    lock.lock();
    book_.set(session, State::idle);
    carrier.hold.reset();
    settled_.notify_one();
  }
}

Turns::State ThreadTurns::until_settled(std::unique_lock<std::mutex>& lock, SessionId session) {
  settled_.wait(lock, [&] { return book_.state(session) != State::running && victims_.empty(); });
  return book_.state(session);
}

Turns::State ThreadTurns::run(SessionId session, std::function<void()> job) {
  std::unique_lock lock(mutex_);
  carriers_[session].job = std::move(job);
  book_.set(session, State::running);
  carriers_[session].turn.notify_one();
  return until_settled(lock, session);
}

Turns::State ThreadTurns::resume(SessionId session) {
  std::unique_lock lock(mutex_);
  if (book_.state(session) != State::woken) return book_.state(session);
  book_.set(session, State::running);
  carriers_[session].turn.notify_one();
  return until_settled(lock, session);
}

std::optional<Turns::SessionId> ThreadTurns::next_woken() {
  const std::lock_guard lock(mutex_);
  return book_.next_woken();
}

Turns::SessionId ThreadTurns::let_time_pass(SessionId first) {
  {
    std::unique_lock lock(mutex_);
    settled_.wait(lock, [this] { return book_.has_woken(); });
    first = *book_.next_woken();
  }
  resume(first);
  return first;
}

Turns::Standing ThreadTurns::standing(SessionId session) const {
  const std::lock_guard lock(mutex_);
  return book_.standing(session);
}

std::vector<std::string> ThreadTurns::blockers(SessionId session) const {
  const std::lock_guard lock(mutex_);
  return book_.blockers(session);
}

std::optional<TransactionId> ThreadTurns::waiting_transaction(SessionId session) const {
  const std::lock_guard lock(mutex_);
  return book_.waiting_transaction(session);
}

std::optional<DeadlockReport> ThreadTurns::take_deadlock(SessionId session) {
  const std::lock_guard lock(mutex_);
  return book_.take_deadlock(session);
}

void ThreadTurns::wake(SessionId session) {
  book_.wake(session);
  carriers_[session].turn.notify_one();
  settled_.notify_one();
}

void ThreadTurns::await_turn(std::unique_lock<std::mutex>& lock, SessionId session) {
  carriers_[session].turn.wait(lock, [&] { return book_.state(session) == State::running; });
}

void ThreadTurns::pause() {
  if (self.turns != this) return;
  std::unique_lock lock(mutex_);
  await_turn(lock, self.session);
}

void ThreadTurns::wait_for(const std::string& name) {
  if (self.turns != this) return;
  std::unique_lock lock(mutex_);
  if (!book_.block_for_session(self.session, name)) return;
  settled_.notify_one();
  await_turn(lock, self.session);
}

void ThreadTurns::end_wait(SessionId session) {
  const std::lock_guard lock(mutex_);
  wake(session);
}

bool ThreadTurns::hold(const std::string& place, const std::string& until) {
  if (self.turns != this) return false;
  const std::lock_guard lock(mutex_);
  if (!holds_allowed_) return false;
  carriers_[self.session].hold.emplace(place, until);
  return true;
}

bool ThreadTurns::wake_held(const std::string* step) {
  bool any = false;
  for (SessionId session = 0; session < carriers_.size(); ++session) {
    auto& until = carriers_[session].held_until;
    if (!until || (step != nullptr && *until != *step)) continue;
    until.reset();
    wake(session);
    any = true;
  }
  return any;
}

bool ThreadTurns::let_go(const std::string& step) {
  const std::lock_guard lock(mutex_);
  return wake_held(&step);
}

bool ThreadTurns::let_all_go() {
  const std::lock_guard lock(mutex_);
  return wake_held(nullptr);
}

void ThreadTurns::end_holds() {
  const std::lock_guard lock(mutex_);
  holds_allowed_ = false;
  for (Carrier& carrier : carriers_) carrier.hold.reset();
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
  Carrier& carrier = carriers_[session];
  if (is_blocked_place(place)) {
    give_way(lock, session, place);
  } else if (carrier.hold && carrier.hold->first == place &&
             book_.state(session) == State::running) {
    carrier.held_until = std::move(carrier.hold->second);
    carrier.hold.reset();
    book_.block_at_place(session);
    settled_.notify_one();
    await_turn(lock, session);
  }
}

void ThreadTurns::give_way(std::unique_lock<std::mutex>& lock, SessionId session,
                           std::string_view place) {
  // A wait on a word is a wait for a signal, which a woken session is not to give. And a session
  // with a victim to wake keeps the turn (T4).
  const bool is_mutex = place != "blocked: word";
  const State state = book_.state(session);
  if (state == State::blocked) {
    // It sleeps in a wait for a lock, of which the engine has told.
    carriers_[session].turn.wait(lock, [&] { return book_.state(session) != State::blocked; });
  } else if (state == State::running && victims_.empty() &&
             (wake_held(nullptr) || (is_mutex && book_.has_woken()))) {
    // A session that was held has been blocked for longer, so it goes first (T3); as does one that
    // had to give way itself, and may hold what is needed here.
    book_.block_at_place(session);
    wake(session);
    await_turn(lock, session);
  } else {
    // What it waits for is on its way: a signal, or a thread that is about to be done.
    lock.unlock();
    std::this_thread::yield();
  }
}

void ThreadTurns::on_block(const EventTransaction& txn, const BlockEvent& event) {
  if (self.turns != this) return;
  const std::lock_guard lock(mutex_);
  book_.block_for_lock(self.session, txn, event);
  settled_.notify_one();
}

void ThreadTurns::on_wake(const EventTransaction& txn, WakeReason) {
  const std::lock_guard lock(mutex_);
  const auto session = book_.wake(txn.id);
  if (!session) return;
  victims_.erase(txn.id.value);
  carriers_[*session].turn.notify_one();
  settled_.notify_one();
}

void ThreadTurns::on_resume(const EventTransaction&) { pause(); }

void ThreadTurns::on_deadlock(const DeadlockReport& report) {
  const std::lock_guard lock(mutex_);
  if (book_.waits(report.victim.id)) victims_.insert(report.victim.id.value);
  book_.note_deadlock(report);
}

}  // namespace isolde::lab
