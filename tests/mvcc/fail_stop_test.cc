// I8: after a failed write or sync of the log, the promised answers, and nothing is written any
// more; what was acknowledged is there when the database is opened again.
#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "mvcc/database_core.h"
#include "tests/support/commit_history.h"
#include "tests/support/crash_world.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;

namespace {

// A database whose log lies in a file system that fails when asked.
class FailingDatabase {
 public:
  explicit FailingDatabase(const Options& options = small_options())
      : options_(options), files_(std::make_unique<FaultFileSystem>()) {
    open();
  }
  FailingDatabase(const FailingDatabase&) = delete;
  FailingDatabase& operator=(const FailingDatabase&) = delete;
  ~FailingDatabase() {
    if (db_) DatabaseInternals::abandon(std::move(*db_));
  }

  FaultFileSystem& files() { return *files_; }
  Database* operator->() { return &*db_; }
  Database& db() { return *db_; }
  const Keyspace& keyspace() const { return *keyspace_; }
  Transaction begin(Isolation isolation = Isolation::repeatable_read) {
    TransactionOptions options;
    options.isolation = isolation;
    return must(db_->begin(options));
  }
  Result<Timestamp> put(std::string_view key, std::string_view value) {
    Transaction txn = begin();
    if (auto done = txn.put(keyspace(), key, value); !done) return done.error();
    return txn.commit();
  }
  std::string contents() { return text(must(read_everything(*db_))["default"]); }

  // The process dies; what it wrote is in the page cache.
  void restart() {
    DatabaseInternals::abandon(std::move(*db_));
    db_.reset();
    files_ = files_->clone();
    open();
  }
  // The machine goes down; what was not synced is lost (or kept), and it comes up again.
  void crash(Unsynced unsynced = Unsynced::dropped) {
    DatabaseInternals::abandon(std::move(*db_));
    db_.reset();
    files_ = files_->crash({unsynced, unsynced, 1});
    open();
  }
  void reopen_closed() {
    db_.reset();
    files_ = files_->clone();
    open();
  }

 private:
  void open() {
    db_.emplace(must(DatabaseInternals::open(directory_.path() / "db", options_, *files_)));
    keyspace_.emplace(must(db_->find_keyspace(default_keyspace_name)));
  }

