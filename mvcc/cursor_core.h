// A cursor's state, behind the public Cursor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "isolde/transaction.h"
#include "mvcc/merged_scan.h"

namespace isolde::mvcc {

class Operation;
class TransactionCore;

// Each next() is an operation of the transaction: between two of them the slot is idle, and the
// reclaimer may take the view and everything else that the cursor stood on (R7).
class CursorCore {
 public:
  // `scan`: at a snapshot of its own. Without one it locks, and reads anew at each step.
  CursorCore(TransactionCore& transaction, Keyspace keyspace, KeyRange range,
             const ScanOptions& options, std::optional<MergedScan> scan);
  ~CursorCore();

  Result<std::optional<Entry>> next();

 private:
  Result<std::optional<Entry>> step();
  Result<std::optional<Entry>> step_locking(Operation& operation);
  KeyRange unread() const;
  void track(const MergedScan::Item* item);

  TransactionCore& transaction_;
  Keyspace keyspace_;
  KeyRange range_;
  ScanOptions options_;
  std::uint64_t serial_;  // of the transaction: the core may serve another one later
  std::uint64_t snapshot_;
  std::optional<MergedScan> scan_;
  std::size_t yielded_ = 0;
  std::size_t hidden_ = 0;  // since the last step that was told to observers
  bool at_end_ = false;
  std::string key_;
  std::string value_;
};

}  // namespace isolde::mvcc
