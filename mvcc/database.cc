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

RetryLoop::RetryLoop(mvcc::DatabaseCore& core, const TransactionOptions& options)
    : core_(core),
      policy_(options.retry),
      label_(options.label),
      start_(std::chrono::steady_clock::now()) {}

// Exponential backoff with full jitter.
bool RetryLoop::again(const Error& error) {
  ++attempt_;
  const bool in_time = std::chrono::steady_clock::now() - start_ < policy_.max_time;
  const bool retrying = is_retryable(error.code()) && attempt_ < policy_.max_attempts && in_time;
  std::chrono::microseconds delay{0};
  if (retrying) {
    thread_local std::minstd_rand random{std::random_device{}()};
    const std::uint32_t doublings = std::min<std::uint32_t>(attempt_ - 1, 30);
    const auto ceiling = std::min<std::int64_t>(
        policy_.max_delay.count(), policy_.base_delay.count() * (std::int64_t{1} << doublings));
    delay = std::chrono::microseconds(
        std::uniform_int_distribution<std::int64_t>(0, std::max<std::int64_t>(ceiling, 0))(random));
    core_.note_retry();
  }
  if (core_.is_observed()) {
    core_.notify([&](Observer& observer) {
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
  return guarded("creating a keyspace", [&] { return core_->create_keyspace(name); });
}
Result<Keyspace> Database::find_keyspace(std::string_view name) const {
  return core_->find_keyspace(name);
}
std::vector<Keyspace> Database::keyspaces() const { return core_->keyspaces().list(); }
Result<void> Database::drop_keyspace(std::string_view name, std::chrono::milliseconds patience) {
  return guarded("dropping a keyspace", [&] { return core_->drop_keyspace(name, patience); });
}

Result<Transaction> Database::begin(const TransactionOptions& options) {
  return guarded("beginning a transaction", [&]() -> Result<Transaction> {
    auto core = core_->begin(options);
    if (!core) return core.error();
    return Transaction(*core);
  });
}

Result<std::uint64_t> Database::bulk_load(std::string_view name, const EntrySource& source) {
  return guarded("loading", [&] { return core_->bulk_load(name, source); });
}
Result<void> Database::checkpoint() {
  return guarded("running a checkpoint", [&]() -> Result<void> {
    if (core_->is_inherited()) return core_->inherited();
    if (core_->options().read_only) return mvcc::read_only_refused(true);
    auto outcome = core_->checkpointer().run();
    core_->background().wake_reclaimer();
    return outcome;
  });
}
void Database::reclaim() {
  if (!core_->is_inherited() && !core_->options().read_only) core_->reclaimer().run();
}
Result<void> Database::backup(const std::filesystem::path& directory) {
  return guarded("backing up", [&] { return core_->backup(directory); });
}
Result<VerifyReport> Database::verify() {
  return guarded("verifying", [&] { return core_->verify(); });
}
Stats Database::stats() const { return core_->stats(); }
LockState Database::locks() const { return core_->locks().state(); }
std::vector<DeadlockReport> Database::deadlocks() const { return core_->locks().deadlocks(); }
bool Database::cancel(TransactionId id) { return core_->cancel(id); }

Result<std::vector<VersionInfo>> Database::versions(const Keyspace& keyspace,
                                                    std::string_view key) const {
  return guarded("reading versions", [&]() -> Result<std::vector<VersionInfo>> {
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
void Database::fail_next_sync() noexcept { core_->log().fail_next_sync(); }

void Database::add_observer(std::shared_ptr<Observer> observer) {
  core_->add_observer(std::move(observer));
}
void Database::remove_observer(const std::shared_ptr<Observer>& observer) {
  core_->remove_observer(observer);
}

const std::filesystem::path& Database::directory() const noexcept { return core_->directory(); }
const Options& Database::options() const noexcept { return core_->options(); }

}  // namespace isolde