  Options options_;
  TempDirectory directory_;
  std::unique_ptr<FaultFileSystem> files_;
  std::optional<Database> db_;
  std::optional<Keyspace> keyspace_;
};

struct Failure {
  const char* name;
  void (*inject)(FaultFileSystem&);
};

constexpr std::array failures{
    Failure{"EIO on write", [](FaultFileSystem& files) { files.fail_write(1, EIO); }},
    Failure{"ENOSPC on write", [](FaultFileSystem& files) { files.fail_write(1, ENOSPC); }},
    Failure{"a short write", [](FaultFileSystem& files) { files.short_write(1, ENOSPC); }},
    Failure{"EIO on sync", [](FaultFileSystem& files) { files.fail_sync(1, EIO); }},
};

// Transactions must be gone when the database is: hence a function of its own.
void expect_fail_stop(FailingDatabase& db, const Failure& failure) {
  must(db.put("a", "1"));
  must(db->checkpoint());
  must(db.put("b", "2"));
  Transaction before = db.begin();
  BOOST_TEST(text(get(before, db.keyspace(), "a")) == "1");
  Transaction writing = db.begin();
  must(writing.put(db.keyspace(), "c", "3"));

  failure.inject(db.files());
  const auto failed = db.put("a", "in doubt");
  BOOST_TEST(outcome(failed) == "commit_outcome_unknown");
  BOOST_TEST(failed.error().evidence().file.value_or("").ends_with(".log"));
  BOOST_TEST(failed.error().evidence().system_error != 0);
  BOOST_TEST(db->stats().failed);

  // Nothing is tried again, nothing written (the kernel may lie about a second sync).
  db.files().clear_faults();
  const std::uint64_t operations = db.files().operations();
  BOOST_TEST(outcome(db.put("b", "later")) == "database_failed");
  BOOST_TEST(outcome(writing.commit()) == "database_failed");
  BOOST_TEST(!writing.active());
  Transaction locking = db.begin();
  BOOST_TEST(outcome(locking.get_for_update(db.keyspace(), "a")) == "database_failed");
  Transaction sharing = db.begin();
  BOOST_TEST(outcome(sharing.get_for_share(db.keyspace(), "a")) == "database_failed");
  Transaction scanning = db.begin();
  ScanOptions for_update;
  for_update.mode = ReadMode::for_update;
  BOOST_TEST(outcome(scanning.scan(db.keyspace(), KeyRange::all(), for_update,
                                   [](std::string_view, std::string_view) {})) ==
             "database_failed");
  BOOST_TEST(outcome(db->checkpoint()) == "database_failed");
  BOOST_TEST(outcome(db->keyspace("new")) == "database_failed");
  BOOST_TEST(outcome(db->drop_keyspace("default")) == "database_failed");
  BOOST_TEST(outcome(db->bulk_load("loaded", [] {
               return Result<std::optional<Entry>>(std::nullopt);
             })) == "database_failed");

  // Reads of what is durable go on.
  BOOST_TEST(db.contents() == "a=1 b=2");
  BOOST_TEST(text(get(before, db.keyspace(), "b")) == "2");
  BOOST_TEST(outcome(before.commit()) == "ok");
  Transaction reading = db.begin(Isolation::serializable);
  BOOST_TEST(text(get(reading, db.keyspace(), "a")) == "1");
  BOOST_TEST(outcome(reading.commit()) == "ok");
  BOOST_TEST(db.files().operations() == operations);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(fail_stop)

BOOST_AUTO_TEST_CASE(a_failed_write_or_sync_puts_the_commit_in_doubt_and_stops_all_writing) {
  for (const Failure& failure : failures) {
    BOOST_TEST_CONTEXT(failure.name) {
      FailingDatabase db;
      expect_fail_stop(db, failure);
      db.crash();
      // Of what a failed sync was to bring to disk, any part may be there.
      const std::string found = db.contents();
      BOOST_TEST((found == "a=1 b=2" || found == "a=in doubt b=2"), found);
      must(db.put("c", "3"));
      db.crash();
      BOOST_TEST(db.contents() == found + " c=3");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_commit_in_doubt_may_turn_out_to_have_survived) {
  FailingDatabase db;
  must(db.put("a", "1"));
  // All of it is written, and the sync fails; only the process dies.
  db.files().fail_sync(1, EIO);
  BOOST_TEST(outcome(db.put("a", "2")) == "commit_outcome_unknown");
  BOOST_TEST(db.contents() == "a=1");
  db.restart();
  BOOST_TEST(db.contents() == "a=2");
  // Now it was promised (L3).
  db.crash();
  BOOST_TEST(db.contents() == "a=2");
}

BOOST_AUTO_TEST_CASE(closing_a_failed_database_writes_nothing_and_a_second_opening_is_clean) {
  FailingDatabase db;
  must(db.put("a", "1"));
  db.files().fail_sync(1, EIO);
  BOOST_TEST(outcome(db.put("a", "2")) == "commit_outcome_unknown");
  db.files().clear_faults();
  const std::uint64_t operations = db.files().operations();
  BOOST_TEST(outcome(db->close()) == "ok");
  BOOST_TEST(db.files().operations() == operations);
  db.reopen_closed();
  const std::string found = db.contents();
  BOOST_TEST((found == "a=1" || found == "a=2"), found);
}

BOOST_AUTO_TEST_CASE(every_commit_of_a_failed_group_is_in_doubt_and_so_is_who_read_from_it) {
  constexpr std::size_t writers = 6;
  for (std::uint64_t nth = 1; nth <= 12; ++nth) {
    FailingDatabase db;
    must(db.put("a", "0"));
    db.files().fail_sync(nth, EIO);
    std::vector<std::vector<std::string>> outcomes(writers);
    std::vector<std::vector<std::uint64_t>> acknowledged(writers);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < writers; ++i) {
      threads.emplace_back([&, i] {
        const std::string key = "w" + std::to_string(i);
        for (std::uint64_t n = 1; n <= 40; ++n) {
          auto txn = db->begin();
          auto done =
              txn ? txn->put(db.keyspace(), key, std::to_string(n)) : Result<void>(txn.error());
          const auto committed = done ? txn->commit() : Result<Timestamp>(done.error());
          outcomes[i].push_back(outcome(committed));
          if (committed) acknowledged[i].push_back(n);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    bool any_in_doubt = false;
    for (std::size_t i = 0; i < writers; ++i) {
      // ok ... ok [in doubt] failed ... failed
      std::size_t at = 0;
      const auto skip = [&](std::string_view code, std::size_t most) {
        for (std::size_t n = 0; n < most && at < outcomes[i].size() && outcomes[i][at] == code; ++n)
          ++at;
      };
      skip("ok", ~std::size_t{0});
      const std::size_t before = at;
      skip("commit_outcome_unknown", 1);
      any_in_doubt = any_in_doubt || at > before;
      skip("database_failed", ~std::size_t{0});
      BOOST_TEST(at == outcomes[i].size(),
                 "then came " << outcomes[i][std::min(at, outcomes[i].size() - 1)]);
    }
    BOOST_TEST(any_in_doubt);
    const auto expect_acknowledged = [&] {
      const Contents found = must(read_everything(db.db()))["default"];
      for (std::size_t i = 0; i < writers; ++i) {
        const std::uint64_t least = acknowledged[i].empty() ? 0 : acknowledged[i].back();
        const auto entry = found.find("w" + std::to_string(i));
        const std::uint64_t value = entry == found.end() ? 0 : std::stoull(entry->second);
        BOOST_TEST(value >= least);
        BOOST_TEST(value <= least + 1);
      }
      return found;
    };
    BOOST_TEST((expect_acknowledged().size() >= 1));
    db.crash(nth % 2 == 0 ? Unsynced::dropped : Unsynced::kept);
    expect_acknowledged();
  }
}

BOOST_AUTO_TEST_CASE(a_reader_of_a_commit_that_never_got_durable_is_in_doubt_too) {
#ifdef ISOLDE_YIELD_POINTS
  for (const Isolation level : {Isolation::read_uncommitted, Isolation::read_committed,
                                Isolation::repeatable_read, Isolation::serializable}) {
    FailingDatabase db;
    must(db.put("a", "1"));
    must(db.put("b", "1"));
    Transaction reader = db.begin(level);
    Transaction bystander = db.begin(level);
    Transaction writer = db.begin();
    must(writer.put(db.keyspace(), "a", "2"));
    db.files().fail_sync(1, EIO);
    std::string seen;
    std::string seen_elsewhere;
    std::string written;
    SeededSchedule schedule(1, 0);
    bool visible = false;
    schedule.run({[&] {
                    while (!visible) SeededSchedule::pass("blocked: nothing to read yet");
                    const auto value = reader.get(db.keyspace(), "a");
                    seen = value && *value ? std::string(**value) : outcome(value);
                    const auto other = bystander.get(db.keyspace(), "b");
                    seen_elsewhere = other && *other ? std::string(**other) : outcome(other);
                  },
                  [&] {
                    // The first place after the commit got visible where it holds nothing: before
                    // it is persisted.
                    schedule.watch([&](std::string_view place) {
                      if (place == "commit: visible") visible = true;
                    });
                    written = outcome(writer.commit());
                  }});
    BOOST_TEST(written == "commit_outcome_unknown");
    // Whoever came too late saw the durable state.
    if (seen == "2") {
      BOOST_TEST(outcome(reader.commit()) == "commit_outcome_unknown");
    } else {
      BOOST_TEST(seen == "1");
      BOOST_TEST(outcome(reader.commit()) == "ok");
    }
    BOOST_TEST(seen_elsewhere == "1");
    BOOST_TEST(outcome(bystander.commit()) == "ok");
  }
#endif
}

BOOST_AUTO_TEST_CASE(keyspaces_go_back_to_what_is_durable) {
  FailingDatabase db;
  const Keyspace kept = must(db->keyspace("kept"));
  Transaction txn = db.begin();
  must(txn.put(kept, "a", "1"));
  must(txn.commit());
  db.files().fail_sync(1, EIO);
  BOOST_TEST(outcome(db->drop_keyspace("kept")) == "commit_outcome_unknown");
  const auto found = db->find_keyspace("kept");
  BOOST_TEST_REQUIRE(outcome(found) == "ok");
  Transaction reading = db.begin();
  BOOST_TEST(text(get(reading, *found, "a")) == "1");
  BOOST_TEST(outcome(reading.commit()) == "ok");
}

BOOST_AUTO_TEST_CASE(a_keyspace_whose_creation_is_in_doubt_is_not_there) {
  FailingDatabase db;
  db.files().fail_sync(1, EIO);
  BOOST_TEST(outcome(db->keyspace("new")) == "commit_outcome_unknown");
  BOOST_TEST(outcome(db->find_keyspace("new")) == "keyspace_not_found");
  BOOST_TEST(outcome(db->keyspace("new")) == "database_failed");
  db.crash();
  BOOST_TEST(outcome(db->find_keyspace("new")) == "keyspace_not_found");
  BOOST_TEST(outcome(db->keyspace("new")) == "ok");
}

BOOST_AUTO_TEST_CASE(under_periodic_durability_a_failed_sync_takes_back_what_was_not_durable) {
  Options options = small_options();
  options.background_work = true;
  options.durability = Durability::periodic(std::chrono::milliseconds(1));
  FailingDatabase db(options);
  must(db.put("a", "1"));
  while (db->stats().durable < db->stats().visible) std::this_thread::yield();
  db.files().fail_sync(1, EIO);
  must(db.put("a", "2"));  // acknowledged when visible: that is what periodic means
  while (!db->stats().failed) std::this_thread::yield();
  BOOST_TEST(outcome(db.put("b", "1")) == "database_failed");
  BOOST_TEST(db->stats().visible == db->stats().durable);
  BOOST_TEST(db.contents() == "a=1");
  const std::uint64_t syncs = db.files().syncs();
  BOOST_TEST(outcome(db->checkpoint()) == "database_failed");
  BOOST_TEST(db.files().syncs() == syncs);
  db.crash();
  BOOST_TEST(db.contents() == "a=1");
}

BOOST_AUTO_TEST_SUITE_END()
