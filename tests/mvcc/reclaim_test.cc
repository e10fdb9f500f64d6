// What memory is given back when: chains, versions, views, and what a long snapshot may cost.
#include <atomic>
#include <filesystem>
#include <functional>
#include <utility>

#include "mvcc/database_core.h"
#include "tests/mvcc/phenomena.h"
#include "tests/support/stop_at.h"

using namespace isolde;
using namespace isolde::test;

namespace {

std::uintmax_t data_bytes(TempDatabase& db) { return db->stats().base_file_bytes; }

}  // namespace

BOOST_AUTO_TEST_SUITE(reclaim)

BOOST_AUTO_TEST_CASE(chains_go_once_their_newest_version_is_in_the_base) {
  TempDatabase db;
  db.put("a", "1");
  db.put("b", "1");
  db.erase("b");
  db.reclaim();
  BOOST_TEST(db->stats().chains == 2u);
  BOOST_TEST(db->stats().versions == 2u);
  db.checkpoint();
  db.reclaim();
  const Stats stats = db->stats();
  BOOST_TEST(stats.chains == 0u);
  BOOST_TEST(stats.versions == 0u);
  BOOST_TEST(stats.version_bytes == 0u);
  BOOST_TEST(stats.old_version_bytes == 0u);
  BOOST_TEST(stats.dropped_chains == 2u);
  BOOST_TEST(text(db.contents()) == "a=1");
}

BOOST_AUTO_TEST_CASE(a_long_snapshot_keeps_one_old_version_of_each_key) {
  TempDatabase db(quick_options());
  for (int key = 0; key < 50; ++key) db.put("k" + std::to_string(key), "old");
  Transaction reader = db.begin();
  const Contents before = contents(reader, db.keyspace());
  for (int round = 0; round < 20; ++round) {
    for (int key = 0; key < 50; ++key) db.put("k" + std::to_string(key), std::to_string(round));
    if (round % 5 == 0) db.checkpoint();
  }
  db.reclaim();
  BOOST_TEST(db->stats().chains == 50u);
  BOOST_TEST(db->stats().versions == 100u);
  BOOST_TEST((contents(reader, db.keyspace()) == before));
  must(reader.commit());
  db.reclaim();
  BOOST_TEST(db->stats().versions == 50u);
  db.checkpoint();
  db.reclaim();
  BOOST_TEST(db->stats().chains == 0u);
}

BOOST_AUTO_TEST_CASE(versions_between_two_snapshots_go_from_the_middle) {
  TempDatabase db;
  std::vector<Transaction> readers;
  for (int version = 1; version <= 9; ++version) {
    db.put("k", std::to_string(version));
    if (version % 3 != 0) continue;
    readers.push_back(db.begin());
    get(readers.back(), db.keyspace(), "k");
  }
  db.put("k", "10");
  db.reclaim();
  BOOST_TEST(db->stats().versions == 4u);  // 3, 6, 9 and the newest
  for (int i = 0; i < 3; ++i) {
    BOOST_TEST(text(get(readers[i], db.keyspace(), "k")) == std::to_string(3 * (i + 1)));
  }
  must(readers[1].commit());
  db.reclaim();
  BOOST_TEST(db->stats().versions == 3u);
  BOOST_TEST(text(get(readers[0], db.keyspace(), "k")) == "3");
  BOOST_TEST(text(get(readers[2], db.keyspace(), "k")) == "9");
}

BOOST_AUTO_TEST_CASE(a_cursor_below_repeatable_read_keeps_its_snapshot_until_it_is_closed) {
  TempDatabase db;
  db.put("a", "1");
  db.put("b", "1");
  Transaction txn = db.begin(Isolation::read_committed);
  {
    Cursor cursor = must(txn.cursor(db.keyspace(), KeyRange::all()));
    must(cursor.next());
    db.put("b", "2");
    db.put("b", "3");
    db.reclaim();
    BOOST_TEST(db->stats().snapshots.size() == 1u);
    BOOST_TEST(text(get(txn, db.keyspace(), "b")) == "3");
    BOOST_TEST(must(cursor.next())->value == "1");
  }
  BOOST_TEST(db->stats().snapshots.empty());
  db.reclaim();
  BOOST_TEST(db->stats().versions == 2u);
}

