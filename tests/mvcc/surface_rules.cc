// What commits may do and must not, what refusals must be about, locks, keyspaces, survival.
#include <algorithm>

#include "tests/mvcc/surface_judge.h"

namespace isolde::test::surface {

void Judge::judge_transaction(const Txn& txn) {
  if (txn.read_only && !txn.own.empty()) fault(txn, "is read-only, and has written");
  judge_snapshot(txn);
  judge_reads(txn);
  if (txn.end == End::committed) judge_commit(txn);
  for (const Refusal& refusal : txn.refusals) judge_refusal(txn, refusal);
  judge_cancelled(txn);
  judge_locks(txn);
}

void Judge::judge_snapshot(const Txn& txn) {
  if (!txn.snapshot) return;
  const Bounds in = bounds(*txn.first);
  if (*txn.snapshot < in.least) {
    fault(txn, "has the snapshot " + std::to_string(*txn.snapshot) + ", though " +
                   std::to_string(in.least) + " was there before its first operation");
  }
  if (*txn.snapshot > in.most) {
    fault(txn, "has a snapshot from after its first operation");
  }
}

void Judge::judge_commit(const Txn& txn) {
  const bool writes = !txn.own.empty();
  // What it depends on had not changed when it was judged.
  const std::uint64_t commit = writes ? txn.commit : txn.ended.visible_before + 1;
  if (!writes && txn.snapshot && txn.commit != *txn.snapshot && txn.commit != 0) {
    fault(txn, "wrote nothing, and committed at " + std::to_string(txn.commit) +
                   " instead of its snapshot " + std::to_string(*txn.snapshot));
  }
  if (txn.isolation == Isolation::repeatable_read && txn.snapshot) {
    for (const auto& [place, own] : txn.own) {
      if (timeline_.changed(place, *txn.snapshot, commit)) {
        fault(txn, "wrote " + place.key +
                       ", of which another's version lies between its snapshot " +
                       std::to_string(*txn.snapshot) + " and its commit " + std::to_string(commit));
      }
    }
  }
  for (const auto& [place, own] : txn.own) {
    const Value below = timeline_.at(commit - 1, place);
    for (const Own::Condition& condition : own.conditions) {
      if (condition.holds(below)) continue;
      fault(txn, "its insert or compare_and_set of " + place.key + ", which saw " +
                     shown(condition.expected) + ", went over " + shown(below) + " at " +
                     std::to_string(commit));
    }
  }
  judge_dependencies(txn, commit);
}

void Judge::judge_dependencies(const Txn& txn, std::uint64_t commit) {
  if (txn.is_pessimistic()) return;  // its locks are judged
  const bool serializable = txn.isolation == Isolation::serializable;
  if (txn.own.empty() && !txn.depends_on_reads()) return;
  for (const Read& read : txn.reads) {
    const bool depends = read.depends || (serializable && read.tracked);
    if (!depends) continue;
    std::uint64_t after = 0;
    if (read.snapshot) {
      after = *read.snapshot;
    } else {
      const auto moments = moments_of(txn, read);
      if (moments.empty()) continue;
      after = moments.back();
    }
    const auto check = [&](const Place& place) {
      const auto own = read.own.find(place);
      if (own != read.own.end() && own->second.fixed && !read.depends) return;
      if (!timeline_.changed(place, after, commit)) return;
      fault(txn, "read " + place.key + " at " + std::to_string(after) +
                     ", and it had changed before its commit at " + std::to_string(commit));
    };
    if (!read.is_scan) {
      check(read.place);
    } else if (serializable) {
      timeline_.for_each(read.place.keyspace, observed(read), check);
    } else {
      for (const auto& [key, value] : read.entries) check({read.place.keyspace, key});
    }
  }
}

void Judge::judge_cancelled(const Txn& txn) {
  if (txn.cancel_done == never) return;
  for (const PrivateWrite& write : txn.writes) {
    if (write.there.from > txn.cancel_done) fault(txn, "went on after it was cancelled");
  }
  if (txn.end == End::committed && txn.ended.span.from > txn.cancel_done) {
    fault(txn, "committed after it was cancelled");
  }
}

// Which refusals there may be, of what. Those of insert and compare_and_set are judged as reads.
void Judge::judge_refusal(const Txn& txn, const Refusal& refusal) {
  const Error& error = refusal.error;
  const Evidence& evidence = error.evidence();
  const auto unless = [&](bool expected, const char* why) {
    if (!expected) fault(txn, why + (": " + refusal.what + ": ") + error.to_string());
  };
  const bool armed = is_armed(refusal.moment);
  switch (error.code()) {
    case ErrorCode::write_conflict:
    case ErrorCode::serialization_failure:
      unless(conflict_is_real(txn, refusal), "that conflict is over nothing");
      unless(refusal.at_commit || txn.is_pessimistic(), "an optimist is judged at its commit");
      return;
    case ErrorCode::deadlock:
      unless(txn.is_pessimistic() || refusal.at_commit, "it took no locks");
      unless(!evidence.cycle.empty() || plan_.options.deadlock_strategy != DeadlockStrategy::detect,
             "there is no cycle");
      return;
    case ErrorCode::snapshot_too_old:
      return unless(plan_.small_memory, "there was memory enough");
    case ErrorCode::cancelled:
      return unless(txn.cancel_asked < refusal.moment.span.to, "nobody cancelled it");
    case ErrorCode::lock_timeout:
    case ErrorCode::lock_not_available: {
      unless(refusal.may_give_up, "it waits as long as it takes");
      if (!refusal.place) return;
      HeldLock wanted{*refusal.place, {}, LockMode::exclusive, refusal.moment};
      if (wanted.place.key.empty()) wanted.range = KeyRange::all();
      return unless(possibly_locked(txn, wanted), "nobody else could have a lock there");
    }
    case ErrorCode::too_many_locks:
      return unless(plan_.options.max_locks_per_transaction < 100, "it has few");
    case ErrorCode::already_exists:
      return unless(refusal.what.starts_with("insert"), "it does not say so");
    case ErrorCode::compare_failed:
      return unless(refusal.what.starts_with("compare"), "it does not say so");
    case ErrorCode::read_only:
      return unless(txn.read_only, "it may write");
    case ErrorCode::keyspace_not_found:
      return judge_missing_keyspace(txn, refusal);
    case ErrorCode::invalid_argument:
      return unless(refusal.what.starts_with("add") ||
                        refusal.what.find("nowait") != std::string::npos ||
                        refusal.what.find("skip locked") != std::string::npos,
                    "nothing is wrong with it");
    case ErrorCode::commit_outcome_unknown:
    case ErrorCode::database_failed:
      return unless(armed, "nothing had failed");
    default:
      return unless(false, "no such thing happened");
  }
}

// It names a newer version that is there, of something that the transaction depends on.
bool Judge::conflict_is_real(const Txn& txn, const Refusal& refusal) const {
  const Evidence& evidence = refusal.error.evidence();
  if (is_armed(refusal.moment)) return true;
  const Bounds in = bounds(refusal.moment);
  if (evidence.conflict) {
    const std::uint64_t newer = evidence.conflict->value;
    const std::uint64_t snapshot =
        refusal.snapshot ? *refusal.snapshot : evidence.snapshot.value_or(Timestamp{0}).value;
    const bool later = newer > snapshot || !refusal.snapshot;
    for (const auto& [id, life] : timeline_.lives) {
      if (life.name != evidence.keyspace) continue;
      // A change of the catalogue is a commit like others.
      if (later && (life.created == newer || life.dropped == newer)) return true;
      const Place place{id, evidence.key.value_or("")};
      if (later && timeline_.has_version(place, newer) && may_depend_on(txn, refusal, place)) {
        return true;
      }
    }
  }
  // A condition that the newest state does not fulfil, or a sum over what is no number.
  if (refusal.error.code() != ErrorCode::write_conflict || !refusal.at_commit) return false;
  for (const auto& [place, own] : refusal.own) {
    for (std::uint64_t at = in.least; at <= in.most; ++at) {
      const Value below = timeline_.at(at, place);
      if (!own.over(below)) return true;
      for (const Own::Condition& condition : own.conditions) {
        if (!condition.holds(below)) return true;
      }
    }
  }
  return false;
}

bool Judge::may_depend_on(const Txn& txn, const Refusal& refusal, const Place& place) const {
  if (refusal.own.count(place) != 0) {
    const Own& own = refusal.own.at(place);
    if (txn.isolation == Isolation::repeatable_read || !own.conditions.empty()) return true;
  }
  if (refusal.place && *refusal.place == place) return true;
  if (!refusal.at_commit && refusal.place && refusal.place->key.empty()) return true;
  const bool serializable = txn.isolation == Isolation::serializable;
  return std::any_of(txn.reads.begin(), txn.reads.end(), [&](const Read& read) {
    if (read.place.keyspace != place.keyspace) return false;
    if (!read.depends && !(serializable && read.tracked)) return false;
    return read.is_scan ? observed(read).contains(place.key) : read.place.key == place.key;
  });
}

void Judge::judge_missing_keyspace(const Txn& txn, const Refusal& refusal) {
  if (is_armed(refusal.moment)) return;
  const std::uint64_t most = bounds(refusal.moment).most;
  const auto gone = [&](std::uint32_t keyspace) {
    const Keyspaces::Life* life = timeline_.life(keyspace);
    if (life == nullptr || life->dropped == never) return life == nullptr;
    if (refusal.snapshot) {
      return life->dropped <= *refusal.snapshot || may_have_missed(txn, *life);
    }
    // It is gone a moment before the commit that takes it is visible.
    const CatalogueCall* drop = drop_of(*life);
    return life->dropped <= most || (life->dropped == most + 1 && drop != nullptr &&
                                     drop->moment.span.from < refusal.moment.span.to);
  };
  bool any = refusal.place && gone(refusal.place->keyspace);
  if (refusal.at_commit) {
    for (const auto& [place, own] : refusal.own) any = any || gone(place.keyspace);
  }
  if (any) return;
  fault(txn, "a keyspace is missing that is there for this transaction: " + refusal.what +
                 (refusal.snapshot ? " at snapshot " + std::to_string(*refusal.snapshot) : ""));
}

const CatalogueCall* Judge::drop_of(const Keyspaces::Life& life) const {
  for (const CatalogueCall& call : history_.catalogue) {
    const bool drops = call.kind == CatalogueCall::Kind::drop && call.name == life.name;
    if (drops && made_at(call, life.dropped)) return &call;
  }
  return nullptr;
}

// Its snapshot is the last one before the drop, and was taken while the drop was on its way and had
// looked already. Nothing else happened at the drop's commit, so for who has never looked into the
// keyspace the one is as good as the other (K1).
bool Judge::may_have_missed(const Txn& txn, const Keyspaces::Life& life) const {
  const CatalogueCall* drop = drop_of(life);
  if (drop == nullptr || !txn.snapshot || *txn.snapshot + 1 != life.dropped) return false;
  if (drop->moment.span.from > txn.first->span.to) return false;
  return std::none_of(txn.reads.begin(), txn.reads.end(),
                      [&](const Read& read) { return read.place.keyspace == life.id; });
}

bool Judge::overlap(const HeldLock& a, const HeldLock& b) {
  if (a.place.keyspace != b.place.keyspace) return false;
  if (!a.range && !b.range) return a.place.key == b.place.key;
  if (!a.range) return b.range->contains(a.place.key);
  if (!b.range) return a.range->contains(b.place.key);
  const bool a_ends_before = a.range->upper && *a.range->upper <= b.range->lower;
  const bool b_ends_before = b.range->upper && *b.range->upper <= a.range->lower;
  return !a_ends_before && !b_ends_before;
}

// Another transaction may have had, or have waited for, a lock there meanwhile.
bool Judge::possibly_locked(const Txn& txn, const HeldLock& wanted) const {
  const Span& when = wanted.granted.span;
  // A drop has the whole keyspace locked while it looks whether it may.
  const Keyspaces::Life* life = timeline_.life(wanted.place.keyspace);
  for (const CatalogueCall& call : history_.catalogue) {
    const Span& span = call.moment.span;
    if (call.kind == CatalogueCall::Kind::drop && life != nullptr && call.name == life->name &&
        span.from <= when.to && span.to >= when.from) {
      return true;
    }
  }
  for (const auto& other : history_.transactions) {
    if (other.get() == &txn) continue;
    const std::uint64_t end = other->end == End::open ? never : other->ended.span.to;
    if (end < when.from) continue;
    for (const HeldLock& lock : other->locks) {
      if (lock.granted.span.from <= when.to && overlap(lock, wanted)) return true;
    }
    if (other->is_pessimistic()) continue;
    // An optimist's commit locks what it writes.
    const auto commits_meanwhile = [&](const Moment& commit, const OwnWrites& own) {
      if (commit.span.from > when.to || commit.span.to < when.from) return false;
      return std::any_of(own.begin(), own.end(), [&](const auto& entry) {
        return overlap({entry.first, {}, LockMode::exclusive, {}}, wanted);
      });
    };
    if (other->end != End::open && commits_meanwhile(other->ended, other->own)) return true;
    for (const Refusal& refusal : other->refusals) {
      if (refusal.at_commit && commits_meanwhile(refusal.moment, refusal.own)) return true;
    }
  }
  return false;
}

// What is locked is not written under it, nor locked by another in a mode that does not go along.
void Judge::judge_locks(const Txn& txn) {
  if (history_.faults_armed != never || txn.end == End::open) return;
  const bool writes = txn.end == End::committed && !txn.own.empty();
  const std::uint64_t until = writes ? txn.commit : txn.ended.visible_before + 1;
  for (const HeldLock& lock : txn.locks) {
    if (!lock.certain) continue;
    for (const auto& [commit, other] : commits_) {
      if (other == &txn || commit <= lock.granted.visible_after || commit >= until) continue;
      for (const auto& [place, own] : other->own) {
        if (!overlap(lock, {place, {}, LockMode::exclusive, {}})) continue;
        fault(txn, "has locked " + place.key + " since " +
                       std::to_string(lock.granted.visible_after) + ", and " + other->name +
                       " wrote it at " + std::to_string(commit));
      }
    }
    for (const auto& other : history_.transactions) {
      if (other.get() == &txn || other->end == End::open) continue;
      for (const HeldLock& theirs : other->locks) {
        const bool together = lock.mode == LockMode::shared && theirs.mode == LockMode::shared;
        if (together || !theirs.certain || !overlap(lock, theirs)) continue;
        const bool apart = lock.granted.span.to > other->ended.span.from ||
                           theirs.granted.span.to > txn.ended.span.from;
        if (!apart) fault(txn, "and " + other->name + " have both locked " + lock.place.key);
      }
    }
  }
}

// K1: a drop is held by every transaction that may still look.
void Judge::judge_drops() {
  if (history_.faults_armed != never) return;
  for (const auto& [id, life] : timeline_.lives) {
    if (life.dropped == never || life.dropped <= start_) continue;
    const CatalogueCall* drop = nullptr;
    for (const CatalogueCall& call : history_.catalogue) {
      if (call.kind == CatalogueCall::Kind::drop && !call.error && call.name == life.name &&
          call.moment.visible_before < life.dropped && life.dropped <= call.moment.visible_after) {
        drop = &call;
      }
    }
    if (drop == nullptr) {
      fault("nobody dropped " + life.name);
      continue;
    }
    for (const auto& txn : history_.transactions) {
      const std::uint64_t alive_until = txn->end == End::open ? never : txn->ended.span.from;
      if (alive_until <= drop->moment.span.to) continue;
      // A snapshot that was given up for want of memory holds nothing back (R6); one that was
      // rolled back may never have been told.
      const bool given_up = txn->ended_by == ErrorCode::snapshot_too_old ||
                            (plan_.small_memory && txn->end == End::aborted);
      if (txn->snapshot && *txn->snapshot < life.dropped && !given_up &&
          !may_have_missed(*txn, life)) {
        fault(*txn, "has the snapshot " + std::to_string(*txn->snapshot) + ", and " + life.name +
                        " was dropped under it at " + std::to_string(life.dropped));
      }
      for (const HeldLock& lock : txn->locks) {
        if (lock.certain && lock.place.keyspace == id &&
            lock.granted.visible_after < life.dropped) {
          fault(*txn, "holds a lock in " + life.name + ", which was dropped under it");
        }
      }
      for (std::size_t i = 0; i < txn->cursors.size(); ++i) {
        if (txn->cursors[i].keyspace == id && txn->cursors[i].pinned < life.dropped &&
            txn->cursors[i].open.to > drop->moment.span.to &&
            txn->cursors[i].open.from < drop->moment.span.from) {
          fault(*txn, "has a cursor open, and " + life.name + " was dropped under it");
        }
      }
    }
  }
}

bool Judge::named(const std::string& name, std::uint64_t at) const {
  return std::any_of(timeline_.lives.begin(), timeline_.lives.end(), [&](const auto& entry) {
    return entry.second.name == name && timeline_.exists(entry.first, at);
  });
}

void Judge::judge_catalogue(const CatalogueCall& call) {
  using Call = CatalogueCall::Kind;
  if (is_armed(call.moment)) return;
  const Bounds in = bounds(call.moment);
  // The names are there a moment before the commit that brings them is visible.
  const std::uint64_t most = std::min(in.most + 1, timeline_.newest);
  const auto ever = [&](const std::function<bool(std::uint64_t)>& holds) {
    for (std::uint64_t at = in.least; at <= most; ++at) {
      if (holds(at)) return true;
    }
    return false;
  };
  const std::string who = call.actor + ": ";
  const auto is_named = [&](std::uint64_t at) { return named(call.name, at); };
  const auto is_not_named = [&](std::uint64_t at) { return !named(call.name, at); };
  const bool not_found = call.error && call.error->code() == ErrorCode::keyspace_not_found;
  switch (call.kind) {
    case Call::create:
    case Call::find: {
      if (call.error) {
        const bool fine = call.kind == Call::find && not_found && ever(is_not_named);
        if (!fine) fault(who + "create or find of " + call.name + ": " + call.error->to_string());
        return;
      }
      const std::uint32_t id = call.found[0].id().value;
      if (!ever([&](std::uint64_t at) { return timeline_.exists(id, at); })) {
        fault(who + "was given the keyspace " + call.name + " when it was not there");
      }
      return;
    }
    case Call::list: {
      const auto is_exact = [&](std::uint64_t at) {
        std::size_t there = 0;
        for (const auto& [id, life] : timeline_.lives) there += timeline_.exists(id, at) ? 1 : 0;
        return there == call.found.size() &&
               std::all_of(call.found.begin(), call.found.end(), [&](const Keyspace& keyspace) {
                 return timeline_.exists(keyspace.id().value, at);
               });
      };
      if (!ever(is_exact)) fault(who + "the list of keyspaces is none that there was");
      return;
    }
    case Call::drop: {
      if (!call.error) {
        const bool gone =
            std::any_of(timeline_.lives.begin(), timeline_.lives.end(), [&](const auto& entry) {
              const Keyspaces::Life& life = entry.second;
              return life.name == call.name && call.moment.visible_before < life.dropped &&
                     life.dropped <= most;
            });
        if (!gone) fault(who + "was told that " + call.name + " is dropped, and it is there");
        return;
      }
      bool somebody = false;
      for (const auto& txn : history_.transactions) {
        const std::uint64_t end = txn->end == End::open ? never : txn->ended.span.to;
        somebody =
            somebody || (txn->begun.span.from < call.moment.span.to && end > call.moment.span.from);
      }
      const bool busy = call.error->code() == ErrorCode::keyspace_busy && somebody;
      if (!busy && !(not_found && ever(is_not_named))) {
        fault(who + "drop of " + call.name + ": " + call.error->to_string());
      }
      return;
    }
    case Call::load: {
      if (!call.error) return;  // its commit is judged
      if (call.source_fails && call.error->code() == ErrorCode::io_error) return;
      const bool exists = call.error->code() == ErrorCode::already_exists && ever(is_named);
      if (!exists) fault(who + "load of " + call.name + ": " + call.error->to_string());
      return;
    }
  }
}

void Judge::judge_versions(const VersionsCall& call) {
  if (is_armed(call.moment)) return;
  std::uint64_t last = never;
  for (const VersionInfo& version : call.versions) {
    const std::uint64_t commit = version.commit.value;
    if (commit >= last) fault("versions() are out of order");
    last = commit;
    if (commit <= start_) continue;
    if (!timeline_.has_version(call.place, commit) ||
        timeline_.at(commit, call.place) != version.value) {
      fault("versions() names a version of " + call.place.key + " at " + std::to_string(commit) +
            " that is not there: " + shown(version.value));
    }
  }
}

// What was found when a copy, or the database itself, was opened again.
std::optional<std::string> Judge::judge(const Found& found) {
  const std::string what = found.copy == nullptr                    ? "opened again, "
                           : found.copy->kind == Copy::Kind::backup ? "in the backup, "
                           : found.copy->kind == Copy::Kind::kill   ? "after a kill in the middle, "
                                                                  : "after a crash in the middle, ";
  if (!found.contents) return what + found.contents.error().to_string();
  const std::uint64_t at = found.contents->at;
  const std::uint64_t most = found.copy != nullptr && !is_armed(found.copy->moment)
                                 ? found.copy->moment.visible_after
                                 : timeline_.newest;
  if (at > most) return what + "it is at " + std::to_string(at) + ", which was never reached";
  if (found.copy != nullptr && found.copy->kind == Copy::Kind::backup) {
    // What is visible and not yet durable need not be in it.
    if (at < found.copy->moment.acknowledged) return what + "it is from before it began";
  } else {
    judge_survival(found, at);
  }
  if (fault_) return what + *fault_;
  if (auto different = timeline_.compare(at, *found.contents)) return what + *different;
  return std::nullopt;
}

// I6: what an acknowledged transaction wrote or has seen is there.
void Judge::judge_survival(const Found& found, std::uint64_t at) {
  const bool crashed =
      found.copy != nullptr ? found.copy->kind == Copy::Kind::crash : crashed_at_the_end_;
  const Durability::Kind durability = plan_.options.durability.kind;
  const bool promised =
      durability == Durability::Kind::sync || (durability == Durability::Kind::none && !crashed);
  if (!promised) return;
  const std::uint64_t before = found.copy != nullptr ? found.copy->moment.span.from : never;
  const std::string lost = ", and only " + std::to_string(at) + " survived";
  for (const auto& txn : history_.transactions) {
    if (txn->end != End::committed || txn->ended.span.to >= before) continue;
    if (!txn->own.empty() && txn->commit > at) {
      fault(*txn, "was acknowledged at " + std::to_string(txn->commit) + lost);
    }
    for (const Read& read : txn->reads) {
      if (is_dirty(*txn, read)) continue;
      std::uint64_t seen = never;
      for (const std::uint64_t moment : moments_of(*txn, read)) {
        seen = std::min(seen, newest_seen(read, moment));
      }
      if (seen != never && seen > at) {
        fault(*txn, "was acknowledged, had seen the commit " + std::to_string(seen) + lost);
      }
    }
  }
  for (const CatalogueCall& call : history_.catalogue) {
    if (call.error || call.moment.span.to >= before) continue;
    for (const auto& [id, life] : timeline_.lives) {
      if (life.name != call.name) continue;
      const bool made =
          call.kind == CatalogueCall::Kind::load || call.kind == CatalogueCall::Kind::create;
      const bool mine = call.moment.visible_before < life.created &&
                        life.created <= call.moment.visible_after && !is_armed(call.moment);
      if (made && mine && life.created > at) fault(call.name + " was made" + lost);
      const bool dropped = call.moment.visible_before < life.dropped &&
                           life.dropped <= call.moment.visible_after && !is_armed(call.moment);
      if (call.kind == CatalogueCall::Kind::drop && dropped && life.dropped > at) {
        fault(call.name + " was dropped" + lost);
      }
    }
  }
}

}  // namespace isolde::test::surface
