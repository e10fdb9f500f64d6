// Waiting for locks and not waiting: timeouts, nowait, skip_locked, cancellation, limits; what is
// kept, what is released; what can be seen of it.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/mvcc/stage.h"
#include "tests/support/child_process.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;
using std::chrono::milliseconds;

namespace {

Options quick() {
  Options options = small_options();
  options.durability = Durability::none();
  return options;
}

struct World {
  TempDatabase db{quick()};

  Transaction begin(std::string label, Isolation level = Isolation::read_committed,
                    milliseconds timeout = milliseconds(0),
                    Locking locking = Locking::pessimistic) {
    TransactionOptions options;
    options.isolation = level;
    options.locking = locking;
    options.label = std::move(label);
    options.lock_timeout = timeout;
    return must(db->begin(options));
  }
  std::string seen(Transaction& txn, const ScanOptions& options) {
    std::string text;
    const auto count = txn.scan(db.keyspace(), KeyRange::all(), options,
                                [&](std::string_view key, std::string_view) { text += key; });
    return count ? text : outcome(count);
  }
};

ScanOptions for_update(LockWait wait, std::optional<std::size_t> limit = {}) {
  ScanOptions options;
  options.mode = ReadMode::for_update;
  options.lock_wait = wait;
  options.limit = limit;
  return options;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(lock_wait, World)

BOOST_AUTO_TEST_CASE(a_timeout_fails_the_operation_only_and_names_who_was_in_the_way) {
  Transaction holder = begin("holder");
  must(holder.put(db.keyspace(), "a", "1"));
  for (const milliseconds timeout : {milliseconds(0), milliseconds(2)}) {
    Transaction waiter = begin("waiter", Isolation::read_committed, timeout);
    must(waiter.put(db.keyspace(), "b", "1"));
    const auto failed = waiter.put(db.keyspace(), "a", "2");
    BOOST_REQUIRE(!failed);
    BOOST_TEST(failed.error().code() == ErrorCode::lock_timeout);
    const Evidence& evidence = failed.error().evidence();
    BOOST_TEST(evidence.key.value_or("") == "a");
    BOOST_TEST(evidence.self->label == "waiter");
    BOOST_TEST(evidence.culprit->label == "holder");
    BOOST_TEST(evidence.culprit->id == holder.id());
    BOOST_TEST((evidence.culprit_mode == LockMode::exclusive));
    BOOST_REQUIRE(evidence.waits_for.size() == 1u);
    BOOST_TEST(failed.error().message().find("holder") != std::string::npos);
    BOOST_TEST(waiter.active());
    must(waiter.commit());
  }
  must(holder.commit());
  BOOST_TEST(text(db.contents()) == "a=1 b=1");
}

BOOST_AUTO_TEST_CASE(each_call_may_have_a_timeout_of_its_own) {
  Transaction holder = begin("holder");
  must(holder.put(db.keyspace(), "a", "1"));
  Transaction waiter = begin("waiter", Isolation::read_committed, no_lock_timeout);
  BOOST_TEST(outcome(waiter.get_for_update(db.keyspace(), "a",
                                           {LockWait::wait, milliseconds(1)})) == "lock_timeout");
  ScanOptions scan = for_update(LockWait::wait);
  scan.lock_timeout = milliseconds(0);
  // Not yet committed: nothing is there to be locked.
  BOOST_TEST(seen(waiter, scan).empty());
  must(waiter.set_lock_timeout(milliseconds(1)));
  BOOST_TEST(outcome(waiter.put(db.keyspace(), "a", "2")) == "lock_timeout");
}

BOOST_AUTO_TEST_CASE(nowait_answers_at_once_and_the_transaction_goes_on) {
  Transaction holder = begin("holder");
  must(holder.get_for_share(db.keyspace(), "a"));
  Transaction other = begin("other", Isolation::read_committed, no_lock_timeout);
  const auto failed = other.get_for_update(db.keyspace(), "a", LockWait::nowait);
  BOOST_REQUIRE(!failed);
  BOOST_TEST(failed.error().code() == ErrorCode::lock_not_available);
  BOOST_TEST(failed.error().evidence().culprit->label == "holder");
  BOOST_TEST((failed.error().evidence().culprit_mode == LockMode::shared));
  must(other.get_for_share(db.keyspace(), "a", LockWait::nowait));
  must(other.commit());
}

// Two workers and a queue: each takes the first job that nobody has.
BOOST_AUTO_TEST_CASE(skip_locked_gives_each_worker_a_job_of_its_own) {
  for (const std::string job : {"1", "2", "3"}) db.put(job, "todo");
  for (const Isolation level :
       {Isolation::read_uncommitted, Isolation::read_committed, Isolation::repeatable_read}) {
    Transaction first = begin("first", level);
    Transaction second = begin("second", level);
    BOOST_TEST(seen(first, for_update(LockWait::skip_locked, 1)) == "1");
    BOOST_TEST(seen(second, for_update(LockWait::skip_locked, 1)) == "2");
    BOOST_TEST(seen(second, for_update(LockWait::nowait)) == "lock_not_available");
    BOOST_TEST(seen(second, for_update(LockWait::skip_locked)) == "23");
    BOOST_TEST(!must(second.get_for_update(db.keyspace(), "1", LockWait::skip_locked)));
    Cursor cursor =
        must(first.cursor(db.keyspace(), KeyRange::all(), for_update(LockWait::skip_locked)));
    BOOST_TEST(must(cursor.next())->key == "1");
    BOOST_TEST(!must(cursor.next()));
  }
}

BOOST_AUTO_TEST_CASE(locks_outlive_savepoints_and_failed_operations) {
  db.put("a", "1");
  Transaction txn = begin("txn");
  const Savepoint before = must(txn.savepoint());
  must(txn.put(db.keyspace(), "a", "2"));
  BOOST_TEST(outcome(txn.insert(db.keyspace(), "a", "3")) == "already_exists");
  BOOST_TEST(outcome(txn.compare_and_set(db.keyspace(), "b", "?", "3")) == "compare_failed");
  must(txn.rollback_to(before));
  Transaction other = begin("other");
  BOOST_TEST(outcome(other.put(db.keyspace(), "a", "4")) == "lock_timeout");
  BOOST_TEST(outcome(other.put(db.keyspace(), "b", "4")) == "lock_timeout");
  must(txn.commit());
  must(other.put(db.keyspace(), "a", "4"));
}

BOOST_AUTO_TEST_CASE(an_ended_transaction_holds_nothing) {
  for (const std::string end : {"commit", "rollback", "handle", "error"}) {
    std::optional<Transaction> txn(begin("txn", Isolation::repeatable_read));
    must(txn->get(db.keyspace(), "z"));
    must(txn->get_for_share(db.keyspace(), "a"));
    if (end == "commit") must(txn->commit());
    if (end == "rollback") must(txn->rollback());
    if (end == "handle") txn.reset();
    if (end == "error") {
      db.put("b", "new");
      BOOST_TEST(outcome(txn->put(db.keyspace(), "b", "2")) == "write_conflict");
    }
    BOOST_TEST(db->stats().locks_held == 0u, end);
  }
}

BOOST_AUTO_TEST_CASE(too_many_locks_fails_the_operation_only) {
  Options options = quick();
  options.max_locks_per_transaction = 2;
  TempDatabase small(options);
  TransactionOptions begin_options;
  begin_options.locking = Locking::pessimistic;
  Transaction txn = must(small->begin(begin_options));
  must(txn.put(small.keyspace(), "a", "1"));
  must(txn.put(small.keyspace(), "b", "1"));
  must(txn.put(small.keyspace(), "a", "2"));
  const auto failed = txn.put(small.keyspace(), "c", "1");
  BOOST_REQUIRE(!failed);
  BOOST_TEST(failed.error().code() == ErrorCode::too_many_locks);
  BOOST_TEST(failed.error().evidence().key.value_or("") == "c");
  must(txn.commit());
  BOOST_TEST(text(small.contents()) == "a=2 b=1");
}

BOOST_AUTO_TEST_CASE(a_waiter_is_cancelled_from_another_thread) {
  for (const bool by_id : {false, true}) {
    const auto stage = std::make_shared<Stage>(1);
    db->add_observer(stage);
    Transaction holder = begin("holder");
    must(holder.put(db.keyspace(), "a", "1"));
    Transaction waiter = begin("waiter", Isolation::read_committed, no_lock_timeout);
    std::string answer;
    stage->run(0, [&] { answer = outcome(waiter.put(db.keyspace(), "a", "2")); });
    BOOST_REQUIRE(stage->is_blocked(0));
    if (by_id) {
      BOOST_TEST(db->cancel(waiter.id()));
    } else {
      waiter.cancel();
    }
    stage->run(0, [] {});
    BOOST_TEST(answer == "cancelled");
    BOOST_TEST(!waiter.active());
    BOOST_TEST(!db->cancel(waiter.id()));
    const std::vector<std::string> expected{"block waiter X", "wake waiter cancelled",
                                            "resume waiter"};
    BOOST_TEST(stage->take_events() == expected, boost::test_tools::per_element());
    db->remove_observer(stage);
    BOOST_TEST(stage->faults().empty());
    must(holder.rollback());
  }
}

BOOST_AUTO_TEST_CASE(who_is_cancelled_while_it_does_nothing_learns_of_it_at_its_next_operation) {
  for (const Locking locking : {Locking::optimistic, Locking::pessimistic}) {
    Transaction txn = begin("txn", Isolation::read_committed, milliseconds(0), locking);
    must(txn.put(db.keyspace(), "a", "1"));
    txn.cancel();
    BOOST_TEST(txn.active());
    BOOST_TEST(outcome(txn.commit()) == "cancelled");
    BOOST_TEST(outcome(txn.commit()) == "transaction_finished");
    Transaction next = begin("next", Isolation::read_committed, milliseconds(0), locking);
    must(next.put(db.keyspace(), "b", "1"));
    must(next.commit());
    Transaction cancelled = begin("cancelled", Isolation::read_committed, milliseconds(0), locking);
    cancelled.cancel();
    must(cancelled.rollback());
  }
  BOOST_TEST(text(db.contents()) == "b=1");
  BOOST_TEST(!db->cancel(TransactionId{}));
  BOOST_TEST(!db->cancel(TransactionId{999'999}));
}

BOOST_AUTO_TEST_CASE(an_optimistic_commit_that_times_out_may_be_tried_again) {
  Transaction holder = begin("holder");
  must(holder.put(db.keyspace(), "a", "1"));
  Transaction optimist =
      begin("optimist", Isolation::read_committed, milliseconds(1), Locking::optimistic);
  must(optimist.put(db.keyspace(), "0", "2"));
  must(optimist.put(db.keyspace(), "a", "2"));
  const auto failed = optimist.commit();
  BOOST_REQUIRE(!failed);
  BOOST_TEST(failed.error().code() == ErrorCode::lock_timeout);
  BOOST_TEST(failed.error().evidence().culprit->label == "holder");
  BOOST_TEST(optimist.active());
  BOOST_TEST(db->stats().locks_held == 1u);
  must(holder.commit());
  must(optimist.commit());
  BOOST_TEST(text(db.contents()) == "0=2 a=2");
}

BOOST_AUTO_TEST_CASE(locks_and_waits_can_be_seen) {
  const auto stage = std::make_shared<Stage>(2);
  db->add_observer(stage);
  Transaction reader = begin("reader", Isolation::serializable, no_lock_timeout);
  must(
      reader.scan(db.keyspace(), KeyRange::prefix("p"), [](std::string_view, std::string_view) {}));
  must(reader.get(db.keyspace(), "a"));
  Transaction writer = begin("writer", Isolation::read_committed, no_lock_timeout);
  Transaction second = begin("second", Isolation::read_committed, no_lock_timeout);
  stage->run(0, [&] { static_cast<void>(writer.put(db.keyspace(), "p1", "1")); });
  stage->run(1, [&] { static_cast<void>(second.put(db.keyspace(), "p1", "2")); });
  const LockState state = db->locks();
  BOOST_REQUIRE(state.held.size() == 2u);
  BOOST_TEST(state.held[0].target.key.value_or("") == "a");
  BOOST_TEST(state.held[1].target.range->lower == "p");
  BOOST_TEST((state.held[1].mode == LockMode::shared));
  BOOST_TEST(state.held[1].holder.label == "reader");
  BOOST_REQUIRE(state.awaited.size() == 2u);
  BOOST_TEST(state.awaited[0].waiter.label == "writer");
  BOOST_TEST(state.awaited[0].waits_for.at(0).holder.label == "reader");
  BOOST_TEST(state.awaited[1].waits_for.size() == 2u);
  BOOST_TEST(state.awaited[1].waits_for.at(1).queued);
  const std::string text = state.to_text();
  for (const std::string said :
       {"2 waiting", "T2 'writer'", "waits for key 'p1' in keyspace 'default' (exclusive)",
        "'reader' holds (shared)", "range ['p', 'q')", "waits for before it"}) {
    BOOST_TEST(text.find(said) != std::string::npos, text);
  }
  const std::string dot = state.to_dot();
  BOOST_TEST(dot.find("digraph") == 0u);
  BOOST_TEST(dot.find("style=dashed") != std::string::npos, dot);
  must(reader.commit());
  stage->run(0, [&] { static_cast<void>(writer.commit()); });
  stage->run(1, [&] { static_cast<void>(second.commit()); });
  db->remove_observer(stage);
  BOOST_TEST(db->stats().lock_wait.count == 2u);
}

// An optimist takes its locks at its commit only: that they are too many fails this try, and leaves
// nothing behind. Without pessimists about it needs none.
BOOST_AUTO_TEST_CASE(too_many_locks_of_an_optimistic_commit_fail_it_until_it_needs_none) {
  Options options = quick();
  options.max_locks_per_transaction = 2;
  TempDatabase small(options);
  TransactionOptions begin_options;
  begin_options.locking = Locking::pessimistic;
  Transaction pessimist = must(small->begin(begin_options));
  must(pessimist.put(small.keyspace(), "z", "1"));
  Transaction optimist = small.begin();
  for (const std::string key : {"a", "b", "c"}) must(optimist.put(small.keyspace(), key, "1"));
  const auto failed = optimist.commit();
  BOOST_REQUIRE(!failed);
  BOOST_TEST(failed.error().code() == ErrorCode::too_many_locks);
  BOOST_TEST(failed.error().evidence().key.value_or("") == "c");
  BOOST_TEST(optimist.active());
  BOOST_TEST(small->stats().locks_held == 1u);
  must(pessimist.commit());
  must(optimist.commit());
  BOOST_TEST(text(small.contents()) == "a=1 b=1 c=1 z=1");
}

BOOST_AUTO_TEST_CASE(an_optimistic_commit_that_waits_can_be_cancelled) {
  const auto stage = std::make_shared<Stage>(1);
  db->add_observer(stage);
  Transaction holder = begin("holder");
  must(holder.put(db.keyspace(), "b", "1"));
  Transaction optimist =
      begin("optimist", Isolation::serializable, no_lock_timeout, Locking::optimistic);
  must(optimist.put(db.keyspace(), "a", "2"));
  must(optimist.put(db.keyspace(), "b", "2"));
  std::string answer;
  stage->run(0, [&] { answer = outcome(optimist.commit()); });
  BOOST_REQUIRE(stage->is_blocked(0));
  BOOST_TEST(db->stats().locks_held == 2u);
  optimist.cancel();
  stage->run(0, [] {});
  BOOST_TEST(answer == "cancelled");
  BOOST_TEST(!optimist.active());
  BOOST_TEST(db->stats().locks_held == 1u);
  must(holder.commit());
  db->remove_observer(stage);
  BOOST_TEST(stage->faults().empty());
  BOOST_TEST(text(db.contents()) == "b=1");
}

// Observers may call the database. One that ends the very wait it is being told of:
//   Waiter    says "blocked"; the observer commits the holder, which would wake the waiter
// Waiting there until the waiter has said that it is blocked would be for ever.
BOOST_AUTO_TEST_CASE(an_observer_may_end_a_wait_while_it_is_told_of_it) {
  struct Ender : Observer {
    std::function<void()> end;
    std::vector<std::string> heard;
    void on_block(const EventTransaction& txn, const BlockEvent&) override {
      heard.push_back("block " + std::string(txn.label));
      std::exchange(end, [] {})();
    }
    void on_wake(const EventTransaction& txn, WakeReason reason) override {
      heard.push_back("wake " + std::string(txn.label) +
                      (reason == WakeReason::granted ? " granted" : " cancelled"));
    }
    void on_resume(const EventTransaction& txn) override {
      heard.push_back("resume " + std::string(txn.label));
    }
  };
  for (const bool commits : {true, false}) {
    const auto ender = std::make_shared<Ender>();
    db->add_observer(ender);
    Transaction holder = begin("holder");
    must(holder.put(db.keyspace(), "a", "1"));
    Transaction waiter = begin("waiter", Isolation::read_committed, no_lock_timeout);
    const TransactionId id = waiter.id();
    ender->end = [&] {
      if (commits) {
        static_cast<void>(holder.commit());
      } else {
        db->cancel(id);
      }
    };
    BOOST_TEST(outcome(waiter.put(db.keyspace(), "a", "2")) == (commits ? "ok" : "cancelled"));
    const std::vector<std::string> expected{
        "block waiter", commits ? "wake waiter granted" : "wake waiter cancelled", "resume waiter"};
    BOOST_TEST(ender->heard == expected, boost::test_tools::per_element());
    db->remove_observer(ender);
    must(holder.rollback());
    must(waiter.rollback());
  }
}

BOOST_AUTO_TEST_CASE(observers_are_told_who_is_in_the_way_and_of_every_edge_of_a_deadlock) {
  struct Witness : Observer {
    std::vector<std::string> heard;
    void on_block(const EventTransaction& txn, const BlockEvent& event) override {
      std::string text = std::string(txn.label) + " waits for " + to_text(event.target);
      for (const LockWaitEdge& edge : event.waits_for) {
        text.append(edge.queued ? " queued by " : " held by ").append(edge.holder.label);
        text.append(" ").append(name(edge.holder_mode));
      }
      heard.push_back(text);
    }
    void on_deadlock(const DeadlockReport& report) override {
      std::string text = report.victim.label + " pays:";
      for (const LockWaitEdge& edge : report.cycle) {
        text.append(" ").append(edge.waiter.label).append("->").append(edge.holder.label);
      }
      heard.push_back(text);
    }
  };
  const auto witness = std::make_shared<Witness>();
  const auto stage = std::make_shared<Stage>(3);
  db->add_observer(witness);
  db->add_observer(stage);
  std::vector<Transaction> txns;
  for (const std::string label : {"one", "two", "three"}) {
    txns.push_back(begin(label, Isolation::read_committed, no_lock_timeout));
  }
  must(txns[0].get_for_share(db.keyspace(), "a"));
  must(txns[1].put(db.keyspace(), "b", "1"));
  const auto put = [&](std::size_t who, const std::string& key) {
    stage->run(who, [&, who, key] { static_cast<void>(txns[who].put(db.keyspace(), key, "1")); });
  };
  put(1, "a");
  put(2, "a");
  put(0, "b");
  const std::vector<std::string> expected{
      "two waits for key 'a' in keyspace 'default' held by one shared",
      "three waits for key 'a' in keyspace 'default' held by one shared queued by two exclusive",
      "two pays: one->two two->one",
      "one waits for key 'b' in keyspace 'default' held by two "
      "exclusive"};
  BOOST_TEST(witness->heard == expected, boost::test_tools::per_element());
  for (std::size_t who : {1u, 0u, 2u}) {
    stage->run(who, [&, who] { static_cast<void>(txns[who].rollback()); });
  }
  db->remove_observer(stage);
  db->remove_observer(witness);
  BOOST_TEST(stage->faults().empty());
}

// Whoever waits is inside of an operation of an open transaction: a programmer's error, and told.
BOOST_AUTO_TEST_CASE(a_database_that_is_closed_beside_a_waiter_ends_the_process_and_says_why) {
  const TempDirectory directory;
  const std::filesystem::path told = directory.path() / "told";
  const ChildOutcome outcome = in_child([&]() -> std::string {
    if (::dup2(::open(told.c_str(), O_CREAT | O_WRONLY, 0600), STDERR_FILENO) < 0) return "no file";
    auto opened = Database::open(directory.path() / "db", quick());
    if (!opened) return message_of(opened);
    const auto keyspace = opened->keyspace("default");
    TransactionOptions options;
    options.locking = Locking::pessimistic;
    options.label = "somebody";
    options.lock_timeout = no_lock_timeout;
    auto holder = opened->begin(options);
    auto waiter = opened->begin(options);
    static_cast<void>(holder->put(*keyspace, "a", "1"));
    std::thread([&] { static_cast<void>(waiter->put(*keyspace, "a", "2")); }).detach();
    while (opened->stats().lock_waiters == 0) std::this_thread::yield();
    return message_of(opened->close());
  });
  BOOST_TEST(outcome.signal == SIGABRT, outcome.said);
  std::ifstream file(told);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  BOOST_TEST(text.find("closed while a transaction 'somebody' is open") != std::string::npos, text);
}

// W1: nothing that a waiter holds keeps others from their work.
BOOST_AUTO_TEST_CASE(the_world_goes_on_around_a_waiter) {
  const auto stage = std::make_shared<Stage>(1);
  db->add_observer(stage);
  db.put("a", "0");
  Transaction holder = begin("holder");
  must(holder.put(db.keyspace(), "a", "1"));
  for (const Isolation level : {Isolation::read_committed, Isolation::serializable}) {
    Transaction waiter = begin("waiter", level, no_lock_timeout);
    std::string answer;
    stage->run(0, [&] { answer = outcome(waiter.get_for_update(db.keyspace(), "a")); });
    BOOST_REQUIRE(stage->is_blocked(0));
    db.put("b", "1");
    db.checkpoint();
    db.reclaim();
    db.erase("b");
    db.checkpoint();
    db.reclaim();
    BOOST_TEST(outcome(waiter.get(db.keyspace(), "b")) == "invalid_argument");  // a second thread
    must(holder.commit());
    stage->run(0, [] {});
    BOOST_TEST(answer == "ok");
    must(waiter.commit());
    holder = begin("holder");
    must(holder.put(db.keyspace(), "a", "1"));
  }
  must(holder.rollback());
  db->remove_observer(stage);
}

// Trap 11: what a committed transaction read is no longer protected by its locks, and needs none: a
// concurrent optimist that depends on it is judged by versions.
BOOST_AUTO_TEST_CASE(trap_11_a_reader_that_commits_first_leaves_no_hole) {
  db.put("x", "1");
  db.put("y", "1");
  const auto stage = std::make_shared<Stage>(2);
  Transaction pessimist = begin("pessimist", Isolation::serializable, no_lock_timeout);
  Transaction optimist =
      begin("optimist", Isolation::serializable, no_lock_timeout, Locking::optimistic);
  must(pessimist.get(db.keyspace(), "x"));
  must(optimist.get(db.keyspace(), "y"));
  must(pessimist.put(db.keyspace(), "y", "2"));
  must(optimist.put(db.keyspace(), "x", "2"));
  must(pessimist.commit());
  BOOST_TEST(outcome(optimist.commit()) == "serialization_failure");
}

BOOST_AUTO_TEST_SUITE_END()
