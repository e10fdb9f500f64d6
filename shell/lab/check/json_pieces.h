// What reports in JSON have in common.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "isolde/error.h"
#include "isolde/locks.h"
#include "lab/check/checker.h"

namespace isolde::lab {

using Json = nlohmann::ordered_json;

// Text, or where the bytes are no UTF-8 {"hex": "..."}.
Json bytes_json(const std::string& bytes);
// The same of a value: null if there is none.
Json value_json(const std::optional<std::string>& value);
// One line. Of what else may hold foreign bytes (a script's name, a comment), the invalid ones are
// replaced.
std::string json_line(const Json& json);

// Adds what an error is about: key, range, with, snapshot, conflict, message.
void add_error(Json& json, const Error& error);
// Adds the key or range of a lock, and its keyspace unless it is the default one.
void add_target(Json& json, const LockTarget& target);
Json cycle_json(const DeadlockReport& report);
// "anomalies": the names, "serializable", and if there are any "details" with their cycles.
void add_verdict(Json& json, const Verdict& verdict);

}  // namespace isolde::lab
