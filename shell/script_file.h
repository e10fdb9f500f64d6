// Scripts named on the command line.
#pragma once

#include <optional>
#include <string>

#include "lab/play/play.h"
#include "lab/script/script.h"

namespace isolde::shell {

// A file, - for standard input, or by its bare name a script that ships. What is wrong with it is
// told on stderr, and `code` says how to exit; otherwise `code` stays.
std::optional<lab::Script> read_script(const std::string& file, int& code);

// Tells why a play could not be finished; returns the exit code.
int tell_failure(const lab::Script& script, const lab::PlayFailure& failure);

}  // namespace isolde::shell
