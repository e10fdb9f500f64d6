#include "lab/check/edn_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "isolde/keyspace.h"
#include "lab/check/graph.h"

namespace isolde::lab {
namespace {

using Operation = HistoryOperation;

class EdnWriter {
 public:
  EdnWriter(const History& history, EdnKind kind)
      : history_(history), graph_(history), kind_(kind) {}

  std::string run() && {
    number_writes();
    struct Moment {
      std::uint64_t at;
      std::uint32_t transaction;
      bool begins;
    };
    std::vector<Moment> moments;
    for (std::uint32_t t = 0; t < history_.transactions.size(); ++t) {
      const HistoryTransaction& transaction = history_.transactions[t];
      moments.push_back({transaction.began_at, t, true});
      moments.push_back({transaction.ended_at, t, false});
    }
    std::stable_sort(moments.begin(), moments.end(), [](const Moment& a, const Moment& b) {
      return a.at != b.at ? a.at < b.at : a.begins && !b.begins;
    });
    for (const Moment& moment : moments) put(moment.transaction, moment.begins);
    return std::move(text_);
  }

 private:
  // Every write gets a number of its own: the value that stands for it. What a savepoint undid was
  // never written, unless a transaction saw it: 0.
  void number_writes() {
    std::uint64_t next = 1;
    values_.resize(history_.transactions.size());
    std::set<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>> seen;
    for (std::uint32_t t = 0; t < history_.transactions.size(); ++t) {
      for (const Operation& operation : history_.transactions[t].operations) {
        const HistoryVersion& version = operation.version;
        if (operation.kind == Operation::Kind::read && version.write != 0 && version.writer != t) {
          seen.emplace(version.writer, operation.target, version.write);
        }
        if (operation.kind == Operation::Kind::write) {
          values_[t][operation.target].push_back(next++);
        }
      }
    }
    for (std::uint32_t t = 0; t < history_.transactions.size(); ++t) {
      for (const auto& [key, number] : undone_writes(t)) {
        if (seen.count({t, key, number}) == 0) values_[t][key][number - 1] = 0;
      }
    }
  }

  // Key and number of each.
  std::vector<std::pair<std::uint32_t, std::uint32_t>> undone_writes(std::uint32_t t) const {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> standing;
    std::vector<std::pair<std::uint32_t, std::uint32_t>> undone;
    std::map<std::uint32_t, std::uint32_t> numbers;
    for (const Operation& operation : history_.transactions[t].operations) {
      if (operation.kind == Operation::Kind::write) {
        standing.emplace_back(operation.target, ++numbers[operation.target]);
      }
      if (operation.kind != Operation::Kind::undo) continue;
      for (std::uint32_t n = 0; n < operation.target && !standing.empty(); ++n) {
        undone.push_back(standing.back());
        standing.pop_back();
      }
    }
    return undone;
  }

  void put(std::uint32_t t, bool begins) {
    const HistoryTransaction& transaction = history_.transactions[t];
    std::string_view type = ":invoke";
    if (begins) {
      processes_[t] = take_process();
    } else if (graph_.is_committed(t)) {
      type = ":ok";
    } else {
      type = transaction.end == HistoryEnd::aborted ? ":fail" : ":info";
    }
    const bool done = type == ":ok";
    text_ += fmt::format("{{:process {} :type {} :f :txn :value [", processes_[t], type);
    put_operations(t, done);
    text_ += ']';
    const std::int64_t ns = begins ? transaction.began_ns : transaction.ended_ns;
    if (ns >= 0) text_ += fmt::format(" :time {}", ns);
    text_ += fmt::format(" :index {}}}\n", index_++);
    // What became of the others is not known to Elle either: their processes are not used again.
    if (!begins && type != ":info") free_processes_.push_back(processes_[t]);
  }

  std::uint32_t take_process() {
    if (free_processes_.empty()) return next_process_++;
    const std::uint32_t process = free_processes_.back();
    free_processes_.pop_back();
    return process;
  }

