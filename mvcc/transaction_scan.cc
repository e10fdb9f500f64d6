// Scans of a transaction; it opens cursors, which are in cursor_core.cc.
#include <algorithm>
#include <utility>

#include "mvcc/cursor_core.h"
#include "mvcc/database_core.h"
#include "mvcc/operation.h"
#include "mvcc/transaction_core.h"
#include "mvcc/transaction_errors.h"

namespace isolde::mvcc {

namespace {

// Lays a write over those of the same key that came before it.
void lay_over(std::vector<OverlayEntry>& entries, WriteSet::Copy copy) {
  if (entries.empty() || entries.back().key != copy.key) {
    entries.emplace_back();
    entries.back().key = std::move(copy.key);
  }
  OverlayEntry& entry = entries.back();
  if (copy.delta) {
    entry.adds.push_back({*copy.delta, copy.writer, copy.sequence});
    return;
  }
  entry.replaces = true;
  entry.value = std::move(copy.value);
  entry.writer = copy.writer;
  entry.sequence = copy.sequence;
  entry.adds.clear();
}

}  // namespace

// Own private writes in the range, and at read uncommitted below them those of others, by sequence.
std::vector<OverlayEntry> TransactionCore::overlay(KeyspaceId keyspace, const KeyRange& range,
                                                   std::vector<WriteSet::Copy> copies) {
  std::erase_if(copies, [this](const WriteSet::Copy& other) {
    return other.commit != 0 && other.commit <= snapshot_;
  });
  const std::size_t first_own = copies.size();
  if (!slot_.writes.empty()) slot_.writes.copy_range(keyspace, range.lower, range.upper, copies);
  for (std::size_t at = first_own; at < copies.size(); ++at) {
    copies[at].sequence = OverlayEntry::own;
    copies[at].writer = id();
  }
  if (first_own != 0) {
    std::sort(copies.begin(), copies.end(), [](const WriteSet::Copy& a, const WriteSet::Copy& b) {
      return a.key != b.key ? a.key < b.key : a.sequence < b.sequence;
    });
  }
  std::vector<OverlayEntry> entries;
  entries.reserve(copies.size());
  for (WriteSet::Copy& copy : copies) lay_over(entries, std::move(copy));
  return entries;
}

// What is refused before anything is locked or read.
std::optional<Error> TransactionCore::check_scan(const Keyspace& keyspace,
                                                 const ScanOptions& options) {
  if (auto error = check_keyspace(keyspace)) return error;
  if (auto error = check_lock_wait(options.lock_wait)) return error;
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
  if (auto error = check_not_dropped()) return *error;
  const bool dirty = !others.empty();
  MergedScan scan(database_.store(), keyspace.id(), range, options.reverse, snapshot_,
                  overlay(keyspace.id(), range, std::move(others)), std::move(slot_.cursor));
  if (keyspace_->is_loaded_after(snapshot_)) scan.leave_out_base();
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
  if (!database_.is_observed()) return;
  if (const MergedScan::Below* below = item.below) {
    tell_read(keyspace, item.key, Seen{below->value, below->writer, below->commit, below->sequence},
              {options.mode, options.tracked, cursor, false});
  } else {
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
  if (auto error = operation.error()) return *error;
  if (auto error = check_scan(keyspace, options)) return *error;
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
  // One that does not come to its end has seen what it has seen.
  const auto note_shown = [&](std::string_view last) {
    observed_ = std::max(observed_, scan->observed());
    track_scan(keyspace,
               {observed_until(range, options.reverse, last), visited, hidden, true, false},
               options);
  };
  if (limit == 0) observed = KeyRange{range.lower, range.lower};
  while (visited < limit) {
    const MergedScan::Step step = scan->next();
    if (step == MergedScan::Step::failed) {
      Error error = scan->error();
      if (visited + hidden > 0) note_shown(scan->item().key);
      return error;
    }
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
    bool go_on = false;
    try {
      if (watched) track_entry(keyspace, item, options, false);
      go_on = visit(context, item.key, item.value);
    } catch (...) {
      note_shown(item.key);
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
  if (auto error = operation.error()) return *error;
  if (auto error = check_scan(keyspace, options)) return *error;
  // One that locks as it goes reads as it goes.
  if (locks_scan(options)) {
    return std::make_unique<CursorCore>(*this, keyspace, range, options, std::nullopt);
  }
  auto scan = open_scan(keyspace, range, options);
  if (!scan) return scan.error();
  if (auto error = check_snapshot()) return *error;
  scan->detach();
  pin_snapshot();
  // From here on it holds a drop back; one that was made before the cursor did not see it.
  if (auto error = check_not_dropped()) {
    if (open_cursors_ == 0 && !reads_for_update_) slot_.unpin();
    return *error;
  }
  ++open_cursors_;
  return std::make_unique<CursorCore>(*this, keyspace, range, options, std::move(*scan));
}

}  // namespace isolde::mvcc
