// Whose turn it is, without threads: the sessions of a play are fibers of one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "isolde/observer.h"
#include "lab/play/fiber.h"
#include "lab/play/turns.h"

namespace isolde::lab {

// As ThreadTurns, whose rules T1 to T4 hold here as well, for plays that come by the ten thousand:
// a turn is a call, not a wake-up of another thread. An operation that has to wait for a lock gives
// the thread away inside on_sleep, when the engine is ready to be called by others, and comes back
// to find that its wait has ended.
//
//        run()            on_block            on_wake            resume()
//   idle ─────► running ──────────► blocked ──────────► woken ──────────► running ─► idle
//
// Time stands still: a lock timeout passes only in let_time_pass(), which the conductor calls when
// nothing else can happen.
//
// Thread safety: none. Everything, the callbacks included, happens in the thread that conducts;
// transactions of other threads may be observed only if they never wait.
class FiberTurns final : public Observer, public Turns {
 public:
  using SessionId = std::size_t;
  enum class State : std::uint8_t { idle, running, blocked, woken };

  // Makes it ready for a play of so many sessions. Precondition: all are idle.
  void assign(const std::vector<std::string>& names);

  // Gives an idle session a job, which must live until it has ended. Returns when it is done, or
  // blocked.
  State run(SessionId session, const std::function<void()>& job);
  // Lets a woken session go on. Returns when its job is done, or blocked again.
  State resume(SessionId session);
  // Of those that were woken, if any, the one that blocked first; it has to be resumed.
  std::optional<SessionId> next_woken();
  // Waits until the lock timeout of a blocked session has passed, and lets it go on. Precondition:
  // it waits for a lock and has a timeout.
  State let_time_pass(SessionId session);

  State state(SessionId session) const { return slots_[session].state; }
  bool is_idle(SessionId session) const { return state(session) == State::idle; }
  // Who a blocked session waits for, in the order of the script.
  const std::vector<std::string>& blockers(SessionId session) const {
    return slots_[session].blockers;
  }
  std::optional<SessionId> waited_for(SessionId session) const {
    return slots_[session].waited_for;
  }
  void end_wait(SessionId session);
  // Whether the engine has found a deadlock since assign().
  bool saw_deadlock() const noexcept { return saw_deadlock_; }

  void pause() override {}  // who was woken does not run before its turn
  void wait_for(SessionId other) override;

  void on_block(const EventTransaction& txn, const BlockEvent& event) override;
  void on_sleep(const EventTransaction& txn) override;
  void on_wake(const EventTransaction& txn, WakeReason reason) override;
  void on_resume(const EventTransaction& txn) override;
  void on_deadlock(const DeadlockReport& report) override;

 private:
  static constexpr SessionId nobody = ~SessionId{0};

  struct Slot {
    State state = State::idle;
    std::vector<std::string> blockers;
    std::uint64_t blocked_since = 0;  // counts the blocks of this play
    std::optional<SessionId> waited_for;
  };

  State enter(SessionId session, const std::function<void()>* job);
  void block(SessionId session);
  void wake(SessionId session);

  std::vector<std::string> names_;
  std::vector<Slot> slots_;   // by session
  std::deque<Fiber> fibers_;  // at least as many
  SessionId running_ = nobody;
  std::vector<SessionId> woken_;
  std::uint64_t blocks_ = 0;
  std::map<std::uint64_t, SessionId> waiting_;  // transactions that wait for a lock, by id
  bool saw_deadlock_ = false;
};

}  // namespace isolde::lab
