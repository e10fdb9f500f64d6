// Keyspaces and bulk loads.
#include <algorithm>
#include <thread>

#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;

namespace {

Result<std::optional<Entry>> no_more() { return std::optional<Entry>{}; }

// Gives `count` entries with keys in order.
class Numbers {
 public:
  explicit Numbers(std::size_t count, std::size_t value_bytes = 10)
      : count_(count), value_(value_bytes, 'v') {}
  Result<std::optional<Entry>> operator()() {
    if (next_ == count_) return no_more();
    key_ = std::to_string(1'000'000 + next_++);
    return std::optional(Entry{key_, value_});
  }

 private:
  std::size_t count_;
  std::size_t next_ = 0;
  std::string key_;
  std::string value_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(keyspaces)

BOOST_AUTO_TEST_CASE(keyspaces_are_apart_listed_by_name_and_survive) {
  TempDatabase db;
  std::vector<Keyspace> made;
  for (int i = 0; i < 140; ++i) made.push_back(must(db->keyspace("ks" + std::to_string(1000 + i))));
  Transaction txn = db.begin();
  for (const Keyspace& keyspace : made) must(txn.put(keyspace, "k", keyspace.name()));
  must(txn.commit());
  for (int round = 0; round < 3; ++round) {
    BOOST_TEST(db->keyspaces().size() == 141u);
    for (const Keyspace& keyspace : db->keyspaces()) {
      if (keyspace.name() == "default") continue;
      BOOST_TEST(text(db.contents(keyspace)) == "k=" + keyspace.name());
    }
    const auto names = db->keyspaces();
    BOOST_TEST(std::is_sorted(names.begin(), names.end(),
                              [](const auto& a, const auto& b) { return a.name() < b.name(); }));
    if (round == 0) db.kill_and_reopen();
    if (round == 1) db.reopen();
  }
  BOOST_TEST((must(db->keyspace("ks1000")).id() == must(db->find_keyspace("ks1000")).id()));
  BOOST_TEST(outcome(db->find_keyspace("none")) == "keyspace_not_found");
}

BOOST_AUTO_TEST_CASE(there_are_no_more_keyspaces_than_the_options_allow) {
  Options options = small_options();
  options.max_keyspaces = 3;
  TempDatabase db(options);
  must(db->keyspace("one"));
  must(db->keyspace("two"));
  BOOST_TEST(outcome(db->keyspace("three")) == "invalid_argument");
  BOOST_TEST(outcome(db->bulk_load("three", Numbers(3))) == "invalid_argument");
  must(db->drop_keyspace("one"));
  const Keyspace three = must(db->keyspace("three"));
  Transaction txn = db.begin();
  must(txn.put(three, "a", "1"));
  must(txn.commit());
  db.checkpoint();
  BOOST_TEST(text(db.contents(three)) == "a=1");
}

BOOST_AUTO_TEST_CASE(a_dropped_keyspace_is_gone_and_a_new_one_of_its_name_is_empty) {
  TempDatabase db;
  for (const bool in_base : {false, true}) {
    const Keyspace old = must(db->keyspace("ks"));
    {
      Transaction txn = db.begin();
      must(txn.put(old, "a", "1"));
      must(txn.commit());
    }
    if (in_base) db.checkpoint();
    must(db->drop_keyspace("ks"));
    BOOST_TEST(outcome(db->find_keyspace("ks")) == "keyspace_not_found");
    BOOST_TEST(outcome(db->drop_keyspace("ks")) == "keyspace_not_found");
    {
      Transaction txn = db.begin();
      BOOST_TEST(outcome(txn.get(old, "a")) == "keyspace_not_found");
      BOOST_TEST(outcome(txn.put(old, "a", "1")) == "keyspace_not_found");
      const Keyspace fresh = must(db->keyspace("ks"));
      BOOST_TEST((fresh.id() != old.id()));
      Transaction reader = db.begin();
      BOOST_TEST(text(contents(reader, fresh)).empty());
      BOOST_TEST(outcome(reader.get(old, "a")) == "keyspace_not_found");
      must(reader.put(fresh, "b", "2"));
      must(reader.commit());
      must(txn.rollback());
    }
    db.kill_and_reopen();
    BOOST_TEST(text(db.contents(must(db->find_keyspace("ks")))) == "b=2");
    must(db->drop_keyspace("ks"));
  }
}

BOOST_AUTO_TEST_CASE(a_drop_waits_for_older_snapshots_and_names_the_oldest) {
  TempDatabase db;
  const Keyspace ks = must(db->keyspace("ks"));
  Transaction writer = db.begin();
  must(writer.put(ks, "a", "1"));
  must(writer.commit());
  Transaction reader = db.begin(Isolation::repeatable_read, "nightly report");
  BOOST_TEST(text(get(reader, ks, "a")) == "1");
  db.put("x", "1");
  const auto busy = db->drop_keyspace("ks", std::chrono::milliseconds(1));
  BOOST_TEST(outcome(busy) == "keyspace_busy");
  BOOST_TEST(busy.error().evidence().culprit->label == "nightly report");
  BOOST_TEST(busy.error().message().find("nightly report") != std::string::npos);
  BOOST_TEST(text(get(reader, ks, "a")) == "1");
  must(reader.commit());
  must(db->drop_keyspace("ks"));
}

BOOST_AUTO_TEST_CASE(a_write_into_a_keyspace_dropped_meanwhile_is_refused_at_commit) {
  TempDatabase db;
  const Keyspace ks = must(db->keyspace("ks"));
  Transaction txn = db.begin(Isolation::read_committed);
  const Savepoint before = must(txn.savepoint());
  must(txn.put(ks, "a", "1"));
  must(db->drop_keyspace("ks"));
  BOOST_TEST(outcome(txn.commit()) == "keyspace_not_found");
  BOOST_TEST(txn.active());
  must(txn.rollback_to(before));
  must(txn.put(db.keyspace(), "a", "1"));
  must(txn.commit());
  BOOST_TEST(text(db.contents()) == "a=1");
}

BOOST_AUTO_TEST_CASE(a_bulk_load_appears_whole) {
  TempDatabase db(quick_options());
  BOOST_TEST(must(db->bulk_load("big", Numbers(60'000, 300))) == 60'000u);
  const Keyspace big = must(db->find_keyspace("big"));
  BOOST_TEST(db.contents(big).size() == 60'000u);
  BOOST_TEST(must(db->bulk_load("empty", no_more)) == 0u);
  Transaction txn = db.begin();
  must(txn.erase(big, "1000000"));
  must(txn.commit());
  db.kill_and_reopen();
  BOOST_TEST(db.contents(must(db->find_keyspace("big"))).size() == 59'999u);
}

BOOST_AUTO_TEST_CASE(a_bulk_load_that_fails_leaves_nothing) {
  TempDatabase db;
  const auto load = [&](std::vector<std::string> keys) {
    std::size_t next = 0;
    return db->bulk_load("new", [&]() -> Result<std::optional<Entry>> {
      if (next == keys.size()) return no_more();
      return std::optional(Entry{keys[next++], "v"});
    });
  };
  BOOST_TEST(outcome(load({"b", "a"})) == "invalid_argument");
  BOOST_TEST(outcome(load({"a", "a"})) == "invalid_argument");
  BOOST_TEST(outcome(load({""})) == "key_empty");
  BOOST_TEST(outcome(load({std::string(512, 'k')})) == "key_too_long");
  const auto failing = db->bulk_load("new", []() -> Result<std::optional<Entry>> {
    return Error(ErrorCode::io_error, "the source broke");
  });
  BOOST_TEST(outcome(failing) == "io_error");
  const std::string large(max_value_bytes + 1, 'v');
  const auto too_large = db->bulk_load("new", [&]() -> Result<std::optional<Entry>> {
    return std::optional(Entry{"a", large});
  });
  BOOST_TEST(outcome(too_large) == "value_too_large");
  BOOST_TEST(outcome(db->find_keyspace("new")) == "keyspace_not_found");
  BOOST_TEST(must(load({"a", "b"})) == 2u);
  BOOST_TEST(outcome(load({"a", "b"})) == "already_exists");
  BOOST_TEST(outcome(db->bulk_load("isolde:x", no_more)) == "invalid_argument");
}

// A snapshot is one number: all commits up to it, none after; a load is a commit.
BOOST_AUTO_TEST_CASE(a_bulk_load_is_not_seen_by_older_snapshots) {
  TempDatabase db;
  db.put("a", "1");
  for (const Isolation level : {Isolation::repeatable_read, Isolation::serializable}) {
    Transaction old = db.begin(level);
    get(old, db.keyspace(), "a");
    const std::string fresh = "fresh at " + std::string(name(level));
    must(db->bulk_load(fresh, Numbers(3)));
    const Keyspace ks = must(db->find_keyspace(fresh));
    BOOST_TEST(text(get(old, ks, "1000000")) == "absent");
    BOOST_TEST(contents(old, ks).empty());
    must(old.commit());
    BOOST_TEST(db.contents(ks).size() == 3u);
  }
}

// T reads that the load is not there yet, and writes x. R, after the load, sees it and the old x.
// R is after the load, the load after T, T after R: one of them has to fail.
BOOST_AUTO_TEST_CASE(a_serializable_transaction_that_missed_a_bulk_load_does_not_commit) {
  TempDatabase db;
  db.put("x", "old");
  Transaction txn = db.begin(Isolation::serializable);
  get(txn, db.keyspace(), "y");
  must(db->bulk_load("fresh", Numbers(1)));
  const Keyspace fresh = must(db->find_keyspace("fresh"));
  const bool missed = text(get(txn, fresh, "1000000")) == "absent";
  must(txn.put(db.keyspace(), "x", "new"));
  Transaction reader = db.begin(Isolation::serializable);
  BOOST_TEST(text(get(reader, fresh, "1000000")) != "absent");
  BOOST_TEST(text(get(reader, db.keyspace(), "x")) == "old");
  must(reader.commit());
  BOOST_TEST(missed);
  BOOST_TEST(outcome(txn.commit()) == "serialization_failure");
}

// Commits that wait for a checkpoint, and a checkpoint that waits for the load, must not make the
// load wait for the checkpoint.
BOOST_AUTO_TEST_CASE(a_bulk_load_ends_while_the_log_is_full) {
  Options options = small_options();
  options.background_work = true;
  options.checkpoint_log_bytes = 20'000;
  TempDatabase db(options);
  std::size_t given = 0;
  const std::string value(30'000, 'v');
  std::vector<std::thread> writers;
  const auto loaded = db->bulk_load("new", [&]() -> Result<std::optional<Entry>> {
    if (given++ == 1) return no_more();
    // More than fits: the last of them waits until the load is over.
    for (int i = 0; i < 4; ++i) {
      writers.emplace_back([&] {
        TransactionOptions weak;
        weak.isolation = Isolation::read_committed;
        auto txn = db->begin(weak);
        static_cast<void>(txn->put(db.keyspace(), "a", value));
        static_cast<void>(txn->commit());
      });
    }
    while (db->stats().log_live_bytes < 4 * options.checkpoint_log_bytes) std::this_thread::yield();
    return std::optional(Entry{"k", "v"});
  });
  for (std::thread& writer : writers) writer.join();
  BOOST_TEST(must(loaded) == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
