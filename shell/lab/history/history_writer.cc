#include "lab/history/history_writer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <vector>

#include "isolde/keyspace.h"
#include "lab/history/history_fields.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

using Kind = HistoryOperation::Kind;

constexpr std::size_t piece_bytes = std::size_t{1} << 20;

class Writer {
 public:
  Writer(const History& history, const std::function<bool(std::string_view)>& write)
      : history_(history), write_(write) {}

  void run() {
    text_ = R"({"event":"history","version":1)";
    if (history_.orders_only) text_ += R"(,"listed":true)";
    text_ += "}\n";
    for (const Moment& moment : moments()) {
      put(moment);
      if (text_.size() >= piece_bytes && !flush()) return;
    }
    for (const HistoryOrder& order : history_.orders) put(order);
    flush();
  }

 private:
  static constexpr std::uint32_t begin = no_index;
  static constexpr std::uint32_t end = no_index - 1;
  struct Moment {
    std::uint64_t at;
    std::uint32_t transaction;
    std::uint32_t operation;
  };

  bool flush() {
    const bool go_on = write_(text_);
    text_.clear();
    return go_on;
  }

  // In the order of all events; what has no place of its own stays in that of its transaction.
  std::vector<Moment> moments() const {
    std::vector<Moment> moments;
    for (std::uint32_t t = 0; t < history_.transactions.size(); ++t) {
      const HistoryTransaction& transaction = history_.transactions[t];
      moments.push_back({transaction.began_at, t, begin});
      for (std::uint32_t i = 0; i < transaction.operations.size(); ++i) {
        if (transaction.operations[i].yielded) continue;
        moments.push_back({std::max(transaction.operations[i].at, transaction.began_at), t, i});
      }
      if (transaction.end != HistoryEnd::open) moments.push_back({transaction.ended_at, t, end});
    }
    std::stable_sort(moments.begin(), moments.end(),
                     [](const Moment& a, const Moment& b) { return a.at < b.at; });
    return moments;
  }

  void field(std::string_view name) {
    text_ += ",\"";
    text_ += name;
    text_ += "\":";
  }
  void number(std::string_view name, std::uint64_t value) {
    field(name);
    digits(value);
  }
  void digits(std::uint64_t value) {
    std::array<char, 20> buffer;
    const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    text_.append(buffer.data(), result.ptr);
  }
  void bytes(std::string_view name, std::string_view value) {
    field(name);
    append_json(text_, value);
  }
  void flag(std::string_view name, bool on) {
    if (!on) return;
    field(name);
    text_ += "true";
  }
  void start(std::string_view event, std::uint32_t transaction) {
    text_ += "{\"event\":\"";
    text_ += event;
    text_ += '"';
    if (transaction != no_index) number("txn", history_.transactions[transaction].id);
  }
  void keyspace(const std::string& name) {
    if (name != default_keyspace_name) bytes("keyspace", name);
  }

  void put(const Moment& moment) {
    if (moment.operation == begin) {
      put_begin(moment.transaction);
    } else if (moment.operation == end) {
      put_end(moment.transaction);
    } else {
      put_operation(moment.transaction, moment.operation);
    }
    text_ += "}\n";
  }

  void put_begin(std::uint32_t t) {
    const HistoryTransaction& transaction = history_.transactions[t];
    start("begin", t);
    if (!transaction.session.empty()) bytes("session", transaction.session);
    if (!transaction.label.empty()) bytes("label", transaction.label);
    if (transaction.level) {
      bytes("level", name(*transaction.level));
      bytes("locking", name(transaction.locking));
    }
    if (transaction.began_ns >= 0) number("ns", static_cast<std::uint64_t>(transaction.began_ns));
  }

