// A full disk: a clear error, nothing lost, and it goes on once there is room.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "mvcc/database_core.h"
#include "tests/support/child_process.h"
#include "tests/support/commit_history.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/small_disk.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;

namespace {

// Where the tests' databases are, with others' files beside them.
class Disk {
 public:
  virtual ~Disk() = default;
  virtual std::filesystem::path path() const = 0;
  // Others take room until at most `left` bytes are left, and give all of it back.
  virtual void fill(std::uintmax_t left) = 0;
  virtual void drop() = 0;
  // The bytes of a file for which there may be no room.
  virtual std::uintmax_t holes(const std::filesystem::path& file) = 0;
};

// This process finds it full, whatever its rights are.
class CountedDisk final : public Disk {
 public:
  CountedDisk(const std::filesystem::path& directory, std::uintmax_t bytes)
      : directory_(directory), disk_(directory, bytes) {}
  std::filesystem::path path() const override { return directory_; }
  void fill(std::uintmax_t left) override { disk_.fill(left); }
  void drop() override { disk_.drop(); }
  std::uintmax_t holes(const std::filesystem::path& file) override { return disk_.holes(file); }

 private:
  std::filesystem::path directory_;
  SmallDisk disk_;
};

// The kernel's, filled with a file. Whoever stores into a hole dies of it, so it reports none.
class MountedDisk final : public Disk {
 public:
  explicit MountedDisk(std::filesystem::path directory) : directory_(std::move(directory)) {}

  // False where this process may not mount.
  static bool mount(const std::filesystem::path& directory, int mebibytes) {
    const std::string size = "size=" + std::to_string(mebibytes) + "m";
    return ::unshare(CLONE_NEWNS) == 0 &&
           ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("tmpfs", directory.c_str(), "tmpfs", 0, size.c_str()) == 0;
  }

