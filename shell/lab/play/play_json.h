// Plays as JSON lines, in the shape that other programs build on.
#pragma once

#include <string>
#include <vector>

#include "lab/play/play.h"

namespace isolde::lab {

// The lines of one play: its steps, the final state, the summary. Each ends with a newline.
std::string json_lines(const Play& play);

// The line of a step that is done, outside a play; of one that has to wait.
std::string step_line(const std::string& session, const StepRecord& record, bool woken);
std::string blocked_line(const std::string& session, const StepRecord& record,
                         const std::vector<std::string>& by);

}  // namespace isolde::lab
