// SQLite in WAL mode (sqlite.org/wal.html): readers beside one writer; synchronous=FULL syncs the
// WAL at each commit, OFF leaves that to the operating system.
#include <sqlite3.h>

#include <mutex>

#include "bench/engines/other_engines.h"

namespace isolde::bench {
namespace {

class Connection {
 public:
  Connection(const std::filesystem::path& file, Synced synced, std::size_t cache_bytes) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(file.c_str(), &db_, flags, nullptr) != SQLITE_OK) fail("open");
    sqlite3_busy_timeout(db_, 10'000);
    run("PRAGMA journal_mode=WAL");
    run(synced == Synced::yes ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
    run(("PRAGMA mmap_size=" + std::to_string(cache_bytes)).c_str());
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { sqlite3_close_v2(db_); }

  void run(const char* sql) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail(sql);
  }
  [[noreturn]] void fail(const char* doing) const {
    throw CannotRun(std::string("sqlite: ") + doing + ": " + sqlite3_errmsg(db_));
  }
  sqlite3* get() const { return db_; }

 private:
  sqlite3* db_ = nullptr;
};

class Statement {
 public:
  Statement(Connection& connection, const char* sql) : connection_(connection) {
    if (sqlite3_prepare_v3(connection.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &statement_,
                           nullptr) != SQLITE_OK) {
      connection.fail(sql);
    }
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { sqlite3_finalize(statement_); }

  void bind(int index, std::string_view bytes) {
    sqlite3_bind_blob64(statement_, index, bytes.data(), bytes.size(), SQLITE_STATIC);
  }
  void bind(int index, std::int64_t number) { sqlite3_bind_int64(statement_, index, number); }
  // SQLITE_ROW, SQLITE_DONE or SQLITE_BUSY; the rest can't be mended.
  int step() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW || code == SQLITE_DONE) return code;
    if ((code & 0xff) == SQLITE_BUSY) return SQLITE_BUSY;
    connection_.fail("step");
  }
  std::string_view column(int index) {
    const void* const bytes = sqlite3_column_blob(statement_, index);
    return {static_cast<const char*>(bytes),
            static_cast<std::size_t>(sqlite3_column_bytes(statement_, index))};
  }
  void reset() { sqlite3_reset(statement_); }
  // Runs one that gives no rows.
  Reason run() {
    const int code = step();
    reset();
    return code == SQLITE_BUSY ? Reason::busy : Reason::none;
  }

 private:
  Connection& connection_;
  sqlite3_stmt* statement_ = nullptr;
};

class SqliteClient : public Client {
 public:
  SqliteClient(const std::filesystem::path& file, Synced synced, std::size_t cache_bytes,
               std::mutex& writers)
      : connection_(file, synced, cache_bytes), writer_(writers, std::defer_lock) {}

  // A transaction that will write says so at its begin: one that reads first can only fail once
  // another has written.
  // Writers of one program do better to queue here than to poll the file's lock, which sleeps.
  void begin(bool writes) override {
    if (writes) writer_.lock();
    began_ = writes ? begin_immediate_.run() : begin_.run();
    open_ = began_ == Reason::none;
  }

  Read get(std::string_view key) override {
    if (began_ != Reason::none) return {began_, {}};
    get_.reset();
    get_.bind(1, key);
    const int code = get_.step();
    if (code == SQLITE_BUSY) return {Reason::busy, {}};
    if (code == SQLITE_DONE) return {};
    return {Reason::none, get_.column(0)};
  }
  Read get_for_update(std::string_view key) override { return get(key); }

  Reason put(std::string_view key, std::string_view value) override {
    if (began_ != Reason::none) return began_;
    get_.reset();
    put_.bind(1, key);
    put_.bind(2, value);
    return put_.run();
  }

  Reason erase(std::string_view key) override {
    if (began_ != Reason::none) return began_;
    erase_.bind(1, key);
    return erase_.run();
  }

  Reason scan(std::string_view from, std::string_view to, std::size_t limit,
              const Visit& visit) override {
    if (began_ != Reason::none) return began_;
    scan_.bind(1, from);
    scan_.bind(2, to);
    scan_.bind(
        3, limit > (std::size_t{1} << 62) ? std::int64_t{-1} : static_cast<std::int64_t>(limit));
    int code = scan_.step();
    while (code == SQLITE_ROW) {
      visit(scan_.column(0), scan_.column(1));
      code = scan_.step();
    }
    scan_.reset();
    return code == SQLITE_BUSY ? Reason::busy : Reason::none;
  }

  Reason commit() override {
    if (began_ != Reason::none) return began_;
    get_.reset();
    const Reason failed = commit_.run();
    if (failed != Reason::none) return failed;
    open_ = false;
    if (writer_.owns_lock()) writer_.unlock();
    return failed;
  }

  void rollback() noexcept override {
    get_.reset();
    scan_.reset();
    if (open_) sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
    open_ = false;
    if (writer_.owns_lock()) writer_.unlock();
  }

 private:
  Connection connection_;
  std::unique_lock<std::mutex> writer_;
  Statement begin_{connection_, "BEGIN"};
  Statement begin_immediate_{connection_, "BEGIN IMMEDIATE"};
  Statement commit_{connection_, "COMMIT"};
  Statement get_{connection_, "SELECT v FROM kv WHERE k = ?1"};
  Statement put_{connection_, "INSERT OR REPLACE INTO kv VALUES (?1, ?2)"};
  Statement erase_{connection_, "DELETE FROM kv WHERE k = ?1"};
  Statement scan_{connection_, "SELECT k, v FROM kv WHERE k >= ?1 AND k < ?2 ORDER BY k LIMIT ?3"};
  Reason began_ = Reason::none;
  bool open_ = false;
};

class SqliteEngine : public Engine {
 public:
  explicit SqliteEngine(const EngineOptions& options)
      : options_(options),
        file_(options.directory / "data.sqlite"),
        connection_(file_, options.synced, options.cache_bytes()) {
    connection_.run("CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID");
  }

  std::string configuration() const override {
    return std::string(
               "WAL, writers queue at a mutex, BEGIN IMMEDIATE, WITHOUT ROWID, mmap, "
               "synchronous=") +
           (options_.synced == Synced::yes ? "FULL" : "OFF");
  }

  void load(const EntrySource& source) override {
    Statement put(connection_, "INSERT INTO kv VALUES (?1, ?2)");
    connection_.run("BEGIN");
    std::string key;
    std::string value;
    while (source(key, value)) {
      put.bind(1, key);
      put.bind(2, value);
      put.run();
    }
    connection_.run("COMMIT");
    connection_.run("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  std::unique_ptr<Client> client(std::string_view) override {
    return std::make_unique<SqliteClient>(file_, options_.synced, options_.cache_bytes(), writers_);
  }

 private:
  EngineOptions options_;
  std::mutex writers_;
  std::filesystem::path file_;
  Connection connection_;
};

}  // namespace

std::unique_ptr<Engine> open_sqlite(const EngineOptions& options) {
  return std::make_unique<SqliteEngine>(options);
}

std::string sqlite_version() { return sqlite3_libversion(); }

}  // namespace isolde::bench
