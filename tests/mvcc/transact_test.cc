// Database::transact: what ends an attempt, what is returned then, and what is run again.
#include <stdexcept>

#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;

namespace {

TransactionOptions retrying(Isolation level, Locking locking, std::uint32_t attempts) {
  TransactionOptions options = at(level, "worker", locking);
  options.retry.max_attempts = attempts;
  options.retry.base_delay = options.retry.max_delay = std::chrono::microseconds(0);
  return options;
}

// Ends `txn` with write_conflict at its write, as long as `times` is not used up.
void lose_a_race(TempDatabase& db, Transaction& txn, int& times) {
  static_cast<void>(get(txn, db.keyspace(), "other"));
  if (times-- > 0) db.put("k", "theirs");
  static_cast<void>(txn.put(db.keyspace(), "k", "mine"));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(transact)

// Issue 13, defect 6.
BOOST_AUTO_TEST_CASE(
    an_error_that_ended_the_transaction_is_returned_though_the_work_overlooked_it) {
  TempDatabase db;
  int times = 100;
  int runs = 0;
  const auto options = retrying(Isolation::repeatable_read, Locking::pessimistic, 3);
  const Result<int> lost = db->transact(options, [&](Transaction& txn) -> Result<int> {
    ++runs;
    lose_a_race(db, txn, times);
    BOOST_TEST(!txn.active());
    return 1;
  });
  BOOST_TEST(outcome(lost) == "write_conflict");
  BOOST_TEST(runs == 3);
  if (!lost) BOOST_TEST(lost.error().evidence().attempts == 3u);
  BOOST_TEST(text(db.get("k")) == "theirs");
}

BOOST_AUTO_TEST_CASE(an_overlooked_error_that_is_retryable_is_retried) {
  TempDatabase db;
  int times = 1;
  int runs = 0;
  const auto options = retrying(Isolation::repeatable_read, Locking::pessimistic, 3);
  BOOST_TEST(must(db->transact(options, [&](Transaction& txn) -> Result<int> {
               lose_a_race(db, txn, times);
               return ++runs;
             })) == 2);
  BOOST_TEST(text(db.get("k")) == "mine");
}

BOOST_AUTO_TEST_CASE(an_overlooked_error_is_told_instead_of_the_one_that_came_of_it) {
  TempDatabase db;
  int times = 1;
  int runs = 0;
  const auto options = retrying(Isolation::repeatable_read, Locking::pessimistic, 3);
  must(db->transact(options, [&](Transaction& txn) -> Result<void> {
    ++runs;
    lose_a_race(db, txn, times);
    return txn.put(db.keyspace(), "second", "mine");  // transaction_finished, the first time
  }));
  BOOST_TEST(runs == 2);
  BOOST_TEST(text(db.get("second")) == "mine");
}

BOOST_AUTO_TEST_CASE(an_overlooked_cancellation_is_returned_and_not_retried) {
  TempDatabase db;
  int runs = 0;
  const Result<void> done = db->transact([&](Transaction& txn) -> Result<void> {
    ++runs;
    txn.cancel();
    static_cast<void>(txn.put(db.keyspace(), "k", "1"));
    return {};
  });
  BOOST_TEST(outcome(done) == "cancelled");
  BOOST_TEST(runs == 1);
}

BOOST_AUTO_TEST_CASE(an_overlooked_error_of_the_work_s_own_commit_is_returned) {
  TempDatabase db;
  int runs = 0;
  const auto options = retrying(Isolation::repeatable_read, Locking::optimistic, 3);
  const Result<void> done = db->transact(options, [&](Transaction& txn) -> Result<void> {
    static_cast<void>(get(txn, db.keyspace(), "k"));
    if (++runs < 3) db.put("k", "theirs");
    must(txn.put(db.keyspace(), "k", "mine"));
    static_cast<void>(txn.commit());
    return {};
  });
  must(done);
  BOOST_TEST(runs == 3);
  BOOST_TEST(text(db.get("k")) == "mine");
}

BOOST_AUTO_TEST_CASE(an_explicit_end_by_the_work_stands) {
  TempDatabase db;
  must(db->transact([&](Transaction& txn) -> Result<void> {
    must(txn.put(db.keyspace(), "k", "1"));
    must(txn.commit());
    return {};
  }));
  BOOST_TEST(text(db.get("k")) == "1");
  must(db->transact([&](Transaction& txn) -> Result<void> {
    must(txn.put(db.keyspace(), "k", "2"));
    return txn.rollback();
  }));
  BOOST_TEST(text(db.get("k")) == "1");
  // It has looked at the error, and rolled back: that is what it wanted.
  int times = 1;
  int runs = 0;
  must(db->transact(retrying(Isolation::repeatable_read, Locking::pessimistic, 3),
                    [&](Transaction& txn) -> Result<void> {
                      ++runs;
                      lose_a_race(db, txn, times);
                      return txn.rollback();
                    }));
  BOOST_TEST(runs == 1);
}

// What is committed must not be done twice.
BOOST_AUTO_TEST_CASE(nothing_is_run_again_after_the_work_has_committed) {
  TempDatabase db;
  int runs = 0;
  const Result<void> done = db->transact([&](Transaction& txn) -> Result<void> {
    ++runs;
    must(txn.put(db.keyspace(), "k", std::to_string(runs)));
    must(txn.commit());
    return Error(ErrorCode::write_conflict, "of another database, say");
  });
  BOOST_TEST(outcome(done) == "write_conflict");
  BOOST_TEST(runs == 1);
}

BOOST_AUTO_TEST_CASE(an_error_that_ended_nothing_is_the_work_s_to_overlook) {
  TempDatabase db;
  db.put("k", "1");
  must(db->transact([&](Transaction& txn) -> Result<void> {
    static_cast<void>(txn.insert(db.keyspace(), "k", "2"));
    return txn.put(db.keyspace(), "other", "1");
  }));
  BOOST_TEST(text(db.get("other")) == "1");
}

BOOST_AUTO_TEST_CASE(an_exception_leaves_nothing_and_is_not_retried) {
  TempDatabase db;
  int runs = 0;
  const auto work = [&](Transaction& txn) -> Result<void> {
    ++runs;
    must(txn.put(db.keyspace(), "k", "1"));
    throw std::runtime_error("out");
  };
  BOOST_CHECK_THROW(static_cast<void>(db->transact(work)), std::runtime_error);
  BOOST_TEST(runs == 1);
  BOOST_TEST(text(db.get("k")) == "absent");
}

// How it ended could not be known.
BOOST_AUTO_TEST_CASE(a_transaction_that_the_work_moved_away_is_refused) {
  TempDatabase db;
  const Result<void> done = db->transact([&](Transaction& txn) -> Result<void> {
    Transaction mine = std::move(txn);
    return mine.put(db.keyspace(), "k", "1");
  });
  BOOST_TEST(outcome(done) == "invalid_argument");
  BOOST_TEST(text(db.get("k")) == "absent");
}

BOOST_AUTO_TEST_SUITE_END()
