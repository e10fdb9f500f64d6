#include "lab/stress/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <variant>

#include "lab/script/parse_script.h"
#include "lab/script/script.h"

namespace isolde::lab {
namespace {

void add(std::vector<Finding>& findings, Finding finding) {
  const bool known = std::any_of(findings.begin(), findings.end(),
                                 [&](const Finding& other) { return other.is_like(finding); });
  if (!known) findings.push_back(std::move(finding));
}

// The shortest cycle that the transaction is on tells what kind of thing broke its promise.
std::string shape_of(const Verdict& verdict, TransactionId transaction) {
  for (const Anomaly& anomaly : verdict.anomalies) {
    const auto& on_it = anomaly.transactions;
    if (std::find(on_it.begin(), on_it.end(), transaction) != on_it.end()) {
      return std::string(name(anomaly.phenomenon));
    }
  }
  return "no one state";
}

// Errors that a play of sound commands on a sound database never sees.
bool is_unexplained(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::corruption:
    case ErrorCode::io_error:
    case ErrorCode::out_of_memory:
    case ErrorCode::snapshot_too_old:
    case ErrorCode::not_a_database:
    case ErrorCode::format_unsupported:
      return true;
    default:
      return false;
  }
}

void add_errors(const Play& play, std::vector<Finding>& found) {
  for (const StepRecord& step : play.steps) {
    for (const CommandRecord& command : step.commands) {
      if (!command.outcome.error || !is_unexplained(command.outcome.error->code())) continue;
      add(found, {Finding::Kind::error, std::string(name(command.outcome.error->code())),
                  command.outcome.error->to_string()});
    }
  }
}

}  // namespace

std::string Finding::expectation() const {
  if (kind == Kind::anomaly) return "verdict includes " + name;
  return "verdict promised";
}

std::string finding_name(const Verdict& verdict, const BrokenPromise& broken) {
  return fmt::format("{}: {}", name(broken.level), shape_of(verdict, broken.transaction));
}

std::vector<Finding> findings(const Verdict& verdict, bool with_anomalies) {
  std::vector<Finding> found;
  for (const BrokenPromise& broken : verdict.broken_promises) {
    add(found, {Finding::Kind::promise, finding_name(verdict, broken), broken.text});
  }
  if (!with_anomalies) return found;
  for (const Anomaly& anomaly : verdict.anomalies) {
    add(found, {Finding::Kind::anomaly, std::string(name(anomaly.phenomenon)), anomaly.text});
  }
  return found;
}

Trial::Trial(bool with_anomalies) : with_anomalies_(with_anomalies) {}

std::vector<Finding> Trial::play(const Draft& draft) {
  if (draft.moves.empty()) return {};
  ++plays_;
  const ParsedScript parsed = parse_script("draft.iso", draft.to_script({}, {}));
  if (!parsed.script) {
    throw std::logic_error("a draft is no script: " + render(parsed.source, parsed.errors.front()));
  }
  PlayResult result = lab::play(*parsed.script, 0, Cell{}, *playground_);
  if (const auto* failure = std::get_if<PlayFailure>(&result)) {
    return {{Finding::Kind::error, std::string(name(failure->error.code())),
             failure->error.to_string()}};
  }
  const Play& play = std::get<Play>(result);
  for (const auto& [session, endings] : play.endings) {
    for (const Ending& ending : endings) ++endings_[ending.to_string()];
  }
  std::vector<Finding> found = findings(play.verdict, with_anomalies_);
  if (!play.unseen_deadlock.empty()) {
    add(found, {Finding::Kind::deadlock, "unseen deadlock",
                fmt::format("Sessions {} wait for each other for ever.",
                            fmt::join(play.unseen_deadlock, ", "))});
  }
  add_errors(play, found);
  return found;
}

bool Trial::shows(const Draft& draft, const Finding& finding) {
  const std::vector<Finding> found = play(draft);
  return std::any_of(found.begin(), found.end(),
                     [&](const Finding& other) { return other.is_like(finding); });
}

}  // namespace isolde::lab
