#include "lab/history/history_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/text/source.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

bool text(JsonCursor& cursor, std::string& into) {
  std::string_view view;
  if (!cursor.string(view)) return false;
  into.assign(view);
  return true;
}

// A string, or {"hex": "..."}.
bool bytes(JsonCursor& cursor, std::string& into) {
  if (cursor.peek() != '{') return text(cursor, into);
  const std::size_t column = cursor.column();
  std::string_view name;
  std::string_view digits;
  if (!cursor.open('{') || !cursor.next_field(name)) {
    return cursor.fail(column, R"(expected {"hex": "..."})");
  }
  if (name != "hex") return cursor.fail(column, R"(expected {"hex": "..."})");
  if (!cursor.string(digits)) return false;
  const auto decoded = from_hex(digits);
  if (!decoded) return cursor.fail(column, "not an even number of hexadecimal digits");
  into = *decoded;
  if (cursor.next_field(name)) return cursor.fail(column, R"(expected {"hex": "..."})");
  return !cursor.has_failed();
}

}  // namespace

bool HistoryFields::parse(JsonCursor& line) {
  clear();
  if (!line.open('{')) return false;
  std::string_view name;
  while (line.next_field(name)) {
    const auto* const found =
        std::lower_bound(history_field_names.begin(), history_field_names.end(), name);
    if (found == history_field_names.end() || *found != name) {
      return line.fail(line.name_column(), fmt::format("unknown field {}{}", spelled(name),
                                                       did_you_mean(name, history_field_names)));
    }
    const auto field = static_cast<Field>(found - history_field_names.begin());
    if (has(field)) {
      return line.fail(line.name_column(), fmt::format("a second field {}", spelled(name)));
    }
    present |= bit(field);
    columns[static_cast<std::size_t>(field)] = line.column();
    if (!parse_value(line, field)) return false;
  }
  return !line.has_failed() && line.end();
}

bool HistoryFields::parse_value(JsonCursor& line, Field field) {
  std::string ignored;
  switch (field) {
    case Field::absent:
      return line.boolean(absent);
    case Field::conditional:
      return line.boolean(conditional);
    case Field::cursor:
      return line.boolean(cursor);
    case Field::limited:
      return line.boolean(limited);
    case Field::listed:
      return line.boolean(listed);
    case Field::reverse:
      return line.boolean(reverse);
    case Field::untracked:
      return line.boolean(untracked);
    case Field::count:
      return line.number(count);
    case Field::from:
      return line.number(from);
    case Field::ns:
      return line.number(ns);
    case Field::snapshot:
      return line.number(snapshot);
    case Field::ts:
      return line.number(ts);
    case Field::txn:
      return line.number(txn);
    case Field::version:
      return line.number(version);
    case Field::write:
      return line.number(write);
    case Field::event:
      return text(line, event);
    case Field::cause:
      return text(line, cause);
    case Field::kind:
      return text(line, kind);
    case Field::level:
      return text(line, level);
    case Field::locking:
      return text(line, locking);
    case Field::mode:
      return text(line, mode);
    case Field::note:
      return text(line, ignored);
    case Field::key:
      return bytes(line, key);
    case Field::keyspace:
      return bytes(line, keyspace);
    case Field::label:
      return bytes(line, label);
    case Field::session:
      return bytes(line, session);
    case Field::lower:
      return bytes(line, lower);
    case Field::upper:
      return bytes(line, upper);
    case Field::writers:
      return parse_writers(line);
    case Field::yield:
      return parse_yield(line);
  }
  return false;
}

bool HistoryFields::parse_writers(JsonCursor& line) {
  if (!line.open('[')) return false;
  while (line.next_element()) {
    std::uint64_t writer = 0;
    if (!line.number(writer)) return false;
    writers.push_back(writer);
  }
  return !line.has_failed();
}

bool HistoryFields::parse_yield(JsonCursor& line) {
  if (!line.open('[')) return false;
  while (line.next_element()) {
    YieldEntry entry;
    entry.column = line.column();
    bool has_key = false;
    bool has_from = false;
    std::string_view name;
    if (!line.open('{')) return false;
    while (line.next_field(name)) {
      bool good = false;
      if (name == "key") {
        good = bytes(line, entry.key);
        has_key = true;
      } else if (name == "from") {
        good = line.number(entry.from);
        has_from = true;
      } else if (name == "write") {
        good = line.number(entry.write);
      } else if (name == "absent") {
        good = line.boolean(entry.absent);
      } else {
        line.fail(entry.column, fmt::format("unknown field {} of an entry", spelled(name)));
      }
      if (!good) return false;
    }
    if (line.has_failed()) return false;
    if (!has_key || !has_from) {
      return line.fail(entry.column, R"(an entry needs "key" and "from")");
    }
    yield.push_back(std::move(entry));
  }
  return !line.has_failed();
}

}  // namespace isolde::lab
