// Many threads that append under a mutex and persist together, as the commit pipeline does; run
// under ThreadSanitizer too. Workers return outcomes, the main thread asserts.

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/mutex.h"
#include "tests/engine/log_fixture.h"
#include "tests/support/seed.h"

namespace isolde::engine {
namespace {

using test::derive;
using test::FaultFileSystem;

struct Outcome {
  std::uint64_t acknowledged = 0;  // commits
  std::uint64_t newest = 0;        // the last that was acknowledged
  std::string problem;
};

// What the commit pipeline is to the log.
class Pipeline {
 public:
  explicit Pipeline(CommitLog& log) : log_(log) {}

  Outcome run(std::uint64_t seed, int commits, std::size_t most_bytes) {
    std::mt19937_64 random(seed);
    Outcome outcome;
    for (int i = 0; i < commits; ++i) {
      const std::size_t bytes = random() % 20 == 0 ? random() % most_bytes : random() % 200;
      auto reservation = log_.reserve(bytes + 40);
      if (!reservation) {
        outcome.problem = reservation.error().to_string();
        return outcome;
      }
      if (random() % 10 == 0) continue;  // given back
      Timestamp at;
      {
        MutexLock lock(mutex_);
        at.value = log_.appended().value + 1;
        log_.append(at, entry_of(at.value, bytes), *std::move(reservation));
      }
      if (auto persisted = log_.persist(at); !persisted) {
        outcome.problem = persisted.error().to_string();
        return outcome;
      }
      if (log_.durable() < at) {
        outcome.problem = "acknowledged before it was durable";
        return outcome;
      }
      ++outcome.acknowledged;
      outcome.newest = at.value;
    }
    return outcome;
  }

