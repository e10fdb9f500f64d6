// A parsed script: setup, sessions with their steps, schedules, and what is expected of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lab/script/cell.h"
#include "lab/script/command.h"
#include "lab/script/outcome.h"
#include "lab/script/phenomenon.h"
#include "lab/script/predicate.h"
#include "lab/text/source.h"

namespace isolde::lab {

struct Step {
  std::string name;
  std::size_t session = 0;  // index into Script::sessions
  std::vector<Command> commands;
  std::vector<StepExpectation> expectations;
  std::string text;  // the commands as written
  Place place;
};

struct SessionDefinition {
  std::string name;
  Place place;
};

// final [exactly] k=v ... [@ cells]
struct FinalExpectation {
  struct Item {
    std::string keyspace;
    Operand key;
    std::optional<Operand> value;  // nothing: absent
    Place place;
  };
  bool exactly = false;
  std::vector<Item> items;
  CellSet cells;
  std::string text;
  Place place;
  std::size_t length = 0;  // of all of it, with `@` and the cells
};

// invariant EXPR [@ cells]
struct InvariantExpectation {
  Predicate predicate;
  CellSet cells;
  std::string text;
  Place place;
};

// outcomes ok=1 write_conflict=1 [@ cells]: how the transactions that steps began have ended; those
// that are not named must not have happened.
struct OutcomesExpectation {
  std::map<std::string, std::size_t> counts;
  CellSet cells;
  std::string text;
  Place place;
};

// verdict NAME... | includes NAME... | serializable | not serializable | promised [@ cells]: what
// the checker says of the recorded run. Promised: every transaction got what its own level
// promises.
struct VerdictExpectation {
  enum class Kind : std::uint8_t { exactly, includes, serializable, not_serializable, promised };
  Kind kind = Kind::exactly;
  std::vector<Phenomenon> anomalies;  // sorted
  CellSet cells;
  std::string text;
  Place place;
};

// explore NAME=N ... [@ cells]: counts over all interleavings. Says nothing about a single run.
struct ExploreExpectation {
  std::map<std::string, std::size_t> counts;  // by canonical name
  CellSet cells;
  std::string text;
  Place place;
};

struct Expectations {
  std::vector<FinalExpectation> finals;
  std::vector<InvariantExpectation> invariants;
  std::vector<OutcomesExpectation> outcomes;
  std::vector<VerdictExpectation> verdicts;
};

struct Schedule {
  std::vector<std::size_t> steps;  // indices into Script::steps
  Expectations expectations;       // those that follow it in the script
  Place place;
};

struct Script {
  Source source;
  std::vector<std::string> story;  // the comment that the script begins with, without #
  std::vector<Command> setup;
  std::vector<SessionDefinition> sessions;
  std::vector<Step> steps;
  Expectations expectations;  // for all schedules
  std::vector<ExploreExpectation> explorations;
  // As written; if none is, one that plays the sessions one after the other.
  std::vector<Schedule> schedules;
  // Steps with expectations that no schedule plays: worth a word to the author.
  std::vector<std::size_t> unplayed_steps() const;
};

struct ParsedScript {
  std::optional<Script> script;
  std::vector<ScriptError> errors;  // in the order of the text; at least one if there is no script
  Source source;                    // what the errors' places mean
};

}  // namespace isolde::lab
