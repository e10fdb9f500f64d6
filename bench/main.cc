// isolde_bench: Google Benchmark by default, the comparison with raw LMDB with --ratios.
#include <benchmark/benchmark.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "bench/crash_recovery.h"
#include "bench/deadlock_chain.h"
#include "bench/held_snapshot.h"
#include "bench/ratios.h"
#include "bench/recorder_cost.h"
#include "bench/stores.h"

namespace isolde::bench {
namespace {

template <typename Store, typename Client>
void run_workload(benchmark::State& state, Stores& stores, const Workload& work) {
  auto& store = stores.get<Store>(work.store);
  Client client(store, work, static_cast<std::uint64_t>(state.thread_index()) + 1);
  for (auto iteration : state) {
    static_cast<void>(iteration);
    client.step();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(client.committed()));
  if (work.writes()) {
    const auto failed = static_cast<double>(client.attempts() - client.committed());
    state.counters["failed"] = benchmark::Counter(
        client.attempts() == 0 ? 0 : failed / static_cast<double>(client.attempts()),
        benchmark::Counter::kAvgThreads);
  }
}

template <typename Store, typename Client>
void add(Stores& stores, const Workload& work) {
  const std::string name = work.name + "/" + Store::name;
  benchmark::RegisterBenchmark(name.c_str(),
                               [&stores, work](benchmark::State& state) {
                                 run_workload<Store, Client>(state, stores, work);
                               })
      ->Threads(work.clients)
      ->UseRealTime();
}

void add_lone_sync(Stores& stores) {
  benchmark::RegisterBenchmark("lone fdatasync",
                               [&stores](benchmark::State& state) {
                                 for (auto iteration : state) {
                                   static_cast<void>(iteration);
                                   state.SetIterationTime(stores.lone_sync_us() / 1e6);
                                 }
                               })
      ->UseManualTime()
      ->Iterations(1);
}

void run_google_benchmark(Stores& stores) {
  add_lone_sync(stores);
  for (const Workload& work : all_workloads()) {
    add<IsoldeStore, IsoldeClient>(stores, work);
    add<RawStore, RawClient>(stores, work);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  CLI::App app{
      "Measures Isolde beside raw LMDB. Google Benchmark's --benchmark_... options work too."};
  bool ratios = false;
  bool held_snapshot = false;
  bool recorder_cost = false;
  std::uint64_t crash_log_megabytes = 0;
  int deadlock_chain = 0;
  bool quick = false;
  std::uint64_t keys = 1'000'000;
  std::string directory = ".";
  RatioOptions options;
  app.add_flag("--ratios", ratios, "Stores in turns, ratios of neighbouring turns, medians");
  app.add_flag("--recorder-cost", recorder_cost,
               "Isolde without and with the laboratory's recorder, in turns");
  app.add_flag("--held-snapshot", held_snapshot,
               "File growth while every key is updated, with and without an open snapshot");
  app.add_option("--crash-recovery", crash_log_megabytes,
                 "Time to open a database after a crash with so many megabytes of log")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--deadlock-chain", deadlock_chain,
                 "Time to find a deadlock of so many transactions")
      ->check(CLI::Range(2, 1000));
  auto* quick_flag = app.add_flag("--quick", quick, "100,000 keys, 3 turns of 0.2 s: a rough look");
  app.add_option("--keys", keys, "Keys in each store")
      ->check(CLI::Range(100, 100'000'000))
      ->excludes(quick_flag);
  app.add_option("--directory", directory, "Where the data goes, on the disk to be measured")
      ->check(CLI::ExistingDirectory);
  app.add_option("--seconds", options.seconds, "Length of a turn")
      ->check(CLI::Range(0.001, 3600.0))
      ->excludes(quick_flag);
  app.add_option("--repetitions", options.repetitions, "Turns of each store")
      ->check(CLI::Range(1, 1000))
      ->excludes(quick_flag);
  app.add_option("--filter", options.filter,
                 "With --ratios or --recorder-cost: only workloads with this in their name");
  CLI11_PARSE(app, argc, argv);
  if (quick) {
    keys = 100'000;
    options.seconds = 0.2;
    options.repetitions = 3;
  }

  Stores stores(directory, keys);
  if (held_snapshot) {
    print_held_snapshot(stores);
    return 0;
  }
  if (crash_log_megabytes != 0) {
    print_crash_recovery(stores, crash_log_megabytes, options.repetitions);
    return 0;
  }
  if (deadlock_chain != 0) {
    print_deadlock_chain(stores, deadlock_chain, options.repetitions);
    return 0;
  }
  if (!ratios && !recorder_cost) {
    run_google_benchmark(stores);
    return 0;
  }
  if (recorder_cost ? print_recorder_cost(stores, options) : print_ratios(stores, options))
    return 0;
  std::fprintf(stderr, "isolde_bench: no workload has '%s' in its name\n", options.filter.c_str());
  return 2;
}

}  // namespace
}  // namespace isolde::bench

int main(int argc, char** argv) { return isolde::bench::run(argc, argv); }
