// Assertions that stay on in release: a broken invariant must not go on to write.
//
//   ISOLDE_INVARIANT(at.value == appended + 1, "I5: commits are appended in order");
#pragma once

#include <cstdio>
#include <cstdlib>

namespace isolde {

[[noreturn]] inline void invariant_broken(const char* rule, const char* file, int line) noexcept {
  std::fprintf(stderr, "isolde: broken invariant (%s) at %s:%d\n", rule, file, line);
  std::abort();
}

}  // namespace isolde

#define ISOLDE_INVARIANT(condition, rule)              \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::isolde::invariant_broken(rule, __FILE__, __LINE__))
