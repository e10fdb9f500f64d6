// Elle's histories into ours: versions by their values, their order as far as it can be inferred.
#include "lab/history/edn_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "isolde/keyspace.h"
#include "lab/history/edn_value.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

using Operation = HistoryOperation;

class EdnHistoryReader : public HistoryReader {
 public:
  EdnHistoryReader() { builder_.history.orders_only = true; }

  std::optional<InputFault> line(std::string_view text) override {
    ++line_;
    if (text.size() > longest_history_line) {
      return InputFault{line_, longest_history_line,
                        fmt::format("a line of {} bytes; at most {} are allowed", text.size(),
                                    longest_history_line)};
    }
    auto parsed = parse_edn(text);
    if (auto* fault = std::get_if<InputFault>(&parsed)) {
      fault->line = line_;
      return std::move(*fault);
    }
    auto& value = std::get<std::optional<EdnValue>>(parsed);
    if (value) take(*value);
    return fault_;
  }

  std::variant<History, InputFault> finish() override {
    for (const auto& [process, invoked] : pending_) {
      HistoryTransaction& open = builder_.transaction(invoked.transaction);
      open.end = HistoryEnd::unknown;
    }
    for (const Read& read : reads_) resolve(read);
    if (fault_) return std::move(*fault_);
    order_versions();
    return std::move(builder_.history);
  }

 private:
  struct Written {
    std::uint32_t transaction;
    std::uint32_t number;  // among its writes of the key
  };
  struct Element {
    std::string value;
    std::size_t column;
  };
  struct Read {
    std::uint32_t transaction;
    std::uint32_t operation;
    std::size_t line;
    std::vector<Element> elements;  // a register: one, or none for nil
  };
  struct Invoked {
    std::uint32_t transaction;
    EdnValue value;
  };
  struct Key {
    std::unordered_map<std::string, Written> writes;
    std::vector<std::vector<std::string>> lists;  // the longest, and those that contradict it
    std::vector<std::pair<std::uint32_t, std::uint32_t>> followed;  // register: read, then wrote
  };

  void fail(const EdnValue& at, std::string message) { fail(line_, at.column, std::move(message)); }
  void fail(std::size_t line, std::size_t column, std::string message) {
    if (!fault_) fault_ = InputFault{line, column, std::move(message)};
  }

  // One operation of the history.
  void take(const EdnValue& map) {
    if (map.kind != EdnValue::Kind::map)
      return fail(map, "expected one map a line: {:process ...}");
    const EdnValue* type = map.find("type");
    const EdnValue* process = map.find("process");
    if (type == nullptr) return fail(map, "this map has no :type");
    if (process == nullptr) return fail(map, "this map has no :process");
    if (!process->is_integer()) return;  // the nemesis
    const EdnValue* function = map.find("f");
    if (function != nullptr && !function->is("txn")) {
      return fail(*function, "only transactions (:f :txn) can be judged");
    }
    const EdnValue* value = map.find("value");
    if (type->is("invoke")) return invoke(*process, value, map);
    if (!type->is("ok") && !type->is("fail") && !type->is("info")) {
      return fail(*type, "expected :invoke, :ok, :fail or :info");
    }
    complete(*type, *process, value, map);
  }

  void invoke(const EdnValue& process, const EdnValue* value, const EdnValue& map) {
    if (pending_.count(process.text) != 0) {
      return fail(process,
                  fmt::format("process {} has not completed what it invoked before", process.text));
    }
    if (value == nullptr) return fail(map, "this map has no :value");
    const std::uint32_t index = builder_.add(++transactions_);
    HistoryTransaction& begun = builder_.transaction(index);
    begun.began_at = line_;
    begun.session = process.text;
    set_time(begun.began_ns, map);
    // What it wants to write is known now; another may see it before this one completes.
    add_micro_operations(index, *value, false);
    pending_.emplace(process.text, Invoked{index, *value});
  }

