#include "lab/history/json_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "isolde/keyspace.h"
#include "lab/history/history_fields.h"
#include "lab/history/write_counts.h"
#include "lab/text/source.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

enum class EventKind : std::uint8_t {
  history,
  begin,
  read,
  scan,
  write,
  undo,
  commit,
  abort,
  order
};
struct EventShape {
  std::string_view name;
  EventKind kind;
  std::uint32_t required;
  std::uint32_t optional;
};
constexpr std::array event_shapes{
    EventShape{"history", EventKind::history, bits(Field::version), bits(Field::listed)},
    EventShape{"begin", EventKind::begin, bits(Field::txn),
               bits(Field::session, Field::label, Field::level, Field::locking, Field::ns)},
    EventShape{"read", EventKind::read, bits(Field::txn, Field::key, Field::from),
               bits(Field::keyspace, Field::write, Field::absent, Field::cursor, Field::untracked,
                    Field::conditional, Field::mode)},
    EventShape{"scan", EventKind::scan, bits(Field::txn),
               bits(Field::keyspace, Field::lower, Field::upper, Field::reverse, Field::limited,
                    Field::snapshot, Field::cursor, Field::untracked, Field::mode, Field::yield)},
    EventShape{"write", EventKind::write, bits(Field::txn, Field::key),
               bits(Field::keyspace, Field::kind)},
    EventShape{"undo", EventKind::undo, bits(Field::txn, Field::count), 0},
    EventShape{"commit", EventKind::commit, bits(Field::txn), bits(Field::ts, Field::ns)},
    EventShape{"abort", EventKind::abort, bits(Field::txn),
               bits(Field::cause, Field::ts, Field::ns)},
    EventShape{"order", EventKind::order, bits(Field::key, Field::writers), bits(Field::keyspace)},
};

class JsonHistoryReader : public HistoryReader {
 public:
  JsonHistoryReader() : write_counts_(builder_.history) {}

