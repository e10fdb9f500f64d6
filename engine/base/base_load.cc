// Bulk load, removal of what loads and drops leave, and hot copies.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "engine/base/base_state.h"

namespace isolde::engine {
namespace {

using Grow = std::function<Result<void>()>;

// One call of Base::load.
//
// A batch is copied before it is written, because a full map loses the transaction, and the source
// gives each entry once.
class Load {
 public:
  Load(Base::State& state, KeyspaceId id, std::string_view name, const Grow& grow)
      : state_(state), id_(id), name_(name), grow_(grow) {}

  Result<void> begin();
  Result<std::uint64_t> fill(const Base::LoadSource& source);
  Result<void> finish();
  // Empties what was loaded. If that fails too, the next open does it.
  void discard();

 private:
  struct Entry {
    std::size_t key_bytes;
    std::size_t value_bytes;
  };
  static constexpr std::size_t batch_bytes = std::size_t{16} << 20;
  static constexpr std::size_t batch_entries = 200'000;

  Result<void> check() const;
  Result<void> check_entry(std::string_view key, std::string_view value) const;
  // Runs `write` in a transaction of its own, again with a larger map as often as it is full.
  Result<void> write(const std::function<int(MDB_txn*)>& write);
  Result<void> write_batch();
  int append_batch(MDB_txn* transaction) const;
  int record(MDB_txn* transaction, NamedKind kind);