  void put_operations(std::uint32_t t, bool done) {
    const auto& operations = history_.transactions[t].operations;
    const auto observations =
        graph_.is_committed(t) ? graph_.observations(t) : std::vector<Observation>();
    std::map<std::uint32_t, std::uint32_t> written;
    bool first = true;
    const auto begin = [&](std::string_view what, std::uint32_t key) {
      text_ += fmt::format("{}[:{} {} ", first ? "" : " ", what, spelled(key));
      first = false;
    };
    for (std::uint32_t i = 0; i < operations.size(); ++i) {
      const Operation& operation = operations[i];
      if (operation.kind == Operation::Kind::write) {
        const std::uint64_t value = values_[t][operation.target][written[operation.target]++];
        if (value == 0) continue;
        begin(kind_ == EdnKind::list_append ? "append" : "w", operation.target);
        text_ += fmt::format("{}]", value);
      } else if (operation.kind == Operation::Kind::read) {
        begin("r", operation.target);
        const HistoryVersion version = version_read(t, i);
        text_ += done ? value(t, operation.target, version, written[operation.target]) : "nil";
        text_ += ']';
      } else if (operation.kind == Operation::Kind::scan) {
        for (const Observation& seen : observations) {
          if (seen.operation != i) continue;
          begin("r", seen.key);
          text_ += done ? value(t, seen.key, {seen.writer, 0}, written[seen.key]) : "nil";
          text_ += ']';
        }
      }
    }
  }

  HistoryVersion version_read(std::uint32_t t, std::uint32_t index) const {
    const Operation& read = history_.transactions[t].operations[index];
    if (read.version.writer == t) return {};
    if (!graph_.is_committed(t) || !graph_.takes_effect_at_commit(t, index)) return read.version;
    HistoryVersion before;
    for (const std::uint32_t writer : graph_.writers_of(read.target)) {
      if (writer == t) return before;
      before.writer = writer;
    }
    return read.version;
  }

  // What a read of that version returns, below `own` writes of the reader.
  std::string value(std::uint32_t t, std::uint32_t key, HistoryVersion version, std::uint32_t own) {
    std::vector<std::uint64_t> list;
    if (!version.is_base()) {
      const auto writers = graph_.writers_of(key);
      const auto at = std::find(writers.begin(), writers.end(), version.writer);
      if (at != writers.end()) {
        for (auto before = writers.begin(); before != at; ++before) append(list, *before, key, 0);
      }
      append(list, version.writer, key, version.write);
    } else if (own > 0 && kind_ == EdnKind::list_append) {
      append_below(list, t, key);
    }
    if (own > 0) append(list, t, key, own);
    if (kind_ == EdnKind::list_append) return fmt::format("[{}]", fmt::join(list, " "));
    return list.empty() ? "nil" : std::to_string(list.back());
  }

  // The first `count` writes of the key by the writer; 0: all.
  void append(std::vector<std::uint64_t>& list, std::uint32_t writer, std::uint32_t key,
              std::uint32_t count) const {
    const auto found = values_[writer].find(key);
    if (found == values_[writer].end()) return;
    const std::size_t all = found->second.size();
    const std::size_t wanted = count == 0 ? all : std::min<std::size_t>(count, all);
    std::copy_if(found->second.begin(), found->second.begin() + static_cast<std::ptrdiff_t>(wanted),
                 std::back_inserter(list), [](std::uint64_t value) { return value != 0; });
  }

  // A read of its own write says nothing of what lies below; the commit does.
  void append_below(std::vector<std::uint64_t>& list, std::uint32_t t, std::uint32_t key) const {
    for (const std::uint32_t writer : graph_.writers_of(key)) {
      if (writer == t) return;
      append(list, writer, key, 0);
    }
  }

  std::string spelled(std::uint32_t index) const {
    const HistoryKey& key = history_.keys[index];
    std::string name =
        key.keyspace == default_keyspace_name ? key.key : key.keyspace + '/' + key.key;
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
    });
    const bool letter = !name.empty() && (name[0] < '0' || name[0] > '9') && name[0] != '-';
    if (plain && letter) return ':' + name;
    std::string quoted = "\"";
    for (const char c : name) {
      const auto code = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        quoted += '\\';
        quoted += c;
      } else if (code < 0x20 || code >= 0x7f) {
        quoted += fmt::format("\\\\x{:02x}", code);
      } else {
        quoted += c;
      }
    }
    return quoted + '"';
  }

  const History& history_;
  DependencyGraph graph_;
  EdnKind kind_;
  std::string text_;
  std::vector<std::map<std::uint32_t, std::vector<std::uint64_t>>> values_;
  std::map<std::uint32_t, std::uint32_t> processes_;
  std::vector<std::uint32_t> free_processes_;
  std::uint32_t next_process_ = 0;
  std::size_t index_ = 0;
};

}  // namespace

std::string to_edn(const History& history, EdnKind kind) { return EdnWriter(history, kind).run(); }

}  // namespace isolde::lab
