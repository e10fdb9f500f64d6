// isolde shrink HISTORY: from a recorded history to a small script that fails the same way.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "commands.h"
#include "exit_code.h"
#include "history_input.h"
#include "interrupt.h"
#include "lab/check/checker.h"
#include "lab/stress/shrinker.h"
#include "progress.h"
#include "stream.h"

namespace isolde::shell {
namespace {

struct ShrinkCommandOptions {
  std::string file;
  std::string anomaly;
  std::string output = "-";
};

class ShrinkCommand {
 public:
  explicit ShrinkCommand(const ShrinkCommandOptions& options) : options_(options) {}

  int run() {
    auto input = read_history(options_.file);
    if (const int* code = std::get_if<int>(&input)) return *code;
    const auto& history = std::get<lab::History>(input);
    const auto found = wanted(lab::findings(lab::check(history), true));
    if (!found) return exit_failed;
    lab::Trial trial(true);
    lab::ShrinkOptions shrinking;
    lab::Progress progress(progress_target());
    shrinking.go_on = [&](std::size_t moves) {
      if (progress.is_due()) {
        progress.tell(fmt::format("{} plays, {} steps left", trial.plays(), moves));
      }
      return !interrupted();
    };
    const auto shrunken = lab::shrink(history, *found, trial, shrinking);
    progress.clear();
    if (interrupted()) return exit_interrupted;
    if (!shrunken) {
      complain(fmt::format(
          "{}: no play of its steps shows {} on this engine: it took a race between them, or "
          "another engine, or cursors and conditions that a history does not tell",
          options_.file, found->name));
      return exit_failed;
    }
    const std::string script = lab::to_script(
        *shrunken, fmt::format("Shrunk from a history of {} transactions to {} steps.",
                               history.transactions.size(), shrunken->draft.moves.size()));
    auto output = Output::open(options_.output);
    if (!output) return report(output.error(), options_.output);
    if (auto written = output->write(script); !written) {
      return report(written.error(), options_.output);
    }
    if (auto finished = output->finish(); !finished) {
      return report(finished.error(), options_.output);
    }
    return exit_ok;
  }

 private:
  // Broken promises come first, then anomalies, the shortest first.
  std::optional<lab::Finding> wanted(std::vector<lab::Finding> all) const {
    if (all.empty()) {
      complain(fmt::format("{}: the history is serializable; there is nothing to shrink",
                           options_.file));
      return std::nullopt;
    }
    if (options_.anomaly.empty()) return std::move(all.front());
    const auto named = std::find_if(all.begin(), all.end(), [this](const lab::Finding& finding) {
      return finding.kind == lab::Finding::Kind::anomaly && finding.name == options_.anomaly;
    });
    if (named != all.end()) return std::move(*named);
    std::string names;
    for (const lab::Finding& finding : all) {
      if (finding.kind == lab::Finding::Kind::anomaly) names += ' ' + finding.name;
    }
    complain(fmt::format("{}: it does not show {}; it shows:{}", options_.file, options_.anomaly,
                         names));
    return std::nullopt;
  }

  const ShrinkCommandOptions& options_;
};

}  // namespace

void add_shrink_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "shrink", "Make a small script of a history, which goes wrong in the same way");
  auto options = std::make_shared<ShrinkCommandOptions>();
  command
      ->add_option("HISTORY", options->file,
                   "A history: JSON lines or Elle's EDN; - is standard input")
      ->required();
  command->add_option("--anomaly", options->anomaly,
                      "What the script is to show (default: what breaks the promise of a "
                      "transaction's own level, else the shortest cycle)");
  command->add_option("--output", options->output, "Where the script goes (default: -)");
  command->footer("Example: isolde shrink history.jsonl --output smallest.iso");
  command->callback([options, &invocation] {
    invocation.run = [options] { return ShrinkCommand(*options).run(); };
  });
}

}  // namespace isolde::shell
