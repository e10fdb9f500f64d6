// The public face of transactions, operation by operation.
#include "tests/mvcc/contents.h"
#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;

BOOST_AUTO_TEST_SUITE(operations)

BOOST_AUTO_TEST_CASE(own_writes_are_seen_at_every_level_and_by_nobody_above_read_uncommitted) {
  for (const Where where : everywhere) {
    TempDatabase db(quick_options());
    const Keyspace& ks = db.keyspace();
    fill(db, {{"a", "1"}, {"b", "2"}, {"c", "3"}});
    bring(db, where);
    for (const Isolation level : all_levels) {
      Transaction txn = db.begin(level);
      must(txn.put(ks, "a", "11"));
      must(txn.erase(ks, "b"));
      must(txn.insert(ks, "d", "4"));
      must(txn.add(ks, "c", 5));
      BOOST_TEST(text(get(txn, ks, "a")) == "11");
      BOOST_TEST(text(get(txn, ks, "b")) == "absent");
      BOOST_TEST(text(get(txn, ks, "c")) == "8");
      BOOST_TEST(text(get(txn, ks, "d")) == "4");
      BOOST_TEST(scan(txn, ks, KeyRange::all()) == "a=11 c=8 d=4");
      BOOST_TEST(scan(txn, ks, KeyRange::all(), reversed()) == "d=4 c=8 a=11");
      BOOST_TEST(scan(txn, ks, KeyRange::all(), limit(2)) == "a=11 c=8");
      for (const Isolation other : all_levels) {
        Transaction reader = db.begin(other);
        const bool dirty = other == Isolation::read_uncommitted;
        BOOST_TEST(scan(reader, ks, KeyRange::all()) == (dirty ? "a=11 c=8 d=4" : "a=1 b=2 c=3"));
        BOOST_TEST(text(get(reader, ks, "b")) == (dirty ? "absent" : "2"));
        BOOST_TEST(text(get(reader, ks, "c")) == (dirty ? "8" : "3"));
      }
      must(txn.rollback());
      BOOST_TEST(text(db.contents()) == "a=1 b=2 c=3");
    }
  }
}

BOOST_AUTO_TEST_CASE(an_erase_is_blind_and_an_erased_key_can_be_inserted_again) {
  TempDatabase db;
  Transaction txn = db.begin();
  must(txn.erase(db.keyspace(), "never"));
  must(txn.insert(db.keyspace(), "k", "1"));
  must(txn.erase(db.keyspace(), "k"));
  must(txn.insert(db.keyspace(), "k", "2"));
  must(txn.commit());
  BOOST_TEST(text(db.contents()) == "k=2");
}

BOOST_AUTO_TEST_CASE(values_may_be_empty_or_hold_any_byte) {
  TempDatabase db;
  const std::string any("\0\xff\n", 3);
  fill(db, {{"empty", ""}, {any, any}});
  for (int round = 0; round < 2; ++round) {
    BOOST_TEST(text(db.get("empty")).empty());
    BOOST_TEST((db.get(any) == any));
    BOOST_TEST(db.contents().size() == 2u);
    db.checkpoint();
    db.reclaim();
  }
}

BOOST_AUTO_TEST_CASE(of_two_inserts_of_one_key_one_commits_at_every_level) {
  for (const Where where : {Where::memory, Where::base}) {
    TempDatabase db;
    for (const Isolation level : all_levels) {
      db.put("k", "old");
      db.erase("k");
      bring(db, where);
      Transaction a = db.begin(level, "a");
      Transaction b = db.begin(level, "b");
      // At read uncommitted the second would see the first.
      must(b.insert(db.keyspace(), "k", "b"));
      if (level == Isolation::read_uncommitted) {
        BOOST_TEST(outcome(a.insert(db.keyspace(), "k", "a")) == "already_exists");
        must(b.rollback());
        must(a.insert(db.keyspace(), "k", "a"));
        db.put("k", "between");
        const auto refused = a.commit();
        BOOST_TEST(outcome(refused) == "write_conflict");
        continue;
      }
      must(a.insert(db.keyspace(), "k", "a"));
      must(a.commit());
      const auto refused = b.commit();
      BOOST_TEST(outcome(refused) ==
                 (level == Isolation::serializable ? "serialization_failure" : "write_conflict"));
      BOOST_TEST(*refused.error().evidence().key == "k");
      BOOST_TEST(refused.error().evidence().culprit->label == "a");
      BOOST_TEST(text(db.get("k")) == "a");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_failed_insert_or_compare_fails_alone) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  db.put("k", "1");
  for (const Isolation level : all_levels) {
    Transaction txn = db.begin(level);
    BOOST_TEST(outcome(txn.insert(ks, "k", "2")) == "already_exists");
    BOOST_TEST(outcome(txn.compare_and_set(ks, "k", "2", "3")) == "compare_failed");
    const auto absent = txn.compare_and_set(ks, "none", "", "3");
    BOOST_TEST(outcome(absent) == "compare_failed");
    BOOST_TEST(absent.error().message().find("absent") != std::string::npos);
    BOOST_TEST(txn.active());
    must(txn.put(ks, "other", "x"));
    must(txn.commit());
  }
  BOOST_TEST(text(db.contents()) == "k=1 other=x");
}

// C6: a failed insert was a read, at serializable.
BOOST_AUTO_TEST_CASE(a_failed_insert_is_a_read_at_serializable) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  db.put("k", "1");
  Transaction a = db.begin(Isolation::serializable);
  BOOST_TEST(outcome(a.insert(ks, "k", "2")) == "already_exists");
  must(a.put(ks, "other", "k was there"));
  db.erase("k");
  BOOST_TEST(outcome(a.commit()) == "serialization_failure");

  db.put("k", "1");
  Transaction b = db.begin(Isolation::serializable);
  BOOST_TEST(outcome(b.compare_and_set(ks, "k", "2", "3")) == "compare_failed");
  must(b.put(ks, "other", "k was not 2"));
  db.put("k", "2");
  BOOST_TEST(outcome(b.commit()) == "serialization_failure");
}

