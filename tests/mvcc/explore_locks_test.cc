// Locks handed over, and optimists among pessimists (C4, C5, W2, W3), in every interleaving with
// few preemptions: nothing goes wrong. With one step left out, the same exploration finds what
// does.
#include <boost/test/unit_test.hpp>

#ifdef ISOLDE_YIELD_POINTS

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "isolde/isolde.h"
#include "mvcc/planted_fault.h"
#include "tests/support/exploration.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;
using mvcc::PlantedFault;

namespace {

constexpr auto opt = Locking::optimistic;
constexpr auto pess = Locking::pessimistic;
constexpr auto rc = Isolation::read_committed;
constexpr auto rr = Isolation::repeatable_read;
constexpr auto ser = Isolation::serializable;

Options quick() {
  Options options = small_options();
  options.durability = Durability::none();
  options.lock_timeout = no_lock_timeout;
  return options;
}

// The actors' transactions, and what they have done.
struct World {
  std::unique_ptr<TempDatabase> db = std::make_unique<TempDatabase>(quick());
  std::int64_t increments = 0;
  std::size_t inserts = 0;
  std::optional<std::string> complaint;

  Transaction begin(Isolation level, Locking locking) {
    TransactionOptions options;
    options.isolation = level;
    options.locking = locking;
    auto txn = (*db)->begin(options);
    return std::move(*txn);
  }
  // False: the transaction has ended, as it may.
  template <typename T>
  bool goes_on(const Result<T>& result) {
    if (result) return true;
    if (!is_retryable(result.error().code())) complaint = result.error().to_string();
    return false;
  }
  std::optional<std::string> get(Transaction& txn, const std::string& key, bool for_update) {
    auto value =
        for_update ? txn.get_for_update(db->keyspace(), key) : txn.get(db->keyspace(), key);
    if (!goes_on(value)) return std::nullopt;
    return std::string(value->value_or(""));
  }

  // Reads x, writes it back one higher. Plain reads where the level makes that safe.
  std::function<void()> increment(Isolation level, Locking locking) {
    return [this, level, locking] {
      Transaction txn = begin(level, locking);
      const auto value = get(txn, "x", level == rc);
      if (!value) return;
      if (!goes_on(txn.put(db->keyspace(), "x", std::to_string(std::stoi(*value) + 1)))) return;
      if (goes_on(txn.commit())) ++increments;
    };
  }
  // Doctors: goes off call if the other is on call.
  std::function<void()> leave(Locking locking, std::string self, std::string other) {
    return [this, locking, self, other] {
      Transaction txn = begin(ser, locking);
      const auto value = get(txn, other, false);
      if (!value || *value != "1") return;
      if (!goes_on(txn.put(db->keyspace(), self, "0"))) return;
      static_cast<void>(goes_on(txn.commit()));
    };
  }
  // Books the room if nobody has.
  std::function<void()> book(Locking locking, std::string key) {
    return [this, locking, key] {
      Transaction txn = begin(ser, locking);
      const auto taken = txn.scan(db->keyspace(), KeyRange::prefix("p/"),
                                  [](std::string_view, std::string_view) {});
      if (!goes_on(taken) || *taken != 0) return;
      if (!goes_on(txn.put(db->keyspace(), key, "1"))) return;
      if (goes_on(txn.commit())) ++inserts;
    };
  }
  // Two locks, one after the other: shared and then exclusive, or exclusive and then shared.
  std::function<void()> lock_both(std::string first, std::string second, LockMode mode) {
    return [this, first, second, mode] {
      Transaction txn = begin(rc, pess);
      const auto one = mode == LockMode::exclusive ? txn.get_for_share(db->keyspace(), first)
                                                   : txn.get_for_update(db->keyspace(), first);
      if (!goes_on(one)) return;
      const auto other = mode == LockMode::exclusive ? txn.get_for_update(db->keyspace(), second)
                                                     : txn.get_for_share(db->keyspace(), second);
      if (goes_on(other)) static_cast<void>(goes_on(txn.commit()));
    };
  }

  void reset() {
    Transaction txn = begin(rc, opt);
    static_cast<void>(txn.put(db->keyspace(), "x", "1"));
    static_cast<void>(txn.put(db->keyspace(), "y", "1"));
    static_cast<void>(txn.erase(db->keyspace(), "p/a"));
    static_cast<void>(txn.erase(db->keyspace(), "p/b"));
    static_cast<void>(txn.commit());
    increments = 0;
    inserts = 0;
    complaint.reset();
    if (++resets % 256 == 0) db->reclaim();
  }
  std::size_t resets = 0;

