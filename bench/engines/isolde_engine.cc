#include "bench/engines/isolde_engine.h"

#include <chrono>
#include <thread>

namespace isolde::bench {
namespace {

constexpr std::string_view keyspace_name = "accounts";

Reason reason_of(const Error& error) {
  switch (error.code()) {
    case ErrorCode::write_conflict:
      return Reason::write_conflict;
    case ErrorCode::serialization_failure:
      return Reason::serialization_failure;
    case ErrorCode::deadlock:
      return Reason::deadlock;
    case ErrorCode::lock_timeout:
      return Reason::lock_timeout;
    case ErrorCode::snapshot_too_old:
      return Reason::snapshot_too_old;
    default:
      refuse(error);
  }
}

template <typename T>
Reason reason_of(const Result<T>& result) {
  return result ? Reason::none : reason_of(result.error());
}

TransactionOptions options_of(std::string_view mode) {
  TransactionOptions options;
  const auto dash = mode.find('-');
  const auto level = isolation_from_name(mode.substr(0, dash));
  if (!level || dash == std::string_view::npos) throw CannotRun("isolde: no such mode");
  options.isolation = *level;
  if (mode.substr(dash + 1) == "pess") options.locking = Locking::pessimistic;
  return options;
}

class IsoldeClient : public Client {
 public:
  IsoldeClient(Database& database, Keyspace keyspace, std::string_view mode)
      : database_(database), keyspace_(std::move(keyspace)), options_(options_of(mode)) {
    // Above read committed an optimistic commit validates plain reads of what it writes anyway.
    locks_reads_ =
        options_.locking == Locking::pessimistic || options_.isolation <= Isolation::read_committed;
    skips_locked_ =
        options_.locking == Locking::pessimistic && options_.isolation != Isolation::serializable;
  }

  void begin(bool) override { txn_.emplace(must(database_.begin(options_))); }

  Read get(std::string_view key) override { return read_of(txn_->get(keyspace_, key)); }

  Read get_for_update(std::string_view key) override {
    return read_of(locks_reads_ ? txn_->get_for_update(keyspace_, key) : txn_->get(keyspace_, key));
  }

  Reason put(std::string_view key, std::string_view value) override {
    return reason_of(txn_->put(keyspace_, key, value));
  }

  Reason erase(std::string_view key) override { return reason_of(txn_->erase(keyspace_, key)); }

  Reason scan(std::string_view from, std::string_view to, std::size_t limit,
              const Visit& visit) override {
    ScanOptions options;
    options.limit = limit;
    return reason_of(txn_->scan(keyspace_, KeyRange::between(from, to), options, visit));
  }

  Reason claim(std::string_view from, std::string_view to, std::uint64_t hint,
               std::string& key) override {
    if (!skips_locked_) return Client::claim(from, to, hint, key);
    key.clear();
    ScanOptions options;
    options.limit = 1;
    options.mode = ReadMode::for_update;
    options.lock_wait = LockWait::skip_locked;
    const auto note = [&](std::string_view found, std::string_view) { key = found; };
    return reason_of(txn_->scan(keyspace_, KeyRange::between(from, to), options, note));
  }

  Reason commit() override {
    const Reason reason = reason_of(txn_->commit());
    if (reason == Reason::none) txn_.reset();
    return reason;
  }

  void rollback() noexcept override { txn_.reset(); }

 private:
  static Read read_of(const Result<std::optional<std::string_view>>& result) {
    if (!result) return {reason_of(result.error()), {}};
    return {Reason::none, *result};
  }

  Database& database_;
  Keyspace keyspace_;
  TransactionOptions options_;
  bool locks_reads_ = false;
  bool skips_locked_ = false;
  std::optional<Transaction> txn_;
};

class OpenedIsolde : public IsoldeEngine {
 public:
  explicit OpenedIsolde(const EngineOptions& options)
      : database_(must(Database::open(options.directory, database_options(options)))),
        keyspace_(KeyspaceId{}, keyspace_name) {}

  std::string configuration() const override {
    const Options& options = database_.options();
    std::string text =
        options.durability.kind == Durability::Kind::sync ? "Durability::sync" : "Durability::none";
    if (options.checkpoint_log_bytes == Options{}.checkpoint_log_bytes) {
      text += ", otherwise the defaults (checkpoints at 64 MiB of log)";
    } else {
      text += ", checkpoints never due";
    }
    return text;
  }

  void load(const EntrySource& source) override {
    std::string key;
    std::string value;
    must(database_.bulk_load(keyspace_name, [&]() -> Result<std::optional<Entry>> {
      if (!source(key, value)) return std::optional<Entry>();
      return std::optional<Entry>(Entry{key, value});
    }));
    keyspace_ = must(database_.find_keyspace(keyspace_name));
  }

  std::unique_ptr<Client> client(std::string_view mode) override {
    return std::make_unique<IsoldeClient>(database_, keyspace_, mode);
  }

  void settle() override {
    // Checkpoints begin when the log is full enough; one that began has ended when it is not.
    while (database_.stats().log_live_bytes >= database_.options().checkpoint_log_bytes) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  void checkpoint() override { must(database_.checkpoint()); }

  EngineCounters counters() const override {
    const Stats stats = database_.stats();
    return {stats.lock_wait.count, stats.checkpoints, stats.version_bytes, stats.old_version_bytes};
  }

  Database& database() override { return database_; }
  const Keyspace& keyspace() const override { return keyspace_; }

 private:
  static Options database_options(const EngineOptions& options) {
    Options result;
    if (options.synced == Synced::no) result.durability = Durability::none();
    if (!options.checkpoints) result.checkpoint_log_bytes = std::size_t{16} << 30;
    return result;
  }

  Database database_;
  Keyspace keyspace_;
};

}  // namespace

void refuse(const Error& error) { throw CannotRun("isolde: " + error.to_string()); }

std::unique_ptr<IsoldeEngine> open_isolde(const EngineOptions& options) {
  return std::make_unique<OpenedIsolde>(options);
}

}  // namespace isolde::bench
