// Many threads, all kinds of transactions: transfers in random order until all work is done, with
// readers that must see the total at every moment. Deadlocks, conflicts and timeouts on the way.
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/seed.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;

namespace {

constexpr int accounts = 6;
constexpr std::int64_t balance = 100;

std::string account(std::size_t number) { return "account" + std::to_string(number); }

struct Outcome {
  std::uint64_t done = 0;
  std::uint64_t retried = 0;
  std::vector<std::string> faults;
};

struct Bank {
  TempDatabase db;

  explicit Bank(Options options) : db(std::move(options)) {
    for (int n = 0; n < accounts; ++n)
      db.put(account(static_cast<std::size_t>(n)), std::to_string(balance));
  }

  std::int64_t read(Transaction& txn, const std::string& key, bool for_update, Outcome& outcome,
                    std::optional<Error>& error) {
    auto value = for_update ? txn.get_for_update(db.keyspace(), key) : txn.get(db.keyspace(), key);
    if (!value) {
      error = value.error();
      return 0;
    }
    if (!*value) {
      outcome.faults.push_back(key + " is gone");
      return 0;
    }
    return std::stoll(std::string(**value));
  }

  // One transfer, begun again until it commits.
  void transfer(TransactionOptions options, std::size_t from, std::size_t to, bool for_update,
                Outcome& outcome) {
    for (;;) {
      auto txn = db->begin(options);
      if (!txn) {
        outcome.faults.push_back(message_of(txn));
        return;
      }
      std::optional<Error> error;
      const std::int64_t left = read(*txn, account(from), for_update, outcome, error);
      const std::int64_t right = error ? 0 : read(*txn, account(to), for_update, outcome, error);
      const auto note = [&](const auto& result) {
        if (!result && !error) error = result.error();
      };
      if (!error) note(txn->put(db.keyspace(), account(from), std::to_string(left - 1)));
      if (!error) note(txn->put(db.keyspace(), account(to), std::to_string(right + 1)));
      if (!error) note(txn->commit());
      if (!error) {
        ++outcome.done;
        return;
      }
      ++outcome.retried;
      std::this_thread::yield();
      const ErrorCode code = error->code();
      if (!is_retryable(code) && code != ErrorCode::lock_timeout) {
        outcome.faults.push_back(error->to_string());
        return;
      }
      if (is_retryable(code) && txn->active())
        outcome.faults.push_back("active after " + error->to_string());
    }
  }

  // The total, as a serializable or snapshot reader sees it.
  void audit(TransactionOptions options, Outcome& outcome) {
    auto txn = db->begin(options);
    std::int64_t total = 0;
    const auto count = txn->scan(
        db.keyspace(), KeyRange::all(),
        [&](std::string_view, std::string_view value) { total += std::stoll(std::string(value)); });
    if (!count) {
      const ErrorCode code = count.error().code();
      if (code != ErrorCode::deadlock && code != ErrorCode::lock_timeout) {
        outcome.faults.push_back(message_of(count));
      }
      return;
    }
    if (total != accounts * balance)
      outcome.faults.push_back("a total of " + std::to_string(total));
    // One that is wounded while it does nothing hears of it here.
    const auto committed = txn->commit();
    if (!committed && committed.error().code() != ErrorCode::deadlock) {
      outcome.faults.push_back(message_of(committed));
    }
  }

  // Four threads; `kinds` are drawn at random.
  void run(const std::vector<TransactionOptions>& kinds, std::uint64_t transfers, bool for_update) {
    const std::uint64_t seed = test::seed();
    std::vector<Outcome> outcomes(4);
    std::vector<std::thread> threads;
    for (std::size_t worker = 0; worker < outcomes.size(); ++worker) {
      threads.emplace_back([&, worker] {
        std::mt19937_64 random(derive(seed, worker));
        Outcome& outcome = outcomes[worker];
        for (std::uint64_t n = 0; n < transfers; ++n) {
          const TransactionOptions& kind = kinds[random() % kinds.size()];
          const std::size_t from = random() % accounts;
          const std::size_t to = (from + 1 + random() % (accounts - 1)) % accounts;
          transfer(kind, from, to, for_update, outcome);
          if (n % 8 == 0) audit(kinds[random() % kinds.size()], outcome);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    std::uint64_t done = 0;
    std::uint64_t retried = 0;
    for (const Outcome& outcome : outcomes) {
      done += outcome.done;
      retried += outcome.retried;
      for (const std::string& fault : outcome.faults) BOOST_ERROR(fault);
    }
    BOOST_TEST(done == outcomes.size() * transfers);
    BOOST_TEST_MESSAGE(done << " transfers, " << retried << " begun again");
    std::int64_t total = 0;
    for (const auto& [key, value] : db.contents()) total += std::stoll(value);
    BOOST_TEST(total == accounts * balance);
    BOOST_TEST(db->stats().locks_held == 0u);
    BOOST_TEST(db->stats().lock_waiters == 0u);
  }
};

Options bank_options(DeadlockStrategy strategy = DeadlockStrategy::detect,
                     VictimPolicy policy = VictimPolicy::youngest) {
  Options options = small_options();
  options.durability = Durability::none();
  options.deadlock_strategy = strategy;
  options.deadlock_victim = policy;
  options.background_work = true;
  options.lock_timeout =
      strategy == DeadlockStrategy::timeout_only ? std::chrono::milliseconds(2) : no_lock_timeout;
  return options;
}

TransactionOptions kind(Isolation level, Locking locking) {
  TransactionOptions options;
  options.isolation = level;
  options.locking = locking;
  return options;
}

constexpr auto opt = Locking::optimistic;
constexpr auto pess = Locking::pessimistic;
constexpr auto rr = Isolation::repeatable_read;
constexpr auto ser = Isolation::serializable;

}  // namespace

BOOST_AUTO_TEST_SUITE(stress_locks)

BOOST_AUTO_TEST_CASE(victims_begin_again_until_all_work_is_done_whatever_the_policy) {
  for (const VictimPolicy policy :
       {VictimPolicy::youngest, VictimPolicy::oldest, VictimPolicy::fewest_writes,
        VictimPolicy::requester, VictimPolicy::lowest_priority}) {
    Bank bank(bank_options(DeadlockStrategy::detect, policy));
    bank.run({kind(ser, pess), kind(rr, pess)}, 150 * scale(), true);
  }
}

BOOST_AUTO_TEST_CASE(every_strategy_gets_all_work_done) {
  for (const DeadlockStrategy strategy :
       {DeadlockStrategy::no_wait, DeadlockStrategy::wound_wait, DeadlockStrategy::timeout_only}) {
    Bank bank(bank_options(strategy));
    bank.run({kind(ser, pess)}, 100 * scale(), true);
  }
}

BOOST_AUTO_TEST_CASE(serializable_ones_of_both_modes_keep_the_total) {
  Bank bank(bank_options());
  bank.run({kind(ser, pess), kind(ser, opt)}, 300 * scale(), false);
}

// At repeatable read and serializable a transfer is safe by itself, whatever the others are.
BOOST_AUTO_TEST_CASE(both_modes_at_both_levels_keep_the_total) {
  Bank bank(bank_options());
  bank.run({kind(ser, pess), kind(ser, opt), kind(rr, pess), kind(rr, opt)}, 300 * scale(), false);
}

BOOST_AUTO_TEST_SUITE_END()
