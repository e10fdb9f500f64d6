// Opening a base: creating, checking, adopting it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <utility>

#include "engine/base_state.h"
#include "isolde/keyspace.h"

namespace isolde::engine {
namespace {

constexpr mdb_mode_t file_mode = 0644;

Error open_error(ErrorCode code, const std::filesystem::path& path, const std::string& what) {
  Evidence evidence;
  evidence.file = path.string();
  return {code, path.string() + ' ' + what, std::move(evidence)};
}

Result<void> sync_path(const std::filesystem::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) return lmdb_error(errno, "open", path);
  const int code = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (code != 0) return lmdb_error(code, "sync", path);
  return {};
}

std::uint64_t random_identity() {
  std::random_device random;
  for (;;) {
    const std::uint64_t identity = (std::uint64_t{random()} << 32) | random();
    if (identity != 0) return identity;
  }
}

// An environment with a map of `map_bytes`, or of as much as the address space allows.
Result<Environment> open_environment(const std::filesystem::path& file, unsigned flags,
                                     const BaseOptions& options, unsigned handles,
                                     std::uint64_t file_bytes) {
  for (std::size_t map_bytes = options.initial_map_bytes;;) {
    MDB_env* created = nullptr;
    int code = mdb_env_create(&created);
    if (code != MDB_SUCCESS) return lmdb_error(code, "open", file);
    Environment environment(created);
    code = mdb_env_set_mapsize(created, map_bytes);
    if (code == MDB_SUCCESS) code = mdb_env_set_maxdbs(created, handles);
    if (code == MDB_SUCCESS) code = mdb_env_set_maxreaders(created, options.max_readers);
    if (code == MDB_SUCCESS) code = mdb_env_open(created, file.c_str(), flags, file_mode);
    if (code == MDB_SUCCESS) return environment;
    if (code == ENOMEM && map_bytes / 2 >= 2 * file_bytes && map_bytes > (1 << 20)) {
      map_bytes /= 2;
      continue;
    }
    return lmdb_error(code, "open", file);
  }
}

Result<void> commit(LmdbTransaction transaction, const std::filesystem::path& file) {
  const int code = mdb_txn_commit(transaction.release());
  if (code != MDB_SUCCESS) return lmdb_error(code, "write", file);
  return {};
}

Result<LmdbTransaction> begin(MDB_env* environment, unsigned flags,
                              const std::filesystem::path& file) {
  MDB_txn* begun = nullptr;
  const int code = mdb_txn_begin(environment, nullptr, flags, &begun);
  if (code != MDB_SUCCESS) return lmdb_error(code, "read", file);
  return LmdbTransaction(begun);
}

// The catalogue of a database that begins with these keyspaces.
int write_new_catalogue(MDB_txn* transaction, const Catalogue& catalogue) {
  MDB_dbi meta = 0;
  int code = mdb_dbi_open(transaction, meta_name, MDB_CREATE, &meta);
  if (code == MDB_SUCCESS) code = write_identity(transaction, meta, random_identity());
  if (code == MDB_SUCCESS) code = write_at(transaction, meta, Timestamp{0});
  if (code == MDB_SUCCESS) {
    code = write_next_keyspace_id(transaction, meta, catalogue.next_keyspace_id);
  }
  for (const auto& [name, named] : catalogue.named) {
    MDB_dbi handle = 0;
    if (code == MDB_SUCCESS) code = mdb_dbi_open(transaction, name.c_str(), MDB_CREATE, &handle);
    if (code == MDB_SUCCESS) code = write_named(transaction, meta, name, named);
  }
  return code == MDB_SUCCESS ? write_stamp(transaction, meta) : code;
}

// Why under another name first: a crash while LMDB lays down its first pages must leave no
// data.mdb, because a damaged one is never taken for a new database.
Result<void> create_file(const std::filesystem::path& file, const BaseOptions& options) {
  const std::filesystem::path draft = file.string() + ".new";
  std::error_code ignored;
  std::filesystem::remove(draft, ignored);
  {
    Result<Environment> environment =
        open_environment(draft, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, options, 4, 0);
    if (!environment) return environment.error();
    Result<LmdbTransaction> transaction = begin(environment->get(), 0, draft);
    if (!transaction) return transaction.error();
    Catalogue catalogue;
    catalogue.named[std::string(default_keyspace_name)] = {NamedKind::keyspace, KeyspaceId{1}, 0};
    catalogue.next_keyspace_id = KeyspaceId{2};
    const int code = write_new_catalogue(transaction->get(), catalogue);
    if (code != MDB_SUCCESS) return lmdb_error(code, "create", file);
    if (Result<void> done = commit(std::move(*transaction), draft); !done) return done;
  }
  if (Result<void> synced = sync_path(draft, O_RDONLY); !synced) return synced;
  if (::rename(draft.c_str(), file.c_str()) != 0) return lmdb_error(errno, "create", file);
  return sync_path(file.parent_path(), O_RDONLY | O_DIRECTORY);
}

class Opening {
 public:
  explicit Opening(Base::State& state) : state_(state) {}

