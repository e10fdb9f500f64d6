// What is measured, in which order: sections of cells.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/engines/subject.h"
#include "bench/workloads/parameters.h"

namespace isolde::bench {

// One workload, measured on several subjects in turns.
struct Cell {
  std::string label;
  double x = 0;  // where it stands on the section's axis
  Parameters work;
  std::vector<const Subject*> subjects;
  double seconds = 0;  // of one turn
  int repetitions = 0;
};

struct Section {
  std::string id;  // of the command line: "clients"
  std::string title;
  std::string question;  // what it is to show
  std::string expected;  // the curve that theory or the design predicts
  std::string x_label;   // empty: the cells are kinds, not points on an axis
  bool log_x = false;
  std::vector<Cell> cells;
};

struct PlanOptions {
  bool quick = false;
  std::uint64_t keys = 1'000'000;
  double seconds = 2;
  int repetitions = 5;
  double sustained_seconds = 60;
  std::vector<std::string> sections;  // only these; empty: all
  std::vector<std::string> subjects;  // only these; empty: all
};

std::vector<Section> make_plan(const PlanOptions& options);
std::vector<std::string> section_ids();

}  // namespace isolde::bench
