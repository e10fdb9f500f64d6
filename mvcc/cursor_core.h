// A cursor's state, behind the public Cursor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "isolde/transaction.h"
#include "mvcc/merged_scan.h"

namespace isolde::mvcc {

class TransactionCore;

// Each next() is an operation of the transaction: between two of them the slot is idle, and the
// reclaimer may take the view and everything else that the cursor stood on (R7).
class CursorCore {
 public:
  CursorCore(TransactionCore& transaction, Keyspace keyspace, ScanOptions options,
             std::uint64_t serial, std::uint64_t snapshot, MergedScan scan);
  ~CursorCore();

  Result<std::optional<Entry>> next();

 private:
  Result<std::optional<Entry>> step();
  void track(const MergedScan::Item* item);

  TransactionCore& transaction_;
  Keyspace keyspace_;
  ScanOptions options_;
  std::uint64_t serial_;  // of the transaction: the core may serve another one later
  std::uint64_t snapshot_;
  MergedScan scan_;
  std::size_t yielded_ = 0;
  bool at_end_ = false;
  std::string key_;
  std::string value_;
};

}  // namespace isolde::mvcc