  void complete(const EdnValue& type, const EdnValue& process, const EdnValue* value,
                const EdnValue& map) {
    const auto pending = pending_.find(process.text);
    if (pending == pending_.end()) {
      return fail(process, fmt::format("process {} has invoked nothing that this could complete",
                                       process.text));
    }
    const std::uint32_t index = pending->second.transaction;
    HistoryTransaction& ended = builder_.transaction(index);
    if (!type.is("info")) ended.ended_at = line_;
    set_time(ended.ended_ns, map);
    if (type.is("ok")) {
      ended.end = HistoryEnd::committed;
      if (value == nullptr) return fail(map, "this map has no :value");
      if (!same_writes(pending->second.value, *value)) {
        return fail(*value, "this is not the transaction that the process invoked");
      }
      ended.operations.clear();
      add_micro_operations(index, *value, true);
    } else {
      ended.end = type.is("fail") ? HistoryEnd::aborted : HistoryEnd::unknown;
    }
    pending_.erase(pending);
  }

  static void set_time(std::int64_t& ns, const EdnValue& map) {
    const EdnValue* time = map.find("time");
    if (time != nullptr && time->is_integer())
      ns = std::max(*to_integer(time->text), std::int64_t{-1});
  }

  static bool same(const EdnValue& a, const EdnValue& b) {
    return a.kind == b.kind && a.text == b.text && a.items.size() == b.items.size() &&
           std::equal(a.items.begin(), a.items.end(), b.items.begin(), same);
  }
  static bool same_writes(const EdnValue& invoked, const EdnValue& completed) {
    if (invoked.items.size() != completed.items.size()) return false;
    for (std::size_t i = 0; i < invoked.items.size(); ++i) {
      const auto& a = invoked.items[i].items;
      const auto& b = completed.items[i].items;
      if (a.size() < 2 || b.size() < 2 || !same(a[0], b[0]) || !same(a[1], b[1])) return false;
      if (!a[0].is("r") && !same(invoked.items[i], completed.items[i])) return false;
    }
    return true;
  }

  // [[:append :x 1] [:r :x [1 2]]], or with :w. Reads count once it is known what they returned.
  void add_micro_operations(std::uint32_t index, const EdnValue& value, bool completed) {
    if (value.kind != EdnValue::Kind::sequence) return fail(value, "expected [[:r :x nil] ...]");
    std::unordered_map<std::uint32_t, std::uint32_t> numbers;
    for (const EdnValue& micro : value.items) {
      if (micro.kind != EdnValue::Kind::sequence || micro.items.size() < 2 ||
          micro.items.size() > 3 || micro.items[0].kind != EdnValue::Kind::keyword) {
        return fail(micro, "expected [:r KEY VALUE], [:w KEY VALUE] or [:append KEY VALUE]");
      }
      const EdnValue& what = micro.items[0];
      const std::uint32_t key = key_of(micro.items[1]);
      if (fault_) return;
      const EdnValue* argument = micro.items.size() > 2 ? &micro.items[2] : nullptr;
      if (what.is("r")) {
        if (completed) add_read(index, key, argument);
      } else if (what.is("append") || what.is("w")) {
        add_write(index, key, what, argument, ++numbers[key], completed);
      } else {
        fail(what, "expected :r, :w or :append");
      }
      if (fault_) return;
    }
  }

  std::uint32_t key_of(const EdnValue& key) {
    const bool simple = key.kind == EdnValue::Kind::keyword || key.kind == EdnValue::Kind::symbol ||
                        key.kind == EdnValue::Kind::string;
    if (!simple || key.text.empty()) {
      fail(key, "a key is a keyword, a number or a string");
      return 0;
    }
    const std::uint32_t index = builder_.key(default_keyspace_name, key.text);
    if (index >= keys_.size()) keys_.resize(index + 1);
    return index;
  }

  bool is_value(const EdnValue& value) {
    if (value.items.empty() && value.kind != EdnValue::Kind::nil &&
        value.kind != EdnValue::Kind::sequence && value.kind != EdnValue::Kind::map) {
      return true;
    }
    fail(value, "a value is a number, a keyword or a string");
    return false;
  }

