// A cursor's state, behind the public Cursor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "isolde/transaction.h"
#include "mvcc/merged_scan.h"

namespace isolde::mvcc {

class Operation;
class SnapshotRegistry;
class TransactionCore;

// Each next() is an operation of the transaction: between two of them the slot is idle, and the
// reclaimer may take the view and everything else that the cursor stood on (R7).
class CursorCore {
 public:
  // `scan`: at a snapshot of its own. Without one it locks, and reads anew at each step.
  CursorCore(TransactionCore& transaction, const Keyspace& keyspace, KeyRange range,
             const ScanOptions& options, std::optional<MergedScan> scan);
  ~CursorCore();

  CursorCore(const CursorCore&) = delete;
  CursorCore& operator=(const CursorCore&) = delete;

  Result<std::optional<Entry>> next();

  // In the list of its transaction's cursors.
  CursorCore* opened_before() const noexcept { return opened_before_; }
  std::uint64_t ordinal() const noexcept { return ordinal_; }
  // The savepoint that it was opened in has been rolled back.
  void end_with_savepoint() noexcept { is_rolled_back_ = true; }

 private:
  bool is_left_over() const noexcept;
  Result<std::optional<Entry>> step();
  Result<std::optional<Entry>> step_locking(Operation& operation);
  KeyRange unread() const;
  void track(const MergedScan::Item* item);

  // Keeps the core of its transaction where it is, should the cursor outlive all else.
  std::shared_ptr<SnapshotRegistry> home_;
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
  bool is_rolled_back_ = false;
  std::uint64_t ordinal_;
  CursorCore* opened_before_;
  CursorCore* opened_after_ = nullptr;
  std::string key_;
  std::string value_;
};

}  // namespace isolde::mvcc
