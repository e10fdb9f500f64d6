#include "mvcc/background.h"

#include <algorithm>
#include <new>
#include <utility>

#include "mvcc/longest_wait.h"

namespace isolde::mvcc {
namespace {

constexpr std::uint64_t room_factor = 4;
// Garbage that no commit pointed out (a long snapshot has ended) is found this late at the latest.
constexpr std::chrono::milliseconds reclaim_interval{100};
constexpr std::chrono::milliseconds checkpoint_retry{1000};
constexpr std::chrono::milliseconds checkpoint_patience{50};

}  // namespace

Background::Background(const Options& options, engine::CommitLog& log, CommitPipeline& pipeline,
                       Checkpointer& checkpointer, Reclaimer& reclaimer)
    : options_(options),
      log_(log),
      pipeline_(pipeline),
      checkpointer_(checkpointer),
      reclaimer_(reclaimer) {
  if (!options_.background_work || options_.read_only) return;
  threads_.emplace_back([this] { checkpoint_loop(); });
  threads_.emplace_back([this] { reclaim_loop(); });
  if (options_.durability.kind == Durability::Kind::periodic) {
    threads_.emplace_back([this] { sync_loop(); });
  }
}

Background::~Background() { stop(); }

void Background::stop() {
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    checkpoint_wanted_.notify_all();
    reclaim_wanted_.notify_all();
    checkpoint_done_.notify_all();
    stopping_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

Result<void> Background::wait_for_room() {
  if (reclaimer_.is_worth_a_pass()) wake_reclaimer();
  const std::uint64_t live = log_.live_bytes();
  if (live < options_.checkpoint_log_bytes) return {};
  ask_for_checkpoint();
  if (live < room_factor * options_.checkpoint_log_bytes || threads_.empty()) return {};
  return wait_slowly();
}

void Background::ask_for_checkpoint() {
  if (checkpoint_asked_.exchange(true)) return;
  MutexLock lock(mutex_);
  checkpoint_wanted_.notify_one();
}

void Background::wake_reclaimer() noexcept {
  if (reclaim_asked_.load(std::memory_order_relaxed) || reclaim_asked_.exchange(true)) return;
  MutexLock lock(mutex_);
  reclaim_wanted_.notify_one();
}

Result<void> Background::wait_slowly() {
  const auto start = std::chrono::steady_clock::now();
  Result<void> outcome;
  MutexLock lock(mutex_);
  while (!stopped_ && log_.live_bytes() >= room_factor * options_.checkpoint_log_bytes) {
    if (checkpoint_error_) {
      outcome = *checkpoint_error_;
      break;
    }
    if (log_.failed()) break;  // the commit will hear of it
    // Asked for anew each time: a checkpoint may have had to stop short (of a drop that an older
    // snapshot holds back), and nothing else would tell that it need not any more.
    checkpoint_asked_.store(true);
    checkpoint_wanted_.notify_one();
    checkpoint_done_.wait_for(mutex_, checkpoint_patience);
  }
  waits_.record(std::chrono::steady_clock::now() - start);
  return outcome;
}

LatencyHistogram Background::waits() const {
  MutexLock lock(mutex_);
  return waits_;
}

void Background::checkpoint_loop() {
  MutexLock lock(mutex_);
  while (!stopped_) {
    if (!checkpoint_asked_.load()) {
      if (checkpoint_error_) {
        checkpoint_wanted_.wait_for(mutex_, checkpoint_retry);
      } else {
        checkpoint_wanted_.wait(mutex_);
      }
      if (!checkpoint_asked_.load() && !checkpoint_error_) continue;
      if (stopped_) break;
    }
    lock.unlock();
    const std::uint64_t before = checkpointer_.stats().count.load();
    bool has_failed = true;
    std::optional<Error> error;
    try {
      auto outcome = checkpointer_.run();
      has_failed = !outcome;
      if (!outcome) error = outcome.error();
    } catch (const std::bad_alloc&) {
      // Not even for saying so: it is tried again.
    }
    checkpoint_asked_.store(false);
    // What was committed meanwhile may be as much again, and whoever asked for another was not
    // heard.
    const bool has_advanced = checkpointer_.stats().count.load() != before;
    if (has_advanced && log_.live_bytes() >= options_.checkpoint_log_bytes) {
      checkpoint_asked_.store(true);
    }
    wake_reclaimer();
    lock.lock();
    checkpoint_error_ = std::move(error);
    checkpoint_done_.notify_all();
    // Failing at once again and again would help nobody.
    if (has_failed && !stopped_) {
      if (!checkpoint_error_) checkpoint_asked_.store(true);
      checkpoint_wanted_.wait_for(mutex_, checkpoint_retry);
    }
  }
}

void Background::reclaim_loop() {
  using Clock = std::chrono::steady_clock;
  // What nobody asked for takes a twentieth of one core at most.
  constexpr int rest_factor = 20;
  Clock::time_point rested_at = Clock::now();
  MutexLock lock(mutex_);
  while (!stopped_) {
    const bool asked = reclaim_asked_.load();
    if (!asked) reclaim_wanted_.wait_for(mutex_, reclaim_interval);
    if (stopped_) break;
    lock.unlock();
    reclaim_asked_.store(false);
    const auto start = Clock::now();
    if (reclaimer_.is_worth_a_pass() || (start >= rested_at && has_news())) {
      reclaimer_.run();
      const auto end = Clock::now();
      rested_at = end + rest_factor * (end - start);
    }
    lock.lock();
  }
}

bool Background::has_news() noexcept {
  try {
    return reclaimer_.has_news();
  } catch (const std::bad_alloc&) {
    return false;  // to be asked again
  }
}

bool Background::persist() noexcept {
  try {
    return log_.persist(log_.appended()).has_value();
  } catch (const std::bad_alloc&) {
    return !log_.failed();
  }
}

void Background::sync_loop() {
  MutexLock lock(mutex_);
  while (!stopped_) {
    stopping_.wait_for(mutex_, std::min(options_.durability.interval, longest_wait));
    if (stopped_) break;
    lock.unlock();
    const bool persisted = persist();
    // No commit waits for the log here that would notice (I8).
    if (!persisted) pipeline_.fail();
    lock.lock();
    if (!persisted) break;
  }
}

}  // namespace isolde::mvcc
