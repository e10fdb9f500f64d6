// The traps that other stores fell into (docs: the design's list), each a test by name.
#include "tests/mvcc/phenomena.h"
#include "tests/support/stop_at.h"

using namespace isolde;
using namespace isolde::test;
using namespace isolde::test::steps;

namespace {

// One serializable transaction scans, then writes elsewhere; meanwhile `change` commits.
std::string scan_then_commit(TempDatabase& db, const KeyRange& range, const ScanOptions& options,
                             std::size_t stop_after, const std::function<void()>& change) {
  Transaction txn = db.begin(Isolation::serializable);
  std::size_t seen = 0;
  must(txn.scan(db.keyspace(), range, options,
                [&](std::string_view, std::string_view) { return ++seen < stop_after; }));
  change();
  must(txn.put(db.keyspace(), "zzz", "relied on it"));
  return outcome(txn.commit());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(traps)

BOOST_AUTO_TEST_CASE(trap_1_an_absent_key_and_an_empty_range_are_reads) {
  TempDatabase db(quick_options());
  const std::vector<Step> looks{get("absent"), scan(KeyRange::prefix("p/")),
                                next(KeyRange::prefix("p/"))};
  for (const Step& look : looks) {
    const Schedule schedule{{},
                            {{look, put("absent", "a"), put("p/a", "a"), commit()},
                             {look, put("absent", "b"), put("p/b", "b"), commit()}}};
    const std::vector<TransactionOptions> options(2, at(Isolation::serializable));
    std::size_t both = 0;
    std::size_t one = 0;
    explore(db, schedule, options, [&](const Run& run) {
      const bool nothing = (run[0][0] == "absent" || run[0][0].empty()) &&
                           (run[1][0] == "absent" || run[1][0].empty());
      if (nothing) ++(run.all_committed() ? both : one);
      return false;
    });
    BOOST_TEST(both == 0u);
    BOOST_TEST(one > 0u);
  }
}

BOOST_AUTO_TEST_CASE(trap_2_a_scan_has_read_what_it_observed_not_what_it_yielded) {
  for (const bool in_base : {false, true}) {
    TempDatabase db(quick_options());
    const auto reset = [&] {
      for (const auto& [key, value] : db.contents()) db.erase(key);
      for (const char* key : {"b", "d", "f", "h"}) db.put(key, "1");
      if (in_base) db.checkpoint();
      if (in_base) db.reclaim();
    };
    struct Case {
      const char* why;
      KeyRange range;
      ScanOptions options;
      std::size_t stop_after;
      const char* changed;
      bool conflicts;
    };
    const std::size_t never = ~std::size_t{0};
    ScanOptions limited;
    limited.limit = 2;
    ScanOptions exhausted;
    exhausted.limit = 9;
    ScanOptions backwards;
    backwards.reverse = true;
    backwards.limit = 2;
    const std::vector<Case> cases{
        {"before the first", KeyRange::all(), {}, never, "a", true},
        {"between two", KeyRange::all(), {}, never, "c", true},
        {"past the last, up to the bound", KeyRange::between("b", "m"), {}, never, "k", true},
        {"past the bound", KeyRange::between("b", "m"), {}, never, "m", false},
        {"in what a limit left out", KeyRange::all(), limited, never, "e", false},
        {"the entry after the last one", KeyRange::all(), limited, never, "f", false},
        {"the last one returned", KeyRange::all(), limited, never, "d", true},
        {"just after the last one returned", KeyRange::all(), limited, never, "d0", false},
        {"a limit that was not reached", KeyRange::all(), exhausted, never, "x", true},
        {"past where the visitor stopped", KeyRange::all(), {}, 1, "c", false},
        {"where the visitor stopped", KeyRange::all(), {}, 1, "b", true},
        {"backwards: above the first", KeyRange::all(), backwards, never, "x", true},
        {"backwards: the last one returned", KeyRange::all(), backwards, never, "f", true},
        {"backwards: below it", KeyRange::all(), backwards, never, "e", false},
    };
    for (const Case& c : cases) {
      for (const bool vanish : {false, true}) {
        reset();
        // A key that is not there can't vanish; its tombstone is a version all the same.
        const std::string result = scan_then_commit(db, c.range, c.options, c.stop_after, [&] {
          if (vanish) {
            db.erase(c.changed);
          } else {
            db.put(c.changed, "2");
          }
        });
        BOOST_TEST(result == (c.conflicts ? "serialization_failure" : "ok"),
                   c.why << (vanish ? ", erased" : ", written") << ": " << result);
      }
    }
  }
}

// A visitor that leaves by an exception has seen what it has seen.
BOOST_AUTO_TEST_CASE(trap_2_a_scan_that_ends_by_an_exception_has_read_too) {
  TempDatabase db;
  db.put("a", "1");
  Transaction txn = db.begin(Isolation::serializable);
  struct Enough {};
  BOOST_CHECK_THROW(static_cast<void>(txn.scan(
                        db.keyspace(), KeyRange::all(),
                        [](std::string_view, std::string_view) -> bool { throw Enough{}; })),
                    Enough);
  db.put("a", "2");
  must(txn.put(db.keyspace(), "b", "saw a=1"));
  BOOST_TEST(outcome(txn.commit()) == "serialization_failure");
}

#ifdef ISOLDE_YIELD_POINTS

// Whatever the second does while the first stands between two steps of its commit, one of the two
// has to fail.
BOOST_AUTO_TEST_CASE(trap_3_a_write_that_lands_between_validation_and_installation_is_noticed) {
  for (const char* place :
       {"commit: no chain", "commit: base image fetched", "commit: validated outside",
        "commit: before critical section", "commit: validated", "commit: one installed",
        "commit: installed", "commit: visible"}) {
    for (const bool by_range : {false, true}) {
      TempDatabase db;
      db.put("x", "10");
      db.put("y", "20");
      db.checkpoint();
      db.reclaim();
      const auto look = [&](Transaction& txn, const char* key) {
        if (by_range) {
          must(txn.scan(db.keyspace(), KeyRange::prefix(key),
                        [](std::string_view, std::string_view) {}));
        } else {
          must(txn.get(db.keyspace(), key));
        }
      };
      Transaction first = db.begin(Isolation::serializable);
      look(first, "y");
      must(first.put(db.keyspace(), "x", "11"));
      Transaction second = db.begin(Isolation::serializable);
      look(second, "x");
      must(second.put(db.keyspace(), "y", "21"));
      std::string first_outcome;
      std::string second_outcome;
      StopAt stop(place, [&] { first_outcome = outcome(first.commit()); });
      const bool stood = stop.reached();
      // "validated outside" is passed only by those who read ranges.
      BOOST_TEST((stood || (!by_range && place == std::string("commit: validated outside"))),
                 place);
      std::thread other([&] { second_outcome = outcome(second.commit()); });
      const bool inside = std::string_view(place) != "commit: no chain" &&
                          std::string_view(place) != "commit: base image fetched" &&
                          std::string_view(place) != "commit: validated outside" &&
                          std::string_view(place) != "commit: before critical section";
      // Inside the critical section the second can only wait; outside it goes first.
      if (inside) stop.release();
      other.join();
      stop.finish();
      const bool one_failed = (first_outcome == "ok") != (second_outcome == "ok");
      BOOST_TEST(one_failed, place << ": " << first_outcome << ", " << second_outcome);
      BOOST_TEST(
          (first_outcome == "serialization_failure" || second_outcome == "serialization_failure"));
    }
  }
}

// The base has the key; a reader at the older snapshot stands where it has found no chain.
BOOST_AUTO_TEST_CASE(trap_7_a_reader_without_a_chain_is_not_overtaken_by_install_and_checkpoint) {
  for (const char* place : {"read: pending", "read: view open", "read: visible read",
                            "read: published", "read: before lookup", "read: no chain"}) {
    for (const bool erased_at_first : {false, true}) {
      TempDatabase db;
      const char* key = erased_at_first ? "none" : "k";
      db.put("k", "old");
      db.checkpoint();
      db.reclaim();
      BOOST_TEST(db->stats().chains == 0u);
      Transaction reader = db.begin();
      std::string seen;
      std::uint64_t snapshot = 0;
      StopAt stop(place, [&] {
        const auto read = reader.get(db.keyspace(), key);
        seen = !read ? outcome(read) : *read ? std::string(**read) : "absent";
        snapshot = reader.snapshot().value_or(Timestamp{}).value;
      });
      const bool stood = stop.reached();
      const std::uint64_t before = db->stats().visible.value;
      for (int round = 0; round < 2; ++round) {
        db.put(key, "new");
        db.checkpoint();
        db.reclaim();
        db.erase(key);
        db.checkpoint();
        db.reclaim();
      }
      stop.finish();
      if (snapshot == before) {
        BOOST_TEST(seen == (erased_at_first ? "absent" : "old"), place << ": " << seen);
      } else {
        BOOST_TEST(seen == "absent", place << ": " << seen);
      }
      BOOST_TEST((stood || std::string_view(place) == "read: view open"));
      must(reader.commit());
    }
  }
}

#endif

// Fekete, O'Neil, O'Neil 2004. Without the reader the two others are serializable.
BOOST_AUTO_TEST_CASE(trap_4_a_read_only_transaction_can_make_a_history_unserializable) {
  for (const bool with_statement : {false, true}) {
    TempDatabase db;
    const Keyspace& ks = db.keyspace();
    db.put("savings", "0");
    db.put("checking", "0");
    Transaction withdrawal = db.begin(Isolation::serializable, "withdrawal");
    get(withdrawal, ks, "savings");
    get(withdrawal, ks, "checking");
    Transaction deposit = db.begin(Isolation::serializable, "deposit");
    get(deposit, ks, "savings");
    must(deposit.put(ks, "savings", "20"));
    must(deposit.commit());
    if (with_statement) {
      Transaction statement = db.begin(Isolation::serializable, "statement");
      BOOST_TEST(text(get(statement, ks, "savings")) == "20");
      BOOST_TEST(text(get(statement, ks, "checking")) == "0");
      must(statement.commit());
    }
    must(withdrawal.put(ks, "checking", "-11"));
    BOOST_TEST(outcome(withdrawal.commit()) == "serialization_failure");
  }
}

BOOST_AUTO_TEST_CASE(trap_6_a_retry_loop_keeps_the_last_error_and_retries_only_what_can_succeed) {
  TempDatabase db;
  TransactionOptions options;
  options.retry.base_delay = std::chrono::microseconds(0);
  options.retry.max_attempts = 4;
  int runs = 0;
  // The kind of the error changes from attempt to attempt: the last one counts.
  const Result<void> mixed = db->transact(options, [&](Transaction& txn) -> Result<void> {
    if (++runs == 4) return txn.put(db.keyspace(), std::string(600, 'k'), "1");
    get(txn, db.keyspace(), "n");
    db.put("n", std::to_string(runs));
    return txn.put(db.keyspace(), "n", "mine");
  });
  BOOST_TEST(runs == 4);
  BOOST_TEST(outcome(mixed) == "key_too_long");
  BOOST_TEST(mixed.error().evidence().attempts == 4u);
  runs = 0;
  const Result<void> hopeless = db->transact(options, [&](Transaction& txn) -> Result<void> {
    ++runs;
    db.put("taken", "1");
    return txn.insert(db.keyspace(), "taken", "2");
  });
  BOOST_TEST(runs == 1);
  BOOST_TEST(outcome(hopeless) == "already_exists");
}

BOOST_AUTO_TEST_CASE(trap_8_a_key_set_to_what_it_was_is_changed) {
  TempDatabase db;
  for (const Isolation level : {Isolation::repeatable_read, Isolation::serializable}) {
    for (const bool through_another_value : {false, true}) {
      db.put("x", "same");
      Transaction txn = db.begin(level);
      get(txn, db.keyspace(), "x");
      if (through_another_value) db.put("x", "other");
      db.put("x", "same");
      must(txn.put(db.keyspace(), "x", "mine"));
      BOOST_TEST(!txn.commit());
    }
  }
  // The same for what was absent, and is absent again.
  Transaction txn = db.begin(Isolation::serializable);
  get(txn, db.keyspace(), "ghost");
  db.put("ghost", "1");
  db.erase("ghost");
  must(txn.put(db.keyspace(), "y", "1"));
  BOOST_TEST(outcome(txn.commit()) == "serialization_failure");
}

BOOST_AUTO_TEST_CASE(trap_9_a_conflict_names_key_range_culprit_and_versions_in_a_sentence) {
  TempDatabase db;
  Transaction txn = db.begin(Isolation::serializable, "audit");
  must(txn.scan(db.keyspace(), KeyRange::between("a", "m"),
                [](std::string_view, std::string_view) {}));
  must(txn.put(db.keyspace(), "total", "0"));
  Transaction writer = db.begin(Isolation::read_committed, "transfer");
  must(writer.put(db.keyspace(), "k\x01", "1"));
  const Timestamp at = must(writer.commit());
  const auto refused = txn.commit();
  BOOST_REQUIRE(!refused);
  const Evidence& evidence = refused.error().evidence();
  BOOST_TEST(evidence.keyspace == "default");
  BOOST_TEST(*evidence.key == "k\x01");
  BOOST_REQUIRE(evidence.range);
  BOOST_TEST(evidence.range->lower == "a");
  BOOST_TEST(*evidence.range->upper == "m");
  BOOST_TEST(evidence.self->label == "audit");
  BOOST_TEST(evidence.culprit->label == "transfer");
  BOOST_TEST(evidence.culprit->id == writer.id());
  BOOST_TEST(*evidence.conflict == at);
  BOOST_TEST(*evidence.snapshot < at);
  const std::string& message = refused.error().message();
  for (const char* part : {"audit", "transfer", "k\\x01", "range", "default"}) {
    BOOST_TEST(message.find(part) != std::string::npos, message);
  }
}

// Private writes lie on top; the committed version below is what a reader conflicts with.
BOOST_AUTO_TEST_CASE(trap_11_a_private_write_hides_no_conflict_from_who_read_below_it) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  {
    db.put("x", "1");
    Transaction txn = db.begin(Isolation::serializable);
    get(txn, ks, "x");
    must(txn.put(ks, "x", "mine"));  // its own private version over what it read
    get(txn, ks, "x");
    Transaction bystander = db.begin();
    must(bystander.put(ks, "x", "theirs"));  // another's, never committed
    db.put("x", "2");
    BOOST_TEST(outcome(txn.commit()) == "serialization_failure");
    must(bystander.rollback());
  }
  // In a scan, own writes in the range hide nothing either.
  Transaction txn = db.begin(Isolation::serializable);
  must(txn.put(ks, "x", "mine"));
  must(txn.scan(ks, KeyRange::all(), [](std::string_view, std::string_view) {}));
  db.put("x", "3");
  BOOST_TEST(outcome(txn.commit()) == "serialization_failure");
}

BOOST_AUTO_TEST_SUITE_END()
