// "How it was prevented belongs to every report": the pessimistic columns, and optimists that meet
// locks. Codes, keys, culprits; who waits, and what they read afterwards.
#include <algorithm>
#include <memory>

#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;
using namespace isolde::test::steps;

namespace {

constexpr auto pess = Locking::pessimistic;
constexpr auto opt = Locking::optimistic;
constexpr auto rc = Isolation::read_committed;
constexpr auto rr = Isolation::repeatable_read;
constexpr auto ser = Isolation::serializable;

struct World {
  TempDatabase db{quick_options()};
  std::shared_ptr<Stage> stage;

  // Alice and bob take turns, alice first, or in the order given.
  Run play(const Schedule& schedule, const TransactionOptions& alice, const TransactionOptions& bob,
           std::vector<std::size_t> order = {}) {
    if (order.empty()) {
      const std::size_t alices = schedule.sessions[0].size();
      const std::size_t bobs = schedule.sessions[1].size();
      for (std::size_t step = 0; step < std::max(alices, bobs); ++step) {
        if (step < alices) order.push_back(0);
        if (step < bobs) order.push_back(1);
      }
    }
    stage = std::make_shared<Stage>(2);
    db->add_observer(stage);
    Run run = isolde::test::play(db, schedule, {alice, bob}, order, Upkeep::none, stage.get());
    db->remove_observer(stage);
    for (const std::string& fault : stage->faults()) BOOST_ERROR(fault);
    return run;
  }
  Run play(const Schedule& schedule, Isolation level, Locking locking = pess) {
    return play(schedule, at(level, "alice", locking), at(level, "bob", locking));
  }
};

Schedule lost_update() { return phenomenon("lost-update").schedule; }
Schedule lost_update_for_update() {
  Schedule schedule = lost_update();
  schedule.sessions[0][0] = schedule.sessions[1][0] = get_for_update("x");
  return schedule;
}

// The victim's error tells the cycle of two from both sides.
void check_deadlock_of_two(const Run& run, const std::string& victim_waits_for,
                           const std::string& other_waits_for) {
  BOOST_TEST(run[0].committed);
  BOOST_REQUIRE(run[1].error.has_value());
  const Error& error = *run[1].error;
  BOOST_TEST(error.code() == ErrorCode::deadlock, error.to_string());
  const Evidence& evidence = error.evidence();
  BOOST_REQUIRE(evidence.self.has_value());
  BOOST_TEST(evidence.self->label == "bob");
  BOOST_REQUIRE(evidence.culprit.has_value());
  BOOST_TEST(evidence.culprit->label == "alice");
  BOOST_TEST(evidence.keyspace == "default");
  BOOST_TEST(evidence.key.value_or("(range)") == victim_waits_for);
  BOOST_REQUIRE(evidence.cycle.size() == 2u);
  for (std::size_t at = 0; at < 2; ++at) {
    const LockWaitEdge& edge = evidence.cycle[at];
    const LockWaitEdge& next = evidence.cycle[1 - at];
    BOOST_TEST(edge.holder.id == next.waiter.id);
    const std::string expected = edge.waiter.label == "bob" ? victim_waits_for : other_waits_for;
    BOOST_TEST(edge.target.key.value_or("(range)") == expected);
    BOOST_TEST((edge.mode == LockMode::exclusive));
    BOOST_TEST(edge.since.time_since_epoch().count() > 0);
  }
  BOOST_TEST(evidence.reason.find("bob") != std::string::npos, evidence.reason);
  BOOST_TEST(evidence.reason.find("youngest") != std::string::npos, evidence.reason);
  for (const std::string named : {"alice", "bob", "default"}) {
    BOOST_TEST(error.message().find(named) != std::string::npos, error.message());
  }
  BOOST_TEST(!run[1].txn->active());
}

void check_conflict(const Run& run, ErrorCode code, const std::string& key) {
  BOOST_TEST(run[0].committed);
  BOOST_REQUIRE(run[1].error.has_value());
  const Error& error = *run[1].error;
  BOOST_TEST(error.code() == code, error.to_string());
  BOOST_TEST(error.evidence().key.value_or("none") == key);
  BOOST_REQUIRE(error.evidence().culprit.has_value());
  BOOST_TEST(error.evidence().culprit->id == run[0].txn->id());
  BOOST_TEST(error.evidence().culprit->label == "alice");
  BOOST_REQUIRE(error.evidence().conflict.has_value());
  BOOST_REQUIRE(error.evidence().snapshot.has_value());
  BOOST_TEST(*error.evidence().conflict > *error.evidence().snapshot);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(lock_levels, World)

BOOST_AUTO_TEST_CASE(lost_update_at_repeatable_read_second_to_put_waits_then_conflicts) {
  const Run run = play(lost_update(), rr);
  BOOST_TEST(run[1].blocked[1]);
  check_conflict(run, ErrorCode::write_conflict, "x");
  BOOST_TEST(run[1][1] == "write_conflict");
  BOOST_TEST(run[1][2] == "transaction_finished");
  BOOST_TEST(text(run.final) == "x=11 y=20");
}

BOOST_AUTO_TEST_CASE(lost_update_at_serializable_is_a_deadlock_with_one_victim) {
  const Run run = play(lost_update(), ser);
  BOOST_TEST(run[0].blocked[1]);
  BOOST_TEST(!run[1].blocked[1]);  // its own victim never blocks
  check_deadlock_of_two(run, "x", "x");
  BOOST_TEST(run[1][1] == "deadlock");
  BOOST_TEST(text(run.final) == "x=11 y=20");
  const std::vector<std::string> expected{"block alice X", "deadlock bob", "wake alice granted",
                                          "resume alice"};
  BOOST_TEST(stage->take_events() == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(lost_update_below_repeatable_read_second_to_put_waits_and_goes_ahead) {
  for (const Isolation level : {Isolation::read_uncommitted, rc}) {
    const Run run = play(lost_update(), level);
    BOOST_TEST(run[1].blocked[1]);
    BOOST_TEST(run.all_committed());
    BOOST_TEST(text(run.final) == "x=15 y=20");
  }
}

// Its snapshot follows the grant: it is its first operation.
BOOST_AUTO_TEST_CASE(get_for_update_makes_the_second_wait_and_read_the_new_value_at_every_level) {
  for (const Isolation level : all_levels) {
    const Run run = play(lost_update_for_update(), level);
    BOOST_TEST(run[1].blocked[0]);
    BOOST_TEST(run.all_committed());
    BOOST_TEST(run[1][0] == "11");
    BOOST_TEST(text(run.final) == "x=16 y=20");
  }
}

BOOST_AUTO_TEST_CASE(get_for_update_with_an_older_snapshot_conflicts_at_repeatable_read) {
  Schedule schedule = lost_update_for_update();
  schedule.sessions[1].insert(schedule.sessions[1].begin(), get("y"));
  const Run run = play(schedule, at(rr, "alice", pess), at(rr, "bob", pess), {1, 0, 1, 0, 0, 1, 1});
  BOOST_TEST(run[1].blocked[1]);
  check_conflict(run, ErrorCode::write_conflict, "x");
  BOOST_TEST(run[1][1] == "write_conflict");
}

BOOST_AUTO_TEST_CASE(write_skew_is_admitted_at_repeatable_read_and_a_deadlock_at_serializable) {
  const Schedule& schedule = phenomenon("write-skew").schedule;
  BOOST_TEST(play(schedule, rr).all_committed());
  check_deadlock_of_two(play(schedule, ser), "y", "x");
}

BOOST_AUTO_TEST_CASE(an_inserter_waits_for_the_range_lock_of_a_serializable_reader) {
  const Schedule& schedule = phenomenon("phantom").schedule;
  for (const Locking inserter : {pess, opt}) {
    for (const Isolation level : all_levels) {
      const Run run =
          play(schedule, at(ser, "alice", pess), at(level, "bob", inserter), {0, 1, 1, 0, 0});
      BOOST_TEST(run.all_committed());
      BOOST_TEST(run[1].blocked[inserter == pess ? 0 : 1]);
      BOOST_TEST(run[0][0] == "p/1=1");
      BOOST_TEST(run[0][1] == "p/1=1");
      BOOST_TEST(run[0].commit_at < run[1].commit_at);
    }
  }
}

// Gaps included, whoever comes: what is there already, what is new, what is to go.
BOOST_AUTO_TEST_CASE(a_range_lock_stops_inserts_updates_and_deletes_of_both_modes) {
  for (const Locking locking : {pess, opt}) {
    for (const Step& change :
         {insert("p/2", "2"), put("p/2", "2"), put("p/1", "9"), erase("p/1"), add("p/1", 1)}) {
      const Schedule schedule{
          {{"p/1", "1"}},
          {{scan(KeyRange::prefix("p/")), scan(KeyRange::prefix("p/")), commit()},
           {change, commit()}}};
      const Run run =
          play(schedule, at(ser, "alice", pess), at(rc, "bob", locking), {0, 1, 1, 0, 0});
      BOOST_TEST(run.all_committed());
      BOOST_TEST(run[1].blocked[locking == pess ? 0 : 1]);
      BOOST_TEST(run[0][1] == "p/1=1");
      BOOST_TEST(run[0].commit_at < run[1].commit_at);
    }
  }
}

// W2: D's read of y passes B, who waits for C, who waits behind A, who waits for D. Nobody holds
// what it asks for, so there is no deadlock; the writers go last.
BOOST_AUTO_TEST_CASE(a_long_fork_at_serializable_makes_its_writers_wait_and_fails_nobody) {
  const Schedule schedule{{{"x", "old"}, {"y", "old"}},
                          {{put("x", "new"), commit()},
                           {put("y", "new"), commit()},
                           {get("y"), get("x"), commit()},
                           {get("x"), get("y"), commit()}}};
  stage = std::make_shared<Stage>(4);
  db->add_observer(stage);
  const Run run = isolde::test::play(
      db, schedule,
      {at(ser, "A", pess), at(ser, "B", pess), at(ser, "C", pess), at(ser, "D", pess)},
      {2, 3, 0, 0, 1, 1, 2, 3, 2, 3}, Upkeep::none, stage.get());
  db->remove_observer(stage);
  for (const std::string& fault : stage->faults()) BOOST_ERROR(fault);
  BOOST_TEST(run.all_committed());
  BOOST_TEST(run[0].blocked[0]);
  BOOST_TEST(run[1].blocked[0]);
  BOOST_TEST(run[2].blocked[1]);
  BOOST_TEST(!run[3].blocked[1]);
  BOOST_TEST(run[3][1] == "old");
  BOOST_TEST(run[2][1] == "new");
  BOOST_TEST(run[0].commit_at < run[1].commit_at);
  BOOST_TEST(db->stats().deadlocks == 0u);
}

BOOST_AUTO_TEST_CASE(a_snapshot_does_not_show_the_phantom_at_repeatable_read) {
  const Run run = play(phenomenon("phantom").schedule, at(rr, "alice", pess), at(rr, "bob", pess),
                       {0, 1, 1, 0, 0});
  BOOST_TEST(run.all_committed());
  BOOST_TEST(!run[1].blocked[0]);
  BOOST_TEST(run[0][1] == "p/1=1");
}

BOOST_AUTO_TEST_CASE(two_who_relied_on_an_empty_range_and_insert_into_it_are_a_deadlock) {
  const Run run = play(phenomenon("predicate-write-skew").schedule, ser);
  check_deadlock_of_two(run, "p/b", "p/a");
}

// At serializable two of them queue at the range rather than deadlock.
BOOST_AUTO_TEST_CASE(scan_for_update_takes_the_range_at_serializable_and_the_keys_below) {
  ScanOptions for_update;
  for_update.mode = ReadMode::for_update;
  const KeyRange range = KeyRange::prefix("p/");
  const Schedule schedule{
      {{"p/1", "1"}, {"p/3", "3"}},
      {{scan(range, for_update), commit()}, {insert("p/2", "2"), put("p/3", "33"), commit()}}};
  for (const Isolation level : all_levels) {
    const Run run = play(schedule, at(level, "alice", pess), at(rc, "bob", pess), {0, 1, 1, 0, 1});
    BOOST_TEST(run.all_committed());
    BOOST_TEST(run[0][0] == "p/1=1 p/3=3");
    BOOST_TEST(run[1].blocked[0] == (level == ser));
    BOOST_TEST(run[1].blocked[1]);
  }
  const Schedule both{schedule.setup,
                      {{scan(range, for_update), put("p/1", "a"), commit()},
                       {scan(range, for_update), put("p/3", "b"), commit()}}};
  for (const Isolation level : all_levels) {
    const Run run = play(both, level);
    BOOST_TEST(run.all_committed());
    BOOST_TEST(run[1][0] == "p/1=a p/3=3");
  }
}

BOOST_AUTO_TEST_CASE(a_limited_scan_locks_through_the_last_entry_that_it_returns) {
  ScanOptions two;
  two.limit = 2;
  const Schedule schedule{
      {{"a", "1"}, {"c", "3"}, {"e", "5"}},
      {{scan(KeyRange::all(), two), commit()}, {put("d", "4"), put("b", "2"), commit()}}};
  const Run run = play(schedule, at(ser, "alice", pess), at(rc, "bob", pess), {0, 1, 1, 0, 1});
  BOOST_TEST(run[0][0] == "a=1 c=3");
  BOOST_TEST(!run[1].blocked[0]);
  BOOST_TEST(run[1].blocked[1]);
  BOOST_TEST(run.all_committed());
  ScanOptions last = two;
  last.reverse = true;
  const Schedule reverse{
      schedule.setup,
      {{scan(KeyRange::all(), last), commit()}, {put("b", "2"), put("f", "6"), commit()}}};
  const Run other = play(reverse, at(ser, "alice", pess), at(rc, "bob", pess), {0, 1, 1, 0, 1});
  BOOST_TEST(other[0][0] == "e=5 c=3");
  BOOST_TEST(!other[1].blocked[0]);
  BOOST_TEST(other[1].blocked[1]);
}

// W3: what was seen before the wait is not what is there after it.
BOOST_AUTO_TEST_CASE(a_limited_scan_looks_again_once_it_has_its_lock) {
  ScanOptions two;
  two.limit = 2;
  const Schedule schedule{{{"a", "1"}, {"c", "3"}, {"e", "5"}},
                          {{erase("a"), commit()}, {scan(KeyRange::all(), two), commit()}}};
  const Run run = play(schedule, at(rc, "alice", pess), at(ser, "bob", pess));
  BOOST_TEST(run[1].blocked[0]);
  BOOST_TEST(run[1][0] == "c=3 e=5");
}

BOOST_AUTO_TEST_CASE(a_cursor_at_serializable_locks_as_it_goes) {
  const Schedule schedule{
      {{"a", "1"}, {"c", "3"}},
      {{next(KeyRange::all()), commit()}, {put("c", "4"), put("0", "0"), commit()}}};
  const Run run = play(schedule, at(ser, "alice", pess), at(rc, "bob", pess), {0, 1, 1, 0, 1});
  BOOST_TEST(run[0][0] == "1");
  BOOST_TEST(!run[1].blocked[0]);
  BOOST_TEST(run[1].blocked[1]);
  BOOST_TEST(run.all_committed());
}

BOOST_AUTO_TEST_CASE(an_optimistic_commit_waits_for_locks_and_is_judged_after) {
  for (const Isolation level : all_levels) {
    const Schedule schedule{
        {{"x", "10"}},
        {{get_for_update("x"), put("x", "11"), commit()}, {get("x"), put("x", "12"), commit()}}};
    const Run run =
        play(schedule, at(rc, "alice", pess), at(level, "bob", opt), {0, 1, 0, 1, 1, 0});
    BOOST_TEST(run[1].blocked[2]);
    BOOST_TEST(run[0].committed);
    if (level <= rc) {
      BOOST_TEST(run[1].committed);
      BOOST_TEST(run.value("x") == "12");
    } else {
      check_conflict(
          run, level == ser ? ErrorCode::serialization_failure : ErrorCode::write_conflict, "x");
    }
  }
}

BOOST_AUTO_TEST_CASE(an_optimistic_commit_respects_shared_locks) {
  const Schedule schedule{{{"x", "10"}},
                          {{get("x"), get("x"), commit()}, {put("x", "12"), commit()}}};
  const Run run = play(schedule, at(ser, "alice", pess), at(rc, "bob", opt), {0, 1, 1, 0, 0});
  BOOST_TEST(run[1].blocked[1]);
  BOOST_TEST(run[0][1] == "10");
  BOOST_TEST(run[0].commit_at < run[1].commit_at);
  BOOST_TEST(run.value("x") == "12");
}

// Bob commits x and y; alice holds y, and then wants x, which he has locked for his commit.
BOOST_AUTO_TEST_CASE(an_optimistic_committer_can_be_the_victim) {
  const Schedule schedule{
      {{"x", "10"}, {"y", "20"}},
      {{put("y", "21"), put("x", "11"), commit()}, {put("x", "12"), put("y", "22"), commit()}}};
  const Run run = play(schedule, at(rc, "alice", pess), at(rc, "bob", opt), {0, 1, 1, 1, 0, 0});
  BOOST_TEST(run[1].blocked[2]);
  check_deadlock_of_two(run, "y", "x");
  BOOST_TEST(text(run.final) == "x=11 y=21");
}

BOOST_AUTO_TEST_CASE(shared_locks_go_together_and_stop_writers) {
  const Schedule schedule{{{"x", "10"}},
                          {{get_for_share("x"), get_for_share("x"), commit()},
                           {get_for_share("x"), put("x", "11"), commit()}}};
  for (const Isolation level : all_levels) {
    const Run run =
        play(schedule, at(level, "alice", pess), at(level, "bob", pess), {0, 1, 0, 1, 0, 1});
    BOOST_TEST(!run[1].blocked[0]);
    BOOST_TEST(run[1].blocked[1]);
    BOOST_TEST(run.all_committed());
  }
}

BOOST_AUTO_TEST_SUITE_END()
