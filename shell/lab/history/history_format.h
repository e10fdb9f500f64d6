// The formats of a history: JSON (json_reader) and Elle's EDN (edn_reader).
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>

#include "lab/history/history_reader.h"

namespace isolde::lab {

enum class HistoryFormat : std::uint8_t { json, edn };

std::unique_ptr<HistoryReader> history_reader(HistoryFormat format);

// The format of a line that is not blank: EDN's maps begin with a keyword, JSON's with a string.
HistoryFormat format_of(std::string_view line);

// A whole history in one piece, in the format that it is in.
std::variant<History, InputFault> parse_history(std::string_view text);

}  // namespace isolde::lab
