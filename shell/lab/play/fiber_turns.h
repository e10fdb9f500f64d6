// Turns without threads: the sessions of a play are fibers of the conducting thread.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lab/play/fiber.h"
#include "lab/play/turn_book.h"
#include "lab/play/turns.h"

namespace isolde::lab {

// For plays that come by the ten thousand: a turn is a call, not a wake-up of another thread. An
// operation that has to wait for a lock gives the thread away inside on_sleep, when the engine is
// ready to be called by others, and comes back to find that its wait has ended.
//
// Time stands still: a lock timeout passes only in let_time_pass(), which the conductor calls when
// nothing else can happen. Sessions cannot be held inside the engine.
//
// Thread safety: none. Everything, the callbacks included, happens in the thread that conducts;
// transactions of other threads may be observed only if they never wait.
class FiberTurns final : public Turns {
 public:
  // Whether the engine has found a deadlock since clear().
  bool saw_deadlock() const noexcept { return book_.saw_deadlock(); }

  SessionId add(std::string name) override;
  void clear() override { book_.clear(); }  // the fibers are kept: they cost a stack each
  State run(SessionId session, std::function<void()> job) override;
  State resume(SessionId session) override;
  std::optional<SessionId> next_woken() override { return book_.next_woken(); }
  SessionId let_time_pass(SessionId first) override;
  Standing standing(SessionId session) const override { return book_.standing(session); }
  std::vector<std::string> blockers(SessionId session) const override {
    return book_.blockers(session);
  }
  std::optional<TransactionId> waiting_transaction(SessionId session) const override {
    return book_.waiting_transaction(session);
  }
  void end_wait(SessionId session) override { book_.wake(session); }
  std::optional<DeadlockReport> take_deadlock(SessionId session) override {
    return book_.take_deadlock(session);
  }

  void pause() override {}  // a woken session does not run before its turn
  void wait_for(const std::string& name) override;

  void on_block(const EventTransaction& txn, const BlockEvent& event) override;
  void on_sleep(const EventTransaction& txn) override;
  void on_wake(const EventTransaction& txn, WakeReason reason) override;
  void on_resume(const EventTransaction& txn) override;
  void on_deadlock(const DeadlockReport& report) override { book_.note_deadlock(report); }

 private:
  static constexpr SessionId none = ~SessionId{0};

  // One that a session is, for as long as it runs; its job lives until it is done.
  struct Carrier {
    Fiber fiber;
    std::function<void()> job;
  };

  // Calls `step`, which returns when the session leaves the thread.
  template <typename Step>
  State enter(SessionId session, Step step);

  TurnBook book_;
  std::deque<Carrier> carriers_;  // at least as many as sessions
  SessionId running_ = none;
};

}  // namespace isolde::lab