  void add_write(std::uint32_t index, std::uint32_t key, const EdnValue& what,
                 const EdnValue* argument, std::uint32_t number, bool completed) {
    if (argument == nullptr) return fail(what, "what is to be written?");
    if (!is_value(*argument)) return;
    const bool append = what.is("append");
    if (is_append_ && *is_append_ != append) {
      return fail(what, ":append and :w do not go together in one history");
    }
    is_append_ = append;
    Operation write;
    write.kind = Operation::Kind::write;
    write.target = key;
    write.at = line_;
    builder_.transaction(index).operations.push_back(write);
    if (completed) return;
    const auto [known, is_new] = keys_[key].writes.emplace(argument->text, Written{index, number});
    if (!is_new) {
      fail(*argument,
           fmt::format("{} is written to {} a second time, so reads of it do not tell by "
                       "whom; values must be unique",
                       spelled_short(argument->text), spelled_key(builder_.history.keys[key])));
    }
  }

  void add_read(std::uint32_t index, std::uint32_t key, const EdnValue* argument) {
    Operation read;
    read.target = key;
    read.at = line_;
    read.absent = true;
    Read seen{index,
              static_cast<std::uint32_t>(builder_.transaction(index).operations.size()),
              line_,
              {}};
    if (argument != nullptr && argument->kind == EdnValue::Kind::sequence) {
      for (const EdnValue& element : argument->items) {
        if (!is_value(element)) return;
        seen.elements.push_back({element.text, element.column});
      }
      has_list_ = true;
    } else if (argument != nullptr && argument->kind != EdnValue::Kind::nil) {
      if (!is_value(*argument)) return;
      if (is_append_.value_or(false))
        return fail(*argument, "a read of list-append returns a list");
      seen.elements.push_back({argument->text, argument->column});
    }
    if (has_list_ && is_append_ && !*is_append_) {
      return fail(argument != nullptr ? *argument : EdnValue{}, "a register holds no list");
    }
    builder_.transaction(index).operations.push_back(read);
    reads_.push_back(std::move(seen));
  }

  // Which version a read saw, now that all writes are known.
  void resolve(const Read& read) {
    Operation& operation = builder_.transaction(read.transaction).operations[read.operation];
    Key& key = keys_[operation.target];
    std::vector<const Written*> writers;
    std::unordered_set<std::string_view> seen;
    for (const Element& element : read.elements) {
      const auto written = key.writes.find(element.value);
      if (written == key.writes.end()) {
        return fail(read.line, element.column,
                    fmt::format("{} was never written to {}", spelled_short(element.value),
                                spelled_key(builder_.history.keys[operation.target])));
      }
      if (!seen.insert(element.value).second) {
        return fail(read.line, element.column,
                    fmt::format("{} comes twice in this list", spelled_short(element.value)));
      }
      writers.push_back(&written->second);
    }
    note_committed(read, writers);
    std::size_t length = writers.size();
    if (length > 0) {
      operation.version = {writers[length - 1]->transaction, writers[length - 1]->number};
      operation.absent = false;
    }
    if (is_append_.value_or(has_list_)) {
      note_list(key, read);
      // Below its own appends a transaction has seen what the others had appended.
      while (length > 0 && writers[length - 1]->transaction == read.transaction) --length;
      operation.version = {};
      if (length > 0) {
        operation.version = {writers[length - 1]->transaction, writers[length - 1]->number};
      }
    } else if (length > 0 && writers[0]->transaction != read.transaction) {
      note_following(key, read, writers[0]->transaction);
    }
  }

  // A transaction in doubt has committed if one that committed saw something of it.
  void note_committed(const Read& read, const std::vector<const Written*>& writers) {
    for (const Written* written : writers) {
      HistoryTransaction& writer = builder_.transaction(written->transaction);
      if (writer.end == HistoryEnd::unknown) writer.end = HistoryEnd::committed;
      if (writer.end == HistoryEnd::aborted && written != writers.back()) {
        aborted_elements_.push_back(
            {read.transaction, written->transaction, written->number,
             builder_.transaction(read.transaction).operations[read.operation].target});
      }
    }
  }

