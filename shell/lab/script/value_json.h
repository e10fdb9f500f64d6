// Values and keys of scripts as JSON.
#pragma once

#include <string>
#include <utility>

#include "lab/script/operand.h"
#include "lab/text/json.h"

namespace isolde::lab {

// get: string or null; scan: [[k, v], ...]; count, sum, add_and_get: a number; nothing but success:
// null.
Json value_json(const Value& value);
// A key of an object is text: "x", or "ks/x" outside the default keyspace; bytes that are no UTF-8
// are spelled as in scripts, quotes included. `place`: keyspace and key.
std::string place_name(const std::pair<std::string, std::string>& place);

}  // namespace isolde::lab
