// Explorations for programs.
#include <utility>

#include "lab/explore/explore_report.h"
#include "lab/script/outcome.h"
#include "lab/script/value_json.h"
#include "lab/text/json.h"

namespace isolde::lab {
namespace {

Json counted(std::uint64_t count) {
  return count == ~std::uint64_t{0} ? Json(nullptr) : Json(count);
}

Json schedule_json(const Script& script, const std::vector<std::size_t>& schedule) {
  Json steps = Json::array();
  for (const std::size_t step : schedule) steps.push_back(script.steps[step].name);
  return steps;
}

Json outcome_json(const Script& script, const PlayedOrder& play,
                  const std::vector<std::size_t>& schedule) {
  Json results = Json::object();
  for (const StepRecord& record : play.steps) {
    const Outcome& outcome = record.outcome;
    const bool stuck = outcome.blocked && !outcome.blocked->finished;
    results[record.step->name] = stuck             ? Json("blocked")
                                 : outcome.skipped ? Json("skipped")
                                 : outcome.error   ? Json(name(outcome.error->code()))
                                                   : value_json(outcome.value);
  }
  Json final = Json::object();
  for (const auto& [place, value] : play.state) final[place_name(place)] = bytes_json(value);
  Json committed = Json::array();
  Json aborted = Json::object();
  for (std::size_t session = 0; session < play.endings.size(); ++session) {
    bool once = false;
    for (const Ending& ending : play.endings[session]) {
      once = once || ending.kind == Ending::Kind::committed;
      if (ending.kind == Ending::Kind::aborted) {
        aborted[script.sessions[session].name] = ending.to_string();
      }
    }
    if (once) committed.push_back(script.sessions[session].name);
  }
  Json anomalies = Json::array();
  for (const Phenomenon phenomenon : play.verdict.phenomena()) {
    anomalies.push_back(name(phenomenon));
  }
  return Json{{"schedule", schedule_json(script, schedule)},
              {"results", std::move(results)},
              {"final", std::move(final)},
              {"committed", std::move(committed)},
              {"aborted", std::move(aborted)},
              {"serializable", play.verdict.serializable},
              {"anomalies", std::move(anomalies)}};
}

Json run_json(const Explored& explored) {
  const Exploration& run = explored.exploration;
  const Script& script = *run.script;
  Json json{{"script", script.source.name()},
            {"level", run.mixed ? "mixed" : name(run.cell.level)},
            {"locking", run.mixed ? "mixed" : name(run.cell.locking)}};
  Json schedules = Json::array();
  for (const std::size_t schedule : run.extent.schedules) schedules.push_back(schedule + 1);
  json["schedules"] = std::move(schedules);
  json["interleavings"] = counted(run.interleavings);
  for (const char* count : {"infeasible", "executed", "serializable", "non_serializable"}) {
    json[count] = run.count(count);
  }
  Json anomalies = Json::object();
  for (const auto& [phenomenon, count] : run.anomalies) {
    anomalies[std::string(name(phenomenon))] = count;
  }
  json["anomalies"] = std::move(anomalies);
  for (const char* count : {"blocked", "aborted", "deadlocks", "invariant_violations"}) {
    json[count] = run.count(count);
  }
  json["broken_promises"] = run.broken_promises;
  json["pruned"] = run.pruned;
  json["complete"] = run.is_complete();
  if (run.interrupted) json["interrupted"] = true;
  if (run.sampled) json["sampled"] = Json{{"orders", *run.sampled}, {"seed", run.seed}};
  json["seconds"] = run.seconds;
  Json witnesses = Json::object();
  for (const Witness& witness : explored.witnesses) {
    witnesses[witness.what] = Json{{"schedule", witness.schedule}, {"script", witness.script}};
  }
  json["witness"] = std::move(witnesses);
  Json groups = Json::array();
  for (const auto& [outcome, group] : run.outcomes) {
    Json one{{"interleavings", group.interleavings}};
    one.update(outcome_json(script, group.play, group.schedule));
    groups.push_back(std::move(one));
  }
  json["groups"] = std::move(groups);
  return json;
}

}  // namespace

std::string interleaving_json(const Script& script, const PlayedOrder& play,
                              const std::vector<std::size_t>& schedule) {
  return json_text(outcome_json(script, play, schedule));
}

std::string explore_json(const std::vector<Explored>& explored,
                         const std::vector<std::vector<std::string>>& interleavings) {
  std::string text = "{\"runs\": [";
  for (std::size_t i = 0; i < explored.size(); ++i) {
    if (i > 0) text += ",\n";
    std::string run = json_text(run_json(explored[i]));
    // What was run one by one may be long; it was spelled when it happened.
    if (i < interleavings.size() && !interleavings[i].empty()) {
      run.pop_back();
      run += ",\"outcomes\":[";
      for (std::size_t j = 0; j < interleavings[i].size(); ++j) {
        if (j > 0) run += ',';
        run += interleavings[i][j];
      }
      run += "]}";
    }
    text += run;
  }
  text += "], \"false_aborts\": ";
  Json all = Json::array();
  for_each_extent(explored, [&](const std::vector<const Explored*>& cells) {
    for (const FalseAborts& aborts : false_aborts(cells)) {
      Json reasons = Json::object();
      for (const auto& [code, count] : aborts.reasons) reasons[std::string(name(code))] = count;
      all.push_back(Json{{"script", cells.front()->exploration.script->source.name()},
                         {"locking", name(aborts.locking)},
                         {"serializable_anyway", aborts.anyway},
                         {"infeasible", aborts.infeasible},
                         {"aborted", aborts.aborted},
                         {"reasons", std::move(reasons)}});
    }
  });
  return text + json_text(all) + "}\n";
}

}  // namespace isolde::lab
