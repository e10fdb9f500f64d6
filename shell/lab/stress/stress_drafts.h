// Random drafts, by workload: what the stress plays step by step.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <string_view>

#include "lab/stress/draft.h"

namespace isolde::lab {

// What transactions do.
enum class Workload : std::uint8_t {
  list_append,  // read a list, write it back longer
  rw_register,  // single reads and writes of few keys
  bank,         // transfers, and sums over all accounts
  long_fork,    // writers of one key each, readers of all
  predicate,    // counts of a range, inserts and deletes in it
  queue,        // take the first of a range, put one behind its end
  durability,   // a sync that fails, and reads afterwards
};
inline constexpr std::array all_workloads{
    Workload::list_append, Workload::rw_register, Workload::bank,      Workload::long_fork,
    Workload::predicate,   Workload::queue,       Workload::durability};

std::string_view name(Workload workload) noexcept;  // "list-append", ...
std::optional<Workload> workload_from_name(std::string_view text) noexcept;

// Two to four sessions of mixed levels and lockings, with savepoints, aborts, retries, cursors, a
// second keyspace and checkpoints now and then; at last a session reads everything. In builds with
// places inside the engine some steps stand there for a while. The same numbers give the same
// draft.
Draft stress_draft(Workload workload, std::mt19937_64& random);

}  // namespace isolde::lab
