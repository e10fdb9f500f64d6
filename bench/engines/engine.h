// What every store under test looks like to the workloads: engines, and clients of them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bench/workloads/parameters.h"

namespace isolde::suite {

// Why an attempt did not commit.
enum class Reason : std::uint8_t {
  none,
  write_conflict,
  serialization_failure,
  deadlock,
  lock_timeout,
  busy,
  snapshot_too_old,
};
inline constexpr std::size_t reason_count = 7;
std::string_view name(Reason reason);

// Something that can't be run: a full disk, a missing package, a refusal. It ends its cell and says
// so; the other cells go on.
class CannotRun : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Read {
  Reason failed = Reason::none;
  std::optional<std::string_view> value;  // valid until the client's next operation
};

// Hears of the entries of a scan: cheaper than std::function, which would show in a scan's time.
class Visit {
 public:
  template <typename F>
  Visit(F& function)  // NOLINT(google-explicit-constructor)
      : context_(&function), call_([](void* context, std::string_view key, std::string_view value) {
          (*static_cast<F*>(context))(key, value);
        }) {}
  void operator()(std::string_view key, std::string_view value) const {
    call_(context_, key, value);
  }

 private:
  void* context_;
  void (*call_)(void*, std::string_view, std::string_view);
};

// One thread's access to an engine; one transaction at a time. Any failure but none leaves it to be
// rolled back. What no retry would mend is thrown as CannotRun.
class Client {
 public:
  Client() = default;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  virtual ~Client() = default;

  virtual void begin(bool writes) = 0;
  virtual Read get(std::string_view key) = 0;
  // Of a key that the transaction goes on to write: so that no update is lost, in whatever way the
  // engine offers at its level.
  virtual Read get_for_update(std::string_view key) = 0;
  virtual Reason put(std::string_view key, std::string_view value) = 0;
  virtual Reason erase(std::string_view key) = 0;
  // [from, to) in ascending order, at most `limit` entries.
  virtual Reason scan(std::string_view from, std::string_view to, std::size_t limit,
                      const Visit& visit) = 0;
  // Copies a key of [from, to) that nobody else has taken into `key`, to be erased by the caller;
  // leaves it empty if there is none. Engines without SKIP LOCKED look at some and take the one
  // that `hint` says.
  virtual Reason claim(std::string_view from, std::string_view to, std::uint64_t hint,
                       std::string& key);
  virtual Reason commit() = 0;
  virtual void rollback() noexcept = 0;
};

// What an engine counts itself, since it was opened; absent where it does not.
struct EngineCounters {
  std::optional<std::uint64_t> waits;  // for locks
  std::optional<std::uint64_t> checkpoints;
};

// Gives the next entry, keys ascending; false at the end.
using EntrySource = std::function<bool(std::string& key, std::string& value)>;

class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  // What was configured, in one line.
  virtual std::string configuration() const = 0;
  // Fills the empty store.
  virtual void load(const EntrySource& source) = 0;
  // `mode` is what follows the engine's name in a subject. Called by the client's own thread.
  virtual std::unique_ptr<Client> client(std::string_view mode) = 0;
  // Returns when no work of an earlier turn goes on that would fall into the next one's time.
  virtual void settle() {}
  virtual EngineCounters counters() const { return {}; }
};

struct EngineOptions {
  std::filesystem::path directory;  // exists, and is empty
  Synced synced = Synced::no;
  bool checkpoints = true;
  std::size_t data_bytes = 0;  // about what will be loaded
  // Caches of engines that have their own: room for all the data, as LMDB has in the page cache.
  std::size_t cache_bytes() const;
};

// One way of running transactions on one engine.
struct Subject {
  std::string name;    // "rocksdb-pess", as on the command line
  std::string engine;  // whose process it shares
  std::string mode;
  std::string promise;  // its guarantee, in the engine's own words
};

// Every subject that this build has, Isolde's first; and the engines that it lacks, each with why.
const std::vector<Subject>& all_subjects();
const std::vector<std::pair<std::string, std::string>>& missing_engines();
// Null if there is no such subject.
const Subject* find_subject(std::string_view name);
// The engine's version, without opening it.
std::string engine_version(const std::string& engine);
std::unique_ptr<Engine> open_engine(const std::string& engine, const EngineOptions& options);

std::unique_ptr<Engine> open_isolde(const EngineOptions& options);
std::unique_ptr<Engine> open_lmdb(const EngineOptions& options);
std::unique_ptr<Engine> open_rocksdb(const EngineOptions& options, bool optimistic);
std::unique_ptr<Engine> open_wiredtiger(const EngineOptions& options);
std::unique_ptr<Engine> open_berkeleydb(const EngineOptions& options);
std::unique_ptr<Engine> open_sqlite(const EngineOptions& options);
std::string lmdb_version();
std::string rocksdb_version();
std::string wiredtiger_version();
std::string berkeleydb_version();
std::string sqlite_version();

}  // namespace isolde::suite
