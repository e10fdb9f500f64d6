#include "lab/stress.h"

#include <random>
#include <utility>

#include "lab/stress_threads.h"

namespace isolde::lab {
namespace {

using Clock = std::chrono::steady_clock;

// splitmix64: one seed for each round, so that any round can be run alone.
std::uint64_t derived(std::uint64_t seed, std::uint64_t round) {
  std::uint64_t mixed = seed + (round + 1) * 0x9e3779b97f4a7c15;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

// With both, so many drafts for each round of threads: about as much time.
constexpr std::uint64_t drafts_a_round = 150;

class Stress {
 public:
  explicit Stress(const StressOptions& options) : options_(options) {}

  StressReport run() && {
    for (std::uint64_t round = 0; !is_over(round) && !report_.failure; ++round) {
      const Workload workload = options_.workloads[round % options_.workloads.size()];
      const bool threads = options_.mode == StressMode::threads ||
                           (options_.mode == StressMode::both && round % drafts_a_round == 0);
      if (threads) {
        play_threads(workload, round);
      } else {
        play_draft(workload, round);
      }
    }
    for (const auto& [ending, count] : trial_.endings()) report_.endings[ending] += count;
    report_.time = since_start();
    return std::move(report_);
  }

 private:
  std::chrono::milliseconds since_start() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_);
  }

  bool is_over(std::uint64_t round) {
    if (options_.stop && options_.stop()) {
      report_.stopped = true;
      return true;
    }
    return (options_.rounds && round >= *options_.rounds) || since_start() >= options_.time;
  }

  void play_draft(Workload workload, std::uint64_t round) {
    ++report_.drafts;
    std::mt19937_64 random(derived(options_.seed, round));
    Draft draft = stress_draft(workload, random);
    const std::vector<Finding> found = trial_.play(draft);
    if (found.empty()) return;
    StressFailure failure;
    failure.workload = workload;
    failure.round = round;
    failure.finding = found.front();
    failure.moves = draft.moves.size();
    report_.found_after = since_start();
    ShrinkOptions shrinking;
    shrinking.stop = options_.stop;
    failure.shrunken = shrink(std::move(draft), found.front(), trial_, shrinking);
    report_.failure = std::move(failure);
  }

  void play_threads(Workload workload, std::uint64_t round) {
    ++report_.thread_rounds;
    ThreadRoundReport result = stress_threads(workload, derived(options_.seed, round), {});
    for (const auto& [ending, count] : result.endings) report_.endings[ending] += count;
    if (result.findings.empty()) return;
    StressFailure failure;
    failure.workload = workload;
    failure.mode = StressMode::threads;
    failure.round = round;
    failure.finding = result.findings.front();
    report_.found_after = since_start();
    ShrinkOptions shrinking;
    shrinking.stop = options_.stop;
    failure.shrunken = shrink(result.history, failure.finding, trial_, shrinking);
    failure.history = std::move(result.history);
    report_.failure = std::move(failure);
  }

  const StressOptions& options_;
  const Clock::time_point start_ = Clock::now();
  Trial trial_;
  StressReport report_;
};

}  // namespace

StressReport stress(const StressOptions& options) { return Stress(options).run(); }

}  // namespace isolde::lab
