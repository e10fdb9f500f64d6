// Holds one thread at a named yield point while the test does something else.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "engine/yield_point.h"

namespace isolde::test {

// Runs `work` in a thread of its own up to the first time it passes `place`. One at a time in a
// process. Needs yield points: without them the thread never stops, and reached() answers false.
class StopAt {
 public:
  StopAt(std::string place, std::function<void()> work) : place_(std::move(place)) {
    current() = this;
#ifdef ISOLDE_YIELD_POINTS
    yield_hook.store(&hook);
#endif
    thread_ = std::thread([this, work = std::move(work)] {
      is_held_thread() = true;
      work();
      is_held_thread() = false;
      const std::lock_guard lock(mutex_);
      ended_ = true;
      changed_.notify_all();
    });
  }
  StopAt(const StopAt&) = delete;
  StopAt& operator=(const StopAt&) = delete;
  ~StopAt() { finish(); }

  // Waits until the thread stands at the place (true), or has ended without passing it.
  bool reached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stands_ || ended_; });
    return stands_;
  }
  // Lets it go on without waiting for its end.
  void release() {
    const std::lock_guard lock(mutex_);
    released_ = true;
    changed_.notify_all();
  }
  // Lets it go on, and waits for its end.
  void finish() {
    if (!thread_.joinable()) return;
    release();
    thread_.join();
#ifdef ISOLDE_YIELD_POINTS
    yield_hook.store(nullptr);
#endif
    current() = nullptr;
  }

 private:
  static StopAt*& current() {
    static StopAt* only = nullptr;
    return only;
  }
  static bool& is_held_thread() {
    thread_local bool held = false;
    return held;
  }
  static void hook(const char* place) {
    if (std::string_view(place).starts_with("blocked: ")) {
      std::this_thread::yield();
    } else if (is_held_thread() && current()->place_ == place) {
      current()->stand();
    }
  }
  void stand() {
    std::unique_lock lock(mutex_);
    if (stands_) return;
    stands_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return released_; });
  }

  const std::string place_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stands_ = false;
  bool released_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace isolde::test