 private:
  CommitLog& log_;
  Mutex mutex_;
};

std::vector<Outcome> run_threads(CommitLog& log, std::uint64_t seed, std::size_t threads,
                                 int commits, std::size_t most_bytes) {
  Pipeline pipeline(log);
  std::vector<Outcome> outcomes(threads);
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < threads; ++i) {
    workers.emplace_back(
        [&, i] { outcomes[i] = pipeline.run(derive(seed, i), commits, most_bytes); });
  }
  for (std::thread& worker : workers) worker.join();
  return outcomes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(stress_log)

BOOST_AUTO_TEST_CASE(commits_of_many_threads_all_come_back) {
  const std::uint64_t seed = test::seed();
  for (const std::size_t threads : {1u, 2u, 16u, 64u}) {
    FaultFileSystem files;
    auto log = open_log(files, 0, fresh_log()).value().log;
    const int commits = static_cast<int>(static_cast<std::size_t>(3200) * test::scale() / threads);
    std::uint64_t acknowledged = 0;
    for (const Outcome& outcome : run_threads(*log, seed, threads, commits, 30000)) {
      BOOST_REQUIRE_EQUAL(outcome.problem, "");
      acknowledged += outcome.acknowledged;
    }
    BOOST_TEST(log->durable().value == acknowledged);
    BOOST_TEST(log->appended().value == acknowledged);
    BOOST_TEST(log->stats().syncs > 0);
    log.reset();
    const auto again = open_log(files);
    BOOST_REQUIRE(again);
    BOOST_TEST(again->dense);
    BOOST_TEST(again->replayed.size() == acknowledged);
  }
}

// A checkpointer releases, another thread verifies, statistics are read, all while commits go on.
BOOST_AUTO_TEST_CASE(releases_and_verifications_go_on_beside_commits) {
  const std::uint64_t seed = test::seed();
  FaultFileSystem files;
  auto log = open_log(files, 0, fresh_log()).value().log;
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> base_at{0};
  std::thread checkpointer([&] {
    std::mt19937_64 random(seed);
    while (!done.load()) {
      const std::uint64_t durable = log->durable().value;
      base_at.store(base_at.load() + random() % (durable - base_at.load() + 1));
      log->release(Timestamp{base_at.load()});
      std::this_thread::yield();
    }
  });
  std::string problem;
  std::thread verifier([&] {
    while (!done.load()) {
      if (const auto verified = log->verify(); !verified) problem = verified.error().to_string();
      const LogStats stats = log->stats();
      if (stats.file_bytes == 0) problem = "no files";
      std::this_thread::yield();
    }
  });
  const auto outcomes = run_threads(*log, seed, 16, static_cast<int>(300 * test::scale()), 30000);
  done.store(true);
  checkpointer.join();
  verifier.join();
  BOOST_TEST(problem == "");
  std::uint64_t acknowledged = 0;
  for (const Outcome& outcome : outcomes) {
    BOOST_TEST(outcome.problem == "");
    acknowledged += outcome.acknowledged;
  }
  BOOST_TEST(log->verify()->commits == acknowledged - base_at.load());
  log.reset();
  const auto again = open_log(files, base_at.load());
  BOOST_REQUIRE(again);
  BOOST_TEST(again->replayed.size() == acknowledged - base_at.load());
}

// I8: every waiter learns of the failure, no thread hangs, nothing acknowledged is lost.
BOOST_AUTO_TEST_CASE(all_waiters_learn_of_a_failed_sync) {
  const std::uint64_t seed = test::seed();
  for (std::uint64_t round = 0; round < 30 * test::scale(); ++round) {
    FaultFileSystem files(derive(seed, round));
    auto log = open_log(files, 0, fresh_log()).value().log;
    if (round % 2 == 0) {
      files.fail_sync(1 + round, EIO);
    } else {
      files.short_write(1 + round, EIO);
    }
    std::uint64_t newest = 0;
    for (const Outcome& outcome : run_threads(*log, derive(seed, round), 16, 40, 300)) {
      newest = std::max(newest, outcome.newest);
      if (outcome.problem.empty()) continue;
      const bool promised = outcome.problem.starts_with("commit_outcome_unknown") ||
                            outcome.problem.starts_with("database_failed") ||
                            outcome.problem.starts_with("io_error");  // of a new segment
      BOOST_REQUIRE_MESSAGE(promised, outcome.problem);
    }
    BOOST_TEST(log->durable().value >= newest);
    log.reset();
    const auto again = open_log(*files.crash({test::Unsynced::dropped, test::Unsynced::kept, 1}));
    BOOST_REQUIRE(again);
    BOOST_TEST(again->log->durable().value >= newest);
  }
}

BOOST_AUTO_TEST_CASE(a_full_disk_harms_no_commit_of_many_threads) {
  const std::uint64_t seed = test::seed();
  FaultFileSystem files;
  auto log = open_log(files, 0, fresh_log()).value().log;
  files.limit_bytes(20 * least_segment_bytes);
  std::uint64_t acknowledged = 0;
  bool full = false;
  for (const Outcome& outcome : run_threads(*log, seed, 16, 2000, 3000)) {
    acknowledged += outcome.acknowledged;
    full |= outcome.problem.starts_with("disk_full");
  }
  BOOST_TEST(full);
  BOOST_TEST(!log->failed());
  BOOST_TEST(log->durable().value == acknowledged);
  log->release(log->durable());
  BOOST_TEST(commit(*log).has_value());
}

BOOST_AUTO_TEST_CASE(threads_without_sync_do_not_wait_for_the_disk) {
  const std::uint64_t seed = test::seed();
  FaultFileSystem files;
  LogOptions options = fresh_log();
  options.sync = false;
  auto log = open_log(files, 0, options).value().log;
  std::uint64_t acknowledged = 0;
  for (const Outcome& outcome : run_threads(*log, seed, 8, 400, 3000)) {
    BOOST_TEST(outcome.problem == "");
    acknowledged += outcome.acknowledged;
  }
  BOOST_TEST(log->stats().syncs == 0);
  log.reset();
  BOOST_TEST(open_log(files)->replayed.size() == acknowledged);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace isolde::engine
