// Creating, dropping and loading keyspaces (K1).
#include <algorithm>
#include <new>
#include <thread>
#include <utility>

#include "mvcc/database_core.h"
#include "mvcc/longest_wait.h"
#include "mvcc/transaction_core.h"
#include "mvcc/transaction_errors.h"

namespace isolde::mvcc {
namespace {

Error bad_name(std::string_view name, std::string_view why) {
  Evidence evidence;
  evidence.keyspace = name;
  return {ErrorCode::invalid_argument,
          "the keyspace name " + isolde::quoted(name) + " " + std::string(why) +
              "; a name has 1 to 255 bytes without NUL and does not begin with 'isolde:'",
          std::move(evidence)};
}

std::optional<Error> check_name(std::string_view name) {
  if (name.empty()) return bad_name(name, "is empty");
  if (name.size() > max_keyspace_name_bytes) return bad_name(name, "is too long");
  if (name.find('\0') != std::string_view::npos) return bad_name(name, "has a NUL byte");
  if (name.starts_with("isolde:")) return bad_name(name, "is reserved");
  return std::nullopt;
}

}  // namespace

Result<Keyspace> DatabaseCore::find_keyspace(std::string_view name) const {
  if (auto found = keyspaces_.find(name)) return *found;
  return keyspace_not_found(name);
}

std::optional<Error> DatabaseCore::check_keyspace_count() const {
  if (keyspaces_.list().size() < options_.max_keyspaces) return std::nullopt;
  return Error(ErrorCode::invalid_argument,
               "the database has its " + std::to_string(options_.max_keyspaces) +
                   " keyspaces already (Options::max_keyspaces); open it with a higher limit");
}

Result<Keyspace> DatabaseCore::create_keyspace(std::string_view name) {
  if (is_inherited()) return inherited();
  if (auto error = check_name(name)) return *error;
  if (auto found = keyspaces_.find(name)) {
    // Another thread may be waiting for its creation to be durable still (I6).
    auto persisted = persist_visible(keyspaces_.state(found->id())->created);
    if (!persisted) return persisted.error();
    return *found;
  }
  if (options_.read_only) return read_only_refused(true);
  if (auto error = check_keyspace_count()) return *error;
  const auto id = keyspaces_.reserve_id();
  if (!id) {
    return Error(ErrorCode::invalid_argument, "this database has used up its keyspace ids");
  }
  if (auto room = wait_for_room(); !room) return room.error();
  engine::CommitRecord record;
  record.create_keyspace(*id, name);
  auto created = commit_keyspace_change(record.size(), [&](engine::LogReservation reservation) {
    return pipeline_->create_keyspace(*id, name, std::move(record).take(), std::move(reservation));
  });
  if (!created) return created.error();
  // Ours, even if it has been dropped again since; or another thread's, which may be gone.
  if (const KeyspaceState* state = keyspaces_.state(*id)) return state->handle;
  return create_keyspace(name);
}

Result<void> DatabaseCore::commit_keyspace_change(
    std::size_t bytes,
    const std::function<CommitPipeline::Outcome(engine::LogReservation)>& commit) {
  if (log_->failed()) return log_->failure();
  auto reservation = log_->reserve(bytes);
  if (!reservation) return reservation.error();
  const auto outcome = commit(std::move(*reservation));
  // Refused: someone else has just done the same (or the log failed): as good as done by us, once
  // it is as durable.
  if (outcome.kind == CommitPipeline::Outcome::Kind::refused) {
    if (log_->failed()) return log_->failure();
    return persist_visible(pipeline_->visible());
  }
  return persist_visible(outcome.commit);
}

Result<void> DatabaseCore::persist_visible(std::uint64_t commit) {
  if (commit <= log_->durable().value) return {};
  pipeline_->await_append(commit);
  auto persisted = log_->persist(Timestamp{commit});
  if (!persisted) note_log_failure();
  return persisted;
}

// A drop holds nothing while it waits for those who may still look: it asks, and asks again later,
// so that no waits-for graph needs to know of it, and its wait has an end whatever they do (K1).
Result<void> DatabaseCore::drop_keyspace(std::string_view name,
                                         std::chrono::milliseconds patience) {
  if (is_inherited()) return inherited();
  if (options_.read_only) return read_only_refused(true);
  constexpr std::chrono::milliseconds between_looks{1};
  const auto deadline =
      std::chrono::steady_clock::now() + std::clamp(patience, -longest_wait, longest_wait);
  const auto found = keyspaces_.find(name);
  if (!found) return keyspace_not_found(name);
  if (auto room = wait_for_room(); !room) return room;
  engine::CommitRecord record;
  record.drop_keyspace(found->id(), name);
  auto reservation = log_->reserve(record.size());
  if (!reservation) return reservation.error();
  std::string entry = std::move(record).take();
  for (;;) {
    std::optional<Error> busy;
    const auto outcome = try_drop(*found, entry, *reservation, busy);
    if (outcome.kind == CommitPipeline::Outcome::Kind::refused && log_->failed()) {
      return log_->failure();
    }
    if (outcome.kind == CommitPipeline::Outcome::Kind::refused) {
      // Someone else has done the same: as good as done by us, once it is as durable.
      return persist_visible(pipeline_->visible());
    }
    if (!busy) return persist_visible(outcome.commit);
    if (std::chrono::steady_clock::now() >= deadline) return *busy;
    std::this_thread::sleep_for(between_looks);
  }
}

// Under an exclusive lock on the whole keyspace, which no holder of a lock in it lets it have; only
// for as long as that takes. `busy`: who stands in the way.
CommitPipeline::Outcome DatabaseCore::try_drop(const Keyspace& keyspace, std::string& entry,
                                               engine::LogReservation& reservation,
                                               std::optional<Error>& busy) {
  constexpr int looks_while_pending = 1000;
  // One try at a time: the lock of another drop's is no ground for keyspace_busy.
  MutexLock only(drops_mutex_);
  const std::string label = "drop of " + isolde::quoted(keyspace.name());
  LockOwner owner;
  owner.id = next_transaction_id();
  owner.label = label;
  owner.locking = Locking::pessimistic;
  owner.begun = next_begun(Locking::pessimistic);
  const KeyRange everything;
  LockAsk ask;
  ask.keyspace = keyspace.id();
  ask.range = &everything;
  struct Release {
    LockTable& locks;
    LockOwner& owner;
    ~Release() { locks.release_all(owner); }
  } const release{*locks_, owner};
  auto answer = locks_->request(owner, ask, false);
  locks_->settle(answer.aftermath);
  CommitPipeline::Outcome outcome;
  outcome.kind = CommitPipeline::Outcome::Kind::held;
  if (answer.kind != LockTable::Answer::Kind::granted) {
    busy = keyspace_busy(keyspace.name(),
                         answer.waits_for.empty() ? TransactionRef() : answer.waits_for[0].holder,
                         std::nullopt);
    return outcome;
  }
  std::optional<SnapshotRegistry::DropHolder> holder;
  for (int look = 0; look < looks_while_pending; ++look) {
    outcome = pipeline_->drop_keyspace(
        keyspace.id(),
        [&] {
          holder = registry_->drop_holder();
          return holder.has_value();
        },
        entry, reservation);
    if (outcome.kind != CommitPipeline::Outcome::Kind::held) return outcome;
    if (!holder->is_pending) break;
    SnapshotRegistry::wait_for_gate();
  }
  TransactionRef who;
  if (const TransactionCore* core = holder->slot->published_core.load()) who = core->reference();
  busy = keyspace_busy(keyspace.name(), who, holder->snapshot);
  return outcome;
}

Error DatabaseCore::keyspace_busy(std::string_view name, const TransactionRef& holder,
                                  std::optional<std::uint64_t> snapshot) {
  Evidence evidence;
  evidence.keyspace = name;
  if (snapshot) evidence.snapshot = Timestamp{*snapshot};
  evidence.culprit = holder;
  return {ErrorCode::keyspace_busy,
          "keyspace " + isolde::quoted(name) + " cannot be dropped yet: " +
              (holder.label.empty() ? std::string("a transaction") : isolde::quoted(holder.label)) +
              (snapshot ? " still reads at snapshot " + std::to_string(*snapshot)
                        : std::string(" holds locks")) +
              "; end it, or wait longer",
          std::move(evidence)};
}

Result<std::uint64_t> DatabaseCore::bulk_load(std::string_view name,
                                              const Database::EntrySource& source) {
  if (is_inherited()) return inherited();
  if (auto error = check_name(name)) return *error;
  if (options_.read_only) return read_only_refused(true);
  if (log_->failed()) return log_->failure();
  if (keyspaces_.find(name)) return loaded_name_exists(name);
  if (auto error = check_keyspace_count()) return *error;
  const auto id = keyspaces_.reserve_id();
  if (!id) {
    return Error(ErrorCode::invalid_argument, "this database has used up its keyspace ids");
  }
  for (;;) {
    // A keyspace of that name may have been dropped in the log and not yet in the base.
    if (auto carried = carry_into_base(); !carried) return carried.error();
    auto loaded = checkpointer_->exclusive([&] { return try_load(*id, name, source); });
    if (loaded) return *std::move(loaded);
  }
}

// Under the checkpoint mutex. Nothing: one of that name came into the base and was dropped since.
std::optional<Result<std::uint64_t>> DatabaseCore::try_load(KeyspaceId id, std::string_view name,
                                                            const Database::EntrySource& source) {
  // Another load, for one, while this one waited for its turn.
  if (keyspaces_.find(name)) return loaded_name_exists(name);
  const auto has_name = [&](const engine::KeyspaceInfo& keyspace) { return keyspace.name == name; };
  const auto in_base = base_->keyspaces();
  const auto loads = base_->unclaimed_loads();
  if (std::any_of(in_base.begin(), in_base.end(), has_name) ||
      std::any_of(loads.begin(), loads.end(), has_name)) {
    return std::nullopt;
  }
  const auto pairs = [&]() -> Result<std::optional<std::pair<std::string_view, std::string_view>>> {
    using Pair = std::pair<std::string_view, std::string_view>;
    auto entry = source();
    if (!entry) return entry.error();
    if (!*entry) return std::optional<Pair>{};
    return std::optional<Pair>(Pair{(*entry)->key, (*entry)->value});
  };
  auto loaded = base_->load(id, name, pairs, [&] { return checkpointer_->grow_map(); });
  if (!loaded) {
    reclaimer_->note_base_version();
    return loaded;
  }
  // Once its creation is a commit the load stays, whatever becomes of it. (If this fails, the next
  // checkpoint discards it.)
  const auto discard_unless_made = [&] {
    if (keyspaces_.state(id) != nullptr) return;
    if (!log_->failed()) static_cast<void>(base_->discard_load(id));
    reclaimer_->note_base_version();
  };
  try {
    reclaimer_->note_base_version();
    // Without waiting for room: the checkpoint that would make some waits for us (W1).
    engine::CommitRecord record;
    record.create_keyspace(id, name);
    auto created = commit_keyspace_change(record.size(), [&](engine::LogReservation reservation) {
      return pipeline_->create_keyspace(id, name, std::move(record).take(), std::move(reservation),
                                        true);
    });
    discard_unless_made();
    if (!created) return created.error();
    if (keyspaces_.state(id) == nullptr) return loaded_name_exists(name);
    return loaded;
  } catch (const std::bad_alloc&) {
    discard_unless_made();
    throw;
  }
}

Error DatabaseCore::loaded_name_exists(std::string_view name) {
  return {ErrorCode::already_exists,
          "keyspace " + isolde::quoted(name) +
              " exists; a bulk load makes a new one: drop it first, or write with transactions"};
}

// All that is visible now, though the log may not have it durably yet, and though a checkpoint may
// have to take smaller steps.
Result<void> DatabaseCore::carry_into_base() {
  const std::uint64_t visible = pipeline_->visible();
  if (auto persisted = persist_visible(visible); !persisted) return persisted;
  do {
    if (auto checkpointed = checkpointer_->run(); !checkpointed) return checkpointed;
  } while (base_->at().value < visible);
  return {};
}

}  // namespace isolde::mvcc
