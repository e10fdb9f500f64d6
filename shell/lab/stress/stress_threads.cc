#include "lab/stress/stress_threads.h"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "isolde/database.h"
#include "lab/check/checker.h"
#include "lab/history/recorder.h"
#include "lab/play/playground.h"
#include "lab/script/cell.h"

namespace isolde::lab {
namespace {

constexpr std::size_t accounts = 6;
constexpr std::int64_t balance = 100;
constexpr std::chrono::seconds longest_wait{20};

std::int64_t number_in(std::optional<std::string_view> text) {
  std::int64_t number = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

// What the threads of a round have in common: how far they are, and whether to go on. The thread
// that waits for them is the only one to ask, so what it asks need not be thread-safe.
class Race {
 public:
  bool goes_on() const { return !ended_early_.load(std::memory_order_relaxed); }
  std::size_t transactions() const { return transactions_.load(std::memory_order_relaxed); }
  void note_transaction() { transactions_.fetch_add(1, std::memory_order_relaxed); }

  void note_end_of_thread() {
    const std::lock_guard lock(mutex_);
    ++ended_;
    changed_.notify_one();
  }

  void await(std::size_t threads, const std::function<bool(std::size_t)>& go_on) {
    constexpr std::chrono::milliseconds between_questions{50};
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, between_questions, [&] { return ended_ == threads; })) {
      lock.unlock();
      if (go_on && !go_on(transactions())) ended_early_.store(true);
      lock.lock();
    }
  }

 private:
  std::atomic<bool> ended_early_{false};
  std::atomic<std::size_t> transactions_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t ended_ = 0;
};

// One thread's transactions.
class Client {
 public:
  Client(Database& database, std::vector<Keyspace> keyspaces, Workload workload, std::uint64_t seed)
      : database_(database),
        keyspaces_(std::move(keyspaces)),
        workload_(workload),
        random_(seed),
        name_(fmt::format("w{}", seed % 1000)) {}

  void run(std::size_t transactions, Race& race) {
    for (std::size_t i = 0; i < transactions && complaints.empty() && race.goes_on(); ++i) {
      run_one();
      race.note_transaction();
    }
    race.note_end_of_thread();
  }

  std::map<std::string, std::size_t> endings;
  std::vector<std::string> complaints;

 private:
  std::size_t draw(std::size_t below) { return random_() % below; }
  bool chance(std::size_t percent) { return draw(100) < percent; }
  const Keyspace& keyspace() { return keyspaces_[chance(85) ? 0 : 1]; }
  std::string key(std::string_view prefix, std::size_t count) {
    return fmt::format("{}{}", prefix, draw(count));
  }
  std::string value() { return fmt::format("{}.{}", name_, ++values_); }

  void run_one() {
    TransactionOptions options;
    options.isolation = all_levels[chance(40) ? 3 : draw(all_levels.size())];
    options.locking = all_lockings[draw(all_lockings.size())];
    options.label = name_;
    options.retry.max_attempts = 8;
    options.lock_timeout = longest_wait;
    audited_.reset();
    const auto outcome = database_.transact(options, [this](Transaction& txn) {
      audited_.reset();
      auto done = body(txn);
      if (done && txn.active() && chance(4)) return txn.rollback();
      return done;
    });
    ++endings[outcome ? "ok" : std::string(name(outcome.error().code()))];
    if (!outcome) {
      judge(outcome.error());
    } else if (audited_ && *audited_ != balance * static_cast<std::int64_t>(accounts)) {
      complaints.push_back(
          fmt::format("the accounts add up to {} at {}", *audited_, name(options.isolation)));
    }
  }

  // Whatever conflicts, fails; nothing else may.
  void judge(const Error& error) {
    switch (error.code()) {
      case ErrorCode::write_conflict:
      case ErrorCode::serialization_failure:
      case ErrorCode::deadlock:
      case ErrorCode::already_exists:
      case ErrorCode::compare_failed:
        return;
      default:
        complaints.push_back(error.to_string());
    }
  }

  Result<void> body(Transaction& txn) {
    switch (workload_) {
      case Workload::list_append:
        return append(txn);
      case Workload::bank:
        return chance(25) ? audit(txn) : transfer(txn);
      case Workload::long_fork:
        return fork(txn);
      case Workload::predicate:
        return claim(txn);
      case Workload::queue:
        return chance(50) ? push(txn) : take(txn);
      case Workload::rw_register:
      case Workload::durability:
        break;
    }
    return registers(txn);
  }

