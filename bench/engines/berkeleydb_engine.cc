// Berkeley DB's Transactional Data Store: a B-tree with page locks, or with DB_MULTIVERSION and
// snapshot transactions; deadlocks detected at each wait; checkpoints after 64 MB of log.
#include <db.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "bench/engines/other_engines.h"

namespace isolde::bench {
namespace {

void check(int code, const char* doing) {
  if (code != 0) throw CannotRun(std::string("berkeleydb: ") + doing + ": " + db_strerror(code));
}
Reason reason_of(int code, const char* doing) {
  if (code == DB_LOCK_DEADLOCK) return Reason::deadlock;
  if (code == DB_LOCK_NOTGRANTED) return Reason::lock_timeout;
  check(code, doing);
  return Reason::none;
}

DBT input(std::string_view bytes) {
  DBT dbt{};
  dbt.data = const_cast<char*>(bytes.data());
  dbt.size = static_cast<u_int32_t>(bytes.size());
  return dbt;
}

// Where a value or key is copied to.
class Buffer {
 public:
  DBT* target() {
    dbt_ = DBT{};
    dbt_.flags = DB_DBT_USERMEM;
    dbt_.data = bytes_.data();
    dbt_.ulen = static_cast<u_int32_t>(bytes_.size());
    return &dbt_;
  }
  // After DB_BUFFER_SMALL.
  void grow() { bytes_.resize(std::max<std::size_t>(dbt_.size, 2 * bytes_.size())); }
  void set(std::string_view bytes) {
    if (bytes_.size() < bytes.size()) bytes_.resize(bytes.size());
    target();
    std::memcpy(bytes_.data(), bytes.data(), bytes.size());
    dbt_.size = static_cast<u_int32_t>(bytes.size());
  }
  DBT* dbt() { return &dbt_; }
  std::string_view view() const { return {static_cast<const char*>(dbt_.data), dbt_.size}; }

 private:
  std::string bytes_ = std::string(4096, '\0');
  DBT dbt_{};
};

class BerkeleyClient : public Client {
 public:
  BerkeleyClient(DB_ENV* env, DB* db, bool snapshot, Synced synced)
      : env_(env), db_(db), snapshot_(snapshot), synced_(synced) {}
  ~BerkeleyClient() override { rollback(); }

  void begin(bool) override {
    u_int32_t flags = synced_ == Synced::yes ? DB_TXN_SYNC : DB_TXN_WRITE_NOSYNC;
    if (snapshot_) flags |= DB_TXN_SNAPSHOT;
    check(env_->txn_begin(env_, nullptr, &txn_, flags), "begin");
  }

  Read get(std::string_view key) override { return read(key, 0); }
  Read get_for_update(std::string_view key) override { return read(key, DB_RMW); }

  Reason put(std::string_view key, std::string_view value) override {
    DBT key_dbt = input(key);
    DBT value_dbt = input(value);
    return reason_of(db_->put(db_, txn_, &key_dbt, &value_dbt, 0), "put");
  }

  Reason erase(std::string_view key) override {
    DBT key_dbt = input(key);
    const int code = db_->del(db_, txn_, &key_dbt, 0);
    return code == DB_NOTFOUND ? Reason::none : reason_of(code, "delete");
  }

  Reason scan(std::string_view from, std::string_view to, std::size_t limit,
              const Visit& visit) override {
    DBC* cursor = nullptr;
    check(db_->cursor(db_, txn_, &cursor, 0), "cursor");
    key_.set(from);
    u_int32_t flag = DB_SET_RANGE;
    int code = 0;
    while (limit > 0) {
      code = cursor->get(cursor, key_.dbt(), value_.target(), flag);
      if (code == DB_BUFFER_SMALL) {
        value_.grow();
        continue;
      }
      if (code != 0 || key_.view() >= to) break;
      visit(key_.view(), value_.view());
      flag = DB_NEXT;
      --limit;
    }
    cursor->close(cursor);
    return code == DB_NOTFOUND ? Reason::none : reason_of(code, "scan");
  }

  Reason commit() override {
    DB_TXN* const txn = txn_;
    txn_ = nullptr;  // gone, whether it succeeds or not
    return reason_of(txn->commit(txn, 0), "commit");
  }

  void rollback() noexcept override {
    if (txn_ != nullptr) txn_->abort(txn_);
    txn_ = nullptr;
  }

 private:
  Read read(std::string_view key, u_int32_t flags) {
    DBT key_dbt = input(key);
    int code = db_->get(db_, txn_, &key_dbt, value_.target(), flags);
    while (code == DB_BUFFER_SMALL) {
      value_.grow();
      code = db_->get(db_, txn_, &key_dbt, value_.target(), flags);
    }
    if (code == DB_NOTFOUND) return {};
    if (const Reason failed = reason_of(code, "get"); failed != Reason::none) return {failed, {}};
    return {Reason::none, value_.view()};
  }

