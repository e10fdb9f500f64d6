// Thousands of images of what a crash may leave, opened and compared with the model.
#include <array>
#include <cerrno>
#include <string>

#include "mvcc/database_core.h"
#include "tests/support/crash_world.h"
#include "tests/support/sanitizer.h"
#include "tests/support/seed.h"

using namespace isolde;
using namespace isolde::test;

namespace {

struct Kind {
  const char* name;
  bool process;  // only the process dies
  Unsynced writes;
  Unsynced names;
};

constexpr std::array kinds{
    Kind{"process killed", true, Unsynced::kept, Unsynced::kept},
    Kind{"dropped", false, Unsynced::dropped, Unsynced::dropped},
    Kind{"kept", false, Unsynced::kept, Unsynced::kept},
    Kind{"writes kept, names dropped", false, Unsynced::kept, Unsynced::dropped},
    Kind{"reordered", false, Unsynced::reordered, Unsynced::reordered},
    Kind{"cut", false, Unsynced::cut, Unsynced::reordered},
    Kind{"torn", false, Unsynced::torn, Unsynced::kept},
    Kind{"scrambled", false, Unsynced::scrambled, Unsynced::reordered},
};

// Sanitizers see the same code in any of the worlds, and one thread at a time: fewer of them.
constexpr std::size_t fewer = isolde::test::sanitized ? 10 : 1;

struct Count {
  std::uint64_t images = 0;
  std::uint64_t recoveries = 0;
  std::uint64_t crashed_recoveries = 0;
  std::uint64_t commits = 0;
};

// Each world: `lives` lives, all images of each in every kind of crash; the next life begins with
// one of them. Stops at the first trouble.
void play(const WorldPlan& plan, std::size_t lives, Count& count) {
  CrashWorld world(plan);
  std::mt19937_64 random(derive(plan.seed, 1));
  for (std::size_t life = 0; life < lives; ++life) {
    const std::string trouble = world.live();
    BOOST_REQUIRE_MESSAGE(trouble.empty(), "life " << life << ": " << trouble);
    for (const CrashImage& image : world.images()) {
      const std::string wrong = world.base_is_exact(image);
      BOOST_REQUIRE_MESSAGE(wrong.empty(), "life " << life << ", the base, "
                                                   << world.describe(image) << ": " << wrong);
      for (const Kind& kind : kinds) {
        const std::uint64_t seed = random();
        const std::string lost =
            world.survives(image, {kind.writes, kind.names, seed}, kind.process, seed);
        BOOST_REQUIRE_MESSAGE(lost.empty(), "life " << life << ", " << world.describe(image) << ", "
                                                    << kind.name << ": " << lost);
        ++count.images;
      }
    }
    const CrashImage& image = world.images()[random() % world.images().size()];
    const Kind& kind = kinds[random() % kinds.size()];
    world.continue_from(image, {kind.writes, kind.names, random()}, kind.process);
  }
  count.recoveries += world.recoveries();
  count.crashed_recoveries += world.crashed_recoveries();
  count.commits += world.commits();
}

// A new database whose first opening loses its power after so many operations, if there are as
// many; then another one.
std::string cut_first_opening(std::uint64_t operations, const Crash& crash, bool process,
                              bool& was_whole) {
  const FastDirectory directory;
  const auto path = directory.path() / "db";
  auto files = std::make_unique<FaultFileSystem>();
  files->power_off_after(operations);
  auto first = DatabaseInternals::open(path, small_options(), *files);
  was_whole = first.has_value();
  if (first) {
    DatabaseInternals::abandon(std::move(*first));
  } else if (first.error().code() != ErrorCode::io_error) {
    return first.error().to_string();
  }
  files = process ? files->clone() : files->crash(crash);
  files->clear_faults();
  auto second = DatabaseInternals::open(path, small_options(), *files);
  if (!second) return second.error().to_string();
  auto found = read_everything(*second);
  auto made = second->keyspace("made");
  DatabaseInternals::abandon(std::move(*second));
  if (!found) return found.error().to_string();
  if (!made) return made.error().to_string();
  if (*found != DatabaseContents{{"default", {}}}) return "it is not empty";
  files = files->crash({});
  auto third = DatabaseInternals::open(path, small_options(), *files);
  if (!third) return "a third opening: " + third.error().to_string();
  const bool is_there = third->find_keyspace("made").has_value();
  DatabaseInternals::abandon(std::move(*third));
  return is_there ? "" : "the keyspace is gone";
}

void play_worlds(std::size_t worlds, std::size_t lives,
                 const std::function<void(WorldPlan&, std::mt19937_64&)>& vary) {
  const std::uint64_t first_seed = seed();
  Count count;
  for (std::size_t i = 0; i < (worlds + fewer - 1) / fewer * scale(); ++i) {
    WorldPlan plan;
    plan.seed = i == 0 ? first_seed : derive(first_seed, i);
    BOOST_TEST_CONTEXT("ISOLDE_SEED=" << plan.seed) {
      std::mt19937_64 random(plan.seed);
      vary(plan, random);
      play(plan, lives, count);
    }
  }
  BOOST_TEST_MESSAGE(count.images << " images of " << count.commits << " commits, "
                                  << count.recoveries << " recoveries, " << count.crashed_recoveries
                                  << " more cut short");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crash_images)

BOOST_AUTO_TEST_CASE(a_first_opening_that_is_cut_short_is_no_obstacle_to_the_next) {
  const std::uint64_t first_seed = seed();
  BOOST_TEST_CONTEXT("ISOLDE_SEED=" << first_seed) {
    std::mt19937_64 random(first_seed);
    bool was_whole = false;
    for (std::uint64_t operations = 0; !was_whole; ++operations) {
      for (const Kind& kind : kinds) {
        const std::string trouble = cut_first_opening(
            operations, {kind.writes, kind.names, random()}, kind.process, was_whole);
        BOOST_REQUIRE_MESSAGE(trouble.empty(), "after " << operations << " operations, "
                                                        << kind.name << ": " << trouble);
      }
      BOOST_REQUIRE(operations < 100);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_was_acknowledged_survives_whole_and_nothing_else_in_part) {
  play_worlds(10, 3,
              [](WorldPlan& plan, std::mt19937_64& random) { plan.sessions = 2 + random() % 3; });
}

BOOST_AUTO_TEST_CASE(what_was_acknowledged_before_a_failure_of_the_log_survives_it) {
  play_worlds(10, 2, [](WorldPlan& plan, std::mt19937_64& random) {
    const std::uint64_t nth = 1 + random() % 25;
    const std::uint64_t dice = random() % 5;
    plan.faults = [nth, dice](FaultFileSystem& files) {
      if (dice == 0) files.fail_write(nth, EIO);
      if (dice == 1) files.short_write(nth, EIO);
      if (dice == 2) files.short_write(nth, ENOSPC);
      if (dice > 2) files.fail_sync(nth, EIO);
    };
  });
}

BOOST_AUTO_TEST_CASE(without_syncs_commits_survive_the_process_and_a_prefix_of_them_the_machine) {
  play_worlds(4, 2, [](WorldPlan& plan, std::mt19937_64& random) {
    plan.durability = random() % 2 == 0 ? Durability::none()
                                        : Durability::periodic(std::chrono::milliseconds(1000));
  });
}

BOOST_AUTO_TEST_SUITE_END()
