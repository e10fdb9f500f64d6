#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>

#include "bench/engines/isolde_engine.h"
#include "bench/run/machine.h"
#include "bench/single/measurements.h"
#include "bench/workloads/draw.h"
#include "bench/workloads/record.h"

namespace isolde::bench {
namespace {

// Ten puts to a transaction.
void fill_log(const std::filesystem::path& directory, std::uint64_t keys, std::uint64_t log_bytes) {
  static std::unique_ptr<IsoldeEngine> engine;  // outlives the process: a crash closes nothing
  engine = open_isolde({directory, Synced::no, false, 0});
  engine->load([](std::string&, std::string&) { return false; });
  const auto client = engine->client("rr-opt");
  Random random(log_bytes);
  Record record(Parameters().value_bytes, 0);
  while (engine->database().stats().log_live_bytes < log_bytes) {
    for (int some = 0; some < 1000; ++some) {
      client->begin(true);
      for (int put = 0; put < 10; ++put) {
        record.set(static_cast<std::int64_t>(random.next()));
        if (client->put(account_key(random.below(keys)).view(), record.view()) != Reason::none) {
          throw CannotRun("a put failed");
        }
      }
      if (client->commit() != Reason::none) throw CannotRun("a commit failed");
    }
  }
}

// Leaves the files as a crash does.
void fill_and_crash(const std::filesystem::path& directory, std::uint64_t keys,
                    std::uint64_t log_bytes) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
      fill_log(directory, keys, log_bytes);
      ::_exit(0);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) {
    throw CannotRun("the process that fills the log failed");
  }
}

}  // namespace

void measure_crash_recovery(const std::filesystem::path& directory, std::uint64_t keys,
                            std::uint64_t log_megabytes, int repetitions) {
  std::vector<double> milliseconds;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    const auto crashed = directory / ("crashed" + std::to_string(repetition));
    std::filesystem::create_directory(crashed);
    fill_and_crash(crashed, keys, log_megabytes * 1'000'000);
    const auto begin = std::chrono::steady_clock::now();
    const auto engine = open_isolde({crashed, Synced::yes, true, 0});
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    milliseconds.push_back(took.count());
    fmt::print(stdout, "opened in {:.0f} ms: {:.1f} MB of log\n", took.count(),
               static_cast<double>(engine->database().stats().log_live_bytes) / 1e6);
    std::fflush(stdout);
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  fmt::print(stdout,
             "open after a crash with {} MB of log: median {:.0f} ms [{:.0f}..{:.0f}]; "
             "a lone write and fdatasync: {:.0f} us\n",
             log_megabytes, milliseconds[milliseconds.size() / 2], milliseconds.front(),
             milliseconds.back(), lone_sync_us(directory));
}

}  // namespace isolde::bench
