#include "lab/play/turn_book.h"

#include <algorithm>
#include <utility>

namespace isolde::lab {

TurnBook::SessionId TurnBook::add(std::string name) {
  entries_.emplace_back().name = std::move(name);
  return entries_.size() - 1;
}

void TurnBook::clear() {
  entries_.clear();
  woken_.clear();
  waiting_.clear();
  blocks_ = 0;
  saw_deadlock_ = false;
}

std::optional<TransactionId> TurnBook::waiting_transaction(SessionId session) const {
  for (const auto& [transaction, waiter] : waiting_) {
    if (waiter == session) return TransactionId{transaction};
  }
  return std::nullopt;
}

void TurnBook::take_turn(SessionId session) {
  std::erase(woken_, session);
  set(session, State::running);
}

void TurnBook::block(SessionId session, Wait wait, SessionId other) {
  std::erase(woken_, session);
  entries_[session].standing = {State::blocked, wait, other};
  entries_[session].blocked_since = ++blocks_;
}

void TurnBook::block_for_lock(SessionId session, const EventTransaction& txn,
                              const BlockEvent& event) {
  waiting_[txn.id.value] = session;
  std::vector<std::string>& blockers = entries_[session].blockers;
  blockers.clear();
  for (const Entry& entry : entries_) {
    const bool waited_for =
        std::any_of(event.waits_for.begin(), event.waits_for.end(),
                    [&entry](const LockWaitEdge& edge) { return edge.holder.label == entry.name; });
    if (waited_for) blockers.push_back(entry.name);
  }
  block(session, Wait::lock);
}

bool TurnBook::block_for_session(SessionId session, const std::string& name) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&name](const Entry& entry) { return entry.name == name; });
  if (found == entries_.end()) return false;
  const auto other = static_cast<SessionId>(found - entries_.begin());
  const State state = found->standing.state;
  if (other == session || (state != State::blocked && state != State::woken)) return false;
  entries_[session].blockers = {name};
  block(session, Wait::session, other);
  return true;
}

void TurnBook::block_at_place(SessionId session) {
  entries_[session].blockers.clear();
  block(session, Wait::place);
}

void TurnBook::wake(SessionId session) {
  entries_[session].standing = {State::woken, Wait::none, 0};
  woken_.push_back(session);
}

std::optional<TurnBook::SessionId> TurnBook::wake(TransactionId transaction) {
  const auto found = waiting_.find(transaction.value);
  if (found == waiting_.end()) return std::nullopt;
  const SessionId session = found->second;
  waiting_.erase(found);
  wake(session);
  return session;
}

std::optional<TurnBook::SessionId> TurnBook::next_woken() {
  if (woken_.empty()) return std::nullopt;
  const auto first = std::min_element(woken_.begin(), woken_.end(), [this](auto a, auto b) {
    return entries_[a].blocked_since < entries_[b].blocked_since;
  });
  const SessionId session = *first;
  woken_.erase(first);
  return session;
}

void TurnBook::note_deadlock(const DeadlockReport& report) {
  saw_deadlock_ = true;
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&report](const Entry& entry) {
    return entry.name == report.victim.label;
  });
  if (found != entries_.end()) found->deadlock = report;
}

std::optional<DeadlockReport> TurnBook::take_deadlock(SessionId session) {
  return std::exchange(entries_[session].deadlock, std::nullopt);
}

}  // namespace isolde::lab
