// isolde demo [NAME]: the catalogue, as a list, or one entry told and played.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "cell_options.h"
#include "commands.h"
#include "exit_code.h"
#include "interrupt.h"
#include "lab/explore/catalogue_page.h"
#include "lab/play/play.h"
#include "lab/play/playground.h"
#include "lab/play/transcript.h"
#include "lab/script/catalogue.h"
#include "lab/script/phenomenon.h"
#include "lab/text/text.h"
#include "stream.h"

namespace isolde::shell {
namespace {

struct DemoOptions {
  std::string name;
  CellOptions cells{"", "", "auto"};
  std::string format = "text";
};

std::string bold(std::string_view text, const lab::TranscriptStyle& style) {
  return style.color ? fmt::format("\x1b[1m{}\x1b[0m", text) : std::string(text);
}

std::string indented(std::string_view text, std::size_t indent, std::size_t width) {
  std::string block;
  for (const std::string& line : lab::wrapped(text, width - indent)) {
    block += std::string(indent, ' ') + line + '\n';
  }
  return block;
}

void print_list(const std::vector<lab::CatalogueEntry>& entries,
                const lab::TranscriptStyle& style) {
  std::size_t longest = 0;
  for (const lab::CatalogueEntry& entry : entries) longest = std::max(longest, entry.name.size());
  const std::size_t column = std::min(longest + 4, style.width / 2);
  for (const lab::CatalogueGroup group : lab::all_catalogue_groups) {
    print(bold(lab::heading(group), style) + '\n');
    for (const lab::CatalogueEntry& entry : entries) {
      if (entry.group != group) continue;
      std::string left = lab::padded("  " + entry.name, column);
      for (const std::string& line : lab::wrapped(entry.question, style.width - column)) {
        print(left + line + '\n');
        left.assign(column, ' ');
      }
    }
    print("\n");
  }
  print("`isolde demo bank-transfer` tells and plays one of them.\n");
}

nlohmann::json json_of(const lab::CatalogueEntry& entry) {
  nlohmann::json plays = nlohmann::json::array();
  for (const lab::CataloguePlay& play : entry.plays) {
    plays.push_back({{"schedule", play.schedule + 1},
                     {"level", name(play.cell.level)},
                     {"locking", name(play.cell.locking)}});
  }
  return {{"name", entry.name},
          {"title", entry.title},
          {"group", name(entry.group)},
          {"question", entry.question},
          {"story", fmt::format("{}", fmt::join(entry.script.story, " "))},
          {"plays", plays},
          {"notice", entry.notice},
          {"prevented", entry.prevented},
          {"costs", entry.costs},
          {"tolerate", entry.tolerate},
          {"try", entry.try_next}};
}

// Tells one entry: story, plays, lessons, all levels, the next command.
class Narration {
 public:
  Narration(const lab::CatalogueEntry& entry, const DemoOptions& options)
      : entry_(entry), options_(options), style_(transcript_style(options.cells)) {}

  int tell() {
    print(bold(entry_.question, style_) + "\n\n" + lab::story(entry_.script, style_));
    for (const lab::CataloguePlay& chosen : chosen_plays()) {
      if (const int code = show(chosen); code != exit_ok) return code;
    }
    paragraph("What to notice", entry_.notice);
    paragraph("What prevents it", entry_.prevented);
    paragraph("What that costs", entry_.costs);
    paragraph("When one would tolerate it", entry_.tolerate);
    if (const int code = show_all_cells(); code != exit_ok) return code;
    print('\n' + bold("Next", style_) + "\n  " + entry_.try_next + '\n');
    return failed_ == 0 ? exit_ok : exit_failed;
  }

 private:
  // Those of the entry, or all schedules in the cells that were asked for.
  std::vector<lab::CataloguePlay> chosen_plays() const {
    CellOptions wanted = options_.cells;
    if (wanted.level.empty() && wanted.locking.empty()) return entry_.plays;
    if (wanted.level.empty()) wanted.level = "repeatable-read";
    if (wanted.locking.empty()) wanted.locking = "optimistic";
    std::vector<lab::CataloguePlay> plays;
    for (std::size_t schedule = 0; schedule < entry_.script.schedules.size(); ++schedule) {
      for (const lab::Cell& cell : cells_of(wanted)) plays.push_back({schedule, cell});
    }
    return plays;
  }

  int show(const lab::CataloguePlay& chosen) {
    const auto result =
        lab::play(entry_.script, chosen.schedule, chosen.cell, *playground_, interrupted);
    if (const auto* failure = std::get_if<lab::PlayFailure>(&result)) {
      return report(failure->error, entry_.name);
    }
    const lab::Play& play = std::get<lab::Play>(result);
    failed_ += play.failed();
    // Said once, above the plays of one schedule.
    if (const std::string title = entry_.schedule_title(chosen.schedule);
        !title.empty() && title != last_title_) {
      print('\n' + bold(title, style_) + '\n');
      last_title_ = title;
    }
    print(lab::transcript(play, *playground_, style_));
    return exit_ok;
  }

