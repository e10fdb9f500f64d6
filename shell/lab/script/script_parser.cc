#include "lab/script/script_parser.h"

#include <fmt/format.h>

#include <algorithm>

#include "lab/script/command_registry.h"
#include "lab/script/token.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

constexpr std::size_t most_errors = 20;  // a file that is no script has one in every line

std::size_t indent_of(std::string_view line) {
  std::size_t at = 0;
  while (at < line.size() && is_blank(line[at])) ++at;
  return at;
}

// How transactions can end, as `outcomes` counts it.
std::optional<std::string> ending_name(const Token& what, TokenStream& tokens) {
  const bool known = what.text == "ok" || what.text == "rollback" || what.text == "unfinished" ||
                     error_code_from_name(what.text);
  if (known) return what.text;
  tokens.fail(what.place, fmt::format("{} is no way for a transaction to end: ok, rollback, "
                                      "unfinished or an error code",
                                      spelled_short(what.text)));
  return std::nullopt;
}

// What an exploration counts: kinds of interleavings, and anomalies.
std::optional<std::string> exploration_name(const Token& what, TokenStream& tokens) {
  static constexpr std::array<std::string_view, 9> counts{
      "interleavings", "infeasible", "executed",  "serializable",        "non_serializable",
      "blocked",       "aborted",    "deadlocks", "invariant_violations"};
  if (std::find(counts.begin(), counts.end(), what.text) != counts.end()) return what.text;
  if (const auto phenomenon = phenomenon_from_name(what.text))
    return std::string(name(*phenomenon));
  const std::string hint = did_you_mean(what.text, counts);
  tokens.fail(what.place, fmt::format("explore counts no {}{}", spelled_short(what.text),
                                      hint.empty() ? did_you_mean_phenomenon(what.text) : hint));
  return std::nullopt;
}

}  // namespace

ScriptParser::ScriptParser(Source source)
    : script_{std::move(source), {}, {}, {}, {}, {}, {}, {}} {}

const std::array<ScriptParser::Directive, 8>& ScriptParser::directives() {
  static const std::array<Directive, 8> table{{
      {"setup", &ScriptParser::read_setup},
      {"session", &ScriptParser::read_session},
      {"schedule", &ScriptParser::read_schedule},
      {"final", &ScriptParser::read_final},
      {"invariant", &ScriptParser::read_invariant},
      {"outcomes", &ScriptParser::read_outcomes},
      {"verdict", &ScriptParser::read_verdict},
      {"explore", &ScriptParser::read_explore},
  }};
  return table;
}

const ScriptParser::Directive* ScriptParser::find_directive(std::string_view word) {
  for (const Directive& directive : directives()) {
    if (directive.word == word) return &directive;
  }
  return nullptr;
}

ParsedScript ScriptParser::parse() && {
  read_story();
  for (line_number_ = 1; line_number_ <= script_.source.line_count(); ++line_number_) {
    read_line(script_.source.line(line_number_));
    if (errors_.size() >= most_errors) break;
  }
  if (errors_.empty()) check();
  if (!errors_.empty()) {
    std::stable_sort(errors_.begin(), errors_.end(), [](const auto& a, const auto& b) {
      return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
    });
    return {std::nullopt, std::move(errors_), std::move(script_.source)};
  }
  Source source = script_.source;
  return {std::move(script_), {}, std::move(source)};
}

void ScriptParser::read_story() {
  for (std::size_t number = 1; number <= script_.source.line_count(); ++number) {
    std::string_view line = script_.source.line(number);
    if (!line.starts_with('#')) break;
    line.remove_prefix(std::min(line.find_first_not_of("# "), line.size()));
    script_.story.push_back(printable(line));
  }
}

void ScriptParser::read_line(std::string_view line) {
  const std::size_t indent = indent_of(line);
  const std::string_view body = line.substr(indent);
  if (body.empty() || body[0] == '#') return;
  if (block_ == Block::session && read_step(line, indent)) return;
  TokenStream tokens(line, line_number_, indent);
  const Token word = tokens.peek();
  const Directive* directive = word.is_bare() ? find_directive(word.text) : nullptr;
  if (directive == nullptr) {
    read_block_line(tokens);
  } else {
    tokens.next();
    (this->*directive->read)(tokens);
  }
  finish_line(tokens);
}

