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
  // Lets the slot go for a wait, and takes it again at the end of its scope. The transaction stays
  // this thread's: others are told that it is in use. What was looked up before is worth nothing
  // afterwards: the view may be another, and below repeatable read no snapshot is held meanwhile.
  class Pause {
   public:
    explicit Pause(Operation& operation) noexcept : operation_(operation) { operation_.suspend(); }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;
    ~Pause() { operation_.resume(); }

   private:
    Operation& operation_;
  };

 private:
  static bool enter(TransactionCore& transaction) noexcept;
  void suspend() noexcept;
  void resume() noexcept;
  TransactionCore& transaction_;
  bool entered_;
};

}  // namespace isolde::mvcc
