// YCSB's core workloads A to F (Cooper et al. 2010): one operation a transaction.
#include <algorithm>
#include <atomic>
#include <cstdio>

#include "bench/workloads/datasets.h"
#include "bench/workloads/draw.h"
#include "bench/workloads/record.h"

namespace isolde::bench {
namespace {

// As YCSB names record `number` with insertorder=hashed.
std::string key_of(std::uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "user%020llu", static_cast<unsigned long long>(fnv64(number)));
  return text;
}

class UserTable : public Dataset {
 public:
  explicit UserTable(const Parameters& work)
      : keys_(work.keys), value_bytes_(work.value_bytes), next_(work.keys), rows_(work.keys) {}

  EntrySource source() override {
    std::vector<std::string> names;
    names.reserve(keys_);
    for (std::uint64_t number = 0; number < keys_; ++number) names.push_back(key_of(number));
    std::sort(names.begin(), names.end());
    return [this, names = std::move(names), at = std::size_t{0}](std::string& key,
                                                                 std::string& value) mutable {
      if (at == names.size()) return false;
      key = names[at++];
      value = Record(value_bytes_, 0).view();
      return true;
    };
  }
  std::size_t data_bytes() const override { return keys_ * (24 + value_bytes_); }
  std::unique_ptr<Task> task(const Parameters& work, unsigned client, std::uint64_t seed) override;

  std::string check(Client& client) override {
    std::uint64_t count = 0;
    std::uint64_t torn = 0;
    std::uint64_t changed = 0;
    auto look = [&](std::string_view, std::string_view value) {
      ++count;
      const std::int64_t version = Record::balance_of(value);
      if (version != 0) ++changed;
      if (Record(value_bytes_, version).view() != value) ++torn;
    };
    if (!read_all(client, "user", "uses", look)) return "the check could not read the table";
    if (count != rows_) return std::to_string(count) + " rows instead of " + std::to_string(rows_);
    if (torn != 0) return std::to_string(torn) + " values are not what was written";
    if (changed > writes_ || (writes_ != 0 && changed == 0)) {
      return std::to_string(changed) + " rows changed by " + std::to_string(writes_) + " writes";
    }
    return {};
  }

  std::uint64_t keys() const { return keys_; }
  std::size_t value_bytes() const { return value_bytes_; }
  std::uint64_t newest() const { return rows_.load(std::memory_order_relaxed); }
  std::uint64_t take_number() { return next_++; }
  void inserted() { ++rows_; }
  void wrote(std::uint64_t count) { writes_ += count; }

 private:
  std::uint64_t keys_;
  std::size_t value_bytes_;
  std::atomic<std::uint64_t> next_;  // the number of the next insert
  std::atomic<std::uint64_t> rows_;  // that are committed
  std::atomic<std::uint64_t> writes_{0};
};

struct Shares {
  double read, update, insert, scan;  // the rest reads, changes and writes
};

Shares shares_of(char workload) {
  switch (workload) {
    case 'a':
      return {0.5, 0.5, 0, 0};
    case 'b':
      return {0.95, 0.05, 0, 0};
    case 'c':
      return {1, 0, 0, 0};
    case 'd':
      return {0.95, 0, 0.05, 0};
    case 'e':
      return {0, 0, 0.05, 0.95};
    default:
      return {0.5, 0, 0, 0};
  }
}

class Ycsb : public Task {
 public:
  Ycsb(UserTable& table, const Parameters& work, std::uint64_t seed)
      : table_(table),
        shares_(shares_of(work.workload.back())),
        latest_(work.workload.back() == 'd'),
        random_(seed),
        chooser_(KeyChooser::as_ycsb(table.keys(), work.theta)),
        recency_(table.keys(), work.theta > 0 ? work.theta : 0.5) {}
  ~Ycsb() override { table_.wrote(writes_); }

  bool draw() override {
    double at = random_.real();
    const auto falls = [&at](double share) {
      at -= share;
      return at < 0;
    };
    if (falls(shares_.read)) {
      kind_ = Kind::read;
    } else if (falls(shares_.update)) {
      kind_ = Kind::update;
    } else if (falls(shares_.insert)) {
      kind_ = Kind::insert;
    } else if (falls(shares_.scan)) {
      kind_ = Kind::scan;
    } else {
      kind_ = Kind::rmw;
    }
    key_ = kind_ == Kind::insert ? key_of(table_.take_number()) : key_of(draw_number());
    length_ = 1 + random_.below(100);
    stamp_ = static_cast<std::int64_t>(random_.next() >> 1 | 1);
    return kind_ != Kind::read && kind_ != Kind::scan;
  }

  Reason attempt(Client& client) override {
    switch (kind_) {
      case Kind::read: {
        const Read read = client.get(key_);
        if (read.value) seen_ = seen_ + touch(*read.value);
        return read.failed;
      }
      case Kind::update:
      case Kind::insert:
        return client.put(key_, Record(table_.value_bytes(), stamp_).view());
      case Kind::scan: {
        std::uint64_t sum = 0;
        auto add = [&](std::string_view key, std::string_view value) {
          sum += touch(key) + touch(value);
        };
        const Reason failed = client.scan(key_, "uses", length_, add);
        seen_ = seen_ + sum;
        return failed;
      }
      case Kind::rmw:
        break;
    }
    const Read read = client.get_for_update(key_);
    if (read.failed != Reason::none) return read.failed;
    if (!read.value) throw CannotRun("a row that was loaded is gone");
    Record record(*read.value);
    record.set(record.balance() | stamp_);
    return client.put(key_, record.view());
  }

  void committed() override {
    if (kind_ == Kind::insert) table_.inserted();
    if (kind_ != Kind::read && kind_ != Kind::scan) ++writes_;
  }

 private:
  enum class Kind : std::uint8_t { read, update, insert, scan, rmw };

  // D reads what was inserted last: Zipfian over age.
  std::uint64_t draw_number() {
    if (!latest_) return chooser_.draw(random_);
    const std::uint64_t newest = table_.newest();
    recency_.grow_to(newest);
    return newest - 1 - recency_.rank(random_) % newest;
  }

  UserTable& table_;
  Shares shares_;
  bool latest_;
  Random random_;
  KeyChooser chooser_;
  Zipfian recency_;
  Kind kind_ = Kind::read;
  std::string key_;
  std::size_t length_ = 0;
  std::int64_t stamp_ = 0;
  volatile std::uint64_t seen_ = 0;
  std::uint64_t writes_ = 0;
};

std::unique_ptr<Task> UserTable::task(const Parameters& work, unsigned, std::uint64_t seed) {
  return std::make_unique<Ycsb>(*this, work, seed);
}

}  // namespace

std::unique_ptr<Dataset> make_usertable(const Parameters& work) {
  return std::make_unique<UserTable>(work);
}

}  // namespace isolde::bench
