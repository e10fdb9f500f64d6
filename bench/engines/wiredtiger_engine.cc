// WiredTiger with snapshot isolation and its log, as its documentation of durability advises; it
// checkpoints as MongoDB has it do: every minute, or after 2 GB of log.
#include <wiredtiger.h>

#include "bench/engines/other_engines.h"

namespace isolde::bench {
namespace {

constexpr const char* table = "table:kv";

[[noreturn]] void refuse(int code, const char* doing) {
  throw CannotRun(std::string("wiredtiger: ") + doing + ": " + wiredtiger_strerror(code));
}
void check(int code, const char* doing) {
  if (code != 0) refuse(code, doing);
}
Reason reason_of(int code, const char* doing) {
  if (code == 0) return Reason::none;
  if (code == WT_ROLLBACK || code == WT_PREPARE_CONFLICT) return Reason::write_conflict;
  refuse(code, doing);
}

WT_ITEM item_of(std::string_view bytes) {
  WT_ITEM item{};
  item.data = bytes.data();
  item.size = bytes.size();
  return item;
}
std::string_view view_of(const WT_ITEM& item) {
  return {static_cast<const char*>(item.data), item.size};
}

class WiredTigerClient : public Client {
 public:
  explicit WiredTigerClient(WT_CONNECTION* connection) {
    check(connection->open_session(connection, nullptr, nullptr, &session_), "session");
    check(session_->open_cursor(session_, table, nullptr, "overwrite=true", &cursor_), "cursor");
  }
  ~WiredTigerClient() override { session_->close(session_, nullptr); }

  void begin(bool) override {
    check(session_->begin_transaction(session_, "isolation=snapshot"), "begin");
    open_ = true;
  }

  Read get(std::string_view key) override {
    const WT_ITEM key_item = item_of(key);
    cursor_->set_key(cursor_, &key_item);
    const int code = cursor_->search(cursor_);
    if (code == WT_NOTFOUND) return {};
    if (const Reason failed = reason_of(code, "search"); failed != Reason::none)
      return {failed, {}};
    WT_ITEM value{};
    check(cursor_->get_value(cursor_, &value), "value");
    return {Reason::none, view_of(value)};
  }
  // There are no read locks: a conflict shows when the key is written.
  Read get_for_update(std::string_view key) override { return get(key); }

  Reason put(std::string_view key, std::string_view value) override {
    const WT_ITEM key_item = item_of(key);
    const WT_ITEM value_item = item_of(value);
    cursor_->set_key(cursor_, &key_item);
    cursor_->set_value(cursor_, &value_item);
    return reason_of(cursor_->insert(cursor_), "put");
  }

  Reason erase(std::string_view key) override {
    const WT_ITEM key_item = item_of(key);
    cursor_->set_key(cursor_, &key_item);
    const int code = cursor_->remove(cursor_);
    return code == WT_NOTFOUND ? Reason::none : reason_of(code, "remove");
  }

  Reason scan(std::string_view from, std::string_view to, std::size_t limit,
              const Visit& visit) override {
    const WT_ITEM from_item = item_of(from);
    cursor_->set_key(cursor_, &from_item);
    int exact = 0;
    int code = cursor_->search_near(cursor_, &exact);
    if (code == 0 && exact < 0) code = cursor_->next(cursor_);
    while (code == 0 && limit > 0) {
      WT_ITEM key{};
      WT_ITEM value{};
      check(cursor_->get_key(cursor_, &key), "key");
      if (view_of(key) >= to) break;
      check(cursor_->get_value(cursor_, &value), "value");
      visit(view_of(key), view_of(value));
      if (--limit > 0) code = cursor_->next(cursor_);
    }
    cursor_->reset(cursor_);
    return code == WT_NOTFOUND ? Reason::none : reason_of(code, "scan");
  }

  Reason commit() override {
    cursor_->reset(cursor_);
    open_ = false;  // a failed commit has rolled back
    return reason_of(session_->commit_transaction(session_, nullptr), "commit");
  }

  void rollback() noexcept override {
    cursor_->reset(cursor_);
    if (open_) session_->rollback_transaction(session_, nullptr);
    open_ = false;
  }

 private:
  WT_SESSION* session_ = nullptr;
  WT_CURSOR* cursor_ = nullptr;
  bool open_ = false;
};

class WiredTigerEngine : public Engine {
 public:
  explicit WiredTigerEngine(const EngineOptions& options) {
    configuration_ = "create,cache_size=" + std::to_string(options.cache_bytes() >> 20) +
                     "M,session_max=2100,log=(enabled=true),checkpoint=(wait=60,log_size=2GB),"
                     "transaction_sync=(enabled=";
    configuration_ += options.synced == Synced::yes ? "true,method=fsync)" : "false)";
    check(wiredtiger_open(options.directory.c_str(), nullptr, configuration_.c_str(), &connection_),
          "open");
    WT_SESSION* session = nullptr;
    check(connection_->open_session(connection_, nullptr, nullptr, &session), "session");
    check(session->create(session, table, "key_format=u,value_format=u"), "create");
    check(session->close(session, nullptr), "close");
  }
  ~WiredTigerEngine() override { connection_->close(connection_, nullptr); }

  std::string configuration() const override { return configuration_ + ", isolation=snapshot"; }

  void load(const EntrySource& source) override {
    WT_SESSION* session = nullptr;
    check(connection_->open_session(connection_, nullptr, nullptr, &session), "session");
    WT_CURSOR* cursor = nullptr;
    check(session->open_cursor(session, table, nullptr, "bulk", &cursor), "bulk cursor");
    std::string key;
    std::string value;
    while (source(key, value)) {
      const WT_ITEM key_item = item_of(key);
      const WT_ITEM value_item = item_of(value);
      cursor->set_key(cursor, &key_item);
      cursor->set_value(cursor, &value_item);
      check(cursor->insert(cursor), "bulk load");
    }
    check(cursor->close(cursor), "close");
    check(session->checkpoint(session, nullptr), "checkpoint");
    check(session->close(session, nullptr), "close");
  }

  std::unique_ptr<Client> client(std::string_view) override {
    return std::make_unique<WiredTigerClient>(connection_);
  }

 private:
  WT_CONNECTION* connection_ = nullptr;
  std::string configuration_;
};

}  // namespace

std::unique_ptr<Engine> open_wiredtiger(const EngineOptions& options) {
  return std::make_unique<WiredTigerEngine>(options);
}

std::string wiredtiger_version() {
  int major = 0;
  int minor = 0;
  int patch = 0;
  ::wiredtiger_version(&major, &minor, &patch);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

}  // namespace isolde::bench
