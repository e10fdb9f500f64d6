// K1: create, drop and bulk load are commits like others: for older snapshots, for conflicts, for
// locks, for what is observed, at every level and in both lockings.
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "mvcc/database_core.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/stop_at.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;
using std::chrono::milliseconds;

namespace {

constexpr auto opt = Locking::optimistic;
constexpr auto pess = Locking::pessimistic;
constexpr auto ru = Isolation::read_uncommitted;
constexpr auto rc = Isolation::read_committed;
constexpr auto rr = Isolation::repeatable_read;
constexpr auto ser = Isolation::serializable;

TransactionOptions cell(Isolation level, Locking locking, std::string label = {}) {
  TransactionOptions options;
  options.isolation = level;
  options.locking = locking;
  options.label = std::move(label);
  return options;
}

std::vector<std::pair<Isolation, Locking>> all_cells() {
  std::vector<std::pair<Isolation, Locking>> cells;
  for (const Isolation level : {ru, rc, rr, ser}) {
    for (const Locking locking : {opt, pess}) cells.emplace_back(level, locking);
  }
  return cells;
}

std::string name_of(Isolation level, Locking locking) {
  return std::string(name(level)) + (locking == opt ? " optimistic" : " pessimistic");
}

// Entries from a list.
Database::EntrySource entries(std::vector<std::pair<std::string, std::string>> list) {
  auto next = std::make_shared<std::size_t>(0);
  auto kept = std::make_shared<std::vector<std::pair<std::string, std::string>>>(std::move(list));
  return [next, kept]() -> Result<std::optional<Entry>> {
    if (*next == kept->size()) return std::optional<Entry>{};
    const auto& [key, value] = (*kept)[(*next)++];
    return std::optional(Entry{key, value});
  };
}

Keyspace load(TempDatabase& db, std::string_view name) {
  must(db->bulk_load(name, entries({{"a", "10"}, {"b", "loaded"}})));
  return must(db->find_keyspace(name));
}

void put(TempDatabase& db, const Keyspace& keyspace, std::string_view key, std::string_view value) {
  Transaction txn = db.begin(rc);
  must(txn.put(keyspace, key, value));
  must(txn.commit());
}

#ifdef ISOLDE_YIELD_POINTS

// Runs `work` in a thread of its own up to the first time it waits for a mutex, or to its end.
class UpToAMutex {
 public:
  explicit UpToAMutex(std::function<void()> work) {
    waits_or_ended = false;
    yield_hook.store(&hook);
    thread_ = std::thread([work = std::move(work)] {
      is_watched() = true;
      work();
      waits_or_ended = true;
    });
    while (!waits_or_ended) std::this_thread::yield();
  }
  UpToAMutex(const UpToAMutex&) = delete;
  UpToAMutex& operator=(const UpToAMutex&) = delete;
  ~UpToAMutex() { finish(); }
  void finish() {
    if (!thread_.joinable()) return;
    thread_.join();
    yield_hook.store(nullptr);
  }

 private:
  static bool& is_watched() {
    thread_local bool watched = false;
    return watched;
  }
  static void hook(const char* place) {
    if (!std::string_view(place).starts_with("blocked: ")) return;
    if (is_watched() && std::string_view(place) == "blocked: mutex") waits_or_ended = true;
    std::this_thread::yield();
  }

  static inline std::atomic<bool> waits_or_ended{false};
  std::thread thread_;
};

#endif  // ISOLDE_YIELD_POINTS

}  // namespace

BOOST_AUTO_TEST_SUITE(keyspace_commits)

