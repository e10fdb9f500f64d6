#include "bench/run/runner.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>

#include "bench/run/machine.h"
#include "bench/run/subject_process.h"

namespace isolde::bench {
namespace {

using Clock = std::chrono::steady_clock;

std::atomic<bool> interrupted{false};
void interrupt(int) { interrupted = true; }

// Tells where it stands, and about how long it still takes.
class Progress {
 public:
  explicit Progress(const std::vector<Section>& plan) {
    for (const Section& section : plan) {
      for (const Cell& cell : section.cells) planned_ += seconds_of(cell);
    }
  }
  // Time that turns take; loading and checking come to a share of it, which is learned.
  static double seconds_of(const Cell& cell) {
    return static_cast<double>(cell.subjects.size()) * cell.seconds * (cell.repetitions + 0.1);
  }
  void begin(const Section& section, const Cell& cell) const {
    const double spent = elapsed();
    const double factor = done_ > 5 ? spent / done_ : 1.5;
    const double left = (planned_ - done_) * factor;
    std::fputs(fmt::format("[{:3.0f}%, {}, about {} left] {}: {}\n", 100 * done_ / planned_,
                           clock(spent), clock(left), section.id, cell.label)
                   .c_str(),
               stderr);
  }
  void end(const Cell& cell) { done_ += seconds_of(cell); }
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

 private:
  static std::string clock(double seconds) {
    const auto whole = static_cast<int>(seconds);
    return fmt::format("{}:{:02}", whole / 60, whole % 60);
  }

  Clock::time_point begin_ = Clock::now();
  double planned_ = 0;
  double done_ = 0;
};

class Runner {
 public:
  Runner(const std::vector<Section>& plan, std::filesystem::path directory, std::uint64_t seed)
      : plan_(plan), directory_(std::move(directory)), seed_(seed), progress_(plan) {
    std::size_t number = 0;
    for (const Section& section : plan) {
      for (const Cell& cell : section.cells) last_use_[cell.work.dataset()] = number++;
    }
  }

  RunResult run() {
    RunResult result;
    result.load_before = machine_load();
    result.lone_sync_us_before = lone_sync_us(directory_);
    std::size_t number = 0;
    for (const Section& section : plan_) {
      SectionResult done{section, {}};
      for (const Cell& cell : section.cells) {
        if (interrupted) break;
        progress_.begin(section, cell);
        done.cells.push_back(measure(cell, result));
        progress_.end(cell);
        // The store is not needed any more: give its memory and disk back.
        const std::string dataset = cell.work.dataset();
        if (last_use_[dataset] == number++) {
          std::erase_if(processes_, [&](const auto& one) { return one.first.second == dataset; });
        }
      }
      if (!done.cells.empty()) result.sections.push_back(std::move(done));
    }
    processes_.clear();
    result.lone_sync_us_after = lone_sync_us(directory_);
    result.load_after = machine_load();
    result.seconds = progress_.elapsed();
    result.interrupted = interrupted;
    return result;
  }

 private:
  SubjectProcess& process(const Subject& subject, const Parameters& work) {
    auto& process = processes_[{subject.engine, work.dataset()}];
    if (!process) {
      process = std::make_unique<SubjectProcess>(
          subject.engine, work, directory_ / ("store" + std::to_string(++stores_)));
    }
    return *process;
  }

  CellResult measure(const Cell& cell, RunResult& result) {
    CellResult measured{cell, {}};
    measured.figures.reserve(cell.subjects.size());
    for (const Subject* subject : cell.subjects) {
      measured.figures.push_back({subject, {}, {}});
      process(*subject, cell.work);
    }
    // A short turn of each first: page tables, caches, thread stacks.
    for (Figures& figures : measured.figures) {
      SubjectProcess& engine = process(*figures.subject, cell.work);
      const Answer& loaded = engine.loaded();
      std::string name = figures.subject->engine;
      name += cell.work.synced == Synced::yes ? ", synced" : ", no sync";
      if (loaded.ok && cell.work.checkpoints && !cell.work.chains) {
        result.configurations.emplace(std::move(name), loaded.message);
      }
      turn(figures, cell, cell.seconds / 10, 0, false);
      figures.turns.clear();
    }
    for (int repetition = 1; repetition <= cell.repetitions; ++repetition) {
      for (Figures& figures : measured.figures) {
        if (!figures.problem.empty() || interrupted) continue;
        // Reading everything takes long where there is much: once, at the end.
        const bool small = cell.work.keys * cell.work.value_bytes < 4'000'000;
        turn(figures, cell, cell.seconds, seed_ + static_cast<std::uint64_t>(repetition),
             small || repetition == cell.repetitions);
      }
    }
    return measured;
  }

