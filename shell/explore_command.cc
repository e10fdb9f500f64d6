// isolde explore FILE.iso: every interleaving.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cell_options.h"
#include "commands.h"
#include "exit_code.h"
#include "interrupt.h"
#include "lab/explore/explore_report.h"
#include "lab/explore/explorer.h"
#include "lab/play/order_player.h"
#include "progress.h"
#include "script_file.h"
#include "stream.h"

namespace isolde::shell {
namespace {

constexpr std::size_t most_sessions = 64;

struct ExploreCommandOptions {
  std::string file;
  CellOptions cells{"all", "all", "auto"};
  std::string format = "text";
  bool all = false;
  std::uint64_t limit = 20'000;
  std::optional<std::uint64_t> seed;
};

class Explore {
 public:
  explicit Explore(const ExploreCommandOptions& options)
      : options_(options),
        cells_(cells_of(options.cells)),
        seed_(options.seed ? *options.seed : std::random_device{}()) {}

  int run() {
    int code = exit_ok;
    auto script = read_script(options_.file, code);
    if (!script) return code;
    script_ = std::move(script);
    if (const int bad = refuse(); bad != exit_ok) return bad;
    auto player = lab::OrderPlayer::open();
    if (!player) return report(player.error(), options_.file);
    player_ = std::move(*player);
    if (const int failed = explore_all(); failed != exit_ok) return failed;
    progress_.clear();
    tell();
    return conclude();
  }

 private:
  int refuse() const {
    if (script_->sessions.size() <= most_sessions) return exit_ok;
    complain(fmt::format("{}: {} sessions are too many to explore; {} is the most",
                         script_->source.name(), script_->sessions.size(), most_sessions));
    return exit_usage;
  }

  int explore_all() {
    const std::vector<lab::Extent> extents = lab::extents(*script_);
    explorations_ = extents.size() * cells_.size();
    for (const lab::Extent& extent : extents) {
      for (const lab::Cell& cell : cells_) {
        if (interrupted_) return exit_ok;
        if (const int code = explore_cell(extent, cell); code != exit_ok) return code;
        // Where all sessions choose for themselves, the other cells would be the same.
        if (explored_.back().exploration.mixed) break;
      }
    }
    return exit_ok;
  }

  int explore_cell(const lab::Extent& extent, const lab::Cell& cell) {
    std::vector<std::string> interleavings;
    lab::ExploreOptions options;
    options.prune = !options_.all;
    options.most_runs = options_.limit;
    options.seed = seed_;
    options.go_on = [&](std::uint64_t runs) {
      if (progress_.is_due()) progress_.tell(how_far(cell, runs));
      return !interrupted();
    };
    if (options_.all && options_.format == "json") {
      options.on_run = [&](const lab::PlayedOrder& play, const std::vector<std::size_t>& slots) {
        interleavings.push_back(lab::interleaving_json(*script_, play, steps_of(extent, slots)));
      };
    }
    auto result = lab::explore(*script_, extent, cell, *player_, options);
    if (const auto* failure = std::get_if<lab::PlayFailure>(&result)) {
      progress_.clear();
      return tell_failure(*script_, *failure);
    }
    lab::Explored explored{std::get<lab::Exploration>(std::move(result)), {}};
    interrupted_ = explored.exploration.interrupted;
    explored.witnesses = lab::witnesses(explored.exploration, *player_);
    explored_.push_back(std::move(explored));
    interleavings_.push_back(std::move(interleavings));
    return exit_ok;
  }

  std::string how_far(const lab::Cell& cell, std::uint64_t runs) const {
    return fmt::format("{} of {}, {}: {} runs", explored_.size() + 1, explorations_,
                       cell.to_string(), runs);
  }

  static std::vector<std::size_t> steps_of(const lab::Extent& extent,
                                           const std::vector<std::size_t>& slots) {
    std::vector<std::size_t> next(extent.steps.size(), 0);
    std::vector<std::size_t> steps;
    steps.reserve(slots.size());
    for (const std::size_t session : slots) steps.push_back(extent.steps[session][next[session]++]);
    return steps;
  }

  void tell() const {
    const bool one_cell = cells_.size() == 1;
    const std::string text = options_.format == "json"
                                 ? lab::explore_json(explored_, interleavings_)
                                 : lab::explore_text(explored_, one_cell || options_.all);
    print(text);
    if (options_.format != "json") tell_speed();
  }

  void tell_speed() const {
    std::uint64_t runs = 0;
    std::uint64_t feasible = 0;
    double seconds = 0;
    for (const lab::Explored& explored : explored_) {
      const lab::Exploration& run = explored.exploration;
      runs += run.executed + run.given_up;
      feasible += run.serializable + run.non_serializable;
      seconds += run.seconds;
    }
    const std::string text =
        fmt::format("\n{} interleavings judged by {} runs in {:.2f} s: {:.0f} runs a second\n",
                    feasible, runs, seconds, seconds > 0 ? static_cast<double>(runs) / seconds : 0);
    print(text);
  }

  // What the script expects, what every level promises, and whether all was run.
  int conclude() const {
    bool failed = false;
    for (const lab::ExploreCheck& check : lab::explore_checks(explored_)) {
      if (check.passed) continue;
      failed = true;
      const lab::ScriptError error{
          check.place, fmt::format("expected explore {}, but {}", check.expected, check.actual)};
      std::fputs(lab::render(script_->source, error).c_str(), stderr);
    }
    for (const lab::Explored& explored : explored_) {
      const lab::Exploration& run = explored.exploration;
      failed = failed || run.broken_promises > 0 || run.invariant_violations > 0;
    }
    if (interrupted_) {
      complain(fmt::format("{}: interrupted; what is told is of the runs until then",
                           script_->source.name()));
      return exit_interrupted;
    }
    return failed ? exit_failed : exit_ok;
  }

  const ExploreCommandOptions& options_;
  std::vector<lab::Cell> cells_;
  std::uint64_t seed_;
  std::optional<lab::Script> script_;
  std::unique_ptr<lab::OrderPlayer> player_;
  lab::Progress progress_{progress_target()};
  std::size_t explorations_ = 0;  // to be made: each set of steps in each cell
  std::vector<lab::Explored> explored_;
  std::vector<std::vector<std::string>> interleavings_;  // of each, as JSON; with --all
  bool interrupted_ = false;
};

}  // namespace

void add_explore_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "explore", "Run every interleaving of a script's steps, and judge each with the checker");
  auto options = std::make_shared<ExploreCommandOptions>();
  command
      ->add_option("FILE", options->file,
                   "A script: a file, - for standard input, or the name of one that ships")
      ->required();
  add_cell_options(*command, options->cells);
  command->add_option("--format", options->format, "text (default) or json")
      ->check(CLI::IsMember({"text", "json"}));
  command->add_flag("--all", options->all,
                    "Run all interleavings, those that can only end the same as well; in JSON, "
                    "list each");
  command
      ->add_option("--limit", options->limit,
                   fmt::format("Runs in one cell; where more are needed, so many orders are drawn "
                               "instead; default: {}",
                               options->limit))
      ->check(whole_number(1, std::uint64_t{1} << 32));
  command->add_option("--seed", options->seed, "Of the drawing; default: a new one each time")
      ->check(whole_number());
  command->footer("Example: isolde explore write-skew --level rr");
  command->callback(
      [options, &invocation] { invocation.run = [options] { return Explore(*options).run(); }; });
}

}  // namespace isolde::shell
