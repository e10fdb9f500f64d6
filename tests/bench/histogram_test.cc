// The benchmark's latencies.
#include "bench/run/histogram.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <vector>

#include "bench/workloads/draw.h"

namespace isolde::bench {
namespace {

BOOST_AUTO_TEST_SUITE(histogram)

BOOST_AUTO_TEST_CASE(quantiles_are_at_most_a_thirty_second_above_the_sorted_samples) {
  Random random(3);
  Histogram histogram;
  std::vector<std::uint64_t> samples;
  for (int i = 0; i < 20'000; ++i) {
    // From nanoseconds to minutes.
    const auto sample = static_cast<std::uint64_t>(std::exp(random.real() * 25));
    samples.push_back(sample);
    histogram.record(sample);
  }
  std::sort(samples.begin(), samples.end());
  for (const double q : {0.0, 0.01, 0.5, 0.95, 0.99, 0.999, 1.0}) {
    const auto exact =
        samples[static_cast<std::size_t>(q * static_cast<double>(samples.size() - 1))];
    const std::uint64_t found = histogram.quantile(q);
    BOOST_TEST_CONTEXT("q " << q << ", exact " << exact << ", found " << found) {
      BOOST_TEST(found >= exact);
      BOOST_TEST(found <= exact + exact / 32 + 1);
    }
  }
  BOOST_TEST(histogram.maximum() == samples.back());
  BOOST_TEST(histogram.count() == samples.size());
}

BOOST_AUTO_TEST_CASE(merged_histograms_are_the_histogram_of_all_samples) {
  Histogram odd;
  Histogram even;
  Histogram all;
  for (std::uint64_t i = 0; i < 10'000; ++i) {
    (i % 2 == 0 ? even : odd).record(i * i);
    all.record(i * i);
  }
  odd.merge(even);
  for (const double q : {0.1, 0.5, 0.9, 1.0}) BOOST_TEST(odd.quantile(q) == all.quantile(q));
  BOOST_TEST(odd.count() == all.count());
}

BOOST_AUTO_TEST_CASE(an_empty_histogram_has_quantiles_of_zero) {
  BOOST_TEST(Histogram().quantile(0.5) == 0U);
}

BOOST_AUTO_TEST_CASE(what_is_longer_than_it_can_tell_is_in_its_last_bucket) {
  Histogram histogram;
  histogram.record(~std::uint64_t{0});
  histogram.record(1);
  BOOST_TEST(histogram.quantile(1) > std::uint64_t{1} << 40);
  BOOST_TEST(histogram.quantile(0) == 1U);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::bench
