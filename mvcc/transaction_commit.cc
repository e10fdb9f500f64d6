// The end of a transaction: commit in steps (mvcc/README.md), rollback.
#include <algorithm>
#include <chrono>
#include <new>
#include <numeric>
#include <utility>

#include "engine/yield_point.h"
#include "mvcc/database_core.h"
#include "mvcc/observer_list.h"
#include "mvcc/operation.h"
#include "mvcc/transaction_core.h"
#include "mvcc/transaction_errors.h"

namespace isolde::mvcc {
namespace {

// Reads of up to this many keys, and of no range, are validated inside the critical section.
constexpr std::size_t keys_validated_inside = 32;

std::size_t encoded_bytes(const WriteSet& writes) {
  std::size_t bytes = 0;
  for (const auto& [key, write] : writes.writes()) {
    bytes += engine::CommitRecord::bytes_of(key.key, {}) + write.version->capacity;
  }
  return bytes;
}

}  // namespace

// One operation from the beginning to the end, so that two threads inside one commit() are detected
// whatever the first is doing: it waits in pauses of the operation, with the slot left (W1).
Result<Timestamp> TransactionCore::commit() {
  std::optional<std::chrono::steady_clock::time_point> start;  // if it has written
  std::uint64_t commit = 0;
  std::uint64_t needed = 0;
  {
    Operation operation(*this);
    if (auto error = operation.error()) return *error;
    commit = last_snapshot_;
    if (slot_.writes.empty() && !reads_for_update_) {
      // Reads alone depend on nothing: their snapshot was a committed state.
      if (auto error = check_snapshot()) return *error;
      drop_private_state();
    } else {
      // One that was open when its process forked is the parent's to commit.
      if (database_.is_inherited()) return database_.inherited();
      if (!slot_.writes.empty()) start = std::chrono::steady_clock::now();
      auto passed = reserve_and_pass(operation);
      if (!passed) return passed.error();
      commit = start ? passed->commit : last_snapshot_;
    }
    needed = start ? std::max(observed_, commit) : observed_;
  }
  auto durable = finish_commit(Timestamp{commit}, needed);
  if (start) {
    slot_.commit_latency.record(std::chrono::steady_clock::now() - *start);
    if (durable) SlotCounters::bump(slot_.counters.committed_writing);
  }
  return durable;
}

// Waits come first, while nothing is held (W1).
Result<CommitPipeline::Outcome> TransactionCore::reserve_and_pass(Operation& operation) {
  LogSpace space;
  if (!slot_.writes.empty()) {
    space.bytes = encoded_bytes(slot_.writes);
    const auto reserve = [&]() -> Result<engine::LogReservation> {
      const Operation::Pause pause(operation);
      ISOLDE_YIELD("commit: waits for room");
      if (auto room = database_.wait_for_room(); !room) return room.error();
      return database_.log().reserve(space.bytes);
    };
    auto reservation = reserve();
    // Nothing has begun: the transaction is as it was, unless the database has failed.
    if (!reservation) return ended_by(reservation.error());
    space.reservation = std::move(*reservation);
    if (is_doomed()) return end_doomed();
  }
  // An optimist that may try again holds nothing until then.
  struct Release {
    TransactionCore& transaction;
    Operation& operation;
    ~Release() {
      if (transaction.is_pessimistic() || !transaction.active() || !transaction.uses_locks_) return;
      const Operation::Pause pause(operation);
      transaction.release_locks();
    }
  } const release{*this, operation};
  return lock_and_pass(operation, space);
}

// C5. An optimist that meets pessimists takes their kind of locks for its commit: on all that it
// writes, in key order, waiting for shared ones as well; then it is judged, with the locks held.
Result<CommitPipeline::Outcome> TransactionCore::lock_and_pass(Operation& operation,
                                                               LogSpace& space) {
  using Kind = CommitPipeline::Outcome::Kind;
  const bool writes = !slot_.writes.empty();
  bool is_locked = is_pessimistic();
  bool must_lock = !is_pessimistic() && writes && database_.pipeline().has_pessimists() &&
                   !is_planted(PlantedFault::judged_before_locked) &&
                   !is_planted(PlantedFault::flag_read_outside);
  for (;;) {
    if (must_lock) {
      if (auto error = lock_writes(operation)) return *error;
      if (is_doomed()) return end_doomed();
      is_locked = true;
    }
    if (auto ready = prepare_read(); !ready) return ready.error();
    if (is_planted(PlantedFault::released_before_visible)) database_.locks().release_all(locks_);
    auto passed = pass_pipeline(space, is_locked);
    if (!passed) return passed.error();
    if (passed->kind == Kind::prepare_again) continue;
    if (passed->kind == Kind::lock_first) {
      must_lock = true;
      continue;
    }
    if (passed->kind == Kind::refused) return ended_by(phrase(*passed->conflict));
    ISOLDE_YIELD("commit: before private copies go");
    drop_private_state(writes);
    return passed;
  }
}

// The error, which ends the transaction if it is of that kind.
Error TransactionCore::ended_by(Error error) {
  if (!ends_transaction(error.code())) return error;
  return end_with(std::move(error));
}

// What is looked up for the critical section (C1) lives no longer than this call, in which the slot
// is not left. Kept over a wait for locks it would be a lost update:
//   Optimist      finds no chain for a, makes a fresh one with the base's 10
//   Optimist      meets a pessimist: leaves the slot, and waits for the lock of a
//   Pessimist     holds a, makes 15 of it, commits
//   Checkpointer  carries 15 into the base; the chain goes
//   Optimist      has its lock, finds no chain, and would put 10 + 1 over 15
Result<CommitPipeline::Outcome> TransactionCore::pass_pipeline(LogSpace& space, bool is_locked) {
  PreparedCommit prepared(slot_);
  prepared.isolation = options_.isolation;
  prepared.is_locked = is_locked;
  if (keeps_snapshot()) prepared.snapshot = snapshot_;
  prepared.reads = &reads_;
  prepared.recent = spare_recent_ ? std::move(spare_recent_) : std::make_unique<RecentCommit>();
  prepared.recent->id = id();
  prepared.recent->label = options_.label;
  prepared.recent->chains.reserve(slot_.writes.size());
  prepared.record.reserve(space.bytes);
  if (auto ready = prepare_writes(prepared); !ready) return ready.error();
  if (!reads_.ranges().empty() || reads_.keys().size() > keys_validated_inside) {
    auto outside = database_.pipeline().validate_outside(prepared);
    if (outside.kind == CommitPipeline::Outcome::Kind::refused) return outside;
    prepared.validated_at = outside.commit;
    index_reads(prepared);
    ISOLDE_YIELD("commit: validated outside");
  }
  prepared.reservation = std::move(space.reservation);
  auto outcome = database_.pipeline().commit(prepared);
  space.reservation = std::move(prepared.reservation);
  keep_spare(std::move(prepared.recent));
  return outcome;
}

// What the ring has forgotten, or has not taken, serves the next commit, unless it was a large one.
void TransactionCore::keep_spare(std::unique_ptr<RecentCommit> recent) noexcept {
  constexpr std::size_t most_kept_chains = 64;
  if (!recent || recent->chains.capacity() > most_kept_chains) return;
  recent->chains.clear();
  spare_recent_ = std::move(recent);
}

void TransactionCore::index_reads(PreparedCommit& prepared) const {
  prepared.reads_by_hash.resize(reads_.keys().size());
  std::iota(prepared.reads_by_hash.begin(), prepared.reads_by_hash.end(), std::uint32_t{0});
  std::sort(prepared.reads_by_hash.begin(), prepared.reads_by_hash.end(),
            [&](std::uint32_t a, std::uint32_t b) {
              return reads_.keys()[a].hash < reads_.keys()[b].hash;
            });
}

// C1: all that may fail. The slot is busy, its view registered.
Result<void> TransactionCore::prepare_writes(PreparedCommit& prepared) {
  prepared.writes.reserve(slot_.writes.size());
  for (auto& [key, write] : slot_.writes.writes_for_install()) {
    PreparedWrite item;
    item.keyspace = key.keyspace;
    item.key = key.key;
    item.hash = VersionStore::hash(key.keyspace, key.key);
    item.write = &write;
    prepared.encode_late = prepared.encode_late || write.delta.has_value();
    prepared.writes.push_back(std::move(item));
  }
  if (!prepared.encode_late) encode(prepared.writes, prepared.record);
  for (PreparedWrite& write : prepared.writes) {
    ISOLDE_YIELD("commit: before lookup");
    write.chain = database_.store().find(write.keyspace, write.key, write.hash);
    if (write.chain != nullptr) continue;
    ISOLDE_YIELD("commit: no chain");
    auto fresh = fresh_chain(write);
    if (!fresh) return fresh.error();
    write.fresh = std::move(*fresh);
  }
  return {};
}

Result<std::optional<std::string_view>> TransactionCore::base_image(
    const PreparedWrite& write) const {
  if (base_read_.view_serial == slot_.view_serial && base_read_.keyspace == write.keyspace &&
      base_read_.key == write.key) {
    return base_read_.found ? std::optional<std::string_view>(value_) : std::nullopt;
  }
  const engine::BaseLookup image = slot_.view.get(write.keyspace, write.key);
  if (image.status == engine::BaseLookup::Status::failed) {
    return database_.base().read_error(image.failure);
  }
  const bool found = image.status == engine::BaseLookup::Status::found;
  return found ? std::optional(image.value) : std::nullopt;
}

// A chain with the base image at its bottom (I2): what the base, or nobody, had before.
Result<ChainPtr> TransactionCore::fresh_chain(const PreparedWrite& write) {
  const auto image = base_image(write);
  if (!image) return image.error();
  ISOLDE_YIELD("commit: base image fetched");
  ChainPtr chain(Chain::create(write.keyspace, write.key, write.hash, OrderedIndex::draw_height()));
  Version* bottom = Version::create(*image);
  bottom->commit = database_.keyspaces().state(write.keyspace)->image_commit(image->has_value());
  chain->newest.store(bottom);
  return chain;
}

// It is visible: that it found no memory on the way to the disk must not sound as if nothing had
// happened.
Result<void> TransactionCore::persist(std::uint64_t needed) {
  try {
    return database_.log().persist(Timestamp{needed});
  } catch (const std::bad_alloc&) {
    return Error(
        ErrorCode::commit_outcome_unknown,
        "out of memory while the commit was made durable: it may or may not survive a crash");
  }
}

// I6: acknowledged means durable, and so is all that was observed. Nothing is held here (W1).
Result<Timestamp> TransactionCore::finish_commit(Timestamp commit, std::uint64_t needed) {
  const bool waits = database_.options().durability.kind != Durability::Kind::periodic ||
                     database_.log().failed();  // then it is never durable: I8
  if (waits && needed > database_.log().durable().value) {
    database_.pipeline().await_append(needed);
    auto persisted = persist(needed);
    if (!persisted) database_.note_log_failure();
    if (!persisted && !is_planted(PlantedFault::acknowledged_early)) {
      const Error& error = persisted.error();
      ended_by_ = error;
      database_.note_abort(error.code());
      if (database_.is_observed()) {
        id();
        tell([&](Observer& observer) { observer.on_abort(event_self(), &error); });
      }
      return error;
    }
  }
  has_committed_ = true;
  SlotCounters::bump(slot_.counters.committed);
  if (database_.is_observed()) {
    id();
    tell([&](Observer& observer) { observer.on_commit(event_self(), commit); });
  }
  return commit;
}

Result<void> TransactionCore::rollback() {
  Operation operation(*this);
  if (auto error = operation.error_but_for_doom()) {
    if (error->code() == ErrorCode::transaction_finished) {
      ended_by_.reset();
      return {};
    }
    return *error;
  }
  drop_private_state();
  SlotCounters::bump(slot_.counters.rolled_back);
  if (database_.is_observed()) {
    id();
    events_.push_back(
        [](Observer& observer, const EventTransaction& self) { observer.on_abort(self, nullptr); });
  }
  return {};
}

Error TransactionCore::phrase(const Conflict& conflict) {
  switch (conflict.kind) {
    case Conflict::Kind::snapshot_too_old:
      return too_old_error();
    case Conflict::Kind::database_failed:
      return database_.log().failure();
    case Conflict::Kind::keyspace_dropped:
      return keyspace_not_found(database_.keyspaces().name_of(conflict.keyspace));
    default:
      break;
  }
  return mvcc::conflict(conflict, database_.keyspaces().name_of(conflict.keyspace),
                        {id(), options_.label}, options_.isolation);
}

}  // namespace isolde::mvcc
