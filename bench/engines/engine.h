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

namespace isolde::bench {

enum class Synced : std::uint8_t {
  yes,  // a commit returns when it is on disk
  no,   // when the operating system has it: it survives the process, not the machine
};

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
  // Copies a key of [from, to) that no other transaction has taken into `key`, to be erased by the
  // caller; leaves it empty if there is none. Engines without SKIP LOCKED look at some and take
  // the one that `hint` says.
  virtual Reason claim(std::string_view from, std::string_view to, std::uint64_t hint,
                       std::string& key);
  virtual Reason commit() = 0;
  virtual void rollback() noexcept = 0;
};

// What an engine counts itself, since it was opened; absent where it does not.
struct EngineCounters {
  std::optional<std::uint64_t> waits;  // for locks
  std::optional<std::uint64_t> checkpoints;
  std::optional<std::uint64_t> version_bytes;      // now in memory, for snapshots and checkpoints
  std::optional<std::uint64_t> old_version_bytes;  // of these, for snapshots only
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
  // Carries what was committed to where it stays, as the next checkpoint would.
  virtual void checkpoint() { settle(); }
  virtual EngineCounters counters() const { return {}; }
};

struct EngineOptions {
  std::filesystem::path directory;  // exists
  Synced synced = Synced::no;
  bool checkpoints = true;
  std::size_t data_bytes = 0;  // about what will be loaded
  // Caches of engines that have their own: room for all the data, as LMDB has in the page cache.
  std::size_t cache_bytes() const;
};

}  // namespace isolde::bench