// `name: commands => outcome`; false if the line does not begin with a name and a colon.
bool ScriptParser::read_step(std::string_view line, std::size_t indent) {
  std::size_t end = indent;
  while (end < line.size() && is_name(line.substr(indent, end + 1 - indent))) ++end;
  const std::string name(line.substr(indent, end - indent));
  while (end < line.size() && is_blank(line[end])) ++end;
  if (name.empty() || end >= line.size() || line[end] != ':') return false;
  TokenStream tokens(line, line_number_, end + 1);
  read_step_body(name, {line_number_, indent + 1, name.size()}, tokens);
  finish_line(tokens);
  return true;
}

void ScriptParser::read_step_body(std::string name, Place place, TokenStream& tokens) {
  if (const auto [at, fresh] = steps_by_name_.emplace(name, script_.steps.size()); !fresh) {
    fail(place, fmt::format("step {} exists already, in line {}", name,
                            script_.steps[at->second].place.line));
    return;
  }
  const std::size_t first = tokens.position();
  Step step;
  step.name = std::move(name);
  step.place = place;
  step.session = script_.sessions.size() - 1;
  do {
    step.commands.push_back(parse_command(tokens, false));
  } while (tokens.accept_symbol(";"));
  step.text = tokens.text_since(first);
  script_.steps.push_back(std::move(step));
  if (tokens.accept_symbol("=>")) read_step_expectation(tokens);
}

void ScriptParser::read_step_expectation(TokenStream& tokens) {
  StepExpectation expectation = StepExpectation::parse(tokens);
  if (tokens.failure()) return;
  Step& step = script_.steps.back();
  for (const StepExpectation& earlier : step.expectations) {
    if (const auto cell = earlier.cells.common(expectation.cells)) {
      tokens.fail(expectation.place,
                  fmt::format("step {} has an expectation for {} already, in line {}", step.name,
                              cell->to_string(), earlier.place.line));
      return;
    }
  }
  step.expectations.push_back(std::move(expectation));
}

void ScriptParser::read_block_line(TokenStream& tokens) {
  const Token word = tokens.peek();
  const bool has_step = block_ == Block::session && !script_.steps.empty() &&
                        script_.steps.back().session + 1 == script_.sessions.size();
  if (word.is_symbol("=>") && has_step) {
    tokens.next();
    read_step_expectation(tokens);
  } else if (block_ == Block::setup) {
    read_setup_commands(tokens);
  } else if (block_ == Block::schedule) {
    read_schedule_steps(tokens);
  } else if (block_ == Block::session) {
    tokens.fail(word.place,
                fmt::format("a step begins with its name and a colon, as in a1: get x"));
  } else {
    std::vector<std::string_view> words;
    words.reserve(directives().size());
    for (const Directive& directive : directives()) words.push_back(directive.word);
    const std::string shown = printable(std::string_view(word.text).substr(0, 40));
    tokens.fail(word.place, fmt::format("expected setup, session NAME, schedule, final, invariant, "
                                        "outcomes, verdict or explore, found '{}'{}",
                                        shown, did_you_mean(word.text, words)));
  }
}

void ScriptParser::read_setup(TokenStream& tokens) {
  if (has_setup_) tokens.fail(tokens.peek().place, "a script has one setup");
  if (!tokens.at_end()) tokens.fail_expected("the end of the line; setup's commands follow it");
  has_setup_ = true;
  block_ = Block::setup;
}

void ScriptParser::read_setup_commands(TokenStream& tokens) {
  do {
    script_.setup.push_back(parse_command(tokens, true));
  } while (tokens.accept_symbol(";"));
  if (!tokens.at_end()) tokens.fail_expected("; or the end of the line: setup expects nothing");
}

