#include "lab/script/command.h"

#include <fmt/format.h>

#include "lab/text/text.h"

namespace isolde::lab {

RangeOperand RangeOperand::parse(TokenStream& tokens) {
  RangeOperand range;
  const Token token = tokens.expect_word("a range (a..b, p* or *)");
  if (tokens.failure()) return range;
  const std::size_t size = token.text.size();
  if (size > 0 && token.text.back() == '*' && !token.literal[size - 1]) {
    if (size == 1) return range;
    range.kind = Kind::prefix;
    range.lower = Operand::parse(tokens, token.part(0, size - 1));
    return range;
  }
  const std::size_t dots = token.find_bare("..");
  if (dots == std::string::npos) {
    tokens.fail(token.place, fmt::format("{} is no range: write a..b (half-open), p* (a prefix) or "
                                         "*",
                                         spelled_short(token.text)));
    return range;
  }
  range.kind = Kind::between;
  const Token lower = token.part(0, dots);
  const Token upper = token.part(dots + 2);
  if (!lower.text.empty()) range.lower = Operand::parse(tokens, lower);
  if (!upper.text.empty()) range.upper = Operand::parse(tokens, upper);
  return range;
}

Result<KeyRange> evaluate(const RangeOperand& range, const Bindings& bindings) {
  KeyRange keys;
  if (range.lower) {
    auto lower = evaluate(*range.lower, bindings);
    if (!lower) return lower.error();
    if (range.kind == RangeOperand::Kind::prefix) return KeyRange::prefix(*lower);
    keys.lower = *lower;
  }
  if (range.upper) {
    auto upper = evaluate(*range.upper, bindings);
    if (!upper) return upper.error();
    keys.upper = *upper;
  }
  return keys;
}

}  // namespace isolde::lab