BOOST_AUTO_TEST_CASE(compare_and_set_is_judged_again_at_commit) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  for (const Isolation level : all_levels) {
    db.put("k", "1");
    Transaction a = db.begin(level);
    must(a.compare_and_set(ks, "k", "1", "2"));
    db.put("k", "9");
    BOOST_TEST(outcome(a.commit()) ==
               (level == Isolation::serializable ? "serialization_failure" : "write_conflict"));
    BOOST_TEST(text(db.get("k")) == "9");
  }
}

// What is in the base only has no timestamp and no writer: the error doesn't invent them.
BOOST_AUTO_TEST_CASE(a_condition_that_fails_on_a_value_of_the_base_names_no_culprit) {
  TempDatabase db;
  Transaction txn = db.begin(Isolation::read_committed, "late");
  must(txn.insert(db.keyspace(), "k", "mine"));
  db.put("k", "theirs");
  db.checkpoint();
  db.reclaim();
  const auto refused = txn.commit();
  BOOST_TEST(outcome(refused) == "write_conflict");
  BOOST_TEST(*refused.error().evidence().key == "k");
  BOOST_TEST(!refused.error().evidence().culprit);
  BOOST_TEST(!refused.error().evidence().conflict);
  BOOST_TEST(refused.error().message().find("commit 0") == std::string::npos);
}

// Below repeatable read the value is what was compared, so one set back to it is good enough.
BOOST_AUTO_TEST_CASE(compare_and_set_below_repeatable_read_compares_values) {
  TempDatabase db;
  db.put("k", "1");
  Transaction a = db.begin(Isolation::read_committed);
  must(a.compare_and_set(db.keyspace(), "k", "1", "2"));
  db.put("k", "9");
  db.put("k", "1");
  must(a.commit());
  BOOST_TEST(text(db.get("k")) == "2");
}

// At read uncommitted the comparison may have been with another's private value.
BOOST_AUTO_TEST_CASE(compare_and_set_of_a_sum_over_a_private_value_fails_if_that_is_rolled_back) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  db.put("n", "0");
  Transaction other = db.begin();
  must(other.put(ks, "n", "5"));
  Transaction txn = db.begin(Isolation::read_uncommitted);
  must(txn.add(ks, "n", 1));
  must(txn.compare_and_set(ks, "n", "6", "60"));
  must(other.rollback());
  BOOST_TEST(outcome(txn.commit()) == "write_conflict");
  BOOST_TEST(text(db.get("n")) == "0");
}

BOOST_AUTO_TEST_CASE(savepoints_nest_and_undo_every_kind_of_write) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  for (const Isolation level : all_levels) {
    fill(db, {{"a", "1"}, {"n", "10"}});
    Transaction txn = db.begin(level);
    must(txn.put(ks, "a", "2"));
    const Savepoint outer = must(txn.savepoint());
    must(txn.erase(ks, "a"));
    must(txn.add(ks, "n", 5));
    const Savepoint inner = must(txn.savepoint());
    must(txn.insert(ks, "a", "3"));
    must(txn.add(ks, "n", 5));
    must(txn.put(ks, "b", "new"));
    must(txn.rollback_to(inner));
    BOOST_TEST(scan(txn, ks, KeyRange::all()) == "n=15");
    must(txn.put(ks, "b", "again"));
    must(txn.rollback_to(inner));
    must(txn.release(inner));
    BOOST_TEST(outcome(txn.rollback_to(inner)) == "invalid_argument");
    must(txn.rollback_to(outer));
    BOOST_TEST(scan(txn, ks, KeyRange::all()) == "a=2 n=10");
    const Savepoint third = must(txn.savepoint());
    must(txn.rollback_to(outer));
    BOOST_TEST(outcome(txn.release(third)) == "invalid_argument");
    must(txn.release(outer));
    must(txn.commit());
    BOOST_TEST(text(db.contents()) == "a=2 n=10");
  }
}

