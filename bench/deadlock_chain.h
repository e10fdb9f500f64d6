// How long it takes to find a deadlock of many.
#pragma once

#include "bench/stores.h"

namespace isolde::bench {

// Several times: `length` - 1 transactions each hold a key and wait for the next one's; then the
// time of the request that closes the circle and is refused, the median and the extremes.
void print_deadlock_chain(Stores& stores, int length, int repetitions);

}  // namespace isolde::bench
