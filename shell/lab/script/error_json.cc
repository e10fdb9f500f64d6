#include "lab/script/error_json.h"

#include "isolde/keyspace.h"
#include "lab/script/outcome.h"

namespace isolde::lab {

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

}  // namespace isolde::lab
