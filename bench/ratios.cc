#include "bench/ratios.h"

#include <lmdb.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <thread>
#include <vector>

#include "bench/turn.h"

namespace isolde::bench {
namespace {

// What the turns of one store at one workload amount to.
struct Series {
  std::vector<double> rates;
  std::vector<double> failed;
  std::vector<std::uint32_t> latencies_us;

  void add(Turn turn) {
    rates.push_back(turn.per_second());
    failed.push_back(turn.failed());
    latencies_us.insert(latencies_us.end(), turn.latencies_us.begin(), turn.latencies_us.end());
  }
  double rate() const { return quantile(rates, 0.5); }
  double nanoseconds(int clients) const { return 1e9 * clients / rate(); }
};

void print_heading(Stores& stores, const RatioOptions& options) {
  std::time_t now = std::time(nullptr);
  char date[32] = "";
  std::strftime(date, sizeof date, "%F", std::gmtime(&now));
  std::printf("%s; %u cores; %llu keys of %zu bytes, values of %zu; %d turns of %g s each\n", date,
              std::thread::hardware_concurrency(), static_cast<unsigned long long>(stores.keys()),
              key_bytes, value_bytes, options.repetitions, options.seconds);
  std::printf("%s\n", mdb_version(nullptr, nullptr, nullptr));
  std::printf("a lone write and fdatasync of 512 bytes: %.0f us\n\n", stores.lone_sync_us());
  std::printf("%-40s %7s %12s %12s %7s %-15s %7s %s\n", "workload", "clients", "isolde/s", "lmdb/s",
              "ratio", "[min..max]", "failed", "");
}

void print_latencies(const char* store, const std::vector<std::uint32_t>& latencies_us) {
  if (latencies_us.empty()) return;
  std::printf("%48s %s: p50 %u us, p99 %u us, p999 %u us\n", "", store, quantile(latencies_us, 0.5),
              quantile(latencies_us, 0.99), quantile(latencies_us, 0.999));
}

void print_line(const Workload& work, const Series& isolde, const Series& lmdb) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < isolde.rates.size(); ++i) {
    ratios.push_back(isolde.rates[i] / lmdb.rates[i]);
  }
  char spread[32];
  std::snprintf(spread, sizeof spread, "[%.2f..%.2f]", quantile(ratios, 0), quantile(ratios, 1));
  std::printf("%-40s %7d %12.0f %12.0f %7.2f %-15s ", work.name.c_str(), work.clients,
              isolde.rate(), lmdb.rate(), quantile(ratios, 0.5), spread);
  if (work.writes()) std::printf("%6.2f%%", 100 * quantile(isolde.failed, 0.5));
  if (!work.writes() && work.clients == 1 && work.count == 1) {
    const double mine = isolde.nanoseconds(1);
    const double theirs = lmdb.nanoseconds(1);
    std::printf("        %.0f ns; lmdb %.0f ns; beyond it %.0f ns", mine, theirs, mine - theirs);
  }
  std::printf("\n");
  print_latencies("isolde", isolde.latencies_us);
  print_latencies("lmdb  ", lmdb.latencies_us);
  std::fflush(stdout);
}

}  // namespace

bool print_ratios(Stores& stores, const RatioOptions& options) {
  const std::chrono::duration<double> turn(options.seconds);
  bool any = false;
  for (const Workload& work : all_workloads()) {
    if (work.name.find(options.filter) == std::string::npos) continue;
    if (!any) print_heading(stores, options);
    any = true;
    auto& isolde = stores.get<IsoldeStore>(work.store);
    auto& lmdb = stores.get<RawStore>(work.store);
    // A short turn of each first: page tables, caches, thread stacks.
    take_turn<IsoldeClient>(isolde, work, turn / 10, 0);
    take_turn<RawClient>(lmdb, work, turn / 10, 0);
    Series isolde_series;
    Series lmdb_series;
    for (int i = 1; i <= options.repetitions; ++i) {
      const auto seed = static_cast<std::uint64_t>(i);
      isolde_series.add(take_turn<IsoldeClient>(isolde, work, turn, seed));
      lmdb_series.add(take_turn<RawClient>(lmdb, work, turn, seed));
    }
    print_line(work, isolde_series, lmdb_series);
  }
  if (any) std::printf("\na lone write and fdatasync, again: %.0f us\n", stores.lone_sync_us());
  return any;
}

}  // namespace isolde::bench
