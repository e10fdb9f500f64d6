// Runs a plan: engines in processes of their own, subjects in turns, and says how it goes.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/run/plan.h"
#include "bench/run/turn.h"

namespace isolde::bench {

// What one subject showed in one cell.
struct Figures {
  const Subject* subject = nullptr;
  std::vector<TurnResult> turns;
  std::string problem;  // why it has no figures, or should not be trusted

  double rate() const;  // the median turn's
  double lowest() const;
  double highest() const;
  double failed() const;  // of all attempts of all turns
  std::uint64_t committed() const;
  std::uint64_t attempts() const;
  Histogram latency() const;  // of all turns
  std::uint64_t most(std::uint64_t TurnResult::*figure) const;
  std::uint64_t sum(std::uint64_t TurnResult::*figure) const;  // no_figure if any turn has none
  double cpu_us_per_commit() const;
  double written_per_commit() const;
};

struct CellResult {
  Cell cell;
  std::vector<Figures> figures;  // in the order of the cell's subjects

  const Figures* of(std::string_view subject) const;
};

struct SectionResult {
  Section section;  // its cells are in `cells`
  std::vector<CellResult> cells;
};

struct RunResult {
  std::vector<SectionResult> sections;
  std::map<std::string, std::string> configurations;  // engine, durability -> configuration
  double lone_sync_us_before = 0;
  double lone_sync_us_after = 0;
  double seconds = 0;
  double load_before = 0;  // of the machine: processes that want to run
  double load_after = 0;
  bool interrupted = false;  // by SIGINT: what follows in the plan was not measured
};

// Stores go into directories inside `directory`. Progress goes to stderr. After SIGINT the turn
// that is under way is the last one. Throws CannotRun.
RunResult run_plan(const std::vector<Section>& plan, const std::filesystem::path& directory,
                   std::uint64_t seed);

// The median of the turns' ratios, numerator over denominator, turn by turn; 0 if there is none.
double median_ratio(const Figures& numerator, const Figures& denominator);
double median(std::vector<double> values);

}  // namespace isolde::bench
