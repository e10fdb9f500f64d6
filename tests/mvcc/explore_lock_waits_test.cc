// The ways in which a wait for a lock ends, all at once: a grant, a deadline, a cancellation, in
// every interleaving. Whichever comes first, the others find it ended: nobody has a lock without
// knowing, nobody sleeps for ever, and observers hear of each wait once, in order.
#include <boost/test/unit_test.hpp>

#ifdef ISOLDE_YIELD_POINTS

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mvcc/lock_table.h"
#include "mvcc/version_store.h"
#include "tests/support/exploration.h"
#include "tests/support/sanitizer.h"

using namespace isolde;
using namespace isolde::test;
using mvcc::LockAsk;
using mvcc::LockOwner;
using mvcc::LockTable;
using Outcome = mvcc::LockRequest::Outcome;

namespace {

constexpr KeyspaceId keyspace{1};

// What is heard of each transaction: 'b' blocked, 'w' woken, 'r' resumed.
struct Listener : mvcc::LockListener {
  bool is_observed() const noexcept override { return observed; }
  void on_block(const LockOwner& waiter, const BlockEvent&) override {
    yield_here("listener: on_block");
    heard[waiter.id.value] += 'b';
  }
  void on_wake(const LockOwner& waiter, WakeReason) override { heard[waiter.id.value] += 'w'; }
  void on_resume(const LockOwner& waiter) override { heard[waiter.id.value] += 'r'; }
  void on_deadlock(const DeadlockReport&) override {}
  std::string keyspace_name(KeyspaceId) const override { return "default"; }

  bool observed = false;
  std::map<std::uint64_t, std::string> heard;
};

LockAsk ask_for(const char* key) {
  LockAsk ask;
  ask.keyspace = keyspace;
  ask.key = key;
  ask.hash = mvcc::VersionStore::hash(keyspace, key);
  return ask;
}

// A holder of x, one who waits for it and has had enough, and one behind that.
struct Contest {
  explicit Contest(bool observed) : table(listener, {}) {
    listener.observed = observed;
    std::uint64_t number = 0;
    for (LockOwner* owner : {&holder, &waiter, &next}) {
      owner->id = TransactionId{++number};
      owner->begun = number;
      owner->locking = Locking::pessimistic;
    }
    table.request(holder, ask, true);
    waits = table.request(waiter, ask, true);
    waits_behind = table.request(next, ask, true);
  }

  Listener listener;
  LockTable table;
  LockOwner holder;
  LockOwner waiter;
  LockOwner next;
  LockAsk ask = ask_for("x");
  LockTable::Answer waits;
  LockTable::Answer waits_behind;
  std::optional<Outcome> outcome;
  std::optional<Outcome> outcome_behind;

  void wait_for_long() {
    LockTable::Ending ending =
        table.wait(waiter, ask, waits, std::chrono::steady_clock::now() - std::chrono::hours(1));
    outcome = ending.outcome;
    if (ending.outcome == Outcome::lock_timeout && ending.waits_for.empty()) {
      complaint = "a timeout that names nobody";
    }
    yield_here("waiter: ended");
    table.release_all(waiter);
  }
  void wait_behind() {
    outcome_behind = table.wait(next, ask, waits_behind, std::nullopt).outcome;
    // It was the last in the queue, so nobody else has x any more.
    const LockState state = table.state();
    if (state.held.size() != 1 || state.held[0].holder.id != next.id || !state.awaited.empty()) {
      complaint = "is: " + state.to_text();
    }
  }
  std::optional<std::string> judge() const {
    if (complaint) return complaint;
    if (outcome_behind != Outcome::granted) return "the last one was not granted its lock";
    if (!outcome || *outcome == Outcome::none) return "a wait that did not end";
    for (const auto& [id, events] : listener.heard) {
      if (events != "bwr") return "T" + std::to_string(id) + " was told of as " + events;
    }
    if (listener.heard.size() != (listener.observed ? 2u : 0u)) return "somebody was not told of";
    return std::nullopt;
  }
  std::optional<std::string> complaint;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(explore_lock_waits)

BOOST_AUTO_TEST_CASE(a_grant_a_deadline_and_a_cancellation_meet) {
  for (const bool observed : {false, true}) {
    std::unique_ptr<Contest> contest;
    std::set<Outcome> seen;
    Exploration exploration;
    exploration.begin = [&] {
      contest = std::make_unique<Contest>(observed);
      return std::vector<Exploration::Actor>{
          {"releases", [&] { contest->table.release_all(contest->holder); }},
          {"has had enough", [&] { contest->wait_for_long(); }},
          {"cancels", [&] { contest->table.cancel(contest->waiter, contest->waiter.id); }},
          {"is next", [&] { contest->wait_behind(); }}};
    };
    exploration.judge = [&] {
      if (contest->outcome) seen.insert(*contest->outcome);
      return contest->judge();
    };
    exploration.preemptions = observed || sanitized ? 1 : 2;
    if (observed && sanitized) exploration.preemptions = 0;
    const Explored explored = explore(exploration);
    BOOST_TEST_MESSAGE(explored.schedules << " schedules");
    BOOST_TEST(!explored.failure, explored.failure.value_or(""));
    BOOST_TEST(explored.exhausted);
    BOOST_TEST(
        (seen == std::set<Outcome>{Outcome::granted, Outcome::lock_timeout, Outcome::cancelled}));
  }
}

BOOST_AUTO_TEST_SUITE_END()

#endif  // ISOLDE_YIELD_POINTS
