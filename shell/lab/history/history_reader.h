// Reads histories: docs/history-format.md, and Elle's EDN (lab/edn.h).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "lab/history/history.h"
#include "lab/text/json_cursor.h"

namespace isolde::lab {

// No line may be longer, in bytes: what has no line ends is no history.
inline constexpr std::size_t longest_history_line = std::size_t{8} << 20;

enum class HistoryFormat : std::uint8_t { json, edn };

// Takes a history line by line.
class HistoryReader {
 public:
  virtual ~HistoryReader() = default;
  // The next line, without its newline. Nothing: all is well. After a fault the reader is finished.
  virtual std::optional<InputFault> line(std::string_view text) = 0;
  // After the last line.
  virtual std::variant<History, InputFault> finish() = 0;
};

std::unique_ptr<HistoryReader> history_reader(HistoryFormat format);

// The format of a line that is not blank: EDN's maps begin with a keyword, JSON's with a string.
HistoryFormat format_of(std::string_view line);

// A whole history in one piece, in the format that it is in.
std::variant<History, InputFault> parse_history(std::string_view text);

}  // namespace isolde::lab
