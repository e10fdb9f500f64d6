// Scans and cursors of transactions.

#include "tests/mvcc/contents.h"
#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;

BOOST_AUTO_TEST_SUITE(scans)

BOOST_AUTO_TEST_CASE(scans_keep_to_range_limit_and_direction) {
  for (const Where where : everywhere) {
    TempDatabase db(quick_options());
    const Keyspace& ks = db.keyspace();
    fill(db, {{"a", "1"}, {"b", "2"}, {"b/1", "3"}, {"b/2", "4"}, {"b\xff", "5"}, {"c", "6"}});
    bring(db, where);
    // In the mixed case a chain of each kind lies over the base.
    if (where == Where::both) fill(db, {{"b", "2"}, {"c", "6"}});
    for (const Isolation level : all_levels) {
      Transaction txn = db.begin(level);
      BOOST_TEST(scan(txn, ks, KeyRange::prefix("b")) == "b=2 b/1=3 b/2=4 b\xff=5");
      BOOST_TEST(scan(txn, ks, KeyRange::prefix("b/")) == "b/1=3 b/2=4");
      BOOST_TEST(scan(txn, ks, KeyRange::prefix("b\xff")) == "b\xff=5");
      BOOST_TEST(scan(txn, ks, KeyRange::between("b", "c"), reversed()) ==
                 "b\xff=5 b/2=4 b/1=3 b=2");
      BOOST_TEST(scan(txn, ks, KeyRange::from("b/2")) == "b/2=4 b\xff=5 c=6");
      BOOST_TEST(scan(txn, ks, KeyRange::from("b/2"), limit(2, true)) == "c=6 b\xff=5");
      BOOST_TEST(scan(txn, ks, KeyRange::between("b", "b")).empty());
      BOOST_TEST(scan(txn, ks, KeyRange::between("c", "a")).empty());
      BOOST_TEST(scan(txn, ks, KeyRange::between("c", "a"), reversed()).empty());
      BOOST_TEST(scan(txn, ks, KeyRange::from("d")).empty());
      BOOST_TEST(scan(txn, ks, KeyRange::all(), limit(0)).empty());
      BOOST_TEST(scan(txn, ks, KeyRange::all(), limit(1)) == "a=1");
      BOOST_TEST(scan(txn, ks, KeyRange::all(), limit(100)).size() ==
                 scan(txn, ks, KeyRange::all()).size());
    }
  }
}

BOOST_AUTO_TEST_CASE(a_scan_stops_when_its_visitor_says_so_and_counts_what_was_visited) {
  TempDatabase db;
  fill(db, {{"a", "1"}, {"b", "2"}, {"c", "3"}});
  Transaction txn = db.begin();
  std::string seen;
  const auto visited =
      txn.scan(db.keyspace(), KeyRange::all(), [&](std::string_view key, std::string_view) {
        seen += key;
        return key != "b";
      });
  BOOST_TEST(must(visited) == 2u);
  BOOST_TEST(seen == "ab");
}

BOOST_AUTO_TEST_CASE(bounds_of_a_range_may_be_longer_than_any_key) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  const std::string longest(max_key_bytes, 'k');
  fill(db, {{"a", "1"}, {longest, "2"}, {"z", "3"}});
  for (const Where where : everywhere) {
    bring(db, where);
    Transaction txn = db.begin(Isolation::serializable);
    BOOST_TEST(scan(txn, ks, KeyRange::from(longest + "x")) == "z=3");
    BOOST_TEST(scan(txn, ks, KeyRange::between("b", longest + "x")) == longest + "=2");
    BOOST_TEST(scan(txn, ks, KeyRange::between("b", longest + "x"), reversed()) == longest + "=2");
    BOOST_TEST(scan(txn, ks, KeyRange::prefix(longest + std::string(500, 'k'))).empty());
    BOOST_TEST(scan(txn, ks, KeyRange::from(std::string(5000, 'k')), reversed()) == "z=3");
    Cursor cursor = must(txn.cursor(ks, KeyRange::all()));
    must(cursor.next());
    must(cursor.next());
    db.checkpoint();
    db.reclaim();
    BOOST_TEST(must(cursor.next())->key == "z");
    must(txn.put(ks, "out", "1"));
    must(txn.commit());
    db.erase("out");
  }
}

