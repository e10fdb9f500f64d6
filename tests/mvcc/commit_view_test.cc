// C1: what a commit looked up under its view dies with it; one guard covers all of commit().
#include <boost/test/unit_test.hpp>

#ifdef ISOLDE_YIELD_POINTS

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/yield_point.h"
#include "mvcc/database_core.h"
#include "tests/support/stop_at.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;

namespace {

constexpr auto rc = Isolation::read_committed;

// Runs something once, on the thread that comes to a place first.
class AtPlace {
 public:
  AtPlace(std::string place, std::function<void()> work)
      : place_(std::move(place)), work_(std::move(work)) {
    only() = this;
    yield_hook.store(&hook);
  }
  AtPlace(const AtPlace&) = delete;
  AtPlace& operator=(const AtPlace&) = delete;
  ~AtPlace() { yield_hook.store(nullptr); }
  bool was_there() const { return done_; }

 private:
  static AtPlace*& only() {
    static AtPlace* instance = nullptr;
    return instance;
  }
  static void hook(const char* place) {
    AtPlace& self = *only();
    if (self.done_ || self.place_ != place) return;
    self.done_ = true;
    yield_hook.store(nullptr);
    self.work_();
  }
  std::string place_;
  std::function<void()> work_;
  bool done_ = false;
};

// Does something when a transaction is about to sleep, in its thread.
struct WhenAsleep : Observer {
  void on_sleep(const EventTransaction&) override {
    ++sleeps;
    if (work) std::exchange(work, nullptr)();
  }
  std::function<void()> work;
  int sleeps = 0;
};

// An optimist at read committed has looked up the fresh chain of `a` when it meets a pessimist, who
// has come only now, in the critical section. It leaves to lock, and waits for the pessimist's `a`.
struct OvertakenInTheMiddle {
  // What the pessimist does to `a` before it commits; then a checkpoint carries that into the base,
  // and the chain is dropped.
  void commit_and_settle() {
    must(change(*pessimist));
    must(pessimist->commit());
    snapshot.emplace(db.begin(Isolation::repeatable_read));
    seen_first = get(*snapshot, db.keyspace(), "a");
    db.checkpoint();
    for (int i = 0; i < 3; ++i) db.reclaim();
    chains_left = db.core().store().chains();
  }
  std::string commit_overtaken(Transaction& optimist) {
    asleep->work = [this] { commit_and_settle(); };
    db->add_observer(asleep);
    std::optional<Result<Timestamp>> committed;
    {
      const AtPlace meets("commit: before critical section", [this] {
        TransactionOptions options;
        options.isolation = rc;
        options.locking = Locking::pessimistic;
        pessimist.emplace(must(db->begin(options)));
        must(pessimist->get_for_update(db.keyspace(), "a"));
      });
      committed.emplace(optimist.commit());
      BOOST_TEST(meets.was_there());
    }
    db->remove_observer(asleep);
    BOOST_TEST(asleep->sleeps == 1);
    BOOST_TEST(chains_left == 0u);
    // Read again, after the optimist: a snapshot is one state.
    BOOST_TEST(text(get(*snapshot, db.keyspace(), "a")) == text(seen_first));
    must(snapshot->commit());
    return outcome(*committed);
  }

  TempDatabase db;
  std::shared_ptr<WhenAsleep> asleep = std::make_shared<WhenAsleep>();
  std::function<Result<void>(Transaction&)> change;
  std::optional<Transaction> pessimist;
  std::optional<Transaction> snapshot;
  std::optional<std::string> seen_first;
  std::uint64_t chains_left = 0;

