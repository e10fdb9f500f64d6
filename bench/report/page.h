// A run as one HTML page that needs nothing else: tables and plots.
#pragma once

#include <string>

#include "bench/report/report.h"

namespace isolde::bench {

// Also well-formed XML.
std::string as_page(const Report& report);

}  // namespace isolde::bench
