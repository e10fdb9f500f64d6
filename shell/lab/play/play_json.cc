#include "lab/play/play_json.h"

#include <fmt/format.h>

#include "lab/check/verdict_report.h"
#include "lab/script/error_json.h"
#include "lab/script/value_json.h"
#include "lab/text/json.h"

namespace isolde::lab {
namespace {

Json head(const Play& play, const char* event) {
  return Json{{"script", play.script->source.name()},
              {"schedule", play.schedule + 1},
              {"level", name(play.cell.level)},
              {"locking", name(play.cell.locking)},
              {"event", event}};
}

void add_outcome(Json& json, const StepRecord& record, bool woken) {
  const Outcome& outcome = record.outcome;
  json["outcome"] = outcome.skipped ? "skipped"
                    : outcome.error ? std::string(name(outcome.error->code()))
                                    : "ok";
  if (woken) json["woken"] = true;
  if (outcome.error) {
    add_error(json, *outcome.error);
    if (record.deadlock) json["cycle"] = cycle_json(*record.deadlock);
  } else if (!outcome.skipped) {
    json["result"] = value_json(outcome.value);
  }
}

Json event_json(const Play& play, const PlayEvent& event) {
  Json json = head(play, "step");
  json["session"] = play.script->sessions[event.step->session].name;
  json["step"] = event.step->name;
  json["command"] = event.step->text;
  if (event.kind == PlayEvent::Kind::deferred || event.kind == PlayEvent::Kind::blocked) {
    json["outcome"] = event.kind == PlayEvent::Kind::blocked ? "blocked" : "deferred";
    json["by"] = event.by;
    return json;
  }
  add_outcome(json, play.steps[*event.record], event.kind == PlayEvent::Kind::woken);
  return json;
}

Json final_json(const Play& play) {
  Json json = head(play, "final");
  Json state = Json::object();
  for (const auto& [place, value] : play.changes) {
    state[place_name(place)] = value ? bytes_json(*value) : Json(nullptr);
  }
  json["state"] = std::move(state);
  return json;
}

Json verdict_json(const Play& play) {
  Json json = head(play, "verdict");
  add_verdict(json, play.verdict);
  return json;
}

Json summary_json(const Play& play) {
  Json json = head(play, "summary");
  json["passed"] = play.passed();
  json["failed"] = play.failed();
  Json failures = Json::array();
  for (const Check& check : play.checks) {
    if (check.passed) continue;
    failures.push_back(Json{{"line", check.place.line},
                            {"column", check.place.column},
                            {"what", check.what},
                            {"expected", check.expected},
                            {"actual", check.actual}});
  }
  if (!failures.empty()) json["failures"] = std::move(failures);
  return json;
}

}  // namespace

std::string step_line(const std::string& session, const StepRecord& record, bool woken) {
  Json json{{"event", "step"},
            {"session", session},
            {"step", record.step->name},
            {"command", record.step->text}};
  add_outcome(json, record, woken);
  return json_line(json);
}

std::string blocked_line(const std::string& session, const StepRecord& record,
                         const std::vector<std::string>& by) {
  return json_line(Json{{"event", "step"},
                        {"session", session},
                        {"step", record.step->name},
                        {"command", record.step->text},
                        {"outcome", "blocked"},
                        {"by", by}});
}

std::string json_lines(const Play& play) {
  std::string text;
  for (const PlayEvent& event : play.events) text += json_line(event_json(play, event));
  return text + json_line(final_json(play)) + json_line(verdict_json(play)) +
         json_line(summary_json(play));
}

}  // namespace isolde::lab
