// What the laboratory's recorder takes from the rate of those it records.
#pragma once

#include "bench/ratios.h"
#include "bench/stores.h"

namespace isolde::bench {

// Turns without and with a recorder, one after the other, on the stores that are not synced;
// prints the medians of the ratios of neighbouring turns. False if no workload fits the filter.
bool print_recorder_cost(Stores& stores, const RatioOptions& options);

}  // namespace isolde::bench
