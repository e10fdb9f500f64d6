// One turn of one subject at one workload: all its clients at once, for a given time.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "bench/run/histogram.h"
#include "bench/run/store.h"

namespace isolde::bench {

// Absent figures are no_figure. A plain block of memory: it is sent from process to process.
inline constexpr std::uint64_t no_figure = ~std::uint64_t{0};

struct TurnResult {
  static constexpr std::size_t timeline_slots = 256;

  double seconds = 0;
  std::uint64_t committed = 0;
  std::uint64_t attempts = 0;
  std::uint64_t given_up = 0;  // transactions that ran out of attempts
  std::array<std::uint64_t, reason_count> aborts{};
  std::uint64_t beside = 0;  // commits of clients that run beside the measured ones
  std::uint64_t anomalies = 0;
  std::uint64_t waits = no_figure;
  std::uint64_t checkpoints = no_figure;
  double cpu_seconds = 0;           // of the whole process, the engine's own threads included
  std::uint64_t memory_bytes = 0;   // private memory at its highest
  std::uint64_t mapped_bytes = 0;   // of files, at its highest
  std::uint64_t disk_bytes = 0;     // of all files, as allocated, after the turn
  std::uint64_t written_bytes = 0;  // handed to the system by write calls
  Histogram latency;                // of committed transactions, retries and waits included
  std::array<std::uint32_t, timeline_slots> timeline{};  // commits in each slot
  double slot_seconds = 0;

  double per_second() const { return static_cast<double>(committed) / seconds; }
  // Attempts that did not commit, of all attempts.
  double failed() const;
};

// Runs the clients of `work` for `seconds`. Throws CannotRun if one of them can't go on.
TurnResult take_turn(const Store& store, const Parameters& work, const std::string& mode,
                     double seconds, std::uint64_t seed);

}  // namespace isolde::bench
