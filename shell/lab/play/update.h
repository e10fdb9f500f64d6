// Rewrites what a script expects of its steps and of the final state to what happened.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "lab/play/play.h"
#include "lab/script/script.h"

namespace isolde::lab {

struct UpdatedScript {
  std::string text;
  std::size_t rewritten = 0;  // expectations
};

// `plays` are runs of the script: of all its schedules, in some cells. An expectation that failed
// is rewritten for the cells that were played, and kept for the others; so one line may become
// several. (One without `@` stays so if the cells that were played agree.) It is kept as well where
// two schedules do not agree about it. Verdicts, invariants and counts of outcomes are never
// touched: they say what must hold, not what was seen.
UpdatedScript updated_script(const Script& script, const std::vector<Play>& plays);

}  // namespace isolde::lab
