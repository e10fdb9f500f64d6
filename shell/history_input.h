// Reads a history file for the commands that take one.
#pragma once

#include <string>
#include <variant>

#include "lab/history/history.h"

namespace isolde::shell {

// In whatever format it is in; "-" is standard input. Else an exit code, the error having been
// told.
std::variant<lab::History, int> read_history(const std::string& file);

}  // namespace isolde::shell
