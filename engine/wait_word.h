// A word to sleep on: a futex with the yield points of deterministic tests.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <ctime>

#include "engine/yield_point.h"

namespace isolde {

// Thread safety: all methods may be called concurrently.
//
// A waiter reads value(), then looks at the condition that it waits for, then calls wait(seen). The
// thread that changes the condition calls advance() after it, then wakes. So no wake-up is lost:
// either the waiter sees the condition, or its `seen` is old and wait() returns at once.
//
// Why not a condition variable: one system call wakes all waiters, and they need no mutex to go on.
class WaitWord {
 public:
  std::uint32_t value() const noexcept { return word_.load(); }
  void advance() noexcept { word_.fetch_add(1); }

  void wake_one() noexcept { wake(1); }
  void wake_all() noexcept { wake(INT_MAX); }

  // May return without cause.
  void wait(std::uint32_t seen) noexcept { wait(seen, nullptr); }
  void wait_for(std::uint32_t seen, std::chrono::nanoseconds limit) noexcept {
    if (limit.count() <= 0) return;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
    const timespec time{static_cast<std::time_t>(seconds.count()),
                        static_cast<long>((limit - seconds).count())};
    wait(seen, &time);
  }

 private:
  static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

  void wait(std::uint32_t seen, const timespec* limit) noexcept {
#ifdef ISOLDE_YIELD_POINTS
    if (yield_to_hook("blocked: word")) return;
#endif
    // Before the kernel compares the word: so either it finds it advanced, or wake() finds a
    // waiter.
    waiters_.fetch_add(1);
    ::syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, seen, limit, nullptr, 0);
    waiters_.fetch_sub(1);
  }

  void wake(int count) noexcept {
    if (waiters_.load() == 0) return;
    ::syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
  }

  alignas(64) std::atomic<std::uint32_t> word_{0};
  std::atomic<std::uint32_t> waiters_{0};
};

}  // namespace isolde
