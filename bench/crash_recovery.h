// How long it takes to open a database whose process died with a full log.
#pragma once

#include <cstdint>

#include "bench/stores.h"

namespace isolde::bench {

// Several times: a child process fills the log with `log_megabytes` that are not in the base and
// ends without closing; then the time of Database::open, the median and the extremes. A small write
// with its sync is shown beside it.
void print_crash_recovery(Stores& stores, std::uint64_t log_megabytes, int repetitions);

}  // namespace isolde::bench
