// The public face of the database: transact, observers, figures, copies, options.

#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;

namespace {

TransactionOptions quick_retry(std::uint32_t attempts, std::string label = {}) {
  TransactionOptions options;
  options.label = std::move(label);
  options.retry.max_attempts = attempts;
  options.retry.base_delay = std::chrono::microseconds(1);
  options.retry.max_delay = std::chrono::microseconds(2);
  return options;
}

// Writes down every event as a line.
class Lines : public Observer {
 public:
  void on_begin(const EventTransaction& txn) override { add(txn, "begin"); }
  void on_read(const EventTransaction& txn, const ReadEvent& event) override {
    std::string line = "read " + std::string(event.key) + "=";
    line += event.version.value ? std::string(*event.version.value) : "absent";
    if (event.version.writer.value != 0) {
      line += " by T" + std::to_string(event.version.writer.value);
    }
    add(txn, line);
  }
  void on_scan(const EventTransaction& txn, const ScanEvent& event) override {
    add(txn, "scan " + event.observed.lower + ".." + event.observed.upper.value_or("") + " " +
                 std::to_string(event.yielded));
  }
  void on_write(const EventTransaction& txn, const WriteEvent& event) override {
    add(txn, "write " + std::string(event.key) + "=" +
                 (event.value ? std::string(*event.value) : "erased"));
  }
  void on_commit(const EventTransaction& txn, Timestamp at) override {
    add(txn, "commit");
    commits.push_back(at);
  }
  void on_abort(const EventTransaction& txn, const Error* cause) override {
    add(txn, "abort " + (cause != nullptr ? std::string(name(cause->code())) : "by the user"));
  }
  void on_attempt(const AttemptEvent& event) override {
    lines.push_back(std::string(event.label) + ": attempt " + std::to_string(event.attempt) + " " +
                    std::string(name(event.error.code())) +
                    (event.retrying ? " retrying" : " giving up"));
  }

  std::vector<std::string> lines;
  std::vector<Timestamp> commits;
  std::vector<TransactionId> ids;