  std::optional<std::string> judge() {
    if (complaint) return complaint;
    const int x = std::stoi(db->get("x").value_or("-1"));
    const int y = std::stoi(db->get("y").value_or("-1"));
    if (increments != 0 && x != 1 + increments) {
      return "x is " + std::to_string(x) + " after " + std::to_string(increments) +
             " increments: a lost update";
    }
    if (x + y == 0) return "nobody is on call: write skew";
    if (inserts > 1) return "booked twice: write skew through a range";
    if ((*db)->stats().locks_held != 0) return "locks are left";
    return std::nullopt;
  }
};

// Deadlocks in which somebody waits behind a waiter.
struct QueuedCycles : Observer {
  void on_deadlock(const DeadlockReport& report) override {
    count += std::any_of(report.cycle.begin(), report.cycle.end(),
                         [](const LockWaitEdge& edge) { return edge.queued; });
  }
  std::size_t count = 0;
};

using Cast = std::vector<std::pair<const char*, std::function<void()>>>;

Explored interleave(World& world, const Cast& cast, unsigned preemptions) {
  Exploration exploration;
  exploration.begin = [&] {
    world.reset();
    std::vector<Exploration::Actor> actors;
    for (const auto& [name, body] : cast) actors.push_back({name, body});
    return actors;
  };
  exploration.judge = [&] { return world.judge(); };
  exploration.ignored = [](std::string_view place) {
    return place.substr(0, 5) == "log: " || place.substr(0, 6) == "read: " ||
           place.substr(0, 6) == "scan: " || place.substr(0, 7) == "merge: ";
  };
  exploration.preemptions = preemptions;
  return explore(exploration);
}

void expect_found(PlantedFault fault, World& world, const Cast& cast, unsigned preemptions = 2) {
  const Explored sound = interleave(world, cast, preemptions);
  BOOST_TEST(!sound.failure, sound.failure.value_or(""));
  BOOST_TEST(sound.exhausted);
  mvcc::planted_fault.store(fault);
  const Explored faulty = interleave(world, cast, preemptions);
  mvcc::planted_fault.store(PlantedFault::none);
  BOOST_TEST_MESSAGE("found in schedule "
                     << faulty.schedules << " (" << sound.schedules
                     << " without the fault): " << faulty.failure.value_or("nothing"));
  BOOST_TEST(faulty.failure.has_value(), "the planted fault was not found");
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(explore_locks, World)

BOOST_AUTO_TEST_CASE(c4_locks_released_before_the_commit_is_visible_lose_an_update) {
  expect_found(PlantedFault::released_before_visible, *this,
               {{"first", increment(rc, pess)}, {"second", increment(rc, pess)}});
}

BOOST_AUTO_TEST_CASE(c5_the_flag_read_outside_the_critical_section_loses_an_update) {
  expect_found(PlantedFault::flag_read_outside, *this,
               {{"optimist", increment(rr, opt)}, {"pessimist", increment(rc, pess)}});
}

BOOST_AUTO_TEST_CASE(c5_the_flag_raised_outside_the_mutex_loses_an_update) {
  expect_found(PlantedFault::flag_raised_outside, *this,
               {{"optimist", increment(rr, opt)}, {"pessimist", increment(rc, pess)}});
}

BOOST_AUTO_TEST_CASE(c5_validation_before_the_locks_loses_an_update) {
  expect_found(PlantedFault::judged_before_locked, *this,
               {{"optimist", increment(rr, opt)}, {"pessimist", increment(rc, pess)}});
}

BOOST_AUTO_TEST_CASE(c5_shared_locks_that_optimists_ignore_let_write_skew_through) {
  expect_found(PlantedFault::shared_locks_ignored, *this,
               {{"optimist", leave(opt, "x", "y")}, {"pessimist", leave(pess, "y", "x")}});
}

BOOST_AUTO_TEST_CASE(w3_gaps_that_are_not_locked_let_write_skew_through) {
  expect_found(PlantedFault::gaps_not_locked, *this,
               {{"first", book(pess, "p/a")}, {"second", book(pess, "p/b")}});
}

// A cycle through a queue that went unseen would leave all asleep, which ends the process.
BOOST_AUTO_TEST_CASE(w2_a_cycle_through_a_queue_never_leaves_all_asleep) {
  World& world = *this;
  const Cast cast{{"shares x, wants y", lock_both("x", "y", LockMode::exclusive)},
                  {"wants x", increment(rc, pess)},
                  {"has y, shares x", lock_both("y", "x", LockMode::shared)}};
  const auto queued = std::make_shared<QueuedCycles>();
  (*world.db)->add_observer(queued);
  const Explored explored = interleave(world, cast, 2);
  (*world.db)->remove_observer(queued);
  BOOST_TEST(!explored.failure, explored.failure.value_or(""));
  BOOST_TEST(explored.exhausted);
  BOOST_TEST(queued->count > 0u);
}

BOOST_AUTO_TEST_CASE(every_pair_of_modes_and_levels_is_right) {
  World& world = *this;
  for (const auto& [one, other] : std::vector<std::pair<Isolation, Isolation>>{
           {rc, rr}, {rr, ser}, {ser, rc}, {ser, ser}, {rr, rr}}) {
    for (const auto& [first, second] :
         std::vector<std::pair<Locking, Locking>>{{pess, pess}, {opt, pess}, {pess, opt}}) {
      const Explored explored = interleave(
          world, {{"first", increment(one, first)}, {"second", increment(other, second)}}, 2);
      BOOST_TEST(!explored.failure, explored.failure.value_or(""));
      BOOST_TEST(explored.exhausted);
    }
  }
  for (const auto& [first, second] :
       std::vector<std::pair<Locking, Locking>>{{pess, pess}, {opt, pess}, {pess, opt}}) {
    for (const Cast& cast :
         {Cast{{"first", leave(first, "x", "y")}, {"second", leave(second, "y", "x")}},
          Cast{{"first", book(first, "p/a")}, {"second", book(second, "p/b")}}}) {
      const Explored explored = interleave(world, cast, 2);
      BOOST_TEST(!explored.failure, explored.failure.value_or(""));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

#endif  // ISOLDE_YIELD_POINTS
