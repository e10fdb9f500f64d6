// Scripts in tests: parsed, played in a temporary database, judged.
#pragma once

#include <boost/test/unit_test.hpp>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lab/play/play.h"
#include "lab/play/playground.h"
#include "lab/script/parse_script.h"
#include "lab/script/script.h"

namespace isolde::lab::test {

// Parses a script that must be well-formed.
inline Script parsed(std::string text, std::string name = "test.iso") {
  ParsedScript result = parse_script(std::move(name), std::move(text));
  for (const ScriptError& error : result.errors) BOOST_ERROR(render(result.source, error));
  BOOST_REQUIRE(result.script.has_value());
  return std::move(*result.script);
}

// The errors of a script, rendered one after the other; empty if it has none.
inline std::string errors_of(std::string text) {
  const ParsedScript result = parse_script("test.iso", std::move(text));
  std::string rendered;
  for (const ScriptError& error : result.errors) rendered += render(result.source, error);
  return rendered;
}

// A script and one run of it in a fresh temporary database.
struct Played {
  std::unique_ptr<Script> script;
  Play play;

  const StepRecord& step(const std::string& name) const {
    for (const StepRecord& record : play.steps) {
      if (record.step->name == name) return record;
    }
    BOOST_FAIL("step " + name + " was not played");
    return play.steps.front();
  }
  std::string outcome(const std::string& name) const { return to_script(step(name).outcome); }
};

inline Played played(std::string text, Cell cell = {}, std::size_t schedule = 0) {
  Played result{std::make_unique<Script>(parsed(std::move(text))), {}};
  const auto playground = Playground::temporary();
  auto run = play(*result.script, schedule, cell, *playground);
  if (const auto* failure = std::get_if<PlayFailure>(&run)) {
    BOOST_FAIL(failure->error.to_string());
  }
  result.play = std::move(std::get<Play>(run));
  return result;
}

inline Cell at(Isolation level) { return {level, Locking::optimistic}; }

inline std::vector<Cell> all_cells() {
  std::vector<Cell> cells;
  for (const Locking locking : {Locking::optimistic, Locking::pessimistic}) {
    for (const Isolation level : {Isolation::read_uncommitted, Isolation::read_committed,
                                  Isolation::repeatable_read, Isolation::serializable}) {
      cells.push_back({level, locking});
    }
  }
  return cells;
}

}  // namespace isolde::lab::test
