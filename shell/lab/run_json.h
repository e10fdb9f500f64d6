// Runs as JSON lines, in the shape that other programs build on.
#pragma once

#include <string>

#include "lab/runner.h"

namespace isolde::lab {

// The lines of one run: its steps, the final state, the summary. Each ends with a newline.
std::string json_lines(const Play& play);

}  // namespace isolde::lab
