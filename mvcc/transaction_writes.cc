// Writes and savepoints of a transaction.
#include <algorithm>
#include <utility>

#include "mvcc/cursor_core.h"
#include "mvcc/database_core.h"
#include "mvcc/operation.h"
#include "mvcc/transaction_core.h"
#include "mvcc/transaction_errors.h"

namespace isolde::mvcc {
namespace {

// Room for any 64-bit integer in decimal.
constexpr std::size_t integer_bytes = 20;

VersionPtr copy_of(const VersionPtr& version) {
  return version ? VersionPtr(Version::create(version->seen())) : VersionPtr();
}

// A write in the place of `before`, whose condition it inherits: what must hold at commit was
// settled by the first write of the key.
Write following(const Write* before, std::optional<std::string_view> value) {
  Write write;
  write.version = VersionPtr(Version::create(value));
  if (before != nullptr) {
    write.condition = before->condition;
    write.expected = copy_of(before->expected);
  }
  return write;
}

}  // namespace

std::optional<Error> TransactionCore::check_writable(const Keyspace& keyspace, std::string_view key,
                                                     std::size_t value_bytes) {
  if (auto error = check_key(key)) return error;
  if (value_bytes > max_value_bytes) return value_too_large(keyspace.name(), key, value_bytes);
  if (database_.options().read_only) return read_only_refused(true);
  if (options_.read_only) return read_only_refused(false);
  if (auto error = check_keyspace(keyspace)) return error;
  if (database_.log().failed()) return end_with(database_.log().failure());
  const std::size_t bytes = slot_.writes.bytes() + key.size() + value_bytes;
  if (bytes > database_.options().max_transaction_bytes) {
    return transaction_too_large("written", bytes, database_.options().max_transaction_bytes);
  }
  return check_read_bound();
}

void TransactionCore::write(const Keyspace& keyspace, std::string_view key, Write write,
                            WriteKind kind, std::optional<std::string_view> shown,
                            std::optional<std::int64_t> delta) {
  if (slot_.writes.empty()) slot_.writes.writer.store(id());
  const std::uint64_t sequence = database_.next_write_sequence();
  write.sequence = sequence;
  // First what may find no memory: observers are told of no write that is none, and it is none if
  // they can't be told.
  EventCall told;
  if (database_.is_observed()) {
    id();
    std::optional<std::string> value;
    if (shown) value = std::string(*shown);
    events_.reserve(events_.size() + 1);
    told = [this, keyspace = keyspace.id(), key = std::string(key), kind, value = std::move(value),
            delta, sequence](Observer& observer, const EventTransaction& self) {
      WriteEvent event{name_of(keyspace), key, kind, std::nullopt, delta, sequence};
      if (value) event.value = *value;
      observer.on_write(self, event);
    };
  }
  slot_.writes.set(keyspace.id(), key, std::move(write));
  last_write_sequence_ = sequence;
  if (told) events_.emplace_back(std::move(told));
  locks_.writes.store(slot_.writes.size(), std::memory_order_relaxed);
}

Result<void> TransactionCore::put(const Keyspace& keyspace, std::string_view key,
                                  std::string_view value) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (auto error = check_writable(keyspace, key, value.size())) return *error;
  if (auto error = lock_for_write(operation, keyspace, key)) return *error;
  // The snapshot is fixed by the first operation, whatever it is.
  if (keeps_snapshot()) {
    if (auto ready = prepare_read(); !ready) return ready;
    if (auto error = check_snapshot()) return *error;
  }
  write(keyspace, key, following(slot_.writes.find(keyspace.id(), key), value), WriteKind::put,
        value);
  return {};
}

Result<void> TransactionCore::erase(const Keyspace& keyspace, std::string_view key) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (auto error = check_writable(keyspace, key, 0)) return *error;
  if (auto error = lock_for_write(operation, keyspace, key)) return *error;
  if (keeps_snapshot()) {
    if (auto ready = prepare_read(); !ready) return ready;
    if (auto error = check_snapshot()) return *error;
  }
  write(keyspace, key, following(slot_.writes.find(keyspace.id(), key), std::nullopt),
        WriteKind::erase, std::nullopt);
  return {};
}

// What insert, add_and_get and compare_and_set read first. At serializable a tracked read, also if
// the operation then fails (C6); above read committed the snapshot decides and first committer
// wins. A pessimist has the lock, so that what is committed now is what it will be at its commit.
Result<Seen> TransactionCore::read_before_write(const Keyspace& keyspace, std::string_view key,
                                                ReadMode mode) {
  const std::uint64_t hash = VersionStore::hash(keyspace.id(), key);
  auto seen = read(keyspace.id(), key, hash, is_pessimistic() ? ReadMode::for_update : mode);
  if (!seen) return seen;
  if (remembers_reads() && seen->commit) track_key(keyspace.id(), key, hash);
  if (auto error = check_snapshot()) return *error;
  if (database_.is_observed())
    tell_read(keyspace, key, *seen, {ReadMode::plain, true, false, true});
  return seen;
}

Result<void> TransactionCore::insert(const Keyspace& keyspace, std::string_view key,
                                     std::string_view value) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (auto error = check_writable(keyspace, key, value.size())) return *error;
  if (auto error = lock_for_write(operation, keyspace, key)) return *error;
  auto seen = read_before_write(keyspace, key, ReadMode::plain);
  if (!seen) return seen.error();
  if (seen->shown()) return already_exists(keyspace.name(), key);
  const Write* before = slot_.writes.find(keyspace.id(), key);
  Write inserted = following(before, value);
  if (before == nullptr && settles_at_commit()) inserted.condition = Condition::absent;
  write(keyspace, key, std::move(inserted), WriteKind::insert, value);
  return {};
}

