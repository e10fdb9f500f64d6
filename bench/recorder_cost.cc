#include "bench/recorder_cost.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include "bench/turn.h"
#include "shell/lab/recorder.h"

namespace isolde::bench {
namespace {

void print_line(IsoldeStore& store, const Workload& work, const RatioOptions& options) {
  const std::chrono::duration<double> turn(options.seconds);
  take_turn<IsoldeClient>(store, work, turn / 10, 0);
  std::vector<double> plain;
  std::vector<double> recorded;
  std::vector<double> ratios;
  for (int i = 1; i <= options.repetitions; ++i) {
    const auto seed = static_cast<std::uint64_t>(i);
    plain.push_back(take_turn<IsoldeClient>(store, work, turn, seed).per_second());
    // A new one for each turn: its first pages are part of what recording costs.
    const auto recorder = std::make_shared<lab::Recorder>();
    store.add_observer(recorder);
    recorded.push_back(take_turn<IsoldeClient>(store, work, turn, seed).per_second());
    store.remove_observer(recorder);
    ratios.push_back(recorded.back() / plain.back());
  }
  std::printf("%-40s %7d %12.0f %12.0f %7.2f [%.2f..%.2f]\n", work.name.c_str(), work.clients,
              quantile(plain, 0.5), quantile(recorded, 0.5), quantile(ratios, 0.5),
              quantile(ratios, 0), quantile(ratios, 1));
  std::fflush(stdout);
}

}  // namespace

bool print_recorder_cost(Stores& stores, const RatioOptions& options) {
  bool any = false;
  for (const Workload& work : all_workloads()) {
    // A synced commit waits for the disk, beside which recording is nothing.
    if (work.store == StoreKind::durable || work.operation == Operation::empty) continue;
    if (work.name.find(options.filter) == std::string::npos) continue;
    if (!any) {
      std::printf("%llu keys; %d turns of %g s without and with a recorder\n\n",
                  static_cast<unsigned long long>(stores.keys()), options.repetitions,
                  options.seconds);
      std::printf("%-40s %7s %12s %12s %7s %s\n", "workload", "clients", "plain/s", "recorded/s",
                  "ratio", "[min..max]");
    }
    any = true;
    print_line(stores.get<IsoldeStore>(work.store), work, options);
  }
  return any;
}

}  // namespace isolde::bench