void ScriptParser::read_session(TokenStream& tokens) {
  const Token name = tokens.expect_word("the session's name");
  block_ = Block::session;
  if (tokens.failure()) return;
  if (!is_name(name.text, true)) {
    tokens.fail(name.place, "a session's name is a letter, then letters, digits, _ or -");
  }
  for (const SessionDefinition& session : script_.sessions) {
    if (session.name == name.text) {
      tokens.fail(name.place, fmt::format("session {} exists already, in line {}", name.text,
                                          session.place.line));
    }
  }
  if (!tokens.at_end()) {
    tokens.fail_expected("the end of the line; levels are named by begin, or by the run");
  }
  script_.sessions.push_back({name.text, name.place});
}

void ScriptParser::read_schedule(TokenStream& tokens) {
  block_ = Block::schedule;
  Schedule schedule;
  schedule.place = {line_number_, tokens.peek().place.column, 1};
  script_.schedules.push_back(std::move(schedule));
  schedule_steps_.emplace_back();
  read_schedule_steps(tokens);
}

void ScriptParser::read_schedule_steps(TokenStream& tokens) {
  while (!tokens.at_end()) {
    const Token step = tokens.expect_word("the name of a step");
    if (tokens.failure()) return;
    schedule_steps_.back().push_back({step.text, step.place});
  }
}

Expectations& ScriptParser::scope() {
  block_ = Block::none;
  return script_.schedules.empty() ? script_.expectations : script_.schedules.back().expectations;
}

void ScriptParser::read_final(TokenStream& tokens) {
  const std::size_t first = tokens.position();
  FinalExpectation final;
  final.place = tokens.peek().place;
  final.exactly = tokens.accept_word("exactly");
  const bool empty = final.exactly && !tokens.peek(1).is_symbol("=") && tokens.accept_word("empty");
  if (!empty) read_final_items(tokens, final);
  final.text = tokens.text_since(first);
  final.place.length = std::max<std::size_t>(1, final.text.size());
  if (tokens.accept_symbol("@")) final.cells = CellSet::parse(tokens);
  if (!tokens.at_end()) tokens.fail_expected("key=value, @ and cells, or the end of the line");
  final.length = tokens.text_since(first).size();
  scope().finals.push_back(std::move(final));
}

void ScriptParser::read_final_items(TokenStream& tokens, FinalExpectation& final) {
  std::string keyspace(default_keyspace_name);
  do {
    if (!tokens.peek(1).is_symbol("=")) {
      if (auto named = parse_in_keyspace(tokens)) keyspace = *named;
    }
    const Token key = tokens.expect_word("key=value");
    if (!tokens.accept_symbol("=")) tokens.fail_expected("= after the key");
    FinalExpectation::Item item{keyspace, Operand::parse(tokens, key), std::nullopt, key.place};
    if (!tokens.accept_word("absent")) {
      item.value = Operand::parse(tokens, tokens.expect_word("a value or absent"));
    }
    final.items.push_back(std::move(item));
  } while (tokens.peek().kind == Token::Kind::word);
}

void ScriptParser::read_invariant(TokenStream& tokens) {
  const std::size_t first = tokens.position();
  InvariantExpectation invariant;
  invariant.place = tokens.peek().place;
  invariant.predicate = Predicate::parse(tokens);
  invariant.text = tokens.text_since(first);
  invariant.place.length = std::max<std::size_t>(1, invariant.text.size());
  if (tokens.accept_symbol("@")) invariant.cells = CellSet::parse(tokens);
  if (!tokens.at_end()) tokens.fail_expected("and, or, @ and cells, or the end of the line");
  scope().invariants.push_back(std::move(invariant));
}

