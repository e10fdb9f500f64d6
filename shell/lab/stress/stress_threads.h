// Stress with real threads: what the machine's own interleavings show.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lab/history/history.h"
#include "lab/stress/stress_drafts.h"
#include "lab/stress/trial.h"

namespace isolde::lab {

struct ThreadRound {
  std::size_t threads = 4;
  std::size_t transactions = 800;  // of each thread; retries not counted
  // Asked several times a second, with the transactions so far; false: end the round early.
  std::function<bool(std::size_t)> go_on = {};
};

struct ThreadRoundReport {
  std::map<std::string, std::size_t> endings;  // of transactions, by "ok" or the error's code
  std::vector<Finding> findings;
  History history;
};

// One round in a temporary database of its own, with checkpoints and reclaim in the background:
// transactions of random levels and lockings, run again as transact() does. The recorded history is
// judged by the checker; and sums that must hold, by adding up.
ThreadRoundReport stress_threads(Workload workload, std::uint64_t seed, const ThreadRound& round);

}  // namespace isolde::lab
