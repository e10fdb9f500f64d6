// The locks of a transaction: asking, waiting outside the slot, scans that lock, release.
#include <algorithm>
#include <unordered_set>
#include <utility>

#include "engine/yield_point.h"
#include "mvcc/database_core.h"
#include "mvcc/longest_wait.h"
#include "mvcc/operation.h"
#include "mvcc/transaction_core.h"
#include "mvcc/transaction_errors.h"

namespace isolde::mvcc {
namespace {

using Clock = std::chrono::steady_clock;

LockAsk ask_for_key(KeyspaceId keyspace, std::string_view key, std::uint64_t hash, LockMode mode) {
  LockAsk ask;
  ask.keyspace = keyspace;
  ask.key = key;
  ask.hash = hash;
  ask.mode = mode;
  return ask;
}

LockTarget target_of(const LockAsk& ask, std::string keyspace) {
  LockTarget target;
  target.keyspace = std::move(keyspace);
  if (ask.range != nullptr) {
    target.range = EvidenceRange{ask.range->lower, ask.range->upper};
  } else {
    target.key = std::string(ask.key);
  }
  return target;
}

bool is_within(const KeyRange& inner, const KeyRange& outer) {
  if (inner.lower < outer.lower) return false;
  return !outer.upper || (inner.upper && *inner.upper <= *outer.upper);
}

LockMode mode_of(ReadMode mode) noexcept {
  return mode == ReadMode::for_update ? LockMode::exclusive : LockMode::shared;
}

}  // namespace

LockPatience TransactionCore::patience_for(LockWait wait,
                                           std::optional<std::chrono::milliseconds> timeout) const {
  LockPatience patience;
  patience.wait = wait;
  patience.timeout = timeout         ? *timeout
                     : lock_timeout_ ? *lock_timeout_
                                     : database_.options().lock_timeout;
  return patience;
}

Result<void> TransactionCore::set_lock_timeout(std::chrono::milliseconds timeout) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (timeout.count() < 0) return bad_lock_timeout();
  lock_timeout_ = timeout;
  return {};
}

bool TransactionCore::cancel(TransactionId id) {
  if (id_if_known() != id || !active()) return false;
  database_.locks().cancel(locks_, id);
  return true;
}

Error TransactionCore::end_doomed() {
  if (const auto report = database_.locks().take_report(locks_)) {
    return end_with(deadlock(*report, database_.options().deadlock_strategy));
  }
  return end_with(cancelled({id(), options_.label}));
}

Result<bool> TransactionCore::lock(Operation& operation, const LockAsk& ask,
                                   LockPatience& patience) {
  LockTable& table = database_.locks();
  if (!uses_locks_) {
    locks_.id = id();
    // C5: before its first lock. (An optimist in its commit has its place in the order of commits
    // without it.)
    if (is_pessimistic()) database_.pipeline().pessimist_arrives();
    if (locks_reads()) slot_.locks_reads.store(true);
    uses_locks_ = true;
  }
  ISOLDE_YIELD("locks: before request");
  const bool may_wait = patience.wait == LockWait::wait && patience.timeout.count() > 0;
  LockTable::Answer answer = table.request(locks_, ask, may_wait);
  if (answer.kind != LockTable::Answer::Kind::waits) {
    if (!answer.aftermath.empty()) {
      const Operation::Pause pause(operation);
      table.settle(answer.aftermath);
    }
    return answer_to(std::move(answer), ask, patience);
  }
  LockTable::Ending ending;
  std::chrono::nanoseconds waited{};
  {
    const Operation::Pause pause(operation);
    const auto start = Clock::now();
    if (!patience.deadline && patience.timeout < longest_wait) {
      patience.deadline = start + patience.timeout;
    }
    ending = table.wait(locks_, ask, answer, patience.deadline);
    waited = Clock::now() - start;
    slot_.lock_wait.record(waited);
  }
  return answer_to(std::move(ending), waited);
}