  void start_with(std::optional<std::string> value) {
    if (value) db.put("a", *value);
    db.checkpoint();
    for (int i = 0; i < 3; ++i) db.reclaim();
    BOOST_REQUIRE(db.core().store().chains() == 0u);
  }
  auto puts(std::string value) {
    return [this, value](Transaction& txn) { return txn.put(db.keyspace(), "a", value); };
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(commit_view)

// 10, then + 5 by the one who is waited for, then + 1: eleven was installed over the old image.
BOOST_FIXTURE_TEST_CASE(a_base_image_kept_over_a_wait_for_locks_loses_no_update,
                        OvertakenInTheMiddle) {
  start_with("10");
  change = [this](Transaction& txn) -> Result<void> {
    auto added = txn.add(db.keyspace(), "a", 5);
    if (!added) return added.error();
    return {};
  };
  Transaction optimist = db.begin(rc);
  BOOST_TEST(outcome(optimist.add(db.keyspace(), "a", 1)) == "ok");
  BOOST_TEST(commit_overtaken(optimist) == "ok");
  BOOST_TEST(text(db.get("a")) == "16");
  BOOST_TEST(text(seen_first) == "15");
}

BOOST_FIXTURE_TEST_CASE(a_blind_put_after_the_wait_tears_no_snapshot, OvertakenInTheMiddle) {
  start_with("10");
  change = puts("15");
  Transaction optimist = db.begin(rc);
  must(optimist.put(db.keyspace(), "a", "20"));
  BOOST_TEST(commit_overtaken(optimist) == "ok");
  BOOST_TEST(text(db.get("a")) == "20");
}

BOOST_FIXTURE_TEST_CASE(an_insert_is_judged_on_what_was_committed_during_the_wait,
                        OvertakenInTheMiddle) {
  start_with(std::nullopt);
  change = puts("15");
  Transaction optimist = db.begin(rc);
  must(optimist.insert(db.keyspace(), "a", "1"));
  BOOST_TEST(commit_overtaken(optimist) == "write_conflict");
  BOOST_TEST(text(db.get("a")) == "15");
}

BOOST_FIXTURE_TEST_CASE(a_compare_and_set_is_judged_on_what_was_committed_during_the_wait,
                        OvertakenInTheMiddle) {
  start_with("10");
  change = puts("15");
  Transaction optimist = db.begin(rc);
  must(optimist.compare_and_set(db.keyspace(), "a", "10", "11"));
  BOOST_TEST(commit_overtaken(optimist) == "write_conflict");
  BOOST_TEST(text(db.get("a")) == "15");
}

BOOST_FIXTURE_TEST_CASE(first_committer_wins_over_the_wait_as_well, OvertakenInTheMiddle) {
  for (const Isolation level : {Isolation::repeatable_read, Isolation::serializable}) {
    OvertakenInTheMiddle world;
    world.start_with("10");
    world.change = world.puts("15");
    Transaction optimist = world.db.begin(level);
    // With a range, so that there is a point of validation to outlive the wait.
    BOOST_TEST(text(contents(optimist, world.db.keyspace())) == "a=10");
    must(optimist.put(world.db.keyspace(), "a", "11"));
    // (Its snapshot keeps the chain.)
    world.chains_left = 0;
    world.asleep->work = nullptr;
    std::optional<Result<Timestamp>> committed;
    world.asleep->work = [&] {
      must(world.change(*world.pessimist));
      must(world.pessimist->commit());
      world.db.checkpoint();
      world.db.reclaim();
    };
    world.db->add_observer(world.asleep);
    {
      const AtPlace meets("commit: before critical section", [&] {
        TransactionOptions options;
        options.isolation = rc;
        options.locking = Locking::pessimistic;
        world.pessimist.emplace(must(world.db->begin(options)));
        must(world.pessimist->get_for_update(world.db.keyspace(), "a"));
      });
      committed.emplace(optimist.commit());
    }
    world.db->remove_observer(world.asleep);
    BOOST_TEST(outcome(*committed) ==
               (level == Isolation::serializable ? "serialization_failure" : "write_conflict"));
    BOOST_TEST(text(world.db.get("a")) == "15");
  }
}

// A second thread that writes while the first is between the steps of its commit was not detected:
// "no entry outgrows its reservation" ended the process.
BOOST_AUTO_TEST_CASE(two_threads_inside_one_commit_are_detected) {
  for (const Isolation level : {rc, Isolation::repeatable_read, Isolation::serializable}) {
    TempDatabase db;
    Transaction txn = db.begin(level);
    must(txn.put(db.keyspace(), "a", "1"));
    std::optional<Result<Timestamp>> committed;
    StopAt first("commit: waits for room", [&] { committed.emplace(txn.commit()); });
    BOOST_REQUIRE(first.reached());
    const std::string large(3000, 'x');
    BOOST_TEST(outcome(txn.put(db.keyspace(), "b", large)) == "invalid_argument");
    BOOST_TEST(outcome(txn.get(db.keyspace(), "a")) == "invalid_argument");
    BOOST_TEST(outcome(txn.rollback()) == "invalid_argument");
    BOOST_TEST(outcome(txn.commit()) == "invalid_argument");
    first.finish();
    BOOST_TEST(outcome(*committed) == "ok");
    BOOST_TEST(text(db.contents()) == "a=1");
  }
}

BOOST_AUTO_TEST_SUITE_END()

#endif  // ISOLDE_YIELD_POINTS