  void note_list(Key& key, const Read& read) {
    std::vector<std::string> list;
    for (const Element& element : read.elements) list.push_back(element.value);
    if (key.lists.empty()) key.lists.emplace_back();
    std::vector<std::string>& longest = key.lists.front();
    const std::size_t common = std::min(longest.size(), list.size());
    const bool agree = std::equal(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(common),
                                  longest.begin());
    if (!agree) {
      key.lists.push_back(std::move(list));
      if (key.lists.back().size() > key.lists.front().size()) {
        std::swap(key.lists.front(), key.lists.back());
      }
    } else if (list.size() > longest.size()) {
      longest = std::move(list);
    }
  }

  // Read v, then wrote w: v comes before w.
  void note_following(Key& key, const Read& read, std::uint32_t writer) const {
    const auto& operations = builder_.history.transactions[read.transaction].operations;
    const std::uint32_t target = operations[read.operation].target;
    for (std::size_t i = read.operation + 1; i < operations.size(); ++i) {
      if (operations[i].kind != Operation::Kind::write || operations[i].target != target) continue;
      key.followed.emplace_back(writer, read.transaction);
      return;
    }
  }

  void order_versions() {
    for (std::uint32_t index = 0; index < keys_.size(); ++index) {
      const Key& key = keys_[index];
      for (const auto& [before, after] : key.followed) {
        builder_.history.orders.push_back({index, {before, after}});
      }
      order_lists(index, key);
    }
    for (const AbortedElement& element : aborted_elements_) {
      Operation read;
      read.target = element.key;
      read.version = {element.writer, element.number};
      builder_.transaction(element.reader).operations.push_back(read);
    }
  }

  void order_lists(std::uint32_t index, const Key& key) {
    std::uint32_t last = no_index;
    std::unordered_set<std::string_view> listed;
    for (const std::vector<std::string>& list : key.lists) {
      HistoryOrder order{index, {}};
      for (const std::string& element : list) {
        const std::uint32_t writer = key.writes.at(element).transaction;
        listed.insert(element);
        if (builder_.transaction(writer).end != HistoryEnd::committed) continue;
        if (order.writers.empty() || order.writers.back() != writer)
          order.writers.push_back(writer);
      }
      if (last == no_index && !order.writers.empty()) last = order.writers.back();
      if (order.writers.size() > 1) builder_.history.orders.push_back(std::move(order));
    }
    if (last == no_index) return;
    // No transaction has read it, so it came after all that was read; lists only grow.
    std::map<std::uint32_t, bool> unread;
    for (const auto& [value, written] : key.writes) {
      const bool committed = builder_.transaction(written.transaction).end == HistoryEnd::committed;
      if (!committed || written.transaction == last) continue;
      const auto [entry, is_new] = unread.emplace(written.transaction, true);
      entry->second = entry->second && listed.count(value) == 0;
    }
    for (const auto& [writer, none_listed] : unread) {
      if (none_listed) builder_.history.orders.push_back({index, {last, writer}});
    }
  }

  struct AbortedElement {
    std::uint32_t reader;
    std::uint32_t writer;
    std::uint32_t number;
    std::uint32_t key;
  };

  HistoryBuilder builder_;
  std::optional<InputFault> fault_;
  std::size_t line_ = 0;
  std::uint64_t transactions_ = 0;
  std::optional<bool> is_append_;
  bool has_list_ = false;
  std::map<std::string, Invoked> pending_;  // by process
  std::vector<Read> reads_;
  std::vector<Key> keys_;
  std::vector<AbortedElement> aborted_elements_;
};

}  // namespace

std::unique_ptr<HistoryReader> edn_history_reader() { return std::make_unique<EdnHistoryReader>(); }

}  // namespace isolde::lab
