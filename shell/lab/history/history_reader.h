// Takes a history line by line, in whatever format: see history_format.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <variant>

#include "lab/history/history.h"
#include "lab/text/json_cursor.h"

namespace isolde::lab {

// No line may be longer, in bytes: what has no line ends is no history.
inline constexpr std::size_t longest_history_line = std::size_t{8} << 20;

class HistoryReader {
 public:
  virtual ~HistoryReader() = default;
  // The next line, without its newline. Nothing: all is well. After a fault the reader is finished.
  virtual std::optional<InputFault> line(std::string_view text) = 0;
  // After the last line.
  virtual std::variant<History, InputFault> finish() = 0;
};

}  // namespace isolde::lab
