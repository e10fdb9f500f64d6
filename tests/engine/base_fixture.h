// What the tests of the base share: a directory of their own, checkpoints from lists, plain LMDB as
// the outside program.
#pragma once

#include <lmdb.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/base/base.h"

namespace isolde::engine::test {

// In memory if there is room: these tests kill processes, not machines, so a sync that costs
// nothing tells as much. The usual place for temporary files otherwise.
inline std::filesystem::path place_for_tests() {
  std::error_code none;
  const std::filesystem::path memory = "/dev/shm";
  const std::filesystem::space_info space = std::filesystem::space(memory, none);
  const bool roomy = !none && space.available >= (std::uint64_t{1} << 30);
  return roomy && ::access(memory.c_str(), W_OK) == 0 ? memory
                                                      : std::filesystem::temp_directory_path();
}

// Removed with all its contents at the end.
class TempDirectory {
 public:
  TempDirectory() {
    std::string pattern = (place_for_tests() / "isolde-base-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) std::abort();
    path_ = pattern;
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// For messages, which Boost builds whether or not they are needed.
template <typename T>
std::string text_of(const Result<T>& result) {
  return result ? "ok" : result.error().to_string();
}

inline constexpr KeyspaceId default_id{1};
using Entries = std::map<std::string, std::string>;

// Changes that own their bytes.
class Changes : public ChangeSource {
 public:
  Changes& put(KeyspaceId keyspace, std::string key, std::string value) {
    return add({ChangeKind::put, keyspace, std::move(key), std::move(value)});
  }
  Changes& erase(KeyspaceId keyspace, std::string key) {
    return add({ChangeKind::erase, keyspace, std::move(key), {}});
  }
  Changes& create(KeyspaceId keyspace, std::string name) {
    return add({ChangeKind::create_keyspace, keyspace, std::move(name), {}});
  }
  Changes& drop(KeyspaceId keyspace, std::string name) {
    return add({ChangeKind::drop_keyspace, keyspace, std::move(name), {}});
  }
  void for_each(const Sink& sink) override {
    for (const Owned& change : changes_) {
      if (!sink({change.kind, change.keyspace, change.key, change.value})) return;
    }
  }

 private:
  struct Owned {
    ChangeKind kind;
    KeyspaceId keyspace;
    std::string key;
    std::string value;
  };
  Changes& add(Owned change) {
    changes_.push_back(std::move(change));
    return *this;
  }
  std::vector<Owned> changes_;
};

// Small enough for sanitizers, large enough for most tests.
inline BaseOptions small_options() {
  BaseOptions options;
  options.initial_map_bytes = std::size_t{256} << 20;
  return options;
}

inline std::unique_ptr<Base> open_base(const std::filesystem::path& directory,
                                       const BaseOptions& options = small_options()) {
  Result<std::unique_ptr<Base>> base = Base::open(directory, options);
  BOOST_REQUIRE_MESSAGE(base, text_of(base));
  return std::move(*base);
}

inline ErrorCode open_failure(const std::filesystem::path& directory,
                              const BaseOptions& options = small_options()) {
  Result<std::unique_ptr<Base>> base = Base::open(directory, options);
  BOOST_REQUIRE(!base);
  BOOST_TEST_MESSAGE(base.error().to_string());
  const std::string& message = base.error().message();
  BOOST_TEST(message.find(directory.string()) != std::string::npos);
  return base.error().code();
}

// Applies what must succeed.
inline BaseVersion apply(Base& base, std::uint64_t at, ChangeSource& changes) {
  Result<ApplyOutcome> outcome = base.apply(Timestamp{at}, changes);
  BOOST_REQUIRE_MESSAGE(outcome, text_of(outcome));
  BOOST_REQUIRE(outcome->kind == ApplyOutcome::Kind::applied);
  return outcome->version;
}

inline BaseView open_view(Base& base) {
  BaseView view;
  Result<void> opened = view.renew(base);
  BOOST_REQUIRE_MESSAGE(opened, text_of(opened));
  return view;
}

inline std::optional<std::string> get(const BaseView& view, KeyspaceId keyspace,
                                      std::string_view key) {
  const BaseLookup lookup = view.get(keyspace, key);
  BOOST_REQUIRE(lookup.status != BaseLookup::Status::failed);
  if (lookup.status == BaseLookup::Status::absent) return std::nullopt;
  return std::string(lookup.value);
}

inline Entries contents(BaseView& view, KeyspaceId keyspace) {
  Entries entries;
  BaseCursor cursor;
  BOOST_REQUIRE(cursor.bind(view, keyspace));
  for (auto at = cursor.seek(""); at.status == BaseLookup::Status::found; at = cursor.next()) {
    entries.emplace(at.key, at.value);
  }
  return entries;
}
inline Entries contents(Base& base, KeyspaceId keyspace) {
  BaseView view = open_view(base);
  return contents(view, keyspace);
}

inline std::map<std::string, std::uint32_t> names(const Base& base) {
  std::map<std::string, std::uint32_t> ids;
  for (const KeyspaceInfo& info : base.keyspaces()) ids[info.name] = info.id.value;
  return ids;
}
inline KeyspaceId id_of(const Base& base, const std::string& name) {
  return KeyspaceId{names(base).at(name)};
}

// The outside program: an LMDB environment of its own. Not to be open beside a Base of this
// process (LMDB forbids it): use in_child for that.
class Outsider {
 public:
  explicit Outsider(const std::filesystem::path& directory, unsigned flags = 0) {
    std::filesystem::create_directories(directory);
    require(mdb_env_create(&environment_));
    require(mdb_env_set_mapsize(environment_, std::size_t{256} << 20));
    require(mdb_env_set_maxdbs(environment_, 400));
    require(mdb_env_open(environment_, directory.c_str(), flags, 0644));
  }
  Outsider(const Outsider&) = delete;
  Outsider& operator=(const Outsider&) = delete;
  ~Outsider() { mdb_env_close(environment_); }

  // name "": the unnamed database.
  void put(const std::string& name, const Entries& entries, unsigned flags = 0) {
    write(name, flags | (name.empty() ? 0u : unsigned{MDB_CREATE}),
          [&](MDB_txn* transaction, MDB_dbi handle) {
            for (const auto& [key, value] : entries) {
              MDB_val k{key.size(), const_cast<char*>(key.data())};
              MDB_val v{value.size(), const_cast<char*>(value.data())};
              require(mdb_put(transaction, handle, &k, &v, 0));
            }
          });
  }
  void drop(const std::string& name) {
    write(name, 0,
          [](MDB_txn* transaction, MDB_dbi handle) { require(mdb_drop(transaction, handle, 1)); });
  }
  // Nothing if there is no such database.
  std::optional<Entries> read(const std::string& name) {
    MDB_txn* transaction = nullptr;
    require(mdb_txn_begin(environment_, nullptr, MDB_RDONLY, &transaction));
    const std::unique_ptr<MDB_txn, void (*)(MDB_txn*)> ended(transaction, mdb_txn_abort);
    MDB_dbi handle = 0;
    if (mdb_dbi_open(transaction, name.empty() ? nullptr : name.c_str(), 0, &handle) != 0) {
      return std::nullopt;
    }
    MDB_cursor* cursor = nullptr;
    require(mdb_cursor_open(transaction, handle, &cursor));
    Entries entries;
    MDB_val key;
    MDB_val value;
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
      entries.emplace(std::string(static_cast<char*>(key.mv_data), key.mv_size),
                      std::string(static_cast<char*>(value.mv_data), value.mv_size));
    }
    mdb_cursor_close(cursor);
    return entries;
  }

 private:
  static void require(int code) {
    if (code == MDB_SUCCESS) return;
    std::fprintf(stderr, "outsider: %s\n", mdb_strerror(code));
    std::abort();
  }
  void write(const std::string& name, unsigned flags,
             const std::function<void(MDB_txn*, MDB_dbi)>& change) {
    MDB_txn* transaction = nullptr;
    require(mdb_txn_begin(environment_, nullptr, 0, &transaction));
    MDB_dbi handle = 0;
    require(mdb_dbi_open(transaction, name.empty() ? nullptr : name.c_str(), flags, &handle));
    change(transaction, handle);
    require(mdb_txn_commit(transaction));
  }

  MDB_env* environment_ = nullptr;
};

// The exit code of `work` in a child process (255: it died of a signal).
int in_child(const std::function<int()>& work);

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, const std::string& bytes);

// From ISOLDE_SEED, or new; printed either way.
std::uint64_t seed_for(const char* test);
// ISOLDE_TEST_SCALE, 1 by default.
int test_scale();

}  // namespace isolde::engine::test