  Base::State& state_;
  const KeyspaceId id_;
  const std::string name_;
  const Grow& grow_;
  NamedDatabase named_;
  std::string bytes_;  // of the batch
  std::vector<Entry> entries_;
  std::string last_key_;
};

Result<void> Load::check() const {
  if (const auto problem = bad_keyspace_name(name_)) {
    return Error(ErrorCode::invalid_argument,
                 "the keyspace name " + isolde::quoted(name_) + ' ' + *problem);
  }
  const Manifest manifest = state_.copy_of_manifest();
  const auto known = manifest.named.find(name_);
  if (known != manifest.named.end() && known->second.kind == NamedKind::keyspace) {
    return Error(ErrorCode::invalid_argument,
                 "keyspace " + isolde::quoted(name_) + " exists; load into a new one");
  }
  if (known != manifest.named.end() && known->second.kind == NamedKind::loaded) {
    return Error(ErrorCode::invalid_argument,
                 "an earlier load into " + isolde::quoted(name_) + " waits to be created");
  }
  const HandleEntry* entry = state_.handles.find(id_);
  if (entry != nullptr && entry->since.load(std::memory_order_relaxed) != HandleEntry::never) {
    return Error(ErrorCode::invalid_argument,
                 "keyspace number " + std::to_string(id_.value) + " has been used");
  }
  return {};
}

Result<void> Load::write(const std::function<int(MDB_txn*)>& write) {
  for (;;) {
    Result<WriteTransaction> transaction = WriteTransaction::begin(state_);
    if (!transaction) return transaction.error();
    int code = write(transaction->get());
    if (code == MDB_SUCCESS) code = transaction->commit();
    if (code == MDB_SUCCESS) return {};
    if (code != MDB_MAP_FULL) return lmdb_error(code, "load into", state_.file);
    transaction->abort();
    if (Result<void> grown = grow_(); !grown) return grown;
  }
}

int Load::record(MDB_txn* transaction, NamedKind kind) {
  named_.kind = kind;
  named_.id = id_;
  return write_named(transaction, state_.meta, name_, named_);
}

Result<void> Load::begin() {
  if (Result<void> fine = check(); !fine) return fine;
  Manifest next = state_.copy_of_manifest();
  next.next_keyspace_id = std::max(next.next_keyspace_id, KeyspaceId{id_.value + 1});
  Result<void> written = write([&](MDB_txn* transaction) {
    int code = mdb_dbi_open(transaction, name_.c_str(), MDB_CREATE, &named_.handle);
    if (code == MDB_SUCCESS) code = mdb_drop(transaction, named_.handle, 0);
    if (code == MDB_SUCCESS) code = record(transaction, NamedKind::loading);
    if (code == MDB_SUCCESS) {
      code = write_next_keyspace_id(transaction, state_.meta, next.next_keyspace_id);
    }
    return code;
  });
  if (!written) return written;
  next.named[name_] = named_;
  state_.install(std::move(next));
  return {};
}

Result<void> Load::check_entry(std::string_view key, std::string_view value) const {
  Evidence evidence;
  evidence.keyspace = name_;
  evidence.key = std::string(key);
  if (key.empty()) return Error(ErrorCode::key_empty, "a key to load is empty", evidence);
  if (key.size() > max_key_bytes) {
    return Error(ErrorCode::key_too_long,
                 "the key " + isolde::quoted(key) + " to load is longer than " +
                     std::to_string(max_key_bytes) + " bytes",
                 evidence);
  }
  if (value.size() > max_value_bytes) {
    return Error(ErrorCode::value_too_large,
                 "the value of key " + isolde::quoted(key) + " to load is larger than " +
                     std::to_string(max_value_bytes) + " bytes",
                 evidence);
  }
  if (!last_key_.empty() && key <= last_key_) {
    return Error(ErrorCode::invalid_argument,
                 "keys to load must ascend: " + isolde::quoted(key) + " follows " +
                     isolde::quoted(last_key_),
                 evidence);
  }
  return {};
}

Result<std::uint64_t> Load::fill(const Base::LoadSource& source) {
  std::uint64_t count = 0;
  for (;;) {
    auto next = source();
    if (!next) return next.error();
    if (!next->has_value()) break;
    const auto& [key, value] = **next;
    if (Result<void> fine = check_entry(key, value); !fine) return fine.error();
    last_key_ = key;
    bytes_.append(key).append(value);
    entries_.push_back({key.size(), value.size()});
    ++count;
    if (bytes_.size() < batch_bytes && entries_.size() < batch_entries) continue;
    if (Result<void> written = write_batch(); !written) return written.error();
  }
  if (Result<void> written = write_batch(); !written) return written.error();
  return count;
}

Result<void> Load::write_batch() {
  if (entries_.empty()) return {};
  Result<void> written = write([this](MDB_txn* transaction) { return append_batch(transaction); });
  bytes_.clear();
  entries_.clear();
  return written;
}

int Load::append_batch(MDB_txn* transaction) const {
  MDB_cursor* opened = nullptr;
  int code = mdb_cursor_open(transaction, named_.handle, &opened);
  if (code != MDB_SUCCESS) return code;
  const LmdbCursor cursor(opened);
  std::string_view rest = bytes_;
  for (const Entry& entry : entries_) {
    MDB_val key = to_lmdb(rest.substr(0, entry.key_bytes));
    MDB_val value = to_lmdb(rest.substr(entry.key_bytes, entry.value_bytes));
    code = mdb_cursor_put(cursor.get(), &key, &value, MDB_APPEND);
    if (code != MDB_SUCCESS) return code;
    rest.remove_prefix(entry.key_bytes + entry.value_bytes);
  }
  return MDB_SUCCESS;
}

// Views can read what was loaded from here on: its create_keyspace is acknowledged by the log, and
// reaches the base only with a later checkpoint.
Result<void> Load::finish() {
  HandleEntry& entry = state_.handles.entry(id_);
  entry.handle.store(named_.handle, std::memory_order_relaxed);
  Result<void> written = write([&](MDB_txn* transaction) {
    entry.since.store(mdb_txn_id(transaction), std::memory_order_release);
    return record(transaction, NamedKind::loaded);
  });
  if (!written) {
    entry.since.store(HandleEntry::never, std::memory_order_release);
    return written;
  }
  Manifest next = state_.copy_of_manifest();
  next.named[name_] = named_;
  state_.install(std::move(next));
  return {};
}

void Load::discard() {
  Result<void> written = write([this](MDB_txn* transaction) {
    const int code = mdb_drop(transaction, named_.handle, 0);
    return code == MDB_SUCCESS ? record(transaction, NamedKind::dropped) : code;
  });
  if (!written) return;
  Manifest next = state_.copy_of_manifest();
  next.named[name_] = named_;
  state_.install(std::move(next));
}

Error copy_error(int code, const std::filesystem::path& file) {
  if (code != EEXIST) return lmdb_error(code, "copy to", file);
  Evidence evidence;
  evidence.file = file.string();
  return {ErrorCode::invalid_argument, file.string() + " exists; a copy needs an empty directory",
          std::move(evidence)};
}

// Removes what only this process needed from a copy, and stamps it: copying gave it another
// transaction number, which would look like a stranger's.
Result<Timestamp> finish_copy(const std::filesystem::path& directory,
                              const std::filesystem::path& file, const Base::State& state) {
  std::error_code unknown_size;
  const std::uint64_t bytes = std::filesystem::file_size(file, unknown_size);
  Result<Environment> environment =
      open_environment(directory, MDB_NOTLS | MDB_NOLOCK, state.options, state.max_handles,
                       unknown_size ? 0 : bytes);
  if (!environment) return environment.error();
  MDB_txn* begun = nullptr;
  int code = mdb_txn_begin(environment->get(), nullptr, 0, &begun);
  if (code != MDB_SUCCESS) return copy_error(code, file);
  LmdbTransaction transaction(begun);
  MDB_dbi meta = 0;
  code = mdb_dbi_open(begun, meta_name, 0, &meta);
  if (code != MDB_SUCCESS) return copy_error(code, file);
  Result<Manifest> copied = read_manifest(begun, meta, file);
  if (!copied) return copied.error();
  for (const auto& [name, named] : copied->named) {
    if (named.kind == NamedKind::keyspace) continue;
    MDB_dbi handle = 0;
    code = mdb_dbi_open(begun, name.c_str(), 0, &handle);
    if (code == MDB_SUCCESS) code = mdb_drop(begun, handle, 1);
    if (code == MDB_SUCCESS) code = erase_named(begun, meta, name);
    if (code != MDB_SUCCESS) return copy_error(code, file);
  }
  code = write_stamp(begun, meta);
  if (code == MDB_SUCCESS) code = mdb_txn_commit(transaction.release());
  if (code != MDB_SUCCESS) return copy_error(code, file);
  return copied->at;
}

}  // namespace

Result<std::uint64_t> Base::load(KeyspaceId id, std::string_view name, const LoadSource& source,
                                 const std::function<Result<void>()>& grow) {
  Load load(*state_, id, name, grow);
  try {
    if (Result<void> begun = load.begin(); !begun) return begun.error();
    Result<std::uint64_t> count = load.fill(source);
    if (count) {
      if (Result<void> finished = load.finish(); !finished) count = finished.error();
    }
    if (!count) load.discard();
    return count;
  } catch (...) {
    load.discard();
    throw;
  }
}

std::vector<KeyspaceInfo> Base::unclaimed_loads() const {
  std::vector<KeyspaceInfo> infos;
  MutexLock lock(state_->mutex);
  for (const auto& [name, named] : state_->manifest.named) {
    if (named.kind == NamedKind::loaded) infos.push_back({named.id, name});
  }
  return infos;
}

Result<void> Base::discard_load(KeyspaceId id) {
  Manifest next = state_->copy_of_manifest();
  for (auto& [name, named] : next.named) {
    if (named.kind != NamedKind::loaded || named.id != id) continue;
    Result<WriteTransaction> transaction = WriteTransaction::begin(*state_);
    if (!transaction) return transaction.error();
    int code = mdb_drop(transaction->get(), named.handle, 0);
    named.kind = NamedKind::dropped;
    if (code == MDB_SUCCESS) code = write_named(transaction->get(), state_->meta, name, named);
    HandleEntry& entry = state_->handles.entry(id);
    entry.until.store(transaction->number(), std::memory_order_release);
    if (code == MDB_SUCCESS) code = transaction->commit();
    if (code != MDB_SUCCESS) {
      entry.until.store(HandleEntry::never, std::memory_order_release);
      return lmdb_error(code, "discard a load of", state_->file);
    }
    state_->install(std::move(next));
    return {};
  }
  return {};
}

// mdb_drop closes the handles at once, whether or not the commit succeeds; so they are forgotten in
// any case, and opened again should their name come back.
Result<void> Base::free_handles() {
  Manifest next = state_->copy_of_manifest();
  const auto is_waste = [](const auto& entry) {
    return entry.second.kind == NamedKind::dropped || entry.second.kind == NamedKind::loading;
  };
  if (std::none_of(next.named.begin(), next.named.end(), is_waste)) return {};
  Result<WriteTransaction> transaction = WriteTransaction::begin(*state_);
  if (!transaction) return transaction.error();
  int code = MDB_SUCCESS;
  for (auto& entry : next.named) {
    auto& [name, named] = entry;
    if (!is_waste(entry) || code != MDB_SUCCESS) continue;
    if (named.handle == 0) {
      code = mdb_dbi_open(transaction->get(), name.c_str(), 0, &named.handle);
    }
    if (code == MDB_SUCCESS) code = mdb_drop(transaction->get(), named.handle, 1);
    named.handle = 0;
    if (code == MDB_SUCCESS) code = erase_named(transaction->get(), state_->meta, name);
  }
  if (code == MDB_SUCCESS) code = transaction->commit();
  if (code == MDB_SUCCESS) {
    for (auto entry = next.named.begin(); entry != next.named.end();) {
      entry = is_waste(*entry) ? next.named.erase(entry) : std::next(entry);
    }
  }
  state_->install(std::move(next));
  if (code != MDB_SUCCESS) return lmdb_error(code, "tidy up", state_->file);
  return {};
}

Result<Timestamp> Base::copy_to(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "data.mdb";
  MDB_env* environment = state_->environment.get();
  int code = mdb_env_copy2(environment, directory.c_str(), MDB_CP_COMPACT);
  std::error_code ignored;
  if (code == EEXIST) return copy_error(code, file);
  if (code == MDB_INCOMPATIBLE) {
    // Pages that are neither used nor listed as free: harmless, but compaction refuses them.
    std::filesystem::remove(file, ignored);
    code = mdb_env_copy2(environment, directory.c_str(), 0);
  }
  Result<Timestamp> at = code == MDB_SUCCESS ? finish_copy(directory, file, *state_)
                                             : Result<Timestamp>(copy_error(code, file));
  if (at) {
    if (Result<void> synced = sync_path(file, O_RDONLY); !synced) at = synced.error();
  }
  if (at) {
    if (Result<void> synced = sync_path(directory, O_RDONLY | O_DIRECTORY); !synced) {
      at = synced.error();
    }
  }
  if (!at) std::filesystem::remove(file, ignored);
  return at;
}

}  // namespace isolde::engine
