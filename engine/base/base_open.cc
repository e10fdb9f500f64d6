// Opening a base: creating, checking, adopting it.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <utility>

#include "engine/base/base_adopt.h"
#include "engine/base/base_pages.h"
#include "engine/base/base_state.h"
#include "isolde/keyspace.h"

namespace isolde::engine {
Result<void> sync_path(const std::filesystem::path& path, int flags) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC);
  if (descriptor < 0) return lmdb_error(errno, "open", path);
  const int code = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (code != 0) return lmdb_error(code, "sync", path);
  return {};
}

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
    if (code == MDB_SUCCESS) code = mdb_env_open(created, file.c_str(), flags, 0644);
    if (code == MDB_SUCCESS) return environment;
    if (code == ENOMEM && map_bytes / 2 >= 2 * file_bytes && map_bytes > (1 << 20)) {
      map_bytes /= 2;
      continue;
    }
    return lmdb_error(code, "open", file);
  }
}

namespace {

Error open_error(ErrorCode code, const std::filesystem::path& path, const std::string& what) {
  Evidence evidence;
  evidence.file = path.string();
  return {code, path.string() + ' ' + what, std::move(evidence)};
}

std::uint64_t random_identity() {
  std::random_device random;
  for (;;) {
    const std::uint64_t identity = (std::uint64_t{random()} << 32) | random();
    if (identity != 0) return identity;
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

// The whole manifest, for a new or newly adopted database, or after a stranger's changes.
int write_manifest(MDB_txn* transaction, MDB_dbi meta, const Manifest& manifest) {
  int code = write_identity(transaction, meta, manifest.database_id);
  if (code == MDB_SUCCESS) code = write_at(transaction, meta, manifest.at);
  if (code == MDB_SUCCESS) {
    code = write_next_keyspace_id(transaction, meta, manifest.next_keyspace_id);
  }
  for (const auto& [name, named] : manifest.named) {
    MDB_dbi handle = 0;
    if (code == MDB_SUCCESS) code = mdb_dbi_open(transaction, name.c_str(), MDB_CREATE, &handle);
    if (code == MDB_SUCCESS) code = write_named(transaction, meta, name, named);
  }
  return code == MDB_SUCCESS ? write_stamp(transaction, meta) : code;
}

int write_new_manifest(MDB_txn* transaction, Manifest manifest) {
  MDB_dbi meta = 0;
  const int code = mdb_dbi_open(transaction, meta_name, MDB_CREATE, &meta);
  manifest.database_id = random_identity();
  return code == MDB_SUCCESS ? write_manifest(transaction, meta, manifest) : code;
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
    Manifest manifest;
    fit_manifest({}, manifest);
    const int code = write_new_manifest(transaction->get(), manifest);
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
  Result<void> inspect();
  Result<void> open_environment_of_file();
  Result<void> adopt();
  Result<void> load();
  Result<void> open_handles(MDB_txn* transaction, Manifest& manifest, bool foreign);
  const NamedTree* find(std::string_view name) const;

  Base::State& state_;
  std::uint64_t file_bytes_ = 0;
  PageFile::MainTree main_;
};

Result<void> Opening::run() {
  if (Result<void> found = find_or_create_file(); !found) return found;
  if (Result<void> sound = inspect(); !sound) return sound;
  if (Result<void> opened = open_environment_of_file(); !opened) return opened;
  if (find(meta_name) == nullptr) {
    if (Result<void> adopted = adopt(); !adopted) return adopted;
  }
  return load();
}

const NamedTree* Opening::find(std::string_view name) const {
  for (const NamedTree& named : main_.named) {
    if (named.name == name) return &named;
  }
  return nullptr;
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

// Finds what LMDB would die of, in the file's first pages, the lists of databases and of free
// pages, and the outermost pages of each database. A file that is shorter than it claims may be
// whole (LMDB does not write pages that it allocated and gave up in one transaction), so only a
// full reading tells.
Result<void> Opening::inspect() {
  Result<PageFile> pages = PageFile::open(state_.file);
  if (!pages) return pages.error();
  Result<PageRoots> roots = pages->newest();
  if (!roots) return roots.error();
  // Trees with special flags are beyond the page reader.
  if (!special_flag_name(roots->main.flags).empty()) {
    return check_adoptable(*roots, {}, state_.file, state_.options.max_keyspaces);
  }
  pages->begin(*roots);
  Result<PageFile::MainTree> main = pages->walk_main();
  if (!main) return main.error();
  const bool is_short = (roots->last_page + 1) * pages->page_bytes() > pages->file_bytes();
  for (const NamedTree& named : main->named) {
    if (!special_flag_name(named.tree.flags).empty()) continue;
    const auto nothing = [](const PageEntry&) -> Result<void> { return {}; };
    Result<void> walked =
        pages->walk(named.tree, "database " + isolde::quoted(named.name),
                    is_short ? PageFile::Extent::all : PageFile::Extent::edges, nothing);
    if (!walked) return walked;
  }
  if (Result<void> walked = pages->walk_free(); !walked) return walked;
  main_ = std::move(*main);
  if (find(meta_name) != nullptr) return {};
  return check_adoptable(*roots, main_, state_.file, state_.options.max_keyspaces);
}

// Read-ahead helps while the file fits into memory beside everything else, and evicts useful pages
// when it does not. Measured cold, 1M entries of 116 bytes: 20,000 random gets 9 us each with it,
// 117 us without, a scan of all 0.1 s and 2.8 s.
bool wants_read_ahead(std::uint64_t file_bytes) noexcept {
  const auto memory = static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                      static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return file_bytes < memory / 2;
}

// LMDB maps its lock file, and makes it by ftruncate: a page of it that the disk has no room for is
// a SIGBUS in the process that takes a place in the table of readers. So all of it is allocated. A
// file that is there keeps its size: others may have it mapped.
Result<void> allocate_lock_file(const std::filesystem::path& file, std::uint32_t max_readers) {
  constexpr off_t reader_bytes = 64;
  constexpr off_t head_bytes = 4096;
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) return lmdb_error(errno, "open", file);
  struct stat status {};
  int code = ::fstat(descriptor, &status) == 0 ? 0 : errno;
  if (code == 0) {
    const off_t bytes =
        status.st_size > 0 ? status.st_size : head_bytes + reader_bytes * off_t{max_readers};
    code = ::fallocate(descriptor, 0, 0, bytes) == 0 ? 0 : errno;
  }
  ::close(descriptor);
  // A file system that can't: it may have room all the same.
  if (code == EOPNOTSUPP || code == ENOSYS) code = 0;
  if (code != 0) return lmdb_error(code, "allocate", file);
  return {};
}

// A reader that may not write LMDB's lock file goes without: the owner lock keeps writers away.
Result<void> Opening::open_environment_of_file() {
  constexpr unsigned spare_handles = 64;  // for dropped keyspaces, the manifest and loads
  const BaseOptions& options = state_.options;
  state_.max_handles =
      std::max(options.max_keyspaces, static_cast<std::uint32_t>(main_.named.size())) +
      spare_handles;
  unsigned flags = MDB_NOTLS;
  if (!wants_read_ahead(file_bytes_)) flags |= MDB_NORDAHEAD;
  if (options.read_only) flags |= MDB_RDONLY;
  const std::filesystem::path lock = state_.directory / "lock.mdb";
  if (Result<void> allocated = allocate_lock_file(lock, options.max_readers); !allocated) {
    if (!options.read_only) return allocated;
    flags |= MDB_NOLOCK;
  }
  Result<Environment> environment =
      open_environment(state_.directory, flags, options, state_.max_handles, file_bytes_);
  if (!environment) return environment.error();
  state_.environment = std::move(*environment);
  // LMDB makes one that is too small larger.
  if ((flags & MDB_NOLOCK) == 0) {
    Result<void> allocated = allocate_lock_file(lock, options.max_readers);
    if (!allocated && !options.read_only) return allocated;
  }
  int dead_readers = 0;
  mdb_reader_check(state_.environment.get(), &dead_readers);
  return {};
}

// All in one transaction, so that a crash or an error leaves the file as it was.
Result<void> Opening::adopt() {
  if (state_.options.read_only) {
    return open_error(ErrorCode::read_only, state_.file,
                      "is a plain LMDB file; open it for writing once, to adopt it");
  }
  MDB_env* environment = state_.environment.get();
  for (;;) {
    Result<LmdbTransaction> transaction = begin(environment, 0, state_.file);
    if (!transaction) return transaction.error();
    Manifest manifest;
    fit_manifest(main_, manifest);
    Result<int> moved = move_plain_records(transaction->get(), main_, state_.file);
    if (!moved) return moved.error();
    int code = *moved;
    if (code == MDB_SUCCESS) code = write_new_manifest(transaction->get(), manifest);
    if (code == MDB_SUCCESS) code = mdb_txn_commit(transaction->release());
    if (code == MDB_SUCCESS) break;
    if (code != MDB_MAP_FULL) return lmdb_error(code, "adopt", state_.file);
    transaction->reset();
    if (Result<void> grown = grow_map_of(state_); !grown) return grown;
  }
  state_.fresh = true;
  return {};
}

Result<void> Opening::load() {
  Result<LmdbTransaction> transaction = begin(state_.environment.get(), MDB_RDONLY, state_.file);
  if (!transaction) return transaction.error();
  const std::uint64_t number = mdb_txn_id(transaction->get());
  const int code = mdb_dbi_open(transaction->get(), meta_name, 0, &state_.meta);
  if (code != MDB_SUCCESS) return lmdb_error(code, "find the manifest of", state_.file);
  Result<Manifest> manifest = read_manifest(transaction->get(), state_.meta, state_.file);
  if (!manifest) return manifest.error();
  const bool foreign = manifest->transaction != number;
  if (Result<void> opened = open_handles(transaction->get(), *manifest, foreign); !opened) {
    return opened;
  }
  // Committing a read transaction keeps the handles that were opened in it.
  if (Result<void> done = commit(std::move(*transaction), state_.file); !done) return done;

  if (!manifest->log_begun && manifest->at == Timestamp{0}) state_.fresh = true;
  state_.database_id = manifest->database_id;
  state_.foreign.store(foreign);
  state_.at.store(manifest->at.value);
  state_.newest_possible.store(number);
  state_.version.store(number);
  state_.install(std::move(*manifest));
  return {};
}

// A keyspace that a stranger removed has no handle, and is absent everywhere.
Result<void> Opening::open_handles(MDB_txn* transaction, Manifest& manifest, bool foreign) {
  for (auto& [name, named] : manifest.named) {
    const NamedTree* tree = find(name);
    if (tree != nullptr && !special_flag_name(tree->tree.flags).empty()) {
      return check_adoptable({}, main_, state_.file, main_.named.size());
    }
    const int code = mdb_dbi_open(transaction, name.c_str(), 0, &named.handle);
    if (code == MDB_NOTFOUND && foreign) continue;
    if (code == MDB_NOTFOUND) {
      return corrupt_base("keyspace " + isolde::quoted(name) + " of its manifest is not there",
                          state_.file);
    }
    if (code != MDB_SUCCESS) return lmdb_error(code, "open a keyspace of", state_.file);
    // A finished load may have its create_keyspace in the log.
    if (named.kind != NamedKind::keyspace && named.kind != NamedKind::loaded) continue;
    HandleEntry& entry = state_.handles.entry(named.id);
    entry.handle.store(named.handle);
    entry.since.store(0);
  }
  return {};
}

// Opens what is in the manifest and has no handle yet.
int open_new_handles(Base::State& state, MDB_txn* transaction, Manifest& manifest) {
  for (auto& [name, named] : manifest.named) {
    if (named.handle != 0) continue;
    const int code = mdb_dbi_open(transaction, name.c_str(), 0, &named.handle);
    if (code != MDB_SUCCESS) return code;
    if (named.kind != NamedKind::keyspace) continue;
    HandleEntry& entry = state.handles.entry(named.id);
    entry.handle.store(named.handle);
    entry.since.store(0);
  }
  return MDB_SUCCESS;
}

// What is in the file now, for a caller that keeps writers away.
Result<PageFile::MainTree> inspect_again(const Base::State& state) {
  Result<PageFile> pages = PageFile::open(state.file);
  if (!pages) return pages.error();
  Result<PageRoots> roots = pages->newest();
  if (!roots) return roots.error();
  pages->begin(*roots);
  Result<PageFile::MainTree> main = pages->walk_main();
  if (!main) return main.error();
  if (Result<void> fits =
          check_adoptable(*roots, *main, state.file, state.options.max_keyspaces + 64);
      !fits) {
    return fits.error();
  }
  return main;
}

// In memory only: what can't be written can be read all the same.
Result<void> accept_for_reading(Base::State& state) {
  Result<PageFile::MainTree> main = inspect_again(state);
  if (!main) return main.error();
  Result<LmdbTransaction> transaction = begin(state.environment.get(), MDB_RDONLY, state.file);
  if (!transaction) return transaction.error();
  Manifest manifest = state.copy_of_manifest();
  fit_manifest(*main, manifest);
  const bool has_default =
      std::any_of(main->named.begin(), main->named.end(),
                  [](const NamedTree& named) { return named.name == default_keyspace_name; });
  if (!has_default) manifest.named.erase(std::string(default_keyspace_name));
  const int code = open_new_handles(state, transaction->get(), manifest);
  if (code != MDB_SUCCESS) return lmdb_error(code, "read", state.file);
  if (Result<void> done = commit(std::move(*transaction), state.file); !done) return done;
  state.install(std::move(manifest));
  return {};
}

}  // namespace

Result<void> Base::accept_foreign_write() {
  State& state = *state_;
  if (!state.foreign.load()) return {};
  if (state.options.read_only) {
    Result<void> accepted = accept_for_reading(state);
    if (accepted) state.foreign.store(false);
    return accepted;
  }
  for (;;) {
    Result<WriteTransaction> transaction = WriteTransaction::begin(state);
    if (!transaction) return transaction.error();
    Result<PageFile::MainTree> main = inspect_again(state);
    if (!main) return main.error();
    Manifest manifest = state.copy_of_manifest();
    const Manifest before = manifest;
    fit_manifest(*main, manifest);
    Result<int> moved = move_plain_records(transaction->get(), *main, state.file);
    if (!moved) return moved.error();
    int code = *moved;
    for (const auto& [name, named] : before.named) {
      if (code == MDB_SUCCESS) code = erase_named(transaction->get(), state.meta, name);
    }
    if (code == MDB_SUCCESS) code = write_manifest(transaction->get(), state.meta, manifest);
    if (code == MDB_SUCCESS) code = open_new_handles(state, transaction->get(), manifest);
    if (code == MDB_SUCCESS) code = transaction->commit();
    if (code == MDB_SUCCESS) {
      state.install(std::move(manifest));
      state.foreign.store(false);
      return {};
    }
    if (code != MDB_MAP_FULL) return lmdb_error(code, "adopt", state.file);
    transaction->abort();
    if (Result<void> grown = grow_map_of(state); !grown) return grown;
  }
}

Result<void> Base::note_log_begun() {
  State& state = *state_;
  while (state.fresh) {
    Result<WriteTransaction> transaction = WriteTransaction::begin(state);
    if (!transaction) return transaction.error();
    int code = write_log_begun(transaction->get(), state.meta);
    if (code == MDB_SUCCESS) code = transaction->commit();
    if (code == MDB_SUCCESS) {
      state.fresh = false;
    } else {
      transaction->abort();
      if (code != MDB_MAP_FULL) return lmdb_error(code, "write", state.file);
      if (Result<void> grown = grow_map_of(state); !grown) return grown;
    }
  }
  return {};
}

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
    if (errno == ENOENT) {
      return open_error(ErrorCode::io_error, directory,
                        "cannot be created: the directory that it belongs into does not exist");
    }
    return lmdb_error(errno, "create", directory);
  }
  const std::filesystem::path absolute = std::filesystem::absolute(directory, failure);
  return sync_path((absolute / "..").lexically_normal(), O_RDONLY | O_DIRECTORY);
}

Result<std::unique_ptr<Base>> Base::open(const std::filesystem::path& directory,
                                         const BaseOptions& options) {
  auto state = std::make_unique<State>(directory, options);
  if (Result<void> opened = Opening(*state).run(); !opened) return opened.error();
  std::unique_ptr<Base> base(new Base(std::move(state)));
  if (!options.read_only && !base->has_foreign_write()) {
    // Only tidiness: a database must open on a full disk, too.
    static_cast<void>(base->free_handles());
  }
  return base;
}

}  // namespace isolde::engine
