// What was typed, as a script that expects what was seen.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/check/checker.h"
#include "lab/script/parse_script.h"
#include "lab/script/script.h"
#include "lab/text/text.h"
#include "lab/workbench/inside_json.h"
#include "lab/workbench/workbench.h"

namespace isolde::lab {
namespace {

using Reply = Workbench::Reply;

// A begin says what it began with: the script shall play the same whatever the run's cell is.
std::string with_cell(const Command& command, const Cell& cell) {
  const auto* begin = std::get_if<BeginCommand>(&command.action);
  if (begin == nullptr || (begin->level && begin->locking)) return command.text;
  const std::size_t word = command.text.find("begin");
  std::string rest = command.text.substr(word + std::string_view("begin").size());
  // What is named stands right behind the word; both are written anew.
  TokenStream tokens(rest, 1);
  static_cast<void>(accept_level(tokens));
  static_cast<void>(accept_locking(tokens));
  rest = tokens.at_end() ? std::string() : ' ' + rest.substr(tokens.peek().place.column - 1);
  return fmt::format("{}begin {} {}{}", command.text.substr(0, word),
                     name(begin->level.value_or(cell.level)),
                     name(begin->locking.value_or(cell.locking)), rest);
}

}  // namespace

std::string Workbench::script_text(std::string_view file) {
  std::string text =
      fmt::format("# Typed in the interactive shell; plays with: isolde run {}\n", printable(file));
  if (!origin_->empty() || !origin_keyspaces_.empty()) text += "\nsetup\n";
  for (const std::string& keyspace : origin_keyspaces_) {
    text += fmt::format("  keyspace {}\n", spelled(keyspace));
  }
  for (const auto& [place, value] : *origin_) {
    const auto& [keyspace, key] = place;
    const std::string in = keyspace == default_keyspace_name
                               ? std::string()
                               : fmt::format("in {} ", spelled(keyspace));
    text += fmt::format("  {}put {} {}\n", in, spelled(key), spelled(value));
  }
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    std::string steps;
    for (const TypedStep& typed : typed_) {
      if (typed.step.session != seat) continue;
      std::vector<std::string> commands;
      for (const Command& command : typed.step.commands) {
        commands.push_back(with_cell(command, typed.cell));
      }
      steps += fmt::format("  {}: {}  => {}\n", typed.step.name, fmt::join(commands, "; "),
                           to_script(outcome_of(typed)));
    }
    if (!steps.empty()) text += fmt::format("\nsession {}\n{}", label_of(seat), steps);
  }
  text += "\nschedule";
  for (const TypedStep& typed : typed_) text += ' ' + typed.step.name;
  text += '\n';
  const std::vector<Phenomenon> found = check(log_->recorder().history()).phenomena();
  return text + "\nverdict " + names_of(found, " ") + '\n';
}

Reply Workbench::save(const std::string& file) {
  if (typed_.empty())
    return refuse("nothing has been typed for a session yet; there is nothing to save");
  if (!origin_) {
    return refuse(
        "the database held more than 1000 records when it was opened, and a script must "
        "begin with all of them; do this on a smaller one");
  }
  const auto by_hand = std::find_if(typed_.begin(), typed_.end(),
                                    [](const TypedStep& typed) { return typed.by_hand; });
  if (by_hand != typed_.end()) {
    return refuse(
        fmt::format("{} was cancelled by hand, which a script cannot do; "
                    "reopen, and begin anew",
                    by_hand->step.name));
  }
  const std::string text = script_text(file);
  if (const ParsedScript parsed = parse_script(file, text); !parsed.script) {
    return refuse(
        fmt::format("this cannot be told as a script: {}", parsed.errors.front().message));
  }
  if (auto written = host_.write(file, text); !written) {
    return refuse(fmt::format("{}: {}", printable(file), written.error().to_string()));
  }
  if (screen_.json()) return tell(saved_line(file, typed_.size()));
  return tell(
      fmt::format("saved {} steps; to play them: isolde run {}\n", typed_.size(), printable(file)));
}

}  // namespace isolde::lab
