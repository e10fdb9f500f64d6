// Every size and duration at its ends: an error that names it, or it works.
#include <atomic>
#include <limits>
#include <thread>

#include "tests/mvcc/contents.h"
#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;

namespace {

constexpr std::size_t most = std::numeric_limits<std::size_t>::max();
constexpr auto longest = std::chrono::milliseconds::max();
constexpr auto shortest = std::chrono::milliseconds::min();

// Opens a database with these options and works in it; or the error, which must name `option`.
std::string tried(const Options& options, const std::string& option) {
  TempDirectory directory;
  auto opened = Database::open(directory.path() / "db", options);
  if (!opened) {
    BOOST_TEST(opened.error().message().find(option) != std::string::npos, message_of(opened));
    return outcome(opened);
  }
  const Keyspace ks = must(opened->keyspace("k"));
  for (int round = 0; round < 3; ++round) {
    Transaction txn = must(opened->begin(at(Isolation::read_committed, "", Locking::pessimistic)));
    const auto put = txn.put(ks, "a", std::string(100, 'x'));
    if (!put) return outcome(put);
    if (const auto committed = txn.commit(); !committed) return outcome(committed);
  }
  if (const auto done = opened->checkpoint(); !done) return outcome(done);
  opened->reclaim();
  must(opened->verify());
  return outcome(opened->close());
}

template <typename T>
std::string tried_with(T Options::*member, T value, const std::string& option) {
  Options options = small_options();
  options.background_work = true;
  options.*member = value;
  return tried(options, option);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(extremes)

// Issue 13, defect 9.
BOOST_AUTO_TEST_CASE(a_log_segment_that_no_disk_could_hold_is_refused_at_open) {
  for (const std::size_t bytes : {most, most - 4096, most / 2, std::size_t{1} << 63,
                                  std::size_t{1} << 40, std::size_t{0}, std::size_t{1}}) {
    BOOST_TEST(tried_with(&Options::log_segment_bytes, bytes, "log_segment_bytes") ==
               "invalid_argument");
  }
  BOOST_TEST(tried_with(&Options::log_segment_bytes, std::size_t{4096}, "") == "ok");
  BOOST_TEST(tried_with(&Options::log_segment_bytes, std::size_t{12345}, "") == "ok");
}

BOOST_AUTO_TEST_CASE(every_size_works_or_is_refused_by_name) {
  BOOST_TEST(tried_with(&Options::max_version_memory, most, "") == "ok");
  BOOST_TEST(tried_with(&Options::max_version_memory, std::size_t{0}, "") == "ok");
  BOOST_TEST(tried_with(&Options::max_transaction_bytes, most, "") == "ok");
  BOOST_TEST(tried_with(&Options::max_transaction_bytes, std::size_t{1}, "") ==
             "transaction_too_large");
  BOOST_TEST(tried_with(&Options::max_transaction_bytes, std::size_t{0}, "max_transaction_bytes") ==
             "invalid_argument");
  BOOST_TEST(tried_with(&Options::checkpoint_log_bytes, most, "") == "ok");
  BOOST_TEST(tried_with(&Options::checkpoint_log_bytes, most / 4 + 1, "") == "ok");
  BOOST_TEST(tried_with(&Options::checkpoint_log_bytes, std::size_t{1}, "") == "ok");
  BOOST_TEST(tried_with(&Options::checkpoint_log_bytes, std::size_t{0}, "checkpoint_log_bytes") ==
             "invalid_argument");
  BOOST_TEST(tried_with(&Options::initial_map_bytes, std::size_t{0}, "") == "ok");
  BOOST_TEST(tried_with(&Options::initial_map_bytes, std::size_t{4097}, "") == "ok");
  for (const std::size_t bytes : {most, most / 2, std::size_t{1} << 60}) {
    // What can't be had is made do without: it grows by itself.
    BOOST_TEST(tried_with(&Options::initial_map_bytes, bytes, "") == "ok");
  }
  BOOST_TEST(tried_with(&Options::max_keyspaces, std::uint32_t{0}, "max_keyspaces") ==
             "invalid_argument");
  BOOST_TEST(tried_with(&Options::max_keyspaces, std::numeric_limits<std::uint32_t>::max(), "") ==
             "ok");
  BOOST_TEST(tried_with(&Options::max_locks_per_transaction, most, "") == "ok");
  BOOST_TEST(tried_with(&Options::max_locks_per_transaction, std::size_t{0},
                        "max_locks_per_transaction") == "invalid_argument");
}

BOOST_AUTO_TEST_CASE(every_duration_works_or_is_refused_by_name) {
  BOOST_TEST(tried_with(&Options::lock_timeout, longest, "") == "ok");
  BOOST_TEST(tried_with(&Options::lock_timeout, longest - std::chrono::milliseconds(1), "") ==
             "ok");
  BOOST_TEST(tried_with(&Options::lock_timeout, shortest, "timeout") == "invalid_argument");
  for (const auto interval : {longest, std::chrono::milliseconds(std::int64_t{1} << 50)}) {
    BOOST_TEST(tried_with(&Options::durability, Durability::periodic(interval), "") == "ok");
  }
  for (const auto interval : {shortest, std::chrono::milliseconds(0)}) {
    BOOST_TEST(tried_with(&Options::durability, Durability::periodic(interval), "durability") ==
               "invalid_argument");
  }
}

BOOST_AUTO_TEST_CASE(the_longest_interval_between_syncs_is_not_at_once) {
  Options options = small_options();
  options.background_work = true;
  options.checkpoint_log_bytes = std::size_t{64} << 20;
  options.durability = Durability::periodic(longest);
  TempDatabase db(options);
  const Timestamp durable = db->stats().durable;
  for (int i = 0; i < 300; ++i) db.put("k", std::to_string(i));
  BOOST_TEST(db->stats().durable == durable);
}

// Longest waits: not "at once", as an overflow would have it.
BOOST_AUTO_TEST_CASE(transact_retries_within_the_longest_time) {
  TempDatabase db;
  db.put("n", "0");
  const std::chrono::milliseconds days(std::int64_t{1} << 60);
  for (const auto time : {longest, longest - std::chrono::milliseconds(1), days}) {
    TransactionOptions options;
    options.retry.max_time = time;
    options.retry.base_delay = options.retry.max_delay = std::chrono::microseconds(0);
    int runs = 0;
    must(db->transact(options, [&](Transaction& txn) -> Result<void> {
      static_cast<void>(get(txn, db.keyspace(), "n"));
      if (++runs < 3) db.put("n", std::to_string(runs));
      return txn.put(db.keyspace(), "n", "mine");
    }));
    BOOST_TEST(runs == 3);
  }
}

BOOST_AUTO_TEST_CASE(a_retry_policy_at_its_ends_is_refused_or_means_what_it_says) {
  TempDatabase db;
  db.put("n", "0");
  const auto attempts_with = [&](const RetryPolicy& retry) {
    TransactionOptions options;
    options.retry = retry;
    int runs = 0;
    const auto done = db->transact(options, [&](Transaction& txn) -> Result<void> {
      static_cast<void>(get(txn, db.keyspace(), "n"));
      db.put("n", std::to_string(++runs));
      return txn.put(db.keyspace(), "n", "mine");
    });
    return outcome(done) + " " + std::to_string(runs);
  };
  RetryPolicy retry;
  retry.max_attempts = 40;
  retry.base_delay = std::chrono::microseconds::max();
  retry.max_delay = std::chrono::microseconds(1);
  BOOST_TEST(attempts_with(retry) == "write_conflict 40");
  retry.base_delay = std::chrono::microseconds(0);
  retry.max_delay = std::chrono::microseconds::max();
  BOOST_TEST(attempts_with(retry) == "write_conflict 40");
  retry.base_delay = retry.max_delay = std::chrono::microseconds::min();
  BOOST_TEST(attempts_with(retry) == "write_conflict 40");
  retry.max_attempts = 0;
  BOOST_TEST(attempts_with(retry) == "write_conflict 1");
  // A delay would end after the time is over: no attempt starts then, and none is waited for. (One
  // in millions is drawn short enough.)
  retry.max_attempts = 3;
  retry.base_delay = retry.max_delay = std::chrono::hours(24);
  retry.max_time = std::chrono::milliseconds(10);
  BOOST_TEST(attempts_with(retry) == "write_conflict 1");
  retry.max_time = shortest;
  BOOST_TEST(attempts_with(retry) == "write_conflict 1");
}

BOOST_AUTO_TEST_CASE(the_longest_lock_timeouts_wait) {
  for (const auto timeout : {longest, longest - std::chrono::milliseconds(1),
                             std::chrono::milliseconds(std::int64_t{1} << 60)}) {
    TempDatabase db;
    const auto stage = std::make_shared<Stage>(2);
    db->add_observer(stage);
    TransactionOptions options = at(Isolation::read_committed, "waiter", Locking::pessimistic);
    options.lock_timeout = timeout;
    std::optional<Transaction> holder(
        must(db->begin(at(Isolation::read_committed, "holder", Locking::pessimistic))));
    std::optional<Transaction> waiter(must(db->begin(options)));
    stage->run(0, [&] { static_cast<void>(holder->put(db.keyspace(), "k", "1")); });
    std::string waited;
    stage->run(1, [&] { waited = outcome(waiter->put(db.keyspace(), "k", "2")); });
    BOOST_TEST(stage->is_blocked(1));
    stage->run(0, [&] { static_cast<void>(holder->commit()); });
    stage->run(1, [] {});
    BOOST_TEST(waited == "ok");
    must(waiter->set_lock_timeout(timeout));
    must(waiter->get_for_update(db.keyspace(), "other", {LockWait::wait, timeout}));
    BOOST_TEST(outcome(waiter->set_lock_timeout(shortest)) == "invalid_argument");
    must(waiter->commit());
    waiter.reset();
    holder.reset();
    db->remove_observer(stage);
  }
}

BOOST_AUTO_TEST_CASE(a_drop_with_the_longest_patience_waits) {
  for (const auto patience : {longest, longest - std::chrono::milliseconds(1)}) {
    TempDatabase db;
    const Keyspace ks = must(db->keyspace("doomed"));
    Transaction reader = db.begin();
    BOOST_TEST(text(get(reader, db.keyspace(), "k")) == "absent");
    db.put("k", "newer");  // the reader's snapshot is older than this
    std::atomic<bool> dropping{false};
    std::string dropped;
    std::thread dropper([&] {
      dropping.store(true);
      dropped = outcome(db->drop_keyspace("doomed", patience));
    });
    while (!dropping.load()) std::this_thread::yield();
    for (int i = 0; i < 1000; ++i) static_cast<void>(db->stats());
    must(reader.rollback());
    dropper.join();
    BOOST_TEST(dropped == "ok");
  }
  TempDatabase db;
  must(db->keyspace("doomed"));
  BOOST_TEST(outcome(db->drop_keyspace("doomed", shortest)) == "ok");  // no one to wait for
}

BOOST_AUTO_TEST_CASE(limits_and_bounds_at_their_ends) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  fill(db, {{"a", "1"}, {"b", "2"}});
  for (const Isolation level : all_levels) {
    for (const Locking locking : {Locking::optimistic, Locking::pessimistic}) {
      Transaction txn = must(db->begin(at(level, "", locking)));
      BOOST_TEST(scan(txn, ks, KeyRange::all(), limit(most)) == "a=1 b=2");
      BOOST_TEST(scan(txn, ks, KeyRange::all(), limit(most, true)) == "b=2 a=1");
      BOOST_TEST(scan(txn, ks, KeyRange::all(), limit(0)) == "");
      const std::string far(10'000, '\xff');
      BOOST_TEST(scan(txn, ks, KeyRange::between("", far)) == "a=1 b=2");
      BOOST_TEST(scan(txn, ks, KeyRange::from(far)) == "");
      BOOST_TEST(outcome(txn.rollback_to(Savepoint{~std::uint64_t{0}, 0})) == "invalid_argument");
      BOOST_TEST(outcome(txn.release(Savepoint{0, ~std::uint64_t{0}})) == "invalid_argument");
      must(txn.rollback());
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
