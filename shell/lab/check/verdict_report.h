// A verdict for people and for programs.
#pragma once

#include <optional>
#include <string>

#include "lab/check/checker.h"

namespace isolde::lab {

// What a history is held against: one level for all (serializable: with real time), or nothing:
// what each transaction's own level promises.
using JudgedLevel = std::optional<Isolation>;

// Whether the history shows nothing that the level forbids.
bool is_valid(const Verdict& verdict, JudgedLevel level);

std::string verdict_text(const Verdict& verdict, JudgedLevel level);
// {"valid": ..., "strongest": ..., "anomalies": [...], ...}, one line.
std::string verdict_json(const Verdict& verdict, JudgedLevel level);

}  // namespace isolde::lab
