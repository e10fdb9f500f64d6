// The fields of one line of a history in JSON.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lab/text/json_cursor.h"

namespace isolde::lab {

// The names of HistoryOperation's kinds of writes and modes of reads, in the order of those.
inline constexpr std::array<std::string_view, 6> write_kinds{
    "put", "erase", "insert", "add", "compare-and-set", "add-and-get"};
inline constexpr std::array<std::string_view, 3> read_modes{"plain", "for-update", "for-share"};

// What an event's line may hold.
enum class Field : std::uint8_t {
  absent,
  cause,
  conditional,
  count,
  cursor,
  event,
  from,
  key,
  keyspace,
  kind,
  label,
  level,
  limited,
  listed,
  locking,
  lower,
  mode,
  note,
  ns,
  reverse,
  session,
  snapshot,
  ts,
  txn,
  untracked,
  upper,
  version,
  write,
  writers,
  yield,
};
// In the order of the enumeration, which is the order of the alphabet.
inline constexpr std::array<std::string_view, 30> history_field_names{
    "absent",    "cause", "conditional", "count",   "cursor",  "event",    "from",    "key",
    "keyspace",  "kind",  "label",       "level",   "limited", "listed",   "locking", "lower",
    "mode",      "note",  "ns",          "reverse", "session", "snapshot", "ts",      "txn",
    "untracked", "upper", "version",     "write",   "writers", "yield"};

constexpr std::uint32_t bit(Field field) { return 1U << static_cast<unsigned>(field); }
template <typename... Fields>
constexpr std::uint32_t bits(Fields... fields) {
  return (0U | ... | bit(fields));
}

// An entry that a scan yielded, or a key that it found erased.
struct YieldEntry {
  std::string key;
  bool absent = false;
  std::uint64_t from = 0;
  std::uint64_t write = 0;
  std::size_t column = 0;
};

// The fields of one line. Kept from line to line for its memory.
struct HistoryFields {
  std::uint32_t present = 0;
  std::array<std::size_t, history_field_names.size()> columns{};
  bool absent = false;
  bool cursor = false;
  bool untracked = false;
  bool conditional = false;
  bool reverse = false;
  bool limited = false;
  bool listed = false;
  std::uint64_t count = 0;
  std::uint64_t from = 0;
  std::uint64_t ns = 0;
  std::uint64_t snapshot = 0;
  std::uint64_t ts = 0;
  std::uint64_t txn = 0;
  std::uint64_t version = 0;
  std::uint64_t write = 0;
  std::string event, key, keyspace, label, level, locking, lower, upper, mode, kind, session, cause;
  std::vector<YieldEntry> yield;
  std::vector<std::uint64_t> writers;

  // Takes the place of what was there before. False: the cursor has the fault.
  bool parse(JsonCursor& line);

  void clear() {
    present = 0;
    absent = cursor = untracked = conditional = reverse = limited = listed = false;
    write = 0;
    yield.clear();
    writers.clear();
  }
  bool has(Field field) const { return (present & bit(field)) != 0; }
  std::size_t column(Field field) const { return columns[static_cast<std::size_t>(field)]; }

 private:
  bool parse_value(JsonCursor& line, Field field);
  bool parse_writers(JsonCursor& line);
  bool parse_yield(JsonCursor& line);
};

}  // namespace isolde::lab
