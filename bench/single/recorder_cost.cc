#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "bench/engines/isolde_engine.h"
#include "bench/run/runner.h"
#include "bench/run/store.h"
#include "bench/single/measurements.h"
#include "lab/history/recorder.h"

namespace isolde::bench {
namespace {

void measure(const Store& store, const Cell& cell, const Subject& subject) {
  Database& database = dynamic_cast<IsoldeEngine&>(*store.engine).database();
  const auto turn = [&](int number) {
    return take_turn(store, cell.work, subject.mode, number == 0 ? cell.seconds / 10 : cell.seconds,
                     static_cast<std::uint64_t>(number));
  };
  turn(0);
  std::vector<double> plain;
  std::vector<double> recorded;
  std::vector<double> ratios;
  for (int number = 1; number <= cell.repetitions; ++number) {
    plain.push_back(turn(number).per_second());
    // A new one for each turn: its first pages are part of what recording costs.
    const auto recorder = std::make_shared<lab::Recorder>();
    database.add_observer(recorder);
    recorded.push_back(turn(number).per_second());
    database.remove_observer(recorder);
    ratios.push_back(recorded.back() / plain.back());
  }
  const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
  fmt::print(stdout, "{:<28} {:<16} {:>12.0f} {:>12.0f} {:>7.2f} [{:.2f}..{:.2f}]\n", cell.label,
             subject.name, median(plain), median(recorded), median(ratios), *least, *most);
  std::fflush(stdout);
}

}  // namespace

void measure_recorder_cost(const std::filesystem::path& directory, const PlanOptions& options) {
  PlanOptions wanted = options;
  if (wanted.sections.empty()) wanted.sections = {"overhead", "levels"};
  if (wanted.subjects.empty()) {
    wanted.subjects = {"isolde-rr-opt", "isolde-rr-pess", "isolde-ser-pess"};
  }
  std::map<std::string, Store> stores;  // by what is in them
  for (const Section& section : make_plan(wanted)) {
    for (const Cell& cell : section.cells) {
      // A synced commit waits for the disk, beside which recording is nothing.
      if (cell.work.synced == Synced::yes) continue;
      for (const Subject* const subject : cell.subjects) {
        if (subject->engine != "isolde") continue;
        if (stores.empty()) {
          fmt::print(stdout,
                     "{} keys; {} turns of {:g} s without and with a recorder\n\n"
                     "{:<28} {:<16} {:>12} {:>12} {:>7} [min..max]\n",
                     options.keys, cell.repetitions, cell.seconds, "workload", "subject", "plain/s",
                     "recorded/s", "ratio");
        }
        const std::string dataset = cell.work.dataset();
        Store& store = stores[dataset];
        if (!store.engine) store = load_store("isolde", cell.work, directory / dataset);
        measure(store, cell, *subject);
      }
    }
  }
  if (stores.empty()) throw CannotRun("no cell of Isolde without syncs is in these sections");
}

}  // namespace isolde::bench
