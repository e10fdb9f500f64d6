#include "lab/stress/stress.h"

#include <algorithm>
#include <random>
#include <utility>

#include "lab/stress/stress_threads.h"

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
    for (std::uint64_t round = 0; !is_over(round) && !has_found(); ++round) {
      const Workload workload = options_.workloads[round % options_.workloads.size()];
      const bool threads = options_.mode == StressMode::threads ||
                           (options_.mode == StressMode::both && round % drafts_a_round == 0);
      if (threads) {
        play_threads(workload, round);
      } else {
        play_draft(workload, round);
      }
    }
    count(trial_.endings());
    report_.time = since_start();
    return std::move(report_);
  }

 private:
  std::chrono::milliseconds since_start() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start_);
  }

  // What threads did cannot always be told as steps, and some scripts do not get short. Then it
  // looks a little longer for a failure that can be told better.
  bool has_found() const {
    constexpr std::size_t short_enough = 12;
    constexpr std::chrono::seconds a_little{10};
    return report_.failure &&
           (steps_of(*report_.failure) <= short_enough || since_start() >= first_told_ + a_little);
  }

  // Of its script; more than any has if there is none.
  static std::size_t steps_of(const StressFailure& failure) {
    return failure.shrunken ? failure.shrunken->draft.moves.size() : SIZE_MAX;
  }

  bool is_over(std::uint64_t round) {
    if (!may_go_on(0, nullptr, 0)) return true;
    return (options_.rounds && round >= *options_.rounds) || since_start() >= options_.time;
  }

  // `transactions`: of the round of threads that is under way.
  bool may_go_on(std::size_t transactions, const Finding* finding, std::size_t moves) {
    if (!options_.go_on || report_.stopped) return !report_.stopped;
    StressSoFar progress;
    progress.time = since_start();
    progress.left = std::max(options_.time - progress.time, std::chrono::milliseconds(0));
    progress.drafts = report_.drafts;
    progress.thread_rounds = report_.thread_rounds;
    progress.transactions = transactions + counted(report_.endings) + counted(trial_.endings());
    progress.finding = finding;
    progress.moves = moves;
    report_.stopped = !options_.go_on(progress);
    return !report_.stopped;
  }

  static std::size_t counted(const std::map<std::string, std::size_t>& endings) {
    std::size_t all = 0;
    for (const auto& [ending, count] : endings) all += count;
    return all;
  }

  void count(const std::map<std::string, std::size_t>& endings) {
    for (const auto& [ending, count] : endings) report_.endings[ending] += count;
  }

  ShrinkOptions shrinking(const Finding& finding) {
    ShrinkOptions options;
    options.go_on = [this, &finding](std::size_t moves) { return may_go_on(0, &finding, moves); };
    return options;
  }

  // Of all that went wrong, what the fewest steps tell; more than a few are seldom needed.
  template <typename Shrink>
  void keep_shortest(StressFailure& failure, const std::vector<Finding>& findings,
                     const Shrink& shrink_to) {
    constexpr std::size_t few = 8;
    failure.finding = findings.front();
    for (const Finding& finding : findings) {
      if (report_.stopped || steps_of(failure) <= few) break;
      auto shrunken = shrink_to(finding);
      if (!shrunken || steps_of(failure) <= shrunken->draft.moves.size()) continue;
      failure.finding = finding;
      failure.shrunken = std::move(shrunken);
    }
  }

  void keep(StressFailure failure, std::chrono::milliseconds found_after) {
    if (!report_.failure) {
      report_.found_after = found_after;
      first_told_ = since_start();
    } else if (steps_of(*report_.failure) <= steps_of(failure)) {
      return;
    }
    report_.failure = std::move(failure);
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
    failure.moves = draft.moves.size();
    const std::chrono::milliseconds found_after = since_start();
    keep_shortest(failure, found, [&](const Finding& finding) -> std::optional<Shrunken> {
      return shrink(draft, finding, trial_, shrinking(finding));
    });
    keep(std::move(failure), found_after);
  }

  void play_threads(Workload workload, std::uint64_t round) {
    ++report_.thread_rounds;
    ThreadRound threads;
    threads.go_on = [this](std::size_t transactions) {
      return may_go_on(transactions, nullptr, 0) && since_start() < options_.time;
    };
    ThreadRoundReport result = stress_threads(workload, derived(options_.seed, round), threads);
    count(result.endings);
    if (result.findings.empty()) return;
    StressFailure failure;
    failure.workload = workload;
    failure.mode = StressMode::threads;
    failure.round = round;
    const std::chrono::milliseconds found_after = since_start();
    keep_shortest(failure, result.findings, [&](const Finding& finding) {
      return shrink(result.history, finding, trial_, shrinking(finding));
    });
    failure.history = std::move(result.history);
    keep(std::move(failure), found_after);
  }

  const StressOptions& options_;
  const Clock::time_point start_ = Clock::now();
  Trial trial_;
  StressReport report_;
  std::chrono::milliseconds first_told_{0};  // when the first failure had been shrunk
};

}  // namespace

StressReport stress(const StressOptions& options) { return Stress(options).run(); }

}  // namespace isolde::lab
