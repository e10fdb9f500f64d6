#include "mvcc/commit_pipeline.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "engine/invariant.h"
#include "engine/yield_point.h"
#include "mvcc/planted_fault.h"

namespace isolde::mvcc {
namespace {

Conflict newer_version(KeyspaceId keyspace, std::string_view key, const Version& newest,
                       std::uint64_t snapshot, bool was_read) {
  Conflict conflict;
  conflict.keyspace = keyspace;
  conflict.key = key;
  conflict.was_read = was_read;
  conflict.culprit.id = newest.writer;
  conflict.commit = newest.commit;
  conflict.snapshot = snapshot;
  return conflict;
}

Conflict newer_in_range(const RangeRead& range, const Chain& chain) {
  Conflict conflict =
      newer_version(range.keyspace, chain.key(), *chain.newest.load(), range.snapshot, true);
  conflict.kind = Conflict::Kind::newer_in_range;
  conflict.range = EvidenceRange{range.lower, range.upper};
  return conflict;
}

// A version after the snapshot, by version and never by value (trap 8).
bool is_changed(const Chain& chain, std::uint64_t snapshot) {
  const Version& newest = *chain.newest.load();
  if (newest.commit <= snapshot) return false;
  if (!is_planted(PlantedFault::values_compared)) return true;
  const Version* seen = chain.at(Timestamp{snapshot});
  return seen == nullptr || seen->seen() != newest.seen();
}

std::optional<std::string_view> newest_value(const PreparedWrite& prepared) {
  return (prepared.chain != nullptr ? prepared.chain : prepared.fresh.get())->newest.load()->seen();
}

}  // namespace

std::optional<std::int64_t> add_to(std::optional<std::string_view> text,
                                   std::int64_t delta) noexcept {
  std::int64_t value = 0;
  if (text) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc{} || end != text->data() + text->size()) return std::nullopt;
  }
  std::int64_t sum = 0;
  if (__builtin_add_overflow(value, delta, &sum)) return std::nullopt;
  return sum;
}

void encode(const std::vector<PreparedWrite>& writes, engine::CommitRecord& record) {
  for (const PreparedWrite& write : writes) {
    if (const auto value = write.write->version->seen()) {
      record.put(write.keyspace, write.key, *value);
    } else {
      record.erase(write.keyspace, write.key);
    }
  }
}

CommitPipeline::Outcome CommitPipeline::validate_outside(const PreparedCommit& prepared) {
  Outcome outcome;
  outcome.commit = visible();
  // Every chain with a version up to that commit is in key order after this.
  store_.merge_pending();
  outcome.conflict = validate_reads_directly(prepared);
  if (outcome.conflict) {
    outcome.kind = Outcome::Kind::refused;
    MutexLock lock(mutex_);
    name_culprit(*outcome.conflict);
  }
  return outcome;
}

CommitPipeline::Outcome CommitPipeline::commit(PreparedCommit& prepared) {
  Outcome outcome;
  ISOLDE_INVARIANT(prepared.slot->stay() == prepared.stay,
                   "C1: what was looked up is of this stay");
  const bool saw_pessimists = is_planted(PlantedFault::flag_read_outside) && has_pessimists();
  ISOLDE_YIELD("commit: before critical section");
  MutexLock lock(mutex_);
  const bool among_pessimists =
      is_planted(PlantedFault::flag_read_outside) ? saw_pessimists : has_pessimists();
  const bool must_lock = among_pessimists && !prepared.is_locked && !prepared.writes.empty();
  if (must_lock && !is_planted(PlantedFault::judged_before_locked)) {
    outcome.kind = Outcome::Kind::lock_first;
    return outcome;
  }
  if (!resolve_chains(prepared)) {
    outcome.kind = Outcome::Kind::prepare_again;
    return outcome;
  }
  if (!is_planted(PlantedFault::judged_before_locked) || !prepared.is_locked) {
    outcome.conflict = validate(prepared);
  }
  if (outcome.conflict) {
    outcome.kind = Outcome::Kind::refused;
    name_culprit(*outcome.conflict);
    return outcome;
  }
  if (must_lock) {
    outcome.kind = Outcome::Kind::lock_first;
    return outcome;
  }
  if (prepared.writes.empty()) {
    outcome.commit = visible();
    return outcome;
  }
  ISOLDE_YIELD("commit: validated");
  outcome.commit = visible() + 1;
  if (is_planted(PlantedFault::visible_before_installed)) visible_.store(outcome.commit);
  install(prepared, outcome.commit);
  ISOLDE_YIELD("commit: installed");
  visible_.store(outcome.commit);
  ISOLDE_YIELD("commit: visible");
  log_.append(Timestamp{outcome.commit}, std::move(prepared.record).take(),
              std::move(prepared.reservation));
  prepared.recent = recent_.remember(std::move(prepared.recent));
  lock.unlock();
  return outcome;
}

