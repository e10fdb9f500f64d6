// A verdict for people and for programs.
#pragma once

#include <optional>
#include <string>

#include "lab/check/verdict.h"
#include "lab/text/json.h"

namespace isolde::lab {

// What a history is held against: one level for all (serializable: with real time), or nothing:
// what each transaction's own level promises.
using JudgedLevel = std::optional<Isolation>;

// Whether the history shows nothing that the level forbids.
bool is_valid(const Verdict& verdict, JudgedLevel level);

std::string verdict_text(const Verdict& verdict, JudgedLevel level);
// {"valid": ..., "strongest": ..., "anomalies": [...], ...}, one line.
std::string verdict_json(const Verdict& verdict, JudgedLevel level);
// Adds what a play's report says of its verdict: "anomalies" (their names), "serializable", and if
// there are any anomalies "details" with their cycles.
void add_verdict(Json& json, const Verdict& verdict);

}  // namespace isolde::lab