Result<bool> TransactionCore::answer_to(LockTable::Answer answer, const LockAsk& ask,
                                        const LockPatience& patience) {
  using Kind = LockTable::Answer::Kind;
  switch (answer.kind) {
    case Kind::granted:
    case Kind::waits:
      return true;
    case Kind::unavailable:
      if (patience.wait == LockWait::skip_locked) return false;
      if (patience.wait == LockWait::nowait) return lock_not_available(std::move(answer.waits_for));
      return lock_timeout(std::move(answer.waits_for), {});
    case Kind::too_many:
      return too_many_locks(target_of(ask, database_.keyspaces().name_of(ask.keyspace)),
                            database_.options().max_locks_per_transaction);
    case Kind::cancelled:
      return end_with(cancelled({id(), options_.label}));
    case Kind::deadlock:
      break;
  }
  if (!answer.report) {
    return end_with(must_not_wait(std::move(answer.waits_for)));
  }
  return end_with(deadlock(*answer.report, database_.options().deadlock_strategy));
}

Result<bool> TransactionCore::answer_to(LockTable::Ending ending, std::chrono::nanoseconds waited) {
  using Outcome = LockRequest::Outcome;
  switch (ending.outcome) {
    case Outcome::lock_timeout:
      if (ending.waits_for.empty()) return out_of_memory("telling whom it waited for");
      return lock_timeout(std::move(ending.waits_for), waited);
    case Outcome::cancelled:
      return end_with(cancelled({id(), options_.label}));
    case Outcome::deadlock:
      return end_with(deadlock(*ending.report, database_.options().deadlock_strategy));
    case Outcome::none:
    case Outcome::granted:
      break;
  }
  return true;
}

Result<bool> TransactionCore::lock_key(Operation& operation, const Keyspace& keyspace,
                                       std::string_view key, std::uint64_t hash, LockMode mode,
                                       LockPatience& patience, bool is_read) {
  auto locked = lock(operation, ask_for_key(keyspace.id(), key, hash, mode), patience);
  if (!locked || !*locked) return locked;
  // It may have been dropped during a wait.
  if (auto error = check_keyspace(keyspace)) return *error;
  if (!keeps_snapshot()) return true;
  // The snapshot of a first operation follows its locks.
  if (auto ready = prepare_read(); !ready) return ready.error();
  if (auto error = check_newest(keyspace.id(), key, hash, is_read)) return *error;
  return true;
}

// First updater wins: under the lock nothing newer can come, so this is the commit's judgement.
std::optional<Error> TransactionCore::check_newest(KeyspaceId keyspace, std::string_view key,
                                                   std::uint64_t hash, bool is_read) {
  if (auto error = check_snapshot()) return error;
  const auto newer = database_.pipeline().find_newer(keyspace, key, hash, snapshot_, is_read);
  if (newer) return end_with(phrase(*newer));
  if (keyspace_->is_loaded_after(snapshot_)) return check_not_loaded(key, is_read);
  return std::nullopt;
}

// What a bulk load brought has no chain until somebody writes over it.
std::optional<Error> TransactionCore::check_not_loaded(std::string_view key, bool is_read) {
  const KeyspaceId id = keyspace_->handle.id();
  const engine::BaseLookup found = slot_.view.get(id, key);
  if (found.status == engine::BaseLookup::Status::failed) {
    return database_.base().read_error(found.failure);
  }
  if (found.status == engine::BaseLookup::Status::absent) return std::nullopt;
  Conflict conflict;
  conflict.keyspace = id;
  conflict.key = key;
  conflict.was_read = is_read;
  conflict.commit = keyspace_->loaded;
  conflict.snapshot = snapshot_;
  return end_with(phrase(conflict));
}

