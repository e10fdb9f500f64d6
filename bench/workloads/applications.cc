// Three classics of production: a job queue, a rate limiter, doctors on call.
#include <algorithm>
#include <atomic>
#include <chrono>

#include "bench/workloads/datasets.h"
#include "bench/workloads/draw.h"
#include "bench/workloads/record.h"

namespace isolde::bench {
namespace {

// Jobs wait under their numbers. Half of the transactions add one, half take one and remove it.
class Queue : public Dataset {
 public:
  explicit Queue(const Parameters& work)
      : jobs_(work.keys), value_bytes_(work.value_bytes), next_(work.keys), waiting_(work.keys) {
    sum_ = jobs_ * (jobs_ - 1) / 2;
  }

  EntrySource source() override {
    return [this, number = std::uint64_t{0}](std::string& key, std::string& value) mutable {
      if (number == jobs_) return false;
      value = Record(value_bytes_, static_cast<std::int64_t>(number)).view();
      key = Key("job", number++).view();
      return true;
    };
  }
  std::size_t data_bytes() const override { return jobs_ * (16 + value_bytes_); }
  std::unique_ptr<Task> task(const Parameters& work, unsigned client, std::uint64_t seed) override;

  std::string check(Client& client) override {
    std::uint64_t count = 0;
    std::uint64_t sum = 0;
    auto add = [&](std::string_view key, std::string_view) {
      ++count;
      sum += Key::number_of(key);
    };
    if (!read_all(client, "job", "joc", add)) return "the check could not read the queue";
    if (count != waiting_ || sum != sum_) {
      return std::to_string(count) + " jobs wait instead of " + std::to_string(waiting_) +
             ", or others: one was taken twice or lost";
    }
    return {};
  }

  std::size_t value_bytes() const { return value_bytes_; }
  std::uint64_t take_number() { return next_++; }
  void added(std::uint64_t job) {
    ++waiting_;
    sum_ += job;
  }
  void taken(std::uint64_t job) {
    --waiting_;
    sum_ -= job;
  }

 private:
  std::uint64_t jobs_;
  std::size_t value_bytes_;
  std::atomic<std::uint64_t> next_;
  std::atomic<std::uint64_t> waiting_;
  std::atomic<std::uint64_t> sum_{0};  // of the waiting ones' numbers
};

class Worker : public Task {
 public:
  Worker(Queue& queue, std::uint64_t seed) : queue_(queue), random_(seed) {}

  bool draw() override {
    adds_ = random_.chance(0.5);
    if (adds_) job_ = queue_.take_number();
    hint_ = random_.next();
    return true;
  }

  Reason attempt(Client& client) override {
    if (adds_) {
      const Record record(queue_.value_bytes(), static_cast<std::int64_t>(job_));
      return client.put(Key("job", job_).view(), record.view());
    }
    const Reason failed = client.claim("job", "joc", hint_++, key_);
    if (failed != Reason::none || key_.empty()) return failed;
    return client.erase(key_);
  }

  void committed() override {
    if (adds_) {
      queue_.added(job_);
    } else if (!key_.empty()) {
      queue_.taken(Key::number_of(key_));
    }
  }

 private:
  Queue& queue_;
  Random random_;
  bool adds_ = false;
  std::uint64_t job_ = 0;
  std::uint64_t hint_ = 0;
  std::string key_;
};

std::unique_ptr<Task> Queue::task(const Parameters&, unsigned, std::uint64_t seed) {
  return std::make_unique<Worker>(*this, seed);
}

// A counter for each user: how many requests were admitted in this tenth of a second, and in all.
class Limiter : public Dataset {
 public:
  static constexpr std::int64_t limit = 100;  // in one window

  explicit Limiter(const Parameters& work) : users_(work.keys), value_bytes_(work.value_bytes) {}

  EntrySource source() override {
    return [this, user = std::uint64_t{0}](std::string& key, std::string& value) mutable {
      if (user == users_) return false;
      key = Key("limit", user++).view();
      value = Record(value_bytes_, 0).view();
      return true;
    };
  }
  std::size_t data_bytes() const override { return users_ * (16 + value_bytes_); }
  std::unique_ptr<Task> task(const Parameters& work, unsigned client, std::uint64_t seed) override;

  std::string check(Client& client) override {
    std::int64_t sum = 0;
    auto add = [&](std::string_view, std::string_view value) {
      sum += Record::balance_of(value) & total_mask;
    };
    if (!read_all(client, "limit", "limiu", add)) return "the check could not read the counters";
    if (sum == admitted_) return {};
    return "the counters hold " + std::to_string(sum) + " of " + std::to_string(admitted_.load()) +
           " admitted requests";
  }

  std::uint64_t users() const { return users_; }
  void admitted(std::int64_t requests) { admitted_ += requests; }

  // One number holds {window, admitted in it, admitted in all}.
  static constexpr std::int64_t total_mask = (std::int64_t{1} << 28) - 1;
  static constexpr unsigned used_shift = 28;
  static constexpr unsigned window_shift = 40;

 private:
  std::uint64_t users_;
  std::size_t value_bytes_;
  std::atomic<std::int64_t> admitted_{0};
};

class Request : public Task {
 public:
  Request(Limiter& limiter, const Parameters& work, std::uint64_t seed)
      : limiter_(limiter), random_(seed), chooser_(limiter.users(), work.theta) {}
  ~Request() override { limiter_.admitted(total_); }

  bool draw() override {
    user_ = chooser_.draw(random_);
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    window_ = std::chrono::duration_cast<std::chrono::milliseconds>(now).count() / 100 & 0x3fffff;
    return true;
  }