// The loaded value was gone, and the conflict with it.
BOOST_AUTO_TEST_CASE(a_key_inserted_over_what_was_loaded_meanwhile_is_a_conflict) {
  using Write = std::function<Result<void>(Transaction&, const Keyspace&)>;
  const std::vector<std::pair<std::string, Write>> writes = {
      {"put", [](Transaction& txn, const Keyspace& ks) { return txn.put(ks, "a", "mine"); }},
      {"insert", [](Transaction& txn, const Keyspace& ks) { return txn.insert(ks, "a", "mine"); }},
      {"erase", [](Transaction& txn, const Keyspace& ks) { return txn.erase(ks, "a"); }},
      {"get_for_update",
       [](Transaction& txn, const Keyspace& ks) -> Result<void> {
         auto got = txn.get_for_update(ks, "a");
         if (!got) return got.error();
         return txn.put(ks, "z", "1");
       }},
  };
  for (const auto& [name, write] : writes) {
    for (const auto& [level, locking] : all_cells()) {
      if (level < rr) continue;
      BOOST_TEST_CONTEXT(name << " at " << name_of(level, locking)) {
        TempDatabase db;
        Transaction old = must(db->begin(cell(level, locking)));
        get(old, db.keyspace(), "x");
        const Keyspace ks = load(db, "loaded");
        const Result<void> written = write(old, ks);
        const std::string ended = written ? outcome(old.commit()) : outcome(written);
        const bool blind = name == "put" || name == "erase";
        // A pessimist at serializable has no snapshot; two blind writes at serializable do not
        // conflict.
        if (level == ser && locking == pess) {
          BOOST_TEST(ended == (name == "insert" ? "already_exists" : "ok"));
        } else if (level == ser) {
          BOOST_TEST(ended == (blind ? "ok" : "serialization_failure"));
        } else {
          BOOST_TEST(ended == "write_conflict");
          BOOST_TEST(text(db.contents(ks)) == "a=10 b=loaded");
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_key_that_no_load_brought_is_no_conflict) {
  for (const Locking locking : {opt, pess}) {
    TempDatabase db;
    Transaction old = must(db->begin(cell(rr, locking)));
    get(old, db.keyspace(), "x");
    const Keyspace ks = load(db, "loaded");
    must(old.insert(ks, "c", "1"));
    must(old.commit());
    BOOST_TEST(text(db.contents(ks)) == "a=10 b=loaded c=1");
  }
}

// What the load brought is at its timestamp, also once somebody has written over it.
BOOST_AUTO_TEST_CASE(an_older_snapshot_reads_absent_before_and_after_others_write_what_was_loaded) {
  for (const Isolation level : {rr, ser}) {
    for (const bool checkpointed : {false, true}) {
      TempDatabase db;
      Transaction old = db.begin(level);
      get(old, db.keyspace(), "x");
      const Keyspace ks = load(db, "loaded");
      if (checkpointed) db.checkpoint();
      BOOST_TEST(text(get(old, ks, "a")) == "absent");
      BOOST_TEST(contents(old, ks).empty());
      Transaction between = db.begin(rr);
      BOOST_TEST(text(get(between, ks, "a")) == "10");
      put(db, ks, "a", "11");
      for (int round = 0; round < 2; ++round) {
        BOOST_TEST(text(get(old, ks, "a")) == "absent");
        BOOST_TEST(contents(old, ks).empty());
        BOOST_TEST(text(get(between, ks, "a")) == "10");
        BOOST_TEST(text(contents(between, ks)) == "a=10 b=loaded");
        db.checkpoint();
        db.reclaim();
      }
      const KeyRange all;
      ScanOptions reverse;
      reverse.reverse = true;
      auto cursor = must(old.cursor(ks, all, reverse));
      BOOST_TEST(!must(cursor.next()).has_value());
      must(between.commit());
      // Reading alone is no harm; at serializable a read that a write depends on is.
      must(old.put(db.keyspace(), "y", "1"));
      BOOST_TEST(outcome(old.commit()) == (level == ser ? "serialization_failure" : "ok"));
    }
  }
}

BOOST_AUTO_TEST_CASE(sums_and_conditions_below_repeatable_read_are_computed_on_what_was_loaded) {
  for (const auto& [level, locking] : all_cells()) {
    if (level >= rr) continue;
    TempDatabase db;
    Transaction old = must(db->begin(cell(level, locking)));
    get(old, db.keyspace(), "x");
    const Keyspace ks = load(db, "loaded");
    static_cast<void>(old.add(ks, "a", 1));
    must(old.compare_and_set(ks, "b", "loaded", "changed"));
    must(old.commit());
    BOOST_TEST(text(db.contents(ks)) == "a=11 b=changed");
  }
}

#ifdef ISOLDE_YIELD_POINTS
// Loader     its keyspace can be found by name
// Pessimist  finds it, and reads under its locks: what it reads stays, the load takes none
// Both reads have to be of the load, whatever the level.
BOOST_AUTO_TEST_CASE(a_keyspace_found_by_name_shows_what_its_load_brought) {
  for (const auto& [level, locking] : all_cells()) {
    if (locking != pess) continue;
    BOOST_TEST_CONTEXT(name_of(level, locking)) {
      TempDatabase db;
      db.put("x", "1");
      // A pessimist already: the first would wait for the critical section.
      Transaction reader = must(db->begin(cell(level, locking)));
      must(reader.put(db.keyspace(), "lock", "held"));
      std::optional<Result<std::uint64_t>> loaded;
      StopAt loader("create: can be found", [&] {
        loaded.emplace(db->bulk_load("loaded", entries({{"a", "10"}})));
      });
      BOOST_REQUIRE(loader.reached());
      const auto ks = db->find_keyspace("loaded");
      if (level < rr) {
        BOOST_TEST(text(get(reader, must(ks), "a")) == "10");
        BOOST_TEST(must(reader.add_and_get(must(ks), "a", 1)) == 11);
      } else if (level == ser) {
        BOOST_TEST(text(get(reader, must(ks), "a")) == "10");
      }
      loader.finish();
      BOOST_TEST(outcome(*loaded) == "ok");
      if (level == ser) BOOST_TEST(text(get(reader, must(ks), "a")) == "10");
      must(reader.commit());
    }
  }
}
#endif

// I6. The load is visible before it is durable; whoever has seen what it brought must not be told
// that it has committed if a crash can take that back.
BOOST_AUTO_TEST_CASE(what_a_load_brings_raises_what_a_reader_has_observed) {
  for (const auto& [level, locking] : all_cells()) {
    BOOST_TEST_CONTEXT(name_of(level, locking)) {
      FaultFileSystem files;
      TempDirectory directory;
      Options options = small_options();
      Database db = must(DatabaseInternals::open(directory.path() / "db", options, files));
      std::optional<Result<std::uint64_t>> loaded;
      StopAt loader("log: persisting", [&] {
        loaded.emplace(db.bulk_load("loaded", entries({{"a", "10"}})));
      });
      BOOST_REQUIRE(loader.reached());
      const Keyspace ks = must(db.find_keyspace("loaded"));
      for (const bool scans : {false, true}) {
        auto reader = must(db.begin(cell(level, locking)));
        if (scans) {
          BOOST_TEST(text(contents(reader, ks)) == "a=10");
        } else {
          BOOST_TEST(text(get(reader, ks, "a")) == "10");
        }
        db.fail_next_sync();
        BOOST_TEST(outcome(reader.commit()) == "commit_outcome_unknown");
        if (!scans) break;
      }
      loader.finish();
      BOOST_TEST(outcome(*loaded) == "commit_outcome_unknown");
      DatabaseInternals::abandon(std::move(db));
    }
  }
}

// Drops.

BOOST_AUTO_TEST_CASE(a_drop_is_held_by_a_snapshot_equal_to_the_newest_commit) {
  for (const auto& [level, locking] : all_cells()) {
    if (level < rr) continue;
    BOOST_TEST_CONTEXT(name_of(level, locking)) {
      TempDatabase db;
      const Keyspace ks = must(db->keyspace("ks"));
      put(db, ks, "a", "1");
      Transaction reader = must(db->begin(cell(level, locking, "report")));
      BOOST_TEST(text(get(reader, ks, "a")) == "1");
      const auto busy = db->drop_keyspace("ks", milliseconds(0));
      BOOST_TEST(outcome(busy) == "keyspace_busy");
      BOOST_TEST(busy.error().evidence().culprit->label == "report");
      BOOST_TEST(text(get(reader, ks, "a")) == "1");
      must(reader.put(ks, "b", "2"));
      must(reader.commit());
      must(db->drop_keyspace("ks", milliseconds(0)));
    }
  }
}

// It may still look, and would see a state from before the drop and one from after it.
BOOST_AUTO_TEST_CASE(a_drop_is_held_by_transactions_that_have_read_elsewhere) {
  for (const auto& [level, locking] : all_cells()) {
    if (level < rr) continue;
    BOOST_TEST_CONTEXT(name_of(level, locking)) {
      TempDatabase db;
      const Keyspace ks = must(db->keyspace("ks"));
      put(db, ks, "a", "1");
      Transaction reader = must(db->begin(cell(level, locking)));
      get(reader, db.keyspace(), "x");
      BOOST_TEST(outcome(db->drop_keyspace("ks", milliseconds(0))) == "keyspace_busy");
      BOOST_TEST(text(get(reader, ks, "a")) == "1");
      must(reader.commit());
      must(db->drop_keyspace("ks", milliseconds(0)));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_drop_is_held_by_locks_in_the_keyspace_at_every_level) {
  for (const Isolation level : {ru, rc, rr, ser}) {
    BOOST_TEST_CONTEXT(name(level)) {
      TempDatabase db;
      const Keyspace ks = must(db->keyspace("ks"));
      for (const bool writes : {false, true}) {
        Transaction holder = must(db->begin(cell(level, pess, "holder")));
        if (writes) {
          must(holder.put(ks, "a", "1"));
        } else {
          must(holder.get_for_share(ks, "nothing"));
        }
        const auto busy = db->drop_keyspace("ks", milliseconds(0));
        BOOST_TEST(outcome(busy) == "keyspace_busy");
        BOOST_TEST(busy.error().evidence().culprit->label == "holder");
        must(holder.commit());
      }
      BOOST_TEST(text(db.contents(ks)) == "a=1");
      must(db->drop_keyspace("ks", milliseconds(0)));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_drop_is_held_by_open_cursors_and_reads_for_update_at_every_level) {
  for (const Isolation level : {ru, rc, rr, ser}) {
    BOOST_TEST_CONTEXT(name(level)) {
      TempDatabase db;
      const Keyspace ks = must(db->keyspace("ks"));
      put(db, ks, "a", "1");
      {
        Transaction reader = must(db->begin(cell(level, opt)));
        std::optional<Cursor> cursor(must(reader.cursor(ks, KeyRange::all())));
        BOOST_TEST(outcome(db->drop_keyspace("ks", milliseconds(0))) == "keyspace_busy");
        BOOST_TEST(std::string(must(cursor->next())->value) == "1");
        cursor.reset();
        must(reader.commit());
      }
      Transaction reader = must(db->begin(cell(level, opt)));
      must(reader.get_for_update(ks, "a"));
      BOOST_TEST(outcome(db->drop_keyspace("ks", milliseconds(0))) == "keyspace_busy");
      must(reader.commit());
      must(db->drop_keyspace("ks", milliseconds(0)));
    }
  }
}

BOOST_AUTO_TEST_CASE(idle_transactions_below_repeatable_read_hold_no_drop_back) {
  for (const auto& [level, locking] : all_cells()) {
    if (level >= rr) continue;
    BOOST_TEST_CONTEXT(name_of(level, locking)) {
      TempDatabase db;
      const Keyspace ks = must(db->keyspace("ks"));
      put(db, ks, "a", "1");
      Transaction reader = must(db->begin(cell(level, locking)));
      BOOST_TEST(text(get(reader, ks, "a")) == "1");
      must(db->drop_keyspace("ks", milliseconds(0)));
      for (int round = 0; round < 2; ++round) {
        BOOST_TEST(outcome(reader.get(ks, "a")) == "keyspace_not_found");
        BOOST_TEST(outcome(reader.get_for_update(ks, "a")) == "keyspace_not_found");
        BOOST_TEST(outcome(reader.put(ks, "a", "1")) == "keyspace_not_found");
        BOOST_TEST(outcome(reader.insert(ks, "b", "1")) == "keyspace_not_found");
        BOOST_TEST(outcome(reader.erase(ks, "a")) == "keyspace_not_found");
        BOOST_TEST(outcome(reader.add(ks, "a", 1)) == "keyspace_not_found");
        BOOST_TEST(outcome(reader.compare_and_set(ks, "a", "1", "2")) == "keyspace_not_found");
        BOOST_TEST(outcome(reader.cursor(ks, KeyRange::all())) == "keyspace_not_found");
        BOOST_TEST(outcome(reader.scan(ks, KeyRange::all(), [](auto, auto) {})) ==
                   "keyspace_not_found");
        BOOST_TEST(outcome(db->versions(ks, "a")) == "keyspace_not_found");
        BOOST_TEST(reader.active());
        db.checkpoint();
        db.reclaim();
      }
      must(reader.put(db.keyspace(), "x", "1"));
      must(reader.commit());
    }
  }
}

// What is older than a keyspace sees it empty, whatever it does there.
BOOST_AUTO_TEST_CASE(every_operation_of_an_older_snapshot_on_a_keyspace_created_meanwhile) {
  for (const auto& [level, locking] : all_cells()) {
    BOOST_TEST_CONTEXT(name_of(level, locking)) {
      TempDatabase db;
      db.put("x", "0");
      Transaction old = must(db->begin(cell(level, locking)));
      get(old, db.keyspace(), "x");
      const Keyspace ks = must(db->keyspace("ks"));
      const bool snapshot = level == rr || (level == ser && locking == opt);
      put(db, ks, "a", "1");
      db.checkpoint();
      db.reclaim();
      BOOST_TEST(text(get(old, ks, "a")) == (snapshot ? "absent" : "1"));
      BOOST_TEST(text(contents(old, ks)) == (snapshot ? "" : "a=1"));
      if (level == rr) {
        // (Pessimistic: at once.)
        const auto put_there = old.put(ks, "a", "2");
        BOOST_TEST((put_there ? outcome(old.commit()) : outcome(put_there)) == "write_conflict");
        BOOST_TEST(text(db.contents(ks)) == "a=1");
      } else {
        must(old.put(ks, "b", "2"));
        BOOST_TEST(outcome(old.commit()) == (snapshot ? "serialization_failure" : "ok"));
      }
    }
  }
}

#ifdef ISOLDE_YIELD_POINTS

// A snapshot that is taken between the look and the drop: it got a value, and then no keyspace.
// (Inside of the critical section: explore_keyspaces_test.cc.)
BOOST_AUTO_TEST_CASE(a_snapshot_taken_while_a_drop_is_on_its_way_sees_it_or_holds_it) {
  for (const char* place : {"drop: before critical section", "drop: visible"}) {
    for (const auto& [level, locking] : all_cells()) {
      BOOST_TEST_CONTEXT(name_of(level, locking) << " at " << place) {
        TempDatabase db;
        const Keyspace ks = must(db->keyspace("ks"));
        put(db, ks, "a", "1");
        Transaction reader = must(db->begin(cell(level, locking)));
        std::optional<Result<void>> dropped;
        const auto look = [&] {
          const auto got = reader.get(ks, "a");
          return got ? std::string(got->value_or("absent")) : outcome(got);
        };
        StopAt dropper(place, [&] { dropped.emplace(db->drop_keyspace("ks", milliseconds(0))); });
        BOOST_REQUIRE(dropper.reached());
        if (level == ser && locking == pess) continue;  // waits for its lock until the drop is over
        const std::string first = look();
        dropper.finish();
        const std::string second = look();
        const bool is_before = std::string(place) == "drop: before critical section";
        if (level == rr || (level == ser && locking == opt)) {
          BOOST_TEST(outcome(*dropped) == (is_before ? "keyspace_busy" : "ok"));
          BOOST_TEST(first == (is_before ? "1" : "keyspace_not_found"));
          BOOST_TEST(second == first);
        } else {
          BOOST_TEST(outcome(*dropped) == "ok");
          BOOST_TEST(first == (is_before ? "1" : "keyspace_not_found"));
          BOOST_TEST(second == "keyspace_not_found");
        }
        must(reader.commit());
        db.checkpoint();
      }
    }
  }
}

#endif  // ISOLDE_YIELD_POINTS

// A drop that held back every checkpoint: the log filled, and all commits waited for ever.
BOOST_AUTO_TEST_CASE(no_drop_ever_holds_a_checkpoint_or_a_commit_back) {
  Options options = small_options();
  options.background_work = true;
  options.checkpoint_log_bytes = 20'000;
  TempDatabase db(options);
  const std::string value(10'000, 'v');
  for (int round = 0; round < 4; ++round) {
    const Keyspace ks = must(db->keyspace("ks"));
    put(db, ks, "a", value);
    Transaction reader = db.begin(rr);
    get(reader, db.keyspace(), "x");
    BOOST_TEST(outcome(db->drop_keyspace("ks", milliseconds(0))) == "keyspace_busy");
    for (int i = 0; i < 12; ++i) db.put("x", value);  // more than the log holds
    must(reader.commit());
    must(db->drop_keyspace("ks", milliseconds(1000)));
    Transaction after = db.begin(rr);
    BOOST_TEST(outcome(after.get(ks, "a")) == "keyspace_not_found");
    for (int i = 0; i < 12; ++i) db.put("x", value);
    BOOST_TEST(outcome(after.get(ks, "a")) == "keyspace_not_found");
    must(after.commit());
  }
}

// I8, I6: whoever was told that a keyspace is gone has observed the drop.
BOOST_AUTO_TEST_CASE(a_drop_that_a_crash_takes_back_is_no_ground_for_an_acknowledgement) {
  for (const auto& [level, locking] : all_cells()) {
    BOOST_TEST_CONTEXT(name_of(level, locking)) {
      FaultFileSystem files;
      TempDirectory directory;
      Database db = must(DatabaseInternals::open(directory.path() / "db", small_options(), files));
      const Keyspace ks = must(db.keyspace("ks"));
      auto reader = must(db.begin(cell(level, locking)));
      std::optional<Result<void>> dropped;
      StopAt dropper("log: persisting",
                     [&] { dropped.emplace(db.drop_keyspace("ks", milliseconds(0))); });
      BOOST_REQUIRE(dropper.reached());
      BOOST_TEST(outcome(reader.get(ks, "a")) == "keyspace_not_found");
      db.fail_next_sync();
      BOOST_TEST(outcome(reader.commit()) == "commit_outcome_unknown");
      dropper.finish();
      BOOST_TEST(outcome(*dropped) == "commit_outcome_unknown");
      // It never was.
      auto later = must(db.begin(cell(rr, opt)));
      BOOST_TEST(outcome(later.get(ks, "a")) == "ok");
      must(later.rollback());
      DatabaseInternals::abandon(std::move(db));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_drop_inside_of_a_scan_of_the_keyspace_takes_nothing_from_the_scan) {
  TempDatabase db;
  const Keyspace ks = must(db->keyspace("ks"));
  for (const char* key : {"a", "b", "c"}) put(db, ks, key, key);
  db.checkpoint();
  Transaction reader = db.begin(rc);
  std::string seen;
  const auto scanned =
      reader.scan(ks, KeyRange::all(), [&](std::string_view key, std::string_view) {
        if (seen.empty()) {
          must(db->drop_keyspace("ks", milliseconds(0)));
          db.checkpoint();
          db.reclaim();
        }
        seen += key;
      });
  BOOST_TEST(must(scanned) == 3u);
  BOOST_TEST(seen == "abc");
  BOOST_TEST(outcome(reader.get(ks, "a")) == "keyspace_not_found");
  must(reader.commit());
}

#ifdef ISOLDE_YIELD_POINTS

// The one held the other's lock for one that a transaction has.
BOOST_AUTO_TEST_CASE(two_drops_at_the_same_moment_do_not_hold_each_other_back) {
  TempDatabase db;
  const Keyspace ks = must(db->keyspace("ks"));
  put(db, ks, "a", "1");
  std::optional<Result<void>> first;
  std::optional<Result<void>> second;
  StopAt dropper("drop: before critical section",
                 [&] { first.emplace(db->drop_keyspace("ks", milliseconds(0))); });
  BOOST_REQUIRE(dropper.reached());
  UpToAMutex other([&] { second.emplace(db->drop_keyspace("ks", milliseconds(0))); });
  dropper.release();
  other.finish();
  dropper.finish();
  BOOST_TEST(outcome(*first) == "ok");
  BOOST_TEST(message_of(*second) == "ok");
}

BOOST_AUTO_TEST_CASE(the_second_of_two_loads_of_one_name_is_told_that_it_exists) {
  TempDatabase db;
  std::optional<Result<std::uint64_t>> second;
  std::optional<UpToAMutex> other;
  bool ended = false;
  const auto loaded = db->bulk_load("ks", [&]() -> Result<std::optional<Entry>> {
    if (std::exchange(ended, true)) return std::optional<Entry>{};
    other.emplace([&] { second.emplace(db->bulk_load("ks", entries({{"a", "second"}}))); });
    return std::optional(Entry{"a", "first"});
  });
  other->finish();
  BOOST_TEST(outcome(loaded) == "ok");
  BOOST_TEST(message_of(*second).starts_with("already_exists"));
  BOOST_TEST(text(db.contents(must(db->find_keyspace("ks")))) == "a=first");
}

// The base still had what was dropped: the checkpoint before the load could not take a drop that
// was not durable yet.
BOOST_AUTO_TEST_CASE(a_name_can_be_loaded_as_soon_as_its_drop_is_visible) {
  TempDatabase db;
  put(db, must(db->keyspace("ks")), "old", "1");
  db.checkpoint();
  std::optional<Result<void>> dropped;
  StopAt dropper("log: persisting",
                 [&] { dropped.emplace(db->drop_keyspace("ks", milliseconds(0))); });
  BOOST_REQUIRE(dropper.reached());
  BOOST_TEST(message_of(db->bulk_load("ks", entries({{"a", "10"}}))) == "ok");
  dropper.finish();
  BOOST_TEST(outcome(*dropped) == "ok");
  BOOST_TEST(text(db.contents(must(db->find_keyspace("ks")))) == "a=10");
}

BOOST_AUTO_TEST_CASE(a_load_that_is_dropped_before_it_returns_has_been_made) {
  TempDatabase db;
  std::optional<Result<std::uint64_t>> loaded;
  StopAt loader("log: persisting", [&] {
    loaded.emplace(db->bulk_load("ks", entries({{"a", "1"}})));
  });
  BOOST_REQUIRE(loader.reached());
  must(db->drop_keyspace("ks", milliseconds(0)));
  loader.finish();
  BOOST_TEST(message_of(*loaded) == "ok");
  BOOST_TEST(outcome(db->find_keyspace("ks")) == "keyspace_not_found");
  BOOST_TEST(text(db.contents(load(db, "ks"))) == "a=10 b=loaded");
}

#endif  // ISOLDE_YIELD_POINTS

// A checkpoint applied all three by their name: the drop took what had been loaded.
BOOST_AUTO_TEST_CASE(a_namesake_that_comes_and_goes_during_a_load_takes_nothing_from_it) {
  for (const bool crashes : {false, true}) {
    TempDatabase db;
    const auto list = entries({{"a", "10"}, {"b", "20"}});
    bool began = false;
    must(db->bulk_load("ks", [&]() -> Result<std::optional<Entry>> {
      if (!std::exchange(began, true)) {
        const Keyspace namesake = must(db->keyspace("ks"));
        put(db, namesake, "a", "of the namesake");
        must(db->drop_keyspace("ks", milliseconds(0)));
      }
      return list();
    }));
    if (crashes) db.kill_and_reopen();
    const Keyspace ks = must(db->find_keyspace("ks"));
    BOOST_TEST(text(db.contents(ks)) == "a=10 b=20");
    db.checkpoint();
    db.reclaim();
    BOOST_TEST(text(db.contents(ks)) == "a=10 b=20");
    put(db, ks, "c", "30");
    db.reopen();
    BOOST_TEST(text(db.contents(must(db->find_keyspace("ks")))) == "a=10 b=20 c=30");
  }
}

// The base image is at the load's commit, for older snapshots, and may be of a later one.
BOOST_AUTO_TEST_CASE(versions_do_not_say_of_a_later_value_that_a_load_brought_it) {
  TempDatabase db;
  const Keyspace ks = load(db, "ks");
  put(db, ks, "b", "later");
  db.checkpoint();
  db.reclaim();
  put(db, ks, "b", "newest");
  const auto versions = must(db->versions(ks, "b"));
  BOOST_REQUIRE(versions.size() == 2u);
  BOOST_TEST(text(versions[0].value) == "newest");
  BOOST_TEST(text(versions[1].value) == "later");
  BOOST_TEST(versions[1].commit == Timestamp{0});
}

BOOST_AUTO_TEST_SUITE_END()
