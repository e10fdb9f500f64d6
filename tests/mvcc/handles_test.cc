// Handles that were moved from, or outlive what they belong to: every method answers.
#include <optional>

#include "tests/mvcc/contents.h"
#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;

namespace {

// Every operation of a transaction that answers with a Result.
std::vector<std::string> all_operations(Transaction& txn, const Keyspace& ks) {
  const auto nothing = [](std::string_view, std::string_view) {};
  return {outcome(txn.get(ks, "k")),
          outcome(txn.get_for_update(ks, "k")),
          outcome(txn.get_for_share(ks, "k")),
          outcome(txn.put(ks, "k", "v")),
          outcome(txn.erase(ks, "k")),
          outcome(txn.insert(ks, "k", "v")),
          outcome(txn.add(ks, "k", 1)),
          outcome(txn.add_and_get(ks, "k", 1)),
          outcome(txn.compare_and_set(ks, "k", "a", "b")),
          outcome(txn.scan(ks, KeyRange::all(), nothing)),
          outcome(txn.cursor(ks, KeyRange::all())),
          outcome(txn.savepoint()),
          outcome(txn.rollback_to(Savepoint{1, 1})),
          outcome(txn.release(Savepoint{1, 1})),
          outcome(txn.set_lock_timeout(std::chrono::seconds(1))),
          outcome(txn.commit())};
}

void check_finished(Transaction& txn, const Keyspace& ks) {
  for (const std::string& answer : all_operations(txn, ks)) {
    BOOST_TEST(answer == "transaction_finished");
  }
  BOOST_TEST(!txn.active());
  txn.cancel();
  static_cast<void>(txn.snapshot());
  static_cast<void>(txn.isolation());
  static_cast<void>(txn.locking());
  static_cast<void>(txn.label());
  static_cast<void>(txn.read_only());
  static_cast<void>(txn.id());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(handles)

// Issue 13, defect 9.
BOOST_AUTO_TEST_CASE(a_transaction_that_was_moved_from_answers_finished_to_everything) {
  TempDatabase db;
  db.put("k", "1");
  for (const Isolation level : all_levels) {
    for (const Locking locking : {Locking::optimistic, Locking::pessimistic}) {
      Transaction from = must(db->begin(at(level, "mover", locking)));
      must(from.put(db.keyspace(), "k", "2"));
      Transaction to = std::move(from);
      check_finished(from, db.keyspace());
      BOOST_TEST(outcome(from.rollback()) == "ok");  // as after any end
      BOOST_TEST(from.id() == TransactionId{0});
      BOOST_TEST(from.label().empty());
      BOOST_TEST(!from.snapshot());
      BOOST_TEST(!from.read_only());
      BOOST_TEST(to.active());
      BOOST_TEST(to.label() == "mover");
      must(to.commit());
      from = std::move(to);  // it may be used again
      check_finished(to, db.keyspace());
      check_finished(from, db.keyspace());
    }
  }
}

BOOST_AUTO_TEST_CASE(a_cursor_that_was_moved_from_answers_finished) {
  TempDatabase db;
  db.put("k", "1");
  Transaction txn = db.begin();
  Cursor from = must(txn.cursor(db.keyspace(), KeyRange::all()));
  Cursor to = std::move(from);
  BOOST_TEST(outcome(from.next()) == "transaction_finished");
  BOOST_TEST(must(to.next())->key == "k");
  from = std::move(to);
  BOOST_TEST(!must(from.next()));
  BOOST_TEST(outcome(to.next()) == "transaction_finished");
}

BOOST_AUTO_TEST_CASE(a_keyspace_that_was_moved_from_is_still_a_name) {
  TempDatabase db;
  Keyspace from = must(db->keyspace("other"));
  const Keyspace to = std::move(from);
  BOOST_TEST(from.name() == "other");
  Transaction txn = db.begin();
  must(txn.put(from, "k", "1"));
  must(txn.commit());
  BOOST_TEST(text(db.contents(to)) == "k=1");
}

BOOST_AUTO_TEST_CASE(a_keyspace_that_was_dropped_or_is_of_another_database_is_not_found) {
  TempDatabase db;
  TempDatabase other;
  const Keyspace dropped = must(db->keyspace("dropped"));
  must(db->drop_keyspace("dropped"));
  must(other->keyspace("one"));
  const Keyspace foreign = must(other->keyspace("two"));
  for (const Isolation level : all_levels) {
    for (const Locking locking : {Locking::optimistic, Locking::pessimistic}) {
      for (const Keyspace& ks : {dropped, foreign}) {
        Transaction txn = must(db->begin(at(level, "", locking)));
        const auto nothing = [](std::string_view, std::string_view) {};
        for (const std::string& answer :
             {outcome(txn.get(ks, "k")), outcome(txn.get_for_update(ks, "k")),
              outcome(txn.get_for_share(ks, "k")), outcome(txn.put(ks, "k", "v")),
              outcome(txn.erase(ks, "k")), outcome(txn.insert(ks, "k", "v")),
              outcome(txn.add(ks, "k", 1)), outcome(txn.add_and_get(ks, "k", 1)),
              outcome(txn.compare_and_set(ks, "k", "a", "b")),
              outcome(txn.scan(ks, KeyRange::all(), nothing)),
              outcome(txn.cursor(ks, KeyRange::all())), outcome(db->versions(ks, "k"))}) {
          BOOST_TEST(answer == "keyspace_not_found");
        }
        must(txn.put(db.keyspace(), "k", "v"));
        must(txn.commit());
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(handles_that_outlive_their_ended_transaction_and_database_answer_finished) {
  class Deaf : public Observer {};
  for (const bool observed : {false, true}) {
    for (const bool committed : {false, true}) {
      for (const Locking locking : {Locking::optimistic, Locking::pessimistic}) {
        std::optional<Transaction> txn;
        std::optional<Cursor> cursor;
        std::optional<Keyspace> keyspace;
        {
          TempDatabase db;
          db.put("k", "1");
          keyspace = db.keyspace();
          if (observed) db->add_observer(std::make_shared<Deaf>());
          txn.emplace(must(db->begin(at(Isolation::serializable, "late", locking))));
          cursor.emplace(must(txn->cursor(*keyspace, KeyRange::all())));
          must(cursor->next());
          must(txn->put(*keyspace, "k", "2"));
          if (committed) {
            must(txn->commit());
          } else {
            must(txn->rollback());
          }
          check_finished(*txn, *keyspace);
          BOOST_TEST(outcome(cursor->next()) == "transaction_finished");
        }
        check_finished(*txn, *keyspace);
        BOOST_TEST(txn->label() == "late");
        BOOST_TEST(outcome(cursor->next()) == "transaction_finished");
        BOOST_TEST(keyspace->name() == "default");
        txn.reset();
        BOOST_TEST(outcome(cursor->next()) == "transaction_finished");
        cursor.reset();
      }
    }
  }
}

// Its place serves another transaction by then, which must not notice.
BOOST_AUTO_TEST_CASE(a_cursor_that_outlives_its_transaction_leaves_the_next_one_alone) {
  TempDatabase db;
  db.put("k", "1");
  for (const Isolation level : all_levels) {
    std::optional<Cursor> cursor;
    {
      Transaction txn = db.begin(level);
      cursor.emplace(must(txn.cursor(db.keyspace(), KeyRange::all())));
    }
    Transaction next = db.begin(level);
    Cursor own = must(next.cursor(db.keyspace(), KeyRange::all()));
    BOOST_TEST(outcome(cursor->next()) == "transaction_finished");
    cursor.reset();
    BOOST_TEST(must(own.next())->key == "k");
  }
}

BOOST_AUTO_TEST_CASE(a_database_that_was_closed_or_moved_from_answers_that_to_everything) {
  TempDirectory directory;
  Database moved = must(Database::open(directory.path() / "moved"));
  const Keyspace ks = must(moved.keyspace("k"));
  Database taken = std::move(moved);
  Database closed = must(Database::open(directory.path() / "closed"));
  must(closed.close());
  Database abandoned = must(Database::open(directory.path() / "abandoned"));
  abandoned.abandon();
  for (Database* db : {&moved, &closed, &abandoned}) {
    const auto work = [](Transaction&) { return Result<void>(); };
    const auto source = []() -> Result<std::optional<Entry>> { return std::optional<Entry>(); };
    for (const std::string& answer :
         {outcome(db->keyspace("k")), outcome(db->find_keyspace("k")),
          outcome(db->drop_keyspace("k")), outcome(db->begin()), outcome(db->transact(work)),
          outcome(db->bulk_load("l", source)), outcome(db->checkpoint()),
          outcome(db->backup(directory.path() / "copy")), outcome(db->verify()),
          outcome(db->versions(ks, "k"))}) {
      BOOST_TEST(answer == "invalid_argument");
    }
    BOOST_TEST(db->keyspaces().empty());
    db->reclaim();
    BOOST_TEST(db->stats().begun == 0u);
    BOOST_TEST(db->locks().held.empty());
    BOOST_TEST(db->deadlocks().empty());
    BOOST_TEST(!db->cancel(TransactionId{1}));
    db->fail_next_sync();
    const auto observer = std::make_shared<Observer>();
    db->add_observer(observer);
    db->remove_observer(observer);
    BOOST_TEST(db->directory().empty());
    BOOST_TEST(db->options().max_keyspaces == Options().max_keyspaces);
    db->abandon();
    BOOST_TEST(outcome(db->close()) == "ok");
  }
  moved = std::move(taken);
  must(moved.find_keyspace("k"));
}

BOOST_AUTO_TEST_SUITE_END()