void ScriptParser::read_count(TokenStream& tokens, Counts& counts,
                              std::optional<std::string> (*canonical)(const Token&, TokenStream&)) {
  const Token what = tokens.expect_word("a name, = and a number");
  if (!tokens.accept_symbol("=")) tokens.fail_expected("= and a number");
  const Token number = tokens.expect_word("a number");
  const auto count = to_integer(number.text);
  if (tokens.failure()) return;
  const auto name = canonical(what, tokens);
  if (!count || *count < 0) tokens.fail(number.place, "expected a number, 0 or more");
  if (tokens.failure() || !name) return;
  if (!counts.emplace(*name, static_cast<std::size_t>(*count)).second) {
    tokens.fail(what.place, fmt::format("{} is counted twice", what.text));
  }
}

void ScriptParser::read_outcomes(TokenStream& tokens) {
  const std::size_t first = tokens.position();
  OutcomesExpectation outcomes;
  outcomes.place = tokens.peek().place;
  do {
    read_count(tokens, outcomes.counts, ending_name);
  } while (tokens.peek().kind == Token::Kind::word);
  outcomes.text = tokens.text_since(first);
  outcomes.place.length = std::max<std::size_t>(1, outcomes.text.size());
  if (tokens.accept_symbol("@")) outcomes.cells = CellSet::parse(tokens);
  if (!tokens.at_end()) tokens.fail_expected("another count, @ and cells, or the end of the line");
  scope().outcomes.push_back(std::move(outcomes));
}

void ScriptParser::read_verdict(TokenStream& tokens) {
  using Kind = VerdictExpectation::Kind;
  const std::size_t first = tokens.position();
  VerdictExpectation verdict;
  verdict.place = tokens.peek().place;
  if (tokens.accept_word("serializable")) {
    verdict.kind = Kind::serializable;
  } else if (tokens.accept_word("promised")) {
    verdict.kind = Kind::promised;
  } else if (tokens.accept_word("not")) {
    verdict.kind = Kind::not_serializable;
    if (!tokens.accept_word("serializable")) tokens.fail_expected("serializable after not");
  } else {
    if (tokens.accept_word("includes")) verdict.kind = Kind::includes;
    do {
      const Token word = tokens.expect_word("serializable, not serializable, or anomalies");
      const auto phenomenon = phenomenon_from_name(word.text);
      if (!phenomenon) {
        tokens.fail(word.place, fmt::format("{} is no anomaly{}", spelled_short(word.text),
                                            did_you_mean_phenomenon(word.text)));
        break;
      }
      verdict.anomalies.push_back(*phenomenon);
    } while (tokens.peek().kind == Token::Kind::word);
    std::sort(verdict.anomalies.begin(), verdict.anomalies.end());
  }
  verdict.text = tokens.text_since(first);
  verdict.place.length = std::max<std::size_t>(1, verdict.text.size());
  if (tokens.accept_symbol("@")) verdict.cells = CellSet::parse(tokens);
  if (!tokens.at_end())
    tokens.fail_expected("another anomaly, @ and cells, or the end of the line");
  scope().verdicts.push_back(std::move(verdict));
}

void ScriptParser::read_explore(TokenStream& tokens) {
  const std::size_t first = tokens.position();
  ExploreExpectation explore;
  explore.place = tokens.peek().place;
  do {
    read_count(tokens, explore.counts, exploration_name);
  } while (tokens.peek().kind == Token::Kind::word);
  explore.text = tokens.text_since(first);
  explore.place.length = std::max<std::size_t>(1, explore.text.size());
  if (tokens.accept_symbol("@")) explore.cells = CellSet::parse(tokens);
  if (!tokens.at_end()) tokens.fail_expected("another count, @ and cells, or the end of the line");
  block_ = Block::none;
  script_.explorations.push_back(std::move(explore));
}

void ScriptParser::finish_line(const TokenStream& tokens) {
  if (tokens.failure()) errors_.push_back(*tokens.failure());
  const auto& steps = tokens.step_uses();
  step_uses_.insert(step_uses_.end(), steps.begin(), steps.end());
  const auto& sessions = tokens.session_uses();
  session_uses_.insert(session_uses_.end(), sessions.begin(), sessions.end());
}

void ScriptParser::fail(const Place& place, std::string message) {
  errors_.push_back({place, std::move(message)});
}

}  // namespace isolde::lab
