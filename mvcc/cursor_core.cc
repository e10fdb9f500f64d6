#include "mvcc/cursor_core.h"

#include <algorithm>
#include <utility>

#include "mvcc/database_core.h"
#include "mvcc/operation.h"
#include "mvcc/transaction_core.h"
#include "mvcc/transaction_errors.h"

namespace isolde::mvcc {

CursorCore::CursorCore(TransactionCore& transaction, const Keyspace& keyspace, KeyRange range,
                       const ScanOptions& options, std::optional<MergedScan> scan)
    : home_(transaction.database_.shared_registry()),
      transaction_(transaction),
      keyspace_(keyspace),
      range_(std::move(range)),
      options_(options),
      serial_(transaction.serial_),
      snapshot_(transaction.snapshot_),
      scan_(std::move(scan)),
      ordinal_(++transaction.cursors_opened_),
      opened_before_(transaction.cursors_) {
  if (opened_before_ != nullptr) opened_before_->opened_after_ = this;
  transaction.cursors_ = this;
}

CursorCore::~CursorCore() {
  if (is_left_over()) return;
  if (opened_before_ != nullptr) opened_before_->opened_after_ = opened_after_;
  (opened_after_ != nullptr ? opened_after_->opened_before_ : transaction_.cursors_) =
      opened_before_;
  if (!scan_) return;
  if (--transaction_.open_cursors_ == 0 && !transaction_.reads_for_update_) {
    transaction_.slot_.unpin();
  }
}

// Its transaction has ended. The core may serve another one by now, which is not to be disturbed.
bool CursorCore::is_left_over() const noexcept {
  return transaction_.serial_.load(std::memory_order_relaxed) != serial_ || !transaction_.active();
}

Result<std::optional<Entry>> CursorCore::next() {
  if (is_left_over()) return transaction_finished();
  Operation operation(transaction_);
  if (auto error = operation.error()) return *error;
  if (is_rolled_back_) return cursor_rolled_back();
  if (at_end_) return std::optional<Entry>{};
  if (auto error = transaction_.check_read_bound()) return *error;
  if (!scan_) return step_locking(operation);
  Slot& slot = transaction_.slot_;
  if (auto fresh = transaction_.database_.registry().refresh_view(slot); !fresh) {
    return fresh.error();
  }
  // The operation reads at the cursor's snapshot, which is pinned (or the transaction's own).
  transaction_.snapshot_ = snapshot_;
  transaction_.last_snapshot_ = snapshot_;
  auto attached = scan_->attach(transaction_.database_.base(), slot.view, slot.view_serial);
  if (!attached) return attached.error();
  return step();
}

// Locks through the next entry, and then reads it: a limited scan of what is left (W3).
Result<std::optional<Entry>> CursorCore::step_locking(Operation& operation) {
  if (auto error = transaction_.check_scan(keyspace_, options_)) return *error;
  const bool limited = yielded_ >= options_.limit.value_or(~std::size_t{0});
  if (limited) {
    at_end_ = true;
    return std::optional<Entry>{};
  }
  ScanOptions one = options_;
  one.limit = 1;
  SkippedKeys skipped;
  const KeyRange left = unread();
  auto locked = transaction_.lock_scan(operation, keyspace_, left, one, skipped);
  if (!locked) return locked.error();
  snapshot_ = transaction_.snapshot_;
  auto scan = transaction_.open_scan(keyspace_, left, options_);
  if (!scan) return scan.error();
  snapshot_ = transaction_.snapshot_;
  const MergedScan::Item* item = nullptr;
  do {
    const MergedScan::Step step = scan->next();
    if (step == MergedScan::Step::failed) return scan->error();
    item = step == MergedScan::Step::entry ? &scan->item() : nullptr;
  } while (item != nullptr && skipped.contains(item->key));
  transaction_.observed_ = std::max(transaction_.observed_, scan->observed());
  if (auto error = transaction_.check_snapshot()) return *error;
  track(item);
  std::optional<Entry> entry;
  if (item != nullptr) {
    key_.assign(item->key);
    value_.assign(item->value);
    entry.emplace(Entry{key_, value_});
  }
  transaction_.slot_.cursor = scan->take_cursor();
  return entry;
}

Result<std::optional<Entry>> CursorCore::step() {
  const MergedScan::Item* item = nullptr;
  if (yielded_ < options_.limit.value_or(~std::size_t{0})) {
    MergedScan::Step step = scan_->next();
    for (; step == MergedScan::Step::hidden; step = scan_->next()) {
      transaction_.tell_hidden(keyspace_, scan_->item(), options_, true);
      ++hidden_;
    }
    if (step == MergedScan::Step::failed) return scan_->error();
    if (step == MergedScan::Step::entry) item = &scan_->item();
  }
  transaction_.observed_ = std::max(transaction_.observed_, scan_->observed());
  if (auto error = transaction_.check_snapshot()) return *error;
  track(item);
  scan_->detach();
  if (item == nullptr) return std::optional<Entry>{};
  key_.assign(item->key);
  value_.assign(item->value);
  return std::optional(Entry{key_, value_});
}

// The part of the range that is behind the last entry.
KeyRange CursorCore::unread() const {
  KeyRange left = range_;
  if (yielded_ == 0) return left;
  if (options_.reverse) {
    left.upper = key_;
  } else {
    left.lower = successor(key_);
  }
  return left;
}

// What each step adds to what was observed: up to the entry it yields, or all the rest.
void CursorCore::track(const MergedScan::Item* item) {
  KeyRange observed = unread();
  const bool limited = options_.limit && yielded_ >= *options_.limit;
  if (item != nullptr) {
    ++yielded_;
    transaction_.track_entry(keyspace_, *item, options_, true);
    observed = observed_until(observed, options_.reverse, item->key);
  } else {
    at_end_ = true;
    if (limited) return;
  }
  transaction_.track_scan(keyspace_,
                          {std::move(observed), item != nullptr ? std::size_t{1} : 0,
                           std::exchange(hidden_, 0), item != nullptr, true},
                          options_);
}

}  // namespace isolde::mvcc