BOOST_AUTO_TEST_CASE(past_its_memory_the_oldest_snapshot_is_given_up_and_nothing_else) {
  Options options = quick_options();
  options.max_version_memory = 20'000;
  TempDatabase db(options);
  const std::string value(1'000, 'v');
  const auto rewrite = [&](int keys) {
    for (int key = 0; key < keys; ++key) db.put("k" + std::to_string(key), value);
  };
  rewrite(12);
  Transaction oldest = db.begin(Isolation::repeatable_read, "month end");
  get(oldest, db.keyspace(), "k0");
  rewrite(12);
  Transaction younger = db.begin(Isolation::serializable, "younger");
  get(younger, db.keyspace(), "k0");
  db.reclaim();
  BOOST_TEST(db->stats().snapshots.size() == 2u);  // 12 old versions: within the limit
  rewrite(12);
  db.reclaim();  // 24 of them: past it
  BOOST_TEST(db->stats().old_version_bytes <= options.max_version_memory);
  const auto given_up = oldest.get(db.keyspace(), "k1");
  BOOST_REQUIRE(outcome(given_up) == "snapshot_too_old");
  BOOST_TEST(!oldest.active());
  BOOST_TEST(given_up.error().evidence().self->label == "month end");
  BOOST_TEST(given_up.error().evidence().snapshot.has_value());
  for (const char* part : {"month end", "max_version_memory", "20000", "ms old"}) {
    BOOST_TEST(given_up.error().message().find(part) != std::string::npos,
               given_up.error().message());
  }
  BOOST_TEST(text(get(younger, db.keyspace(), "k1")) == value);
  must(younger.commit());
  BOOST_TEST(db->stats().aborted.at(ErrorCode::snapshot_too_old) == 1u);
}

BOOST_AUTO_TEST_CASE(a_snapshot_that_was_given_up_fails_at_commit_and_in_a_cursor_too) {
  Options options = quick_options();
  options.max_version_memory = 1;
  TempDatabase db(options);
  db.put("k", "1");
  db.put("l", "1");
  Transaction writer = db.begin();
  get(writer, db.keyspace(), "k");
  must(writer.put(db.keyspace(), "other", "1"));
  Transaction walker = db.begin(Isolation::read_committed);
  std::optional<Cursor> cursor(must(walker.cursor(db.keyspace(), KeyRange::all())));
  must(cursor->next());
  Transaction reader = db.begin(Isolation::serializable);
  get(reader, db.keyspace(), "k");
  db.put("k", "2");
  db.put("l", "2");
  db.reclaim();
  BOOST_TEST(outcome(writer.commit()) == "snapshot_too_old");
  BOOST_TEST(outcome(cursor->next()) == "snapshot_too_old");
  BOOST_TEST(outcome(reader.commit()) == "snapshot_too_old");
  BOOST_TEST(text(db.contents()) == "k=2 l=2");
  cursor.reset();
}

#ifdef ISOLDE_YIELD_POINTS
// A pass that had to postpone everything proves nothing about who holds what.
BOOST_AUTO_TEST_CASE(no_snapshot_is_given_up_for_what_a_pass_could_not_take_yet) {
  Options options = quick_options();
  options.max_version_memory = 20'000;
  TempDatabase db(options);
  const std::string value(1'000, 'v');
  std::vector<Transaction> readers;
  for (int i = 0; i < 5; ++i) {
    db.put("k", value);
    readers.push_back(db.begin());
    get(readers.back(), db.keyspace(), "k");
  }
  for (int i = 0; i < 40; ++i) db.put("k", value);
  Transaction slow = db.begin(Isolation::read_committed);
  std::string slow_outcome;
  StopAt stop("read: pending", [&] { slow_outcome = outcome(slow.get(db.keyspace(), "k")); });
  BOOST_REQUIRE(stop.reached());
  db.reclaim();
  stop.finish();
  db.reclaim();
  BOOST_TEST(slow_outcome == "ok");
  BOOST_TEST(db->stats().versions == 6u);
  for (Transaction& reader : readers) {
    BOOST_TEST(outcome(reader.get(db.keyspace(), "k")) == "ok");
  }
}
#endif

BOOST_AUTO_TEST_CASE(a_chain_costs_at_most_160_bytes_beyond_its_key_and_values) {
  TempDatabase db(quick_options());
  const std::size_t keys = 5'000;
  std::size_t user_bytes = 0;
  Transaction txn = db.begin(Isolation::read_committed);
  for (std::size_t i = 0; i < keys; ++i) {
    const std::string key = "key-" + std::to_string(100'000 + i);
    must(txn.put(db.keyspace(), key, std::string(100, 'v')));
    user_bytes += key.size() + 100;
  }
  must(txn.commit());
  const Stats stats = db->stats();
  BOOST_TEST(stats.chains == keys);
  BOOST_TEST((stats.version_bytes - user_bytes) / keys <= 160u,
             (stats.version_bytes - user_bytes) / keys);
  BOOST_TEST(stats.version_bytes > user_bytes);
}

// R7: an idle transaction pins no pages; its next read takes a new view and sees the same.
BOOST_AUTO_TEST_CASE(the_view_of_an_idle_transaction_is_taken_and_it_reads_the_same) {
  TempDatabase db(quick_options());
  for (int i = 0; i < 100; ++i) db.put("k" + std::to_string(i), "old");
  db.checkpoint();
  db.reclaim();
  Transaction reader = db.begin();
  const Contents before = contents(reader, db.keyspace());
  for (int i = 0; i < 50; ++i) db.put("k" + std::to_string(i), "new");
  db.checkpoint();
  db.reclaim();
  std::size_t open_views = 0;
  db.core().registry().for_each(
      [&](const mvcc::Slot& slot) { open_views += slot.view_version.load() != mvcc::no_view; });
  BOOST_TEST(open_views == 0u);
  BOOST_TEST((contents(reader, db.keyspace()) == before));
  BOOST_TEST(text(get(reader, db.keyspace(), "k0")) == "old");
  BOOST_TEST(text(get(reader, db.keyspace(), "k99")) == "old");
}

BOOST_AUTO_TEST_CASE(the_base_does_not_grow_under_an_idle_snapshot) {
  const auto grown_by = [](bool with_reader) {
    TempDatabase db(quick_options());
    const std::string value(1'000, 'v');
    const auto rewrite = [&](const std::string& version) {
      Transaction txn = db.begin(Isolation::read_committed);
      for (int i = 0; i < 500; ++i) {
        must(txn.put(db.keyspace(), "k" + std::to_string(i), version + value));
      }
      must(txn.commit());
      db.checkpoint();
      db.reclaim();
    };
    for (int round = 0; round < 3; ++round) rewrite("a");
    std::optional<Transaction> reader;
    if (with_reader) {
      reader.emplace(db.begin());
      BOOST_TEST(get(*reader, db.keyspace(), "k7")->substr(0, 1) == "a");
      db.reclaim();
    }
    const std::uintmax_t before = data_bytes(db);
    for (int round = 0; round < 15; ++round) rewrite("b");
    if (reader) BOOST_TEST(get(*reader, db.keyspace(), "k7")->substr(0, 1) == "a");
    return data_bytes(db) - before;
  };
  const std::uintmax_t alone = grown_by(false);
  const std::uintmax_t beside = grown_by(true);
  // Fifteen rewrites of half a megabyte each: a pinned page would show.
  BOOST_TEST(beside <= alone + 600'000u, alone << " bytes alone, " << beside << " with a reader");
}

BOOST_AUTO_TEST_CASE(the_log_is_given_back_by_checkpoints) {
  TempDatabase db(quick_options());
  const std::string value(1'000, 'v');
  std::uint64_t largest = 0;
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < 100; ++i) db.put("k" + std::to_string(i), value);
    db.checkpoint();
    BOOST_TEST(db->stats().log_live_bytes == 0u);
    if (round == 2) largest = db->stats().log_file_bytes;
  }
  BOOST_TEST(db->stats().log_file_bytes <= largest + 2 * db.options().log_segment_bytes);
}

#ifdef ISOLDE_YIELD_POINTS
// What a checkpoint does when it has just begun; only once.
std::function<void()>& at_checkpoint() {
  static std::function<void()> work;
  return work;
}

void checkpoint_hook(const char* place) {
  if (std::string_view(place).starts_with("blocked: ")) std::this_thread::yield();
  if (std::string_view(place) != "checkpoint: registered") return;
  if (const auto work = std::exchange(at_checkpoint(), nullptr)) work();
}

// Background  a checkpoint begins at commit 9
// Writer      fills the log again, asks for a checkpoint: one is under way
// Background  the checkpoint ends; nobody commits, and nobody asks, any more
// The log would stay as full as it is. (It hangs here if nothing is done about it.)
BOOST_AUTO_TEST_CASE(a_log_that_was_filled_during_a_checkpoint_is_carried_to_the_base_by_another) {
  Options options = small_options();
  options.background_work = true;
  options.durability = Durability::none();
  options.checkpoint_log_bytes = std::size_t{64} << 10;
  TempDatabase db(options);
  const Keyspace keyspace = db.keyspace();
  std::atomic<int> failures{0};
  const auto fill = [&](const std::string& prefix) {  // without Boost: not in the main thread
    for (int i = 0; i < 9; ++i) {
      const auto done = db->transact([&](Transaction& txn) {
        return txn.put(keyspace, prefix + std::to_string(i), std::string(10'000, 'v'));
      });
      if (!done) ++failures;
    }
  };
  at_checkpoint() = [&fill] { fill("during"); };
  yield_hook.store(&checkpoint_hook);
  fill("before");
  db.put("last", "asks for it");
  while (db->stats().checkpoints < 1) std::this_thread::yield();
  while (db->stats().log_live_bytes >= options.checkpoint_log_bytes) std::this_thread::yield();
  yield_hook.store(nullptr);
  BOOST_TEST(db->stats().checkpoints >= 2u);
  BOOST_TEST(failures.load() == 0);
}
#endif

BOOST_AUTO_TEST_SUITE_END()
