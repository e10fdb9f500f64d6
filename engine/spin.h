// Waiting without sleeping, for what takes less time than putting a thread to sleep.
#pragma once

namespace isolde {

// Tells the processor that this is a loop that waits for another thread.
inline void pause_processor() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Tries again and again, each time after twice as long a pause, for one to three microseconds in
// all: less than a thread costs that is put to sleep and woken, and little lost if the one it waits
// for is not running.
template <typename Attempt>
bool spin_until(Attempt&& attempt) noexcept(noexcept(attempt())) {
  constexpr unsigned longest_pause = 16;
  for (unsigned pauses = 1; pauses <= longest_pause; pauses *= 2) {
    for (unsigned i = 0; i < pauses; ++i) pause_processor();
    if (attempt()) return true;
  }
  return false;
}

}  // namespace isolde
