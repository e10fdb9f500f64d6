// The stress on the engine as it is: nothing may go wrong. That it would notice, stress_faults
// shows.
#include <boost/test/unit_test.hpp>
#include <random>
#include <string>

#include "lab/stress.h"
#include "tests/lab/inner_places.h"
#include "tests/support/seed.h"

using namespace isolde;
using namespace isolde::lab;
using namespace isolde::test;

namespace {

void expect_sound(StressOptions options) {
  const StressReport report = stress(options);
  BOOST_TEST(!report.failure, "went wrong with ISOLDE_SEED=" << options.seed);
  BOOST_TEST(report.endings.at("ok") > 0u);
  if (!report.failure) return;
  const StressFailure& failure = *report.failure;
  BOOST_TEST_MESSAGE("round " << failure.round << ": " << failure.finding.text);
  if (failure.shrunken) BOOST_TEST_MESSAGE(to_script(*failure.shrunken, "Shrunk."));
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(stress_drafts, InnerPlacesOfTheEngine)

BOOST_AUTO_TEST_CASE(random_schedules_of_every_workload_keep_every_promise) {
  StressOptions options;
  options.seed = seed();
  options.rounds = rounds(700);
  options.mode = StressMode::steps;
  expect_sound(options);
}

BOOST_AUTO_TEST_CASE(threads_of_every_workload_keep_every_promise) {
  StressOptions options;
  options.seed = seed();
  options.rounds = rounds(7);
  options.mode = StressMode::threads;
  expect_sound(options);
}

BOOST_AUTO_TEST_CASE(a_draft_is_the_same_for_the_same_numbers) {
  const std::uint64_t same = seed();
  for (const Workload workload : all_workloads) {
    std::mt19937_64 one(same);
    std::mt19937_64 other(same);
    BOOST_TEST(stress_draft(workload, one).to_script({}, {}) ==
               stress_draft(workload, other).to_script({}, {}));
  }
}

BOOST_AUTO_TEST_SUITE_END()
