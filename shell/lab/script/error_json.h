// Errors and locks as JSON: the fields that a play and a look inside tell in the same words.
#pragma once

#include "isolde/error.h"
#include "isolde/locks.h"
#include "lab/text/json.h"

namespace isolde::lab {

// Adds what an error is about: key, range, with, snapshot, conflict, message.
void add_error(Json& json, const Error& error);
// Adds the key or range of a lock, and its keyspace unless it is the default one.
void add_target(Json& json, const LockTarget& target);
// The waits of a deadlock, in the order of the cycle.
Json cycle_json(const DeadlockReport& report);

}  // namespace isolde::lab
