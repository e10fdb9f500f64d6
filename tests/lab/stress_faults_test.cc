// That the stress can fail: each fault is planted alone, must be found, and must be shrunk to a
// small script that shows it. The clean twin plays the same drafts, and that script, and shows
// nothing. Not run under sanitizers (CMakeLists.txt): some of the faults leave memory behind.
#include <boost/test/unit_test.hpp>

#ifdef ISOLDE_YIELD_POINTS

#include <string>
#include <variant>

#include "lab/play/play.h"
#include "lab/script/parse_script.h"
#include "lab/script/script.h"
#include "lab/stress/stress.h"
#include "mvcc/planted_fault.h"
#include "tests/lab/inner_places.h"
#include "tests/support/seed.h"

using namespace isolde;
using namespace isolde::lab;
using namespace isolde::test;
using mvcc::PlantedFault;

namespace {

constexpr std::size_t most_steps = 12;
// A hundred times what the rarest of the faults takes on average.
constexpr std::size_t enough_drafts = 20'000;
constexpr std::size_t enough_rounds_of_threads = 140;
// Of the clean twin's rounds of threads: no two are alike, so there is nothing to play again.
constexpr std::size_t clean_rounds = 7;

struct Planted {
  explicit Planted(PlantedFault fault) { mvcc::planted_fault.store(fault); }
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;
  ~Planted() { mvcc::planted_fault.store(PlantedFault::none); }
};

// Checks of the script that failed.
std::size_t failed_checks(const Script& script) {
  const auto playground = Playground::temporary();
  const PlayResult result = play(script, 0, Cell{}, *playground);
  const Play* played = std::get_if<Play>(&result);
  BOOST_REQUIRE(played != nullptr);
  return played->failed();
}

void expect_found(PlantedFault fault, StressMode mode = StressMode::steps) {
  const bool threads = mode == StressMode::threads;
  StressOptions options;
  options.seed = seed();
  options.rounds = threads ? enough_rounds_of_threads : enough_drafts;
  options.time = std::chrono::minutes(2);
  options.mode = mode;
  std::optional<StressFailure> failure;
  {
    const Planted planted(fault);
    StressReport report = stress(options);
    BOOST_TEST_MESSAGE("found after " << report.found_after.count() << " ms, " << report.drafts
                                      << " drafts, " << report.thread_rounds
                                      << " rounds of threads");
    failure = std::move(report.failure);
  }
  BOOST_REQUIRE_MESSAGE(failure, "not found with ISOLDE_SEED=" << options.seed);
  BOOST_REQUIRE(failure->shrunken);
  const std::string text = to_script(*failure->shrunken, "Shrunk.");
  BOOST_TEST_MESSAGE(text);
  BOOST_TEST(failure->shrunken->draft.moves.size() <= most_steps);

  const ParsedScript parsed = parse_script("shrunken.iso", text);
  BOOST_REQUIRE(parsed.script);
  {
    const Planted planted(fault);
    BOOST_TEST(failed_checks(*parsed.script) > 0u);
  }
  BOOST_TEST(failed_checks(*parsed.script) == 0u);
  // The drafts up to the one that went wrong, without the fault.
  options.rounds = threads ? clean_rounds : failure->round + 1;
  BOOST_TEST(!stress(options).failure);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(stress_faults, InnerPlacesOfTheEngine)

BOOST_AUTO_TEST_CASE(ranges_that_are_not_validated) {
  expect_found(PlantedFault::ranges_not_validated);
}

BOOST_AUTO_TEST_CASE(a_first_committer_that_does_not_win) {
  expect_found(PlantedFault::first_committer_ignored);
}

BOOST_AUTO_TEST_CASE(values_compared_instead_of_versions) {
  expect_found(PlantedFault::values_compared);
}

BOOST_AUTO_TEST_CASE(a_version_that_is_reclaimed_too_early) {
  expect_found(PlantedFault::reclaimed_too_early);
}

BOOST_AUTO_TEST_CASE(half_a_write_set_that_is_published) {
  expect_found(PlantedFault::half_published);
}

BOOST_AUTO_TEST_CASE(a_gap_that_is_not_locked) { expect_found(PlantedFault::gaps_not_locked); }

BOOST_AUTO_TEST_CASE(a_lock_that_is_released_before_the_commit_is_visible) {
  expect_found(PlantedFault::released_before_visible);
}

BOOST_AUTO_TEST_CASE(a_snapshot_that_is_registered_late) {
  expect_found(PlantedFault::registered_late);
}

BOOST_AUTO_TEST_CASE(a_commit_that_is_acknowledged_before_it_is_synced) {
  expect_found(PlantedFault::acknowledged_early);
}

BOOST_AUTO_TEST_CASE(edges_of_the_queue_that_are_forgotten) {
  expect_found(PlantedFault::queue_edges_forgotten);
}

// What threads did is made a script of: that fails in the same way, though the threads are gone.

BOOST_AUTO_TEST_CASE(a_first_committer_that_does_not_win_between_threads) {
  expect_found(PlantedFault::first_committer_ignored, StressMode::threads);
}

BOOST_AUTO_TEST_CASE(ranges_that_are_not_validated_between_threads) {
  expect_found(PlantedFault::ranges_not_validated, StressMode::threads);
}

BOOST_AUTO_TEST_CASE(a_gap_that_is_not_locked_between_threads) {
  expect_found(PlantedFault::gaps_not_locked, StressMode::threads);
}

BOOST_AUTO_TEST_CASE(half_a_write_set_that_is_published_between_threads) {
  expect_found(PlantedFault::half_published, StressMode::threads);
}

BOOST_AUTO_TEST_SUITE_END()

#endif  // ISOLDE_YIELD_POINTS
