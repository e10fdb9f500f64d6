// LMDB without Isolde, used as its documentation says is fastest: the baseline.
#include <lmdb.h>

#include "bench/engines/other_engines.h"

namespace isolde::bench {
namespace {

void check(int code, const char* doing) {
  if (code == MDB_SUCCESS) return;
  throw CannotRun(std::string("lmdb: ") + doing + ": " + mdb_strerror(code));
}

MDB_val val_of(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }

std::string_view view_of(const MDB_val& val) {
  return {static_cast<const char*>(val.mv_data), val.mv_size};
}

class LmdbClient : public Client {
 public:
  LmdbClient(MDB_env* env, MDB_dbi dbi) : env_(env), dbi_(dbi) {
    check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &reader_), "begin");
    check(mdb_cursor_open(reader_, dbi_, &read_cursor_), "cursor");
    mdb_txn_reset(reader_);
  }
  ~LmdbClient() override {
    rollback();
    mdb_cursor_close(read_cursor_);
    mdb_txn_abort(reader_);
  }

  void begin(bool writes) override {
    if (writes) {
      check(mdb_txn_begin(env_, nullptr, 0, &txn_), "begin");
    } else {
      check(mdb_txn_renew(reader_), "renew");
      txn_ = reader_;
    }
  }

  Read get(std::string_view key) override {
    MDB_val key_val = val_of(key);
    MDB_val found;
    const int code = mdb_get(txn_, dbi_, &key_val, &found);
    if (code == MDB_NOTFOUND) return {};
    check(code, "get");
    return {Reason::none, view_of(found)};
  }
  Read get_for_update(std::string_view key) override { return get(key); }

  Reason put(std::string_view key, std::string_view value) override {
    MDB_val key_val = val_of(key);
    MDB_val value_val = val_of(value);
    check(mdb_put(txn_, dbi_, &key_val, &value_val, 0), "put");
    return Reason::none;
  }

  Reason erase(std::string_view key) override {
    MDB_val key_val = val_of(key);
    const int code = mdb_del(txn_, dbi_, &key_val, nullptr);
    if (code != MDB_NOTFOUND) check(code, "delete");
    return Reason::none;
  }

  Reason scan(std::string_view from, std::string_view to, std::size_t limit,
              const Visit& visit) override {
    MDB_cursor* cursor = read_cursor_;
    if (txn_ == reader_) {
      check(mdb_cursor_renew(txn_, cursor), "renew cursor");
    } else {
      check(mdb_cursor_open(txn_, dbi_, &cursor), "cursor");
    }
    MDB_val key_val = val_of(from);
    MDB_val found;
    int code = limit == 0 ? MDB_NOTFOUND : mdb_cursor_get(cursor, &key_val, &found, MDB_SET_RANGE);
    while (code == MDB_SUCCESS && view_of(key_val) < to) {
      visit(view_of(key_val), view_of(found));
      if (--limit == 0) break;
      code = mdb_cursor_get(cursor, &key_val, &found, MDB_NEXT);
    }
    if (cursor != read_cursor_) mdb_cursor_close(cursor);
    if (code != MDB_NOTFOUND) check(code, "scan");
    return Reason::none;
  }

  Reason commit() override {
    if (txn_ == reader_) {
      mdb_txn_reset(reader_);
      txn_ = nullptr;
    } else {
      MDB_txn* const txn = txn_;
      txn_ = nullptr;  // freed, whether it succeeds or not
      check(mdb_txn_commit(txn), "commit");
    }
    return Reason::none;
  }

  void rollback() noexcept override {
    if (txn_ == nullptr) return;
    if (txn_ == reader_) {
      mdb_txn_reset(reader_);
    } else {
      mdb_txn_abort(txn_);
    }
    txn_ = nullptr;
  }

 private:
  MDB_env* env_;
  MDB_dbi dbi_;
  MDB_txn* reader_ = nullptr;  // reset between transactions
  MDB_cursor* read_cursor_ = nullptr;
  MDB_txn* txn_ = nullptr;  // the open one: reader_ or a writer
};

class LmdbEngine : public Engine {
 public:
  explicit LmdbEngine(const EngineOptions& options) : synced_(options.synced) {
    check(mdb_env_create(&env_), "create");
    check(mdb_env_set_mapsize(env_, std::size_t{64} << 30), "map size");
    check(mdb_env_set_maxreaders(env_, 2048), "readers");
    const unsigned flags = MDB_NOTLS | (synced_ == Synced::no ? MDB_NOSYNC : 0U);
    check(mdb_env_open(env_, options.directory.c_str(), flags, 0644), "open");
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn), "begin");
    check(mdb_dbi_open(txn, nullptr, 0, &dbi_), "database");
    check(mdb_txn_commit(txn), "commit");
  }
  ~LmdbEngine() override { mdb_env_close(env_); }

  std::string configuration() const override {
    return std::string("MDB_NOTLS, the unnamed database, readers renewed, ") +
           (synced_ == Synced::yes ? "synced" : "MDB_NOSYNC");
  }

  void load(const EntrySource& source) override {
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn), "begin");
    std::size_t bytes = 0;
    std::string key;
    std::string value;
    while (source(key, value)) {
      MDB_val key_val = val_of(key);
      MDB_val value_val = val_of(value);
      check(mdb_put(txn, dbi_, &key_val, &value_val, MDB_APPEND), "append");
      bytes += key.size() + value.size();
      if (bytes > (std::size_t{16} << 20)) {
        check(mdb_txn_commit(txn), "commit");
        check(mdb_txn_begin(env_, nullptr, 0, &txn), "begin");
        bytes = 0;
      }
    }
    check(mdb_txn_commit(txn), "commit");
    settle();
  }

  std::unique_ptr<Client> client(std::string_view) override {
    return std::make_unique<LmdbClient>(env_, dbi_);
  }

  void settle() override { check(mdb_env_sync(env_, 1), "sync"); }

 private:
  Synced synced_;
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;  // a named database would cost each transaction one more lookup
};

}  // namespace

std::unique_ptr<Engine> open_lmdb(const EngineOptions& options) {
  return std::make_unique<LmdbEngine>(options);
}

std::string lmdb_version() {
  int major = 0;
  int minor = 0;
  int patch = 0;
  mdb_version(&major, &minor, &patch);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

}  // namespace isolde::bench
