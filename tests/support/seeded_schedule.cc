#include "tests/support/seeded_schedule.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

#include "engine/yield_point.h"

namespace isolde::test {
namespace {

constexpr std::uint64_t most_blocked = 200'000;

struct Thread {
  SeededSchedule* schedule = nullptr;
  std::size_t number = SeededSchedule::none;
};
thread_local Thread current;

}  // namespace

void SeededSchedule::pass(const char* place) {
  if (current.schedule != nullptr) current.schedule->at(current.number, place);
}

std::size_t SeededSchedule::self() noexcept { return current.number; }

void SeededSchedule::run(const std::vector<std::function<void()>>& bodies) {
  wake_.clear();
  living_.clear();
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    wake_.push_back(std::make_unique<std::condition_variable>());
    living_.push_back(i);
  }
  if (bodies.empty()) return;
  turn_ = living_[random_() % living_.size()];
#ifdef ISOLDE_YIELD_POINTS
  yield_hook.store(&SeededSchedule::pass);
#endif
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    threads.emplace_back([this, i, &bodies] {
      current = {this, i};
      {
        std::unique_lock lock(mutex_);
        wake_[i]->wait(lock, [&] { return turn_ == i; });
      }
      bodies[i]();
      leave(i);
    });
  }
  for (std::thread& thread : threads) thread.join();
#ifdef ISOLDE_YIELD_POINTS
  yield_hook.store(nullptr);
#endif
}

void SeededSchedule::at(std::size_t self, std::string_view place) {
  if (watcher_) watcher_(place);
  std::unique_lock lock(mutex_);
  const bool is_blocked = place.starts_with("blocked: ");
  blocked_ = is_blocked ? blocked_ + 1 : 0;
  if (blocked_ > most_blocked) {
    std::fprintf(stderr,
                 "seeded schedule: all %zu threads wait for each other (the last at \"%.*s\")\n",
                 living_.size(), static_cast<int>(place.size()), place.data());
    std::abort();
  }
  if (is_blocked || random_() % 100 < switch_percent_) hand_over(lock, self);
}

void SeededSchedule::hand_over(std::unique_lock<std::mutex>& lock, std::size_t self) {
  const std::size_t next = living_[random_() % living_.size()];
  if (next == self) return;
  turn_ = next;
  wake_[next]->notify_one();
  wake_[self]->wait(lock, [&] { return turn_ == self; });
}

void SeededSchedule::leave(std::size_t self) {
  const std::unique_lock lock(mutex_);
  std::erase(living_, self);
  current = {};
  blocked_ = 0;
  if (living_.empty()) return;
  turn_ = living_[random_() % living_.size()];
  wake_[turn_]->notify_one();
}

}  // namespace isolde::test