  Result<void> append(Transaction& txn) {
    for (std::size_t i = 1 + draw(2); i > 0; --i) {
      const Keyspace& where = keyspace();
      const std::string list = key("l", 6);
      auto read = chance(30) ? txn.get_for_update(where, list) : txn.get(where, list);
      if (!read) return read.error();
      // A list of its own length would make each transaction slower than the one before.
      constexpr std::size_t longest = 400;
      std::string text(read->value_or("").substr(0, longest));
      text.insert(0, value() + ' ');
      if (auto written = txn.put(where, list, text); !written) return written;
    }
    return {};
  }

  Result<void> registers(Transaction& txn) {
    for (std::size_t i = 1 + draw(5); i > 0; --i) {
      const Keyspace& where = keyspace();
      const std::string place = key("r", 12);
      const std::size_t kind = draw(12);
      if (kind < 6) {
        if (auto read = txn.get(where, place); !read) return read.error();
      } else if (kind < 9) {
        if (auto written = txn.put(where, place, value()); !written) return written;
      } else if (kind == 9) {
        if (auto erased = txn.erase(where, place); !erased) return erased;
      } else if (kind == 10) {
        auto savepoint = txn.savepoint();
        if (!savepoint) return savepoint.error();
        if (auto written = txn.put(where, place, value()); !written) return written;
        if (auto undone = txn.rollback_to(*savepoint); !undone) return undone;
      } else if (auto inserted = txn.insert(where, place, value());
                 !inserted && inserted.error().code() != ErrorCode::already_exists) {
        return inserted;
      }
    }
    return {};
  }

  // Reads that the level does not protect are made for update.
  Result<std::int64_t> balance_of(Transaction& txn, const std::string& account) {
    const bool safe = txn.isolation() >= Isolation::repeatable_read;
    auto read = safe ? txn.get(keyspaces_[0], account) : txn.get_for_update(keyspaces_[0], account);
    if (!read) return read.error();
    return *read ? number_in(*read) : balance;
  }

  Result<void> transfer(Transaction& txn) {
    const std::size_t from = draw(accounts);
    const std::string debited = fmt::format("acct{}", from);
    const std::string credited = fmt::format("acct{}", (from + 1 + draw(accounts - 1)) % accounts);
    const auto amount = static_cast<std::int64_t>(1 + draw(9));
    auto before = balance_of(txn, debited);
    if (!before) return before.error();
    auto other = balance_of(txn, credited);
    if (!other) return other.error();
    auto taken = txn.put(keyspaces_[0], debited, std::to_string(*before - amount));
    if (!taken) return taken;
    return txn.put(keyspaces_[0], credited, std::to_string(*other + amount));
  }

  Result<void> audit(Transaction& txn) {
    std::int64_t sum = balance * static_cast<std::int64_t>(accounts);
    auto scanned = txn.scan(
        keyspaces_[0], KeyRange::prefix("acct"),
        [&](std::string_view, std::string_view text) { sum += number_in(text) - balance; });
    if (!scanned) return scanned.error();
    // One call is one state at read committed too.
    if (txn.isolation() >= Isolation::read_committed) audited_ = sum;
    return {};
  }

  Result<void> fork(Transaction& txn) {
    if (chance(50)) return txn.put(keyspace(), key("f", 3), value());
    const std::size_t first = draw(3);
    for (std::size_t i = 0; i < 3; ++i) {
      auto read = txn.get(keyspaces_[0], fmt::format("f{}", (first + i) % 3));
      if (!read) return read.error();
    }
    return {};
  }

  Result<void> claim(Transaction& txn) {
    const Keyspace& where = keyspace();
    const std::string group = key("p", 4);
    auto counted =
        txn.scan(where, KeyRange::prefix(group + '/'), [](std::string_view, std::string_view) {});
    if (!counted) return counted.error();
    const std::string member = fmt::format("{}/{}", group, draw(6));
    if (*counted == 0 || chance(40)) return txn.put(where, member, value());
    if (chance(70)) return txn.erase(where, member);
    return {};
  }

