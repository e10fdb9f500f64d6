// Each allocation on the way of an operation fails in turn: the transaction, its slot and the
// database are as they were, or it is said what has ended.
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mvcc/database_core.h"
#include "tests/mvcc/explore_world.h"
#include "tests/mvcc/failing_allocations.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;

namespace {

constexpr auto opt = Locking::optimistic;
constexpr auto pess = Locking::pessimistic;
constexpr auto rc = Isolation::read_committed;
constexpr auto rr = Isolation::repeatable_read;

// Longer than what strings keep inside.
const std::string long_key = "a key that no string keeps inside of itself";
const std::string other_key = "b key that no string keeps inside of itself";
const std::string third_key = "c key that no string keeps inside of itself";
const std::string long_value(100, 'v');

std::size_t claimed_slots(TempDatabase& db) {
  std::size_t claimed = 0;
  db.core().registry().for_each([&](const mvcc::Slot& slot) {
    claimed += (slot.gate.load() & mvcc::Slot::claimed) != 0 ? 1 : 0;
  });
  return claimed;
}

struct Cell {
  Isolation level;
  Locking locking;
};
std::vector<Cell> all_cells() {
  std::vector<Cell> cells;
  for (const Isolation level : {Isolation::read_uncommitted, rc, rr, Isolation::serializable}) {
    for (const Locking locking : {opt, pess}) cells.push_back({level, locking});
  }
  return cells;
}

// Calls are told of, so that telling needs memory, too.
struct Listener : Observer {
  void on_read(const EventTransaction&, const ReadEvent& event) override { last = event.key; }
  void on_write(const EventTransaction&, const WriteEvent& event) override { last = event.key; }
  std::string last;
};

// A database with one key in the base and one in a chain, an old snapshot, and a transaction.
struct World {
  explicit World(Cell cell, bool observed = false) {
    db.put(long_key, long_value);
    db.checkpoint();
    for (int i = 0; i < 3; ++i) db.reclaim();
    db.put(other_key, "1");
    old.emplace(db.begin(rr));
    static_cast<void>(get(*old, db.keyspace(), "x"));
    if (observed) db->add_observer(std::make_shared<Listener>());
    TransactionOptions options;
    options.isolation = cell.level;
    options.locking = cell.locking;
    txn.emplace(must(db->begin(options)));
  }
  TempDatabase db;
  std::optional<Transaction> old;
  std::optional<Transaction> txn;
};

using Work = std::function<std::string(World&)>;

// The operation fails with out_of_memory and no other way; then it can be done again, the rest of
// the transaction works, and what others see is right.
void expect_all_or_nothing(const char* what, const Work& work, const std::string& expected = "ok") {
  for (const bool observed : {false, true}) {
    for (const Cell cell : all_cells()) {
      BOOST_TEST_CONTEXT(what << " at " << name(cell.level) << (cell.locking == opt ? "" : " pess")
                              << (observed ? " observed" : "")) {
        std::optional<World> world;
        std::string answer;
        const std::uint64_t failures = fail_each_allocation(
            [&] { world.emplace(cell, observed); }, [&] { answer = work(*world); },
            [&](bool failed) {
              const std::size_t claimed = claimed_slots(world->db);
              BOOST_TEST(claimed == 2u);
              if (answer != expected) {
                BOOST_TEST(failed);
                BOOST_TEST(answer == "out_of_memory");
                BOOST_REQUIRE(world->txn->active());
                BOOST_TEST(work(*world) == expected);
              }
              // What it remembers of the base is right: the old snapshot keeps what was there.
              must(world->txn->put(world->db.keyspace(), long_key, "new"));
              must(world->txn->put(world->db.keyspace(), other_key, "2"));
              must(world->txn->commit());
              BOOST_TEST(text(get(*world->old, world->db.keyspace(), long_key)) == long_value);
              BOOST_TEST(text(get(*world->old, world->db.keyspace(), other_key)) == "1");
              must(world->old->commit());
              BOOST_TEST(text(world->db.get(long_key)) == "new");
              world.reset();
            });
        BOOST_TEST_MESSAGE(failures << " allocations");
      }
    }
  }
}

}  // namespace

// Each failure has a database of its own.
BOOST_FIXTURE_TEST_SUITE(allocations, TmpfsForFiles)

