// JSON that is written: what all reports of the laboratory have in common.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace isolde::lab {

using Json = nlohmann::ordered_json;

// Text, or where the bytes are no UTF-8 {"hex": "..."}.
Json bytes_json(const std::string& bytes);
// The same of a value: null if there is none.
Json value_json(const std::optional<std::string>& value);
// Without line breaks. Of what else may hold foreign bytes (a script's name, a comment), the
// invalid ones are replaced.
std::string json_text(const Json& json);
// The same as a line of its own.
std::string json_line(const Json& json);

}  // namespace isolde::lab
