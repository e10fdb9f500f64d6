// Real threads on the engine as it is: recorded, and judged.
#include <boost/test/unit_test.hpp>

#include "tests/lab/stress_rounds.h"

using namespace isolde::lab;

BOOST_AUTO_TEST_SUITE(stress_threads)

BOOST_AUTO_TEST_CASE(threads_of_every_workload_keep_every_promise) {
  isolde::lab::test::expect_sound(StressMode::threads, isolde::test::rounds(7));
}

BOOST_AUTO_TEST_SUITE_END()
