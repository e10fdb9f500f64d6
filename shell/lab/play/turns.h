// Whose turn it is: what a conductor and the sessions of a play share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "isolde/observer.h"

namespace isolde::lab {

// Gives the sessions of a play their turns, and knows at every moment exactly who is blocked: not
// by waiting a while, but because the engine says so.
//
//        run()            on_block            on_wake            resume()
//   idle ─────► running ──────────► blocked ──────────► woken ──────────► running ─► idle
//
// There are two carriers: ThreadTurns (each session is a thread) and FiberTurns (all sessions share
// the conducting thread). Both keep these rules:
//
//   T1  At most one session is running; run(), resume() return when it is idle or blocked.
//   T2  A session that was woken does nothing of its own until resume(): it stands in on_resume,
//       or at the latest in pause() behind the operation that had waited. So what the sessions do
//       has one order, and it is the same each time.
//   T3  Of the woken sessions, the one that has been blocked for longest is resumed first. Not the
//       one that was woken first: a release wakes several, in any order.
//   T4  A session that blocks by closing a cycle keeps the turn until the victim, if that is
//       another session, has been woken: the engine may tell of the block first, and of the wake,
//       from the same thread, a moment later. Otherwise the conductor might find no session to go
//       on with.
//   T5  A session stands at a place inside the engine (hold) in the state blocked, until let_go().
//       If another one needs what it holds there, a mutex of the engine, it goes on at once, first.
//
// The race that T2 prevents: A commits and so wakes B, which would go on to write y; but A's step
// has a second command that writes y as well. Which is first would be up to the machine.
//
// Thread safety: the methods of the first group are for the one thread that conducts, those of the
// second for the session that has the turn.
class Turns : public Observer {
 public:
  using SessionId = std::size_t;  // counted from 0, in the order of add()
  enum class State : std::uint8_t { idle, running, blocked, woken };
  // What a blocked session waits for.
  enum class Wait : std::uint8_t { none, lock, session, place };
  struct Standing {
    State state = State::idle;
    Wait wait = Wait::none;
    SessionId other = 0;  // Wait::session: for which one
  };

  // One more session; the name is the label of its transactions.
  virtual SessionId add(std::string name) = 0;
  // Forgets all sessions. Precondition: they are idle.
  virtual void clear() = 0;
  // Gives an idle session a job. Returns when the job is done, or blocked.
  virtual State run(SessionId session, std::function<void()> job) = 0;
  // Lets a woken session go on. Returns when its job is done, or blocked again.
  virtual State resume(SessionId session) = 0;
  // Of the woken sessions, if any, the one that blocked first; it has to be resumed.
  virtual std::optional<SessionId> next_woken() = 0;
  // Waits until a wait for a lock has ended, and gives that session its turn; returns which one it
  // was. `first` is the one whose wait should end first. Precondition: its lock timeout will end
  // it, or it has been cancelled.
  virtual SessionId let_time_pass(SessionId first) = 0;
  virtual Standing standing(SessionId session) const = 0;
  // The sessions that a blocked session waits for, in the order of the script.
  virtual std::vector<std::string> blockers(SessionId session) const = 0;
  // The transaction of a session that waits for a lock.
  virtual std::optional<TransactionId> waiting_transaction(SessionId session) const = 0;
  // Wakes a session from wait_for().
  virtual void end_wait(SessionId session) = 0;
  // The last deadlock that this session was the victim of, once.
  virtual std::optional<DeadlockReport> take_deadlock(SessionId session) = 0;
  // Wakes the sessions that are held until that step, or all that are held. False: none was.
  virtual bool let_go(const std::string& /*step*/) { return false; }
  virtual bool let_all_go() { return false; }
  // No session will be held any more, not even one that has called hold() and has not come by its
  // place yet.
  virtual void end_holds() {}

  // After each operation: returns when the session has its turn, which it may have lost meanwhile.
  virtual void pause() = 0;
  // Blocks the session until end_wait(), if the session of that name is blocked or woken.
  virtual void wait_for(const std::string& name) = 0;
  // The session will stand at a place inside the engine, when it next comes by within this job,
  // until that step. False: it cannot, here.
  virtual bool hold(const std::string& /*place*/, const std::string& /*until*/) { return false; }

  State state(SessionId session) const { return standing(session).state; }
  bool is_idle(SessionId session) const { return state(session) == State::idle; }
  bool waits_for_session(SessionId session) const {
    return standing(session).wait == Wait::session;
  }
};

}  // namespace isolde::lab