// C6: blind, so that concurrent additions all count. What the transaction itself has put there is
// known, and needs no reading.
Result<void> TransactionCore::add(const Keyspace& keyspace, std::string_view key,
                                  std::int64_t delta) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (auto error = check_writable(keyspace, key, integer_bytes)) return *error;
  if (auto error = lock_for_write(operation, keyspace, key)) return *error;
  if (keeps_snapshot()) {
    if (auto ready = prepare_read(); !ready) return ready;
    if (auto error = check_snapshot()) return *error;
  }
  const Write* before = slot_.writes.find(keyspace.id(), key);
  if (before != nullptr && !before->delta) {
    const auto value = before->version->seen();
    const auto sum = add_to(value, delta);
    if (!sum) return not_a_sum(keyspace.name(), key, value.value_or(""), delta);
    const std::string text = std::to_string(*sum);
    write(keyspace, key, following(before, text), WriteKind::add, text, delta);
    return {};
  }
  Write added;
  added.delta = delta;
  if (before != nullptr && __builtin_add_overflow(*before->delta, delta, &*added.delta)) {
    return adds_too_large(keyspace.name(), key);
  }
  added.version = VersionPtr(Version::create(std::nullopt, integer_bytes));
  write(keyspace, key, std::move(added), WriteKind::add, std::nullopt, delta);
  return {};
}

// What it answers is committed, or nothing is: an optimist depends on what it read, at every level,
// a pessimist has the lock. Why, at read committed, computing the sum anew at commit is not enough:
//   A  reads 0, answers 1
//   B  reads 0, answers 1
//   A  commits 1
//   B  commits 2, and two clients hold ticket 1
Result<std::int64_t> TransactionCore::add_and_get(const Keyspace& keyspace, std::string_view key,
                                                  std::int64_t delta) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (auto error = check_writable(keyspace, key, integer_bytes)) return *error;
  if (auto error = lock_for_write(operation, keyspace, key)) return *error;
  auto seen = read_before_write(keyspace, key, ReadMode::for_update);
  if (!seen) return seen.error();
  const auto shown = seen->shown();
  const auto sum = add_to(shown, delta);
  if (!sum) return not_a_sum(keyspace.name(), key, shown.value_or(""), delta);
  // Its own value alone was read from nowhere.
  if (!is_pessimistic() && seen->commit) {
    track_key(keyspace.id(), key, VersionStore::hash(keyspace.id(), key));
    reads_for_update_ = true;
    pin_snapshot();
  }
  const std::string text = std::to_string(*sum);
  write(keyspace, key, following(slot_.writes.find(keyspace.id(), key), text),
        WriteKind::add_and_get, text, delta);
  return *sum;
}

Result<void> TransactionCore::compare_and_set(const Keyspace& keyspace, std::string_view key,
                                              std::string_view expected, std::string_view value) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (auto error = check_writable(keyspace, key, value.size())) return *error;
  if (auto error = lock_for_write(operation, keyspace, key)) return *error;
  auto seen = read_before_write(keyspace, key, ReadMode::plain);
  if (!seen) return seen.error();
  const auto shown = seen->shown();
  if (!shown || *shown != expected) {
    return compare_failed(keyspace.name(), key, shown);
  }
  const Write* before = slot_.writes.find(keyspace.id(), key);
  Write changed = following(before, value);
  if (settles_at_commit() && (before == nullptr || before->delta)) {
    // What was compared, without a sum of our own over it. (At read uncommitted it may be another's
    // private value: then that has to be there.)
    changed.condition = seen->value ? Condition::equals : Condition::absent;
    if (seen->value) changed.expected = VersionPtr(Version::create(*seen->value));
  }
  write(keyspace, key, std::move(changed), WriteKind::compare_and_set, value);
  return {};
}

Result<Savepoint> TransactionCore::savepoint() {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  savepoints_.push_back(
      {++savepoint_serial_, slot_.writes.mark(), last_write_sequence_, cursors_opened_});
  return Savepoint{savepoints_.size(), savepoint_serial_};
}

bool TransactionCore::has_savepoint(Savepoint savepoint) const noexcept {
  return savepoint.depth >= 1 && savepoint.depth <= savepoints_.size() &&
         savepoints_[savepoint.depth - 1].serial == savepoint.serial;
}

// The read set and all locks stay: what was learnt can't be unlearnt (W4).
Result<void> TransactionCore::rollback_to(Savepoint savepoint) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (!has_savepoint(savepoint)) return savepoint_not_found();
  const Mark mark = savepoints_[savepoint.depth - 1];
  if (database_.is_observed()) {
    id();
    events_.push_back([sequence = mark.sequence](Observer& observer, const EventTransaction& self) {
      observer.on_undo(self, sequence);
    });
  }
  slot_.writes.undo_to(mark.undo_mark);
  // What was opened since may hold copies of what is undone. It ends, as a cursor of SQL does, also
  // where it would read anew: so that all modes answer alike.
  for (CursorCore* cursor = cursors_; cursor != nullptr; cursor = cursor->opened_before()) {
    if (cursor->ordinal() > mark.cursors) cursor->end_with_savepoint();
  }
  locks_.writes.store(slot_.writes.size(), std::memory_order_relaxed);
  savepoints_.resize(savepoint.depth);
  return {};
}

Result<void> TransactionCore::release(Savepoint savepoint) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (!has_savepoint(savepoint)) return savepoint_not_found();
  savepoints_.resize(savepoint.depth - 1);
  if (savepoints_.empty()) slot_.writes.forget_marks();
  return {};
}

}  // namespace isolde::mvcc