  DB_ENV* env_;
  DB* db_;
  bool snapshot_;
  Synced synced_;
  DB_TXN* txn_ = nullptr;
  Buffer key_;
  Buffer value_;
};

class BerkeleyEngine : public Engine {
 public:
  explicit BerkeleyEngine(const EngineOptions& options) : options_(options) {
    check(db_env_create(&env_, 0), "create");
    const std::size_t cache = options.cache_bytes();
    check(env_->set_cachesize(env_, static_cast<u_int32_t>(cache >> 30),
                              static_cast<u_int32_t>(cache & ((std::size_t{1} << 30) - 1)), 1),
          "cache size");
    // After a panic its threads may wait for each other for good.
    check(env_->set_event_notify(env_,
                                 [](DB_ENV*, u_int32_t event, void*) {
                                   if (event == DB_EVENT_PANIC) std::_Exit(1);
                                 }),
          "event handler");
    check(env_->set_lk_detect(env_, DB_LOCK_YOUNGEST), "deadlock detection");
    for (const auto set :
         {env_->set_lk_max_locks, env_->set_lk_max_lockers, env_->set_lk_max_objects}) {
      check(set(env_, 200'000), "locks");
    }
    check(env_->set_tx_max(env_, 10'000), "transactions");
    check(env_->set_lg_bsize(env_, 8 << 20), "log buffer");
    check(env_->set_lg_max(env_, 64 << 20), "log file");
    check(env_->log_set_config(env_, DB_LOG_AUTO_REMOVE, 1), "log removal");
    const u_int32_t parts = DB_INIT_MPOOL | DB_INIT_TXN | DB_INIT_LOCK | DB_INIT_LOG | DB_CREATE |
                            DB_THREAD | DB_PRIVATE;
    check(env_->open(env_, options.directory.c_str(), parts, 0644), "open");
    check(db_create(&db_, env_, 0), "create");
    // Against contention on pages that come and go, as in a queue.
    check(db_->set_flags(db_, DB_REVSPLITOFF), "flags");
    check(db_->open(db_, nullptr, "data.db", nullptr, DB_BTREE,
                    DB_CREATE | DB_AUTO_COMMIT | DB_THREAD | DB_MULTIVERSION, 0644),
          "open");
    checkpointer_ = std::thread([this] {
      while (!stop_) {
        env_->txn_checkpoint(env_, 64 << 10, 0, 0);  // if 64 MB of log were written since
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      }
    });
  }
  ~BerkeleyEngine() override {
    stop_ = true;
    checkpointer_.join();
    db_->close(db_, 0);
    env_->close(env_, 0);
  }

  std::string configuration() const override {
    return "B-tree, DB_MULTIVERSION, DB_REVSPLITOFF, cache " +
           std::to_string(options_.cache_bytes() >> 20) +
           " MiB, log buffer 8 MiB, deadlocks found at each wait (youngest), checkpoints at 64 MiB "
           "of log, " +
           (options_.synced == Synced::yes ? "DB_TXN_SYNC" : "DB_TXN_WRITE_NOSYNC");
  }

  void load(const EntrySource& source) override {
    std::string key;
    std::string value;
    bool more = true;
    while (more) {
      DB_TXN* txn = nullptr;
      check(env_->txn_begin(env_, nullptr, &txn, DB_TXN_WRITE_NOSYNC), "begin");
      for (int i = 0; i < 1000 && (more = source(key, value)); ++i) {
        DBT key_dbt = input(key);
        DBT value_dbt = input(value);
        check(db_->put(db_, txn, &key_dbt, &value_dbt, 0), "load");
      }
      check(txn->commit(txn, 0), "commit");
    }
    check(env_->txn_checkpoint(env_, 0, 0, DB_FORCE), "checkpoint");
  }

  std::unique_ptr<Client> client(std::string_view mode) override {
    return std::make_unique<BerkeleyClient>(env_, db_, mode == "snapshot", options_.synced);
  }

  EngineCounters counters() const override {
    DB_LOCK_STAT* stat = nullptr;
    if (env_->lock_stat(env_, &stat, 0) != 0) return {};
    const std::uint64_t waits = stat->st_lock_wait;
    std::free(stat);
    return {waits, {}, {}, {}};
  }

 private:
  EngineOptions options_;
  DB_ENV* env_ = nullptr;
  DB* db_ = nullptr;
  std::atomic<bool> stop_{false};
  std::thread checkpointer_;
};

}  // namespace

std::unique_ptr<Engine> open_berkeleydb(const EngineOptions& options) {
  return std::make_unique<BerkeleyEngine>(options);
}

std::string berkeleydb_version() {
  int major = 0;
  int minor = 0;
  int patch = 0;
  db_version(&major, &minor, &patch);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

}  // namespace isolde::bench