  std::optional<InputFault> line(std::string_view text) override {
    ++line_;
    if (text.size() > longest_history_line) {
      return InputFault{line_, longest_history_line,
                        fmt::format("a line of {} bytes; at most {} are allowed", text.size(),
                                    longest_history_line)};
    }
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) return std::nullopt;
    JsonCursor cursor(text);
    if (fields_.parse(cursor)) take(cursor);
    if (!cursor.fault()) return std::nullopt;
    InputFault fault = *cursor.fault();
    fault.line = line_;
    return fault;
  }

  std::variant<History, InputFault> finish() override {
    for (const Pending& pending : pending_) {
      const std::uint32_t written = write_counts_.count(pending.writer, pending.key);
      if (written >= std::max(pending.write, 1U)) continue;
      return fault_at(pending.line, pending.column, never_written(pending, written));
    }
    if (auto bad = check_timestamps()) return std::move(*bad);
    return std::move(builder_.history);
  }

 private:
  // A read of a version that has not been written yet: a reader at read uncommitted can be noted
  // before the writer that it saw.
  struct Pending {
    std::uint32_t writer;
    std::uint32_t key;
    std::uint32_t write;
    std::uint64_t line;
    std::size_t column;
    bool order;
  };

  static InputFault fault_at(std::uint64_t line, std::size_t column, std::string message) {
    return InputFault{static_cast<std::size_t>(line), column, std::move(message)};
  }

  std::string never_written(const Pending& pending, std::uint32_t written) const {
    const std::uint64_t writer = builder_.history.transactions[pending.writer].id;
    const std::string key = spelled_key(builder_.history.keys[pending.key]);
    if (written == 0) return fmt::format("T{} never wrote {}", writer, key);
    return fmt::format("T{} wrote {} {} time{}, not {}", writer, key, written,
                       written == 1 ? "" : "s", pending.write);
  }

  // Either all commits of writers have timestamps, or none.
  std::optional<InputFault> check_timestamps() const {
    const HistoryTransaction* without = nullptr;
    bool with = false;
    for (const HistoryTransaction& transaction : builder_.history.transactions) {
      if (transaction.end != HistoryEnd::committed) continue;
      if (transaction.timestamp != 0) {
        with = true;
        continue;
      }
      const auto& operations = transaction.operations;
      const bool writes = std::any_of(operations.begin(), operations.end(), [](const auto& each) {
        return each.kind == HistoryOperation::Kind::write;
      });
      if (writes) without = &transaction;
    }
    if (without == nullptr || !with) return std::nullopt;
    return fault_at(
        without->ended_at, 1,
        fmt::format("T{} committed writes without a timestamp (\"ts\"), others have one",
                    without->id));
  }

  // Understanding.
  bool take(JsonCursor& cursor) {
    if (!fields_.has(Field::event)) return cursor.fail(1, R"(no "event")");
    const auto* const shape =
        std::find_if(event_shapes.begin(), event_shapes.end(),
                     [this](const EventShape& each) { return each.name == fields_.event; });
    if (shape == event_shapes.end()) {
      std::vector<std::string_view> names;
      names.reserve(event_shapes.size());
      for (const EventShape& each : event_shapes) names.push_back(each.name);
      return cursor.fail(fields_.column(Field::event),
                         fmt::format("unknown event {}{}", spelled_short(fields_.event),
                                     did_you_mean(fields_.event, names)));
    }
    if (!check_fields(cursor, *shape)) return false;
    switch (shape->kind) {
      case EventKind::history:
        return take_header(cursor);
      case EventKind::begin:
        return take_begin(cursor);
      case EventKind::order:
        return take_order(cursor);
      default:
        break;
    }
    const std::uint32_t transaction = open_transaction(cursor);
    if (transaction == no_index) return false;
    switch (shape->kind) {
      case EventKind::read:
        return take_read(cursor, transaction);
      case EventKind::scan:
        return take_scan(cursor, transaction);
      case EventKind::write:
        return take_write(cursor, transaction);
      case EventKind::undo:
        return take_undo(cursor, transaction);
      default:
        return take_end(cursor, transaction, shape->kind == EventKind::commit);
    }
  }

  bool check_fields(JsonCursor& cursor, const EventShape& shape) {
    const std::uint32_t allowed = shape.required | shape.optional | bits(Field::event, Field::note);
    for (std::size_t i = 0; i < history_field_names.size(); ++i) {
      const auto field = static_cast<Field>(i);
      if ((shape.required & bit(field)) != 0 && !fields_.has(field)) {
        return cursor.fail(1, fmt::format("a {} needs \"{}\"", shape.name, history_field_names[i]));
      }
      if (fields_.has(field) && (allowed & bit(field)) == 0) {
        return cursor.fail(fields_.column(field), fmt::format("\"{}\" means nothing in a {}",
                                                              history_field_names[i], shape.name));
      }
    }
    if (fields_.has(Field::key) && fields_.key.empty()) {
      return cursor.fail(fields_.column(Field::key), "a key has at least one byte");
    }
    if (!fields_.has(Field::keyspace)) fields_.keyspace = default_keyspace_name;
    return true;
  }

  std::uint32_t open_transaction(JsonCursor& cursor) {
    const std::uint32_t index = builder_.find(fields_.txn);
    const std::size_t column = fields_.column(Field::txn);
    if (index == no_index) {
      cursor.fail(column, fmt::format("T{} has not begun", fields_.txn));
      return no_index;
    }
    const HistoryTransaction& transaction = builder_.transaction(index);
    if (transaction.end != HistoryEnd::open) {
      cursor.fail(column,
                  fmt::format("T{} has ended in line {}", fields_.txn, transaction.ended_at));
      return no_index;
    }
    return index;
  }

  bool take_header(JsonCursor& cursor) {
    if (fields_.version != 1) {
      return cursor.fail(
          fields_.column(Field::version),
          fmt::format("version {} of the format is not known; 1 is", fields_.version));
    }
    if (!builder_.history.transactions.empty()) {
      return cursor.fail(fields_.column(Field::event), "the header comes first");
    }
    builder_.history.orders_only = fields_.listed;
    return true;
  }

  bool take_begin(JsonCursor& cursor) {
    if (fields_.txn == 0) {
      return cursor.fail(fields_.column(Field::txn), "0 is what was there before the history");
    }
    if (const std::uint32_t known = builder_.find(fields_.txn); known != no_index) {
      return cursor.fail(fields_.column(Field::txn),
                         fmt::format("T{} has begun in line {} already", fields_.txn,
                                     builder_.transaction(known).began_at));
    }
    HistoryTransaction& begun = builder_.transaction(builder_.add(fields_.txn));
    begun.began_at = line_;
    if (fields_.has(Field::ns)) begun.began_ns = static_cast<std::int64_t>(fields_.ns);
    if (fields_.has(Field::session)) begun.session = fields_.session;
    if (fields_.has(Field::label)) begun.label = fields_.label;
    if (fields_.has(Field::level)) {
      begun.level = isolation_from_name(fields_.level);
      if (!begun.level) {
        return cursor.fail(fields_.column(Field::level),
                           fmt::format("unknown level {}", spelled_short(fields_.level)));
      }
    }
    if (fields_.has(Field::locking)) {
      const auto locking = locking_from_name(fields_.locking);
      if (!locking) {
        return cursor.fail(fields_.column(Field::locking),
                           fmt::format("unknown locking {}", spelled_short(fields_.locking)));
      }
      begun.locking = *locking;
    }
    return true;
  }

  template <std::size_t count>
  static std::optional<std::size_t> index_of(const std::array<std::string_view, count>& names,
                                             std::string_view name) {
    const auto* const found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) return std::nullopt;
    return static_cast<std::size_t>(found - names.begin());
  }

  bool set_mode(JsonCursor& cursor, HistoryOperation& operation) {
    operation.cursor = fields_.cursor;
    operation.untracked = fields_.untracked;
    operation.at = line_;
    if (!fields_.has(Field::mode)) return true;
    const auto mode = index_of(read_modes, fields_.mode);
    if (!mode) {
      return cursor.fail(fields_.column(Field::mode),
                         fmt::format("unknown mode {}{}", spelled_short(fields_.mode),
                                     did_you_mean(fields_.mode, read_modes)));
    }
    operation.mode = static_cast<ReadMode>(*mode);
    return true;
  }

  // The version that `from` and `write` name.
  bool resolve(JsonCursor& cursor, std::uint64_t from, std::uint64_t write, std::uint32_t key,
               std::size_t column, HistoryVersion& version) {
    if (from == 0) {
      if (write == 0) return true;
      return cursor.fail(column, "what was there before the history has no \"write\"");
    }
    version.writer = builder_.find(from);
    if (version.writer == no_index) {
      return cursor.fail(column, fmt::format("T{} has not begun", from));
    }
    if (write > std::numeric_limits<std::uint32_t>::max()) {
      return cursor.fail(column, "this number is too large");
    }
    version.write = static_cast<std::uint32_t>(write);
    if (write_counts_.count(version.writer, key) < std::max(version.write, 1U)) {
      pending_.push_back({version.writer, key, version.write, line_, column, false});
    }
    return true;
  }

  bool take_read(JsonCursor& cursor, std::uint32_t transaction) {
    HistoryOperation read;
    read.target = builder_.key(fields_.keyspace, fields_.key);
    read.absent = fields_.absent;
    read.before_write = fields_.conditional;
    if (!set_mode(cursor, read)) return false;
    if (!resolve(cursor, fields_.from, fields_.write, read.target, fields_.column(Field::from),
                 read.version)) {
      return false;
    }
    builder_.transaction(transaction).operations.push_back(read);
    return true;
  }

  bool take_scan(JsonCursor& cursor, std::uint32_t transaction) {
    HistoryOperation scan;
    scan.kind = HistoryOperation::Kind::scan;
    if (!set_mode(cursor, scan)) return false;
    HistoryRange range;
    range.keyspace = fields_.keyspace;
    if (fields_.has(Field::lower)) range.lower = fields_.lower;
    if (fields_.has(Field::upper)) range.upper = fields_.upper;
    range.reverse = fields_.reverse;
    range.limited = fields_.limited;
    if (fields_.has(Field::snapshot)) range.snapshot = fields_.snapshot;
    for (const YieldEntry& entry : fields_.yield) {
      const bool inside = entry.key >= range.lower && (!range.upper || entry.key < *range.upper);
      if (!inside || entry.key.empty()) {
        return cursor.fail(entry.column, "this key is not in the range");
      }
      HistoryOperation read = scan;
      read.kind = HistoryOperation::Kind::read;
      read.yielded = true;
      read.absent = entry.absent;
      read.target = builder_.key(fields_.keyspace, entry.key);
      if (!resolve(cursor, entry.from, entry.write, read.target, entry.column, read.version)) {
        return false;
      }
      builder_.transaction(transaction).operations.push_back(read);
      ++range.yielded;
    }
    scan.target = static_cast<std::uint32_t>(builder_.history.ranges.size());
    builder_.history.ranges.push_back(std::move(range));
    builder_.transaction(transaction).operations.push_back(scan);
    return true;
  }

  bool take_write(JsonCursor& cursor, std::uint32_t transaction) {
    HistoryOperation write;
    write.kind = HistoryOperation::Kind::write;
    write.target = builder_.key(fields_.keyspace, fields_.key);
    write.at = line_;
    if (fields_.has(Field::kind)) {
      const auto kind = index_of(write_kinds, fields_.kind);
      if (!kind) {
        return cursor.fail(fields_.column(Field::kind),
                           fmt::format("unknown kind {}{}", spelled_short(fields_.kind),
                                       did_you_mean(fields_.kind, write_kinds)));
      }
      write.write_kind = static_cast<WriteKind>(*kind);
    }
    builder_.transaction(transaction).operations.push_back(write);
    return true;
  }

  bool take_undo(JsonCursor& cursor, std::uint32_t transaction) {
    auto& operations = builder_.transaction(transaction).operations;
    std::uint64_t standing = 0;
    for (const HistoryOperation& operation : operations) {
      if (operation.kind == HistoryOperation::Kind::write) ++standing;
      if (operation.kind == HistoryOperation::Kind::undo) standing -= operation.target;
    }
    if (fields_.count == 0 || fields_.count > standing) {
      return cursor.fail(fields_.column(Field::count),
                         fmt::format("T{} has {} writes to undo", fields_.txn, standing));
    }
    HistoryOperation undo;
    undo.kind = HistoryOperation::Kind::undo;
    undo.target = static_cast<std::uint32_t>(fields_.count);
    undo.at = line_;
    operations.push_back(undo);
    return true;
  }

  bool take_end(JsonCursor& cursor, std::uint32_t index, bool commit) {
    HistoryTransaction& ended = builder_.transaction(index);
    ended.ended_at = line_;
    if (fields_.has(Field::ns)) ended.ended_ns = static_cast<std::int64_t>(fields_.ns);
    if (fields_.has(Field::ts)) ended.timestamp = fields_.ts;
    ended.end = HistoryEnd::committed;
    if (commit) return true;
    if (fields_.has(Field::cause)) ended.cause = fields_.cause;
    const bool in_doubt = ended.cause == name(ErrorCode::commit_outcome_unknown);
    ended.end = in_doubt ? HistoryEnd::unknown : HistoryEnd::aborted;
    if (fields_.has(Field::ts) && !in_doubt) {
      return cursor.fail(fields_.column(Field::ts), "an aborted transaction has no timestamp");
    }
    return true;
  }

  bool take_order(JsonCursor& cursor) {
    HistoryOrder order;
    order.key = builder_.key(fields_.keyspace, fields_.key);
    const std::size_t column = fields_.column(Field::writers);
    for (const std::uint64_t id : fields_.writers) {
      const std::uint32_t writer = builder_.find(id);
      if (writer == no_index) return cursor.fail(column, fmt::format("T{} has not begun", id));
      if (write_counts_.count(writer, order.key) == 0) {
        pending_.push_back({writer, order.key, 0, line_, column, true});
      }
      order.writers.push_back(writer);
    }
    builder_.history.orders.push_back(std::move(order));
    return true;
  }

  HistoryBuilder builder_;
  WriteCounts write_counts_;
  HistoryFields fields_;
  std::vector<Pending> pending_;
  std::uint64_t line_ = 0;
};

}  // namespace

std::unique_ptr<HistoryReader> json_history_reader() {
  return std::make_unique<JsonHistoryReader>();
}

}  // namespace isolde::lab
