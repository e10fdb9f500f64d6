// What a snapshot costs that is held open while everything is updated.
#pragma once

#include "bench/stores.h"

namespace isolde::bench {

// Updates every key once, 1,000 to a transaction, unsynced, with and without a snapshot held open;
// prints how much the files of each store grew, and what Isolde kept in memory.
void print_held_snapshot(Stores& stores);

}  // namespace isolde::bench
