// What both carriers of turns note down: which session waits for what, and which goes on next.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "isolde/observer.h"
#include "lab/play/turns.h"

namespace isolde::lab {

// The states of the sessions and the order of T3. Not thread-safe: ThreadTurns has a mutex for it.
class TurnBook {
 public:
  using SessionId = Turns::SessionId;
  using State = Turns::State;
  using Wait = Turns::Wait;

  SessionId add(std::string name);
  void clear();

  State state(SessionId session) const { return entries_[session].standing.state; }
  Turns::Standing standing(SessionId session) const { return entries_[session].standing; }
  const std::vector<std::string>& blockers(SessionId session) const {
    return entries_[session].blockers;
  }
  std::optional<TransactionId> waiting_transaction(SessionId session) const;
  bool waits(TransactionId transaction) const { return waiting_.count(transaction.value) != 0; }
  bool has_woken() const noexcept { return !woken_.empty(); }
  bool saw_deadlock() const noexcept { return saw_deadlock_; }

  // Idle or running.
  void set(SessionId session, State state) { entries_[session].standing = {state, Wait::none, 0}; }
  // Has the turn, so its wake is no news any more.
  void take_turn(SessionId session);
  void block_for_lock(SessionId session, const EventTransaction& txn, const BlockEvent& event);
  // False: there is nothing to wait for, as the other one is neither blocked nor woken.
  bool block_for_session(SessionId session, const std::string& name);
  void block_at_place(SessionId session);
  void wake(SessionId session);
  // The session whose transaction waits no longer, woken; nothing: it is none of a session's.
  std::optional<SessionId> wake(TransactionId transaction);
  std::optional<SessionId> next_woken();

  void note_deadlock(const DeadlockReport& report);
  std::optional<DeadlockReport> take_deadlock(SessionId session);

 private:
  struct Entry {
    std::string name;
    Turns::Standing standing;
    std::vector<std::string> blockers;
    std::uint64_t blocked_since = 0;  // counts the blocks of this play
    std::optional<DeadlockReport> deadlock;
  };

  void block(SessionId session, Wait wait, SessionId other = 0);

  std::vector<Entry> entries_;  // by session
  std::vector<SessionId> woken_;
  std::map<std::uint64_t, SessionId> waiting_;  // transactions that wait for a lock, by id
  std::uint64_t blocks_ = 0;
  bool saw_deadlock_ = false;
};

}  // namespace isolde::lab