  Result<void> run();

 private:
  Result<void> find_or_create_file();
  Result<void> open_environment_of_file();
  Result<void> load();
  Result<void> open_handles(MDB_txn* transaction, Catalogue& catalogue);

  Base::State& state_;
  std::uint64_t file_bytes_ = 0;
};

Result<void> Opening::run() {
  if (Result<void> found = find_or_create_file(); !found) return found;
  if (Result<void> opened = open_environment_of_file(); !opened) return opened;
  return load();
}

Result<void> Opening::find_or_create_file() {
  const BaseOptions& options = state_.options;
  if (Result<void> there = Base::prepare_directory(state_.directory,
                                                   options.create_if_missing && !options.read_only);
      !there) {
    return there;
  }
  struct stat status {};
  if (::stat(state_.file.c_str(), &status) != 0) {
    if (errno != ENOENT) return lmdb_error(errno, "open", state_.file);
    if (!options.create_if_missing || options.read_only) {
      return open_error(ErrorCode::not_a_database, state_.directory,
                        "holds no database (it has no data.mdb)");
    }
    state_.fresh = true;
    if (Result<void> created = create_file(state_.file, options); !created) return created;
    if (::stat(state_.file.c_str(), &status) != 0) return lmdb_error(errno, "open", state_.file);
  }
  file_bytes_ = static_cast<std::uint64_t>(status.st_size);
  return {};
}

Result<void> Opening::open_environment_of_file() {
  constexpr unsigned spare_handles = 64;  // for dropped keyspaces, the catalogue and loads
  state_.max_handles = state_.options.max_keyspaces + spare_handles;
  unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
  if (state_.options.read_only) flags |= MDB_RDONLY;
  Result<Environment> environment =
      open_environment(state_.directory, flags, state_.options, state_.max_handles, file_bytes_);
  if (!environment) return environment.error();
  state_.environment = std::move(*environment);
  int dead_readers = 0;
  mdb_reader_check(state_.environment.get(), &dead_readers);
  return {};
}

Result<void> Opening::load() {
  Result<LmdbTransaction> transaction = begin(state_.environment.get(), MDB_RDONLY, state_.file);
  if (!transaction) return transaction.error();
  const std::uint64_t number = mdb_txn_id(transaction->get());
  const int code = mdb_dbi_open(transaction->get(), meta_name, 0, &state_.meta);
  if (code != MDB_SUCCESS) return lmdb_error(code, "find the catalogue of", state_.file);
  Result<Catalogue> catalogue = read_catalogue(transaction->get(), state_.meta, state_.file);
  if (!catalogue) return catalogue.error();
  if (Result<void> opened = open_handles(transaction->get(), *catalogue); !opened) return opened;
  // Committing a read transaction keeps the handles that were opened in it.
  if (Result<void> done = commit(std::move(*transaction), state_.file); !done) return done;

  state_.database_id = catalogue->database_id;
  state_.foreign.store(catalogue->transaction != number);
  state_.at.store(catalogue->at.value);
  state_.newest_possible.store(number);
  state_.version.store(number);
  state_.install(std::move(*catalogue));
  return {};
}

Result<void> Opening::open_handles(MDB_txn* transaction, Catalogue& catalogue) {
  for (auto& [name, named] : catalogue.named) {
    const int code = mdb_dbi_open(transaction, name.c_str(), 0, &named.handle);
    if (code != MDB_SUCCESS) {
      return corrupt_base("keyspace " + isolde::quoted(name) + " of its catalogue is not there",
                          state_.file);
    }
    if (named.kind != NamedKind::keyspace) continue;
    KeyspaceSlot& slot = state_.keyspaces.slot(named.id);
    slot.handle.store(named.handle);
    slot.since.store(0);
  }
  return {};
}

}  // namespace

Result<void> Base::prepare_directory(const std::filesystem::path& directory, bool create) {
  std::error_code failure;
  const std::filesystem::file_status status = std::filesystem::status(directory, failure);
  if (std::filesystem::is_directory(status)) return {};
  if (std::filesystem::exists(status)) {
    return open_error(ErrorCode::not_a_database, directory,
                      "is a file; a database is a directory, name one");
  }
  if (status.type() != std::filesystem::file_type::not_found) {
    return lmdb_error(failure.value(), "open", directory);
  }
  if (!create) return open_error(ErrorCode::not_a_database, directory, "does not exist");
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return lmdb_error(errno, "create", directory);
  }
  const std::filesystem::path absolute = std::filesystem::absolute(directory, failure);
  return sync_path((absolute / "..").lexically_normal(), O_RDONLY | O_DIRECTORY);
}

Result<std::unique_ptr<Base>> Base::open(const std::filesystem::path& directory,
                                         const BaseOptions& options) {
  auto state = std::make_unique<State>(directory, options);
  if (Result<void> opened = Opening(*state).run(); !opened) return opened.error();
  return std::unique_ptr<Base>(new Base(std::move(state)));
}

}  // namespace isolde::engine
