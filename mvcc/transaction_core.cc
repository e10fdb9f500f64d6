#include "mvcc/transaction_core.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "engine/yield_point.h"
#include "mvcc/cursor_core.h"
#include "mvcc/database_core.h"
#include "mvcc/observer_list.h"
#include "mvcc/operation.h"
#include "mvcc/transaction_errors.h"

namespace isolde::mvcc {
namespace {

// A few milliseconds of resolution are plenty for the age of a snapshot, and cost little.
std::int64_t coarse_now_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

// Made, or being judged.
bool has_drop(const KeyspaceState& keyspace) noexcept {
  return keyspace.dropped.load() != KeyspaceState::never;
}

}  // namespace

void TransactionCore::start(const TransactionOptions& options) {
  if (options_.label != options.label) {
    MutexLock lock(label_mutex_);
    options_.label = options.label;
  }
  options_.isolation = options.isolation;
  options_.locking = options.locking;
  options_.read_only = options.read_only;
  lock_timeout_ = options.lock_timeout;
  locks_.label = options_.label;
  locks_.isolation = options.isolation;
  locks_.locking = options.locking;
  locks_.priority = options.priority;
  locks_.begun = database_.next_begun(options.locking);
  locks_.writes.store(0, std::memory_order_relaxed);
  slot_.keeps_snapshot.store(keeps_snapshot(), std::memory_order_relaxed);
  active_.store(true, std::memory_order_relaxed);
  serial_.store(serial_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  has_committed_ = false;
  ended_by_.reset();
  id_.store(0, std::memory_order_relaxed);
  snapshot_ = no_snapshot;
  last_snapshot_ = database_.pipeline().visible();
  observed_ = 0;
  savepoint_serial_ = 0;
  cursors_opened_ = 0;
  last_write_sequence_ = 0;
  SlotCounters::bump(slot_.counters.begun);
  if (database_.is_observed()) {
    id();
    tell([&](Observer& observer) { observer.on_begin(event_self()); });
  }
}

void TransactionCore::finish() noexcept {
  if (active()) static_cast<void>(rollback());
  // Last of all: it may take this core with it.
  const std::shared_ptr<SnapshotRegistry> home = std::move(slot_.home);
  // With a home of its own the slot has outlived the database, which took the observers with it.
  if (!home && observers_ && !database_.is_observed()) forget_observers();
  SnapshotRegistry::release(slot_);
}

TransactionId TransactionCore::id() {
  // One who cancels it from another thread may give it its id.
  std::uint64_t none = 0;
  if (id_if_known().value == 0) {
    id_.compare_exchange_strong(none, database_.next_transaction_id().value);
  }
  return id_if_known();
}

std::optional<Timestamp> TransactionCore::snapshot() const noexcept {
  if (!keeps_snapshot() || snapshot_ == no_snapshot) return std::nullopt;
  return Timestamp{snapshot_};
}

TransactionRef TransactionCore::reference() const {
  MutexLock lock(label_mutex_);
  return {id_if_known(), options_.label};
}

const std::string& TransactionCore::name_of(KeyspaceId keyspace) const {
  return database_.keyspaces().state(keyspace)->handle.name();
}

EventTransaction TransactionCore::event_self() const {
  return {id_if_known(), options_.label, options_.isolation, options_.locking};
}

// R1, for one operation or, at repeatable read and above, for all of them.
Result<void> TransactionCore::prepare_read() {
  if (auto fresh = database_.registry().refresh_view(slot_); !fresh) return fresh;
  take_snapshot();
  return {};
}

void TransactionCore::take_snapshot() noexcept {
  const bool registers_late = is_planted(PlantedFault::registered_late) && keeps_snapshot();
  if (snapshot_ != no_snapshot) {
    if (registers_late) slot_.snapshot.store(snapshot_);
    return;
  }
  ISOLDE_YIELD("read: before visible");
  snapshot_ = database_.pipeline().visible();
  last_snapshot_ = snapshot_;
  ISOLDE_YIELD("read: visible read");
  if (!registers_late) slot_.snapshot.store(snapshot_);
  ISOLDE_YIELD("read: published");
  if (keeps_snapshot()) slot_.snapshot_taken_ns.store(coarse_now_ns(), std::memory_order_relaxed);
}

// Below repeatable read: keeps what was read at this snapshot from being reclaimed until the end,
// or until the cursors are closed.
void TransactionCore::pin_snapshot() noexcept {
  if (keeps_snapshot()) return;
  const std::uint64_t pinned = slot_.pinned.load(std::memory_order_relaxed);
  if (pinned != no_snapshot) {
    const bool forgotten = is_planted(PlantedFault::newer_pin_forgotten);
    if (pinned != snapshot_ && !forgotten) slot_.pins_newer.store(true);
    return;
  }
  slot_.pinned.store(snapshot_);
  slot_.snapshot_taken_ns.store(coarse_now_ns(), std::memory_order_relaxed);
}

void TransactionCore::leave_operation() noexcept {
  if (!keeps_snapshot() || !active()) {
    forget_snapshot();
    ISOLDE_YIELD("read: leaving");
  }
  if (events_.empty()) {
    SnapshotRegistry::leave(slot_);
  } else {
    tell_events();
  }
  // C4: what it wrote is visible, or gone.
  if (!active() && uses_locks_) release_locks();
}

// Leaves the slot first: an observer may take its time, or use the database, and must not find it
// busy (W1). From there on another thread may be the transaction's; so the memory for its events
// stays with this one.
void TransactionCore::tell_events() {
  thread_local std::vector<Event> spare_events;
  thread_local std::string spare_bytes;
  std::vector<Event> events = std::exchange(events_, std::exchange(spare_events, {}));
  std::string bytes = std::exchange(event_bytes_, std::exchange(spare_bytes, {}));
  SnapshotRegistry::leave(slot_);
  for (const Event& event : events) {
    if (const auto* note = std::get_if<ReadNote>(&event)) {
      tell_of(*note, bytes);
    } else {
      const EventCall& call = std::get<EventCall>(event);
      tell([&](Observer& observer) { call(observer, event_self()); });
    }
  }
  events.clear();
  bytes.clear();
  spare_events = std::move(events);
  spare_bytes = std::move(bytes);
}

void TransactionCore::forget_snapshot() noexcept {
  snapshot_ = no_snapshot;
  slot_.snapshot.store(no_snapshot, std::memory_order_release);
}

std::optional<Error> TransactionCore::check_snapshot() {
  if (!slot_.is_too_old()) return std::nullopt;
  return end_with(too_old_error());
}

Error TransactionCore::too_old_error() const {
  const std::int64_t age_ns =
      coarse_now_ns() - slot_.snapshot_taken_ns.load(std::memory_order_relaxed);
  return snapshot_too_old({id_if_known(), options_.label}, last_snapshot_,
                          std::chrono::nanoseconds(age_ns), database_.options().max_version_memory);
}

std::optional<Error> TransactionCore::check_keyspace(const Keyspace& keyspace) {
  keyspace_ = database_.keyspaces().state(keyspace.id());
  if (keyspace_ == nullptr || keyspace_->handle.name() != keyspace.name()) {
    return keyspace_not_found(keyspace.name());
  }
  // Whoever has its handle knows of it.
  observed_ = std::max(observed_, keyspace_->created);
  if (has_drop(*keyspace_)) return check_not_dropped();
  return std::nullopt;
}

// K1. A drop that is made now has not seen this operation's snapshot, so it is as if it had been
// made before: what the snapshot lacks besides is nothing. One that is being judged is waited for.
std::optional<Error> TransactionCore::check_not_dropped() {
  if (!has_drop(*keyspace_)) return std::nullopt;
  const std::uint64_t dropped = database_.pipeline().await_drop(*keyspace_);
  if (dropped == KeyspaceState::never) return std::nullopt;
  observed_ = std::max(observed_, dropped);
  return keyspace_not_found(keyspace_->handle.name());
}

std::optional<Error> TransactionCore::check_lock_wait(LockWait wait) const {
  if (wait == LockWait::wait) return std::nullopt;
  if (!is_pessimistic()) return lock_wait_refused();
  if (wait == LockWait::skip_locked && is_serializable()) return skip_locked_refused();
  return std::nullopt;
}

std::optional<Error> TransactionCore::check_read_bound() const {
  if (reads_.bytes() <= database_.options().max_transaction_bytes) return std::nullopt;
  return transaction_too_large("observed", reads_.bytes(),
                               database_.options().max_transaction_bytes);
}

void TransactionCore::track_key(KeyspaceId keyspace, std::string_view key, std::uint64_t hash) {
  reads_.add_key(keyspace, key, hash, snapshot_);
}

// I1, I4: the chain alone, or the view that was held since before the look-up.
Result<Seen> TransactionCore::read_committed(KeyspaceId keyspace, std::string_view key,
                                             std::uint64_t hash) {
  ISOLDE_YIELD("read: before lookup");
  if (const Chain* chain = database_.store().find(keyspace, key, hash)) {
    const Version* version = chain->at(Timestamp{snapshot_});
    // Null if a load brought the first one later (or the snapshot was given up meanwhile: the check
    // below says so).
    if (version == nullptr) return Seen{std::nullopt, {}, 0};
    observed_ = std::max(observed_, version->commit);
    ISOLDE_YIELD("read: version found");
    return Seen{version->seen(), version->writer, version->commit};
  }
  ISOLDE_YIELD("read: no chain");
  if (keyspace_->is_loaded_after(snapshot_)) return Seen{std::nullopt, {}, 0};
  const engine::BaseLookup found = slot_.view.get(keyspace, key);
  switch (found.status) {
    case engine::BaseLookup::Status::found:
      return Seen{found.value, {}, 0, 0, true};
    case engine::BaseLookup::Status::absent:
      return Seen{std::nullopt, {}, 0, 0, true};
    case engine::BaseLookup::Status::failed:
      break;
  }
  return database_.base().read_error(found.failure);
}

// What the level shows: own writes, then (at read uncommitted) other private ones, then committed.
Result<Seen> TransactionCore::read(KeyspaceId keyspace, std::string_view key, std::uint64_t hash,
                                   ReadMode mode) {
  const Write* own = slot_.writes.find(keyspace, key);
  const TransactionId self = id_if_known();
  if (own != nullptr && !own->delta) {
    if (auto ready = prepare_read(); !ready) return ready.error();
    return Seen{own->version->seen(), self, std::nullopt};
  }
  if (auto fresh = database_.registry().refresh_view(slot_); !fresh) return fresh.error();
  std::vector<WriteSet::Copy> copies;
  if (options_.isolation == Isolation::read_uncommitted && mode == ReadMode::plain) {
    copies = uncommitted_copies(keyspace, key);
  }
  take_snapshot_after(copies);
  auto seen = read_committed(keyspace, key, hash);
  if (!seen) return seen;
  if (has_drop(*keyspace_)) {
    if (auto error = check_not_dropped()) return *error;
  }
  if (!copies.empty()) apply_uncommitted(copies, *seen);
  if (own != nullptr) {
    // On what is no integer it shows nothing: its commit will fail.
    if (const auto sum = add_to(seen->value, *own->delta)) {
      scratch_ = std::to_string(*sum);
      seen->sum = scratch_;
      seen->is_base = false;
    }
  }
  return seen;
}

// The snapshot comes after the private copies, so that a write which is being committed is in one
// of them. Why those that have ended are left out, and the snapshot taken anew then (above their
// commits, if they did commit):
//   Writer  adds 5, privately
//   Reader  copies "add 5"
//   Writer  commits at 12: the sum is 15
//   Reader  takes its snapshot at 12, and would show 15 + 5
void TransactionCore::take_snapshot_after(std::vector<WriteSet::Copy>& copies) {
  take_snapshot();
  if (is_planted(PlantedFault::ended_copies_kept)) return;
  while (!copies.empty() && WriteSet::forget_ended(copies)) {
    snapshot_ = no_snapshot;
    take_snapshot();
  }
}

std::vector<WriteSet::Copy> TransactionCore::uncommitted_copies(KeyspaceId keyspace,
                                                                std::string_view key) {
  std::vector<WriteSet::Copy> copies;
  database_.registry().for_each([&](Slot& slot) {
    if (&slot == &slot_) return;
    if (auto copy = slot.writes.copy_of(keyspace, key)) copies.push_back(std::move(*copy));
  });
  return copies;
}

// R8: the newest uncommitted write beats the committed ones, an add lies on what came before it; a
// copy whose commit is visible is none. Scans do the same: MergedScan::resolve_adds.
void TransactionCore::apply_uncommitted(std::vector<WriteSet::Copy>& copies, Seen& seen) {
  std::sort(copies.begin(), copies.end(), [](const WriteSet::Copy& a, const WriteSet::Copy& b) {
    return a.sequence < b.sequence;
  });
  for (WriteSet::Copy& copy : copies) {
    if (copy.commit != 0 && copy.commit <= snapshot_) continue;
    std::optional<std::string> value = std::move(copy.value);
    if (copy.delta) {
      const auto sum = add_to(seen.value, *copy.delta);
      if (!sum) continue;
      value = std::to_string(*sum);
    }
    seen = Seen{std::nullopt, copy.writer, std::nullopt, copy.sequence};
    if (value) {
      dirty_ = std::move(*value);
      seen.value = dirty_;
    }
  }
}

Result<std::optional<std::string_view>> TransactionCore::get(const Keyspace& keyspace,
                                                             std::string_view key, ReadMode mode,
                                                             const LockOptions& lock_options,
                                                             bool tracked) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (auto error = check_key(key)) return *error;
  if (auto error = check_keyspace(keyspace)) return *error;
  if (auto error = check_lock_wait(lock_options.wait)) return *error;
  if (lock_options.timeout && lock_options.timeout->count() < 0) return bad_lock_timeout();
  const bool for_update = mode != ReadMode::plain;
  if (for_update && database_.log().failed()) return end_with(database_.log().failure());
  const std::uint64_t hash = VersionStore::hash(keyspace.id(), key);
  database_.store().expect_find(hash);
  if (is_pessimistic() && (for_update || (locks_reads() && tracked))) {
    LockPatience patience = patience_for(lock_options.wait, lock_options.timeout);
    const LockMode lock_mode =
        mode == ReadMode::for_update ? LockMode::exclusive : LockMode::shared;
    auto locked = lock_key(operation, keyspace, key, hash, lock_mode, patience, true);
    if (!locked) return locked.error();
    if (!*locked) return std::optional<std::string_view>{};
  }
  const bool depends = for_update && !is_pessimistic();
  const bool validated = depends || (remembers_reads() && tracked);
  if (validated) {
    if (auto error = check_read_bound()) return *error;
  }
  auto seen = read(keyspace.id(), key, hash, mode);
  if (!seen) return seen.error();
  // Blind own writes were not read from anywhere.
  if (validated && (depends || seen->commit)) track_key(keyspace.id(), key, hash);
  if (depends) {
    reads_for_update_ = true;
    pin_snapshot();
  }
  if (auto error = check_snapshot()) return *error;

  if (database_.is_observed()) tell_read(keyspace, key, *seen, {mode, tracked, false, false});
  // Nothing is remembered while it is half assembled: a key of one read with the value of another
  // would be a wrong base image.
  base_read_.view_serial = 0;
  const auto shown = seen->shown();
  if (shown) value_.assign(*shown);
  if (seen->is_base) {
    base_read_.key.assign(key);
    base_read_.keyspace = keyspace.id();
    base_read_.found = seen->value.has_value();
    base_read_.view_serial = slot_.view_serial;
  }
  if (!shown) return std::optional<std::string_view>{};
  return std::optional<std::string_view>(value_);
}

Result<std::vector<VersionInfo>> TransactionCore::versions(const Keyspace& keyspace,
                                                           std::string_view key) {
  Operation operation(*this);
  if (auto error = operation.error()) return *error;
  if (auto error = check_key(key)) return *error;
  if (auto error = check_keyspace(keyspace)) return *error;
  if (auto ready = prepare_read(); !ready) return ready.error();
  std::vector<VersionInfo> versions;
  const auto add = [&versions](std::uint64_t commit, TransactionId writer,
                               std::optional<std::string_view> value) {
    VersionInfo& version = versions.emplace_back();
    version.commit = Timestamp{commit};
    version.writer = writer;
    if (value) version.value = std::string(*value);
  };
  const std::uint64_t hash = VersionStore::hash(keyspace.id(), key);
  if (const Chain* chain = database_.store().find(keyspace.id(), key, hash)) {
    const std::uint64_t loaded = database_.keyspaces().state(keyspace.id())->loaded;
    for (const Version* at = chain->at(Timestamp{snapshot_}); at != nullptr;
         at = at->older.load()) {
      // A base image at a load's commit may be of any later one (K1).
      const std::uint64_t commit = at->commit == loaded ? 0 : at->commit;
      // The explicit "absent" at the bottom of a chain (I2) is no version.
      if (commit != 0 || !at->tombstone) add(commit, at->writer, at->seen());
    }
    for (VersionInfo& version : versions) version.in_memory = true;
    const Timestamp base_at = database_.base().at();
    const auto based = std::find_if(versions.begin(), versions.end(), [&](const VersionInfo& info) {
      return info.commit <= base_at;
    });
    if (based != versions.end()) based->in_base = based->value.has_value();
  } else {
    auto seen = read_committed(keyspace.id(), key, hash);
    if (!seen) return seen.error();
    if (seen->value) {
      add(0, {}, seen->value);
      versions.back().in_base = true;
    }
  }
  if (auto error = check_not_dropped()) return *error;
  if (auto error = check_snapshot()) return *error;
  return versions;
}

void TransactionCore::tell_read(const Keyspace& keyspace, std::string_view key, const Seen& seen,
                                ReadKind kind) {
  id();
  ReadNote note{keyspace.id(), event_bytes_.size(), key.size(), std::nullopt,  seen.writer,
                seen.commit,   seen.sequence,       kind,       last_snapshot_};
  event_bytes_ += key;
  if (seen.value) {
    note.value_bytes = seen.value->size();
    event_bytes_ += *seen.value;
  }
  events_.emplace_back(note);
}

void TransactionCore::tell_of(const ReadNote& note, std::string_view bytes) {
  ReadEvent event{name_of(note.keyspace),
                  bytes.substr(note.at, note.key_bytes),
                  {note.writer, std::nullopt, std::nullopt, note.sequence},
                  note.kind.mode,
                  note.kind.tracked,
                  Timestamp{note.snapshot},
                  note.kind.cursor,
                  note.kind.before_write};
  if (note.value_bytes) {
    event.version.value = bytes.substr(note.at + note.key_bytes, *note.value_bytes);
  }
  if (note.commit) event.version.commit = Timestamp{*note.commit};
  tell([&](Observer& observer) { observer.on_read(event_self(), event); });
}

// Ends the transaction inside an operation; its observers hear of it once the slot is left.
Error TransactionCore::end_with(Error error) {
  ended_by_ = error;
  drop_private_state();
  database_.note_abort(error.code());
  if (database_.is_observed()) {
    try {
      events_.push_back([error](Observer& observer, const EventTransaction& self) {
        observer.on_abort(self, &error);
      });
    } catch (const std::bad_alloc&) {
      // It has ended all the same: that is what its owner is told.
    }
  }
  return error;
}

void TransactionCore::drop_private_state(bool installed) noexcept {
  active_.store(false, std::memory_order_relaxed);
  slot_.writes.clear(installed);
  reads_.clear();
  savepoints_.clear();
  reads_for_update_ = false;
  open_cursors_ = 0;
  cursors_ = nullptr;
  slot_.unpin();
}

}  // namespace isolde::mvcc
