// The stress: random work until something goes wrong or the time is up.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lab/history/history.h"
#include "lab/stress/shrinker.h"
#include "lab/stress/stress_drafts.h"
#include "lab/stress/trial.h"

namespace isolde::lab {

enum class StressMode : std::uint8_t {
  steps,    // drafts, played step by step: the same numbers give the same plays
  threads,  // real threads
  both,
};

// How far it is.
struct StressSoFar {
  std::chrono::milliseconds time{0};
  std::chrono::milliseconds left{0};
  std::size_t drafts = 0;
  std::size_t thread_rounds = 0;
  std::size_t transactions = 0;
  // Once something went wrong, and is being made small: what, and of how many moves it is by now.
  const Finding* finding = nullptr;
  std::size_t moves = 0;
};

struct StressOptions {
  std::uint64_t seed = 1;
  std::chrono::milliseconds time{60'000};
  std::optional<std::size_t> rounds = {};  // at most so many drafts or rounds of threads
  std::vector<Workload> workloads{all_workloads.begin(), all_workloads.end()};
  StressMode mode = StressMode::both;
  // Asked several times a second; false: stop, and keep what there is.
  std::function<bool(const StressSoFar&)> go_on = {};
};

struct StressFailure {
  Workload workload = Workload::rw_register;
  StressMode mode = StressMode::steps;
  std::uint64_t round = 0;
  Finding finding;
  std::size_t moves = 0;             // of the draft that showed it; 0: threads
  std::optional<Shrunken> shrunken;  // nothing: no play of steps shows it
  History history;                   // of threads
};

struct StressReport {
  std::size_t drafts = 0;
  std::size_t thread_rounds = 0;
  std::map<std::string, std::size_t> endings;  // of transactions
  std::chrono::milliseconds time{0};
  std::chrono::milliseconds found_after{0};  // before it was shrunk
  bool stopped = false;
  std::optional<StressFailure> failure;
};

StressReport stress(const StressOptions& options);

}  // namespace isolde::lab
