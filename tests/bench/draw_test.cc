// Random choices of the benchmark: a Zipfian that isn't one would make its plots of skew lies.
#include "bench/workloads/draw.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <set>
#include <vector>

namespace isolde::bench {
namespace {

BOOST_AUTO_TEST_SUITE(draw)

BOOST_AUTO_TEST_CASE(ranks_are_as_frequent_as_their_power_says) {
  constexpr std::uint64_t items = 100;
  constexpr double draws = 400'000;
  for (const double theta : {0.5, 0.9, 0.99}) {
    BOOST_TEST_CONTEXT("theta " << theta) {
      const Zipfian zipfian(items, theta);
      Random random(42);
      std::vector<double> counts(items);
      for (int i = 0; i < static_cast<int>(draws); ++i) ++counts.at(zipfian.rank(random));
      double zeta = 0;
      for (std::uint64_t i = 1; i <= items; ++i) zeta += std::pow(static_cast<double>(i), -theta);
      // The first two ranks are exact; the rest is Gray's approximation, off by some per cent.
      BOOST_TEST(counts[0] / draws == 1 / zeta, boost::test_tools::tolerance(0.02));
      BOOST_TEST(counts[1] / draws == std::pow(2, -theta) / zeta,
                 boost::test_tools::tolerance(0.03));
      double tail = 0;
      double tail_wanted = 0;
      for (std::uint64_t i = 50; i < items; ++i) {
        tail += counts[i] / draws;
        tail_wanted += std::pow(static_cast<double>(i + 1), -theta) / zeta;
      }
      BOOST_TEST(tail == tail_wanted, boost::test_tools::tolerance(0.1));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_zipfian_that_grew_is_the_one_that_began_so_large) {
  Zipfian grown(10, 0.8);
  grown.grow_to(1000);
  const Zipfian whole(1000, 0.8);
  Random one(7);
  Random other(7);
  for (int i = 0; i < 1000; ++i) BOOST_REQUIRE_EQUAL(grown.rank(one), whole.rank(other));
}

BOOST_AUTO_TEST_CASE(keys_stay_below_their_number_and_skew_makes_one_of_them_hot) {
  for (const double theta : {0.0, 0.5, 0.99}) {
    const KeyChooser chooser(1000, theta);
    Random random(1);
    std::vector<int> counts(1000);
    for (int i = 0; i < 100'000; ++i) ++counts.at(chooser.draw(random));
    const int hottest = *std::max_element(counts.begin(), counts.end());
    if (theta == 0) BOOST_TEST(hottest < 200);  // 100 on average
    if (theta == 0.99) BOOST_TEST(hottest > 3000);
  }
}

BOOST_AUTO_TEST_CASE(more_skew_makes_the_hottest_key_hotter_and_ycsb_spreads_more) {
  const auto hottest = [](const KeyChooser& chooser) {
    Random random(1);
    std::vector<int> counts(1000);
    for (int i = 0; i < 100'000; ++i) ++counts.at(chooser.draw(random));
    return *std::max_element(counts.begin(), counts.end());
  };
  BOOST_TEST(hottest(KeyChooser(1000, 0.5)) < hottest(KeyChooser(1000, 0.9)));
  BOOST_TEST(hottest(KeyChooser(1000, 0.9)) < hottest(KeyChooser(1000, 0.99)));
  BOOST_TEST(hottest(KeyChooser::as_ycsb(1000, 0.99)) < hottest(KeyChooser(1000, 0.99)));
}

BOOST_AUTO_TEST_CASE(clients_with_neighbouring_seeds_draw_different_keys) {
  std::set<std::uint64_t> first;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Random random(seed);
    first.insert(random.below(1'000'000));
  }
  BOOST_TEST(first.size() >= 98U);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::bench
