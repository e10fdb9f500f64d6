// Operands: what a script writes where a key or a value is wanted - bytes, or a sum over what
// steps returned ($a2, $a2.key, $a2+10, $a2+$a3).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "isolde/result.h"
#include "lab/script/token.h"

namespace isolde::lab {

// What a command returned. std::monostate: nothing but success; Absent: a key that is not there.
struct Absent {
  friend bool operator==(const Absent&, const Absent&) = default;
};
using Entries = std::vector<std::pair<std::string, std::string>>;
using Value = std::variant<std::monostate, Absent, std::string, std::int64_t, Entries>;

// What the steps so far returned, by the step's name.
using Bindings = std::map<std::string, Value, std::less<>>;

struct Operand {
  struct Reference {
    std::string step;
    bool key = false;  // .key: the key of the first entry, rather than its value
  };
  struct Term {
    bool minus = false;
    std::variant<std::string, Reference> what;
  };
  std::vector<Term> terms;

  bool is_literal() const noexcept {
    return terms.size() == 1 && std::holds_alternative<std::string>(terms[0].what);
  }
  // Precondition: is_literal().
  const std::string& literal() const { return std::get<std::string>(terms[0].what); }
  static Operand of(std::string text);

  // The token as an operand; fails the stream on a malformed reference.
  static Operand parse(TokenStream& tokens, const Token& token);
};

// Evaluates. The sum of two integers is their sum; if one side is none, `+` joins the two texts.
// Errors: invalid_argument (no such value: absent, or the step has not run; `-` on a text;
// overflow).
Result<std::string> evaluate(const Operand& operand, const Bindings& bindings);
// The same, but a lone reference to something absent is nothing, not an error.
Result<std::optional<std::string>> evaluate_optional(const Operand& operand,
                                                     const Bindings& bindings);

enum class Comparison : std::uint8_t { eq, ne, lt, le, gt, ge };

// = != < <= > >=; fails the stream on anything else.
Comparison parse_comparison(TokenStream& tokens);
// Numeric if both sides are integers, else by bytes. Something absent equals only something
// absent, and is in no order with anything.
bool compare(const std::optional<std::string>& left, Comparison comparison,
             const std::optional<std::string>& right);

}  // namespace isolde::lab
