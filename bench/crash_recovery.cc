#include "bench/crash_recovery.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "bench/workload.h"
#include "isolde/isolde.h"

namespace isolde::bench {
namespace {

template <typename T>
T must(Result<T> result, const char* doing) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "isolde_bench: %s: %s\n", doing, result.error().to_string().c_str());
  std::_Exit(1);
}

// Ten puts to a transaction. Runs in a process of its own, and leaves the files as a crash does.
[[noreturn]] void fill_log(const std::filesystem::path& directory, std::uint64_t keys,
                           std::uint64_t log_bytes) {
  Options options;
  options.durability = Durability::none();
  options.checkpoint_log_bytes = std::size_t{1} << 40;
  Database db = must(Database::open(directory, options), "open");
  const Keyspace accounts = must(db.keyspace("default"), "keyspace");
  std::mt19937_64 random(log_bytes);
  while (db.stats().log_live_bytes < log_bytes) {
    for (int some = 0; some < 1000; ++some) {
      Transaction txn = must(db.begin(), "begin");
      for (int put = 0; put < 10; ++put) {
        const Key key(random() % keys);
        const Value value(random());
        if (auto done = txn.put(accounts, key.view(), value.view()); !done) std::_Exit(1);
      }
      must(txn.commit(), "commit");
    }
  }
  std::_Exit(0);
}

}  // namespace

void print_crash_recovery(Stores& stores, std::uint64_t log_megabytes, int repetitions) {
  std::vector<double> milliseconds;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    const auto directory = stores.directory() / ("crashed" + std::to_string(repetition));
    const pid_t child = ::fork();
    if (child == 0) fill_log(directory, stores.keys(), log_megabytes * 1'000'000);
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) {
      std::fprintf(stderr, "isolde_bench: the process that fills the log failed\n");
      std::exit(1);
    }
    const auto begin = std::chrono::steady_clock::now();
    Database db = must(Database::open(directory), "open after the crash");
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    milliseconds.push_back(took.count());
    const std::uint64_t replayed = db.stats().log_live_bytes;
    std::printf("opened in %.0f ms: %.1f MB of log\n", took.count(),
                static_cast<double>(replayed) / 1e6);
    std::fflush(stdout);
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf(
      "open after a crash with %llu MB of log: median %.0f ms [%.0f..%.0f]; a lone write and "
      "fdatasync: %.0f us\n",
      static_cast<unsigned long long>(log_megabytes), milliseconds[milliseconds.size() / 2],
      milliseconds.front(), milliseconds.back(), stores.lone_sync_us());
}

}  // namespace isolde::bench