  // What came of the first schedule at each level, in both modes.
  int show_all_cells() {
    const std::size_t schedule = entry_.plays.front().schedule;
    const std::string which = entry_.script.schedules.size() > 1
                                  ? fmt::format(", schedule {}", schedule + 1)
                                  : std::string();
    print('\n' + bold("At every level" + which, style_) + "\n\n");
    print_row({"", "optimistic", "pessimistic"});
    for (const Isolation level : lab::all_levels) {
      std::array<std::string, 3> row{std::string(name(level)), "", ""};
      for (const Locking locking : lab::all_lockings) {
        const auto result =
            lab::play(entry_.script, schedule, {level, locking}, *playground_, interrupted);
        if (const auto* failure = std::get_if<lab::PlayFailure>(&result)) {
          return report(failure->error, entry_.name);
        }
        const lab::Play& play = std::get<lab::Play>(result);
        row[1 + static_cast<std::size_t>(locking)] = lab::summary(play);
        failed_ += play.failed();
      }
      print_row(row);
    }
    return exit_ok;
  }

  void print_row(const std::array<std::string, 3>& row) const {
    constexpr std::size_t levels = 20;  // "  read-uncommitted  "
    const std::size_t width = (style_.width - levels) / 2;
    const auto left = lab::wrapped(row[1], width - 1);
    const auto right = lab::wrapped(row[2], width);
    for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
      std::string line = lab::padded(i == 0 ? "  " + row[0] : "", levels) +
                         lab::padded(i < left.size() ? left[i] : "", width) +
                         (i < right.size() ? right[i] : "");
      print(line.erase(line.find_last_not_of(' ') + 1) + '\n');
    }
  }

  void paragraph(std::string_view heading, const std::string& text) const {
    print('\n' + bold(heading, style_) + '\n' + indented(text, 2, style_.width));
  }

  const lab::CatalogueEntry& entry_;
  const DemoOptions& options_;
  lab::TranscriptStyle style_;
  std::unique_ptr<lab::Playground> playground_ = lab::Playground::temporary();
  std::string last_title_;
  std::size_t failed_ = 0;
};

const lab::CatalogueEntry* find_entry(const std::vector<lab::CatalogueEntry>& entries,
                                      std::string_view wanted) {
  if (wanted.ends_with(".iso")) wanted.remove_suffix(4);
  if (const auto phenomenon = lab::phenomenon_from_name(wanted)) wanted = name(*phenomenon);
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const auto& entry) { return entry.name == wanted; });
  return found == entries.end() ? nullptr : &*found;
}

int print_page(const std::vector<lab::CatalogueEntry>& entries) {
  const auto page = lab::catalogue_page(entries, interrupted);
  if (const auto* failure = std::get_if<lab::PlayFailure>(&page)) {
    return report(failure->error, "demo");
  }
  print(std::get<std::string>(page));
  return exit_ok;
}

int run_demo(const DemoOptions& options) {
  const std::vector<lab::CatalogueEntry> entries = lab::catalogue();
  if (options.name.empty()) {
    if (options.format == "markdown") return print_page(entries);
    if (options.format == "json") {
      nlohmann::json list = nlohmann::json::array();
      for (const lab::CatalogueEntry& entry : entries) list.push_back(json_of(entry));
      print(nlohmann::json{{"entries", list}}.dump() + '\n');
      return exit_ok;
    }
    print_list(entries, transcript_style(options.cells));
    return exit_ok;
  }
  const lab::CatalogueEntry* entry = find_entry(entries, options.name);
  if (entry == nullptr) {
    std::vector<std::string_view> names;
    names.reserve(entries.size());
    for (const lab::CatalogueEntry& each : entries) names.push_back(each.name);
    complain(fmt::format("the catalogue has no entry '{}'{}", lab::printable(options.name),
                         lab::did_you_mean(options.name, names)));
    std::fputs("`isolde demo` lists them.\n", stderr);
    return exit_usage;
  }
  if (options.format == "json") {
    print(json_of(*entry).dump() + '\n');
    return exit_ok;
  }
  if (options.format == "markdown") return print_page({*entry});
  return Narration(*entry, options).tell();
}

}  // namespace

void add_demo_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "demo", "Tell and play an entry of the catalogue; without a name, list it");
  auto options = std::make_shared<DemoOptions>();
  command->add_option("NAME", options->name, "An entry: a phenomenon, or one that demo lists");
  add_cell_options(*command, options->cells);
  command->get_option("--level")->description(
      "Play in this cell instead of those that the entry chose (or all)");
  command->add_option("--format", options->format, "text (default), markdown or json")
      ->check(CLI::IsMember({"text", "markdown", "json"}));
  command->footer("Example: isolde demo write-skew");
  command->callback(
      [options, &invocation] { invocation.run = [options] { return run_demo(*options); }; });
}

}  // namespace isolde::shell