  void turn(Figures& figures, const Cell& cell, double seconds, std::uint64_t seed, bool check) {
    const Answer answer = process(*figures.subject, cell.work)
                              .take_turn(*figures.subject, cell.work, seconds, seed, check);
    if (answer.ok) {
      figures.turns.push_back(answer.turn);
      return;
    }
    figures.problem = answer.message;
    std::fputs(fmt::format("  {}: {}\n", figures.subject->name, figures.problem).c_str(), stderr);
  }

  const std::vector<Section>& plan_;
  std::filesystem::path directory_;
  std::uint64_t seed_;
  Progress progress_;
  std::map<std::string, std::size_t> last_use_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<SubjectProcess>> processes_;
  int stores_ = 0;
};

std::vector<double> rates_of(const Figures& figures) {
  std::vector<double> rates;
  rates.reserve(figures.turns.size());
  for (const TurnResult& turn : figures.turns) rates.push_back(turn.per_second());
  return rates;
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double median_ratio(const Figures& numerator, const Figures& denominator) {
  std::vector<double> ratios;
  const std::size_t turns = std::min(numerator.turns.size(), denominator.turns.size());
  ratios.reserve(turns);
  for (std::size_t i = 0; i < turns; ++i) {
    const double below = denominator.turns[i].per_second();
    if (below > 0) ratios.push_back(numerator.turns[i].per_second() / below);
  }
  return median(ratios);
}

double Figures::rate() const { return median(rates_of(*this)); }
double Figures::lowest() const {
  const auto rates = rates_of(*this);
  return rates.empty() ? 0 : *std::min_element(rates.begin(), rates.end());
}
double Figures::highest() const {
  const auto rates = rates_of(*this);
  return rates.empty() ? 0 : *std::max_element(rates.begin(), rates.end());
}
std::uint64_t Figures::sum(std::uint64_t TurnResult::*figure) const {
  std::uint64_t sum = 0;
  for (const TurnResult& turn : turns) {
    if (turn.*figure == no_figure) return no_figure;
    sum += turn.*figure;
  }
  return sum;
}
std::uint64_t Figures::most(std::uint64_t TurnResult::*figure) const {
  std::uint64_t most = 0;
  for (const TurnResult& turn : turns) most = std::max(most, turn.*figure);
  return most;
}
std::uint64_t Figures::committed() const { return sum(&TurnResult::committed); }
std::uint64_t Figures::attempts() const { return sum(&TurnResult::attempts); }
double Figures::failed() const {
  const auto all = attempts();
  return all == 0 ? 0 : 1 - static_cast<double>(committed()) / static_cast<double>(all);
}
Histogram Figures::latency() const {
  Histogram all;
  for (const TurnResult& turn : turns) all.merge(turn.latency);
  return all;
}
double Figures::cpu_us_per_commit() const {
  double seconds = 0;
  for (const TurnResult& turn : turns) seconds += turn.cpu_seconds;
  return committed() == 0 ? 0 : 1e6 * seconds / static_cast<double>(committed());
}
double Figures::written_per_commit() const {
  return committed() == 0 ? 0
                          : static_cast<double>(sum(&TurnResult::written_bytes)) /
                                static_cast<double>(committed());
}

const Figures* CellResult::of(std::string_view subject) const {
  for (const Figures& one : figures) {
    if (one.subject->name == subject && !one.turns.empty()) return &one;
  }
  return nullptr;
}

RunResult run_plan(const std::vector<Section>& plan, const std::filesystem::path& directory,
                   std::uint64_t seed) {
  ::signal(SIGINT, interrupt);  // to the end: a report is still to be written then
  return Runner(plan, directory, seed).run();
}

}  // namespace isolde::bench
