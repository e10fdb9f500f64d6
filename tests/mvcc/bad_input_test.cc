// Whatever is asked for in error gets the right code and a sentence that names it, and changes
// nothing.
#include <unistd.h>

#include <thread>

#include "tests/mvcc/phenomena.h"
#include "tests/support/stop_at.h"

using namespace isolde;
using namespace isolde::test;

namespace {

template <typename T>
void refused(const Result<T>& result, const std::string& code, const std::string& named,
             bool retry_makes_sense = false) {
  BOOST_TEST(outcome(result) == code, message_of(result));
  if (result) return;
  const std::string& message = result.error().message();
  BOOST_TEST(message.size() > 10u);
  BOOST_TEST(message.find(named) != std::string::npos, "'" << named << "' is not in: " << message);
  BOOST_TEST(is_retryable(result.error().code()) == retry_makes_sense);
}

// Every operation of a transaction on a key, by its outcome.
std::vector<std::string> all_operations(Transaction& txn, const Keyspace& ks,
                                        std::string_view key) {
  const auto nothing = [](std::string_view, std::string_view) {};
  return {outcome(txn.get(ks, key)),
          outcome(txn.get_for_update(ks, key)),
          outcome(txn.get_for_share(ks, key)),
          outcome(txn.put(ks, key, "v")),
          outcome(txn.erase(ks, key)),
          outcome(txn.insert(ks, key, "v")),
          outcome(txn.add(ks, key, 1)),
          outcome(txn.add_and_get(ks, key, 1)),
          outcome(txn.compare_and_set(ks, key, "a", "b")),
          outcome(txn.scan(ks, KeyRange::all(), nothing)),
          outcome(txn.cursor(ks, KeyRange::all())),
          outcome(txn.savepoint()),
          outcome(txn.rollback_to(Savepoint{1, 1})),
          outcome(txn.release(Savepoint{1, 1})),
          outcome(txn.commit())};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(bad_input)

BOOST_AUTO_TEST_CASE(a_key_has_1_to_511_bytes) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  const std::string longest(511, 'k');
  const std::string too_long(512, 'k');
  for (const Isolation level : all_levels) {
    Transaction txn = db.begin(level);
    must(txn.put(ks, "before", "1"));
    refused(txn.get(ks, ""), "key_empty", "empty");
    refused(txn.get_for_update(ks, ""), "key_empty", "empty");
    refused(txn.put(ks, "", "v"), "key_empty", "empty");
    refused(txn.erase(ks, ""), "key_empty", "empty");
    refused(txn.insert(ks, "", "v"), "key_empty", "empty");
    refused(txn.add(ks, "", 1), "key_empty", "empty");
    refused(txn.add_and_get(ks, "", 1), "key_empty", "empty");
    refused(txn.compare_and_set(ks, "", "a", "b"), "key_empty", "empty");
    refused(txn.get(ks, too_long), "key_too_long", "512");
    refused(txn.put(ks, too_long, "v"), "key_too_long", "512");
    refused(txn.erase(ks, too_long), "key_too_long", "512");
    refused(txn.insert(ks, too_long, "v"), "key_too_long", "512");
    refused(txn.add(ks, too_long, 1), "key_too_long", "512");
    refused(txn.add_and_get(ks, too_long, 1), "key_too_long", "512");
    refused(txn.compare_and_set(ks, too_long, "a", "b"), "key_too_long", "512");
    must(txn.put(ks, longest, "v"));
    BOOST_TEST(text(get(txn, ks, longest)) == "v");
    BOOST_TEST(txn.active());
    must(txn.commit());
    BOOST_TEST(db.contents().size() == 2u);
  }
  db.checkpoint();
  db.reclaim();
  BOOST_TEST(text(db.get(longest)) == "v");
}

BOOST_AUTO_TEST_CASE(a_value_has_at_most_16_mebibytes) {
  TempDatabase db(quick_options());
  const Keyspace& ks = db.keyspace();
  const std::string largest(max_value_bytes, 'v');
  const std::string too_large(max_value_bytes + 1, 'v');
  Transaction txn = db.begin();
  refused(txn.put(ks, "the key", too_large), "value_too_large", "the key");
  refused(txn.insert(ks, "the key", too_large), "value_too_large", "16777217");
  must(txn.put(ks, "small", "1"));
  refused(txn.compare_and_set(ks, "small", "1", too_large), "value_too_large", "small");
  must(txn.put(ks, "large", largest));
  must(txn.commit());
  db.checkpoint();
  db.reclaim();
  BOOST_TEST((db.get("large") == largest));
}

BOOST_AUTO_TEST_CASE(a_transaction_writes_no_more_than_its_bound_and_goes_on_below_it) {
  Options options = quick_options();
  options.max_transaction_bytes = 10'000;
  TempDatabase db(options);
  const Keyspace& ks = db.keyspace();
  Transaction txn = db.begin(Isolation::read_committed);
  must(txn.put(ks, "a", std::string(9'000, 'a')));
  refused(txn.put(ks, "b", std::string(1'000, 'b')), "transaction_too_large", "10000");
  refused(txn.insert(ks, "b", std::string(1'000, 'b')), "transaction_too_large",
          "max_transaction_bytes");
  must(txn.put(ks, "c", std::string(500, 'c')));
  const Savepoint mark = must(txn.savepoint());
  must(txn.put(ks, "d", std::string(400, 'd')));
  refused(txn.put(ks, "e", std::string(400, 'e')), "transaction_too_large", "written");
  must(txn.rollback_to(mark));
  must(txn.put(ks, "e", std::string(400, 'e')));
  must(txn.commit());
  BOOST_TEST(db.contents().size() == 3u);
  // A key that is written again and again counts once.
  Transaction again = db.begin(Isolation::read_committed);
  for (int i = 0; i < 100; ++i) must(again.put(ks, "a", std::string(4'000, 'x')));
  must(again.commit());
}

BOOST_AUTO_TEST_CASE(a_serializable_transaction_observes_no_more_than_its_bound) {
  Options options = quick_options();
  options.max_transaction_bytes = 10'000;
  TempDatabase db(options);
  const Keyspace& ks = db.keyspace();
  Transaction txn = db.begin(Isolation::serializable);
  std::string last = "ok";
  for (int i = 0; i < 10'000 && last == "ok"; ++i) {
    last = outcome(txn.get(ks, "some key of some length " + std::to_string(i)));
  }
  BOOST_TEST(last == "transaction_too_large");
  refused(txn.get(ks, "one more"), "transaction_too_large", "observed");
  BOOST_TEST(txn.active());
  ReadOptions untracked;
  untracked.tracked = false;
  must(txn.get(ks, "one more", untracked));
  must(txn.commit());
  // The same key again and again is one read.
  Transaction loop = db.begin(Isolation::serializable);
  for (int i = 0; i < 10'000; ++i) must(loop.get(ks, "k"));
  // Others remember nothing.
  Transaction weak = db.begin(Isolation::repeatable_read);
  for (int i = 0; i < 1'000; ++i) {
    must(weak.get(ks, "some key of some length " + std::to_string(i)));
  }
}

BOOST_AUTO_TEST_CASE(keyspaces_that_are_not_of_this_database_are_not_found) {
  TempDatabase db;
  TempDatabase foreign;
  const Keyspace unknown = must(foreign->keyspace("theirs"));
  const Keyspace invented(KeyspaceId{77'777}, "invented");
  const Keyspace absurd(KeyspaceId{~std::uint32_t{0}}, "absurd");
  const Keyspace misnamed(db.keyspace().id(), "not the default");
  const Keyspace dropped = must(db->keyspace("dropped"));
  must(db->drop_keyspace("dropped"));
  for (const Keyspace& keyspace : {unknown, invented, absurd, misnamed, dropped}) {
    for (const Isolation level : all_levels) {
      Transaction txn = db.begin(level);
      refused(txn.get(keyspace, "k"), "keyspace_not_found", keyspace.name());
      const std::vector<std::string> outcomes = all_operations(txn, keyspace, "k");
      for (std::size_t i = 0; i < 10; ++i) {
        BOOST_TEST(outcomes[i] == "keyspace_not_found", keyspace.name() << " operation " << i);
      }
      BOOST_TEST(outcomes.back() == "ok");
    }
  }
  BOOST_TEST(db.contents().empty());
}

BOOST_AUTO_TEST_CASE(a_finished_transaction_says_so_to_everything) {
  TempDatabase db;
  db.put("x", "1");
  for (const char* end : {"commit", "rollback", "error"}) {
    Transaction txn = db.begin(Isolation::repeatable_read);
    must(txn.put(db.keyspace(), "x", "2"));
    if (end == std::string("commit")) {
      must(txn.commit());
    } else if (end == std::string("rollback")) {
      must(txn.rollback());
    } else {
      db.put("x", "9");
      BOOST_TEST(outcome(txn.commit()) == "write_conflict");
    }
    BOOST_TEST(!txn.active());
    for (const std::string& result : all_operations(txn, db.keyspace(), "x")) {
      BOOST_TEST(result == "transaction_finished");
    }
    must(txn.rollback());  // acknowledges the end
    refused(txn.commit(), "transaction_finished", "ended");
  }
  BOOST_TEST(text(db.contents()) == "x=9");
}

BOOST_AUTO_TEST_CASE(a_scan_visitor_that_calls_its_transaction_is_refused) {
  TempDatabase db;
  db.put("a", "1");
  Transaction txn = db.begin();
  must(txn.put(db.keyspace(), "own", "1"));
  std::vector<std::string> results;
  must(txn.scan(db.keyspace(), KeyRange::all(), [&](std::string_view, std::string_view) {
    results = all_operations(txn, db.keyspace(), "a");
    results.push_back(outcome(txn.rollback()));
    return false;
  }));
  BOOST_TEST(results.size() == 16u);
  for (const std::string& result : results) BOOST_TEST(result == "invalid_argument");
  BOOST_TEST(txn.active());
  must(txn.commit());
  BOOST_TEST(text(db.contents()) == "a=1 own=1");
}

#ifdef ISOLDE_YIELD_POINTS
BOOST_AUTO_TEST_CASE(a_transaction_used_by_two_threads_at_once_refuses_the_second) {
  for (const char* place : {"read: pending", "read: before lookup", "read: no chain"}) {
    TempDatabase db;
    db.put("a", "1");
    db.checkpoint();
    db.reclaim();
    Transaction txn = db.begin();
    std::string first;
    StopAt stop(place, [&] { first = outcome(txn.get(db.keyspace(), "a")); });
    BOOST_TEST(stop.reached());
    for (const std::string& result : all_operations(txn, db.keyspace(), "b")) {
      BOOST_TEST(result == "invalid_argument");
    }
    refused(txn.put(db.keyspace(), "b", "1"), "invalid_argument", "two threads");
    stop.finish();
    BOOST_TEST(first == "ok");
    must(txn.put(db.keyspace(), "c", "1"));
    must(txn.commit());
    BOOST_TEST(text(db.contents()) == "a=1 c=1");
  }
}

// During its commit a transaction belongs to that: whoever comes in between changes nothing.
BOOST_AUTO_TEST_CASE(a_second_thread_gets_nothing_into_a_transaction_that_commits) {
  for (const char* place :
       {"commit: no chain", "commit: base image fetched", "commit: before critical section",
        "commit: visible", "commit: before private copies go", "log: persisting"}) {
    TempDatabase db;
    Transaction txn = db.begin();
    must(txn.put(db.keyspace(), "a", "1"));
    std::string committed;
    StopAt stop(place, [&] { committed = outcome(txn.commit()); });
    BOOST_TEST(stop.reached(), place);
    const std::string intruded = outcome(txn.put(db.keyspace(), "b", "2"));
    BOOST_TEST((intruded == "invalid_argument" || intruded == "transaction_finished"), intruded);
    stop.finish();
    BOOST_TEST(committed == "ok");
    BOOST_TEST(text(db.contents()) == "a=1");
  }
}
#endif

BOOST_AUTO_TEST_CASE(waiting_modes_mean_nothing_to_an_optimistic_transaction) {
  TempDatabase db;
  Transaction txn = db.begin();
  for (const LockWait mode : {LockWait::nowait, LockWait::skip_locked}) {
    refused(txn.get_for_update(db.keyspace(), "a", mode), "invalid_argument", "optimistic");
    refused(txn.get_for_share(db.keyspace(), "a", mode), "invalid_argument", "optimistic");
    ScanOptions options;
    options.mode = ReadMode::for_update;
    options.lock_wait = mode;
    refused(txn.scan(db.keyspace(), KeyRange::all(), options,
                     [](std::string_view, std::string_view) {}),
            "invalid_argument", "optimistic");
    refused(txn.cursor(db.keyspace(), KeyRange::all(), options), "invalid_argument", "optimistic");
  }
  BOOST_TEST(txn.active());
}

BOOST_AUTO_TEST_CASE(a_database_has_one_owner) {
  TempDatabase db;
  const auto second = Database::open(db.directory(), small_options());
  refused(second, "database_in_use", std::to_string(::getpid()));
  BOOST_TEST(second.error().message().find(db.directory().string()) != std::string::npos);
  db.put("a", "1");
}

BOOST_AUTO_TEST_CASE(a_read_only_database_reads_and_changes_nothing) {
  TempDatabase db;
  db.put("a", "1");
  db.checkpoint();
  db.put("b", "2");
  db.abandon();
  Options options = small_options();
  options.read_only = true;
  {
    Database reader = must(Database::open(db.directory(), options));
    const Keyspace ks = must(reader.find_keyspace("default"));
    Transaction txn = must(reader.begin());
    BOOST_TEST(text(contents(txn, ks)) == "a=1 b=2");
    refused(txn.put(ks, "c", "3"), "read_only", "read-only");
    refused(txn.erase(ks, "a"), "read_only", "read-only");
    refused(txn.insert(ks, "c", "3"), "read_only", "read-only");
    refused(txn.add(ks, "n", 3), "read_only", "read-only");
    refused(txn.add_and_get(ks, "n", 3), "read_only", "read-only");
    refused(txn.compare_and_set(ks, "a", "1", "2"), "read_only", "read-only");
    must(txn.commit());
    refused(reader.keyspace("new"), "read_only", "read-only");
    refused(reader.drop_keyspace("default"), "read_only", "read-only");
    refused(reader.checkpoint(), "read_only", "read-only");
    refused(reader.bulk_load(
                "new", []() -> Result<std::optional<Entry>> { return std::optional<Entry>{}; }),
            "read_only", "read-only");
    must(reader.keyspace("default"));
    must(reader.verify());
  }
  refused(Database::open(db.directory() / "none", options), "not_a_database", "none");
  db.open();
  BOOST_TEST(text(db.contents()) == "a=1 b=2");
}

BOOST_AUTO_TEST_CASE(a_database_that_must_exist_is_not_created) {
  TempDirectory directory;
  Options options = small_options();
  options.create_if_missing = false;
  const auto path = directory.path() / "missing";
  refused(Database::open(path, options), "not_a_database", "missing");
  BOOST_TEST(!std::filesystem::exists(path));
}

BOOST_AUTO_TEST_CASE(names_of_keyspaces_are_checked) {
  TempDatabase db;
  for (const std::string& name :
       {std::string(), std::string(256, 'n'), std::string("a\0b", 3), std::string("isolde:x")}) {
    const auto made = db->keyspace(name);
    refused(made, "invalid_argument", "keyspace name");
    BOOST_TEST(outcome(db->find_keyspace(name)) == "keyspace_not_found");
    BOOST_TEST(outcome(db->drop_keyspace(name)) == "keyspace_not_found");
  }
  must(db->keyspace(std::string(255, 'n')));
  must(db->keyspace("with space, \xff and \n"));
  BOOST_TEST(db->keyspaces().size() == 3u);
}

BOOST_AUTO_TEST_CASE(lock_timeouts_are_not_negative) {
  using std::chrono::milliseconds;
  TempDatabase db;
  TransactionOptions options;
  options.locking = Locking::pessimistic;
  options.lock_timeout = milliseconds(-1);
  refused(db->begin(options), "invalid_argument", "lock timeout");
  options.lock_timeout = milliseconds(0);
  Transaction txn = must(db->begin(options));
  refused(txn.set_lock_timeout(milliseconds(-1)), "invalid_argument", "lock timeout");
  refused(txn.get_for_update(db.keyspace(), "a", {LockWait::wait, milliseconds(-1)}),
          "invalid_argument", "lock timeout");
  ScanOptions scan;
  scan.lock_timeout = milliseconds(-1);
  refused(txn.cursor(db.keyspace(), KeyRange::all(), scan), "invalid_argument", "lock timeout");
  must(txn.set_lock_timeout(no_lock_timeout));
  must(txn.put(db.keyspace(), "a", "1"));
}

BOOST_AUTO_TEST_CASE(skip_locked_is_refused_at_serializable) {
  TempDatabase db;
  TransactionOptions options;
  options.locking = Locking::pessimistic;
  options.isolation = Isolation::serializable;
  Transaction txn = must(db->begin(options));
  refused(txn.get_for_update(db.keyspace(), "a", LockWait::skip_locked), "invalid_argument",
          "serializable");
  ScanOptions scan;
  scan.mode = ReadMode::for_update;
  scan.lock_wait = LockWait::skip_locked;
  refused(txn.cursor(db.keyspace(), KeyRange::all(), scan), "invalid_argument", "serializable");
}

BOOST_AUTO_TEST_CASE(a_savepoint_of_another_transaction_is_refused) {
  TempDatabase db;
  Transaction a = db.begin();
  Transaction b = db.begin();
  must(a.savepoint());
  const Savepoint second = must(a.savepoint());
  refused(b.rollback_to(second), "invalid_argument", "savepoint");
  refused(b.release(second), "invalid_argument", "savepoint");
  refused(a.rollback_to(Savepoint{}), "invalid_argument", "savepoint");
}

BOOST_AUTO_TEST_SUITE_END()