void CommitPipeline::pessimist_arrives() {
  std::uint64_t alive = pessimists_.load();
  while (alive != 0) {
    if (pessimists_.compare_exchange_weak(alive, alive + 1)) return;
  }
  if (is_planted(PlantedFault::flag_raised_outside)) {
    pessimists_.fetch_add(1);
    return;
  }
  MutexLock lock(mutex_);
  pessimists_.fetch_add(1);
}

std::optional<Conflict> CommitPipeline::find_newer(KeyspaceId keyspace, std::string_view key,
                                                   std::uint64_t hash, std::uint64_t snapshot,
                                                   bool was_read) {
  const Chain* chain = store_.find(keyspace, key, hash);
  if (chain == nullptr) return std::nullopt;
  const Version& newest = *chain->newest.load();
  if (newest.commit <= snapshot) return std::nullopt;
  Conflict conflict = newer_version(keyspace, key, newest, snapshot, was_read);
  MutexLock lock(mutex_);
  name_culprit(conflict);
  return conflict;
}

bool CommitPipeline::resolve_chains(PreparedCommit& prepared) {
  for (PreparedWrite& write : prepared.writes) {
    if (write.chain != nullptr && !write.chain->dropped) continue;
    if (write.fresh && is_planted(PlantedFault::base_image_not_rechecked)) continue;
    write.chain = store_.find(write.keyspace, write.key, write.hash);
    // A base image is used only if there is still no chain (C1).
    if (write.chain == nullptr && !write.fresh) return false;
  }
  return true;
}

std::optional<Conflict> CommitPipeline::validate(const PreparedCommit& prepared) {
  if (failed_ || log_.failed()) {
    Conflict conflict;
    conflict.kind = Conflict::Kind::database_failed;
    return conflict;
  }
  if (prepared.slot->is_too_old()) {
    Conflict conflict;
    conflict.kind = Conflict::Kind::snapshot_too_old;
    return conflict;
  }
  if (prepared.reads != nullptr && !prepared.reads->empty()) {
    auto conflict = prepared.validated_at ? validate_since(prepared, *prepared.validated_at)
                                          : validate_reads_directly(prepared);
    if (conflict) return conflict;
  }
  return validate_writes(prepared);
}

std::optional<Conflict> CommitPipeline::validate_writes(const PreparedCommit& prepared) {
  const bool first_committer_wins = prepared.isolation == Isolation::repeatable_read &&
                                    !is_planted(PlantedFault::first_committer_ignored);
  for (const PreparedWrite& write : prepared.writes) {
    const KeyspaceState* keyspace = keyspaces_.state(write.keyspace);
    if (keyspace->dropped.load() != KeyspaceState::never) {
      Conflict conflict;
      conflict.kind = Conflict::Kind::keyspace_dropped;
      conflict.keyspace = write.keyspace;
      return conflict;
    }
    if (first_committer_wins) {
      // A fresh one as well: its base image may be what a bulk load brought.
      const Chain& chain = write.chain != nullptr ? *write.chain : *write.fresh;
      if (is_changed(chain, *prepared.snapshot)) {
        return newer_version(write.keyspace, write.key, *chain.newest.load(), *prepared.snapshot,
                             false);
      }
    }
    if (auto conflict = check_condition(write)) return conflict;
  }
  return std::nullopt;
}