  std::filesystem::path path() const override { return directory_; }
  void fill(std::uintmax_t left) override {
    const int descriptor =
        ::open(ballast().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const std::string block(4096, 'b');
    while (std::filesystem::space(directory_).available > left &&
           ::write(descriptor, block.data(), block.size()) > 0) {
    }
    ::close(descriptor);
  }
  void drop() override { std::filesystem::remove(ballast()); }
  std::uintmax_t holes(const std::filesystem::path&) override { return 0; }

 private:
  std::filesystem::path ballast() const { return directory_ / "ballast"; }

  std::filesystem::path directory_;
};

// Runs it in a child, with a disk of so many MiB that is counted, which needs no right; then, where
// this process may mount, with a real one. What the work returns is what went wrong, empty if
// nothing did.
void on_small_disk(int mebibytes, const std::function<std::string(Disk&)>& work) {
  BOOST_TEST_CONTEXT("a counted disk") {
    const TempDirectory directory;
    BOOST_TEST(said_in_child([&]() -> std::string {
                 CountedDisk disk(directory.path(), static_cast<std::uintmax_t>(mebibytes) << 20);
                 return work(disk);
               }) == "");
  }
  BOOST_TEST_CONTEXT("a mounted disk") {
    const TempDirectory directory;
    BOOST_TEST(said_in_child([&]() -> std::string {
                 if (!MountedDisk::mount(directory.path(), mebibytes)) return "";
                 MountedDisk disk(directory.path());
                 return work(disk);
               }) == "");
  }
}

Options disk_options() {
  Options options = small_options();
  options.initial_map_bytes = std::size_t{32} << 20;
  return options;
}

Result<Timestamp> put(Database& db, const Keyspace& keyspace, std::string_view key,
                      std::string_view value) {
  auto txn = db.begin();
  if (!txn) return txn.error();
  if (auto done = txn->put(keyspace, key, value); !done) return done.error();
  return txn->commit();
}

std::string numbered(int number) {
  std::string digits = std::to_string(number);
  return "k" + std::string(8 - digits.size(), '0') + digits;
}

std::string differs(Database& db, const Contents& expected) {
  auto found = read_everything(db);
  if (!found) return found.error().to_string();
  DatabaseContents all{{"default", expected}};
  return first_difference(*found, all);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(disk_full)

BOOST_AUTO_TEST_CASE(a_commit_without_room_for_its_record_stays_open_and_is_tried_again) {
  const TempDirectory directory;
  auto files = std::make_unique<FaultFileSystem>();
  Options options = disk_options();
  options.log_segment_bytes = 8192;
  auto db = must(DatabaseInternals::open(directory.path() / "db", options, *files));
  const Keyspace keyspace = must(db.find_keyspace("default"));
  files->limit_bytes(files->total_bytes() + 20'000);
  Contents acknowledged;
  std::string key;
  std::string last;
  Result<Timestamp> committed = Timestamp{};
  {
    Transaction txn = must(db.begin());
    for (int i = 0; i < 1000; ++i) {
      key = numbered(i);
      last = std::string(1000, static_cast<char>('a' + i % 26));
      txn = must(db.begin());
      must(txn.put(keyspace, key, last));
      committed = txn.commit();
      if (!committed) break;
      acknowledged[key] = last;
    }
    BOOST_TEST_REQUIRE(outcome(committed) == "disk_full");
    BOOST_TEST(committed.error().evidence().system_error == ENOSPC);
    BOOST_TEST(committed.error().evidence().file.value_or("").ends_with(".log"));
    BOOST_TEST(acknowledged.size() > 5u);
    // Others get the same answer, what is there is read as before, the log has not failed.
    BOOST_TEST(outcome(put(db, keyspace, "other", last)) == "disk_full");
    BOOST_TEST(!db.stats().failed);
    BOOST_TEST(differs(db, acknowledged) == "");
    BOOST_TEST(txn.active());
    BOOST_TEST(outcome(txn.commit()) == "disk_full");
    BOOST_TEST(text(get(txn, keyspace, key)) == last);
    must(txn.put(keyspace, "and", "more"));
    files->clear_faults();
    BOOST_TEST(outcome(txn.commit()) == "ok");
  }
  acknowledged[key] = last;
  acknowledged["and"] = "more";
  BOOST_TEST(outcome(db.keyspace("more")) == "ok");
  must(db.drop_keyspace("more"));
  BOOST_TEST(differs(db, acknowledged) == "");
  DatabaseInternals::abandon(std::move(db));
  files = files->crash({});
  db = must(DatabaseInternals::open(directory.path() / "db", options, *files));
  BOOST_TEST(differs(db, acknowledged) == "");
  must(db.verify());
}

BOOST_AUTO_TEST_CASE(a_checkpoint_makes_room_in_the_log_again) {
  const TempDirectory directory;
  FaultFileSystem files;
  Options options = disk_options();
  options.log_segment_bytes = 8192;
  auto db = must(DatabaseInternals::open(directory.path() / "db", options, files));
  const Keyspace keyspace = must(db.find_keyspace("default"));
  files.limit_bytes(files.total_bytes() + 20'000);
  for (int round = 0; round < 3; ++round) {
    int commits = 0;
    Result<Timestamp> committed = Timestamp{};
    while ((committed = put(db, keyspace, numbered(commits), std::string(1000, 'x')))) ++commits;
    BOOST_TEST(outcome(committed) == "disk_full");
    BOOST_TEST(commits > 3);
    must(db.checkpoint());
  }
  must(db.close());
}

BOOST_AUTO_TEST_CASE(a_disk_filled_by_transactions_loses_nothing) {
  on_small_disk(12, [](Disk& disk) -> std::string {
    disk.fill(6 << 20);
    Options options = disk_options();
    options.background_work = true;
    options.checkpoint_log_bytes = std::size_t{256} << 10;
    auto db = Database::open(disk.path() / "db", options);
    if (!db) return db.error().to_string();
    const Keyspace keyspace = db->find_keyspace("default").value();
    Contents acknowledged;
    std::string refused;
    for (int i = 0; refused.empty(); ++i) {
      const std::string value(2000, static_cast<char>('a' + i % 26));
      const auto committed = put(*db, keyspace, numbered(i), value);
      if (committed)
        acknowledged[numbered(i)] = value;
      else
        refused = outcome(committed);
      if (i > 100'000) return "the disk does not fill";
    }
    if (refused != "disk_full") return "refused by " + refused;
    if (db->stats().failed) return "the log has failed";
    if (auto wrong = differs(*db, acknowledged); !wrong.empty()) return "while full: " + wrong;
    // Closing it then: an error perhaps, but nothing lost.
    const auto closed = db->close();
    if (!closed && closed.error().code() != ErrorCode::disk_full) return closed.error().to_string();
    auto full = Database::open(disk.path() / "db", options);
    if (!full && full.error().code() != ErrorCode::disk_full) return full.error().to_string();
    if (full) {
      if (auto wrong = differs(*full, acknowledged); !wrong.empty()) return "reopened: " + wrong;
      DatabaseInternals::abandon(std::move(*full));
    }
    disk.drop();
    auto again = Database::open(disk.path() / "db", options);
    if (!again) return "with room: " + again.error().to_string();
    if (auto wrong = differs(*again, acknowledged); !wrong.empty()) return "with room: " + wrong;
    if (auto more = put(*again, keyspace, "more", "x"); !more) return more.error().to_string();
    if (auto sound = again->verify(); !sound) return sound.error().to_string();
    if (auto done = again->close(); !done) return "closing: " + done.error().to_string();
    return "";
  });
}

BOOST_AUTO_TEST_CASE(a_load_that_fills_the_disk_leaves_nothing_behind) {
  on_small_disk(8, [](Disk& disk) -> std::string {
    disk.fill((8 << 20) - (1 << 20));
    auto db = Database::open(disk.path() / "db", disk_options());
    if (!db) return db.error().to_string();
    const Keyspace keyspace = db->find_keyspace("default").value();
    if (auto done = put(*db, keyspace, "a", "1"); !done) return done.error().to_string();
    const auto load = [&](int entries) {
      std::string key;
      const std::string value(1000, 'v');
      int given = 0;
      return db->bulk_load("loaded", [&]() -> Result<std::optional<Entry>> {
        if (given == entries) return std::optional<Entry>();
        key = numbered(given++);
        return std::optional<Entry>(Entry{key, value});
      });
    };
    const auto loaded = load(100'000);
    if (outcome(loaded) != "disk_full") return "loaded: " + outcome(loaded);
    if (db->find_keyspace("loaded")) return "half a keyspace";
    if (auto wrong = differs(*db, {{"a", "1"}}); !wrong.empty()) return wrong;
    const auto smaller = load(200);
    if (!smaller) return "a smaller one: " + smaller.error().to_string();
    if (auto done = put(*db, keyspace, "b", "2"); !done) return done.error().to_string();
    DatabaseInternals::abandon(std::move(*db));
    // The file keeps its size (LMDB uses the room again): opening needs some for a segment.
    disk.drop();
    auto again = Database::open(disk.path() / "db", disk_options());
    if (!again) return again.error().to_string();
    if (auto sound = again->verify(); !sound) return sound.error().to_string();
    auto found = read_everything(*again);
    if (!found) return found.error().to_string();
    if ((*found)["loaded"].size() != 200 || (*found)["default"].size() != 2) return "not all there";
    return "";
  });
}

BOOST_AUTO_TEST_CASE(a_checkpoint_without_room_changes_nothing_and_commits_go_on) {
  on_small_disk(16, [](Disk& disk) -> std::string {
    Options options = disk_options();
    options.log_segment_bytes = std::size_t{4} << 20;
    auto db = Database::open(disk.path() / "db", options);
    if (!db) return db.error().to_string();
    const Keyspace keyspace = db->find_keyspace("default").value();
    Contents acknowledged;
    for (int i = 0; i < 500; ++i) {
      const std::string value(2000, static_cast<char>('a' + i % 26));
      if (auto done = put(*db, keyspace, numbered(i), value); !done)
        return done.error().to_string();
      acknowledged[numbered(i)] = value;
    }
    const Timestamp before = db->stats().checkpoint;
    disk.fill(0);
    for (int tries = 0; tries < 3; ++tries) {
      const auto failed = db->checkpoint();
      if (outcome(failed) != "disk_full") return "checkpoint: " + outcome(failed);
      if (!failed.error().evidence().file.value_or("").ends_with("data.mdb"))
        return "no file named";
      if (db->stats().checkpoint != before) return "half a checkpoint";
      const std::string key = "full" + std::to_string(tries);
      if (auto done = put(*db, keyspace, key, "x"); !done) return done.error().to_string();
      acknowledged[key] = "x";
      if (auto wrong = differs(*db, acknowledged); !wrong.empty()) return wrong;
    }
    disk.drop();
    if (auto done = db->checkpoint(); !done) return done.error().to_string();
    if (auto wrong = differs(*db, acknowledged); !wrong.empty()) return wrong;
    if (auto sound = db->verify(); !sound) return sound.error().to_string();
    DatabaseInternals::abandon(std::move(*db));
    auto again = Database::open(disk.path() / "db", options);
    if (!again) return again.error().to_string();
    return differs(*again, acknowledged);
  });
}

BOOST_AUTO_TEST_CASE(readers_need_no_room_on_the_disk) {
  on_small_disk(16, [](Disk& disk) -> std::string {
    auto db = Database::open(disk.path() / "db", disk_options());
    if (!db) return db.error().to_string();
    const Keyspace keyspace = db->find_keyspace("default").value();
    if (auto done = put(*db, keyspace, "a", "1"); !done) return done.error().to_string();
    if (auto done = db->checkpoint(); !done) return done.error().to_string();
    disk.fill(0);
    if (disk.holes(disk.path() / "db" / "lock.mdb") != 0) return "the table of readers has holes";
    // Each with a place of its own in LMDB's table of readers, a file that is mapped: a page of it
    // that the disk has no room for would be a signal, not an error.
    std::vector<Transaction> readers;
    for (int i = 0; i < 2000; ++i) {
      auto txn = db->begin();
      if (!txn) return txn.error().to_string();
      auto value = txn->get(keyspace, "a");
      if (!value) return value.error().to_string();
      if (*value != "1") return "another value";
      readers.push_back(std::move(*txn));
    }
    readers.clear();
    disk.drop();
    return "";
  });
}

BOOST_AUTO_TEST_CASE(a_new_database_on_a_full_disk_is_refused_and_leaves_no_damage) {
  on_small_disk(4, [](Disk& disk) -> std::string {
    for (const std::uintmax_t left : {0, 4096, 16'384, 40'960, 131'072, 262'144}) {
      disk.fill(left);
      auto refused = Database::open(disk.path() / "db", disk_options());
      if (outcome(refused) != "disk_full") {
        return "with " + std::to_string(left) + " bytes: " + outcome(refused);
      }
      disk.drop();
      auto db = Database::open(disk.path() / "db", disk_options());
      if (!db) return "after " + std::to_string(left) + ": " + db.error().to_string();
      if (auto closed = db->close(); !closed) return closed.error().to_string();
      std::filesystem::remove_all(disk.path() / "db");
    }
    return "";
  });
}

BOOST_AUTO_TEST_SUITE_END()