 private:
  void add(const EventTransaction& txn, const std::string& line) {
    lines.push_back(std::string(txn.label) + ": " + line);
    ids.push_back(txn.id);
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(database)

BOOST_AUTO_TEST_CASE(transact_commits_and_returns_what_the_work_returned) {
  TempDatabase db;
  const Result<int> answer = db->transact([&](Transaction& txn) -> Result<int> {
    if (auto put = txn.put(db.keyspace(), "a", "1"); !put) return put.error();
    return 42;
  });
  BOOST_TEST(must(answer) == 42);
  BOOST_TEST(text(db.get("a")) == "1");
}

BOOST_AUTO_TEST_CASE(transact_runs_again_after_a_conflict_until_it_succeeds) {
  TempDatabase db;
  db.put("n", "0");
  int runs = 0;
  must(db->transact(quick_retry(10), [&](Transaction& txn) -> Result<void> {
    const std::string read = text(get(txn, db.keyspace(), "n"));
    if (++runs < 4) db.put("n", std::to_string(100 * runs));
    return txn.put(db.keyspace(), "n", read + "!");
  }));
  BOOST_TEST(runs == 4);
  BOOST_TEST(text(db.get("n")) == "300!");
  BOOST_TEST(db->stats().retries == 3u);
  BOOST_TEST(db->stats().aborted.at(ErrorCode::write_conflict) == 3u);
}

// Trap 6, first half.
BOOST_AUTO_TEST_CASE(transact_keeps_the_last_error_and_counts_the_attempts) {
  TempDatabase db;
  db.put("n", "0");
  int runs = 0;
  const Result<void> refused =
      db->transact(quick_retry(3, "hopeless"), [&](Transaction& txn) -> Result<void> {
        get(txn, db.keyspace(), "n");
        db.put("n", std::to_string(++runs));
        return txn.put(db.keyspace(), "n", "mine");
      });
  BOOST_TEST(runs == 3);
  BOOST_REQUIRE(!refused);
  BOOST_TEST(refused.error().code() == ErrorCode::write_conflict);
  const Evidence& evidence = refused.error().evidence();
  BOOST_TEST(evidence.attempts == 3u);
  BOOST_TEST(*evidence.key == "n");
  BOOST_TEST(evidence.self->label == "hopeless");
}

// Trap 6, second half.
BOOST_AUTO_TEST_CASE(transact_does_not_retry_what_cannot_succeed) {
  TempDatabase db;
  int runs = 0;
  const Result<void> refused = db->transact(quick_retry(10), [&](Transaction& txn) -> Result<void> {
    ++runs;
    must(txn.put(db.keyspace(), "a", "1"));
    return txn.put(db.keyspace(), "", "1");
  });
  BOOST_TEST(runs == 1);
  BOOST_TEST(outcome(refused) == "key_empty");
  BOOST_TEST(refused.error().evidence().attempts == 1u);
  BOOST_TEST(text(db.get("a")) == "absent");
}

BOOST_AUTO_TEST_CASE(transact_starts_no_attempt_after_its_time) {
  TempDatabase db;
  TransactionOptions options = quick_retry(1000);
  options.retry.max_time = std::chrono::milliseconds(0);
  int runs = 0;
  const Result<void> refused = db->transact(options, [&](Transaction& txn) -> Result<void> {
    ++runs;
    get(txn, db.keyspace(), "n");
    db.put("n", std::to_string(runs));
    return txn.put(db.keyspace(), "n", "mine");
  });
  BOOST_TEST(outcome(refused) == "write_conflict");
  BOOST_TEST(runs == 1);
}

BOOST_AUTO_TEST_CASE(transact_respects_a_transaction_that_the_work_ended) {
  TempDatabase db;
  must(db->transact([&](Transaction& txn) -> Result<void> {
    must(txn.put(db.keyspace(), "a", "1"));
    return txn.rollback();
  }));
  BOOST_TEST(text(db.get("a")) == "absent");
}

BOOST_AUTO_TEST_CASE(attempts_are_told_to_observers) {
  TempDatabase db;
  const auto lines = std::make_shared<Lines>();
  int runs = 0;
  std::string attempts;
  db->add_observer(lines);
  static_cast<void>(db->transact(quick_retry(2, "w"), [&](Transaction& txn) -> Result<void> {
    get(txn, db.keyspace(), "n");
    Transaction other = db.begin(Isolation::read_committed, "o");
    must(other.put(db.keyspace(), "n", std::to_string(++runs)));
    must(other.commit());
    return txn.put(db.keyspace(), "n", "mine");
  }));
  db->remove_observer(lines);
  for (const std::string& line : lines->lines) {
    if (line.find("attempt") != std::string::npos) attempts += line + "; ";
  }
  BOOST_TEST(attempts ==
             "w: attempt 1 write_conflict retrying; w: attempt 2 write_conflict giving up; ");
}

BOOST_AUTO_TEST_CASE(observers_hear_the_operations_of_a_transaction_in_their_order) {
  TempDatabase db;
  const Keyspace& ks = db.keyspace();
  db.put("a", "1");
  const auto lines = std::make_shared<Lines>();
  db->add_observer(lines);
  Transaction txn = db.begin(Isolation::serializable, "t");
  get(txn, ks, "a");
  must(txn.put(ks, "b", "2"));
  must(txn.erase(ks, "a"));
  contents(txn, ks);
  must(txn.add_and_get(ks, "n", 3));
  const Timestamp at = must(txn.commit());
  Transaction other = db.begin(Isolation::read_committed, "u");
  get(other, ks, "b");
  must(other.rollback());
  db->remove_observer(lines);
  db.put("c", "unheard");
  std::string told;
  for (const std::string& line : lines->lines) told += line + "\n";
  const std::string id = std::to_string(txn.id().value);
  const std::string expected =
      "t: begin\nt: read a=1 by T1\nt: write b=2\nt: write a=erased\nt: read b=2 by T" + id +
      "\nt: scan .. 1\nt: read n=absent\nt: write n=3\nt: commit\nu: begin\nu: read b=2 by T" + id +
      "\nu: abort by the user\n";
  BOOST_TEST(told == expected);
  BOOST_REQUIRE(lines->commits.size() == 1u);
  BOOST_TEST(lines->commits[0] == at);
  BOOST_TEST(lines->ids.front() == txn.id());
}

BOOST_AUTO_TEST_CASE(an_abort_tells_its_cause_once) {
  TempDatabase db;
  db.put("x", "1");
  const auto lines = std::make_shared<Lines>();
  Transaction txn = db.begin(Isolation::repeatable_read, "t");
  get(txn, db.keyspace(), "x");
  db.put("x", "2");
  must(txn.put(db.keyspace(), "x", "3"));
  db->add_observer(lines);
  BOOST_TEST(outcome(txn.commit()) == "write_conflict");
  must(txn.rollback());
  db->remove_observer(lines);
  BOOST_REQUIRE(lines->lines.size() == 1u);
  BOOST_TEST(lines->lines[0] == "t: abort write_conflict");
}

BOOST_AUTO_TEST_CASE(an_observer_may_use_the_database) {
  struct Auditor : Observer {
    explicit Auditor(TempDatabase& store) : db(store) {}
    void on_write(const EventTransaction& txn, const WriteEvent& event) override {
      if (txn.label == "audit") return;
      Transaction audit = db.begin(Isolation::read_committed, "audit");
      results.push_back(outcome(audit.put(db.keyspace(), "audit", event.key)));
      results.push_back(outcome(audit.commit()));
      results.push_back(outcome(db->checkpoint()));
    }
    TempDatabase& db;
    std::vector<std::string> results;
  };
  TempDatabase db;
  const auto auditor = std::make_shared<Auditor>(db);
  db->add_observer(auditor);
  db.put("a", "1");
  db->remove_observer(auditor);
  BOOST_REQUIRE(auditor->results.size() == 3u);
  for (const std::string& result : auditor->results) BOOST_TEST(result == "ok");
  BOOST_TEST(text(db.contents()) == "a=1 audit=a");
}

BOOST_AUTO_TEST_CASE(figures_count_what_happened) {
  TempDatabase db;
  const Stats before = db->stats();
  const Timestamp at = db.put("a", "1");
  Transaction reader = db.begin(Isolation::repeatable_read, "long report");
  get(reader, db.keyspace(), "a");
  db.put("a", "2");
  db.put("a", "3");
  const Stats during = db->stats();
  BOOST_REQUIRE(during.snapshots.size() == 1u);
  BOOST_TEST(during.snapshots[0].label == "long report");
  BOOST_TEST(during.snapshots[0].snapshot == at);
  BOOST_TEST(during.snapshots[0].versions_behind == 2u);
  BOOST_TEST(during.old_version_bytes > 0u);
  BOOST_TEST(during.chains == 1u);
  BOOST_TEST(during.versions == 4u);  // with what the base had: nothing
  must(reader.commit());
  {
    Transaction aborted = db.begin();
    must(aborted.put(db.keyspace(), "a", "4"));
    must(aborted.rollback());
  }
  const Stats after = db->stats();
  BOOST_TEST(after.begun - before.begun == 5u);
  BOOST_TEST(after.committed - before.committed == 4u);
  BOOST_TEST(after.committed_writing - before.committed_writing == 3u);
  BOOST_TEST(after.rolled_back - before.rolled_back == 1u);
  BOOST_TEST(after.commit_latency.count - before.commit_latency.count == 3u);
  BOOST_TEST(after.visible == after.durable);
  BOOST_TEST(after.log_syncs > before.log_syncs);
  BOOST_TEST(after.checkpoint < after.visible);
  db.checkpoint();
  BOOST_TEST(db->stats().checkpoint == after.visible);
  BOOST_TEST(db->stats().checkpoints == 1u);
  BOOST_TEST(db->stats().log_live_bytes == 0u);
}

BOOST_AUTO_TEST_CASE(a_histogram_bounds_its_quantiles) {
  LatencyHistogram histogram;
  BOOST_TEST(histogram.quantile(0.5).count() == 0);
  for (int i = 1; i <= 100; ++i) histogram.record(std::chrono::microseconds(i));
  BOOST_TEST(histogram.count == 100u);
  BOOST_TEST(histogram.quantile(0.5) >= std::chrono::microseconds(50));
  BOOST_TEST(histogram.quantile(0.5) <= std::chrono::microseconds(100));
  BOOST_TEST((histogram.quantile(1) == std::chrono::microseconds(100)));
  BOOST_TEST((histogram.maximum == std::chrono::microseconds(100)));
}

BOOST_AUTO_TEST_CASE(a_backup_is_a_database_of_its_own) {
  TempDatabase db;
  const Keyspace other = must(db->keyspace("other"));
  db.put("in the base", "1");
  db.checkpoint();
  db.put("in the log", "2");
  Transaction open = db.begin();
  must(open.put(db.keyspace(), "private", "3"));
  const std::filesystem::path copy = db.directory().parent_path() / "copy";
  must(db->backup(copy));
  BOOST_TEST(outcome(db->backup(copy)) == "already_exists");
  must(open.commit());
  {
    Database second = must(Database::open(copy, small_options()));
    {
      Transaction txn = must(second.begin());
      BOOST_TEST(text(contents(txn, must(second.find_keyspace("default")))) ==
                 "in the base=1 in the log=2");
      must(second.find_keyspace("other"));
      must(txn.put(must(second.find_keyspace("default")), "more", "1"));
      must(txn.commit());
    }
    must(second.verify());
    must(second.close());
  }
  BOOST_TEST(text(db.contents()) == "in the base=1 in the log=2 private=3");
}

BOOST_AUTO_TEST_CASE(a_backup_has_what_was_acknowledged_before_it_was_durable) {
  Options options = small_options();
  options.durability = Durability::periodic(std::chrono::hours(1));
  TempDatabase db(options);
  db.put("a", "1");
  db.checkpoint();
  db.put("b", "2");
  const std::filesystem::path copy = db.directory().parent_path() / "copy";
  must(db->backup(copy));
  Database second = must(Database::open(copy, small_options()));
  Transaction check = must(second.begin());
  BOOST_TEST(text(contents(check, must(second.find_keyspace("default")))) == "a=1 b=2");
  must(check.commit());
}

// Complete, or failed: what is in the log only can't be copied by one who must not write.
BOOST_AUTO_TEST_CASE(a_backup_of_a_database_opened_read_only_is_complete_or_refused) {
  TempDatabase db;
  db.put("a", "1");
  db.checkpoint();
  db.put("b", "2");
  db.abandon();
  const std::filesystem::path copy = db.directory().parent_path() / "copy";
  Options options = small_options();
  options.read_only = true;
  {
    Database reader = must(Database::open(db.directory(), options));
    Transaction txn = must(reader.begin());
    BOOST_TEST(text(contents(txn, must(reader.find_keyspace("default")))) == "a=1 b=2");
    must(txn.commit());
    if (reader.backup(copy)) {
      Database second = must(Database::open(copy, small_options()));
      Transaction check = must(second.begin());
      BOOST_TEST(text(contents(check, must(second.find_keyspace("default")))) == "a=1 b=2");
    } else {
      BOOST_TEST(!std::filesystem::exists(copy / "data.mdb"));
    }
  }
  db.open();
}

BOOST_AUTO_TEST_CASE(verify_counts_what_it_found_sound) {
  TempDatabase db;
  db.put("a", "1");
  db.put("b", "22");
  db.checkpoint();
  db.put("c", "3");
  const VerifyReport report = must(db->verify());
  BOOST_TEST(report.keyspaces == 1u);
  BOOST_TEST(report.keys == 2u);
  BOOST_TEST(report.bytes == 5u);
  BOOST_TEST(report.log_commits >= 1u);
  BOOST_TEST(report.checkpoint == db->stats().checkpoint);
}

BOOST_AUTO_TEST_CASE(options_that_make_no_sense_are_refused_by_name) {
  TempDirectory directory;
  const auto refused = [&](void (*change)(Options&), const std::string& named) {
    Options options = small_options();
    change(options);
    const auto opened = Database::open(directory.path() / "db", options);
    BOOST_TEST(outcome(opened) == "invalid_argument", named);
    if (!opened) {
      BOOST_TEST(opened.error().message().find(named) != std::string::npos,
                 opened.error().message());
    }
    BOOST_TEST(!std::filesystem::exists(directory.path() / "db"));
  };
  refused([](Options& o) { o.durability = Durability::periodic(std::chrono::milliseconds(0)); },
          "durability");
  refused([](Options& o) { o.log_segment_bytes = 100; }, "log_segment_bytes");
  refused([](Options& o) { o.max_keyspaces = 0; }, "max_keyspaces");
  refused([](Options& o) { o.checkpoint_log_bytes = 0; }, "checkpoint_log_bytes");
  refused([](Options& o) { o.max_transaction_bytes = 0; }, "max_transaction_bytes");
}

// Only a transaction that has not ended keeps a database from being closed.
BOOST_AUTO_TEST_CASE(a_handle_of_an_ended_transaction_may_outlive_its_database) {
  TempDatabase db;
  db.put("a", "1");
  Transaction committed = db.begin();
  must(committed.put(db.keyspace(), "a", "2"));
  must(committed.commit());
  Transaction read = db.begin(Isolation::serializable, "a report");
  get(read, db.keyspace(), "a");
  must(read.rollback());
  const TransactionId id = committed.id();
  db.close();
  BOOST_TEST(committed.id() == id);
  BOOST_TEST(!read.active());
  BOOST_TEST(read.label() == "a report");
  BOOST_TEST(outcome(read.get(db.keyspace(), "a")) == "transaction_finished");
  BOOST_TEST(outcome(committed.commit()) == "transaction_finished");
  must(committed.rollback());
  db.open();
  Transaction fresh = db.begin();
  BOOST_TEST(text(get(fresh, db.keyspace(), "a")) == "2");
  read = std::move(fresh);
  must(read.commit());
}

BOOST_AUTO_TEST_CASE(an_initial_map_of_any_size_grows_by_itself) {
  Options options = quick_options();
  options.initial_map_bytes = 1;
  TempDatabase db(options);
  const std::string value(2000, 'v');
  for (int round = 0; round < 4; ++round) {
    Transaction txn = db.begin();
    for (int i = 0; i < 500; ++i) {
      must(txn.put(db.keyspace(), std::to_string(round * 500 + i), value));
    }
    must(txn.commit());
    db.checkpoint();
  }
  BOOST_TEST(db.contents().size() == 2000u);
}

BOOST_AUTO_TEST_SUITE_END()