// Evaluated on the newest version (C6). Only read committed and below leave conditions, all leave
// sums.
std::optional<Conflict> CommitPipeline::check_condition(const PreparedWrite& prepared) const {
  const Write& write = *prepared.write;
  if (write.condition == Condition::none && !write.delta) return std::nullopt;
  const auto newest = newest_value(prepared);
  const bool holds =
      (write.condition != Condition::absent || !newest) &&
      (write.condition != Condition::equals || (newest && *newest == write.expected->value()));
  const bool adds = !write.delta || add_to(newest, *write.delta);
  if (holds && adds) return std::nullopt;
  const Chain& chain = *(prepared.chain != nullptr ? prepared.chain : prepared.fresh.get());
  Conflict conflict =
      newer_version(prepared.keyspace, prepared.key, *chain.newest.load(), visible(), false);
  conflict.kind = holds ? Conflict::Kind::not_a_sum : Conflict::Kind::condition_failed;
  if (holds) {
    constexpr std::size_t most_told = 128;
    conflict.value = newest->substr(0, most_told);
    conflict.is_integer = add_to(newest, 0).has_value();
  }
  return conflict;
}

std::optional<Conflict> CommitPipeline::validate_reads_directly(
    const PreparedCommit& prepared) const {
  const ReadSet& reads = *prepared.reads;
  for (const KeyRead& read : reads.keys()) {
    if (auto conflict = check_loaded(read.keyspace, read.snapshot, reads.key_of(read))) {
      return conflict;
    }
    const Chain* chain = store_.find(read.keyspace, reads.key_of(read), read.hash);
    if (chain == nullptr) continue;
    if (is_changed(*chain, read.snapshot)) {
      return newer_version(read.keyspace, reads.key_of(read), *chain->newest.load(), read.snapshot,
                           true);
    }
  }
  for (const RangeRead& range : reads.ranges()) {
    if (auto conflict = check_loaded(range.keyspace, range.snapshot, range.lower)) return conflict;
    if (auto conflict = validate_range(range)) return conflict;
  }
  return std::nullopt;
}

// A bulk load is a commit that no chain tells of: who read its keyspace before it is refused, and
// seldom enough for no look at which keys it brought.
std::optional<Conflict> CommitPipeline::check_loaded(KeyspaceId keyspace, std::uint64_t snapshot,
                                                     std::string_view key) const {
  const KeyspaceState* state = keyspaces_.state(keyspace);
  if (!state->is_loaded_after(snapshot)) return std::nullopt;
  Conflict conflict;
  conflict.keyspace = keyspace;
  conflict.key = key;
  conflict.was_read = true;
  conflict.commit = state->loaded;
  conflict.snapshot = snapshot;
  return conflict;
}

std::optional<Conflict> CommitPipeline::validate_range(const RangeRead& range) const {
  if (is_planted(PlantedFault::ranges_not_validated)) return std::nullopt;
  const Chain* chain = store_.order().first_at_or_after({range.keyspace, range.lower});
  for (; chain != nullptr && range.contains(chain->keyspace, chain->key());
       chain = chain->link(0).load()) {
    // Tombstones count: an entry that vanished was observed too (trap 2).
    if (is_changed(*chain, range.snapshot)) return newer_in_range(range, *chain);
  }
  return std::nullopt;
}

std::optional<Conflict> CommitPipeline::validate_since(const PreparedCommit& prepared,
                                                       std::uint64_t since) {
  const ReadSet& reads = *prepared.reads;
  for (std::uint64_t commit = since + 1; commit <= visible(); ++commit) {
    const RecentCommit* recent = recent_.find(commit);
    if (recent == nullptr) {
      // Forgotten by the ring, or a keyspace was created or dropped: look at everything once more.
      store_.merge_pending();
      return validate_reads_directly(prepared);
    }
    for (const Chain* chain : recent->chains) {
      const auto first = std::lower_bound(
          prepared.reads_by_hash.begin(), prepared.reads_by_hash.end(), chain->hash,
          [&](std::uint32_t place, std::uint64_t hash) { return reads.keys()[place].hash < hash; });
      for (auto at = first; at != prepared.reads_by_hash.end(); ++at) {
        const KeyRead& read = reads.keys()[*at];
        if (read.hash != chain->hash) break;
        if (read.keyspace == chain->keyspace && reads.key_of(read) == chain->key() &&
            is_changed(*chain, read.snapshot)) {
          return newer_version(read.keyspace, chain->key(), *chain->newest.load(), read.snapshot,
                               true);
        }
      }
      for (const RangeRead& range : reads.ranges()) {
        if (is_planted(PlantedFault::ranges_not_validated)) break;
        if (range.contains(chain->keyspace, chain->key()) && is_changed(*chain, range.snapshot)) {
          return newer_in_range(range, *chain);
        }
      }
    }
  }
  return std::nullopt;
}

