// The fair comparison: stores in turns (A B A B), medians of the ratios of neighbouring turns.
#pragma once

#include <string>

#include "bench/stores.h"

namespace isolde::bench {

struct RatioOptions {
  double seconds = 2;   // of one turn
  int repetitions = 5;  // turns of each store at each workload
  std::string filter;   // only workloads whose name contains it
};

// Measures and prints, a line a workload as it is ready. False if no workload fits the filter.
bool print_ratios(Stores& stores, const RatioOptions& options);

}  // namespace isolde::bench
