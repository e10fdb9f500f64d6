#include "isolde/result.h"

#include <cstdio>
#include <cstdlib>

namespace isolde::detail {

void value_of_failed_result(const Error& error) noexcept {
  std::fprintf(stderr, "isolde: value() of a failed Result: %s\n", error.to_string().c_str());
  std::abort();
}

void error_of_successful_result() noexcept {
  std::fputs("isolde: error() of a successful Result\n", stderr);
  std::abort();
}

}  // namespace isolde::detail