BOOST_AUTO_TEST_CASE(rolling_back_to_a_savepoint_forgets_conditions_and_keeps_reads) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  {
    Transaction txn = db.begin(Isolation::read_committed);
    const Savepoint mark = must(txn.savepoint());
    must(txn.insert(ks, "k", "1"));
    must(txn.rollback_to(mark));
    must(txn.put(ks, "other", "1"));
    db.put("k", "theirs");
    must(txn.commit());
  }
  Transaction txn = db.begin(Isolation::serializable);
  const Savepoint mark = must(txn.savepoint());
  BOOST_TEST(text(get(txn, ks, "k")) == "theirs");
  must(txn.rollback_to(mark));
  must(txn.put(ks, "other", "2"));
  db.put("k", "changed");
  BOOST_TEST(outcome(txn.commit()) == "serialization_failure");
}

BOOST_AUTO_TEST_CASE(a_read_only_transaction_reads_and_refuses_to_write) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  db.put("a", "1");
  TransactionOptions options;
  options.read_only = true;
  Transaction txn = must(db->begin(options));
  BOOST_TEST(txn.read_only());
  BOOST_TEST(outcome(txn.put(ks, "a", "2")) == "read_only");
  BOOST_TEST(outcome(txn.erase(ks, "a")) == "read_only");
  BOOST_TEST(outcome(txn.insert(ks, "b", "2")) == "read_only");
  BOOST_TEST(outcome(txn.add(ks, "n", 2)) == "read_only");
  BOOST_TEST(outcome(txn.add_and_get(ks, "n", 2)) == "read_only");
  BOOST_TEST(outcome(txn.compare_and_set(ks, "a", "1", "2")) == "read_only");
  BOOST_TEST(text(get(txn, ks, "a")) == "1");
  must(txn.commit());
}

BOOST_AUTO_TEST_CASE(an_untracked_read_is_not_validated) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  db.put("a", "1");
  Transaction txn = db.begin(Isolation::serializable);
  ReadOptions untracked;
  untracked.tracked = false;
  BOOST_TEST(*must(txn.get(ks, "a", untracked)) == "1");
  ScanOptions options;
  options.tracked = false;
  BOOST_TEST(scan(txn, ks, KeyRange::all(), options) == "a=1");
  db.put("a", "2");
  must(txn.put(ks, "b", "1"));
  must(txn.commit());
}

BOOST_AUTO_TEST_CASE(a_snapshot_is_taken_by_the_first_operation_and_stays) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  db.put("a", "1");
  Transaction txn = db.begin();
  BOOST_TEST(!txn.snapshot());
  const Timestamp newest = db.put("a", "2");
  BOOST_TEST(text(get(txn, ks, "a")) == "2");
  BOOST_REQUIRE(txn.snapshot());
  BOOST_TEST(*txn.snapshot() == newest);
  db.put("a", "3");
  BOOST_TEST(text(get(txn, ks, "a")) == "2");
  BOOST_TEST(must(txn.commit()) == newest);
  Transaction writer = db.begin();
  must(writer.put(ks, "b", "1"));
  BOOST_REQUIRE(writer.snapshot());
  Transaction weak = db.begin(Isolation::read_committed);
  get(weak, ks, "a");
  BOOST_TEST(!weak.snapshot());
}

BOOST_AUTO_TEST_CASE(a_transaction_rolls_back_when_it_is_destroyed_or_assigned_over) {
  TempDatabase db;
  {
    Transaction txn = db.begin();
    must(txn.put(db.keyspace(), "a", "1"));
  }
  Transaction txn = db.begin();
  must(txn.put(db.keyspace(), "b", "1"));
  txn = db.begin();
  must(txn.put(db.keyspace(), "c", "1"));
  Transaction moved = std::move(txn);
  must(moved.commit());
  BOOST_TEST(text(db.contents()) == "c=1");
  BOOST_TEST(db->stats().rolled_back >= 2u);
}

BOOST_AUTO_TEST_CASE(a_thousand_transactions_live_side_by_side_each_at_its_snapshot) {
  TempDatabase db(quick_options());
  std::vector<Transaction> live;
  for (int i = 0; i < 1000; ++i) {
    db.put("k", std::to_string(i));
    live.push_back(db.begin(i % 2 == 0 ? Isolation::repeatable_read : Isolation::serializable));
    BOOST_TEST(text(get(live.back(), db.keyspace(), "k")) == std::to_string(i));
    if (i % 100 == 0) {
      db.checkpoint();
      db.reclaim();
    }
  }
  BOOST_TEST(db->stats().snapshots.size() == 1000u);
  for (int i = 0; i < 1000; ++i) {
    BOOST_REQUIRE(text(get(live[i], db.keyspace(), "k")) == std::to_string(i));
  }
  live.clear();
  BOOST_TEST(db->stats().snapshots.empty());
}

BOOST_AUTO_TEST_SUITE_END()
