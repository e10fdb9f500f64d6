// Whom the lock table tells of waits.
#pragma once

#include <string>

#include "isolde/locks.h"
#include "isolde/observer.h"
#include "mvcc/lock_owner.h"

namespace isolde::mvcc {

// Hears of waits, outside the table's mutex, as Observer says; and knows what keyspaces are called.
class LockListener {
 public:
  virtual ~LockListener() = default;
  virtual bool is_observed() const noexcept = 0;
  virtual void on_block(const LockOwner& waiter, const BlockEvent& event) = 0;
  virtual void on_sleep(const LockOwner&) {}
  virtual void on_wake(const LockOwner& waiter, WakeReason reason) = 0;
  virtual void on_resume(const LockOwner& waiter) = 0;
  virtual void on_deadlock(const DeadlockReport& report) = 0;
  virtual std::string keyspace_name(KeyspaceId id) const = 0;
};

}  // namespace isolde::mvcc
