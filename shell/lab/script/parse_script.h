// From text to a script.
#pragma once

#include <string>

#include "lab/script/script.h"

namespace isolde::lab {

// Parses a whole script. Never throws for malformed text, whatever its bytes are.
ParsedScript parse_script(std::string name, std::string text);

}  // namespace isolde::lab
