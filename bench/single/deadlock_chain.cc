#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>

#include "bench/engines/isolde_engine.h"
#include "bench/run/store.h"
#include "bench/single/measurements.h"
#include "bench/workloads/record.h"

namespace isolde::bench {
namespace {

// Counts the transactions that wait.
class Waiters : public Observer {
 public:
  void on_block(const EventTransaction&, const BlockEvent&) override {
    const std::scoped_lock lock(mutex_);
    ++count_;
    changed_.notify_one();
  }
  void await(unsigned count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ == count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  unsigned count_ = 0;
};

double close_once(Database& database, const Keyspace& keyspace, unsigned length) {
  const auto waiters = std::make_shared<Waiters>();
  database.add_observer(waiters);
  TransactionOptions options;
  options.locking = Locking::pessimistic;
  options.lock_timeout = no_lock_timeout;  // as long as it takes to make the chain
  std::vector<Transaction> chain;
  for (unsigned number = 0; number < length; ++number) {
    chain.push_back(must(database.begin(options)));
    must(chain.back().get_for_update(keyspace, account_key(number).view()));
  }
  std::vector<std::thread> threads;
  for (unsigned number = 0; number + 1 < length; ++number) {
    threads.emplace_back([&, number] {
      must(chain[number].get_for_update(keyspace, account_key(number + 1).view()));
      must(chain[number].commit());
    });
  }
  waiters->await(length - 1);
  database.remove_observer(waiters);
  const auto start = std::chrono::steady_clock::now();
  const auto refused = chain.back().get_for_update(keyspace, account_key(0).view());
  const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
  for (std::thread& thread : threads) thread.join();
  if (refused || refused.error().code() != ErrorCode::deadlock) {
    throw CannotRun("no deadlock was found");
  }
  return taken.count();
}

}  // namespace

void measure_deadlock_chain(const std::filesystem::path& directory, unsigned length,
                            int repetitions) {
  Parameters work;
  work.keys = length;
  work.synced = Synced::yes;
  const Store store = load_store("isolde", work, directory / "deadlocks");
  auto& engine = dynamic_cast<IsoldeEngine&>(*store.engine);
  std::vector<double> microseconds;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    microseconds.push_back(close_once(engine.database(), engine.keyspace(), length));
  }
  std::sort(microseconds.begin(), microseconds.end());
  fmt::print(stdout,
             "the request that closes a circle of {} is refused after {:.0f} us "
             "[{:.0f}..{:.0f}]\n",
             length, microseconds[microseconds.size() / 2], microseconds.front(),
             microseconds.back());
}

}  // namespace isolde::bench
