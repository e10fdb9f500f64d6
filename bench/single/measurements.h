// What is neither a rate nor a latency of the plan's workloads, each measured for itself and
// printed to stdout. All work in the given directory, and throw CannotRun.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/run/plan.h"

namespace isolde::bench {

// Google Benchmark on what is too short for turns: an empty transaction, a get of one of 1,000
// keys, a lock; on Isolde and raw LMDB. `arguments` are Google Benchmark's own.
void measure_micro(const std::filesystem::path& directory, std::uint64_t keys,
                   const std::vector<std::string>& arguments);

// What the laboratory's recorder takes from the rate: Isolde's cells of the plan without syncs, in
// turns without and with a recorder; the medians of the ratios of neighbouring turns.
void measure_recorder_cost(const std::filesystem::path& directory, const PlanOptions& options);

// How much the files grow, and what is kept in memory, while every key is updated once, 1,000 to a
// transaction, unsynced, with and without a snapshot held open.
void measure_held_snapshot(const std::filesystem::path& directory, std::uint64_t keys,
                           const std::vector<std::string>& subjects);

// The time to open a database whose process died with so many megabytes in the log that are not in
// the base: the median and the extremes. A small write with its sync is shown beside it.
void measure_crash_recovery(const std::filesystem::path& directory, std::uint64_t keys,
                            std::uint64_t log_megabytes, int repetitions);

// The time to find a deadlock: `length` - 1 transactions each hold a key and wait for the next
// one's; measured is the request that closes the circle, to its refusal. The median and the
// extremes.
void measure_deadlock_chain(const std::filesystem::path& directory, unsigned length,
                            int repetitions);

}  // namespace isolde::bench
