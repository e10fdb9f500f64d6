#include "bench/run/turn.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

#include "bench/workloads/draw.h"

namespace isolde::bench {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t nanoseconds(Clock::duration duration) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
}

// A line of a file of /proc: "Name:   123 kB".
std::uint64_t proc_figure(const char* file, const char* name) {
  std::FILE* const stream = std::fopen(file, "re");
  if (stream == nullptr) return 0;
  char line[256];
  unsigned long long figure = 0;
  const std::size_t length = std::strlen(name);
  while (std::fgets(line, sizeof line, stream) != nullptr) {
    if (std::strncmp(line, name, length) == 0 && line[length] == ':') {
      std::sscanf(line + length + 1, "%llu", &figure);
      break;
    }
  }
  std::fclose(stream);
  return figure;
}

double cpu_seconds() {
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// How a failed transaction is run again, the same for every engine: exponential backoff with full
// jitter, as Isolde's transact() does by default.
class Retry {
 public:
  static constexpr unsigned attempts = 20;

  void wait(Random& random, unsigned attempt) const {
    const std::uint64_t most = std::min<std::uint64_t>(100'000, 100ULL << std::min(attempt, 10U));
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(most)));
  }
};

// What the clients of a turn share.
class Turn {
 public:
  Turn(Engine& engine, Dataset& dataset, const Parameters& work, const std::string& mode,
       double seconds)
      : engine_(engine), work_(work), mode_(mode), ready_(work.clients + 1), dataset_(dataset) {
    result_.slot_seconds = std::max(0.25, seconds / (TurnResult::timeline_slots - 16));
    // Each commit of a fast reading transaction would pay as much for the clock as for its work.
    samples_ =
        work.synced == Synced::no && (work.workload == "read" || work.workload == "scan") ? 16 : 1;
  }

  TurnResult run(double seconds, std::uint64_t seed) {
    std::vector<std::unique_ptr<Task>> tasks;
    tasks.reserve(work_.clients);
    for (unsigned i = 0; i < work_.clients; ++i) {
      tasks.push_back(dataset_.task(work_, i, seed * 1000 + i));
    }
    std::vector<std::thread> threads;
    threads.reserve(work_.clients);
    for (unsigned i = 0; i < work_.clients; ++i) {
      threads.emplace_back([this, i, seed, &tasks] { client(*tasks[i], seed * 1000 + i); });
    }
    const std::uint64_t written = proc_figure("/proc/self/io", "wchar");
    const EngineCounters before = engine_.counters();
    const double cpu = cpu_seconds();
    begin_ = Clock::now();
    ready_.arrive_and_wait();
    watch(seconds);
    stop_.store(true, std::memory_order_relaxed);
    for (std::thread& thread : threads) thread.join();
    if (failure_) std::rethrow_exception(failure_);
    result_.seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
    result_.cpu_seconds = cpu_seconds() - cpu;
    result_.written_bytes = proc_figure("/proc/self/io", "wchar") - written;
    const EngineCounters after = engine_.counters();
    if (before.waits && after.waits) result_.waits = *after.waits - *before.waits;
    if (before.checkpoints && after.checkpoints) {
      result_.checkpoints = *after.checkpoints - *before.checkpoints;
    }
    return result_;
  }

 private:
  // Sleeps through the turn, looking at the memory now and then.
  void watch(double seconds) {
    const auto end = begin_ + std::chrono::duration_cast<Clock::duration>(
                                  std::chrono::duration<double>(seconds));
    do {
      const auto left = end - Clock::now();
      std::this_thread::sleep_for(std::min<Clock::duration>(left, std::chrono::milliseconds(250)));
      result_.memory_bytes =
          std::max(result_.memory_bytes, 1024 * proc_figure("/proc/self/status", "RssAnon"));
      result_.mapped_bytes =
          std::max(result_.mapped_bytes, 1024 * proc_figure("/proc/self/status", "RssFile"));
    } while (Clock::now() < end && !stop_.load(std::memory_order_relaxed));
  }

