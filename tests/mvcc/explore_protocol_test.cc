// I1 to I5 with R1 to R6 and C1, C2, under every interleaving of readers, committers, checkpoints
// and reclaim over one and two keys. (That faults would be found: explore_faults_test.cc.)
#include <boost/test/unit_test.hpp>

#ifdef ISOLDE_YIELD_POINTS

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "tests/mvcc/explore_world.h"
#include "tests/support/seed.h"

using namespace isolde;
using namespace isolde::test;

namespace {

constexpr auto rc = Isolation::read_committed;
constexpr auto rr = Isolation::repeatable_read;
constexpr auto ser = Isolation::serializable;

// What all cases of one test took together.
class Tally {
 public:
  ~Tally() {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start_;
    BOOST_TEST_MESSAGE(total_.schedules << " schedules, " << total_.states << " states, "
                                        << total_.steps << " steps, " << took.count() << " s");
  }
  void add(const Explored& explored, Start start, bool exhaustive) {
    total_ += explored;
    BOOST_TEST_CONTEXT("start " << static_cast<int>(start)) {
      BOOST_TEST_MESSAGE("  start " << static_cast<int>(start) << ": " << explored.schedules
                                    << " schedules, " << explored.states << " states");
      BOOST_TEST(!explored.failure, explored.failure.value_or(""));
      if (exhaustive) BOOST_TEST(explored.exhausted, "not all schedules were tried");
    }
  }

 private:
  Explored total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void expect_right_in_all(ExploreWorld& world, const std::vector<Start>& starts, const Cast& cast,
                         std::optional<unsigned> preemptions = {}) {
  Tally tally;
  for (const Start start : starts) {
    tally.add(interleave(world, start, cast, preemptions), start, true);
  }
}

const std::vector<Start> all_starts = {Start::in_base, Start::absent, Start::in_chain,
                                       Start::in_both, Start::old_view};

// What goes on behind a reader's or a committer's back, by one actor.
ExploreWorld::Body world_goes_on(ExploreWorld& world) {
  return ExploreWorld::in_turn({world.put(rc), world.checkpoint(), world.reclaim()});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(explore_protocol)

BOOST_AUTO_TEST_CASE(a_snapshot_reader_meets_each_of_the_others) {
  ExploreWorld world;
  const ExploreWorld::Body reader = world.read_snapshot(2);
  BOOST_TEST_MESSAGE("with a committer");
  expect_right_in_all(world, all_starts, {{"reader", reader}, {"committer", world.put(rr, "ab")}});
  BOOST_TEST_MESSAGE("with a checkpoint");
  expect_right_in_all(world, all_starts,
                      {{"reader", reader}, {"checkpointer", world.checkpoint()}});
  BOOST_TEST_MESSAGE("with a reclaimer");
  expect_right_in_all(world, all_starts, {{"reader", reader}, {"reclaimer", world.reclaim()}});
}

BOOST_AUTO_TEST_CASE(readers_meet_a_world_that_goes_on) {
  ExploreWorld world;
  const ExploreWorld::Body others = world_goes_on(world);
  BOOST_TEST_MESSAGE("a snapshot");
  expect_right_in_all(world, all_starts, {{"reader", world.read_snapshot()}, {"world", others}});
  BOOST_TEST_MESSAGE("gets at read committed");
  expect_right_in_all(world, all_starts, {{"reader", world.read_committed()}, {"world", others}});
  BOOST_TEST_MESSAGE("a scan at read committed");
  expect_right_in_all(world, all_starts, {{"reader", world.scan_committed()}, {"world", others}});
  BOOST_TEST_MESSAGE("a snapshot from before");
  expect_right_in_all(world, {Start::old_reader},
                      {{"reader", world.old_reader()}, {"world", others}});
}

BOOST_AUTO_TEST_CASE(committers_meet_a_world_that_goes_on) {
  ExploreWorld world;
  const ExploreWorld::Body others = world_goes_on(world);
  for (const auto& [name, body] : Cast{{"blind put", world.put(rc)},
                                       {"put at a snapshot", world.put(rr)},
                                       {"serializable read and write", world.put(ser)},
                                       {"serializable scan and write", world.scan_and_put()},
                                       {"insert", world.insert(rc)},
                                       {"erase", world.erase(rr)},
                                       {"add", world.add(rc)}}) {
    BOOST_TEST_MESSAGE(name);
    expect_right_in_all(world, all_starts, {{"committer", body}, {"world", others}});
  }
}

BOOST_AUTO_TEST_CASE(committers_meet_each_other_and_the_reclaimer) {
  ExploreWorld world;
  const std::vector<Start> starts = {Start::in_base, Start::in_both};
  BOOST_TEST_MESSAGE("two blind puts");
  expect_right_in_all(
      world, starts,
      {{"first", world.put(rc)}, {"second", world.put(rc)}, {"reclaimer", world.reclaim()}}, 3);
  BOOST_TEST_MESSAGE("two at a snapshot");
  expect_right_in_all(
      world, starts,
      {{"first", world.put(rr)}, {"second", world.put(rr, "ab")}, {"reclaimer", world.reclaim()}},
      3);
  BOOST_TEST_MESSAGE("two that depend on a range");
  expect_right_in_all(world, starts,
                      {{"first", world.scan_and_put()},
                       {"second", world.scan_and_put()},
                       {"reclaimer", world.reclaim()}},
                      3);
}

BOOST_AUTO_TEST_CASE(all_four_meet) {
  ExploreWorld world;
  expect_right_in_all(world, all_starts,
                      {{"reader", world.read_snapshot()},
                       {"committer", world.put(rr)},
                       {"checkpointer", world.checkpoint()},
                       {"reclaimer", world.reclaim()}},
                      2);
}

BOOST_AUTO_TEST_CASE(a_snapshot_that_is_given_up_is_never_believed) {
  ExploreWorld world(0);
  expect_right_in_all(world, {Start::in_base, Start::in_both, Start::old_view},
                      {{"reader", world.read_snapshot()}, {"world", world_goes_on(world)}});
  expect_right_in_all(world, {Start::old_reader},
                      {{"reader", world.old_reader()}, {"world", world_goes_on(world)}});
}

BOOST_AUTO_TEST_CASE(cursors_of_different_moments_keep_their_own) {
  ExploreWorld world;
  expect_right_in_all(world, all_starts,
                      {{"reader", world.cursors()}, {"world", world_goes_on(world)}}, 3);
}

BOOST_AUTO_TEST_SUITE_END()

#endif  // ISOLDE_YIELD_POINTS