std::optional<Error> TransactionCore::lock_for_write(Operation& operation, const Keyspace& keyspace,
                                                     std::string_view key) {
  if (!is_pessimistic()) return std::nullopt;
  LockPatience patience = patience_for(LockWait::wait, std::nullopt);
  auto locked = lock_key(operation, keyspace, key, VersionStore::hash(keyspace.id(), key),
                         LockMode::exclusive, patience, false);
  if (!locked) return locked.error();
  return std::nullopt;
}

Result<void> TransactionCore::lock_scan(Operation& operation, const Keyspace& keyspace,
                                        const KeyRange& range, const ScanOptions& options,
                                        SkippedKeys& skipped) {
  if (range.empty() || options.limit == std::size_t{0}) return {};
  LockPatience patience = patience_for(options.lock_wait, options.lock_timeout);
  if (locks_reads()) return lock_scanned_range(operation, keyspace, range, options, patience);
  return lock_scanned_keys(operation, keyspace, range, options, patience, skipped);
}

Result<void> TransactionCore::lock_range(Operation& operation, const Keyspace& keyspace,
                                         const KeyRange& range, LockMode mode,
                                         LockPatience& patience) {
  if (is_planted(PlantedFault::gaps_not_locked)) return {};
  LockAsk ask;
  ask.keyspace = keyspace.id();
  ask.range = &range;
  ask.mode = mode;
  auto locked = lock(operation, ask, patience);
  if (!locked) return locked.error();
  if (auto error = check_keyspace(keyspace)) return *error;
  return {};
}

// At serializable: what the scan will observe, gaps included. How far a limited scan gets is known
// only by looking, and the look is worth nothing before the lock:
//   Scanner   of two entries sees a and c
//   Deleter   erases a
//   Scanner   locks up to c, and would read c and d
// So it looks again under the lock, until what it sees is locked.
Result<void> TransactionCore::lock_scanned_range(Operation& operation, const Keyspace& keyspace,
                                                 const KeyRange& range, const ScanOptions& options,
                                                 LockPatience& patience) {
  const LockMode mode = mode_of(options.mode);
  if (!options.limit) return lock_range(operation, keyspace, range, mode, patience);
  std::optional<KeyRange> locked;
  for (;;) {
    auto last = peek_last(keyspace, range, options);
    if (!last) return last.error();
    if (!*last) {
      // To the bound, whatever it holds.
      forget_snapshot();
      return lock_range(operation, keyspace, range, mode, patience);
    }
    const KeyRange needed = observed_until(range, options.reverse, **last);
    if (locked && is_within(needed, *locked)) return {};
    forget_snapshot();
    auto granted = lock_range(operation, keyspace, needed, mode, patience);
    if (!granted) return granted;
    locked = needed;
  }
}

// The key of the last entry within the limit; nothing if the range ends before it.
Result<std::optional<std::string>> TransactionCore::peek_last(const Keyspace& keyspace,
                                                              const KeyRange& range,
                                                              const ScanOptions& options) {
  auto scan = open_scan(keyspace, range, options);
  if (!scan) return scan.error();
  std::optional<std::string> last;
  for (std::size_t seen = 0; seen < *options.limit; ++seen) {
    const MergedScan::Step step = scan->next();
    if (step == MergedScan::Step::failed) return scan->error();
    if (step == MergedScan::Step::end) {
      last.reset();
      break;
    }
    last = std::string(scan->item().key);
  }
  slot_.cursor = scan->take_cursor();
  return last;
}

// Below serializable a scan locks the keys that it returns.
struct TransactionCore::ScannedKeys {
  std::unordered_set<std::string> locked;
  SkippedKeys& skipped;
  std::vector<std::string> wanted;  // in the order of the scan
  bool is_cut_short = false;        // the slot was left in the middle, and the scan died with it
};

