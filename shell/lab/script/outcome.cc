#include "lab/script/outcome.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "lab/text/text.h"

namespace isolde::lab {
namespace {

using Kind = ExpectedOutcome::Kind;

constexpr int error_code_count = static_cast<int>(ErrorCode::format_unsupported) + 1;

std::string shown(std::string_view bytes, std::optional<std::size_t> limit) {
  return limit ? spelled_short(bytes, *limit) : spelled(bytes);
}

struct Speller {
  std::optional<std::size_t> limit;

  std::string operator()(std::monostate) const { return "ok"; }
  std::string operator()(Absent) const { return "absent"; }
  std::string operator()(const std::string& text) const { return shown(text, limit); }
  std::string operator()(std::int64_t number) const { return std::to_string(number); }
  std::string operator()(const Entries& entries) const {
    constexpr std::size_t shown_entries = 8;
    if (entries.empty()) return "empty";
    std::string text;
    std::size_t count = 0;
    for (const auto& [key, value] : entries) {
      if (limit && count == shown_entries) {
        return text + fmt::format(" … {} more", entries.size() - count);
      }
      text +=
          fmt::format("{}{}={}", text.empty() ? "" : " ", shown(key, limit), shown(value, limit));
      ++count;
    }
    return text;
  }
};

ExpectedOutcome parse_outcome(TokenStream& tokens);

// What follows `blocked`: [by SESSION...] [until STEP] [then OUTCOME]
void parse_blocking(TokenStream& tokens, ExpectedOutcome& expected) {
  expected.kind = Kind::blocked;
  if (tokens.accept_word("by")) {
    do {
      const Token session = tokens.expect_word("a session after by");
      if (tokens.failure()) return;
      expected.by.push_back(session.text);
      tokens.note_session_use({session.text, session.place});
    } while (tokens.peek().kind == Token::Kind::word && !tokens.peek().is_word("until") &&
             !tokens.peek().is_word("then"));
  }
  if (tokens.accept_word("until")) {
    const Token step = tokens.expect_word("a step after until");
    expected.until = step.text;
    if (!tokens.failure()) tokens.note_step_use({step.text, step.place, false});
  }
  if (tokens.accept_word("then")) {
    const Token& end = tokens.peek();
    if (end.is_word("blocked") || end.is_word("skipped")) {
      tokens.fail(end.place, "name how the step ended that was blocked");
      return;
    }
    expected.then.push_back(parse_outcome(tokens));
  }
}

void parse_error_details(TokenStream& tokens, ExpectedOutcome& expected) {
  if (tokens.accept_word("on")) {
    const Token& subject = tokens.peek();
    const bool range =
        subject.kind == Token::Kind::word &&
        (subject.find_bare("..") != std::string::npos ||
         (!subject.text.empty() && subject.text.back() == '*' && !subject.literal.back()));
    if (range) {
      expected.on_range = RangeOperand::parse(tokens);
    } else {
      const Token key = tokens.expect_word("a key or a range after on");
      expected.on_key = Operand::parse(tokens, key);
    }
  }
  if (!tokens.accept_word("with")) return;
  const Token session = tokens.expect_word("a session after with");
  expected.with = session.text;
  if (!tokens.failure()) tokens.note_session_use({session.text, session.place});
}

void parse_entries(TokenStream& tokens, ExpectedOutcome& expected) {
  expected.kind = Kind::entries;
  while (tokens.peek().kind == Token::Kind::word) {
    const Token key = tokens.next();
    if (!tokens.accept_symbol("=")) tokens.fail_expected("= between key and value");
    const Token value = tokens.expect_word("a value");
    Operand key_operand = Operand::parse(tokens, key);
    expected.entries.emplace_back(std::move(key_operand), Operand::parse(tokens, value));
  }
}

ExpectedOutcome parse_outcome(TokenStream& tokens) {
  const std::size_t first = tokens.position();
  ExpectedOutcome expected;
  const Token word = tokens.peek();
  if (word.kind == Token::Kind::word && tokens.peek(1).is_symbol("=")) {
    parse_entries(tokens, expected);
    expected.text = tokens.text_since(first);
    return expected;
  }
  tokens.expect_word("an outcome (ok, a value, absent, empty, k=v, an error code) after =>");
  if (word.is_word("ok")) {
    expected.kind = Kind::ok;
  } else if (word.is_word("absent")) {
    expected.kind = Kind::absent;
  } else if (word.is_word("empty")) {
    expected.kind = Kind::empty;
  } else if (word.is_word("skipped")) {
    expected.kind = Kind::skipped;
  } else if (word.is_word("blocked")) {
    parse_blocking(tokens, expected);
  } else if (word.is_word("deferred")) {
    tokens.fail(word.place,
                "name how the step ends: that it is deferred follows from who is blocked");
  } else if (const auto code = error_code_from_name(word.text); word.is_bare() && code) {
    expected.kind = Kind::error;
    expected.code = *code;
    parse_error_details(tokens, expected);
  } else {
    expected.kind = Kind::value;
    expected.value = Operand::parse(tokens, word);
  }
  expected.text = tokens.text_since(first);
  return expected;
}

bool equals(const Operand& operand, const std::string& actual, const Bindings& bindings) {
  const auto wanted = evaluate(operand, bindings);
  return wanted && *wanted == actual;
}

bool matches_error(const ExpectedOutcome& expected, const Error& error, const Bindings& bindings) {
  const Evidence& evidence = error.evidence();
  if (error.code() != expected.code) return false;
  if (expected.on_key && !(evidence.key && equals(*expected.on_key, *evidence.key, bindings))) {
    return false;
  }
  if (expected.on_range) {
    const auto range = evaluate(*expected.on_range, bindings);
    if (!range || !evidence.range || evidence.range->lower != range->lower ||
        evidence.range->upper != range->upper) {
      return false;
    }
  }
  return !expected.with || (evidence.culprit && evidence.culprit->label == *expected.with);
}

bool matches_entries(const ExpectedOutcome& expected, const Value& value,
                     const Bindings& bindings) {
  const auto* entries = std::get_if<Entries>(&value);
  if (entries == nullptr || entries->size() != expected.entries.size()) return false;
  for (std::size_t i = 0; i < entries->size(); ++i) {
    if (!equals(expected.entries[i].first, (*entries)[i].first, bindings) ||
        !equals(expected.entries[i].second, (*entries)[i].second, bindings)) {
      return false;
    }
  }
  return true;
}

bool matches_value(const ExpectedOutcome& expected, const Value& value, const Bindings& bindings) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return equals(expected.value, *text, bindings);
  }
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return equals(expected.value, std::to_string(*number), bindings);
  }
  return false;
}

}  // namespace

