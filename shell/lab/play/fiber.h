// A stack to run on: several of them share one thread, and hand it to each other by name.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace isolde::lab {

// Runs jobs on a stack of its own. Costs no thread, and no wake-up: the one that has the thread
// gives it away by a call, so at most one fiber of a thread runs, and which one is never up to the
// machine.
//
//   owner: run(job) ─► job ... leave() ─► owner ... resume() ─► job goes on ... ends ─► owner
//
// Thread safety: none; all calls come from one thread, leave() from within a job. Sanitizers are
// told of each switch. Precondition of destruction: no job is under way.
class Fiber {
 public:
  Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  // Both return when the job leaves, or has ended. `job` must live until it has ended; it must not
  // throw.
  void run(const std::function<void()>& job);
  void resume();
  // In a job: gives the thread back to the caller of run() or resume(); returns at the next
  // resume().
  void leave();

 private:
  // One of the two sides between which the thread goes to and fro.
  struct Side {
    ucontext_t context{};
    const void* bottom = nullptr;
    std::size_t size = 0;
    void* fake_stack = nullptr;  // AddressSanitizer's
    void* tsan = nullptr;        // ThreadSanitizer's
  };

  static void entry(unsigned high, unsigned low);
  void work();
  void go(Side& from, Side& to);
  static void arrive(Side& at, Side& came_from);

  void* stack_ = nullptr;
  Side owner_;
  Side own_;
  const std::function<void()>* job_ = nullptr;
};

}  // namespace isolde::lab
