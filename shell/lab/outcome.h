// Outcomes of steps, and what a script expects of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isolde/error.h"
#include "lab/cell.h"
#include "lab/command.h"
#include "lab/operand.h"

namespace isolde::lab {

struct Outcome {
  bool skipped = false;        // its `if` was false
  std::optional<Error> error;  // it failed, and maybe ended its transaction
  Value value;                 // what it returned otherwise

  static Outcome skip() { return {true, std::nullopt, {}}; }
  static Outcome failed(Error error) { return {false, std::move(error), {}}; }
  static Outcome of(Value value) { return {false, std::nullopt, std::move(value)}; }
  bool ok() const noexcept { return !skipped && !error; }
};

// As an expectation would spell it: ok, a value, absent, empty, k=v ..., skipped, or the error code
// with what it is about. `limit`: shorten values for people, to about so many bytes.
std::string to_script(const Outcome& outcome, std::optional<std::size_t> limit = {});
// What the error is about, as scripts spell it: a key, else a range, else nothing.
std::string subject_of(const Error& error);
std::string spelled(const EvidenceRange& range);

std::optional<ErrorCode> error_code_from_name(std::string_view text) noexcept;

struct ExpectedOutcome {
  enum class Kind : std::uint8_t { ok, value, absent, empty, entries, error, skipped };
  Kind kind = Kind::ok;
  Operand value;
  std::vector<std::pair<Operand, Operand>> entries;
  ErrorCode code = ErrorCode::write_conflict;
  std::optional<Operand> on_key;
  std::optional<RangeOperand> on_range;
  std::optional<std::string> with;  // a session
  std::string text;                 // as written
};

// One `=> outcome [@ cells]`.
struct StepExpectation {
  ExpectedOutcome outcome;
  CellSet cells;
  Place place;

  // Reads what follows `=>`, to the end of the line.
  static StepExpectation parse(TokenStream& tokens);
};

// `ok` accepts every success, whatever it returned; everything else is exact.
bool matches(const ExpectedOutcome& expected, const Outcome& outcome, const Bindings& bindings);

}  // namespace isolde::lab
