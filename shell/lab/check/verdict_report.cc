#include "lab/check/verdict_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "isolde/keyspace.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

Json level_name(const std::optional<Isolation>& level) {
  if (!level) return nullptr;
  return std::string(name(*level));
}

Json edge_json(const CycleEdge& edge) {
  Json json{
      {"from", edge.from.value}, {"to", edge.to.value}, {"edge", std::string(name(edge.kind))}};
  if (edge.key) {
    json["key"] = bytes_json(edge.key->key);
    if (edge.key->keyspace != default_keyspace_name)
      json["keyspace"] = bytes_json(edge.key->keyspace);
  }
  if (edge.range) {
    Json range{{"lower", bytes_json(edge.range->lower)}};
    range["upper"] = edge.range->upper ? bytes_json(*edge.range->upper) : Json(nullptr);
    json["range"] = std::move(range);
  }
  return json;
}

// As a play tells it: a range in the words of the script.
Json told_edge_json(const CycleEdge& edge) {
  Json json{{"from", edge.from.value}, {"to", edge.to.value}, {"edge", name(edge.kind)}};
  if (edge.key) json["key"] = bytes_json(edge.key->key);
  if (edge.range) json["range"] = spelled_range(*edge.range);
  return json;
}

Json ids(const std::vector<TransactionId>& transactions) {
  Json json = Json::array();
  for (const TransactionId id : transactions) json.push_back(id.value);
  return json;
}

std::string named_ids(const std::vector<TransactionId>& transactions) {
  std::string text;
  for (const TransactionId id : transactions) {
    text += fmt::format("{}T{}", text.empty() ? "" : ", ", id.value);
  }
  return text;
}

std::string indented(const std::string& text) {
  constexpr std::size_t width = 96;
  std::string lines;
  for (const std::string& line : wrapped(text, width)) lines += "  " + line + '\n';
  return lines;
}

std::string summary(const Verdict& verdict) {
  if (verdict.strictly_serializable) return "Strictly serializable.";
  if (verdict.serializable) {
    return verdict.session_serializable
               ? "Serializable, but not in the order of real time."
               : "Serializable, but neither in the order of the sessions nor of real time.";
  }
  const std::string strongest =
      verdict.strongest ? std::string(name(*verdict.strongest)) : std::string("none");
  const std::string weakest =
      verdict.weakest_violated ? std::string(name(*verdict.weakest_violated)) : std::string("none");
  return fmt::format("Not serializable. Strongest level satisfied: {}; weakest violated: {}.",
                     strongest, weakest);
}

}  // namespace

bool is_valid(const Verdict& verdict, JudgedLevel level) {
  if (!level) return verdict.broken_promises.empty();
  if (*level == Isolation::serializable) return verdict.strictly_serializable;
  const bool stale = std::any_of(
      verdict.anomalies.begin(), verdict.anomalies.end(),
      [](const Anomaly& anomaly) { return anomaly.phenomenon == Phenomenon::stale_read; });
  return !stale && verdict.strongest && *verdict.strongest >= *level;
}

std::string verdict_text(const Verdict& verdict, JudgedLevel level) {
  std::string text;
  for (const Anomaly& anomaly : verdict.anomalies) {
    text += fmt::format("{}: {}\n", name(anomaly.phenomenon), named_ids(anomaly.transactions));
    text += indented(anomaly.text);
  }
  if (verdict.more_anomalies) text += "There are more cycles than those told here.\n";
  for (const BrokenPromise& broken : verdict.broken_promises) {
    text += fmt::format("broken promise: T{} ran at {}\n", broken.transaction.value,
                        name(broken.level));
    text += indented(broken.text);
  }
  if (!text.empty()) text += '\n';
  text += fmt::format("{} committed, {} aborted. {}\n", verdict.committed, verdict.aborted,
                      summary(verdict));
  if (verdict.broken_promises.empty() && !verdict.strictly_serializable) {
    text += "Each transaction got what its own level promises.\n";
  }
  if (!is_valid(verdict, level)) {
    text += level ? fmt::format("Invalid at {}.\n", name(*level))
                  : std::string("Invalid: promises were broken.\n");
  }
  return text;
}

std::string verdict_json(const Verdict& verdict, JudgedLevel level) {
  Json json{{"valid", is_valid(verdict, level)},
            {"judged_at", level ? std::string(name(*level)) : std::string("promised")},
            {"strongest", level_name(verdict.strongest)},
            {"weakest_violated", level_name(verdict.weakest_violated)},
            {"serializable", verdict.serializable},
            {"session_serializable", verdict.session_serializable},
            {"strictly_serializable", verdict.strictly_serializable},
            {"committed", verdict.committed},
            {"aborted", verdict.aborted}};
  json["anomalies"] = Json::array();
  for (const Anomaly& anomaly : verdict.anomalies) {
    Json cycle = Json::array();
    for (const CycleEdge& edge : anomaly.cycle) cycle.push_back(edge_json(edge));
    json["anomalies"].push_back({{"name", std::string(name(anomaly.phenomenon))},
                                 {"transactions", ids(anomaly.transactions)},
                                 {"cycle", std::move(cycle)},
                                 {"text", anomaly.text}});
  }
  json["more_anomalies"] = verdict.more_anomalies;
  json["broken_promises"] = Json::array();
  for (const BrokenPromise& broken : verdict.broken_promises) {
    json["broken_promises"].push_back({{"transaction", broken.transaction.value},
                                       {"level", std::string(name(broken.level))},
                                       {"text", broken.text}});
  }
  return json_line(json);
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
    for (const CycleEdge& edge : anomaly.cycle) cycle.push_back(told_edge_json(edge));
    details.push_back(Json{
        {"name", name(anomaly.phenomenon)}, {"cycle", std::move(cycle)}, {"text", anomaly.text}});
  }
  if (!details.empty()) json["details"] = std::move(details);
}

}  // namespace isolde::lab
