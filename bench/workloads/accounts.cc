// The workloads of the targets: reads, scans, updates and transfers among numbered accounts, whose
// balances add up.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "bench/workloads/datasets.h"
#include "bench/workloads/draw.h"
#include "bench/workloads/record.h"

namespace isolde::bench {
namespace {

constexpr std::int64_t opening_balance = 1000;

// What follows the last account.
const std::string& end_of_accounts() {
  static const std::string end = "account;";
  return end;
}

class Accounts : public Dataset {
 public:
  explicit Accounts(const Parameters& work)
      : keys_(work.keys),
        value_bytes_(work.value_bytes),
        total_(static_cast<std::int64_t>(work.keys) * opening_balance) {}

  EntrySource source() override {
    return [this, number = std::uint64_t{0}](std::string& key, std::string& value) mutable {
      if (number == keys_) return false;
      key = account_key(number++).view();
      value = Record(value_bytes_, opening_balance).view();
      return true;
    };
  }
  std::size_t data_bytes() const override { return keys_ * (16 + value_bytes_); }
  std::unique_ptr<Task> task(const Parameters& work, unsigned client, std::uint64_t seed) override;
  std::string check(Client& client) override;

  std::uint64_t keys() const { return keys_; }
  std::int64_t total() const { return total_; }
  void add_to_total(std::int64_t amount) { total_ += amount; }

 private:
  std::uint64_t keys_;
  std::size_t value_bytes_;
  std::atomic<std::int64_t> total_;
};

class AccountTask : public Task {
 public:
  AccountTask(Accounts& accounts, const Parameters& work, std::uint64_t seed)
      : accounts_(accounts),
        work_(work),
        random_(seed),
        range_(work.hot == 0 ? accounts.keys() : std::min(work.hot, accounts.keys())),
        chooser_(range_, work.theta) {}
  ~AccountTask() override { accounts_.add_to_total(added_); }

  void committed() override { added_ += adding_; }

 protected:
  std::uint64_t draw_one() { return chooser_.draw(random_); }
  // A read that must find its key.
  static Read found(Read read) {
    if (read.failed == Reason::none && !read.value)
      throw CannotRun("a key that was loaded is gone");
    return read;
  }
  // Adds to a balance: reads it for update, writes it back.
  Reason update(Client& client, std::uint64_t number, std::int64_t amount) {
    const Key key = account_key(number);
    const Read read = found(client.get_for_update(key.view()));
    if (read.failed != Reason::none) return read.failed;
    Record record(*read.value);
    record.add(amount);
    adding_ += amount;
    return client.put(key.view(), record.view());
  }
  Reason look(Client& client, std::uint64_t number) {
    const Read read = found(client.get(account_key(number).view()));
    if (read.failed == Reason::none) seen_ = seen_ + touch(*read.value);
    return read.failed;
  }

  Accounts& accounts_;
  const Parameters work_;
  Random random_;
  std::uint64_t range_;
  KeyChooser chooser_;
  std::int64_t adding_ = 0;          // by the attempt that runs
  volatile std::uint64_t seen_ = 0;  // keeps the reads from being optimised away

 private:
  std::int64_t added_ = 0;
};

// "read", "rmw", "counter", "ops": operations that each read one key, or read and write it.
class Operations : public AccountTask {
 public:
  using AccountTask::AccountTask;

  bool draw() override {
    const double share = work_.workload == "read"  ? 1
                         : work_.workload == "ops" ? work_.read_share
                                                   : 0;
    steps_.clear();
    bool writes = false;
    for (unsigned i = 0; i < work_.operations; ++i) {
      const bool reads = share >= 1 || (share > 0 && random_.chance(share));
      writes = writes || !reads;
      steps_.push_back({draw_one(), reads});
    }
    return writes;
  }

  Reason attempt(Client& client) override {
    adding_ = 0;
    for (const Step& step : steps_) {
      const Reason failed = step.reads ? look(client, step.key) : update(client, step.key, 1);
      if (failed != Reason::none) return failed;
      if (work_.think_us != 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(work_.think_us));
      }
    }
    return Reason::none;
  }

 private:
  struct Step {
    std::uint64_t key;
    bool reads;
  };
  std::vector<Step> steps_;
};

// "transfer", and the writers of "long-reader": two keys in ascending order, read for update,
// both written. "mix": nine of ten only read four.
class Transfers : public AccountTask {
 public:
  using AccountTask::AccountTask;

