// What users do to files: always a code and a message that names the file, never a crash or a hang,
// and what is refused is left as it was.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "mvcc/database_core.h"
#include "tests/support/child_process.h"
#include "tests/support/commit_history.h"
#include "tests/support/seed.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;

namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// What counts of a directory: names and contents; not LMDB's table of readers, nor our pid.
std::map<std::string, std::string> files_of(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    const std::string name = fs::relative(entry.path(), directory).string();
    if (name == "lock.mdb" || name == "owner") continue;
    files[name] = entry.is_regular_file() ? read_file(entry.path()) : "(directory)";
  }
  return files;
}

// A directory with a database that was killed: 100 keys in the base, then changes in the log.
class Specimen {
 public:
  static constexpr int keys = 100;

  explicit Specimen(int in_log = 20) {
    auto db = must(Database::open(path(), options()));
    const Keyspace keyspace = must(db.find_keyspace("default"));
    for (int i = 0; i < keys; ++i) put(db, keyspace, i, "base");
    must(db.checkpoint());
    for (int i = 0; i < in_log; ++i) put(db, keyspace, i, "log");
    DatabaseInternals::abandon(std::move(db));
  }

  // All of its log is in one file.
  static Options options() {
    Options options = small_options();
    options.log_segment_bytes = std::size_t{256} << 10;
    return options;
  }
  fs::path path() const { return directory_.path() / "db"; }
  fs::path base() const { return path() / "data.mdb"; }
  fs::path log() const {
    for (const auto& entry : fs::directory_iterator(path() / "log")) return entry.path();
    return {};
  }
  const Contents& contents() const { return contents_; }
  fs::path beside(const char* name) const { return directory_.path() / name; }

 private:
  void put(Database& db, const Keyspace& keyspace, int number, const std::string& how) {
    const std::string key = "key" + std::to_string(number);
    Transaction txn = must(db.begin());
    must(txn.put(keyspace, key, how + std::string(100, '.')));
    must(txn.commit());
    contents_[key] = how + std::string(100, '.');
  }

  TempDirectory directory_;
  Contents contents_;
};

// Opening is refused with the code, a message that names the place, and no change of any file.
void expect_refused(const fs::path& path, std::string_view code, std::string_view named,
                    const Options& options = small_options()) {
  const auto before =
      fs::is_directory(path) ? files_of(path) : std::map<std::string, std::string>();
  const auto refused = Database::open(path, options);
  BOOST_TEST_REQUIRE(!refused.has_value());
  BOOST_TEST(outcome(refused) == code, refused.error().to_string());
  BOOST_TEST(refused.error().message().find(named) != std::string::npos,
             refused.error().message() << " does not name " << named);
  BOOST_TEST(refused.error().evidence().file.has_value());
  if (fs::is_directory(path)) BOOST_TEST((files_of(path) == before), "files were changed");
}

void put_one(Database& db, std::string_view key) {
  Transaction txn = must(db.begin());
  must(txn.put(must(db.find_keyspace("default")), key, "1"));
  must(txn.commit());
}

void expect_whole(const Specimen& specimen) {
  auto db = must(Database::open(specimen.path(), Specimen::options()));
  BOOST_TEST(first_difference(must(read_everything(db)), {{"default", specimen.contents()}}) == "");
  must(db.close());
}

