// Exit codes of the command line (a contract), and how errors are told.
#pragma once

#include <string_view>

#include "interrupt.h"
#include "isolde/database.h"
#include "isolde/error.h"

namespace isolde::shell {

inline constexpr int exit_ok = 0;
inline constexpr int exit_failed = 1;    // an expectation failed, or the work could not be done
inline constexpr int exit_usage = 2;     // usage, script syntax, malformed or missing input
inline constexpr int exit_database = 3;  // the database cannot be opened, or is damaged

// "isolde: CONTEXT: message" on stderr, wrapped by nothing: others parse it.
void complain(std::string_view message);

// Tells the error and returns the exit code that belongs to it. `context` says what was attempted.
int report(const Error& error, std::string_view context);
// The same for opening: whatever prevents it is exit_database.
int report_open(const Error& error, std::string_view directory);
// A keyspace that was named and is not there, with those that are.
int report_unknown_keyspace(const Database& database, std::string_view name);

}  // namespace isolde::shell
