#include "lab/script/predicate.h"

#include <fmt/format.h>

#include "lab/script/command_registry.h"
#include "lab/text/text.h"

namespace isolde::lab {

std::string Ending::to_string() const {
  switch (kind) {
    case Kind::committed:
      return "ok";
    case Kind::rolled_back:
      return "rollback";
    case Kind::unfinished:
      return "unfinished";
    case Kind::aborted:
      break;
  }
  return std::string(code ? name(*code) : "aborted");
}

Predicate Predicate::parse(TokenStream& tokens) { return parse_any(tokens, 0); }

Predicate Predicate::parse_any(TokenStream& tokens, int depth) {
  Group group;
  group.how = Group::How::any;
  do {
    group.parts.push_back(parse_all(tokens, depth));
  } while (tokens.accept_word("or"));
  if (group.parts.size() == 1) return std::move(group.parts.front());
  Predicate predicate;
  predicate.node_ = std::move(group);
  return predicate;
}

Predicate Predicate::parse_all(TokenStream& tokens, int depth) {
  Group group;
  do {
    group.parts.push_back(parse_term(tokens, depth));
  } while (tokens.accept_word("and"));
  if (group.parts.size() == 1) return std::move(group.parts.front());
  Predicate predicate;
  predicate.node_ = std::move(group);
  return predicate;
}

Predicate Predicate::parse_term(TokenStream& tokens, int depth) {
  constexpr int deepest = 64;  // parentheses of a person; protects the stack from garbage
  Predicate predicate;
  if (depth > deepest) {
    tokens.fail(tokens.peek().place, "parentheses are nested too deeply");
    return predicate;
  }
  if (tokens.accept_word("not")) {
    Group group;
    group.how = Group::How::none;
    group.parts.push_back(parse_term(tokens, depth + 1));
    predicate.node_ = std::move(group);
    return predicate;
  }
  if (tokens.accept_symbol("(")) {
    predicate = parse_any(tokens, depth + 1);
    if (!tokens.accept_symbol(")")) tokens.fail_expected(")");
    return predicate;
  }
  Test test;
  test.subject = parse_subject(tokens);
  test.comparison = parse_comparison(tokens);
  if (!tokens.accept_word("absent")) {
    const Token right = tokens.expect_word("a value to compare with");
    if (right.find_bare("$") == 0) {
      tokens.fail(right.place, "an invariant speaks of the final state only, not of steps");
    }
    test.right = Operand::parse(tokens, right);
  }
  predicate.node_ = std::move(test);
  return predicate;
}

Predicate::Subject Predicate::parse_subject(TokenStream& tokens) {
  Subject subject;
  if (auto keyspace = parse_in_keyspace(tokens)) subject.keyspace = *keyspace;
  // A key named sum or count is followed by a comparison, the function by its range.
  const bool function = tokens.peek(1).kind == Token::Kind::word;
  if (function && tokens.accept_word("sum")) {
    subject.what = Subject::What::sum;
    subject.range = RangeOperand::parse(tokens);
  } else if (function && tokens.accept_word("count")) {
    subject.what = Subject::What::count;
    subject.range = RangeOperand::parse(tokens);
  } else {
    const Token word = tokens.expect_word("a key, sum RANGE or count RANGE");
    if (word.find_bare("$") == 0) {
      tokens.fail(word.place, "an invariant speaks of the final state only, not of steps");
    }
    subject.operand = Operand::parse(tokens, word);
  }
  return subject;
}

Result<bool> Predicate::holds(const State& state) const {
  if (const auto* test = std::get_if<Test>(&node_)) return holds(*test, state);
  return holds(std::get<Group>(node_), state);
}

Result<std::optional<std::string>> Predicate::value_of(const Subject& subject, const State& state) {
  if (subject.what == Subject::What::key) {
    auto key = evaluate(subject.operand, {});
    if (!key) return key.error();
    const auto found = state.find({subject.keyspace, *key});
    if (found == state.end()) return std::optional<std::string>();
    return std::optional<std::string>(found->second);
  }
  auto range = evaluate(subject.range, {});
  if (!range) return range.error();
  std::int64_t total = 0;
  for (auto at = state.lower_bound({subject.keyspace, range->lower});
       at != state.end() && at->first.first == subject.keyspace &&
       range->contains(at->first.second);
       ++at) {
    const auto number = subject.what == Subject::What::count ? 1 : to_integer(at->second);
    if (!number || __builtin_add_overflow(total, *number, &total)) {
      return Error(ErrorCode::invalid_argument,
                   fmt::format("the sum fails at {}={}: no integer, or too large",
                               spelled_short(at->first.second), spelled_short(at->second)));
    }
  }
  return std::optional<std::string>(std::to_string(total));
}

Result<bool> Predicate::holds(const Test& test, const State& state) {
  auto left = value_of(test.subject, state);
  if (!left) return left.error();
  std::optional<std::string> right;
  if (test.right) {
    auto value = evaluate_optional(*test.right, {});
    if (!value) return value.error();
    right = *value;
  }
  return compare(*left, test.comparison, right);
}

Result<bool> Predicate::holds(const Group& group, const State& state) {
  for (const Predicate& part : group.parts) {
    auto one = part.holds(state);
    if (!one) return one;
    if (group.how == Group::How::any && *one) return true;
    if (group.how == Group::How::all && !*one) return false;
    if (group.how == Group::How::none && *one) return false;
  }
  return group.how != Group::How::any;
}

}  // namespace isolde::lab
