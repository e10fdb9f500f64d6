#include "lab/play/playground.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>
#include <vector>

namespace isolde::lab {

namespace {

// Where nothing needs to outlive the process, a file system in memory is as good and far faster: a
// new database makes a dozen syncs. Unless the user says where temporary files go.
std::filesystem::path in_memory_if_possible() {
  constexpr std::uintmax_t ample_bytes = std::uintmax_t{1} << 30;
  const char* const memory = "/dev/shm";
  std::error_code failure;
  if (std::getenv("TMPDIR") == nullptr && ::access(memory, W_OK) == 0 &&
      std::filesystem::space(memory, failure).available >= ample_bytes && !failure) {
    return memory;
  }
  const auto parent = std::filesystem::temp_directory_path(failure);
  return failure ? std::filesystem::path("/tmp") : parent;
}

}  // namespace

Result<TemporaryDirectory> TemporaryDirectory::create(std::string_view prefix) {
  std::string name = (in_memory_if_possible() / fmt::format("{}XXXXXX", prefix)).string();
  if (::mkdtemp(name.data()) == nullptr) {
    const int error = errno;
    Evidence evidence;
    evidence.file = name;
    evidence.system_error = error;
    return Error(ErrorCode::io_error,
                 fmt::format("cannot create the temporary directory {}: {}; set TMPDIR to a place "
                             "that is writable",
                             name, std::generic_category().message(error)),
                 std::move(evidence));
  }
  return TemporaryDirectory(name);
}

TemporaryDirectory::TemporaryDirectory(TemporaryDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}

TemporaryDirectory& TemporaryDirectory::operator=(TemporaryDirectory&& other) noexcept {
  if (this != &other) {
    remove();
    path_ = std::exchange(other.path_, {});
  }
  return *this;
}

TemporaryDirectory::~TemporaryDirectory() { remove(); }

void TemporaryDirectory::remove() noexcept {
  std::error_code ignored;  // nothing can be done about a directory that another process holds
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Error TemporaryDirectory::seen_from_here(const Error& error) const {
  const std::string prefix = path_.string() + '/';
  const auto without_prefix = [&prefix](std::string text) {
    for (std::size_t at = text.find(prefix); at != std::string::npos; at = text.find(prefix, at)) {
      text.erase(at, prefix.size());
    }
    return text;
  };
  if (error.message().find(prefix) == std::string::npos) return error;
  Evidence evidence = error.evidence();
  if (evidence.file) evidence.file = without_prefix(std::move(*evidence.file));
  return {error.code(), without_prefix(error.message()), std::move(evidence)};
}

namespace {

Result<void> read_keyspace(Database& database, const Keyspace& keyspace, const std::string& name,
                           State& state) {
  auto txn = database.begin({.isolation = Isolation::repeatable_read, .read_only = true});
  if (!txn) return txn.error();
  auto scanned =
      txn->scan(keyspace, KeyRange::all(), [&](std::string_view key, std::string_view value) {
        state.emplace(std::pair(name, std::string(key)), std::string(value));
      });
  if (!scanned) return scanned.error();
  return txn->rollback();
}

class TemporaryPlayground final : public Playground {
 public:
  Result<void> restart() override {
    database_.reset();
    directory_.reset();
    auto directory = TemporaryDirectory::create("isolde-run-");
    if (!directory) return directory.error();
    directory_ = std::move(*directory);
    // Nothing here outlives the process, so nothing needs a sync; and small files open fast.
    Options options;
    options.durability = wants_syncs_ ? Durability::sync() : Durability::none();
    // Only the steps do anything: what a checkpoint or a reclaim changes, changes at its step.
    options.background_work = false;
    options.log_segment_bytes = std::size_t{1} << 20;
    options.initial_map_bytes = std::size_t{1} << 26;
    auto database = Database::open(directory_->path() / "db", options);
    if (!database) return database.error();
    database_ = std::move(*database);
    return {};
  }

  void want_syncs(bool wanted) override { wants_syncs_ = wanted; }

  Database& database() override { return *database_; }
  Result<Keyspace> find(std::string_view name) override { return database_->find_keyspace(name); }

  Result<void> create(std::string_view name) override {
    auto created = database_->keyspace(name);
    return created ? Result<void>() : Result<void>(created.error());
  }

  Error told(const Error& error) const override { return directory_->seen_from_here(error); }

  Result<State> state() override {
    State state;
    for (const Keyspace& keyspace : database_->keyspaces()) {
      auto read = read_keyspace(*database_, keyspace, keyspace.name(), state);
      if (!read) return read.error();
    }
    return state;
  }

 private:
  std::optional<TemporaryDirectory> directory_;  // outlives the database in it
  std::optional<Database> database_;
  bool wants_syncs_ = false;
};

class ScratchPlayground final : public Playground {
 public:
  ScratchPlayground(Database& database, State origin)
      : database_(database), origin_(std::move(origin)) {}
  ScratchPlayground(const ScratchPlayground&) = delete;
  ScratchPlayground& operator=(const ScratchPlayground&) = delete;
  ~ScratchPlayground() override { (void)drop_all(); }

  Result<void> restart() override {
    if (auto dropped = drop_all(); !dropped) return dropped;
    const std::string name = free_name(default_keyspace_name);
    auto at = origin_.begin();
    auto loaded = database_.bulk_load(name, [&]() -> Result<std::optional<Entry>> {
      if (at == origin_.end()) return std::optional<Entry>();
      const auto& [place, value] = *at++;
      return std::optional<Entry>(Entry{place.second, value});
    });
    if (!loaded) return loaded.error();
    names_.emplace(default_keyspace_name, name);
    return {};
  }

  Database& database() override { return database_; }

  Result<Keyspace> find(std::string_view name) override {
    const auto found = names_.find(name);
    if (found != names_.end()) return database_.find_keyspace(found->second);
    Evidence evidence;
    evidence.keyspace = name;
    return Error(
        ErrorCode::keyspace_not_found,
        fmt::format("there is no keyspace {}; create it in setup: keyspace {}", quoted(name), name),
        std::move(evidence));
  }

  Result<void> create(std::string_view name) override {
    if (names_.count(name) != 0) return {};
    const std::string scratch = free_name(name);
    auto created = database_.keyspace(scratch);
    if (!created) return created.error();
    names_.emplace(name, scratch);
    return {};
  }

  std::string script_name(std::string_view database_name) const override {
    for (const auto& [name, scratch] : names_) {
      if (scratch == database_name) return name;
    }
    return std::string(database_name);
  }

  Result<State> state() override {
    State state;
    for (const auto& [name, scratch] : names_) {
      auto keyspace = database_.find_keyspace(scratch);
      if (!keyspace) return keyspace.error();
      auto read = read_keyspace(database_, *keyspace, name, state);
      if (!read) return read.error();
    }
    return state;
  }

  const State& origin() const override { return origin_; }

 private:
  // A name that nothing has: what a killed run left behind may be a user's data as well.
  std::string free_name(std::string_view name) const {
    std::string candidate = fmt::format("scratch:{}", name);
    for (int n = 2; database_.find_keyspace(candidate); ++n) {
      candidate = fmt::format("scratch{}:{}", n, name);
    }
    return candidate;
  }

  Result<void> drop_all() {
    for (const auto& [name, scratch] : names_) {
      if (auto dropped = database_.drop_keyspace(scratch); !dropped) return dropped;
    }
    names_.clear();
    return {};
  }

  Database& database_;
  State origin_;
  std::map<std::string, std::string, std::less<>> names_;  // the script's name -> the database's
};

}  // namespace

const State& Playground::origin() const {
  static const State nothing;
  return nothing;
}

std::unique_ptr<Playground> Playground::temporary() {
  return std::make_unique<TemporaryPlayground>();
}

Result<std::unique_ptr<Playground>> Playground::inside(Database& database,
                                                       const std::optional<std::string>& copy_of) {
  State origin;
  if (copy_of) {
    auto keyspace = database.find_keyspace(*copy_of);
    if (!keyspace) return keyspace.error();
    auto read = read_keyspace(database, *keyspace, std::string(default_keyspace_name), origin);
    if (!read) return read.error();
  }
  return std::unique_ptr<Playground>(
      std::make_unique<ScratchPlayground>(database, std::move(origin)));
}

}  // namespace isolde::lab
