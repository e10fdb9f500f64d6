// Checkpoints: the changes of many commits in one LMDB transaction.
#include <algorithm>
#include <utility>

#include "engine/base/base_state.h"

namespace isolde::engine {
namespace {

// One call of Base::apply.
//
// New keyspaces get their LMDB handle in a small transaction of their own, committed before the one
// that makes them visible. Why: LMDB publishes a commit before it makes handles opened in it valid
// for others, so
//   checkpoint  commits 12, which creates keyspace k
//   reader      opens its view on 12, and LMDB does not know k's handle there: the lookup fails
//   checkpoint  LMDB marks the handle valid.
// With the handle from 11, every view of 12 has it. What a crash in between leaves behind is an
// empty database marked `dropped`.
class Checkpoint {
 public:
  explicit Checkpoint(Base::State& state) : state_(state), manifest_(state.copy_of_manifest()) {}
  Checkpoint(const Checkpoint&) = delete;
  Checkpoint& operator=(const Checkpoint&) = delete;
  ~Checkpoint() { forget_entries(); }

  Result<ApplyOutcome> run(Timestamp at, ChangeSource& changes);

 private:
  struct CatalogueChange {
    ChangeKind kind;
    KeyspaceId id;
    std::string name;
  };

  bool take(const Change& change);
  bool begin();
  bool prepare_handles();
  bool prepare_handles_in(MDB_txn* transaction, Manifest& prepared);
  bool has_waste() const;
  bool change_manifest();
  bool create(const CatalogueChange& change);
  bool drop(const CatalogueChange& change);
  bool change_data(const Change& change);
  bool bind(KeyspaceId keyspace);
  void end_entry(KeyspaceId keyspace);
  void forget_entries() noexcept;

  // Each keeps the reason to stop, and answers false.
  bool stop(int code);
  bool stop(Error error) {
    if (!error_) error_ = std::move(error);
    return false;
  }
  bool ok(int code) { return code == MDB_SUCCESS || stop(code); }
  Result<ApplyOutcome> outcome();

  Base::State& state_;
  Manifest manifest_;
  std::vector<CatalogueChange> manifest_changes_;
  std::optional<WriteTransaction> transaction_;
  std::vector<std::atomic<std::uint64_t>*> bounds_;  // of entries, set for this transaction

  LmdbCursor cursor_;
  std::optional<KeyspaceId> keyspace_;  // of the cursor
  bool ignored_ = false;                // the keyspace has been dropped

