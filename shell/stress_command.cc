// isolde stress: random work, recorded and checked, until it fails or the time is up.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "cell_options.h"
#include "commands.h"
#include "exit_code.h"
#include "interrupt.h"
#include "lab/history/history_writer.h"
#include "lab/stress/stress.h"
#include "progress.h"
#include "stream.h"

namespace isolde::shell {
namespace {

struct StressCommandOptions {
  double minutes = 1;
  std::optional<std::uint64_t> seed;
  std::string workload = "all";
  std::string mode = "both";
  std::string output = "stress-failure.iso";
};

lab::StressMode mode_of(std::string_view name) {
  if (name == "steps") return lab::StressMode::steps;
  return name == "threads" ? lab::StressMode::threads : lab::StressMode::both;
}

class StressCommand {
 public:
  explicit StressCommand(const StressCommandOptions& options) : options_(options) {}

  int run() {
    lab::StressOptions stress;
    stress.seed = options_.seed ? *options_.seed : std::random_device{}();
    stress.time = std::chrono::milliseconds(static_cast<std::int64_t>(options_.minutes * 60'000));
    stress.mode = mode_of(options_.mode);
    lab::Progress progress(progress_target());
    stress.go_on = [&](const lab::StressSoFar& at) {
      if (progress.is_due()) progress.tell(how_far(at));
      return !interrupted();
    };
    if (const auto workload = lab::workload_from_name(options_.workload)) {
      stress.workloads = {*workload};
    }
    print(fmt::format("seed {}\n", stress.seed));
    std::fflush(stdout);
    const lab::StressReport report = lab::stress(stress);
    progress.clear();
    print(summary(report));
    if (report.failure) return tell(*report.failure, report.found_after, stress.seed);
    print(report.stopped ? "interrupted; nothing went wrong until then\n" : "nothing went wrong\n");
    return report.stopped ? exit_interrupted : exit_ok;
  }

 private:
  static std::string how_far(const lab::StressSoFar& at) {
    if (at.finding != nullptr) {
      return fmt::format("went wrong: {}; made small: {} steps", at.finding->name, at.moves);
    }
    return fmt::format("{} left, no failure: {} drafts, {} rounds of threads, {} transactions",
                       clock(at.left), at.drafts, at.thread_rounds, at.transactions);
  }

  // 0:07, 12:34, 1:23:45; begun seconds count.
  static std::string clock(std::chrono::milliseconds time) {
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(time).count();
    const std::string tail = fmt::format("{:02}", seconds % 60);
    if (seconds < 3600) return fmt::format("{}:{}", seconds / 60, tail);
    return fmt::format("{}:{:02}:{}", seconds / 3600, seconds / 60 % 60, tail);
  }

  static std::string summary(const lab::StressReport& report) {
    std::string text = fmt::format(
        "{:.1f} s: {} drafts played, {} rounds of threads; transactions:",
        static_cast<double>(report.time.count()) / 1000, report.drafts, report.thread_rounds);
    for (const auto& [ending, count] : report.endings) text += fmt::format(" {}={}", ending, count);
    return text + '\n';
  }

  int tell(const lab::StressFailure& failure, std::chrono::milliseconds after,
           std::uint64_t seed) const {
    const std::string origin =
        fmt::format("Found by isolde stress, seed {}, round {} ({}), and shrunk.", seed,
                    failure.round, lab::name(failure.workload));
    print(fmt::format("round {} ({}) went wrong after {:.1f} s: {}\n{}\n", failure.round,
                      lab::name(failure.workload), static_cast<double>(after.count()) / 1000,
                      failure.finding.name, failure.finding.text));
    if (failure.shrunken) {
      const lab::Draft& draft = failure.shrunken->draft;
      const std::string script = lab::to_script(*failure.shrunken, origin);
      print(fmt::format("shrunk {}to {} steps; isolde run {} plays them:\n\n{}",
                        failure.moves != 0 ? fmt::format("from {} ", failure.moves) : std::string(),
                        draft.moves.size(), options_.output, script));
      return write(options_.output, script);
    }
    const std::string file = options_.output + ".jsonl";
    print(fmt::format("no play of steps shows it; the history is in {}\n", file));
    return write(file, lab::to_json_lines(failure.history));
  }

  static int write(const std::string& file, const std::string& text) {
    auto output = Output::open(file);
    if (!output) return report(output.error(), file);
    if (auto written = output->write(text); !written) return report(written.error(), file);
    if (auto finished = output->finish(); !finished) return report(finished.error(), file);
    return exit_failed;
  }

  const StressCommandOptions& options_;
};

}  // namespace

void add_stress_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "stress", "Random transactions, recorded and checked, until something goes wrong");
  auto options = std::make_shared<StressCommandOptions>();
  command->add_option("--minutes", options->minutes, "How long (default: 1)")
      ->check(number_between(0.001, 1e6));
  command
      ->add_option("--seed", options->seed,
                   "The same seed plays the same drafts (default: a new one each time)")
      ->check(whole_number());
  std::vector<std::string> names{"all"};
  for (const lab::Workload workload : lab::all_workloads) names.emplace_back(lab::name(workload));
  command
      ->add_option("--workload", options->workload,
                   "all (default), list-append, rw-register, bank, long-fork, predicate, queue "
                   "or durability")
      ->check(CLI::IsMember(names));
  command
      ->add_option("--mode", options->mode,
                   "steps: scripts, step by step; threads: real ones; both (default)")
      ->check(CLI::IsMember({"steps", "threads", "both"}));
  command->add_option("--output", options->output,
                      "Where the shrunken script goes (default: stress-failure.iso); what no "
                      "script shows goes beside it, as a history");
  command->footer("Example: isolde stress --minutes 10 --workload bank");
  command->callback([options, &invocation] {
    invocation.run = [options] { return StressCommand(*options).run(); };
  });
}

}  // namespace isolde::shell
