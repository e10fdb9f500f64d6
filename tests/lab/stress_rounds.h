// The stress on the engine as it is, as a test: nothing may go wrong. That it would notice,
// stress_faults shows.
#pragma once

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <cstdlib>
#include <string>

#include "lab/stress/stress.h"
#include "tests/support/seed.h"

namespace isolde::lab::test {

// How long each stress goes on after its rounds: ISOLDE_STRESS_SECONDS, else not at all.
inline std::chrono::seconds stress_seconds() {
  const char* given = std::getenv("ISOLDE_STRESS_SECONDS");
  return std::chrono::seconds(given != nullptr ? std::strtoul(given, nullptr, 10) : 0);
}

inline void expect_sound(const StressOptions& options) {
  const StressReport report = stress(options);
  BOOST_TEST(!report.failure, "went wrong with ISOLDE_SEED=" << options.seed);
  BOOST_TEST_MESSAGE(report.drafts << " drafts, " << report.thread_rounds
                                   << " rounds of threads in " << report.time.count() << " ms");
  BOOST_TEST(report.endings.at("ok") > 0u);
  if (!report.failure) return;
  const StressFailure& failure = *report.failure;
  BOOST_TEST_MESSAGE("round " << failure.round << ": " << failure.finding.text);
  if (failure.shrunken) BOOST_TEST_MESSAGE(to_script(*failure.shrunken, "Shrunk."));
}

// So many rounds, and on for ISOLDE_STRESS_SECONDS.
inline void expect_sound(StressMode mode, std::size_t rounds) {
  StressOptions options;
  options.seed = isolde::test::seed();
  options.mode = mode;
  options.rounds = rounds;
  options.time = std::chrono::hours(1);
  expect_sound(options);
  options.time = stress_seconds();
  if (options.time.count() == 0) return;
  options.rounds.reset();
  ++options.seed;  // others than those before
  expect_sound(options);
}

}  // namespace isolde::lab::test
