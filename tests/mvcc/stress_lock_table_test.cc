// Threads that lock keys and ranges at random, wait, give up, are cancelled, wounded, or a
// deadlock's victims: never do two have what goes to one only, and all work comes to an end.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "mvcc/lock_table.h"
#include "mvcc/version_store.h"
#include "tests/support/seed.h"

using namespace isolde;
using namespace isolde::test;
using mvcc::LockAsk;
using mvcc::LockOwner;
using mvcc::LockTable;
using mvcc::Span;
using Kind = LockTable::Answer::Kind;
using Outcome = mvcc::LockRequest::Outcome;

namespace {

constexpr KeyspaceId keyspace{1};
constexpr std::size_t workers = 4;

// Each wait is told of once, in order.
struct Listener : mvcc::LockListener {
  bool is_observed() const noexcept override { return observed; }
  void on_block(const LockOwner& waiter, const BlockEvent& event) override {
    if (event.waits_for.empty()) ++faults;
    expect(waiter, 0);
  }
  void on_wake(const LockOwner& waiter, WakeReason) override { expect(waiter, 1); }
  void on_resume(const LockOwner& waiter) override { expect(waiter, 2); }
  void on_deadlock(const DeadlockReport&) override {}
  std::string keyspace_name(KeyspaceId) const override { return "default"; }

  void expect(const LockOwner& waiter, int step) {
    std::atomic<int>& at = steps.at(static_cast<std::size_t>(waiter.priority));
    if (at.exchange((step + 1) % 3) != step) ++faults;
  }
  bool observed = false;
  std::array<std::atomic<int>, workers> steps{};
  std::atomic<int> faults{0};
};

// What everybody is known to hold: noted after it was granted, crossed out before it is released.
class Ledger {
 public:
  // False: somebody has what does not go with it.
  bool note(std::size_t who, const LockAsk& ask) {
    const std::scoped_lock lock(mutex_);
    Entry entry{who, std::string(ask.range != nullptr ? ask.range->lower : ask.key), std::nullopt,
                ask.range != nullptr, ask.mode};
    if (ask.range != nullptr) entry.upper = ask.range->upper;
    const bool fits = std::none_of(entries_.begin(), entries_.end(), [&](const Entry& other) {
      return other.who != who && other.span().overlaps(entry.span()) &&
             (other.mode == LockMode::exclusive || entry.mode == LockMode::exclusive);
    });
    entries_.push_back(std::move(entry));
    return fits;
  }
  void cross_out(std::size_t who) {
    const std::scoped_lock lock(mutex_);
    std::erase_if(entries_, [&](const Entry& entry) { return entry.who == who; });
  }

 private:
  struct Entry {
    std::size_t who;
    std::string lower;
    std::optional<std::string> upper;
    bool is_range;
    LockMode mode;

    Span span() const {
      if (!is_range) return Span::of_key(keyspace, lower);
      if (!upper) return {keyspace, lower, {}, Span::End::infinite};
      return {keyspace, lower, *upper, Span::End::open};
    }
  };
  std::mutex mutex_;
  std::vector<Entry> entries_;
};

struct Crowd {
  explicit Crowd(mvcc::LockLimits limits, bool observed) : table(listener, limits) {
    listener.observed = observed;
  }