void CommitPipeline::install(PreparedCommit& prepared, std::uint64_t commit) {
  RecentCommit& recent = *prepared.recent;
  recent.commit = commit;
  // Before `visible`: who finds the private copy later can tell that it is committed (R8).
  prepared.slot->writes.commit.store(commit);
  for (PreparedWrite& prepared_write : prepared.writes) {
    Write& write = *prepared_write.write;
    if (write.delta) {
      std::array<char, 24> digits{};
      const auto sum = add_to(newest_value(prepared_write), *write.delta);
      const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), *sum).ptr;
      write.version->assign({digits.data(), static_cast<std::size_t>(end - digits.data())});
    }
    write.version->commit = commit;
    write.version->writer = recent.id;
  }
  if (prepared.encode_late) encode(prepared.writes, prepared.record);
  for (PreparedWrite& write : prepared.writes) {
    const std::size_t half = (prepared.writes.size() + 1) / 2;
    if (is_planted(PlantedFault::half_published) && recent.chains.size() == half) return;
    Chain* chain = write.chain;
    if (chain != nullptr) {
      store_.install_version(*chain, write.write->version.get());
    } else {
      chain = write.fresh.get();
      Version* version = write.write->version.get();
      version->older.store(chain->newest.load());
      chain->newest.store(version);
      store_.install_chain(std::move(write.fresh));
    }
    recent.chains.push_back(chain);
    ISOLDE_YIELD("commit: one installed");
  }
}

void CommitPipeline::name_culprit(Conflict& conflict) const {
  if (const RecentCommit* recent = recent_.find(conflict.commit)) {
    conflict.culprit = {recent->id, recent->label};
  }
}

CommitPipeline::Outcome CommitPipeline::create_keyspace(KeyspaceId id, std::string_view name,
                                                        std::string entry,
                                                        engine::LogReservation reservation,
                                                        bool loaded) {
  Outcome outcome;
  MutexLock lock(mutex_);
  if (failed_ || log_.failed() || keyspaces_.find(name)) {
    outcome.kind = Outcome::Kind::refused;
    return outcome;
  }
  outcome.commit = visible() + 1;
  keyspaces_.create(id, name, outcome.commit, loaded, [&] { visible_.store(outcome.commit); });
  ISOLDE_YIELD("create: can be found");
  log_.append(Timestamp{outcome.commit}, std::move(entry), std::move(reservation));
  return outcome;
}

CommitPipeline::Outcome CommitPipeline::drop_keyspace(KeyspaceId id,
                                                      const std::function<bool()>& is_held,
                                                      std::string& entry,
                                                      engine::LogReservation& reservation) {
  Outcome outcome;
  ISOLDE_YIELD("drop: before critical section");
  MutexLock lock(mutex_);
  const KeyspaceState* state = keyspaces_.state(id);
  if (failed_ || log_.failed() || state->dropped.load() != KeyspaceState::never) {
    outcome.kind = Outcome::Kind::refused;
    return outcome;
  }
  keyspaces_.announce_drop(id);
  ISOLDE_YIELD("drop: announced");
  outcome.commit = visible() + 1;
  try {
    if (is_held()) {
      outcome.kind = Outcome::Kind::held;
    } else {
      ISOLDE_YIELD("drop: nobody looks");
      keyspaces_.drop(id, outcome.commit);
    }
  } catch (...) {
    keyspaces_.withdraw_drop(id);
    throw;
  }
  if (outcome.kind == Outcome::Kind::held) {
    keyspaces_.withdraw_drop(id);
    return outcome;
  }
  visible_.store(outcome.commit);
  ISOLDE_YIELD("drop: visible");
  log_.append(Timestamp{outcome.commit}, std::move(entry), std::move(reservation));
  return outcome;
}

void CommitPipeline::fail() {
  MutexLock lock(mutex_);
  failed_ = true;
  visible_.store(log_.durable().value);
  keyspaces_.roll_back(log_.durable().value);
}

}  // namespace isolde::mvcc