BOOST_AUTO_TEST_CASE(a_cursor_walks_its_snapshot_across_commits_checkpoints_and_reclaim) {
  for (const Isolation level : all_levels) {
    for (const bool reverse : {false, true}) {
      TempDatabase db(quick_options());
      const Keyspace& ks = db.keyspace();
      fill(db, {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}, {"e", "5"}});
      bring(db, Where::base);
      Transaction txn = db.begin(level);
      must(txn.put(ks, "bb", "own"));
      must(txn.erase(ks, "d"));
      ScanOptions options;
      options.reverse = reverse;
      Cursor cursor = must(txn.cursor(ks, KeyRange::all(), options));
      std::string seen;
      for (int round = 0;; ++round) {
        const auto entry = must(cursor.next());
        if (!entry) break;
        seen.append(entry->key).append("=").append(entry->value).append(" ");
        // Everything that a cursor could stand on is taken from under it.
        for (const char* key : {"a", "b", "c", "d", "e"}) {
          if (round % 2 == 0) db.erase(key);
          if (round % 2 == 1) db.put(key, "later");
        }
        db.put("bc" + std::to_string(round), "new");
        db.checkpoint();
        db.reclaim();
        db.checkpoint();
        db.reclaim();
      }
      BOOST_TEST(seen == (reverse ? "e=5 c=3 bb=own b=2 a=1 " : "a=1 b=2 bb=own c=3 e=5 "),
                 name(level) << ": " << seen);
      BOOST_TEST(!must(cursor.next()));
    }
  }
}

// The reclaimer takes what a cursor stands on; the overlay of own writes is not sought anew.
BOOST_AUTO_TEST_CASE(a_cursor_yields_each_own_write_once_when_chains_go_between_its_steps) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  Transaction txn = db.begin();
  for (const char* key : {"a", "b", "c"}) must(txn.put(ks, key, "own"));
  Cursor cursor = must(txn.cursor(ks, KeyRange::all()));
  std::string seen;
  while (const auto entry = must(cursor.next())) {
    seen += entry->key;
    BOOST_REQUIRE(seen.size() < 10u);
    db.put("x", "1");
    db.checkpoint();
    db.reclaim();
  }
  BOOST_TEST(seen == "abc");
}

BOOST_AUTO_TEST_CASE(a_cursor_does_not_see_own_writes_made_after_it_was_opened) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  fill(db, {{"a", "1"}, {"c", "3"}});
  Transaction txn = db.begin();
  Cursor cursor = must(txn.cursor(ks, KeyRange::all()));
  must(txn.put(ks, "b", "2"));
  must(txn.put(ks, "c", "33"));
  BOOST_TEST(must(cursor.next())->key == "a");
  const Entry last = *must(cursor.next());
  BOOST_TEST(last.key == "c");
  BOOST_TEST(last.value == "3");
  BOOST_TEST(!must(cursor.next()));
}

BOOST_AUTO_TEST_CASE(a_cursor_observes_as_far_as_it_was_stepped) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  for (const bool reverse : {false, true}) {
    fill(db, {{"a", "1"}, {"c", "3"}, {"e", "5"}});
    const auto attempt = [&](std::string_view changed) {
      Transaction txn = db.begin(Isolation::serializable);
      ScanOptions options;
      options.reverse = reverse;
      {
        Cursor cursor = must(txn.cursor(ks, KeyRange::all(), options));
        must(cursor.next());
        must(cursor.next());
      }
      db.put(changed, "changed");
      must(txn.put(ks, "z", "1"));
      const std::string result = outcome(txn.commit());
      db.erase(changed);
      db.erase("z");
      fill(db, {{"a", "1"}, {"c", "3"}, {"e", "5"}});
      return result;
    };
    BOOST_TEST(attempt(reverse ? "b" : "d") == "ok");
    BOOST_TEST(attempt(reverse ? "d" : "b") == "serialization_failure");
    BOOST_TEST(attempt("c") == "serialization_failure");
  }
}

BOOST_AUTO_TEST_CASE(a_cursor_of_an_ended_transaction_answers_so) {
  TempDatabase db;
  db.put("a", "1");
  std::optional<Transaction> txn(db.begin());
  Cursor cursor = must(txn->cursor(db.keyspace(), KeyRange::all()));
  must(txn->commit());
  BOOST_TEST(outcome(cursor.next()) == "transaction_finished");
}

BOOST_AUTO_TEST_SUITE_END()
