// Scans and cursors of a transaction.
#include <algorithm>
#include <utility>

#include "mvcc/cursor_core.h"
#include "mvcc/database_core.h"
#include "mvcc/operation.h"
#include "mvcc/refusals.h"
#include "mvcc/transaction_core.h"

namespace isolde::mvcc {
// Own private writes in the range, and at read uncommitted those of others: newest by sequence.
std::vector<OverlayEntry> TransactionCore::overlay(KeyspaceId keyspace, const KeyRange& range,
                                                   std::vector<WriteSet::Copy> others) {
  std::vector<OverlayEntry> entries;
  const auto add = [&](WriteSet::Copy& copy, TransactionId writer) {
    entries.push_back(
        {std::move(copy.key), std::move(copy.value), copy.delta, writer, copy.sequence});
  };
  std::vector<WriteSet::Copy> own;
  if (!slot_.writes.empty()) slot_.writes.copy_range(keyspace, range.lower, range.upper, own);
  for (WriteSet::Copy& copy : own) {
    copy.sequence = OverlayEntry::own;
    add(copy, id());
  }
  for (WriteSet::Copy& other : others) {
    if (other.commit == 0 || other.commit > snapshot_) add(other, other.writer);
  }
  if (others.empty()) return entries;
  std::sort(entries.begin(), entries.end(), [](const OverlayEntry& a, const OverlayEntry& b) {
    return a.key != b.key ? a.key < b.key : a.sequence > b.sequence;
  });
  const auto last =
      std::unique(entries.begin(), entries.end(),
                  [](const OverlayEntry& a, const OverlayEntry& b) { return a.key == b.key; });
  entries.erase(last, entries.end());
  return entries;
}

// What is refused before anything is locked or read.
std::optional<Error> TransactionCore::check_scan(const Keyspace& keyspace,
                                                 const ScanOptions& options) {
  if (auto refusal = check_keyspace(keyspace)) return refusal;
  if (auto refusal = check_lock_wait(options.lock_wait)) return refusal;
  if (options.lock_timeout && options.lock_timeout->count() < 0) return bad_lock_timeout();
  if (options.mode != ReadMode::plain && database_.log().failed()) {
    return end_with(database_.log().failure());
  }
  return check_read_bound();
}

// Inside an operation: fixes the snapshot and puts the layers together.
Result<MergedScan> TransactionCore::open_scan(const Keyspace& keyspace, const KeyRange& range,
                                              const ScanOptions& options) {
  const bool for_update = options.mode != ReadMode::plain;
  if (auto fresh = database_.registry().refresh_view(slot_); !fresh) return fresh.error();
  std::vector<WriteSet::Copy> others;
  if (options_.isolation == Isolation::read_uncommitted && !for_update) {
    database_.registry().for_each([&](Slot& slot) {
      if (&slot == &slot_) return;
      slot.writes.copy_range(keyspace.id(), range.lower, range.upper, others);
    });
  }
  take_snapshot_after(others);
  if (for_update && !is_pessimistic()) {
    reads_for_update_ = true;
    pin_snapshot();
  }
  const bool dirty = !others.empty();
  MergedScan scan(database_.store(), keyspace.id(), range, options.reverse, snapshot_,
                  overlay(keyspace.id(), range, std::move(others)), std::move(slot_.cursor));
  if (database_.catalog().state(keyspace.id())->is_loaded_after(snapshot_)) scan.leave_out_base();
  if (dirty && database_.is_observed()) scan.tell_hidden();
  if (auto attached = scan.attach(database_.base(), slot_.view, slot_.view_serial); !attached) {
    return attached.error();
  }
  return scan;
}

// Remembers one entry of a scan: below serializable only a read for update depends on it.
void TransactionCore::track_entry(const Keyspace& keyspace, const MergedScan::Item& item,
                                  const ScanOptions& options, bool cursor) {
  if (options.mode != ReadMode::plain && !is_serializable() && !is_pessimistic()) {
    track_key(keyspace.id(), item.key, VersionStore::hash(keyspace.id(), item.key));
  }
  if (database_.is_observed()) {
    const auto commit = item.is_private ? std::nullopt : std::optional(item.commit);
    tell_read(keyspace, item.key, Seen{item.value, item.writer, commit, item.sequence},
              {options.mode, options.tracked, cursor, false});
  }
}

void TransactionCore::tell_hidden(const Keyspace& keyspace, const MergedScan::Item& item,
                                  const ScanOptions& options, bool cursor) {
  tell_read(keyspace, item.key, Seen{std::nullopt, item.writer, std::nullopt, item.sequence},
            {options.mode, options.tracked, cursor, false});
}

void TransactionCore::track_scan(const Keyspace& keyspace, const ObservedScan& observed,
                                 const ScanOptions& options) {
  const bool validated = remembers_reads() && (options.tracked || options.mode != ReadMode::plain);
  const KeyRange& range = observed.range;
  if (validated && !range.empty()) {
    reads_.add_range({keyspace.id(), range.lower, range.upper, snapshot_});
  }
  if (!database_.is_observed() || options.lock_wait == LockWait::skip_locked) return;
  id();
  events_.push_back([this, keyspace = keyspace.id(), observed, options,
                     snapshot = Timestamp{snapshot_}](Observer& observer,
                                                      const EventTransaction& self) {
    observer.on_scan(self, ScanEvent{name_of(keyspace), observed.range, options.reverse,
                                     observed.yielded, observed.hidden, options.mode,
                                     options.tracked, snapshot, observed.limited, observed.cursor});
  });
}

Result<std::size_t> TransactionCore::scan(const Keyspace& keyspace, const KeyRange& range,
                                          const ScanOptions& options, void* context,
                                          VisitFunction visit) {
  Operation operation(*this);
  if (auto refusal = operation.refusal()) return *refusal;
  if (auto refusal = check_scan(keyspace, options)) return *refusal;
  SkippedKeys skipped;
  if (locks_scan(options)) {
    auto locked = lock_scan(operation, keyspace, range, options, skipped);
    if (!locked) return locked.error();
  }
  auto scan = open_scan(keyspace, range, options);
  if (!scan) return scan.error();
  const std::size_t limit = options.limit.value_or(~std::size_t{0});
  const bool watched = options.mode != ReadMode::plain || database_.is_observed();
  const bool validated = watched || remembers_reads();
  std::size_t visited = 0;
  std::size_t hidden = 0;
  std::optional<KeyRange> observed;
  if (limit == 0) observed = KeyRange{range.lower, range.lower};
  while (visited < limit) {
    const MergedScan::Step step = scan->next();
    if (step == MergedScan::Step::failed) return scan->error();
    if (slot_.is_too_old()) return *check_snapshot();
    if (step == MergedScan::Step::end) break;
    const MergedScan::Item& item = scan->item();
    if (step == MergedScan::Step::hidden) {
      tell_hidden(keyspace, item, options, false);
      ++hidden;
      continue;
    }
    if (!skipped.empty() && skipped.contains(item.key)) continue;
    ++visited;
    if (watched) track_entry(keyspace, item, options, false);
    bool go_on = false;
    try {
      go_on = visit(context, item.key, item.value);
    } catch (...) {
      // Whoever leaves by an exception has seen what it has seen.
      observed_ = std::max(observed_, scan->observed());
      track_scan(keyspace,
                 {observed_until(range, options.reverse, item.key), visited, hidden, true, false},
                 options);
      throw;
    }
    if (!go_on || visited == limit) {
      if (validated) observed = observed_until(range, options.reverse, item.key);
      break;
    }
  }
  observed_ = std::max(observed_, scan->observed());
  slot_.cursor = scan->take_cursor();
  track_scan(keyspace, {observed ? *observed : range, visited, hidden, observed.has_value(), false},
             options);
  return visited;
}

Result<std::unique_ptr<CursorCore>> TransactionCore::cursor(const Keyspace& keyspace,
                                                            const KeyRange& range,
                                                            const ScanOptions& options) {
  Operation operation(*this);
  if (auto refusal = operation.refusal()) return *refusal;
  if (auto refusal = check_scan(keyspace, options)) return *refusal;
  // One that locks as it goes reads as it goes.
  if (locks_scan(options)) {
    return std::make_unique<CursorCore>(*this, keyspace, range, options, std::nullopt);
  }
  auto scan = open_scan(keyspace, range, options);
  if (!scan) return scan.error();
  if (auto refusal = check_snapshot()) return *refusal;
  scan->detach();
  pin_snapshot();
  ++open_cursors_;
  return std::make_unique<CursorCore>(*this, keyspace, range, options, std::move(*scan));
}

CursorCore::CursorCore(TransactionCore& transaction, Keyspace keyspace, KeyRange range,
                       const ScanOptions& options, std::optional<MergedScan> scan)
    : transaction_(transaction),
      keyspace_(std::move(keyspace)),
      range_(std::move(range)),
      options_(options),
      serial_(transaction.serial_),
      snapshot_(transaction.snapshot_),
      scan_(std::move(scan)) {}

CursorCore::~CursorCore() {
  if (transaction_.serial_ != serial_ || !transaction_.active() || !scan_) return;
  if (--transaction_.open_cursors_ == 0 && !transaction_.reads_for_update_) {
    transaction_.slot_.unpin();
  }
}

Result<std::optional<Entry>> CursorCore::next() {
  Operation operation(transaction_);
  if (auto refusal = operation.refusal()) return *refusal;
  if (transaction_.serial_ != serial_) return transaction_finished();
  if (at_end_) return std::optional<Entry>{};
  if (auto refusal = transaction_.check_read_bound()) return *refusal;
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
  if (auto refusal = transaction_.check_scan(keyspace_, options_)) return *refusal;
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
  if (auto refusal = transaction_.check_snapshot()) return *refusal;
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
  if (auto refusal = transaction_.check_snapshot()) return *refusal;
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
