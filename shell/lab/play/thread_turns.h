// Whose turn it is: the sessions of a play are threads, of which one runs at a time.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "isolde/observer.h"
#include "lab/play/turns.h"

namespace isolde::lab {

// Runs jobs of sessions, each session's in a thread of its own, one at a time, and knows at every
// moment exactly who is blocked: not by waiting a while, but because the engine says so.
//
//        run()            on_block            on_wake            resume()
//   idle ─────► running ──────────► blocked ──────────► woken ──────────► running ─► idle
//
// Invariants:
//   T1  At most one session is running; run(), resume() return when it is idle or blocked.
//   T2  A session that was woken does nothing of its own until resume(): it stands in on_resume,
//       or at the latest in pause() behind the operation that had waited. So what the sessions do
//       has one order, and it is the same each time.
//   T3  Of the woken sessions, the one that has been blocked for longest is resumed first. Not the
//       one that was woken first: a release wakes several, in any order.
//
// The race that T2 prevents: A commits and so wakes B, who would go on to write y; but A's step has
// a second command that writes y as well. Who is first would be up to the machine.
//
//   T4  Who blocks by closing a cycle keeps the turn until the victim, if it is another, has been
//       woken: the engine may tell of the block first, and of the wake, from the same thread, a
//       moment later. Otherwise the conductor might find nobody to go on with.
//
//   T5  A session stands at a place inside the engine (hold) in the state blocked, until let_go().
//   If
//       another needs what it holds there, a mutex of the engine, it goes on at once, first.
//
// Lock order: mutex_ is a leaf; no callback and no job runs under it.
//
// Thread safety: run(), resume(), next_woken() and await_wake() are for the one thread that
// conducts; the observer's callbacks and pause(), wait_for() for the sessions' threads.
class ThreadTurns final : public Observer, public Turns {
 public:
  using SessionId = std::size_t;  // as the script counts them
  enum class State : std::uint8_t { idle, running, blocked, woken };

  // `names`: the labels of the sessions' transactions.
  explicit ThreadTurns(std::vector<std::string> names);
  // The same, to be given sessions one by one.
  ThreadTurns() = default;
  ThreadTurns(const ThreadTurns&) = delete;
  ThreadTurns& operator=(const ThreadTurns&) = delete;
  // Precondition: all sessions are idle.
  ~ThreadTurns() override;

  // One more session, from the conducting thread.
  SessionId add(std::string name);
  // Gives an idle session a job. Returns when the job is done, or blocked.
  State run(SessionId session, std::function<void()> job);
  // Lets a woken session go on. Returns when its job is done, or blocked again.
  State resume(SessionId session);
  // Of those that were woken, if any, the one that blocked first; it has to be resumed.
  std::optional<SessionId> next_woken();
  // Returns once a blocked session has been woken by time alone. Precondition: one of them has a
  // timeout.
  void await_wake();
  State state(SessionId session) const;
  // Who a blocked session waits for, in the order of the script.
  std::vector<std::string> blockers(SessionId session) const;
  // What a session waits for by wait_for(), rather than for a lock.
  std::optional<SessionId> waited_for(SessionId session) const;
  // Ends the wait_for() of a session.
  void end_wait(SessionId session);
  // The last deadlock that this session was the victim of, once.
  std::optional<DeadlockReport> take_deadlock(SessionId session);

  // In a session's thread, after each operation: waits for its turn if the operation was woken.
  void pause() override;
  // In a session's thread: blocks it until end_wait(), if `other` is blocked or woken.
  void wait_for(SessionId other) override;

  // From the conducting thread: sessions may stand at places inside the engine; or none will any
  // more, not even one that has said so and has not come by yet (whoever ends a play lets go once).
  void allow_holds(bool allowed);
  // In a session's thread: it will stand there when it next comes by, within this job. False: it
  // may not.
  bool hold(const std::string& place, const std::string& until) override;
  // Lets go on who stands for that step; nothing: everybody.
  void let_go(const std::optional<std::string>& step);
  bool is_held(SessionId session) const;
  // A PlaceListener: knows by itself which session of which play the thread is.
  static void reached(const char* place);

  void on_block(const EventTransaction& txn, const BlockEvent& event) override;
  void on_wake(const EventTransaction& txn, WakeReason reason) override;
  void on_resume(const EventTransaction& txn) override;
  void on_deadlock(const DeadlockReport& report) override;

 private:
  struct Slot {
    State state = State::idle;
    std::function<void()> job;
    bool quit = false;
    std::vector<std::string> blockers;
    std::uint64_t blocked_since = 0;  // counts the blocks of this play
    std::optional<SessionId> waited_for;
    std::optional<std::pair<std::string, std::string>> hold;  // armed: the place, and the step
    std::optional<std::string> held_until;                    // it stands there: the step
    std::optional<DeadlockReport> deadlock;
    std::condition_variable turn;
    std::thread thread;
  };

  void work(SessionId session);
  State until_settled(std::unique_lock<std::mutex>& lock, SessionId session);
  void block(std::unique_lock<std::mutex>& lock, SessionId session);
  void wake(SessionId session);
  void await_turn(std::unique_lock<std::mutex>& lock, Slot& slot);
  void reached_by(SessionId session, std::string_view place);
  // Somebody in the engine has what the session needs.
  void give_way(std::unique_lock<std::mutex>& lock, SessionId session, std::string_view place);
  bool wake_held(const std::optional<std::string>& step);

  mutable std::mutex mutex_;
  std::deque<std::string> names_;    // by session
  std::condition_variable settled_;  // a session became idle, blocked or woken
  std::deque<Slot> slots_;           // by session
  std::vector<SessionId> woken_;
  std::uint64_t blocks_ = 0;
  bool holds_allowed_ = false;
  std::map<std::uint64_t, SessionId> waiting_;  // transactions that wait for a lock, by id
  std::set<std::uint64_t> victims_;             // of those: a wake is under way to them
};

}  // namespace isolde::lab