  Result<void> push(Transaction& txn) {
    std::string last = "q/0000000";
    ScanOptions newest;
    newest.reverse = true;
    newest.limit = 1;
    auto scanned = txn.scan(keyspaces_[0], KeyRange::prefix("q/"), newest,
                            [&](std::string_view found, std::string_view) { last = found; });
    if (!scanned) return scanned.error();
    const std::int64_t number = number_in(std::string_view(last).substr(2)) + 1;
    return txn.put(keyspaces_[0], fmt::format("q/{:07}", number), value());
  }

  Result<void> take(Transaction& txn) {
    ScanOptions first;
    first.limit = 1;
    const bool may_skip =
        txn.locking() == Locking::pessimistic && txn.isolation() != Isolation::serializable;
    if (chance(60)) first.mode = ReadMode::for_update;
    if (may_skip && first.mode == ReadMode::for_update) first.lock_wait = LockWait::skip_locked;
    std::string job;
    auto scanned = txn.scan(keyspaces_[0], KeyRange::prefix("q/"), first,
                            [&](std::string_view found, std::string_view) { job = found; });
    if (!scanned) return scanned.error();
    if (job.empty()) return {};
    return txn.erase(keyspaces_[0], job);
  }

  Database& database_;
  const std::vector<Keyspace> keyspaces_;
  const Workload workload_;
  std::mt19937_64 random_;
  const std::string name_;
  std::size_t values_ = 0;
  std::optional<std::int64_t> audited_;
};

Options options_for(std::mt19937_64& random) {
  constexpr std::array durabilities{Durability::sync(), Durability::none(),
                                    Durability::periodic(std::chrono::milliseconds(5))};
  Options options;
  options.durability = durabilities[random() % durabilities.size()];
  options.log_segment_bytes = std::size_t{1} << 18;
  options.checkpoint_log_bytes = std::size_t{1} << 16;
  options.initial_map_bytes = std::size_t{1} << 28;
  constexpr std::array victims{VictimPolicy::youngest, VictimPolicy::oldest,
                               VictimPolicy::fewest_writes, VictimPolicy::requester};
  options.deadlock_victim = victims[random() % victims.size()];
  return options;
}

Finding unfit(std::string text) { return {Finding::Kind::error, "stress", std::move(text)}; }

}  // namespace

ThreadRoundReport stress_threads(Workload workload, std::uint64_t seed, const ThreadRound& round) {
  ThreadRoundReport report;
  std::mt19937_64 random(seed);
  auto directory = TemporaryDirectory::create("isolde-stress-");
  if (!directory) return {{}, {unfit(directory.error().to_string())}, {}};
  auto database = Database::open(directory->path() / "db", options_for(random));
  if (!database) return {{}, {unfit(database.error().to_string())}, {}};
  const auto recorder = std::make_shared<Recorder>();
  auto first = database->keyspace("default");
  auto second = database->keyspace("other");
  if (!first || !second) return {{}, {unfit("no keyspaces")}, {}};
  database->add_observer(recorder);
  std::size_t transactions = 0;
  {
    Race race;
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<std::thread> threads;
    threads.reserve(round.threads);
    clients.reserve(round.threads);
    for (std::size_t i = 0; i < round.threads; ++i) {
      clients.push_back(std::make_unique<Client>(*database, std::vector<Keyspace>{*first, *second},
                                                 workload, random()));
    }
    for (const auto& client : clients) {
      threads.emplace_back([&] { client->run(round.transactions, race); });
    }
    race.await(threads.size(), round.go_on);
    for (std::thread& thread : threads) thread.join();
    transactions = race.transactions();
    for (const auto& client : clients) {
      for (const auto& [ending, count] : client->endings) report.endings[ending] += count;
      for (const std::string& complaint : client->complaints) {
        report.findings.push_back(unfit(complaint));
      }
    }
  }
  database->remove_observer(recorder);
  const auto tell = [&] {  // each of these takes a while
    if (round.go_on) round.go_on(transactions);
  };
  tell();
  report.history = recorder->history();
  tell();
  std::vector<Finding> found = findings(check(report.history), false);
  tell();
  // What the checker names can be shrunk: first.
  report.findings.insert(report.findings.begin(), found.begin(), found.end());
  if (auto verified = database->verify(); !verified) {
    report.findings.push_back(unfit(verified.error().to_string()));
  }
  return report;
}

}  // namespace isolde::lab
