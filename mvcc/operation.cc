#include "mvcc/operation.h"

#include "mvcc/database_core.h"
#include "mvcc/transaction_errors.h"

namespace isolde::mvcc {

bool Operation::enter(TransactionCore& transaction) noexcept {
  if (!SnapshotRegistry::enter(transaction.slot_)) return false;
  // Another thread's operation has left the slot to wait for a lock.
  if (transaction.waiting_.load(std::memory_order_relaxed)) {
    SnapshotRegistry::leave(transaction.slot_);
    return false;
  }
  return true;
}

std::optional<Error> Operation::error_but_for_doom() const {
  if (!entered_) return used_twice();
  if (!transaction_.active()) return transaction_finished();
  return std::nullopt;
}

std::optional<Error> Operation::error() const {
  if (auto error = error_but_for_doom()) return error;
  if (transaction_.is_doomed()) return transaction_.end_doomed();
  return std::nullopt;
}

// Two threads at once are detected all the same: see enter().
void Operation::suspend() noexcept {
  if (!transaction_.keeps_snapshot()) transaction_.forget_snapshot();
  transaction_.waiting_.store(true, std::memory_order_relaxed);
  SnapshotRegistry::leave(transaction_.slot_);
}

void Operation::resume() noexcept {
  // Only one who is about to be refused can be inside, for a moment.
  while (!SnapshotRegistry::enter(transaction_.slot_)) SnapshotRegistry::wait_for_gate();
  transaction_.waiting_.store(false, std::memory_order_relaxed);
}

}  // namespace isolde::mvcc
