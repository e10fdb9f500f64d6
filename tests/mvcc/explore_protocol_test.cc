// I1 to I5 with R1 to R6 and C1, C2, under every interleaving of readers, committers, checkpoints
// and reclaim over one and two keys. (That faults would be found: explore_faults_test.cc.)
#include <boost/test/unit_test.hpp>

#ifdef ISOLDE_YIELD_POINTS

#include <algorithm>
#include <chrono>
#include <string>
#include <tuple>
#include <vector>

#include "tests/mvcc/explore_world.h"
#include "tests/support/sanitizer.h"
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
  void add(const Explored& explored, Start start) {
    total_ += explored;
    BOOST_TEST_CONTEXT("start " << static_cast<int>(start)) {
      BOOST_TEST_MESSAGE("  start " << static_cast<int>(start) << ": " << explored.schedules
                                    << " schedules, " << explored.states << " states");
      BOOST_TEST(!explored.failure, explored.failure.value_or(""));
      BOOST_TEST(explored.exhausted, "not all schedules were tried");
    }
  }

 private:
  Explored total_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

void expect_right_in_all(ExploreWorld& world, const std::vector<Start>& starts, const Cast& cast,
                         std::optional<unsigned> preemptions = {},
                         Pruning pruning = Pruning::by_state) {
  Tally tally;
  // ISOLDE_TEST_SCALE: so many preemptions more. Sanitizers, twenty times slower, see memory errors
  // in the same code: one preemption anywhere reaches nearly all of it.
  if (preemptions) *preemptions += static_cast<unsigned>(scale()) - 1;
  if (sanitized) preemptions = 1;
  for (const Start start : starts) {
    tally.add(interleave(world, start, cast, preemptions, pruning), start);
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

BOOST_AUTO_TEST_CASE(any_two_of_reader_committer_checkpointer_and_reclaimer) {
  ExploreWorld world;
  const Cast cast = {{"reader", world.read_snapshot(2)},
                     {"committer", world.put(rr, "ab")},
                     {"checkpointer", world.checkpoint()},
                     {"reclaimer", world.reclaim()}};
  for (std::size_t one = 0; one < cast.size(); ++one) {
    for (std::size_t other = one; other < cast.size(); ++other) {
      BOOST_TEST_MESSAGE(cast[one].first << " and " << cast[other].first);
      expect_right_in_all(world, all_starts, {cast[one], cast[other]});
    }
  }
}

BOOST_AUTO_TEST_CASE(readers_meet_a_world_that_goes_on) {
  ExploreWorld world;
  const ExploreWorld::Body others = world_goes_on(world);
  for (const auto& [name, body] : Cast{{"a snapshot", world.read_snapshot()},
                                       {"gets at read committed", world.read_committed()},
                                       {"a scan at read committed", world.scan_committed()}}) {
    BOOST_TEST_MESSAGE(name);
    expect_right_in_all(world, all_starts, {{"reader", body}, {"world", others}}, 4);
  }
  BOOST_TEST_MESSAGE("a snapshot from before");
  expect_right_in_all(world, {Start::old_reader},
                      {{"reader", world.old_reader()}, {"world", others}}, 4);
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
    expect_right_in_all(world, all_starts, {{"committer", body}, {"world", others}}, 3);
  }
}

BOOST_AUTO_TEST_CASE(committers_meet_each_other_and_the_reclaimer) {
  ExploreWorld world;
  const std::vector<Start> starts = {Start::in_base, Start::in_both};
  for (const auto& [name, first, second] :
       {std::tuple{"blind puts", world.put(rc), world.put(rc)},
        std::tuple{"puts at a snapshot", world.put(rr), world.put(rr, "ab")},
        std::tuple{"puts that depend on a range", world.scan_and_put(), world.scan_and_put()}}) {
    BOOST_TEST_MESSAGE(name);
    expect_right_in_all(world, starts,
                        {{"first", first}, {"second", second}, {"reclaimer", world.reclaim()}}, 2);
  }
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
                      {{"reader", world.read_snapshot()}, {"world", world_goes_on(world)}}, 3);
  expect_right_in_all(world, {Start::old_reader},
                      {{"reader", world.old_reader()}, {"world", world_goes_on(world)}}, 3);
}

// R8. (A sum over a private one that has just been committed would count it twice.)
BOOST_AUTO_TEST_CASE(dirty_reads_see_each_write_once) {
  ExploreWorld world;
  const std::vector<Start> starts = {Start::in_base, Start::in_chain};
  BOOST_TEST_MESSAGE("a sum");
  expect_right_in_all(world, starts,
                      {{"reader", world.read_uncommitted()}, {"committer", world.add(rc)}}, 2,
                      Pruning::none);
  BOOST_TEST_MESSAGE("two values");
  expect_right_in_all(world, starts,
                      {{"reader", world.read_uncommitted()}, {"committer", world.put(rc, "ab")}}, 2,
                      Pruning::none);
}

BOOST_AUTO_TEST_CASE(cursors_of_different_moments_keep_their_own) {
  ExploreWorld world;
  const auto puts = ExploreWorld::in_turn({world.put(rc), world.put(rc), world.reclaim()});
  expect_right_in_all(world, {Start::in_base, Start::in_both},
                      {{"reader", world.cursors()}, {"world", puts}}, 3);
}

BOOST_AUTO_TEST_SUITE_END()

#endif  // ISOLDE_YIELD_POINTS
