// An interleaving of threads drawn from a seed, so that a run with many of them can be had again.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string_view>
#include <vector>

namespace isolde::test {

// Exactly one of the threads of run() goes on at a time. At each yield point of the library
// (engine/yield_point.h), and at places of the test's own, a seeded die says which thread goes on;
// one that would sleep there hands over. Needs ISOLDE_YIELD_POINTS, and no other thread inside the
// library meanwhile.
class SeededSchedule {
 public:
  using Watcher = std::function<void(std::string_view place)>;

  // At a place where it may go on, a thread hands over with this chance, in percent.
  SeededSchedule(std::uint64_t seed, unsigned switch_percent)
      : random_(seed), switch_percent_(switch_percent) {}

  // Called at each place by the thread that is there; must not enter the library. The threads
  // stand still meanwhile: what it sees of the world is one moment.
  void watch(Watcher watcher) { watcher_ = std::move(watcher); }

  // Runs all to their ends. A deadlock ends the process with a message.
  void run(const std::vector<std::function<void()>>& bodies);

  // A place of the test's own. Does nothing on threads that are not in a run().
  static void pass(const char* place);
  // The number of the calling thread in its run(); `none` elsewhere.
  static constexpr std::size_t none = ~std::size_t{0};
  static std::size_t self() noexcept;

 private:
  void at(std::size_t self, std::string_view place);
  void hand_over(std::unique_lock<std::mutex>& lock, std::size_t self);
  void leave(std::size_t self);

  std::mt19937_64 random_;
  unsigned switch_percent_;
  Watcher watcher_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<std::condition_variable>> wake_;
  std::vector<std::size_t> living_;
  std::size_t turn_ = 0;
  std::uint64_t blocked_ = 0;  // handed over since a thread last went on
};

}  // namespace isolde::test
