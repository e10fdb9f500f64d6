#include "bench/deadlock_chain.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/workload.h"
#include "isolde/isolde.h"

namespace isolde::bench {
namespace {

template <typename T>
T must(Result<T> result, const char* doing) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "isolde_bench: %s: %s\n", doing, result.error().to_string().c_str());
  std::_Exit(1);
}

// Counts those who wait.
class Waiters : public Observer {
 public:
  void on_block(const EventTransaction&, const BlockEvent&) override {
    const std::scoped_lock lock(mutex_);
    ++count_;
    changed_.notify_one();
  }
  void await(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ == count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

double close_once(Database& db, const Keyspace& keyspace, int length) {
  const auto waiters = std::make_shared<Waiters>();
  db.add_observer(waiters);
  TransactionOptions options;
  options.locking = Locking::pessimistic;
  options.lock_timeout = no_lock_timeout;
  std::vector<Transaction> chain;
  const auto key = [](int number) { return Key(static_cast<std::uint64_t>(number)); };
  for (int number = 0; number < length; ++number) {
    chain.push_back(must(db.begin(options), "begin"));
    must(chain.back().get_for_update(keyspace, key(number).view()), "lock");
  }
  std::vector<std::thread> threads;
  for (int number = 0; number + 1 < length; ++number) {
    threads.emplace_back([&, number] {
      auto& txn = chain[static_cast<std::size_t>(number)];
      must(txn.get_for_update(keyspace, key(number + 1).view()), "wait");
      must(txn.commit(), "commit");
    });
  }
  waiters->await(length - 1);
  db.remove_observer(waiters);
  const auto start = std::chrono::steady_clock::now();
  const auto refused = chain.back().get_for_update(keyspace, key(0).view());
  const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
  for (std::thread& thread : threads) thread.join();
  if (refused || refused.error().code() != ErrorCode::deadlock) {
    std::fprintf(stderr, "isolde_bench: no deadlock was found\n");
    std::_Exit(1);
  }
  return taken.count();
}

}  // namespace

void print_deadlock_chain(Stores& stores, int length, int repetitions) {
  Database db = must(Database::open(stores.directory() / "deadlocks"), "open");
  const Keyspace keyspace = must(db.keyspace("default"), "keyspace");
  std::vector<double> microseconds;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    microseconds.push_back(close_once(db, keyspace, length));
  }
  std::sort(microseconds.begin(), microseconds.end());
  std::printf("the request that closes a circle of %d is refused after %.0f us [%.0f..%.0f]\n",
              length, microseconds[microseconds.size() / 2], microseconds.front(),
              microseconds.back());
  if (auto closed = db.close(); !closed) must(Result<int>(closed.error()), "close");
}

}  // namespace isolde::bench
