// Named places where a deterministic test may switch threads. Compiled in for tests only.
//
//   ISOLDE_YIELD("commit: validated");
//
// Without ISOLDE_YIELD_POINTS it is nothing; with it, and with a hook set, the hook is called with
// the name. The hook may block the calling thread for as long as it likes, and is called on every
// thread that passes: telling its own threads from others is its business. Where the code would
// sleep in the kernel (a mutex that is held, a condition), it calls the hook with a name that
// begins with "blocked: " and tries again, so that the scheduler that is the hook owns all waiting.
#pragma once

#ifdef ISOLDE_YIELD_POINTS
#include <atomic>
#endif

namespace isolde {

#ifdef ISOLDE_YIELD_POINTS

// Set and cleared only while no other thread is inside the library.
inline std::atomic<void (*)(const char*)> yield_hook{nullptr};

// True if a hook was there and was called.
inline bool yield_to_hook(const char* place) {
  const auto hook = yield_hook.load(std::memory_order_acquire);
  if (hook == nullptr) return false;
  hook(place);
  return true;
}

#define ISOLDE_YIELD(place) (static_cast<void>(::isolde::yield_to_hook(place)))

#else

#define ISOLDE_YIELD(place) (static_cast<void>(0))

#endif

}  // namespace isolde
