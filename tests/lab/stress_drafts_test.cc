// Random schedules, step by step, on the engine as it is.
#include <boost/test/unit_test.hpp>
#include <random>

#include "tests/lab/inner_places.h"
#include "tests/lab/stress_rounds.h"

using namespace isolde::lab;

BOOST_FIXTURE_TEST_SUITE(stress_drafts, InnerPlacesOfTheEngine)

BOOST_AUTO_TEST_CASE(random_schedules_of_every_workload_keep_every_promise) {
  isolde::lab::test::expect_sound(StressMode::steps, isolde::test::rounds(700));
}

BOOST_AUTO_TEST_CASE(a_draft_is_the_same_for_the_same_numbers) {
  const std::uint64_t same = isolde::test::seed();
  for (const Workload workload : all_workloads) {
    std::mt19937_64 one(same);
    std::mt19937_64 other(same);
    BOOST_TEST(stress_draft(workload, one).to_script({}, {}) ==
               stress_draft(workload, other).to_script({}, {}));
  }
}

BOOST_AUTO_TEST_SUITE_END()