  std::optional<Error> error_;
  std::optional<ApplyOutcome::Kind> retry_;
};

Result<ApplyOutcome> Checkpoint::run(Timestamp at, ChangeSource& changes) {
  if (state_.unmapped.load(std::memory_order_relaxed)) {
    return lmdb_error(ENOMEM, "map", state_.file);
  }
  changes.for_each([this](const Change& change) { return take(change); });
  if (error_ || retry_) return outcome();
  if (!transaction_ && !begin()) return outcome();
  cursor_.reset();
  if (!ok(write_at(transaction_->get(), state_.meta, at))) return outcome();
  const std::uint64_t number = transaction_->number();
  if (!ok(transaction_->commit())) return outcome();
  bounds_.clear();
  manifest_.at = at;
  state_.at.store(at.value, std::memory_order_release);
  state_.install(std::move(manifest_));
  return ApplyOutcome{ApplyOutcome::Kind::applied, BaseVersion{number}};
}

Result<ApplyOutcome> Checkpoint::outcome() {
  cursor_.reset();
  transaction_.reset();
  forget_entries();
  if (error_) return *error_;
  return ApplyOutcome{*retry_, BaseVersion{state_.version.load(std::memory_order_relaxed)}};
}

bool Checkpoint::stop(int code) {
  if (code == MDB_TXN_FULL) {
    retry_ = ApplyOutcome::Kind::transaction_full;
  } else if (code == MDB_MAP_FULL) {
    retry_ = ApplyOutcome::Kind::map_full;
  } else {
    return stop(lmdb_error(code, "write a checkpoint to", state_.file));
  }
  return false;
}

bool Checkpoint::take(const Change& change) {
  const bool of_manifest =
      change.kind == ChangeKind::create_keyspace || change.kind == ChangeKind::drop_keyspace;
  if (!of_manifest) return (transaction_ || begin()) && change_data(change);
  if (transaction_) {
    return stop(Error(ErrorCode::invalid_argument,
                      "a checkpoint's changes of the manifest come before its data"));
  }
  manifest_changes_.push_back({change.kind, change.keyspace, std::string(change.key)});
  return true;
}

bool Checkpoint::begin() {
  if (!prepare_handles()) return false;
  Result<WriteTransaction> begun = WriteTransaction::begin(state_);
  if (!begun) return stop(begun.error());
  transaction_ = std::move(*begun);
  return change_manifest();
}

bool Checkpoint::prepare_handles() {
  bool needed = false;
  for (const CatalogueChange& change : manifest_changes_) {
    if (change.kind != ChangeKind::create_keyspace) continue;
    if (const auto problem = bad_keyspace_name(change.name)) {
      return stop(Error(ErrorCode::invalid_argument,
                        "the keyspace name " + isolde::quoted(change.name) + ' ' + *problem));
    }
    const auto known = manifest_.named.find(change.name);
    needed = needed || known == manifest_.named.end() || known->second.handle == 0;
  }
  if (!needed) return true;

  Result<WriteTransaction> begun = WriteTransaction::begin(state_);
  if (!begun) return stop(begun.error());
  WriteTransaction transaction = std::move(*begun);
  Manifest prepared = manifest_;
  if (!prepare_handles_in(transaction.get(), prepared)) return false;
  if (!ok(transaction.commit())) return false;
  manifest_ = prepared;
  state_.install(std::move(prepared));
  return true;
}

bool Checkpoint::prepare_handles_in(MDB_txn* transaction, Manifest& prepared) {
  for (const CatalogueChange& change : manifest_changes_) {
    if (change.kind != ChangeKind::create_keyspace) continue;
    NamedDatabase& named = prepared.named[change.name];
    if (named.handle != 0) continue;
    const int code = mdb_dbi_open(transaction, change.name.c_str(), MDB_CREATE, &named.handle);
    if (code == MDB_DBS_FULL && has_waste()) {
      retry_ = ApplyOutcome::Kind::handles_full;
      return false;
    }
    if (code == MDB_DBS_FULL) {
      return stop(Error(ErrorCode::invalid_argument,
                        "there is no room for keyspace " + isolde::quoted(change.name) +
                            ": raise max_keyspaces (" +
                            std::to_string(state_.options.max_keyspaces) + ')'));
    }
    if (!ok(code) || !ok(write_named(transaction, state_.meta, change.name, named))) return false;
  }
  return true;
}

bool Checkpoint::has_waste() const {
  for (const auto& [name, named] : manifest_.named) {
    if (named.kind == NamedKind::dropped || named.kind == NamedKind::loading) return true;
  }
  return false;
}

bool Checkpoint::change_manifest() {
  for (const CatalogueChange& change : manifest_changes_) {
    const bool done = change.kind == ChangeKind::create_keyspace ? create(change) : drop(change);
    if (!done) return false;
  }
  if (manifest_changes_.empty()) return true;
  return ok(write_next_keyspace_id(transaction_->get(), state_.meta, manifest_.next_keyspace_id));
}

bool Checkpoint::create(const CatalogueChange& change) {
  NamedDatabase& named = manifest_.named.at(change.name);
  if (named.kind == NamedKind::keyspace) {
    if (named.id == change.id) return true;  // replayed
    return stop(corrupt_base("it has keyspace " + isolde::quoted(change.name) + " under number " +
                                 std::to_string(named.id.value) + ", the log under " +
                                 std::to_string(change.id.value),
                             state_.file));
  }
  manifest_.next_keyspace_id =
      std::max(manifest_.next_keyspace_id, KeyspaceId{change.id.value + 1});
  const bool claimed = named.kind == NamedKind::loaded && named.id == change.id;
  // Created before the load's own commit, so it has been dropped before that, too (Base::load). Its
  // drop will find another id under the name, and its data no keyspace.
  if (named.kind == NamedKind::loaded && !claimed) return true;
  if (!claimed && !ok(mdb_drop(transaction_->get(), named.handle, 0))) return false;
  named.kind = NamedKind::keyspace;
  named.id = change.id;
  if (!claimed) {
    HandleEntry& entry = state_.handles.entry(change.id);
    entry.handle.store(named.handle, std::memory_order_relaxed);
    bounds_.push_back(&entry.since);
    entry.since.store(transaction_->number(), std::memory_order_release);
  }
  return ok(write_named(transaction_->get(), state_.meta, change.name, named));
}

// The handle, and with it the name in LMDB's main database, stays: closing it while any view is
// open is not allowed. See Base::free_handles.
bool Checkpoint::drop(const CatalogueChange& change) {
  const auto found = manifest_.named.find(change.name);
  if (found == manifest_.named.end() || found->second.kind != NamedKind::keyspace ||
      found->second.id != change.id) {
    return true;  // replayed
  }
  NamedDatabase& named = found->second;
  if (!ok(mdb_drop(transaction_->get(), named.handle, 0))) return false;
  named.kind = NamedKind::dropped;
  end_entry(change.id);
  return ok(write_named(transaction_->get(), state_.meta, change.name, named));
}

void Checkpoint::end_entry(KeyspaceId keyspace) {
  HandleEntry& entry = state_.handles.entry(keyspace);
  bounds_.push_back(&entry.until);
  entry.until.store(transaction_->number(), std::memory_order_release);
}

// Puts the entries back that were set for a transaction that did not commit.
void Checkpoint::forget_entries() noexcept {
  for (std::atomic<std::uint64_t>* bound : bounds_) {
    bound->store(HandleEntry::never, std::memory_order_release);
  }
  bounds_.clear();
}

bool Checkpoint::bind(KeyspaceId keyspace) {
  cursor_.reset();
  keyspace_ = keyspace;
  const HandleEntry* entry = state_.handles.find(keyspace);
  ignored_ = entry == nullptr || !entry->exists_at(transaction_->number());
  if (ignored_) {
    if (keyspace < manifest_.next_keyspace_id) return true;
    return stop(corrupt_base(
        "the log changes keyspace " + std::to_string(keyspace.value) + ", which the base never had",
        state_.file));
  }
  MDB_cursor* cursor = nullptr;
  if (!ok(mdb_cursor_open(transaction_->get(), entry->handle.load(std::memory_order_relaxed),
                          &cursor))) {
    return false;
  }
  cursor_.reset(cursor);
  return true;
}

bool Checkpoint::change_data(const Change& change) {
  if (keyspace_ != change.keyspace && !bind(change.keyspace)) return false;
  if (ignored_) return true;
  MDB_val key = to_lmdb(change.key);
  if (change.kind == ChangeKind::put) {
    MDB_val value = to_lmdb(change.value);
    return ok(mdb_cursor_put(cursor_.get(), &key, &value, 0));
  }
  MDB_val old{};
  const int code = mdb_cursor_get(cursor_.get(), &key, &old, MDB_SET);
  if (code == MDB_NOTFOUND) return true;
  return ok(code) && ok(mdb_cursor_del(cursor_.get(), 0));
}

}  // namespace

Result<ApplyOutcome> Base::apply(Timestamp at, ChangeSource& changes) {
  return Checkpoint(*state_).run(at, changes);
}

Result<WriteTransaction> WriteTransaction::begin(Base::State& state) {
  MDB_txn* begun = nullptr;
  const int code = mdb_txn_begin(state.environment.get(), nullptr, 0, &begun);
  if (code != MDB_SUCCESS) return lmdb_error(code, "begin writing to", state.file);
  WriteTransaction transaction(state, LmdbTransaction(begun));
  if (transaction.number() != state.version.load(std::memory_order_relaxed) + 1) {
    return foreign_writer(state);
  }
  return transaction;
}

int WriteTransaction::commit() {
  if (const int code = write_stamp(transaction_.get(), state_->meta); code != MDB_SUCCESS) {
    transaction_.reset();
    return code;
  }
  state_->newest_possible.store(number_, std::memory_order_release);
  const int code = mdb_txn_commit(transaction_.release());
  if (code == MDB_SUCCESS) state_->version.store(number_, std::memory_order_release);
  return code;
}

}  // namespace isolde::engine
