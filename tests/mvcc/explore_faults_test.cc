// That the exploration can fail: each step that a rule of the design demands is left out in turn,
// and a schedule in which that goes wrong must be found, by the same means that find none without.
// Not run under sanitizers (CMakeLists.txt): some of the faults are the very memory errors that
// those stop at.
#include <boost/test/unit_test.hpp>

#ifdef ISOLDE_YIELD_POINTS

#include <string>
#include <vector>

#include "mvcc/planted_fault.h"
#include "tests/mvcc/explore_world.h"

using namespace isolde;
using namespace isolde::test;
using mvcc::PlantedFault;

namespace {

constexpr auto rc = Isolation::read_committed;
constexpr auto rr = Isolation::repeatable_read;

struct Planted {
  explicit Planted(PlantedFault fault) { mvcc::planted_fault.store(fault); }
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;
  ~Planted() { mvcc::planted_fault.store(PlantedFault::none); }
};

void expect_found(PlantedFault fault, ExploreWorld& world, Start start, const Cast& cast,
                  std::optional<unsigned> preemptions = 3, Pruning pruning = Pruning::by_state) {
  const Explored sound = interleave(world, start, cast, preemptions, pruning);
  BOOST_TEST(!sound.failure, sound.failure.value_or(""));
  BOOST_TEST(sound.exhausted);
  const Planted planted(fault);
  const Explored faulty = interleave(world, start, cast, preemptions, pruning);
  BOOST_TEST_MESSAGE("found in schedule "
                     << faulty.schedules << " (" << sound.schedules
                     << " without the fault): " << faulty.failure.value_or("nothing"));
  BOOST_TEST(faulty.failure.has_value(), "the planted fault was not found");
  world.abandon();
}

// Each leaves a store behind that is damaged: a world for each.
struct Fixture {
  ExploreWorld world;
  ExploreWorld::Body goes_on =
      ExploreWorld::in_turn({world.put(rc), world.checkpoint(), world.reclaim()});
  ExploreWorld::Body put_and_reclaim = ExploreWorld::in_turn({world.put(rc), world.reclaim()});
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(explore_faults, Fixture)

BOOST_AUTO_TEST_CASE(r1_a_pending_slot_that_is_overlooked_loses_its_version) {
  expect_found(PlantedFault::pending_ignored, world, Start::in_chain,
               {{"reader", world.read_snapshot()}, {"world", put_and_reclaim}});
}

BOOST_AUTO_TEST_CASE(r1_a_view_that_is_not_registered_is_not_respected) {
  expect_found(PlantedFault::view_not_registered, world, Start::in_base,
               {{"reader", world.read_committed()}, {"world", goes_on}});
}

BOOST_AUTO_TEST_CASE(r2_visible_read_after_the_slots_misses_who_came_between) {
  expect_found(PlantedFault::visible_after_slots, world, Start::in_chain,
               {{"reader", world.read_snapshot()},
                {"committer", world.put(rc)},
                {"reclaimer", world.reclaim()}});
}

BOOST_AUTO_TEST_CASE(r2_a_checkpoint_that_is_not_registered_misses_versions) {
  expect_found(PlantedFault::step_not_registered, world, Start::in_chain,
               {{"checkpointer", world.checkpoint()}, {"world", put_and_reclaim}});
}

BOOST_AUTO_TEST_CASE(r3_a_view_given_up_before_the_next_is_open_leaves_a_gap) {
  // The view in the gap is at a checkpoint that began before the last commit, which the snapshot
  // has; then that commit gets into the base, and its chain goes.
  const auto checkpoints =
      ExploreWorld::in_turn({world.checkpoint(), world.checkpoint(), world.reclaim()});
  const auto reader = ExploreWorld::in_turn({world.put(rc), world.read_snapshot()});
  expect_found(PlantedFault::view_gap_in_renewal, world, Start::in_chain,
               {{"reader", reader}, {"background", checkpoints}}, 4);
}

BOOST_AUTO_TEST_CASE(r4_a_drop_that_does_not_look_again_loses_a_commit) {
  expect_found(PlantedFault::drop_not_rechecked, world, Start::in_both,
               {{"committer", world.put(rc)}, {"reclaimer", world.reclaim()}});
}

BOOST_AUTO_TEST_CASE(r5_what_is_freed_at_once_is_still_being_read) {
  expect_found(PlantedFault::freed_at_once, world, Start::in_both,
               {{"reader", world.read_snapshot()}, {"reclaimer", world.reclaim()}});
}

BOOST_AUTO_TEST_CASE(r6_an_answer_of_a_snapshot_given_up_is_wrong) {
  ExploreWorld small(0);
  expect_found(PlantedFault::too_old_unchecked, small, Start::old_reader,
               {{"reader", small.old_reader()}, {"reclaimer", small.reclaim()}});
}

BOOST_AUTO_TEST_CASE(i3_a_chain_dropped_under_an_older_view_is_missed) {
  expect_found(PlantedFault::dropped_under_views, world, Start::in_base,
               {{"reader", world.read_committed()}, {"world", goes_on}});
}

BOOST_AUTO_TEST_CASE(i7_a_commit_that_is_visible_before_it_is_installed_is_seen_in_part) {
  expect_found(PlantedFault::visible_before_installed, world, Start::in_chain,
               {{"reader", world.read_snapshot()}, {"committer", world.put(rc, "ab")}});
}

BOOST_AUTO_TEST_CASE(c1_a_base_image_that_is_not_checked_again_hides_a_commit) {
  expect_found(PlantedFault::base_image_not_rechecked, world, Start::in_base,
               {{"first", world.put(rr)}, {"second", world.put(rc)}});
}

BOOST_AUTO_TEST_CASE(chains_announced_before_they_are_in_order_are_missed_by_a_scan) {
  expect_found(PlantedFault::merge_announced_early, world, Start::in_chain,
               {{"reader", world.scan_committed()}, {"reclaimer", world.reclaim()}});
}

BOOST_AUTO_TEST_CASE(a_second_cursor_that_pins_nothing_loses_its_versions) {
  const auto puts = ExploreWorld::in_turn({world.put(rc), world.put(rc), world.reclaim()});
  expect_found(PlantedFault::newer_pin_forgotten, world, Start::in_base,
               {{"reader", world.cursors()}, {"world", puts}});
}

BOOST_AUTO_TEST_CASE(r8_a_sum_over_what_has_been_committed_counts_it_twice) {
  expect_found(PlantedFault::ended_copies_kept, world, Start::in_base,
               {{"reader", world.read_uncommitted()}, {"committer", world.add(rc)}}, 2,
               Pruning::none);
}

BOOST_AUTO_TEST_SUITE_END()

#endif  // ISOLDE_YIELD_POINTS
