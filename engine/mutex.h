// Mutexes that clang's thread-safety analysis understands (the macros are empty elsewhere), and
// that a deterministic test can schedule (yield_point.h).
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "engine/spin.h"
#include "engine/yield_point.h"

#if defined(__clang__)
#define ISOLDE_THREAD_ANNOTATION(attribute) __attribute__((attribute))
#else
#define ISOLDE_THREAD_ANNOTATION(attribute)
#endif

#define ISOLDE_CAPABILITY(kind) ISOLDE_THREAD_ANNOTATION(capability(kind))
#define ISOLDE_SCOPED_CAPABILITY ISOLDE_THREAD_ANNOTATION(scoped_lockable)
#define ISOLDE_GUARDED_BY(mutex) ISOLDE_THREAD_ANNOTATION(guarded_by(mutex))
#define ISOLDE_PT_GUARDED_BY(mutex) ISOLDE_THREAD_ANNOTATION(pt_guarded_by(mutex))
#define ISOLDE_REQUIRES(...) ISOLDE_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define ISOLDE_EXCLUDES(...) ISOLDE_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define ISOLDE_ACQUIRE(...) ISOLDE_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define ISOLDE_RELEASE(...) ISOLDE_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define ISOLDE_TRY_ACQUIRE(...) ISOLDE_THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define ISOLDE_ACQUIRED_BEFORE(...) ISOLDE_THREAD_ANNOTATION(acquired_before(__VA_ARGS__))
#define ISOLDE_ACQUIRED_AFTER(...) ISOLDE_THREAD_ANNOTATION(acquired_after(__VA_ARGS__))
#define ISOLDE_ASSERT_HELD(mutex) ISOLDE_THREAD_ANNOTATION(assert_capability(mutex))
#define ISOLDE_RETURN_CAPABILITY(mutex) ISOLDE_THREAD_ANNOTATION(lock_returned(mutex))
#define ISOLDE_NO_THREAD_SAFETY_ANALYSIS ISOLDE_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace isolde {

// A thread that finds it held spins a little before it sleeps: nearly all are held for less time
// than that takes. Measured with two clients on two cores, without sync: a fifth of a commit's
// processor time went into sleeping and waking.
class ISOLDE_CAPABILITY("mutex") Mutex {
 public:
  Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() ISOLDE_ACQUIRE() {
#ifdef ISOLDE_YIELD_POINTS
    // Sleeping in the kernel would hide from the scheduler that this thread can't go on.
    while (!mutex_.try_lock()) {
      if (yield_to_hook("blocked: mutex")) continue;
      mutex_.lock();
      return;
    }
#else
    if (mutex_.try_lock() || spin_until([this] { return mutex_.try_lock(); })) return;
    mutex_.lock();
#endif
  }
  bool try_lock() ISOLDE_TRY_ACQUIRE(true) { return mutex_.try_lock(); }
  void unlock() ISOLDE_RELEASE() { mutex_.unlock(); }

 private:
  friend class ConditionVariable;
  std::mutex mutex_;
};

// Holds a mutex for a scope; may let go of it early, or for a while.
class ISOLDE_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) ISOLDE_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  ~MutexLock() ISOLDE_RELEASE() {
    if (held_) mutex_.unlock();
  }

  void unlock() ISOLDE_RELEASE() {
    held_ = false;
    mutex_.unlock();
  }
  void lock() ISOLDE_ACQUIRE() {
    mutex_.lock();
    held_ = true;
  }

 private:
  Mutex& mutex_;
  bool held_ = true;
};

// Waits may end without cause: always in a loop over the condition.
class ConditionVariable {
 public:
  ConditionVariable() = default;
  ConditionVariable(const ConditionVariable&) = delete;
  ConditionVariable& operator=(const ConditionVariable&) = delete;

  void wait(Mutex& mutex) ISOLDE_REQUIRES(mutex) {
    if (let_the_hook_run(mutex)) return;
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }

  // False once `deadline` has passed.
  template <typename Clock, typename Duration>
  bool wait_until(Mutex& mutex, const std::chrono::time_point<Clock, Duration>& deadline)
      ISOLDE_REQUIRES(mutex) {
    if (let_the_hook_run(mutex)) return Clock::now() < deadline;
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    const bool in_time = condition_.wait_until(lock, deadline) == std::cv_status::no_timeout;
    lock.release();
    return in_time;
  }
  template <typename Rep, typename Period>
  bool wait_for(Mutex& mutex, const std::chrono::duration<Rep, Period>& limit)
      ISOLDE_REQUIRES(mutex) {
    return wait_until(mutex, std::chrono::steady_clock::now() + limit);
  }

  void notify_one() noexcept { condition_.notify_one(); }
  void notify_all() noexcept { condition_.notify_all(); }

 private:
  static bool let_the_hook_run([[maybe_unused]] Mutex& mutex) ISOLDE_NO_THREAD_SAFETY_ANALYSIS {
#ifdef ISOLDE_YIELD_POINTS
    if (yield_hook.load(std::memory_order_acquire) == nullptr) return false;
    mutex.unlock();
    yield_to_hook("blocked: condition");
    mutex.lock();
    return true;
#else
    return false;
#endif
  }

  std::condition_variable condition_;
};

}  // namespace isolde
