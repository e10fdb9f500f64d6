// One turn of one store at one workload: all its clients at once, for a given time.
#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "bench/workload.h"

namespace isolde::bench {

struct Turn {
  double seconds = 0;
  std::uint64_t attempts = 0;
  std::uint64_t committed = 0;
  std::vector<std::uint32_t> latencies_us;  // of durable writes, client by client, retries included

  double per_second() const { return static_cast<double>(committed) / seconds; }
  // Attempts that did not commit, of all attempts.
  double failed() const {
    if (attempts == 0) return 0;
    return 1 - static_cast<double>(committed) / static_cast<double>(attempts);
  }
};

// The value below which the fraction q of the samples lies; 0 if there are none.
template <typename T>
T quantile(std::vector<T> samples, double q) {
  if (samples.empty()) return T{};
  const auto at = static_cast<std::size_t>(q * static_cast<double>(samples.size() - 1));
  std::nth_element(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(at),
                   samples.end());
  return samples[at];
}

template <typename Client, typename Store>
Turn take_turn(Store& store, const Workload& work, std::chrono::duration<double> duration,
               std::uint64_t seed) {
  using Clock = std::chrono::steady_clock;
  store.settle();
  // Clients are ready before the time begins; then they go on until they are told to stop.
  std::barrier ready(work.clients + 1);
  std::atomic<bool> stop{false};
  std::vector<Turn> parts(static_cast<std::size_t>(work.clients));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    threads.emplace_back([&, i] {
      Client client(store, work, seed * 1000 + i);
      const bool timed = work.store == StoreKind::durable;
      Turn& mine = parts[i];
      ready.arrive_and_wait();
      while (!stop.load(std::memory_order_relaxed)) {
        if (!timed) {
          client.step();
          continue;
        }
        const auto begin = Clock::now();
        client.step();
        const auto took =
            std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
        mine.latencies_us.push_back(static_cast<std::uint32_t>(took.count()));
      }
      mine.attempts = client.attempts();
      mine.committed = client.committed();
    });
  }
  ready.arrive_and_wait();
  const auto begin = Clock::now();
  std::this_thread::sleep_for(duration);
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();

  Turn turn;
  turn.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  for (Turn& part : parts) {
    turn.attempts += part.attempts;
    turn.committed += part.committed;
    turn.latencies_us.insert(turn.latencies_us.end(), part.latencies_us.begin(),
                             part.latencies_us.end());
  }
  return turn;
}

}  // namespace isolde::bench
