// What can be judged only when the whole script has been read: names that must exist, expectations
// that must not contradict each other.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/script/script_parser.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

bool returns_value(const Command& command) {
  return std::holds_alternative<GetCommand>(command.action) ||
         std::holds_alternative<ScanCommand>(command.action) ||
         std::holds_alternative<NextCommand>(command.action) ||
         std::holds_alternative<RetryCommand>(command.action) ||
         std::holds_alternative<AddCommand>(command.action);
}

std::string place_of(const FinalExpectation::Item& item) {
  return item.keyspace + '/' + (item.key.is_literal() ? item.key.literal() : std::string());
}

}  // namespace

std::vector<std::string_view> ScriptParser::step_names() const {
  std::vector<std::string_view> names;
  names.reserve(script_.steps.size());
  for (const Step& step : script_.steps) names.push_back(step.name);
  return names;
}

void ScriptParser::check() {
  if (script_.steps.empty()) {
    fail({std::max<std::size_t>(1, script_.source.line_count()), 1, 1},
         "the script has no steps: write session A, and below it a1: begin, ...");
    return;
  }
  check_step_uses();
  check_sessions();
  resolve_schedules();
  check_finals();
  check_outcomes();
  check_verdicts();
  check_explorations();
}

void ScriptParser::check_step_uses() {
  for (const TokenStream::StepUse& use : step_uses_) {
    const auto found = steps_by_name_.find(use.step);
    if (found == steps_by_name_.end()) {
      fail(use.place, fmt::format("there is no step {}{}{}", spelled_short(use.step),
                                  did_you_mean(use.step, step_names()),
                                  use.value ? "; a text that begins with $ needs quotes" : ""));
      continue;
    }
    const Step& step = script_.steps[found->second];
    if (!use.value) continue;
    if (std::none_of(step.commands.begin(), step.commands.end(), returns_value)) {
      fail(use.place,
           fmt::format("step {} returns nothing that ${} could stand for", step.name, step.name));
    }
  }
}

void ScriptParser::check_sessions() {
  std::vector<std::string_view> names;
  names.reserve(script_.sessions.size());
  for (const SessionDefinition& session : script_.sessions) names.push_back(session.name);
  for (const TokenStream::SessionUse& use : session_uses_) {
    if (std::find(names.begin(), names.end(), use.session) == names.end()) {
      fail(use.place, fmt::format("there is no session {}{}", spelled_short(use.session),
                                  did_you_mean(use.session, names)));
    }
  }
}

void ScriptParser::resolve_schedules() {
  if (script_.schedules.empty()) {
    Schedule one_after_the_other;
    one_after_the_other.place = script_.steps.front().place;
    for (std::size_t i = 0; i < script_.steps.size(); ++i) one_after_the_other.steps.push_back(i);
    script_.schedules.push_back(std::move(one_after_the_other));
    return;
  }
  for (std::size_t i = 0; i < schedule_steps_.size(); ++i) {
    Schedule& schedule = script_.schedules[i];
    if (schedule_steps_[i].empty()) fail(schedule.place, "a schedule names the steps to play");
    for (const NamedPlace& named : schedule_steps_[i]) {
      const auto found = steps_by_name_.find(named.name);
      if (found == steps_by_name_.end()) {
        fail(named.place, fmt::format("there is no step {}{}", spelled_short(named.name),
                                      did_you_mean(named.name, step_names())));
      } else if (std::find(schedule.steps.begin(), schedule.steps.end(), found->second) !=
                 schedule.steps.end()) {
        fail(named.place, fmt::format("step {} is in this schedule twice", named.name));
      } else {
        schedule.steps.push_back(found->second);
      }
    }
  }
}

void ScriptParser::check_finals() {
  const Script& script = script_;
  for (const Schedule& schedule : script.schedules) {
    std::vector<std::pair<std::string, const FinalExpectation*>> seen;
    for (const auto* finals : {&script.expectations.finals, &schedule.expectations.finals}) {
      for (const FinalExpectation& final : *finals) {
        for (const auto& item : final.items) {
          if (!item.key.is_literal()) continue;
          for (const auto& [place, earlier] : seen) {
            const auto cell = earlier->cells.common(final.cells);
            if (place != place_of(item) || !cell) continue;
            fail(item.place, fmt::format("{} has a final expectation for {} already, in line {}",
                                         spelled_short(item.key.literal()), cell->to_string(),
                                         earlier->place.line));
          }
          seen.emplace_back(place_of(item), &final);
        }
      }
    }
    if (!errors_.empty()) return;  // the same once more for each further schedule
  }
}

void ScriptParser::check_outcomes() {
  const Script& script = script_;
  for (const Schedule& schedule : script.schedules) {
    std::vector<const OutcomesExpectation*> all;
    for (const auto* list : {&script.expectations.outcomes, &schedule.expectations.outcomes}) {
      for (const OutcomesExpectation& outcomes : *list) {
        for (const OutcomesExpectation* earlier : all) {
          if (const auto cell = earlier->cells.common(outcomes.cells)) {
            fail(outcomes.place, fmt::format("outcomes for {} are in line {} already",
                                             cell->to_string(), earlier->place.line));
            return;
          }
        }
        all.push_back(&outcomes);
      }
    }
  }
}

// An exact verdict and another line for the same cell are two opinions on one thing; several
// `includes` are not.
void ScriptParser::check_verdicts() {
  const auto exact = [](const VerdictExpectation& verdict) {
    return verdict.kind == VerdictExpectation::Kind::exactly ||
           verdict.kind == VerdictExpectation::Kind::serializable;
  };
  const Script& script = script_;
  for (const Schedule& schedule : script.schedules) {
    std::vector<const VerdictExpectation*> all;
    for (const auto* list : {&script.expectations.verdicts, &schedule.expectations.verdicts}) {
      for (const VerdictExpectation& verdict : *list) {
        for (const VerdictExpectation* earlier : all) {
          const auto cell = earlier->cells.common(verdict.cells);
          if (!cell || (!exact(*earlier) && !exact(verdict))) continue;
          fail(verdict.place, fmt::format("the verdict for {} is in line {} already",
                                          cell->to_string(), earlier->place.line));
          return;
        }
        all.push_back(&verdict);
      }
    }
  }
}

void ScriptParser::check_explorations() {
  const auto& all = script_.explorations;
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const auto cell = all[j].cells.common(all[i].cells);
      const auto same = [&](const auto& count) { return all[j].counts.count(count.first) != 0; };
      if (cell && std::any_of(all[i].counts.begin(), all[i].counts.end(), same)) {
        fail(all[i].place, fmt::format("the same is expected for {} in line {} already",
                                       cell->to_string(), all[j].place.line));
        return;
      }
    }
  }
}

}  // namespace isolde::lab
