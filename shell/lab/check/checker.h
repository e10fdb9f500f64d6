// The checker: which anomalies a history shows, and which levels it satisfies.
#pragma once

#include <cstddef>

#include "lab/check/verdict.h"
#include "lab/history/history.h"

namespace isolde::lab {

struct CheckOptions {
  std::size_t max_anomalies = 100;  // told in full
  std::size_t max_broken_promises = 20;
};

// Judges a history by its dependencies alone. Linear in the size of the history, apart from the
// telling of cycles, which is bounded. Thread-safe.
Verdict check(const History& history, const CheckOptions& options = {});

}  // namespace isolde::lab
