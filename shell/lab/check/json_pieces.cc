#include "lab/check/json_pieces.h"

#include "isolde/keyspace.h"
#include "lab/script/outcome.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

Json edge_json(const CycleEdge& edge) {
  Json json{{"from", edge.from.value}, {"to", edge.to.value}, {"edge", name(edge.kind)}};
  if (edge.key) json["key"] = bytes_json(edge.key->key);
  if (edge.range) json["range"] = spelled_range(*edge.range);
  return json;
}

}  // namespace

Json bytes_json(const std::string& bytes) {
  if (is_utf8(bytes)) return bytes;
  return Json{{"hex", hex(bytes)}};
}

Json value_json(const std::optional<std::string>& value) {
  return value ? bytes_json(*value) : Json(nullptr);
}

std::string json_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

void add_error(Json& json, const Error& error) {
  const Evidence& evidence = error.evidence();
  if (evidence.key) json["key"] = bytes_json(*evidence.key);
  if (evidence.range) json["range"] = spelled(*evidence.range);
  if (evidence.culprit) json["with"] = evidence.culprit->label;
  if (evidence.snapshot) json["snapshot"] = evidence.snapshot->value;
  if (evidence.conflict) json["conflict"] = evidence.conflict->value;
  json["message"] = error.message();
}

void add_target(Json& json, const LockTarget& target) {
  if (target.keyspace != default_keyspace_name) json["keyspace"] = bytes_json(target.keyspace);
  if (target.key) json["key"] = bytes_json(*target.key);
  if (target.range) json["range"] = spelled(*target.range);
}

Json cycle_json(const DeadlockReport& report) {
  Json cycle = Json::array();
  for (const LockWaitEdge& edge : report.cycle) {
    Json json{{"session", edge.waiter.label}, {"waits_for", edge.holder.label}};
    if (edge.target.key) json["key"] = bytes_json(*edge.target.key);
    if (edge.target.range) json["range"] = spelled(*edge.target.range);
    cycle.push_back(std::move(json));
  }
  return cycle;
}

void add_verdict(Json& json, const Verdict& verdict) {
  json["anomalies"] = Json::array();
  for (const Phenomenon phenomenon : verdict.phenomena()) {
    json["anomalies"].push_back(name(phenomenon));
  }
  json["serializable"] = verdict.serializable;
  Json details = Json::array();
  for (const Anomaly& anomaly : verdict.anomalies) {
    Json cycle = Json::array();
    for (const CycleEdge& edge : anomaly.cycle) cycle.push_back(edge_json(edge));
    details.push_back(Json{
        {"name", name(anomaly.phenomenon)}, {"cycle", std::move(cycle)}, {"text", anomaly.text}});
  }
  if (!details.empty()) json["details"] = std::move(details);
}

}  // namespace isolde::lab
