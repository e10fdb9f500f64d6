// Every public operation, at all levels, in both lockings, in random runs of a few actors, against
// an oracle that knows the contract and nothing else (surface_judge.h).
//
//   ISOLDE_SEED=n            begins with the run of that seed: a find says its own
//   ISOLDE_MODEL_SECONDS=n   goes on for so long, past finds, and tells of each kind once
//   ISOLDE_MODEL_WITHOUT=a,b leaves kinds of operations out (surface_plan.cc names them)
//   ISOLDE_MODEL_THEME=n     keeps to runs of one theme (surface_plan.cc lists them)
#include <boost/test/unit_test.hpp>
#include <cstdlib>

#include "tests/mvcc/surface_runner.h"
#include "tests/support/seed.h"

using namespace isolde::test;
using namespace isolde::test::surface;

namespace {

void run(bool threads, std::size_t runs) {
  Campaign campaign;
  campaign.threads = threads;
  campaign.seed = seed();
  campaign.runs = rounds(runs);
  if (const char* given = std::getenv("ISOLDE_MODEL_SECONDS")) {
    campaign.time = std::chrono::seconds(std::strtoul(given, nullptr, 10));
    campaign.all_finds = true;
  }
  campaign.found = [&](const Find& find) {
    BOOST_ERROR(find.what << "\nafter " << find.seconds << " s, with ISOLDE_SEED=" << find.seed
                          << "\n"
                          << find.trace);
  };
  const CampaignOutcome outcome = run_campaign(campaign);
  BOOST_TEST_MESSAGE(outcome.runs << " runs");
  BOOST_TEST(outcome.finds.empty());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(stress_surface)

#ifdef ISOLDE_YIELD_POINTS
BOOST_AUTO_TEST_CASE(all_operations_keep_the_contract_in_drawn_schedules) { run(false, 4000); }
#endif

BOOST_AUTO_TEST_CASE(all_operations_keep_the_contract_in_threads) { run(true, 2000); }

BOOST_AUTO_TEST_SUITE_END()
