// Values of EDN (edn-format.org): a small tree for one line, every node with its column.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "lab/text/json_cursor.h"

namespace isolde::lab {

struct EdnValue {
  enum class Kind : std::uint8_t { nil, symbol, keyword, string, sequence, map };
  Kind kind = Kind::nil;
  std::size_t column = 1;
  // A symbol (numbers and true are symbols here), a keyword without its colon, a string unescaped.
  std::string text;
  std::vector<EdnValue> items;  // of a vector, list or set; of a map: key, value, key, value, ...

  bool is(std::string_view keyword) const { return kind == Kind::keyword && text == keyword; }
  bool is_integer() const;
  // The value of a keyword in a map, or null.
  const EdnValue* find(std::string_view keyword) const;
};

// The one value of a line; nothing if the line holds none (blank, or a comment).
std::variant<std::optional<EdnValue>, InputFault> parse_edn(std::string_view line);

}  // namespace isolde::lab
