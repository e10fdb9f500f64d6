#include "mvcc/checkpointer.h"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "engine/yield_point.h"
#include "mvcc/transaction_errors.h"

namespace isolde::mvcc {
namespace {

constexpr int chains_in_a_slice = 1024;
// How long the growth of the map waits for operations under way, and how often it tries.
constexpr std::chrono::milliseconds quiesce_patience{200};
constexpr int quiesce_tries = 50;

// The newest versions in (from, to], in key order: an operation of a slot of its own, whose
// snapshot is `to`. Left and entered again after each slice, so that it holds back no freeing for
// long.
class VersionChanges : public engine::ChangeSource {
 public:
  VersionChanges(VersionStore& store, const KeyspaceTable& keyspaces, Slot& slot,
                 std::uint64_t from, std::uint64_t to)
      : store_(store), keyspaces_(keyspaces), slot_(slot), from_(from), to_(to) {}
  ~VersionChanges() override { SnapshotRegistry::release(slot_); }

  void for_each(const Sink& sink) override {
    keyspaces_.for_each_change(from_, to_, sink);
    // After `to` was chosen: every chain with a version up to it is in key order now.
    store_.merge_pending();
    std::string key;
    KeyspaceId keyspace{0};
    while (slice(sink, key, keyspace)) {
    }
  }

 private:
  bool slice(const Sink& sink, std::string& key, KeyspaceId& keyspace) {
    SnapshotRegistry::enter(slot_);
    slot_.snapshot.store(to_);
    ChainWalk walk(store_.order().first_at_or_after({keyspace, key}));
    bool more = false;
    for (int n = 0; walk.at() != nullptr; ++n, walk.step()) {
      const Chain& chain = *walk.at();
      if (n == chains_in_a_slice) {
        key = chain.key();
        keyspace = chain.keyspace;
        more = true;
        break;
      }
      ISOLDE_YIELD("checkpoint: next chain");
      if (!write(chain, sink)) break;
    }
    SnapshotRegistry::leave(slot_);
    return more;
  }

  bool write(const Chain& chain, const Sink& sink) const {
    const Version* version = chain.at(Timestamp{to_});
    if (version == nullptr || version->commit <= from_) return true;
    // Nothing is written into a keyspace that the same checkpoint, or an earlier one, removes. One
    // without a state was dropped before the last crash, and never came into the base.
    const KeyspaceState* keyspace = keyspaces_.state(chain.keyspace);
    if (keyspace != nullptr && keyspace->dropped.load() <= to_) return true;
    if (const auto value = version->seen()) {
      return sink({engine::ChangeKind::put, chain.keyspace, chain.key(), *value});
    }
    return sink({engine::ChangeKind::erase, chain.keyspace, chain.key(), {}});
  }

  VersionStore& store_;
  const KeyspaceTable& keyspaces_;
  Slot& slot_;
  const std::uint64_t from_;
  const std::uint64_t to_;
};

}  // namespace

Checkpointer::Checkpointer(VersionStore& store, KeyspaceTable& keyspaces,
                           SnapshotRegistry& registry, Reclaimer& reclaimer, engine::Base& base,
                           engine::CommitLog& log)
    : store_(store),
      keyspaces_(keyspaces),
      registry_(registry),
      reclaimer_(reclaimer),
      base_(base),
      log_(log) {}

Result<void> Checkpointer::run() {
  MutexLock lock(mutex_);
  try {
    return run_locked();
  } catch (const std::bad_alloc&) {
    // The base is at the one commit or at the other; the next run goes on from there.
    reclaimer_.give_up_checkpoint();
    return out_of_memory("running a checkpoint");
  }
}

Result<void> Checkpointer::run_locked() {
  if (log_.failed()) return log_.failure();
  if (auto discarded = discard_unclaimed_loads(); !discarded) return discarded;
  const auto start = std::chrono::steady_clock::now();
  const auto steps = reclaimer_.begin_checkpoint([&] { return log_.durable().value; });
  if (steps.empty()) {
    release_what_base_has();
    return {};
  }
  ISOLDE_YIELD("checkpoint: registered");
  Result<void> outcome;
  std::size_t step = 0;
  while (outcome && step < steps.size()) {
    auto applied = apply(steps[step]);
    if (!applied) {
      outcome = applied.error();
    } else if (applied->kind == engine::ApplyOutcome::Kind::applied) {
      break;
    } else if (applied->kind == engine::ApplyOutcome::Kind::transaction_full) {
      ++step;
    } else if (applied->kind == engine::ApplyOutcome::Kind::handles_full) {
      outcome = free_handles();
    } else {
      outcome = grow_map();
    }
  }
  if (outcome && step == steps.size()) {
    outcome = Error(ErrorCode::transaction_too_large,
                    "a single commit does not fit in one LMDB transaction of the checkpoint; lower "
                    "Options::max_transaction_bytes");
  }
  ISOLDE_YIELD("checkpoint: applied");
  reclaimer_.end_checkpoint();
  if (!outcome) return outcome;
  // Counted before there is room: one who has seen the room finds it counted.
  stats_.count.fetch_add(1, std::memory_order_relaxed);
  release_what_base_has();
  stats_.last_ns.store((std::chrono::steady_clock::now() - start).count(),
                       std::memory_order_relaxed);
  return {};
}

// Loads whose commit never came, and that could not be discarded when that was known: a keyspace of
// the name would not come into the base beside one (Base::load). What is committed has a state.
Result<void> Checkpointer::discard_unclaimed_loads() {
  for (const engine::KeyspaceInfo& load : base_.unclaimed_loads()) {
    if (keyspaces_.state(load.id) != nullptr) continue;
    auto discarded = base_.discard_load(load.id);
    if (!discarded) {  // for want of room in the map?
      if (auto grown = grow_map(); !grown) return grown;
      discarded = base_.discard_load(load.id);
    }
    reclaimer_.note_base_version();
    if (!discarded) return discarded;
  }
  return {};
}

// Also when there is nothing to do: an earlier run may have found no memory for it.
void Checkpointer::release_what_base_has() {
  keyspaces_.forget_changes(base_.at().value);
  log_.release(base_.at());
}

Result<engine::ApplyOutcome> Checkpointer::apply(std::uint64_t to) {
  Slot* slot = registry_.claim();
  if (slot == nullptr) return too_many_transactions();
  VersionChanges changes(store_, keyspaces_, *slot, base_.at().value, to);
  return base_.apply(Timestamp{to}, changes);
}

Result<void> Checkpointer::grow_map() {
  return quiesced([&] { return base_.grow_map(); });
}

Result<void> Checkpointer::free_handles() {
  return quiesced([&] { return base_.free_handles(); });
}

Result<void> Checkpointer::quiesced(const std::function<Result<void>()>& work) {
  for (int tries = 0; tries < quiesce_tries; ++tries) {
    // A scan whose visitor takes its time holds a view: give up and let others go on in between.
    auto outcome = registry_.while_quiesced(quiesce_patience, work);
    if (outcome) return *outcome;
  }
  return Error(
      ErrorCode::io_error,
      "the checkpoint could not quiesce all views: an operation (a scan whose visitor does "
      "not return?) has held its own all the time; the next checkpoint tries again");
}

}  // namespace isolde::mvcc