  // One transaction of a worker: a few locks, then all go.
  void transaction(std::size_t who, std::mt19937_64& random) {
    LockOwner& owner = owners[who];
    owner.id = TransactionId{next_id.fetch_add(1) + 1};
    owner.begun = owner.id.value;
    owner.priority = static_cast<int>(who);
    owner.locking = Locking::pessimistic;
    owner.writes.store(random() % 3);
    current[who].store(owner.id.value);
    for (std::uint64_t left = 1 + random() % 4; left > 0; --left) {
      if (!lock(who, random)) break;
      std::this_thread::yield();
    }
    ledger.cross_out(who);
    table.release_all(owner);
  }
  // False: the transaction is over.
  bool lock(std::size_t who, std::mt19937_64& random) {
    LockAsk ask;
    ask.keyspace = keyspace;
    ask.mode = random() % 2 == 0 ? LockMode::shared : LockMode::exclusive;
    const std::string key(1, static_cast<char>('a' + random() % 6));
    KeyRange range;
    if (random() % 3 == 0) {
      range.lower = key;
      if (random() % 4 != 0) {
        range.upper = std::string(1, static_cast<char>(key[0] + 1 + random() % 3));
      }
      ask.range = &range;
    } else {
      ask.key = key;
      ask.hash = mvcc::VersionStore::hash(keyspace, key);
    }
    LockTable::Answer answer = table.request(owners[who], ask, random() % 5 != 0);
    if (answer.kind != Kind::waits) {
      table.settle(answer.aftermath);
      if (answer.kind == Kind::unavailable) return true;
      if (answer.kind != Kind::granted) return false;
    } else {
      LockTable::Deadline deadline;
      if (random() % 3 == 0) {
        deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 50);
      }
      waited.fetch_add(1);
      const LockTable::Ending ending = table.wait(owners[who], ask, answer, deadline);
      if (ending.outcome == Outcome::lock_timeout) return true;
      if (ending.outcome == Outcome::deadlock && !ending.report) listener.faults.fetch_add(1);
      if (ending.outcome != Outcome::granted) return false;
    }
    if (!ledger.note(who, ask)) conflicts.fetch_add(1);
    return true;
  }
  void run(std::uint64_t transactions) {
    const std::uint64_t seed = test::seed();
    std::atomic<std::size_t> left{workers};
    std::vector<std::thread> threads;
    for (std::size_t who = 0; who < workers; ++who) {
      threads.emplace_back([&, who] {
        std::mt19937_64 random(derive(seed, who));
        for (std::uint64_t n = 0; n < transactions; ++n) transaction(who, random);
        left.fetch_sub(1);
      });
    }
    threads.emplace_back([&] {
      std::mt19937_64 random(derive(seed, workers));
      while (left.load() > 0) {
        const std::size_t who = random() % workers;
        table.cancel(owners[who], TransactionId{current[who].load()});
        for (int n = 0; n < 20; ++n) std::this_thread::yield();
      }
    });
    for (std::thread& thread : threads) thread.join();
    BOOST_TEST_MESSAGE(waited.load() << " waits, " << table.counts().deadlocks << " deadlocks");
    BOOST_TEST(conflicts.load() == 0u);
    BOOST_TEST(listener.faults.load() == 0);
    BOOST_TEST(table.counts().held == 0u);
    BOOST_TEST(table.counts().waiters == 0u);
  }

  Listener listener;
  LockTable table;
  std::array<LockOwner, workers> owners;
  std::array<std::atomic<std::uint64_t>, workers> current{};
  std::atomic<std::uint64_t> next_id{0};
  std::atomic<std::uint64_t> waited{0};
  std::atomic<std::uint64_t> conflicts{0};
  Ledger ledger;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(stress_lock_table)

BOOST_AUTO_TEST_CASE(no_two_ever_have_what_goes_to_one_and_all_come_to_an_end) {
  for (const DeadlockStrategy strategy :
       {DeadlockStrategy::detect, DeadlockStrategy::wound_wait, DeadlockStrategy::no_wait}) {
    for (const bool observed : {false, true}) {
      mvcc::LockLimits limits;
      limits.strategy = strategy;
      Crowd(limits, observed).run(2'000 * scale());
    }
  }
}

BOOST_AUTO_TEST_CASE(nor_under_any_policy) {
  for (const VictimPolicy policy : {VictimPolicy::oldest, VictimPolicy::fewest_writes,
                                    VictimPolicy::requester, VictimPolicy::lowest_priority}) {
    mvcc::LockLimits limits;
    limits.victim = policy;
    Crowd(limits, true).run(1'000 * scale());
  }
}

BOOST_AUTO_TEST_SUITE_END()
