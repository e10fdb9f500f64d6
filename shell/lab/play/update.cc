#include "lab/play/update.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "lab/text/text.h"

namespace isolde::lab {
namespace {

// What happened in each cell, by its index; more than one if schedules differ.
using Seen = std::map<std::size_t, std::set<std::string>>;

// A stretch of one line, and what stands there from now on.
struct Edit {
  Place place;
  std::string text;
};

struct Group {
  std::string text;
  CellSet cells = CellSet::none();
};

// What all cells that were played agree on, if they do.
std::optional<std::string> agreed(const Seen& seen) {
  std::set<std::string> texts;
  for (const auto& [cell, outcomes] : seen) texts.insert(outcomes.begin(), outcomes.end());
  return texts.size() == 1 ? std::optional<std::string>(*texts.begin()) : std::nullopt;
}

// The cells of an expectation by what it is to say of them, in the order of the cells. One that
// named no cells goes on naming none if the cells that were played agree.
std::vector<Group> grouped(const CellSet& cells, const std::string& old, const Seen& failed) {
  std::vector<Group> groups;
  if (const auto text = agreed(failed); text && cells.to_script().empty()) {
    return {{*text, cells}};
  }
  for (std::size_t index = 0; index < CellSet::cell_count; ++index) {
    const Cell cell = Cell::at(index);
    if (!cells.contains(cell)) continue;
    const auto seen = failed.find(index);
    const bool rewrite = seen != failed.end() && seen->second.size() == 1;
    const std::string& text = rewrite ? *seen->second.begin() : old;
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&text](const Group& other) { return other.text == text; });
    if (group == groups.end()) {
      groups.push_back({text, CellSet::none()});
      group = groups.end() - 1;
    }
    group->cells.insert(cell);
  }
  return groups;
}

// The groups, a line each; `lead` is what the second and later lines begin with.
std::string spelled_groups(const std::vector<Group>& groups, const std::string& lead) {
  std::string text;
  for (const Group& group : groups) {
    if (!text.empty()) text += '\n' + lead;
    const std::string cells = group.cells.to_script();
    text += cells.empty() ? group.text : fmt::format("{} @ {}", group.text, cells);
  }
  return text;
}

// The line up to `column`, blank but for its last word: "=> " or "final ".
std::string lead_of(const Source& source, const Place& place, std::string_view word) {
  const std::string_view before = source.line(place.line).substr(0, place.column - 1);
  const std::size_t at = before.rfind(word);
  if (at == std::string_view::npos) return std::string(word) + ' ';
  return std::string(display_width(before.substr(0, at)), ' ') + std::string(before.substr(at));
}

// The state of the keys that a final expectation names, in its words.
std::string spelled_final(const FinalExpectation& final, const State& state) {
  std::vector<std::pair<std::pair<std::string, std::string>, std::optional<std::string>>> items;
  State rest = state;
  for (const FinalExpectation::Item& item : final.items) {
    const std::pair place(item.keyspace, item.key.literal());
    const auto found = state.find(place);
    if (final.exactly && found == state.end()) continue;
    items.emplace_back(place, found == state.end() ? std::optional<std::string>()
                                                   : std::optional<std::string>(found->second));
    rest.erase(place);
  }
  if (final.exactly) items.insert(items.end(), rest.begin(), rest.end());
  if (items.empty()) return "exactly empty";
  std::string text = final.exactly ? "exactly" : "";
  std::string keyspace(default_keyspace_name);
  // Those of the default keyspace first: no word leads back to it.
  std::stable_partition(items.begin(), items.end(),
                        [](const auto& item) { return item.first.first == default_keyspace_name; });
  for (const auto& [place, value] : items) {
    if (!text.empty()) text += ' ';
    if (place.first != keyspace) text += fmt::format("in {} ", spelled(place.first));
    keyspace = place.first;
    text += fmt::format("{}={}", spelled(place.second), value ? spelled(*value) : "absent");
  }
  return text;
}

class Update {
 public:
  Update(const Script& script, const std::vector<Play>& plays) : script_(script), plays_(plays) {}

  UpdatedScript run() && {
    for (const Step& step : script_.steps) {
      for (const StepExpectation& expectation : step.expectations) update_step(step, expectation);
    }
    for (const FinalExpectation& final : script_.expectations.finals) update_final(final, {});
    for (std::size_t i = 0; i < script_.schedules.size(); ++i) {
      for (const FinalExpectation& final : script_.schedules[i].expectations.finals) {
        update_final(final, i);
      }
    }
    return {edited(), edits_.size()};
  }

 private:
  // Whether the check at this place failed in that play; nothing if it was not made.
  static std::optional<bool> failed(const Play& play, const Place& place) {
    for (const Check& check : play.checks) {
      if (check.place.line == place.line && check.place.column == place.column) {
        return !check.passed;
      }
    }
    return std::nullopt;
  }

  void update_step(const Step& step, const StepExpectation& expectation) {
    Seen seen;
    for (const Play& play : plays_) {
      const auto has_failed = failed(play, expectation.place);
      if (!has_failed) continue;
      const auto record =
          std::find_if(play.steps.begin(), play.steps.end(),
                       [&step](const StepRecord& other) { return other.step == &step; });
      if (record == play.steps.end()) continue;
      seen[play.cell.index()].insert(*has_failed ? to_script(record->outcome)
                                                 : expectation.outcome.text);
    }
    rewrite(expectation.place, expectation.length, expectation.cells, expectation.outcome.text,
            seen, "=>");
  }

  void update_final(const FinalExpectation& final, std::optional<std::size_t> schedule) {
    const bool literal = std::all_of(final.items.begin(), final.items.end(),
                                     [](const auto& item) { return item.key.is_literal(); });
    if (!literal) return;
    Seen seen;
    for (const Play& play : plays_) {
      if (schedule && play.schedule != *schedule) continue;
      const auto has_failed = failed(play, final.place);
      if (!has_failed) continue;
      seen[play.cell.index()].insert(*has_failed ? spelled_final(final, play.state) : final.text);
    }
    rewrite(final.place, final.length, final.cells, final.text, seen, "final");
  }

  void rewrite(const Place& place, std::size_t length, const CellSet& cells, const std::string& old,
               const Seen& seen, std::string_view word) {
    const std::vector<Group> groups = grouped(cells, old, seen);
    if (groups.size() == 1 && groups.front().text == old) return;
    edits_.push_back({{place.line, place.column, length},
                      spelled_groups(groups, lead_of(script_.source, place, word))});
  }

  // From the last to the first, so that places stay what they were.
  std::string edited() {
    std::sort(edits_.begin(), edits_.end(), [](const Edit& a, const Edit& b) {
      return std::pair(a.place.line, a.place.column) > std::pair(b.place.line, b.place.column);
    });
    std::string text = script_.source.text();
    for (const Edit& edit : edits_) {
      const std::string_view line = script_.source.line(edit.place.line);
      const auto start = static_cast<std::size_t>(line.data() - script_.source.text().data());
      text.replace(start + edit.place.column - 1, edit.place.length, edit.text);
    }
    return text;
  }

  const Script& script_;
  const std::vector<Play>& plays_;
  std::vector<Edit> edits_;
};

}  // namespace

UpdatedScript updated_script(const Script& script, const std::vector<Play>& plays) {
  return Update(script, plays).run();
}

}  // namespace isolde::lab
