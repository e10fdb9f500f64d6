// isolde run FILE.iso...: plays scripts and checks their expectations.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "cell_options.h"
#include "commands.h"
#include "exit_code.h"
#include "interrupt.h"
#include "isolde/database.h"
#include "lab/play/play.h"
#include "lab/play/play_json.h"
#include "lab/play/playground.h"
#include "lab/play/transcript.h"
#include "lab/play/update.h"
#include "lab/script/parse_script.h"
#include "lab/script/script.h"
#include "script_file.h"
#include "stream.h"

namespace isolde::shell {
namespace {

struct RunOptions {
  std::vector<std::string> files;
  CellOptions cells{"repeatable-read", "optimistic", "auto"};
  std::string format = "text";
  std::string database;
  std::string keyspace;
  bool update = false;
};

class Run {
 public:
  explicit Run(const RunOptions& options)
      : options_(options),
        style_(transcript_style(options.cells)),
        cells_(cells_of(options.cells)) {}

  int run() {
    if (const int code = read_scripts(); code != exit_ok) return code;
    if (const int code = open_playground(); code != exit_ok) return code;
    for (lab::Script& script : scripts_) {
      if (!options_.update) continue;
      if (const int code = update_script(script); code != exit_ok) return code;
    }
    for (const lab::Script& script : scripts_) {
      if (const int code = play_script(script); code != exit_ok) return code;
    }
    if (!json()) print('\n' + lab::totals(passed_, failed_, style_));
    return failed_ == 0 ? exit_ok : exit_failed;
  }

 private:
  bool json() const { return options_.format == "json"; }

  // All of them before the first is played, so that a typo in the last does not cost a long run.
  int read_scripts() {
    int code = exit_ok;
    for (const std::string& file : options_.files) {
      if (auto script = read_script(file, code)) scripts_.push_back(std::move(*script));
    }
    return code;
  }

  int open_playground() {
    if (options_.database.empty()) {
      playground_ = lab::Playground::temporary();
      return exit_ok;
    }
    Options database_options;
    database_options.create_if_missing = false;
    auto opened = Database::open(options_.database, database_options);
    if (!opened) return report_open(opened.error(), options_.database);
    database_ = std::move(*opened);
    std::optional<std::string> copy_of;
    if (!options_.keyspace.empty()) copy_of = options_.keyspace;
    auto playground = lab::Playground::inside(*database_, copy_of);
    if (!playground) {
      if (playground.error().code() == ErrorCode::keyspace_not_found) {
        return report_unknown_keyspace(*database_, options_.keyspace);
      }
      return report(playground.error(), options_.database);
    }
    playground_ = std::move(*playground);
    return exit_ok;
  }

  // Plays it in silence, writes what happened into the file, and goes on with what stands there
  // now.
  int update_script(lab::Script& script) {
    const std::string file = script.source.name();
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(file, ignored)) {
      complain(fmt::format("--update rewrites files; {} is none", file));
      return exit_usage;
    }
    std::vector<lab::Play> plays;
    for (std::size_t schedule = 0; schedule < script.schedules.size(); ++schedule) {
      for (const lab::Cell& cell : cells_) {
        auto result = lab::play(script, schedule, cell, *playground_, interrupted);
        if (const auto* failure = std::get_if<lab::PlayFailure>(&result)) {
          return tell_failure(script, *failure);
        }
        plays.push_back(std::move(std::get<lab::Play>(result)));
      }
    }
    const lab::UpdatedScript updated = lab::updated_script(script, plays);
    if (updated.rewritten == 0) return exit_ok;
    auto parsed = lab::parse_script(file, updated.text);
    if (!parsed.script) {  // an outcome that the language cannot spell
      std::fputs(lab::render(parsed.source, parsed.errors.front()).c_str(), stderr);
      complain(fmt::format("{} was left as it is", file));
      return exit_failed;
    }
    auto output = Output::open(file);
    if (!output) return report(output.error(), file);
    if (auto written = output->write(updated.text); !written) return report(written.error(), file);
    if (auto finished = output->finish(); !finished) return report(finished.error(), file);
    complain(fmt::format("{}: {} expectations rewritten", file, updated.rewritten));
    script = std::move(*parsed.script);
    return exit_ok;
  }

  int play_script(const lab::Script& script) {
    if (!json()) print((&script == scripts_.data() ? "" : "\n") + lab::story(script, style_));
    warn_about_unplayed(script);
    for (std::size_t schedule = 0; schedule < script.schedules.size(); ++schedule) {
      std::vector<lab::Play> plays;
      for (const lab::Cell& cell : cells_) {
        auto result = lab::play(script, schedule, cell, *playground_, interrupted);
        if (const auto* failure = std::get_if<lab::PlayFailure>(&result)) {
          return tell_failure(script, *failure);
        }
        lab::Play& play = std::get<lab::Play>(result);
        passed_ += play.passed();
        failed_ += play.failed();
        print(json() ? lab::json_lines(play) : lab::transcript(play, *playground_, style_));
        plays.push_back(std::move(play));
      }
      if (!json() && plays.size() > 1) print(lab::cell_table(plays, style_));
    }
    return exit_ok;
  }

  static void warn_about_unplayed(const lab::Script& script) {
    for (const std::size_t index : script.unplayed_steps()) {
      const lab::Step& step = script.steps[index];
      complain(fmt::format("{}:{}:{}: note: step {} is in no schedule, so it is never played",
                           script.source.name(), step.place.line, step.place.column, step.name));
    }
  }

  const RunOptions& options_;
  lab::TranscriptStyle style_;
  std::vector<lab::Cell> cells_;
  std::vector<lab::Script> scripts_;
  std::optional<Database> database_;  // outlives the playground
  std::unique_ptr<lab::Playground> playground_;
  std::size_t passed_ = 0;
  std::size_t failed_ = 0;
};

}  // namespace

void add_run_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command =
      app.add_subcommand("run", "Play scripts step by step, and check what they expect");
  auto options = std::make_shared<RunOptions>();
  command
      ->add_option("FILE", options->files,
                   "Scripts: files, - for standard input, or names of scripts that ship")
      ->required();
  add_cell_options(*command, options->cells);
  command->add_option("--format", options->format, "text (default) or json, one object a line")
      ->check(CLI::IsMember({"text", "json"}));
  auto* database = command->add_option(
      "--database", options->database,
      "Play inside this database, in scratch keyspaces that are dropped at the end");
  command
      ->add_option("--keyspace,-k", options->keyspace,
                   "With --database: begin with a copy of this keyspace")
      ->needs(database);
  command->add_flag("--update", options->update,
                    "First rewrite the files: what steps and `final` lines expect becomes what "
                    "happened in these cells");
  command->footer("Example: isolde run lost-update --level all");
  command->callback(
      [options, &invocation] { invocation.run = [options] { return Run(*options).run(); }; });
}

}  // namespace isolde::shell