// Looks again until it returns nothing that is not locked: a key may come while it waits. With a
// snapshot from before, which shows the same again and again, a changed key is a write conflict.
Result<void> TransactionCore::lock_scanned_keys(Operation& operation, const Keyspace& keyspace,
                                                const KeyRange& range, const ScanOptions& options,
                                                LockPatience& patience, SkippedKeys& skipped) {
  const bool has_snapshot = keeps_snapshot() && snapshot_ != no_snapshot;
  ScannedKeys keys{{}, skipped, {}, false};
  for (;;) {
    keys.wanted.clear();
    const std::size_t before = keys.locked.size();
    if (auto peeked = peek_keys(operation, keyspace, range, options, patience, keys); !peeked) {
      return peeked;
    }
    if (keys.is_cut_short) continue;
    if (keys.wanted.empty() && keys.locked.size() == before) return {};
    if (!has_snapshot) forget_snapshot();
    for (std::string& key : keys.wanted) {
      const std::uint64_t hash = VersionStore::hash(keyspace.id(), key);
      auto locked =
          lock(operation, ask_for_key(keyspace.id(), key, hash, mode_of(options.mode)), patience);
      if (!locked) return locked.error();
      keys.locked.insert(std::move(key));
    }
    if (auto error = check_keyspace(keyspace)) return *error;
    if (!has_snapshot) continue;
    if (auto ready = prepare_read(); !ready) return ready;
    for (const std::string& key : keys.locked) {
      const std::uint64_t hash = VersionStore::hash(keyspace.id(), key);
      if (auto error = check_newest(keyspace.id(), key, hash, true)) return *error;
    }
    return {};
  }
}

// One look: what is to be waited for is noted; what must not be waited for is locked, or skipped,
// on the way.
Result<void> TransactionCore::peek_keys(Operation& operation, const Keyspace& keyspace,
                                        const KeyRange& range, const ScanOptions& options,
                                        LockPatience& patience, ScannedKeys& keys) {
  auto scan = open_scan(keyspace, range, options);
  if (!scan) return scan.error();
  const std::size_t limit = options.limit.value_or(~std::size_t{0});
  const std::uint64_t stay = slot_.stay();
  keys.is_cut_short = false;
  for (std::size_t seen = 0; seen < limit;) {
    const MergedScan::Step step = scan->next();
    if (step == MergedScan::Step::failed) return scan->error();
    if (step == MergedScan::Step::end) break;
    const std::string key(scan->item().key);
    if (keys.skipped.contains(key)) continue;
    if (!keys.locked.contains(key)) {
      if (options.lock_wait == LockWait::wait) {
        keys.wanted.emplace_back(key);
      } else {
        const std::uint64_t hash = VersionStore::hash(keyspace.id(), key);
        auto locked =
            lock(operation, ask_for_key(keyspace.id(), key, hash, mode_of(options.mode)), patience);
        if (!locked) return locked.error();
        (*locked ? [&] { keys.locked.insert(key); }() : [&] { keys.skipped.insert(key); }());
        // Others had to be told that they may go on.
        keys.is_cut_short = slot_.stay() != stay;
        if (keys.is_cut_short) return {};
        if (!*locked) continue;
      }
    }
    ++seen;
  }
  slot_.cursor = scan->take_cursor();
  return {};
}

std::optional<Error> TransactionCore::lock_writes(Operation& operation) {
  LockPatience patience = patience_for(LockWait::wait, std::nullopt);
  for (const auto& [key, write] : slot_.writes.writes()) {
    const std::uint64_t hash = VersionStore::hash(key.keyspace, key.key);
    auto locked =
        lock(operation, ask_for_key(key.keyspace, key.key, hash, LockMode::exclusive), patience);
    if (!locked) return locked.error();
  }
  return std::nullopt;
}

void TransactionCore::release_locks() noexcept {
  uses_locks_ = false;
  database_.locks().release_all(locks_);
  slot_.locks_reads.store(false, std::memory_order_release);
  if (is_pessimistic()) database_.pipeline().pessimist_leaves();
}

}  // namespace isolde::mvcc
