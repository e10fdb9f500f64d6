// Writes histories in the format of docs/history-format.md.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "lab/history/history.h"

namespace isolde::lab {

// Gives the lines in order, in pieces of many lines, to `write`, until that answers false.
void write_history(const History& history, const std::function<bool(std::string_view)>& write);
std::string to_json_lines(const History& history);

// A JSON string, or {"hex": "..."} for bytes that are not UTF-8.
void append_json(std::string& text, std::string_view bytes);

}  // namespace isolde::lab
