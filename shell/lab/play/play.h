// A play: one schedule of a script in one cell, and what the script expects of it.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lab/check/verdict.h"
#include "lab/play/conductor.h"
#include "lab/play/playground.h"
#include "lab/play/session.h"
#include "lab/script/cell.h"
#include "lab/script/script.h"

namespace isolde::lab {

// One expectation, judged.
struct Check {
  Place place;
  std::string what;      // "step b4", "final", "invariant", "outcomes", "verdict"
  std::string expected;  // as the script says it
  std::string actual;    // in the same words
  bool passed = false;
};

// What came of one schedule in one cell. Points into its script, which must outlive it.
struct Play {
  const Script* script = nullptr;
  std::size_t schedule = 0;
  Cell cell;
  std::vector<CommandRecord> setup;
  std::deque<StepRecord> steps;   // in the order in which they began
  std::vector<PlayEvent> events;  // in the order in which they happened
  State state;
  // What differs from the playground's origin; nothing: removed.
  std::map<std::pair<std::string, std::string>, std::optional<std::string>> changes;
  std::map<std::string, std::vector<Ending>> endings;  // by session
  // Sessions that wait for each other in a circle when the schedule is over: the engine has not
  // seen the deadlock. Empty, or something is very wrong.
  std::vector<std::string> unseen_deadlock;
  Verdict verdict;  // of the checker, on what was recorded: setup and all sessions
  std::vector<Check> checks;

  std::size_t passed() const;
  std::size_t failed() const { return checks.size() - passed(); }
};

using PlayResult = std::variant<Play, PlayFailure>;

// Plays the schedule in a fresh state of the playground, and checks. `stop` is asked between steps;
// once it answers true, the play ends as a failure, `cancelled`.
PlayResult play(const Script& script, std::size_t schedule, Cell cell, Playground& playground,
                const std::function<bool()>& stop = {});

}  // namespace isolde::lab