BOOST_AUTO_TEST_CASE(a_get_without_memory_leaves_the_transaction_as_it_was) {
  expect_all_or_nothing("a get", [](World& world) {
    // Of both, one after the other: what is remembered of the first must not be taken for the
    // second.
    const auto absent = world.txn->get(world.db.keyspace(), "short");
    if (!absent) return outcome(absent);
    const auto got = world.txn->get(world.db.keyspace(), long_key);
    if (!got) return outcome(got);
    if (**got != long_value) return std::string("wrong value");
    return outcome(world.txn->get(world.db.keyspace(), other_key));
  });
  expect_all_or_nothing("a get for update", [](World& world) {
    return outcome(world.txn->get_for_update(world.db.keyspace(), long_key));
  });
}

BOOST_AUTO_TEST_CASE(a_scan_without_memory_leaves_the_transaction_as_it_was) {
  expect_all_or_nothing("a scan", [](World& world) {
    std::size_t seen = 0;
    const auto scanned =
        world.txn->scan(world.db.keyspace(), KeyRange::all(), [&](auto, auto) { ++seen; });
    if (!scanned) return outcome(scanned);
    return std::string(seen == 2 ? "ok" : "wrong count");
  });
  expect_all_or_nothing("a cursor", [](World& world) {
    auto cursor = world.txn->cursor(world.db.keyspace(), KeyRange::all());
    if (!cursor) return outcome(cursor);
    for (int i = 0; i < 3; ++i) {
      const auto entry = cursor->next();
      if (!entry) return outcome(entry);
    }
    return std::string("ok");
  });
}

BOOST_AUTO_TEST_CASE(a_write_without_memory_leaves_the_transaction_as_it_was) {
  expect_all_or_nothing("a put", [](World& world) {
    return outcome(world.txn->put(world.db.keyspace(), third_key, long_value));
  });
  expect_all_or_nothing("an erase", [](World& world) {
    return outcome(world.txn->erase(world.db.keyspace(), long_key));
  });
  expect_all_or_nothing("a compare_and_set", [](World& world) {
    return outcome(
        world.txn->compare_and_set(world.db.keyspace(), long_key, long_value, long_value));
  });
  expect_all_or_nothing("savepoints", [](World& world) -> std::string {
    const auto mark = world.txn->savepoint();
    if (!mark) return outcome(mark);
    const auto written = world.txn->put(world.db.keyspace(), long_key, "undone");
    if (!written) return outcome(written);
    return outcome(world.txn->rollback_to(*mark));
  });
}

// A slot that no handle gives back was lost for ever, and the database could not be closed.
BOOST_AUTO_TEST_CASE(a_begin_without_memory_loses_no_slot) {
  for (const bool observed : {false, true}) {
    std::optional<TempDatabase> db;
    std::optional<Result<Transaction>> begun;
    std::vector<Transaction> others;
    TransactionOptions options;
    options.label = long_value;
    fail_each_allocation(
        [&] {
          db.emplace();
          if (observed) (*db)->add_observer(std::make_shared<Listener>());
          others.clear();
          // The next one needs new slots, and a core of its own.
          for (int i = 0; i < 64; ++i) others.push_back(db->begin());
        },
        [&] { begun.emplace((*db)->begin(options)); },
        [&](bool failed) {
          if (!*begun) {
            BOOST_TEST(failed);
            BOOST_TEST(outcome(*begun) == "out_of_memory");
            BOOST_TEST(claimed_slots(*db) == 64u);
            begun.emplace((*db)->begin({}));
          }
          must((*begun)->put(db->keyspace(), "a", "1"));
          must((*begun)->commit());
          begun.reset();
          others.clear();
          BOOST_TEST(claimed_slots(*db) == 0u);
          db.reset();
        });
  }
}