  void client(Task& task, std::uint64_t seed) {
    TurnResult mine;
    mine.slot_seconds = result_.slot_seconds;
    bool arrived = false;
    try {
      const std::unique_ptr<Client> client = engine_.client(mode_);
      arrived = true;
      ready_.arrive_and_wait();
      Random random(seed + 1);
      while (!stop_.load(std::memory_order_relaxed)) transaction(*client, task, random, mine);
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      stop_.store(true, std::memory_order_relaxed);
    }
    if (!arrived) ready_.arrive_and_drop();
    const std::scoped_lock lock(mutex_);
    result_.committed += mine.committed;
    result_.attempts += mine.attempts;
    result_.given_up += mine.given_up;
    result_.beside += mine.beside;
    result_.anomalies += task.anomalies();
    result_.latency.merge(mine.latency);
    for (std::size_t i = 0; i < reason_count; ++i) result_.aborts.at(i) += mine.aborts.at(i);
    for (std::size_t i = 0; i < TurnResult::timeline_slots; ++i) {
      result_.timeline.at(i) += mine.timeline.at(i);
    }
  }

  // One transaction, to its successful end, to its last attempt, or to the end of the turn.
  void transaction(Client& client, Task& task, Random& random, TurnResult& mine) {
    const bool timed = mine.attempts % samples_ == 0;
    const Clock::time_point begin = timed ? Clock::now() : Clock::time_point();
    const bool writes = task.draw();
    for (unsigned attempt = 1;; ++attempt) {
      client.begin(writes);
      Reason failed = task.attempt(client);
      if (failed == Reason::none) failed = client.commit();
      if (failed == Reason::none) break;
      client.rollback();
      ++mine.attempts;
      ++mine.aborts.at(static_cast<std::size_t>(failed));
      if (stop_.load(std::memory_order_relaxed)) return;
      if (attempt == Retry::attempts) {
        ++mine.given_up;
        return;
      }
      retry_.wait(random, attempt);
    }
    task.committed();
    if (task.is_beside()) {
      ++mine.beside;
      return;
    }
    ++mine.attempts;
    ++mine.committed;
    if (!timed) return;
    const Clock::time_point end = Clock::now();
    mine.latency.record(nanoseconds(end - begin));
    const double at = std::chrono::duration<double>(end - begin_).count();
    const auto slot =
        std::min(static_cast<std::size_t>(at / mine.slot_seconds), TurnResult::timeline_slots - 1);
    mine.timeline.at(slot) += samples_;
  }

  Engine& engine_;
  const Parameters& work_;
  const std::string& mode_;
  Retry retry_;
  unsigned samples_ = 1;
  std::barrier<> ready_;
  std::atomic<bool> stop_{false};
  Clock::time_point begin_;
  std::mutex mutex_;  // of what follows
  TurnResult result_;
  std::exception_ptr failure_;
  Dataset& dataset_;
};

// Read transactions that stay open, each at a state of its own: something changes between any two.
std::vector<std::unique_ptr<Client>> hold_snapshots(Engine& engine, Dataset& dataset,
                                                    const Parameters& work,
                                                    const std::string& mode) {
  std::vector<std::unique_ptr<Client>> held;
  if (work.snapshots == 0) return held;
  held.reserve(work.snapshots);
  const std::unique_ptr<Client> writer = engine.client(mode);
  const std::unique_ptr<Task> task = dataset.task(work, 0, 1);
  std::string key;
  std::string value;
  dataset.source()(key, value);
  for (unsigned i = 0; i < work.snapshots; ++i) {
    held.push_back(engine.client(mode));
    held.back()->begin(false);
    if (held.back()->get(key).failed != Reason::none) throw CannotRun("a snapshot was refused");
    writer->begin(task->draw());
    if (task->attempt(*writer) == Reason::none && writer->commit() == Reason::none) {
      task->committed();
    } else {
      writer->rollback();
    }
  }
  return held;
}

}  // namespace

double TurnResult::failed() const {
  if (attempts == 0) return 0;
  return 1 - static_cast<double>(committed) / static_cast<double>(attempts);
}

TurnResult take_turn(const Store& store, const Parameters& work, const std::string& mode,
                     double seconds, std::uint64_t seed) {
  Engine& engine = *store.engine;
  Dataset& dataset = *store.dataset;
  engine.settle();
  const auto held = hold_snapshots(engine, dataset, work, mode);
  TurnResult result = Turn(engine, dataset, work, mode, seconds).run(seconds, seed);
  for (const auto& snapshot : held) snapshot->rollback();
  return result;
}

}  // namespace isolde::bench
