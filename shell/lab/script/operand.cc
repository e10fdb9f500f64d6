#include "lab/script/operand.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <compare>

#include "lab/text/text.h"

namespace isolde::lab {
namespace {

Error invalid(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

// Length of the step name that `text` begins with.
std::size_t step_name_length(std::string_view text) {
  std::size_t length = 0;
  while (length < text.size() && is_name(text.substr(0, length + 1))) ++length;
  return length;
}

std::size_t end_of_term(const Token& token, std::size_t from) {
  return std::min({token.find_bare("+", from), token.find_bare("-", from), token.text.size()});
}

Operand::Reference parse_reference(TokenStream& tokens, const Token& token) {
  Operand::Reference reference;
  std::string_view rest = std::string_view(token.text).substr(1);
  const std::size_t length = step_name_length(rest);
  reference.step = rest.substr(0, length);
  tokens.note_step_use({reference.step, token.place});
  rest.remove_prefix(length);
  if (rest == ".key") {
    reference.key = true;
  } else if (!rest.empty() || reference.step.empty()) {
    tokens.fail(token.place, fmt::format("'{}' is no reference: write $step or $step.key, or "
                                         "quote a text that contains $",
                                         printable(token.text)));
  }
  return reference;
}

Result<std::optional<std::string>> look_up(const Operand::Reference& reference,
                                           const Bindings& bindings) {
  const auto found = bindings.find(reference.step);
  if (found == bindings.end()) return std::optional<std::string>();
  const Value& value = found->second;
  if (const auto* entries = std::get_if<Entries>(&value)) {
    if (entries->empty()) return std::optional<std::string>();
    const auto& [key, text] = entries->front();
    return std::optional<std::string>(reference.key ? key : text);
  }
  if (reference.key) {
    return invalid(
        fmt::format("${}.key: step {} returned no entries", reference.step, reference.step));
  }
  if (const auto* text = std::get_if<std::string>(&value)) return std::optional<std::string>(*text);
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return std::optional<std::string>(std::to_string(*number));
  }
  return std::optional<std::string>();
}

Result<std::string> combine(const std::string& left, bool minus, const std::string& right) {
  const auto a = to_integer(left);
  const auto b = to_integer(right);
  if (a && b) {
    std::int64_t sum = 0;
    const bool overflow =
        minus ? __builtin_sub_overflow(*a, *b, &sum) : __builtin_add_overflow(*a, *b, &sum);
    if (overflow) return invalid(fmt::format("{} {} {} overflows", *a, minus ? "-" : "+", *b));
    return std::to_string(sum);
  }
  if (minus) {
    return invalid(fmt::format("cannot subtract {} from {}: both must be integers",
                               spelled_short(right), spelled_short(left)));
  }
  return left + right;
}

}  // namespace

Operand Operand::of(std::string text) {
  Operand operand;
  operand.terms.push_back({false, std::move(text)});
  return operand;
}

Operand Operand::parse(TokenStream& tokens, const Token& token) {
  const std::size_t dollar = token.find_bare("$");
  if (dollar == std::string::npos) return of(token.text);
  if (dollar != 0) {
    tokens.fail(token.place,
                "an expression begins with its reference, as in $a2+10; quote a text "
                "that contains $");
    return of({});
  }
  Operand operand;
  bool minus = false;
  for (std::size_t at = 0;;) {
    const std::size_t end = end_of_term(token, at);
    const Token piece = token.part(at, end - at);
    if (piece.find_bare("$") == 0) {
      operand.terms.push_back({minus, parse_reference(tokens, piece)});
    } else if (piece.text.empty() && !piece.has_quotes) {
      tokens.fail(token.place, "a term is missing beside + or -");
    } else if (piece.find_bare("$") != std::string::npos) {
      tokens.fail(token.place, "put + or - between the terms, or quote a text that contains $");
    } else {
      operand.terms.push_back({minus, piece.text});
    }
    if (end >= token.text.size() || tokens.failure()) break;
    minus = token.text[end] == '-';
    at = end + 1;
  }
  if (operand.terms.empty()) return of({});
  return operand;
}

Result<std::optional<std::string>> evaluate_optional(const Operand& operand,
                                                     const Bindings& bindings) {
  std::optional<std::string> sum;
  for (const Operand::Term& term : operand.terms) {
    std::string text;
    if (const auto* reference = std::get_if<Operand::Reference>(&term.what)) {
      auto found = look_up(*reference, bindings);
      if (!found) return found.error();
      if (!*found) {
        if (operand.terms.size() == 1) return std::optional<std::string>();
        return invalid(fmt::format("${} has no value here", reference->step));
      }
      text = **found;
    } else {
      text = std::get<std::string>(term.what);
    }
    if (!sum) {
      sum = std::move(text);
      continue;
    }
    auto combined = combine(*sum, term.minus, text);
    if (!combined) return combined.error();
    sum = *combined;
  }
  return sum;
}

Result<std::string> evaluate(const Operand& operand, const Bindings& bindings) {
  auto value = evaluate_optional(operand, bindings);
  if (!value) return value.error();
  if (!*value) {
    const auto& reference = std::get<Operand::Reference>(operand.terms[0].what);
    return invalid(
        fmt::format("${}{} has no value here: the step has not run, failed, or found "
                    "the key absent",
                    reference.step, reference.key ? ".key" : ""));
  }
  return **value;
}

Comparison parse_comparison(TokenStream& tokens) {
  constexpr std::array<std::pair<std::string_view, Comparison>, 6> symbols{{
      {"=", Comparison::eq},
      {"!=", Comparison::ne},
      {"<", Comparison::lt},
      {"<=", Comparison::le},
      {">", Comparison::gt},
      {">=", Comparison::ge},
  }};
  for (const auto& [symbol, comparison] : symbols) {
    if (tokens.accept_symbol(symbol)) return comparison;
  }
  tokens.fail_expected("a comparison (= != < <= > >=)");
  return Comparison::eq;
}

bool compare(const std::optional<std::string>& left, Comparison comparison,
             const std::optional<std::string>& right) {
  if (!left || !right) {
    const bool equal = !left && !right;
    return comparison == Comparison::eq ? equal : comparison == Comparison::ne && !equal;
  }
  const auto a = to_integer(*left);
  const auto b = to_integer(*right);
  const auto order = a && b ? *a <=> *b : left->compare(*right) <=> 0;
  switch (comparison) {
    case Comparison::eq:
      return order == 0;
    case Comparison::ne:
      return order != 0;
    case Comparison::lt:
      return order < 0;
    case Comparison::le:
      return order <= 0;
    case Comparison::gt:
      return order > 0;
    case Comparison::ge:
      return order >= 0;
  }
  return false;
}

}  // namespace isolde::lab