// In a child: opens, and if that works verifies and reads all. Returns the codes on the way.
std::string try_to_use(const fs::path& path) {
  return said_in_child(
      [&]() -> std::string {
        auto db = Database::open(path, small_options());
        if (!db) return "open: " + db.error().to_string();
        auto sound = db->verify();
        if (!sound) {
          DatabaseInternals::abandon(std::move(*db));
          return "verify: " + sound.error().to_string();
        }
        auto found = read_everything(*db);
        if (!found) return "read: " + found.error().to_string();
        return "fine";
      },
      60);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(bad_files)

BOOST_AUTO_TEST_CASE(a_missing_directory_is_named) {
  const TempDirectory directory;
  Options options = small_options();
  options.create_if_missing = false;
  expect_refused(directory.path() / "nothing", "not_a_database", "nothing", options);
  BOOST_TEST(!fs::exists(directory.path() / "nothing"));
  options.read_only = true;
  expect_refused(directory.path() / "nothing", "not_a_database", "nothing", options);
  // Created, but not its parents.
  expect_refused(directory.path() / "no" / "thing", "io_error", "no/thing");
  BOOST_TEST(!fs::exists(directory.path() / "no"));
}

BOOST_AUTO_TEST_CASE(an_empty_directory_holds_no_database_unless_one_is_to_be_made) {
  const TempDirectory directory;
  Options options = small_options();
  options.create_if_missing = false;
  const auto refused = Database::open(directory.path(), options);
  BOOST_TEST(outcome(refused) == "not_a_database");
  auto db = must(Database::open(directory.path(), small_options()));
  must(db.close());
}

BOOST_AUTO_TEST_CASE(a_file_for_a_directory_is_refused_and_left_alone) {
  const TempDirectory directory;
  const fs::path file = directory.path() / "notes.txt";
  write_file(file, "precious");
  expect_refused(file, "not_a_database", "notes.txt");
  BOOST_TEST(read_file(file) == "precious");
  // And a directory for a file.
  const fs::path odd = directory.path() / "odd";
  fs::create_directories(odd / "data.mdb");
  expect_refused(odd, "not_a_database", "data.mdb");
}

BOOST_AUTO_TEST_CASE(without_permission_the_place_is_named) {
  const Specimen specimen;
  fs::permissions(specimen.path().parent_path(), fs::perms::all);
  const auto as_nobody = [&](const Options& options) {
    return said_in_child([&]() -> std::string {
      if (!drop_rights()) return "no nobody";
      auto db = Database::open(specimen.path(), options);
      if (!db) {
        const bool named = db.error().message().find(specimen.path().string()) != std::string::npos;
        return outcome(db) + (named ? "" : ", not named: " + db.error().message());
      }
      DatabaseInternals::abandon(std::move(*db));
      return "ok";
    });
  };
  const auto before = files_of(specimen.path());
  fs::permissions(specimen.path(), fs::perms::none);
  BOOST_TEST(as_nobody(Specimen::options()) == "permission_denied");
  permit(specimen.path(), 0705);
  for (const char* file : {"data.mdb", "owner", "lock.mdb"}) permit(specimen.path() / file, 0604);
  permit(specimen.path() / "log", 0705);
  BOOST_TEST(as_nobody(Specimen::options()) == "permission_denied");
  // Reading is allowed, and all that is needed.
  Options read_only = Specimen::options();
  read_only.read_only = true;
  BOOST_TEST(as_nobody(read_only) == "ok");
  permit(specimen.base(), 0600);
  BOOST_TEST(as_nobody(read_only) == "permission_denied");
  for (const char* file : {"data.mdb", "owner", "lock.mdb"}) permit(specimen.path() / file, 0666);
  permit(specimen.path() / "log", 0777);
  permit(specimen.path(), 0777);
  BOOST_TEST((files_of(specimen.path()) == before));
  expect_whole(specimen);
}

BOOST_AUTO_TEST_CASE(a_second_opening_names_the_process_that_has_it) {
  const Specimen specimen;
  auto db = must(Database::open(specimen.path(), Specimen::options()));
  const std::string pid = std::to_string(::getpid());
  const auto again = Database::open(specimen.path(), Specimen::options());
  BOOST_TEST(outcome(again) == "database_in_use");
  BOOST_TEST(again.error().message().find(pid) != std::string::npos, again.error().message());
  // By another way to the same directory, too.
  fs::create_directory_symlink(specimen.path(), specimen.beside("link"));
  BOOST_TEST(outcome(Database::open(specimen.beside("link"), Specimen::options())) ==
             "database_in_use");
  Options read_only = Specimen::options();
  read_only.read_only = true;
  BOOST_TEST(outcome(Database::open(specimen.path(), read_only)) == "database_in_use");
  const std::string elsewhere = said_in_child([&]() -> std::string {
    for (const Options& options : {Specimen::options(), read_only}) {
      const auto other = Database::open(specimen.path(), options);
      if (outcome(other) != "database_in_use") return outcome(other);
      if (other.error().message().find("process " + pid) == std::string::npos) {
        return other.error().message();
      }
    }
    return "refused";
  });
  BOOST_TEST(elsewhere == "refused");
  must(db.close());
  expect_whole(specimen);
}

BOOST_AUTO_TEST_CASE(a_forked_child_may_not_use_its_parents_database) {
  const Specimen specimen;
  Options options = Specimen::options();
  auto db = must(Database::open(specimen.path(), options));
  std::optional<Transaction> inherited = must(db.begin());
  Transaction& open_one = *inherited;
  must(open_one.put(must(db.find_keyspace("default")), "from", "before the fork"));
  const std::string said = said_in_child([&]() -> std::string {
    const auto txn = db.begin();
    if (outcome(txn) != "database_in_use") return "begin: " + outcome(txn);
    const auto transacted = db.transact([](Transaction&) { return Result<void>(); });
    if (outcome(transacted) != "database_in_use") return "transact: " + outcome(transacted);
    if (const auto made = db.keyspace("new"); outcome(made) != "database_in_use") {
      return "keyspace: " + outcome(made);
    }
    if (const auto gone = db.drop_keyspace("default"); outcome(gone) != "database_in_use") {
      return "drop_keyspace: " + outcome(gone);
    }
    if (const auto done = db.checkpoint(); outcome(done) != "database_in_use") {
      return "checkpoint: " + outcome(done);
    }
    const auto loaded =
        db.bulk_load("new", [] { return Result<std::optional<Entry>>(std::nullopt); });
    if (outcome(loaded) != "database_in_use") return "bulk_load: " + outcome(loaded);
    if (const auto sound = db.verify(); outcome(sound) != "database_in_use") {
      return "verify: " + outcome(sound);
    }
    if (const auto copied = db.backup(specimen.beside("copy"));
        outcome(copied) != "database_in_use") {
      return "backup: " + outcome(copied);
    }
    if (const auto done = open_one.commit(); outcome(done) != "database_in_use") {
      return "commit: " + outcome(done);
    }
    // Its own opening waits for the parent's end.
    const auto own = Database::open(specimen.path(), options);
    if (outcome(own) != "database_in_use") return "open: " + outcome(own);
    return "refused";
  });
  BOOST_TEST(said == "refused");
  // The parent goes on as if nothing had happened.
  must(open_one.commit());
  inherited.reset();
  put_one(db, "after the fork");
  must(db.checkpoint());
  must(db.close());
  auto again = must(Database::open(specimen.path(), options));
  BOOST_TEST(must(read_everything(again))["default"].size() == Specimen::keys + 2u);
}

BOOST_AUTO_TEST_CASE(a_forked_child_that_ends_leaves_its_parents_database_alone) {
  const Specimen specimen;
  auto db = must(Database::open(specimen.path(), Specimen::options()));
  const auto before = files_of(specimen.path());
  // What a child's exit() does: it destroys what it inherited.
  const std::string said = said_in_child([&]() -> std::string {
    Database inherited = std::move(db);
    return "";
  });
  BOOST_TEST(said == "");
  BOOST_TEST((files_of(specimen.path()) == before));
  BOOST_TEST(outcome(Database::open(specimen.path(), Specimen::options())) == "database_in_use");
  BOOST_TEST(first_difference(must(read_everything(db)), {{"default", specimen.contents()}}) == "");
  must(db.close());
  expect_whole(specimen);
}

BOOST_AUTO_TEST_CASE(leftovers_of_a_dead_owner_are_no_obstacle) {
  const Specimen specimen;
  write_file(specimen.path() / "owner", "999999999\n");
  expect_whole(specimen);
  write_file(specimen.path() / "owner", std::string(10'000, '\xff'));
  expect_whole(specimen);
  write_file(specimen.path() / "lock.mdb", std::string(10'000, '\xff'));
  expect_whole(specimen);
  fs::remove(specimen.path() / "lock.mdb");
  fs::remove(specimen.path() / "owner");
  expect_whole(specimen);
}

BOOST_AUTO_TEST_CASE(a_missing_log_or_base_is_never_taken_for_an_empty_one) {
  {
    const Specimen specimen;
    fs::rename(specimen.path() / "log", specimen.beside("log"));
    expect_refused(specimen.path(), "corruption", "log");
    fs::create_directory(specimen.path() / "log");
    expect_refused(specimen.path(), "corruption", "log");
    fs::remove(specimen.path() / "log");
    fs::rename(specimen.beside("log"), specimen.path() / "log");
    expect_whole(specimen);
  }
  const Specimen specimen;
  fs::rename(specimen.base(), specimen.beside("data.mdb"));
  const auto refused = Database::open(specimen.path(), Specimen::options());
  BOOST_TEST(!refused.has_value());
  fs::rename(specimen.beside("data.mdb"), specimen.base());
  expect_whole(specimen);
}

BOOST_AUTO_TEST_CASE(a_log_or_base_of_another_database_is_refused) {
  const Specimen one;
  const Specimen other;
  fs::rename(one.path() / "log", one.beside("log"));
  fs::copy(other.path() / "log", one.path() / "log");
  expect_refused(one.path(), "corruption", "log");
  fs::remove_all(one.path() / "log");
  fs::rename(one.beside("log"), one.path() / "log");
  expect_whole(one);

  const Specimen third;
  const std::string own = read_file(third.base());
  write_file(third.base(), read_file(other.base()));
  expect_refused(third.path(), "corruption", "log");
  write_file(third.base(), own);
  expect_whole(third);
}

BOOST_AUTO_TEST_CASE(a_base_older_than_the_log_is_refused) {
  const Specimen specimen;
  const std::string old = read_file(specimen.base());
  {
    auto db = must(Database::open(specimen.path(), Specimen::options()));
    put_one(db, "newer");
    must(db.close());  // with a checkpoint
    auto again = must(Database::open(specimen.path(), Specimen::options()));
    must(again.close());
  }
  const std::string current = read_file(specimen.base());
  write_file(specimen.base(), old);
  expect_refused(specimen.path(), "corruption", "log");
  write_file(specimen.base(), current);
  auto db = must(Database::open(specimen.path(), Specimen::options()));
  BOOST_TEST(must(read_everything(db))["default"].size() == Specimen::keys + 1u);
}

BOOST_AUTO_TEST_CASE(truncated_files_are_refused) {
  const Specimen specimen;
  const std::string log = read_file(specimen.log());
  for (const std::size_t left :
       {std::size_t{0}, std::size_t{100}, std::size_t{4096}, log.size() / 2, log.size() - 1}) {
    BOOST_TEST_CONTEXT("log of " << left << " bytes") {
      write_file(specimen.log(), log.substr(0, left));
      expect_refused(specimen.path(), "corruption", specimen.path().string());
    }
  }
  write_file(specimen.log(), log);
  const std::string base = read_file(specimen.base());
  for (const std::size_t left : {std::size_t{0}, std::size_t{100}, std::size_t{4096},
                                 std::size_t{8192}, std::size_t{12'288}}) {
    BOOST_TEST_CONTEXT("base of " << left << " bytes") {
      write_file(specimen.base(), base.substr(0, left));
      const auto before = files_of(specimen.path());
      const std::string said = try_to_use(specimen.path());
      BOOST_TEST((said.starts_with("open: corruption") || said.starts_with("open: not_a_database")),
                 said);
      BOOST_TEST(said.find("data.mdb") != std::string::npos, said);
      BOOST_TEST((files_of(specimen.path()) == before));
    }
  }
  write_file(specimen.base(), base);
  expect_whole(specimen);
}

BOOST_AUTO_TEST_CASE(garbage_for_a_base_is_refused) {
  const Specimen specimen;
  const std::string base = read_file(specimen.base());
  std::mt19937_64 random(seed());
  std::string noise(base.size(), '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  for (const std::string& garbage :
       {noise, std::string(base.size(), '\0'), std::string("#!/bin/sh\n"), noise.substr(0, 4097)}) {
    write_file(specimen.base(), garbage);
    const auto before = files_of(specimen.path());
    const std::string said = try_to_use(specimen.path());
    BOOST_TEST((said.starts_with("open: corruption") || said.starts_with("open: not_a_database")),
               said);
    BOOST_TEST((files_of(specimen.path()) == before));
  }
  write_file(specimen.base(), base);
  expect_whole(specimen);
}

std::size_t used_bytes(const std::string& log) { return log.find_last_not_of('\0') + 1; }

BOOST_AUTO_TEST_CASE(random_damage_of_the_log_is_told_or_reaches_into_its_last_commit) {
  const std::uint64_t first_seed = seed();
  BOOST_TEST_CONTEXT("ISOLDE_SEED=" << first_seed) {
    std::mt19937_64 random(first_seed);
    const Specimen specimen(40);
    const fs::path log_path = specimen.log();
    const std::string log = read_file(log_path);
    const std::string base = read_file(specimen.base());
    const std::size_t used = used_bytes(log);
    const std::size_t last_commit = used_bytes(read_file(Specimen(39).log()));
    std::uint64_t told = 0;
    // Most of the log is older than the checkpoint, and nobody reads it: with fewer rounds it could
    // happen that none hits the rest.
    for (std::size_t round = 0; round < std::max<std::size_t>(60, rounds(150)); ++round) {
      std::string damaged = log;
      const std::size_t at = random() % used;
      const std::size_t bytes = 1 + random() % (random() % 4 == 0 ? 600 : 8);
      for (std::size_t i = at; i < std::min(at + bytes, used); ++i) {
        damaged[i] = static_cast<char>(random());
      }
      fs::remove_all(specimen.path() / "log");
      fs::create_directory(specimen.path() / "log");
      write_file(log_path, damaged);
      write_file(specimen.base(), base);
      const auto before = files_of(specimen.path());
      auto db = Database::open(specimen.path(), Specimen::options());
      if (!db) {
        ++told;
        const bool is_told = db.error().code() == ErrorCode::corruption ||
                             db.error().code() == ErrorCode::format_unsupported;
        BOOST_TEST(is_told, db.error().to_string());
        BOOST_TEST(db.error().evidence().offset.has_value());
        BOOST_TEST(db.error().message().find("log") != std::string::npos);
        BOOST_TEST((files_of(specimen.path()) == before));
        continue;
      }
      // L2: what follows the last intact record is a tail that was torn, however many records it
      // held; an intact one behind it would have told.
      const std::uint64_t found = db->stats().visible.value - Specimen::keys;
      BOOST_TEST((found == 40 || at + bytes > last_commit), found << " after byte " << at);
      const Contents contents = must(read_everything(*db))["default"];
      for (std::uint64_t i = 0; i < Specimen::keys; ++i) {
        const std::string key = "key" + std::to_string(i);
        const std::string how = i < found ? "log" : "base";
        BOOST_TEST(contents.at(key) == how + std::string(100, '.'), key << " at byte " << at);
      }
      DatabaseInternals::abandon(std::move(*db));
    }
    BOOST_TEST(told > 0u);
  }
}

// Ids are places in a table: a wild one must not be looked for there.
BOOST_AUTO_TEST_CASE(a_keyspace_whose_id_was_never_given_out_is_damage) {
  const Specimen specimen;
  const std::string base = read_file(specimen.base());
  for (const char* record : {"name/default", "next"}) {
    const std::size_t id_at = record == std::string_view("next") ? 0 : 1;  // behind its kind
    std::string damaged = base;
    std::size_t found = 0;
    for (std::size_t at = base.find(record); at != std::string::npos;
         at = base.find(record, at + 1)) {
      const std::size_t id = at + std::strlen(record) + id_at;
      if (id + 4 > base.size() || base.substr(id + 2, 2) != std::string(2, '\0')) continue;
      damaged.replace(id, 4, "\xff\xff\xff\xfe");
      ++found;
    }
    BOOST_REQUIRE(found > 0u);
    write_file(specimen.base(), damaged);
    const auto db = Database::open(specimen.path(), Specimen::options());
    BOOST_REQUIRE(!db);
    BOOST_TEST(db.error().code() == ErrorCode::corruption);
    BOOST_TEST(db.error().message().find(id_at == 0 ? "next" : "default") != std::string::npos,
               db.error().message());
  }
}

BOOST_AUTO_TEST_CASE(random_damage_of_the_base_never_ends_the_process) {
  const std::uint64_t first_seed = seed();
  BOOST_TEST_CONTEXT("ISOLDE_SEED=" << first_seed) {
    std::mt19937_64 random(first_seed);
    const Specimen specimen;
    const std::string base = read_file(specimen.base());
    fs::copy(specimen.path() / "log", specimen.beside("log"));
    std::map<std::string, int> outcomes;
    for (std::size_t round = 0; round < rounds(150); ++round) {
      std::string damaged = base;
      const std::size_t spots = 1 + random() % 3;
      for (std::size_t spot = 0; spot < spots; ++spot) {
        // The head of a page says most about it.
        std::size_t at = random() % base.size();
        if (random() % 2 == 0) at = at / 4096 * 4096 + random() % 64;
        const std::size_t bytes = 1 + random() % (random() % 4 == 0 ? 4096 : 8);
        for (std::size_t i = at; i < std::min(at + bytes, base.size()); ++i) {
          damaged[i] = static_cast<char>(random() % 3 == 0 ? 0xff : random());
        }
      }
      write_file(specimen.base(), damaged);
      fs::remove_all(specimen.path() / "log");
      fs::copy(specimen.beside("log"), specimen.path() / "log");
      const std::string said = try_to_use(specimen.path());
      const bool is_known = said == "fine" || said.find("data.mdb") != std::string::npos ||
                            said.find("log") != std::string::npos;
      if (!is_known) write_file(specimen.beside("kept.mdb"), damaged);
      BOOST_TEST(is_known, "round " << round << ": " << said);
      ++outcomes[said.substr(0, said.find(' ', said.find(' ') + 1))];
    }
    for (const auto& [said, count] : outcomes) BOOST_TEST_MESSAGE(said << " " << count);
  }
}

BOOST_AUTO_TEST_CASE(reading_only_replays_into_memory_and_writes_nothing) {
  const Specimen specimen;
  const auto before = files_of(specimen.path());
  Options read_only = Specimen::options();
  read_only.read_only = true;
  read_only.background_work = true;
  {
    auto db = must(Database::open(specimen.path(), read_only));
    BOOST_TEST(first_difference(must(read_everything(db)), {{"default", specimen.contents()}}) ==
               "");
    const Keyspace keyspace = must(db.find_keyspace("default"));
    {
      Transaction txn = must(db.begin());
      BOOST_TEST(outcome(txn.put(keyspace, "a", "1")) == "read_only");
      BOOST_TEST(outcome(txn.commit()) == "ok");
    }
    BOOST_TEST(outcome(db.keyspace("new")) == "read_only");
    BOOST_TEST(outcome(db.drop_keyspace("default")) == "read_only");
    BOOST_TEST(outcome(db.checkpoint()) == "read_only");
    must(db.verify());
    must(db.close());
  }
  BOOST_TEST((files_of(specimen.path()) == before), "files were changed");
  // Again, after what a crash of that reader leaves.
  DatabaseInternals::abandon(must(Database::open(specimen.path(), read_only)));
  BOOST_TEST((files_of(specimen.path()) == before), "files were changed");
  expect_whole(specimen);
}

BOOST_AUTO_TEST_SUITE_END()
