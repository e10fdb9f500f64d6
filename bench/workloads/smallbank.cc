// SmallBank (Alomari, Cahill, Fekete, Röhm 2008): customers with a checking and a savings account;
// five transactions, drawn equally; nine of ten touch a hot spot.
#include <algorithm>
#include <atomic>

#include "bench/workloads/datasets.h"
#include "bench/workloads/draw.h"
#include "bench/workloads/record.h"

namespace isolde::bench {
namespace {

constexpr std::int64_t opening_balance = 10'000;

// The tables are prefixes, ascending: names, checking, savings.
Key name_key(std::uint64_t customer) { return {"account:", customer}; }
Key checking_key(std::uint64_t customer) { return {"checking", customer}; }
Key savings_key(std::uint64_t customer) { return {"savings:", customer}; }

class Bank : public Dataset {
 public:
  explicit Bank(const Parameters& work)
      : customers_(work.keys),
        value_bytes_(work.value_bytes),
        total_(static_cast<std::int64_t>(work.keys) * 2 * opening_balance) {}

  EntrySource source() override {
    return [this, at = std::uint64_t{0}](std::string& key, std::string& value) mutable {
      if (at == 3 * customers_) return false;
      const std::uint64_t customer = at % customers_;
      const std::uint64_t table = at++ / customers_;
      key = (table == 0   ? name_key(customer)
             : table == 1 ? checking_key(customer)
                          : savings_key(customer))
                .view();
      value =
          Record(value_bytes_, table == 0 ? static_cast<std::int64_t>(customer) : opening_balance)
              .view();
      return true;
    };
  }
  std::size_t data_bytes() const override { return 3 * customers_ * (16 + value_bytes_); }
  std::unique_ptr<Task> task(const Parameters& work, unsigned client, std::uint64_t seed) override;

  std::string check(Client& client) override {
    std::int64_t sum = 0;
    std::uint64_t count = 0;
    auto add = [&](std::string_view, std::string_view value) {
      sum += Record::balance_of(value);
      ++count;
    };
    if (!read_all(client, "checking", "savings;", add)) return "the check could not read the bank";
    if (count != 2 * customers_) return "accounts are missing";
    if (sum != total_) {
      return "the bank holds " + std::to_string(sum) + " instead of " +
             std::to_string(total_.load());
    }
    return {};
  }

  std::uint64_t customers() const { return customers_; }
  void add_to_total(std::int64_t amount) { total_ += amount; }

 private:
  std::uint64_t customers_;
  std::size_t value_bytes_;
  std::atomic<std::int64_t> total_;
};

class SmallBank : public Task {
 public:
  SmallBank(Bank& bank, const Parameters& work, std::uint64_t seed)
      : bank_(bank),
        random_(seed),
        hot_(std::min(work.hot == 0 ? 100 : work.hot, bank.customers())) {}
  ~SmallBank() override { bank_.add_to_total(added_); }

  bool draw() override {
    kind_ = static_cast<Kind>(random_.below(5));
    const std::uint64_t range = random_.chance(0.9) ? hot_ : bank_.customers();
    first_ = random_.below(range);
    second_ = (first_ + 1 + random_.below(range - 1)) % range;
    amount_ = 1 + static_cast<std::int64_t>(random_.below(100));
    return kind_ != Kind::balance;
  }

  Reason attempt(Client& client) override {
    adding_ = 0;
    std::uint64_t id = 0;
    if (const Reason failed = look_up(client, first_, id); failed != Reason::none) return failed;
    switch (kind_) {
      case Kind::balance: {
        std::int64_t sum = 0;
        const Reason failed = read(client, savings_key(id), sum);
        return failed != Reason::none ? failed : read(client, checking_key(id), sum);
      }
      case Kind::deposit_checking:
        return change(client, checking_key(id), amount_);
      case Kind::transact_savings:
        return change(client, savings_key(id), deposits_ ? amount_ : -amount_);
      case Kind::amalgamate:
        return amalgamate(client, id);
      case Kind::write_check:
        return write_check(client, id);
    }
    return Reason::none;
  }

  void committed() override {
    added_ += adding_;
    deposits_ = !deposits_;
  }

 private:
  enum class Kind : std::uint8_t {
    balance,
    deposit_checking,
    transact_savings,
    amalgamate,
    write_check
  };

  static Reason look_up(Client& client, std::uint64_t customer, std::uint64_t& id) {
    std::int64_t found = 0;
    const Reason failed = read(client, name_key(customer), found);
    id = static_cast<std::uint64_t>(found);
    return failed;
  }
  static Reason read(Client& client, const Key& key, std::int64_t& sum) {
    const Read read = client.get(key.view());
    if (read.failed != Reason::none) return read.failed;
    if (!read.value) throw CannotRun("an account is gone");
    sum += Record::balance_of(*read.value);
    return Reason::none;
  }
  // Adds `amount`, or with `all` takes everything; `taken` is what the balance lost.
  Reason change(Client& client, const Key& key, std::int64_t amount, bool all = false,
                std::int64_t* taken = nullptr) {
    const Read read = client.get_for_update(key.view());
    if (read.failed != Reason::none) return read.failed;
    if (!read.value) throw CannotRun("an account is gone");
    Record record(*read.value);
    const std::int64_t before = record.balance();
    const std::int64_t after = all ? 0 : before + amount;
    if (taken != nullptr) *taken += before - after;
    record.set(after);
    adding_ += after - before;
    return client.put(key.view(), record.view());
  }
  // All that the first customer has goes to the second one's checking account.
  Reason amalgamate(Client& client, std::uint64_t id) {
    std::uint64_t other = 0;
    if (const Reason failed = look_up(client, second_, other); failed != Reason::none) {
      return failed;
    }
    std::int64_t moved = 0;
    Reason failed = change(client, savings_key(id), 0, true, &moved);
    if (failed == Reason::none) failed = change(client, checking_key(id), 0, true, &moved);
    if (failed == Reason::none) failed = change(client, checking_key(other), moved);
    return failed;
  }
  // Looks at both accounts, and takes a penalty of 1 if they don't cover the check.
  Reason write_check(Client& client, std::uint64_t id) {
    std::int64_t sum = 0;
    Reason failed = read(client, savings_key(id), sum);
    if (failed == Reason::none) failed = read(client, checking_key(id), sum);
    if (failed != Reason::none) return failed;
    return change(client, checking_key(id), sum < amount_ ? -amount_ - 1 : -amount_);
  }

  Bank& bank_;
  Random random_;
  std::uint64_t hot_;
  Kind kind_ = Kind::balance;
  std::uint64_t first_ = 0;
  std::uint64_t second_ = 0;
  std::int64_t amount_ = 0;
  bool deposits_ = false;
  std::int64_t adding_ = 0;
  std::int64_t added_ = 0;
};

std::unique_ptr<Task> Bank::task(const Parameters& work, unsigned, std::uint64_t seed) {
  return std::make_unique<SmallBank>(*this, work, seed);
}

}  // namespace

std::unique_ptr<Dataset> make_bank(const Parameters& work) { return std::make_unique<Bank>(work); }

}  // namespace isolde::bench