  void put_end(std::uint32_t t) {
    const HistoryTransaction& transaction = history_.transactions[t];
    start(transaction.end == HistoryEnd::committed ? "commit" : "abort", t);
    if (!transaction.cause.empty()) {
      bytes("cause", transaction.cause);
    } else if (transaction.end == HistoryEnd::unknown) {
      bytes("cause", name(ErrorCode::commit_outcome_unknown));
    }
    if (transaction.timestamp != 0) number("ts", transaction.timestamp);
    if (transaction.ended_ns >= 0) number("ns", static_cast<std::uint64_t>(transaction.ended_ns));
  }

  void put_operation(std::uint32_t t, std::uint32_t index) {
    const HistoryOperation& operation = history_.transactions[t].operations[index];
    switch (operation.kind) {
      case Kind::read:
        start("read", t);
        put_key(operation.target);
        put_version(operation.version);
        flag("absent", operation.absent);
        flag("conditional", operation.before_write);
        put_mode(operation);
        break;
      case Kind::scan:
        put_scan(t, index);
        break;
      case Kind::write:
        start("write", t);
        put_key(operation.target);
        if (operation.write_kind != WriteKind::put) {
          bytes("kind", write_kinds[static_cast<std::size_t>(operation.write_kind)]);
        }
        break;
      case Kind::undo:
        start("undo", t);
        number("count", operation.target);
        break;
    }
  }

  void put_key(std::uint32_t key) {
    bytes("key", history_.keys[key].key);
    keyspace(history_.keys[key].keyspace);
  }

  void put_version(const HistoryVersion& version) {
    number("from", version.is_base() ? 0 : history_.transactions[version.writer].id);
    if (version.write != 0) number("write", version.write);
  }

  void put_mode(const HistoryOperation& operation) {
    flag("cursor", operation.cursor);
    flag("untracked", operation.untracked);
    if (operation.mode != ReadMode::plain) {
      bytes("mode", read_modes[static_cast<std::size_t>(operation.mode)]);
    }
  }

  void put_scan(std::uint32_t t, std::uint32_t index) {
    const auto& operations = history_.transactions[t].operations;
    const HistoryRange& range = history_.ranges[operations[index].target];
    start("scan", t);
    keyspace(range.keyspace);
    if (!range.lower.empty()) bytes("lower", range.lower);
    if (range.upper) bytes("upper", *range.upper);
    flag("reverse", range.reverse);
    flag("limited", range.limited);
    if (range.snapshot) number("snapshot", *range.snapshot);
    put_mode(operations[index]);
    if (range.yielded == 0) return;
    field("yield");
    char separator = '[';
    for (std::uint32_t i = index - range.yielded; i < index; ++i) {
      text_ += separator;
      separator = ',';
      text_ += "{\"key\":";
      append_json(text_, history_.keys[operations[i].target].key);
      put_version(operations[i].version);
      flag("absent", operations[i].absent);
      text_ += '}';
    }
    text_ += ']';
  }

  void put(const HistoryOrder& order) {
    start("order", no_index);
    put_key(order.key);
    field("writers");
    char separator = '[';
    for (const std::uint32_t writer : order.writers) {
      text_ += separator;
      separator = ',';
      digits(history_.transactions[writer].id);
    }
    if (order.writers.empty()) text_ += separator;
    text_ += "]}\n";
  }

  const History& history_;
  const std::function<bool(std::string_view)>& write_;
  std::string text_;
};

}  // namespace

void append_json(std::string& text, std::string_view bytes) {
  if (!is_utf8(bytes)) {
    text += "{\"hex\":\"" + hex(bytes) + "\"}";
    return;
  }
  constexpr std::string_view digits = "0123456789abcdef";
  text += '"';
  for (const char c : bytes) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += '\\';
      text += c;
    } else if (code < 0x20 || code == 0x7f) {
      text += "\\u00";
      text += digits[code >> 4];
      text += digits[code & 15];
    } else {
      text += c;
    }
  }
  text += '"';
}

void write_history(const History& history, const std::function<bool(std::string_view)>& write) {
  Writer(history, write).run();
}

std::string to_json_lines(const History& history) {
  std::string text;
  write_history(history, [&](std::string_view piece) {
    text += piece;
    return true;
  });
  return text;
}

}  // namespace isolde::lab