  Reason attempt(Client& client) override {
    const Key key("limit", user_);
    const Read read = client.get_for_update(key.view());
    if (read.failed != Reason::none) return read.failed;
    if (!read.value) throw CannotRun("a user is gone");
    Record record(*read.value);
    const std::int64_t state = record.balance();
    const std::int64_t used =
        state >> Limiter::window_shift == window_ ? state >> Limiter::used_shift & 0xfff : 0;
    admitted_ = used < Limiter::limit;
    if (!admitted_) return Reason::none;
    record.set(window_ << Limiter::window_shift | (used + 1) << Limiter::used_shift |
               ((state & Limiter::total_mask) + 1));
    return client.put(key.view(), record.view());
  }

  void committed() override { total_ += admitted_ ? 1 : 0; }

 private:
  Limiter& limiter_;
  Random random_;
  KeyChooser chooser_;
  std::uint64_t user_ = 0;
  std::int64_t window_ = 0;
  bool admitted_ = false;
  std::int64_t total_ = 0;
};

std::unique_ptr<Task> Limiter::task(const Parameters& work, unsigned, std::uint64_t seed) {
  return std::make_unique<Request>(*this, work, seed);
}

// Shifts of three doctors. A doctor on call may leave if another one stays; a doctor who is off
// comes back. A shift that is left empty is write skew.
class Shifts : public Dataset {
 public:
  static constexpr std::uint64_t doctors = 3;

  explicit Shifts(const Parameters& work)
      : shifts_(std::max<std::uint64_t>(1, work.keys / doctors)), value_bytes_(work.value_bytes) {}

  EntrySource source() override {
    return [this, number = std::uint64_t{0}](std::string& key, std::string& value) mutable {
      if (number == shifts_ * doctors) return false;
      key = Key("doctor", number++).view();
      value = Record(value_bytes_, 1).view();
      return true;
    };
  }
  std::size_t data_bytes() const override { return shifts_ * doctors * (16 + value_bytes_); }
  std::unique_ptr<Task> task(const Parameters& work, unsigned client, std::uint64_t seed) override;

  std::string check(Client& client) override {
    std::uint64_t count = 0;
    auto add = [&](std::string_view, std::string_view) { ++count; };
    if (!read_all(client, "doctor", "doctos", add)) return "the check could not read the shifts";
    return count == shifts_ * doctors ? std::string() : "doctors are missing";
  }

  // Calls a doctor to each shift that was left empty.
  void mend(Client& client) override {
    std::vector<std::uint64_t> on(shifts_);
    auto look = [&](std::string_view key, std::string_view value) {
      if (Record::balance_of(value) != 0) ++on.at(Key::number_of(key) / doctors);
    };
    client.begin(true);
    Reason failed = client.scan("doctor", "doctos", ~std::size_t{0}, look);
    for (std::uint64_t shift = 0; failed == Reason::none && shift < shifts_; ++shift) {
      if (on[shift] != 0) continue;
      failed = client.put(Key("doctor", shift * doctors).view(), Record(value_bytes_, 1).view());
    }
    if (failed != Reason::none || client.commit() != Reason::none) {
      client.rollback();
      throw CannotRun("the empty shifts could not be filled");
    }
  }

  std::uint64_t shifts() const { return shifts_; }

 private:
  std::uint64_t shifts_;
  std::size_t value_bytes_;
};

class Doctor : public Task {
 public:
  Doctor(Shifts& shifts, const Parameters& work, std::uint64_t seed)
      : random_(seed), chooser_(shifts.shifts(), work.theta) {}

  bool draw() override {
    shift_ = chooser_.draw(random_);
    self_ = random_.below(Shifts::doctors);
    return true;
  }

  Reason attempt(Client& client) override {
    std::uint64_t others = 0;
    for (std::uint64_t i = 0; i < Shifts::doctors; ++i) {
      if (i == self_) continue;
      const Read read = client.get(Key("doctor", shift_ * Shifts::doctors + i).view());
      if (read.failed != Reason::none) return read.failed;
      if (!read.value) throw CannotRun("a doctor is gone");
      others += Record::balance_of(*read.value) != 0 ? 1 : 0;
    }
    const Key mine("doctor", shift_ * Shifts::doctors + self_);
    const Read read = client.get_for_update(mine.view());
    if (read.failed != Reason::none) return read.failed;
    if (!read.value) throw CannotRun("a doctor is gone");
    Record record(*read.value);
    const bool on = record.balance() != 0;
    left_empty_ = !on && others == 0;
    if (on && others == 0) return Reason::none;
    record.set(on ? 0 : 1);
    return client.put(mine.view(), record.view());
  }

  void committed() override { anomalies_ += left_empty_ ? 1 : 0; }

 private:
  Random random_;
  KeyChooser chooser_;
  std::uint64_t shift_ = 0;
  std::uint64_t self_ = 0;
  bool left_empty_ = false;
};

std::unique_ptr<Task> Shifts::task(const Parameters& work, unsigned, std::uint64_t seed) {
  return std::make_unique<Doctor>(*this, work, seed);
}

}  // namespace

std::unique_ptr<Dataset> make_queue(const Parameters& work) {
  return std::make_unique<Queue>(work);
}
std::unique_ptr<Dataset> make_limiter(const Parameters& work) {
  return std::make_unique<Limiter>(work);
}
std::unique_ptr<Dataset> make_shifts(const Parameters& work) {
  return std::make_unique<Shifts>(work);
}

}  // namespace isolde::bench
