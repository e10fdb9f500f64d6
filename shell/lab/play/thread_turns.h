// Turns with threads: each session of a play is one.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "lab/play/inner_places.h"
#include "lab/play/turn_book.h"
#include "lab/play/turns.h"

namespace isolde::lab {

// For plays on the database as its users have it: operations wait as they do in any program, lock
// timeouts pass by the clock, and a session can be held at a place inside the engine.
//
// Lock order: mutex_ is a leaf; no callback and no job runs under it.
//
// Thread safety: as Turns; the observer's callbacks come from the sessions' threads, or from
// others.
class ThreadTurns final : public Turns {
 public:
  ThreadTurns() = default;
  ThreadTurns(const ThreadTurns&) = delete;
  ThreadTurns& operator=(const ThreadTurns&) = delete;
  // Precondition: all sessions are idle.
  ~ThreadTurns() override { clear(); }

  // From now on hold() works, until end_holds(): where the build has inner places.
  void allow_holds();

  SessionId add(std::string name) override;
  void clear() override;
  State run(SessionId session, std::function<void()> job) override;
  State resume(SessionId session) override;
  std::optional<SessionId> next_woken() override;
  SessionId let_time_pass(SessionId first) override;
  Standing standing(SessionId session) const override;
  std::vector<std::string> blockers(SessionId session) const override;
  std::optional<TransactionId> waiting_transaction(SessionId session) const override;
  void end_wait(SessionId session) override;
  std::optional<DeadlockReport> take_deadlock(SessionId session) override;
  bool let_go(const std::string& step) override;
  bool let_all_go() override;
  void end_holds() override;

  void pause() override;
  void wait_for(const std::string& name) override;
  bool hold(const std::string& place, const std::string& until) override;

  void on_block(const EventTransaction& txn, const BlockEvent& event) override;
  void on_wake(const EventTransaction& txn, WakeReason reason) override;
  void on_resume(const EventTransaction& txn) override;
  void on_deadlock(const DeadlockReport& report) override;

 private:
  // The thread of a session.
  struct Carrier {
    std::function<void()> job;
    bool quit = false;
    std::optional<std::pair<std::string, std::string>> hold;  // armed: the place, and the step
    std::optional<std::string> held_until;                    // it stands there: the step
    std::condition_variable turn;
    std::thread thread;
  };

  // A PlaceListener: knows by itself which session of which play the thread is.
  static void reached(const char* place);

  void work(SessionId session);
  State until_settled(std::unique_lock<std::mutex>& lock, SessionId session);
  void wake(SessionId session);
  // Those that are held until that step; null: all.
  bool wake_held(const std::string* step);
  void await_turn(std::unique_lock<std::mutex>& lock, SessionId session);
  void reached_by(SessionId session, std::string_view place);
  // The session needs what another thread in the engine has.
  void give_way(std::unique_lock<std::mutex>& lock, SessionId session, std::string_view place);

  std::unique_ptr<InnerPlaces> places_;
  mutable std::mutex mutex_;
  TurnBook book_;
  std::condition_variable settled_;  // a session became idle, blocked or woken
  std::deque<Carrier> carriers_;     // by session
  bool holds_allowed_ = false;
  std::set<std::uint64_t> victims_;  // transactions that wait for a lock: a wake is under way
};

}  // namespace isolde::lab