std::optional<ErrorCode> error_code_from_name(std::string_view text) noexcept {
  for (int i = 0; i < error_code_count; ++i) {
    const auto code = static_cast<ErrorCode>(i);
    if (name(code) == text) return code;
  }
  return std::nullopt;
}

std::string spelled(const EvidenceRange& range) {
  if (range.lower.empty() && !range.upper) return "*";
  const KeyRange as_prefix = KeyRange::prefix(range.lower);
  if (!range.lower.empty() && as_prefix.upper == range.upper && range.upper) {
    return spelled(range.lower) + "*";
  }
  return (range.lower.empty() ? "" : spelled(range.lower)) + ".." +
         (range.upper ? spelled(*range.upper) : "");
}

std::string subject_of(const Error& error) {
  const Evidence& evidence = error.evidence();
  if (evidence.key) return spelled(*evidence.key);
  return evidence.range ? spelled(*evidence.range) : std::string();
}

std::string to_script(const Outcome& outcome, std::optional<std::size_t> limit) {
  if (outcome.blocked) {
    std::string text = "blocked";
    if (!outcome.blocked->by.empty()) {
      text += fmt::format(" by {}", fmt::join(outcome.blocked->by, " "));
    }
    if (outcome.blocked->until) text += " until " + *outcome.blocked->until;
    if (!outcome.blocked->finished) return text;
    Outcome end = outcome;
    end.blocked.reset();
    return text + " then " + to_script(end, limit);
  }
  if (outcome.skipped) return "skipped";
  if (!outcome.error) return std::visit(Speller{limit}, outcome.value);
  std::string text(name(outcome.error->code()));
  const std::string subject = subject_of(*outcome.error);
  if (!subject.empty()) text += " on " + subject;
  const auto& culprit = outcome.error->evidence().culprit;
  if (culprit && is_name(culprit->label, true)) text += " with " + culprit->label;
  return text;
}

StepExpectation StepExpectation::parse(TokenStream& tokens) {
  StepExpectation expectation;
  const std::size_t first = tokens.position();
  expectation.place = tokens.peek().place;
  expectation.outcome = parse_outcome(tokens);
  expectation.place.length = std::max<std::size_t>(1, expectation.outcome.text.size());
  if (tokens.accept_symbol("@")) {
    expectation.cells = CellSet::parse(tokens);
  } else if (!tokens.at_end()) {
    tokens.fail_expected("@ and cells, or the end of the line (a value with spaces needs quotes)");
  }
  expectation.length = tokens.text_since(first).size();
  return expectation;
}

namespace {

bool matches_blocking(const ExpectedOutcome& expected, const Outcome& outcome,
                      const Bindings& bindings) {
  const Blocking& blocking = *outcome.blocked;
  if (!expected.by.empty() && std::set(expected.by.begin(), expected.by.end()) !=
                                  std::set(blocking.by.begin(), blocking.by.end())) {
    return false;
  }
  if (expected.until && blocking.until != expected.until) return false;
  if (expected.then.empty()) return true;
  if (!blocking.finished) return false;
  Outcome end = outcome;
  end.blocked.reset();
  return matches(expected.then.front(), end, bindings);
}

}  // namespace

bool matches(const ExpectedOutcome& expected, const Outcome& outcome, const Bindings& bindings) {
  if (outcome.blocked.has_value() != (expected.kind == Kind::blocked)) return false;
  if (outcome.blocked) return matches_blocking(expected, outcome, bindings);
  if (expected.kind == Kind::skipped) return outcome.skipped;
  if (outcome.skipped) return false;
  if (expected.kind == Kind::error) {
    return outcome.error && matches_error(expected, *outcome.error, bindings);
  }
  if (outcome.error) return false;
  switch (expected.kind) {
    case Kind::ok:
      return true;
    case Kind::absent:
      return std::holds_alternative<Absent>(outcome.value);
    case Kind::empty: {
      const auto* entries = std::get_if<Entries>(&outcome.value);
      return entries != nullptr && entries->empty();
    }
    case Kind::entries:
      return matches_entries(expected, outcome.value, bindings);
    case Kind::value:
      return matches_value(expected, outcome.value, bindings);
    case Kind::error:
    case Kind::skipped:
    case Kind::blocked:
      break;
  }
  return false;
}

}  // namespace isolde::lab