// Before the critical section: nothing has happened. After it the commit is there, and the answer
// says so, or that it is not known.
BOOST_AUTO_TEST_CASE(a_commit_without_memory_is_whole_or_has_not_begun) {
  for (const Cell cell : all_cells()) {
    for (const bool among_pessimists : {false, true}) {
      BOOST_TEST_CONTEXT("at " << name(cell.level) << (cell.locking == opt ? "" : " pess")) {
        std::optional<World> world;
        std::optional<Transaction> pessimist;
        std::optional<Result<Timestamp>> committed;
        fail_each_allocation(
            [&] {
              pessimist.reset();
              world.emplace(cell);
              if (among_pessimists) {
                TransactionOptions options;
                options.locking = pess;
                pessimist.emplace(must(world->db->begin(options)));
                must(pessimist->get_for_share(world->db.keyspace(), "elsewhere"));
              }
              static_cast<void>(get(*world->txn, world->db.keyspace(), long_key));
              must(world->txn->put(world->db.keyspace(), long_key, "new"));
              must(world->txn->put(world->db.keyspace(), other_key, "new"));
            },
            [&] { committed.emplace(world->txn->commit()); },
            [&](bool failed) {
              auto& db = world->db;
              if (!*committed && outcome(*committed) == "out_of_memory") {
                BOOST_TEST(failed);
                BOOST_REQUIRE(world->txn->active());
                BOOST_TEST(text(db.get(long_key)) == long_value);
                committed.emplace(world->txn->commit());
              }
              if (!*committed) {
                // The log found no memory for its group: it has failed (I8), and says so.
                BOOST_TEST(outcome(*committed) == "commit_outcome_unknown");
                BOOST_TEST(!world->txn->active());
                auto next = db.begin();
                BOOST_TEST(outcome(next.put(db.keyspace(), "a", "1")) == "database_failed");
                static_cast<void>(next.rollback());
                world->txn.reset();
                world->old.reset();
                pessimist.reset();
                db.abandon();
                world.reset();
                return;
              }
              BOOST_TEST(text(db.get(long_key)) == "new");
              BOOST_TEST(text(db.get(other_key)) == "new");
              BOOST_TEST(text(get(*world->old, db.keyspace(), long_key)) == long_value);
              must(world->old->commit());
              if (pessimist) must(pessimist->commit());
              BOOST_TEST(db->stats().locks_held == 0u);
              pessimist.reset();
              world.reset();
            });
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(reclaim_and_checkpoint_without_memory_are_done_again) {
  for (const bool checkpoints : {false, true}) {
    std::optional<TempDatabase> db;
    std::optional<Result<void>> done;
    std::optional<Transaction> middle;
    fail_each_allocation(
        [&] {
          middle.reset();
          db.emplace();
          for (int i = 0; i < 40; ++i) {
            const std::string key = long_key + std::to_string(i);
            db->put(key, "1");
            db->put(key, "2");
            db->put(key, "3");
          }
          middle.emplace(db->begin(rr));
          static_cast<void>(get(*middle, db->keyspace(), "x"));
          for (int i = 0; i < 40; ++i) db->put(long_key + std::to_string(i), "4");
          if (!checkpoints) db->checkpoint();
          done.reset();
        },
        [&] {
          if (checkpoints) {
            done.emplace((*db)->checkpoint());
          } else {
            (*db)->reclaim();
          }
        },
        [&](bool failed) {
          if (done && !*done) {
            BOOST_TEST(failed);
            BOOST_TEST(outcome(*done) == "out_of_memory");
          }
          BOOST_TEST(text(get(*middle, db->keyspace(), long_key + "7")) == "3");
          db->put("later", "1");
          db->checkpoint();
          db->reclaim();
          BOOST_TEST(text(get(*middle, db->keyspace(), long_key + "39")) == "3");
          must(middle->commit());
          for (int i = 0; i < 4; ++i) db->reclaim();
          BOOST_TEST(db->core().store().chains() == 0u);
          BOOST_TEST(db->core().store().versions() == 0u);
          BOOST_TEST(text(db->get(long_key + "0")) == "4");
          middle.reset();
          db.reset();
        });
  }
}

BOOST_AUTO_TEST_CASE(changes_of_keyspaces_without_memory_are_whole_or_have_not_begun) {
  for (const std::string change : {"create", "drop", "load"}) {
    BOOST_TEST_CONTEXT(change) {
      std::optional<TempDatabase> db;
      std::string answer;
      std::string message;
      const auto work = [&]() -> std::string {
        if (change == "create") return outcome((*db)->keyspace(long_key));
        if (change == "drop") {
          return outcome((*db)->drop_keyspace("there", std::chrono::milliseconds(0)));
        }
        bool given = false;
        const auto loaded = (*db)->bulk_load(long_key, [&]() -> Result<std::optional<Entry>> {
          if (std::exchange(given, true)) return std::optional<Entry>{};
          return std::optional(Entry{"a", "1"});
        });
        if (!loaded) message = loaded.error().message();
        return outcome(loaded);
      };
      fail_each_allocation(
          [&] {
            db.emplace();
            must((*db)->keyspace("there"));
          },
          [&] { answer = work(); },
          [&](bool failed) {
            if (answer == "commit_outcome_unknown" || answer == "database_failed") {
              BOOST_TEST(failed);
              db->abandon();
              db.reset();
              return;
            }
            if (answer != "ok") {
              BOOST_TEST(failed);
              BOOST_TEST(answer == "out_of_memory");
              const std::string again = work();
              const std::string already = change == "load"   ? "already_exists"
                                          : change == "drop" ? "keyspace_not_found"
                                                             : "ok";
              BOOST_TEST((again == "ok" || again == already), again << ": " << message);
            }
            const bool is_there = (*db)->find_keyspace("there").has_value();
            BOOST_TEST(is_there == (change != "drop"));
            if (change != "drop") BOOST_TEST((*db)->find_keyspace(long_key).has_value());
            db->checkpoint();
            db.reset();
          });
    }
  }
}

BOOST_AUTO_TEST_CASE(background_threads_without_memory_go_on_later) {
  Options options = small_options();
  options.background_work = true;
  options.checkpoint_log_bytes = 100'000;
  options.durability = Durability::periodic(std::chrono::milliseconds(1));
  TempDatabase db(options);
  std::uint64_t failed = 0;
  int value = 0;
  // Until some have failed and work was done all the same.
  while (failed < 50) {
    const FailingElsewhere failing(37);
    for (int i = 0; i < 2000; ++i) {
      TransactionOptions weak;
      weak.isolation = rc;
      Transaction txn = must(db->begin(weak));
      const auto written =
          txn.put(db.keyspace(), long_key + std::to_string(i % 300), std::to_string(++value));
      // The log may fail at any moment: see below.
      if (!written && outcome(written) == "database_failed") break;
      must(written);
      const auto committed = txn.commit();
      // What keeps failing may be told.
      if (!committed && outcome(committed) != "out_of_memory") break;
    }
    failed += failing.failed();
    if (db.core().log().failed()) break;
  }
  // Waits for a group that another thread is writing: its memory may have been refused.
  if (!db.core().log().persist(db.core().log().appended())) {
    db.abandon();  // its group found no memory: said, and safe (I8)
    return;
  }
  const std::string last = std::to_string(value);
  must(db.begin().commit());
  db.checkpoint();
  db.reclaim();
  BOOST_TEST(db->stats().checkpoints > 0u);
}

// 262,144 are a lot to make: the table is said to end earlier.
BOOST_AUTO_TEST_CASE(one_transaction_too_many_is_told_so) {
  TempDatabase db;
  db.core().registry().limit_slots(64);
  std::vector<Transaction> live;
  for (int i = 0; i < 64; ++i) live.push_back(must(db->begin({})));
  const auto refused = db->begin({});
  BOOST_TEST(outcome(refused) == "out_of_memory");
  BOOST_TEST(refused.error().message().find("too many transactions") != std::string::npos);
  BOOST_TEST(outcome(db->checkpoint()) == "ok");  // there is nothing to do
  must(live.back().put(db.keyspace(), "a", "1"));
  must(live.back().commit());
  BOOST_TEST(outcome(db->checkpoint()) == "out_of_memory");
  live.pop_back();
  must(db->begin({}));
  db.checkpoint();
  live.clear();
}

// Under a sanitizer that sees reads of freed memory: the handle had kept the list of observers, and
// asked the database that was gone whether it still has any.
BOOST_AUTO_TEST_CASE(a_handle_that_outlives_a_database_with_observers_asks_it_nothing) {
  for (const Cell cell : all_cells()) {
    std::optional<Transaction> kept;
    auto listener = std::make_shared<Listener>();
    const std::weak_ptr<Listener> alive = listener;
    Keyspace keyspace = [&] {
      TempDatabase db;
      db->add_observer(std::move(listener));
      TransactionOptions options;
      options.isolation = cell.level;
      options.locking = cell.locking;
      kept.emplace(must(db->begin(options)));
      must(kept->put(db.keyspace(), "a", "1"));
      BOOST_TEST(text(get(*kept, db.keyspace(), "a")) == "1");
      must(kept->commit());
      return db.keyspace();
    }();
    BOOST_TEST(alive.expired());
    BOOST_TEST(!kept->active());
    BOOST_TEST(kept->id().value != 0u);
    BOOST_TEST(outcome(kept->get(keyspace, "a")) == "transaction_finished");
    BOOST_TEST(outcome(kept->put(keyspace, "a", "1")) == "transaction_finished");
    BOOST_TEST(outcome(kept->commit()) == "transaction_finished");
    BOOST_TEST(outcome(kept->rollback()) == "ok");
    kept->cancel();
    kept.reset();
  }
}

BOOST_AUTO_TEST_SUITE_END()
