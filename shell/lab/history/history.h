// A history: what the transactions of a run read and wrote, which versions, and in which order.
// docs/history-format.md describes it as a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "isolde/observer.h"
#include "isolde/options.h"
#include "isolde/types.h"

namespace isolde::lab {

// "None" among the indexes of a history.
inline constexpr std::uint32_t no_index = std::numeric_limits<std::uint32_t>::max();

struct HistoryKey {
  std::string keyspace;
  std::string key;
};

// One version of a key.
struct HistoryVersion {
  // Index of the transaction that wrote it; no_index: it was there before the history began.
  std::uint32_t writer = no_index;
  // Which of its writes of this key, counted from 1; 0: the one that its commit made visible.
  std::uint32_t write = 0;

  bool is_base() const noexcept { return writer == no_index; }
};

struct HistoryOperation {
  enum class Kind : std::uint8_t { read, scan, write, undo };
  Kind kind = Kind::read;
  WriteKind write_kind = WriteKind::put;  // write
  ReadMode mode = ReadMode::plain;        // read, scan
  bool absent = false;                    // read: there was no such key
  bool cursor = false;                    // read, scan: through an open cursor
  bool untracked = false;                 // read, scan: opted out of serializable's validation
  bool before_write = false;  // read: the first half of an insert, add_and_get or compare_and_set
  bool yielded = false;       // read: by the scan that follows
  // read, write: index of the key; scan: of the range; undo: how many writes, newest first, a
  // rollback to a savepoint has undone.
  std::uint32_t target = 0;
  HistoryVersion version;  // read
  std::uint64_t at = 0;    // place in the order of all events
};

// What one scan observed. The entries that it yielded are the reads before it, `yielded` of them;
// absent ones among them are keys that it found erased by a transaction that had not committed.
struct HistoryRange {
  std::string keyspace;
  std::string lower;
  std::optional<std::string> upper;  // exclusive; nothing: to the end of the keyspace
  bool reverse = false;
  bool limited = false;  // it stopped before the end of the range that was asked for
  std::uint32_t yielded = 0;
  std::optional<std::uint64_t> snapshot;  // what it read at, as a commit timestamp
};

enum class HistoryEnd : std::uint8_t {
  open,       // it never ended: its writes count as never made
  committed,  //
  aborted,
  unknown,  // the commit may have survived or not: committed if another one read from it
};

struct HistoryTransaction {
  std::uint64_t id = 0;
  std::string session;  // empty: none
  std::string label;
  std::optional<Isolation> level;  // nothing: not known, judged as serializable
  Locking locking = Locking::optimistic;
  HistoryEnd end = HistoryEnd::open;
  std::string cause;            // of an abort; empty: by the user
  std::uint64_t timestamp = 0;  // of its commit; 0: not known
  // Places in the order of all events, and nanoseconds since the history began (-1: not known).
  std::uint64_t began_at = 0;
  std::uint64_t ended_at = std::numeric_limits<std::uint64_t>::max();
  std::int64_t began_ns = -1;
  std::int64_t ended_ns = -1;
  std::vector<HistoryOperation> operations;
};

// Part of the version order of a key, where it is not the order of the commits: each writer's
// version comes before the next one's.
struct HistoryOrder {
  std::uint32_t key = 0;
  std::vector<std::uint32_t> writers;
};

struct History {
  std::vector<HistoryTransaction> transactions;
  std::vector<HistoryKey> keys;
  std::vector<HistoryRange> ranges;
  std::vector<HistoryOrder> orders;
  // The order of versions is what `orders` says and no more (an imported history), else for keys
  // without orders that of the commits: by timestamp, or by place where there are none.
  bool orders_only = false;
};

// Gives keys and transactions their indexes.
class HistoryBuilder {
 public:
  std::uint32_t key(std::string_view keyspace, std::string_view key);
  // Index of the transaction with this id, or no_index.
  std::uint32_t find(std::uint64_t id) const;
  // A new transaction. Precondition: there is none with this id.
  std::uint32_t add(std::uint64_t id);

  HistoryTransaction& transaction(std::uint32_t index) { return history.transactions[index]; }

  History history;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> keys_;
  std::string scratch_;
  std::vector<std::uint32_t> small_ids_;  // most ids are dense
  std::unordered_map<std::uint64_t, std::uint32_t> large_ids_;
};

// "x", or "accounts/x" outside the default keyspace, as scripts spell it.
std::string spelled_key(const HistoryKey& key);
std::string spelled_range(const HistoryRange& range);

}  // namespace isolde::lab
