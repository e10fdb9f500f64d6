// Random transactions of all levels against the model of every committed state.
#include <atomic>
#include <thread>

#include "tests/mvcc/oracle.h"
#include "tests/support/seed.h"

using namespace isolde;
using namespace isolde::test;

namespace {

struct Setting {
  Options options;
  bool may_be_too_old = false;
};

std::vector<Keyspace> make_keyspaces(TempDatabase& db) {
  std::vector<Keyspace> keyspaces{db.keyspace()};
  for (const char* name : {"other", "third"}) keyspaces.push_back(must(db->keyspace(name)));
  return keyspaces;
}

void check(const std::vector<std::string>& faults, std::uint64_t seed) {
  BOOST_TEST(faults.empty(), faults.size() << " faults with ISOLDE_SEED=" << seed);
  for (std::size_t i = 0; i < faults.size() && i < 5; ++i) BOOST_ERROR(faults[i]);
}

// Gathers what the actors did, and judges it.
std::size_t settle(std::vector<Actor>& actors, Model& model, bool may_be_too_old,
                   std::uint64_t seed) {
  std::vector<History> committed;
  std::vector<Failure> failures;
  for (Actor& actor : actors) {
    model.note_written(actor.written);
    std::move(actor.committed.begin(), actor.committed.end(), std::back_inserter(committed));
    for (const Failure& failure : actor.failures) {
      const Error& error = failure.error;
      if (error.code() == ErrorCode::snapshot_too_old && !may_be_too_old) {
        BOOST_ERROR("a snapshot was given up: " + error.to_string());
      }
      failures.push_back(failure);
    }
    actor.written.clear();
    actor.committed.clear();
    actor.failures.clear();
  }
  const std::size_t count = committed.size();
  check(model.judge(std::move(committed), failures), seed);
  return count;
}

void compare_contents(TempDatabase& db, const Model& model, std::uint64_t seed) {
  for (const Keyspace& keyspace : db->keyspaces()) {
    check(model.compare(keyspace.name(), db.contents(keyspace)), seed);
  }
}

// Many short schedules on one thread: a few actors, one step of one of them at a time, and now and
// then a checkpoint or a run of the reclaimer.
void run_schedules(const Setting& setting, std::size_t schedules, std::uint64_t seed) {
  TempDatabase db(setting.options);
  std::mt19937_64 random(seed);
  const auto draw = [&](std::size_t below) { return random() % below; };
  std::vector<Keyspace> keyspaces = make_keyspaces(db);
  auto witness = std::make_shared<Witness>();
  db->add_observer(witness);
  Model model;
  model.start_at(db->stats().visible.value);
  Actor::acknowledged = db->stats().visible.value;
  std::size_t committed = 0;
  for (std::size_t schedule = 0; schedule < schedules; ++schedule) {
    std::vector<Actor> actors;
    const std::size_t crowd = 2 + draw(5);
    for (std::size_t i = 0; i < crowd; ++i) {
      actors.emplace_back(*db.operator->(), keyspaces, random(),
                          "s" + std::to_string(schedule) + "a" + std::to_string(i));
    }
    const std::size_t steps = 20 + draw(80);
    for (std::size_t step = 0; step < steps; ++step) {
      actors[draw(crowd)].step();
      const std::size_t upkeep = draw(400);
      if (upkeep < 2) db.checkpoint();
      if (upkeep < 12) db.reclaim();
    }
    for (Actor& actor : actors) actor.finish();
    committed += settle(actors, model, setting.may_be_too_old, seed);
    if (draw(200) == 0) {
      db->remove_observer(witness);
      // A kill may lose what was not yet written under periodic durability.
      if (setting.options.durability.kind == Durability::Kind::periodic) {
        db.reopen();
      } else {
        db.kill_and_reopen();
      }
      db->add_observer(witness);
      compare_contents(db, model, seed);
    }
  }
  db->remove_observer(witness);
  BOOST_TEST(committed > schedules);
  compare_contents(db, model, seed);
}

// The same from several threads, while others checkpoint and reclaim.
void run_threads(const Setting& setting, std::size_t threads, std::size_t steps,
                 std::uint64_t seed) {
  TempDatabase db(setting.options);
  const std::vector<Keyspace> keyspaces = make_keyspaces(db);
  const auto witness = std::make_shared<Witness>();
  db->add_observer(witness);
  Model model;
  model.start_at(db->stats().visible.value);
  Actor::acknowledged = db->stats().visible.value;
  for (int round = 0; round < 4; ++round) {
    std::vector<Actor> actors;
    for (std::size_t i = 0; i < 2 * threads; ++i) {
      actors.emplace_back(*db.operator->(), keyspaces, derive(seed, 16 * round + i),
                          "r" + std::to_string(round) + "a" + std::to_string(i));
    }
    std::atomic<std::size_t> working{threads};
    std::vector<std::string> upkeep_outcomes;
    std::vector<std::thread> crowd;
    for (std::size_t i = 0; i < threads; ++i) {
      crowd.emplace_back([&, i] {
        // Two actors each: one thread has several transactions open.
        for (std::size_t step = 0; step < steps; ++step) actors[2 * i + step % 2].step();
        actors[2 * i].finish();
        actors[2 * i + 1].finish();
        --working;
      });
    }
    crowd.emplace_back([&] {
      while (working != 0) {
        upkeep_outcomes.push_back(outcome(db->checkpoint()));
        for (int i = 0; i < 20 && working != 0; ++i) db.reclaim();
        upkeep_outcomes.push_back(outcome(db->verify()));
        static_cast<void>(db->stats());
      }
    });
    for (std::thread& thread : crowd) thread.join();
    for (const std::string& result : upkeep_outcomes) BOOST_TEST(result == "ok");
    BOOST_TEST(settle(actors, model, setting.may_be_too_old, seed) > threads);
    compare_contents(db, model, seed);
  }
  db->remove_observer(witness);
}

Options without_sync() {
  Options options = small_options();
  options.durability = Durability::none();
  return options;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(stress_model)

BOOST_AUTO_TEST_CASE(thousands_of_interleavings_agree_with_the_model) {
  run_schedules({without_sync()}, 2000 * scale(), seed());
}

BOOST_AUTO_TEST_CASE(interleavings_agree_with_the_model_under_every_durability) {
  const std::uint64_t from = seed();
  Setting setting{small_options()};
  run_schedules(setting, 50 * scale(), derive(from, 1));
  setting.options.durability = Durability::periodic(std::chrono::milliseconds(1));
  setting.options.background_work = true;
  setting.options.checkpoint_log_bytes = 32 << 10;
  run_schedules(setting, 50 * scale(), derive(from, 2));
}

BOOST_AUTO_TEST_CASE(interleavings_agree_with_the_model_when_version_memory_is_tiny) {
  Setting setting{without_sync(), true};
  setting.options.max_version_memory = 2000;
  run_schedules(setting, 500 * scale(), seed());
}

BOOST_AUTO_TEST_CASE(threads_agree_with_the_model) {
  run_threads({without_sync()}, 4, 1000 * scale(), seed());
}

BOOST_AUTO_TEST_CASE(threads_agree_with_the_model_with_all_background_work_and_tiny_memory) {
  Setting setting{without_sync(), true};
  setting.options.background_work = true;
  setting.options.checkpoint_log_bytes = 64 << 10;
  setting.options.max_version_memory = 20'000;
  run_threads(setting, 4, 1000 * scale(), seed());
}

BOOST_AUTO_TEST_CASE(threads_agree_with_the_model_when_each_commit_is_synced) {
  run_threads({small_options()}, 4, 150 * scale(), seed());
}

BOOST_AUTO_TEST_SUITE_END()
