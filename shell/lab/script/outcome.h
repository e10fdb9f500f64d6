// Outcomes of steps, and what a script expects of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isolde/error.h"
#include "lab/script/cell.h"
#include "lab/script/command.h"
#include "lab/script/operand.h"

namespace isolde::lab {

// How a step waited.
struct Blocking {
  std::vector<std::string> by;       // sessions: holders, and incompatible waiters ahead
  std::optional<std::string> until;  // the scheduled step during which it woke
  bool finished = false;             // else still blocked when the schedule ended
};

struct Outcome {
  bool skipped = false;                  // its `if` was false
  std::optional<Error> error;            // it failed, and maybe ended its transaction
  Value value;                           // what it returned otherwise
  std::optional<Blocking> blocked = {};  // it had to wait before

  static Outcome skip() { return {true, std::nullopt, {}, {}}; }
  static Outcome failed(Error error) { return {false, std::move(error), {}, {}}; }
  static Outcome of(Value value) { return {false, std::nullopt, std::move(value), {}}; }
  bool ok() const noexcept { return !skipped && !error; }
};

// As an expectation would spell it: ok, a value, absent, empty, k=v ..., skipped, the error code
// with what it is about, or `blocked by ... until ... then` one of these. `limit`: shorten values
// for people, to about so many bytes.
std::string to_script(const Outcome& outcome, std::optional<std::size_t> limit = {});
// What the error is about, as scripts spell it: a key, else a range, else nothing.
std::string subject_of(const Error& error);
std::string spelled(const EvidenceRange& range);

std::optional<ErrorCode> error_code_from_name(std::string_view text) noexcept;

struct ExpectedOutcome {
  enum class Kind : std::uint8_t { ok, value, absent, empty, entries, error, skipped, blocked };
  Kind kind = Kind::ok;
  Operand value;
  std::vector<std::pair<Operand, Operand>> entries;
  ErrorCode code = ErrorCode::write_conflict;
  std::optional<Operand> on_key;
  std::optional<RangeOperand> on_range;
  std::optional<std::string> with;    // a session
  std::vector<std::string> by;        // blocked: exactly these sessions; empty: any
  std::optional<std::string> until;   // blocked: a step
  std::vector<ExpectedOutcome> then;  // blocked: one at most
  std::string text;                   // as written
};

// One `=> outcome [@ cells]`.
struct StepExpectation {
  ExpectedOutcome outcome;
  CellSet cells;
  Place place;             // of the outcome
  std::size_t length = 0;  // with `@` and the cells

  // Reads what follows `=>`, to the end of the line.
  static StepExpectation parse(TokenStream& tokens);
};

// `ok` accepts every success, whatever it returned; everything else is exact. A step that had to
// wait matches `blocked` alone.
bool matches(const ExpectedOutcome& expected, const Outcome& outcome, const Bindings& bindings);

}  // namespace isolde::lab