  bool draw() override {
    reads_ = work_.workload == "mix" && !random_.chance(0.1);
    for (std::uint64_t& key : keys_) key = draw_one();
    if (keys_[0] == keys_[1]) keys_[1] = (keys_[0] + 1) % range_;
    if (keys_[0] > keys_[1]) std::swap(keys_[0], keys_[1]);
    return !reads_;
  }

  Reason attempt(Client& client) override {
    if (reads_) {
      for (const std::uint64_t key : keys_) {
        if (const Reason failed = look(client, key); failed != Reason::none) return failed;
      }
      return Reason::none;
    }
    const Key from_key = account_key(keys_[0]);
    const Key to_key = account_key(keys_[1]);
    Read read = found(client.get_for_update(from_key.view()));
    if (read.failed != Reason::none) return read.failed;
    Record from(*read.value);
    read = found(client.get_for_update(to_key.view()));
    if (read.failed != Reason::none) return read.failed;
    Record to(*read.value);
    from.add(-1);
    to.add(1);
    const Reason failed = client.put(from_key.view(), from.view());
    return failed != Reason::none ? failed : client.put(to_key.view(), to.view());
  }

 private:
  bool reads_ = false;
  std::uint64_t keys_[4] = {};
};

// "scan": consecutive entries from a random start.
class Scan : public AccountTask {
 public:
  using AccountTask::AccountTask;

  bool draw() override {
    count_ = std::min<std::uint64_t>(work_.operations, accounts_.keys());
    start_ = random_.below(accounts_.keys() - count_ + 1);
    return false;
  }

  Reason attempt(Client& client) override {
    std::uint64_t seen = 0;
    std::uint64_t sum = 0;
    auto add = [&](std::string_view key, std::string_view value) {
      sum += touch(key) + touch(value);
      ++seen;
    };
    const Reason failed = client.scan(account_key(start_).view(), end_of_accounts(), count_, add);
    seen_ = seen_ + sum;
    if (failed == Reason::none && seen != count_) throw CannotRun("a scan missed entries");
    return failed;
  }

 private:
  std::uint64_t start_ = 0;
  std::uint64_t count_ = 0;
};

// The first client of "long-reader": reads every account in one transaction, beside transfers that
// leave the total as it was.
class LongReader : public AccountTask {
 public:
  LongReader(Accounts& accounts, const Parameters& work, std::uint64_t seed)
      : AccountTask(accounts, work, seed), total_(accounts.total()) {}

  bool draw() override { return false; }
  bool is_beside() const override { return true; }

  Reason attempt(Client& client) override {
    sum_ = 0;
    auto add = [&](std::string_view, std::string_view value) { sum_ += Record::balance_of(value); };
    return client.scan(account_prefix, end_of_accounts(), accounts_.keys(), add);
  }
  void committed() override {
    if (sum_ != total_) ++anomalies_;
  }

 private:
  std::int64_t total_;
  std::int64_t sum_ = 0;
};

std::unique_ptr<Task> Accounts::task(const Parameters& work, unsigned client, std::uint64_t seed) {
  if (work.workload == "scan") return std::make_unique<Scan>(*this, work, seed);
  if (work.workload == "long-reader" && client == 0) {
    return std::make_unique<LongReader>(*this, work, seed);
  }
  if (work.workload == "transfer" || work.workload == "mix" || work.workload == "long-reader") {
    return std::make_unique<Transfers>(*this, work, seed);
  }
  Parameters mine = work;
  if (work.workload == "counter") mine.hot = 1;
  return std::make_unique<Operations>(*this, mine, seed);
}

std::string Accounts::check(Client& client) {
  std::uint64_t count = 0;
  std::uint64_t torn = 0;
  std::int64_t sum = 0;
  auto add = [&](std::string_view, std::string_view value) {
    ++count;
    const std::int64_t balance = Record::balance_of(value);
    sum += balance;
    if (Record(value_bytes_, balance).view() != value) ++torn;
  };
  if (!read_all(client, account_prefix, end_of_accounts(), add))
    return "the check could not read the accounts";
  if (count != keys_)
    return std::to_string(count) + " accounts instead of " + std::to_string(keys_);
  if (torn != 0) return std::to_string(torn) + " values are not what was written";
  if (sum != total_) {
    return "the balances add up to " + std::to_string(sum) + " instead of " +
           std::to_string(total_.load());
  }
  return {};
}

}  // namespace

std::unique_ptr<Dataset> make_accounts(const Parameters& work) {
  return std::make_unique<Accounts>(work);
}

}  // namespace isolde::bench
