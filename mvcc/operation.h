// The scope of an operation of a transaction.
#pragma once

#include <optional>

#include "isolde/error.h"
#include "mvcc/transaction_core.h"

namespace isolde::mvcc {

// One operation: enters the slot, and leaves it at the end of its scope.
class Operation {
 public:
  explicit Operation(TransactionCore& transaction) noexcept
      : transaction_(transaction), entered_(enter(transaction)) {}
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ~Operation() {
    if (entered_) transaction_.leave_operation();
  }
  // Why it may not go on, if so.
  std::optional<Error> error() const;
  // The same for what may be done whether or not somebody wants the transaction to end.
  std::optional<Error> error_but_for_doom() const;
  // Lets the slot go for a wait, and takes it again.
  void suspend() noexcept;
  void resume() noexcept;

 private:
  static bool enter(TransactionCore& transaction) noexcept;
  TransactionCore& transaction_;
  bool entered_;
};

}  // namespace isolde::mvcc
