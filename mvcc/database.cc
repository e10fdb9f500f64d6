// The public Database: its core, and the loop of transact().
#include "isolde/database.h"

#include <algorithm>
#include <new>
#include <random>
#include <thread>
#include <utility>

#include "engine/files/file.h"
#include "mvcc/database_core.h"
#include "mvcc/transaction_core.h"
#include "mvcc/transaction_errors.h"

namespace isolde {
namespace {

template <typename Work>
auto guarded(std::string_view doing, Work&& work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return mvcc::out_of_memory(doing);
  }
}

}  // namespace

RetryLoop::RetryLoop(mvcc::DatabaseCore* core, const TransactionOptions& options)
    : core_(core),
      policy_(options.retry),
      label_(options.label),
      start_(std::chrono::steady_clock::now()) {}

namespace {

// From 0 to min(most, base * 2^doublings), whatever these are.
std::chrono::microseconds draw_delay(const RetryPolicy& policy, std::uint32_t doublings) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const std::int64_t base = std::max<std::int64_t>(policy.base_delay.count(), 0);
  const std::int64_t most = std::max<std::int64_t>(policy.max_delay.count(), 0);
  const std::uint32_t shift = std::min<std::uint32_t>(doublings, 30);
  const std::int64_t ceiling = base > (most >> shift) ? most : base << shift;
  return std::chrono::microseconds(std::uniform_int_distribution<std::int64_t>(0, ceiling)(random));
}

}  // namespace

// Exponential backoff with full jitter.
bool RetryLoop::again(const Error& error) {
  ++attempt_;
  // In the coarser unit: the longest time in the finer one would overflow.
  const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start_);
  bool retrying = is_retryable(error) && !settled_ && attempt_ < policy_.max_attempts &&
                  passed < policy_.max_time;
  std::chrono::microseconds delay{0};
  if (retrying) {
    delay = draw_delay(policy_, attempt_ - 1);
    // Nor after a delay does an attempt start too late; there is no use in waiting for that.
    retrying =
        std::chrono::duration_cast<std::chrono::milliseconds>(delay) < policy_.max_time - passed;
  }
  if (retrying) {
    core_->note_retry();
  } else {
    delay = std::chrono::microseconds(0);
  }
  if (core_ != nullptr && core_->is_observed()) {
    core_->notify([&](Observer& observer) {
      observer.on_attempt({label_, attempt_, error, retrying, delay});
    });
  }
  if (retrying && delay.count() > 0) std::this_thread::sleep_for(delay);
  return retrying;
}

Database::Database(std::unique_ptr<mvcc::DatabaseCore> core) noexcept : core_(std::move(core)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&& other) noexcept {
  if (this != &other) {
    forget_if_inherited();
    core_ = std::move(other.core_);
  }
  return *this;
}
Database::~Database() { forget_if_inherited(); }

void Database::forget_if_inherited() noexcept {
  if (core_ && core_->is_inherited()) static_cast<void>(core_.release());
}

template <typename Work>
auto Database::asked(std::string_view doing, Work&& work) const -> decltype(work()) {
  if (!core_) return mvcc::database_closed();
  return guarded(doing, std::forward<Work>(work));
}

Result<Database> Database::open(const std::filesystem::path& directory, const Options& options) {
  return DatabaseInternals::open(directory, options, engine::posix_file_system());
}

Result<Database> DatabaseInternals::open(const std::filesystem::path& directory,
                                         const Options& options, engine::FileSystem& files) {
  return guarded("opening the database", [&]() -> Result<Database> {
    auto core = mvcc::DatabaseCore::open(directory, options, files);
    if (!core) return core.error();
    return Database(std::move(*core));
  });
}

mvcc::DatabaseCore& DatabaseInternals::core(Database& database) noexcept { return *database.core_; }

void DatabaseInternals::abandon(Database database) noexcept { database.core_->abandon(); }

Result<void> Database::close() {
  if (!core_) return {};
  if (core_->is_inherited()) {
    const Error error = core_->inherited();
    forget_if_inherited();
    return error;
  }
  auto outcome = core_->close();
  core_.reset();
  return outcome;
}

Result<Keyspace> Database::keyspace(std::string_view name) {
  return asked("creating a keyspace", [&] { return core_->create_keyspace(name); });
}
Result<Keyspace> Database::find_keyspace(std::string_view name) const {
  return asked("finding a keyspace", [&] { return core_->find_keyspace(name); });
}
std::vector<Keyspace> Database::keyspaces() const {
  return core_ ? core_->keyspaces().list() : std::vector<Keyspace>();
}
Result<void> Database::drop_keyspace(std::string_view name, std::chrono::milliseconds patience) {
  return asked("dropping a keyspace", [&] { return core_->drop_keyspace(name, patience); });
}

Result<Transaction> Database::begin(const TransactionOptions& options) {
  return asked("beginning a transaction", [&]() -> Result<Transaction> {
    auto core = core_->begin(options);
    if (!core) return core.error();
    return Transaction(*core);
  });
}

Result<std::uint64_t> Database::bulk_load(std::string_view name, const EntrySource& source) {
  return asked("loading", [&] { return core_->bulk_load(name, source); });
}
Result<void> Database::checkpoint() {
  return asked("running a checkpoint", [&]() -> Result<void> {
    if (core_->is_inherited()) return core_->inherited();
    if (core_->options().read_only) return mvcc::read_only_refused(true);
    auto outcome = core_->checkpointer().run();
    core_->background().wake_reclaimer();
    return outcome;
  });
}
void Database::reclaim() {
  if (core_ && !core_->is_inherited() && !core_->options().read_only) core_->reclaimer().run();
}
Result<void> Database::backup(const std::filesystem::path& directory) {
  return asked("backing up", [&] { return core_->backup(directory); });
}
Result<VerifyReport> Database::verify() {
  return asked("verifying", [&] { return core_->verify(); });
}
Stats Database::stats() const { return core_ ? core_->stats() : Stats(); }
LockState Database::locks() const { return core_ ? core_->locks().state() : LockState(); }
std::vector<DeadlockReport> Database::deadlocks() const {
  return core_ ? core_->locks().deadlocks() : std::vector<DeadlockReport>();
}
bool Database::cancel(TransactionId id) { return core_ && core_->cancel(id); }

Result<std::vector<VersionInfo>> Database::versions(const Keyspace& keyspace,
                                                    std::string_view key) const {
  return asked("reading versions", [&]() -> Result<std::vector<VersionInfo>> {
    auto core = core_->begin({.isolation = Isolation::read_committed, .read_only = true});
    if (!core) return core.error();
    const Transaction own(*core);
    return (*core)->versions(keyspace, key);
  });
}
void Database::abandon() noexcept {
  if (!core_ || core_->is_inherited()) return;
  core_->abandon();
  core_.reset();
}
void Database::fail_next_sync() noexcept {
  if (core_) core_->log().fail_next_sync();
}

void Database::add_observer(std::shared_ptr<Observer> observer) {
  if (core_) core_->add_observer(std::move(observer));
}
void Database::remove_observer(const std::shared_ptr<Observer>& observer) {
  if (core_) core_->remove_observer(observer);
}

const std::filesystem::path& Database::directory() const noexcept {
  static const std::filesystem::path nowhere;
  return core_ ? core_->directory() : nowhere;
}
const Options& Database::options() const noexcept {
  static const Options none;
  return core_ ? core_->options() : none;
}

}  // namespace isolde
