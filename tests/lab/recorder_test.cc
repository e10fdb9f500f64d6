// The recorder, on the real engine.
#include "lab/history/recorder.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <memory>
#include <string>

#include "lab/check/checker.h"
#include "tests/support/temp_database.h"

namespace isolde::lab {
namespace {

using isolde::test::must;
using isolde::test::TempDatabase;

struct Recording {
  TempDatabase database;
  std::shared_ptr<Recorder> recorder = std::make_shared<Recorder>();

  Recording() { database->add_observer(recorder); }
  const Keyspace& keyspace() const { return database.keyspace(); }
};

std::string names(const Verdict& verdict) {
  std::string text;
  for (const Phenomenon phenomenon : verdict.phenomena()) {
    text += (text.empty() ? "" : " ") + std::string(name(phenomenon));
  }
  return text;
}

BOOST_AUTO_TEST_SUITE(recorder)

BOOST_AUTO_TEST_CASE(a_scan_that_skips_what_is_locked_claims_nothing_about_it) {
  Recording run;
  run.database.put("job/1", "ready");
  run.database.put("job/2", "ready");
  const TransactionOptions worker{.isolation = Isolation::read_committed,
                                  .locking = Locking::pessimistic};
  auto a = must(run.database->begin(worker));
  auto b = must(run.database->begin(worker));
  ScanOptions take;
  take.limit = 1;
  take.mode = ReadMode::for_update;
  take.lock_wait = LockWait::skip_locked;
  std::string taken;
  const auto note = [&taken](std::string_view key, std::string_view) {
    taken += std::string(key) + ' ';
  };
  must(a.scan(run.keyspace(), KeyRange::all(), take, note));
  must(b.scan(run.keyspace(), KeyRange::all(), take, note));
  BOOST_TEST(taken == "job/1 job/2 ");
  must(a.erase(run.keyspace(), "job/1"));
  must(b.erase(run.keyspace(), "job/2"));
  must(a.commit());
  must(b.commit());
  // B did not see job/1, but not because it was not there.
  const Verdict verdict = check(run.recorder->history());
  BOOST_TEST(names(verdict) == "");
  BOOST_TEST(verdict.broken_promises.empty());
  BOOST_TEST(verdict.strictly_serializable);
}

// The scan has looked before the eraser rolls back, but is told of afterwards: from the order of
// the events alone it would seem to have missed b for no reason.
BOOST_AUTO_TEST_CASE(a_dirty_scan_tells_whose_erase_hid_a_key_from_it) {
  Recording run;
  run.database.put("a", "1");
  run.database.put("b", "1");
  for (const bool through_cursor : {false, true}) {
    run.recorder->clear();
    run.database.put("b", "2");
    auto eraser = run.database.begin(Isolation::read_committed);
    must(eraser.erase(run.keyspace(), "b"));
    auto reader = run.database.begin(Isolation::read_uncommitted);
    std::string seen;
    if (through_cursor) {
      auto cursor = must(reader.cursor(run.keyspace(), KeyRange::all()));
      must(eraser.rollback());
      while (const auto entry = must(cursor.next())) seen += entry->key;
    } else {
      must(reader.scan(run.keyspace(), KeyRange::all(), {},
                       [&](std::string_view key, std::string_view) {
                         seen += key;
                         must(eraser.rollback());
                       }));
    }
    must(reader.commit());
    BOOST_TEST(seen == "a");
    const Verdict verdict = check(run.recorder->history());
    BOOST_TEST(names(verdict) == "aborted-read");
    BOOST_TEST(verdict.broken_promises.empty());
  }
}

// Looks at each write before the recorder hears of it.
class DirtyReader : public Observer {
 public:
  explicit DirtyReader(isolde::test::TempDatabase& database) : database_(database) {}
  void on_write(const EventTransaction&, const WriteEvent& event) override {
    auto reader = database_->begin({.isolation = Isolation::read_uncommitted});
    const auto seen = reader->get(database_.keyspace(), event.key);
    values += seen && *seen ? std::string(**seen) : "absent";
    static_cast<void>(reader->commit());
  }
  std::string values;

 private:
  isolde::test::TempDatabase& database_;
};

// It must not pass for a second write of its own, one that was never undone.
BOOST_AUTO_TEST_CASE(a_dirty_read_may_be_told_before_the_write_that_it_saw) {
  isolde::test::TempDatabase database;
  database.put("a", "1");
  const auto reader = std::make_shared<DirtyReader>(database);
  const auto recorder = std::make_shared<Recorder>();
  database->add_observer(reader);
  database->add_observer(recorder);
  auto writer = database.begin(Isolation::read_committed);
  const Savepoint mark = must(writer.savepoint());
  must(writer.put(database.keyspace(), "a", "2"));
  must(writer.rollback_to(mark));
  must(writer.put(database.keyspace(), "b", "3"));
  must(writer.commit());
  BOOST_TEST(reader->values == "23");
  database->remove_observer(recorder);
  BOOST_TEST(isolde::test::text(database.get("a")) == "1");
  const History history = recorder->history();
  BOOST_REQUIRE_EQUAL(history.transactions.size(), 3U);
  BOOST_TEST(names(check(history)) == "intermediate-read");
  for (const HistoryTransaction& transaction : history.transactions) {
    const bool wrote = std::any_of(
        transaction.operations.begin(), transaction.operations.end(),
        [](const auto& operation) { return operation.kind == HistoryOperation::Kind::write; });
    BOOST_TEST((!wrote || transaction.operations.size() == 3));  // two writes, one undone
  }
}

BOOST_AUTO_TEST_CASE(a_lost_update_at_read_committed_is_recorded_and_named) {
  Recording run;
  run.database.put("x", "1");
  auto a = run.database.begin(Isolation::read_committed, "a");
  auto b = run.database.begin(Isolation::read_committed, "b");
  run.recorder->set_session(a.id(), "A");
  must(a.get(run.keyspace(), "x"));
  must(b.get(run.keyspace(), "x"));
  must(a.put(run.keyspace(), "x", "2"));
  must(a.commit());
  must(b.put(run.keyspace(), "x", "3"));
  must(b.commit());
  const History history = run.recorder->history();
  BOOST_REQUIRE_EQUAL(history.transactions.size(), 3U);
  BOOST_TEST(history.transactions[1].session == "A");
  BOOST_TEST(history.transactions[1].label == "a");
  BOOST_TEST(history.transactions[1].operations[0].version.writer == 0U);
  const Verdict verdict = check(history);
  BOOST_TEST(names(verdict) == "lost-update");
  BOOST_TEST(!verdict.serializable);
  BOOST_TEST((verdict.strongest == Isolation::read_committed));
  BOOST_TEST(verdict.broken_promises.empty());
  BOOST_TEST(verdict.anomalies.front().text ==
             "T3 read x before T2's write of it, so T3 (b) came first; but T3 overwrote T2's write "
             "of x, so T2 came first.");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
