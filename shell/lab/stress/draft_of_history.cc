#include "lab/stress/draft_of_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "isolde/keyspace.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

using Operation = HistoryOperation;

std::string_view short_name(Isolation level) {
  switch (level) {
    case Isolation::read_uncommitted:
      return "ru";
    case Isolation::read_committed:
      return "rc";
    case Isolation::repeatable_read:
      return "rr";
    case Isolation::serializable:
      break;
  }
  return "ser";
}

std::string_view ending_of(ReadMode mode) {
  switch (mode) {
    case ReadMode::plain:
      return "";
    case ReadMode::for_update:
      return " for update";
    case ReadMode::for_share:
      break;
  }
  return " for share";
}

class Retold {
 public:
  Retold(const History& history, const std::set<std::uint32_t>& transactions,
         const Retelling& retelling)
      : history_(history), transactions_(transactions), retelling_(retelling) {}

  Draft draft() && {
    find_ends();
    for (const std::uint32_t index : transactions_) tell(index);
    std::stable_sort(told_.begin(), told_.end(),
                     [](const Told& a, const Told& b) { return a.at < b.at; });
    Draft draft;
    draft.setup = setup();
    for (Told& told : told_) draft.moves.push_back({told.session, std::move(told.text)});
    return draft;
  }

 private:
  struct Told {
    double at;  // place in the order of events, or between two
    std::size_t session;
    std::string text;
  };
  static constexpr double just_before = 0.25;

  // Acknowledged is later than visible: what read a version, or committed after it, comes after.
  void find_ends() {
    for (const std::uint32_t index : transactions_) {
      ends_[index] = static_cast<double>(history_.transactions[index].ended_at);
    }
    for (const std::uint32_t reader : transactions_) {
      for (const Operation& operation : history_.transactions[reader].operations) {
        if (operation.kind != Operation::Kind::read || operation.version.is_base()) continue;
        const std::uint32_t writer = operation.version.writer;
        const auto end = ends_.find(writer);
        const bool committed = history_.transactions[writer].end == HistoryEnd::committed;
        if (end == ends_.end() || writer == reader || !committed) continue;
        if (history_.transactions[reader].level == Isolation::read_uncommitted) continue;
        end->second = std::min(end->second, static_cast<double>(operation.at) - just_before);
      }
    }
    for (const std::uint32_t index : transactions_) end_before_who_locks_what_it_wrote(index);
    std::vector<std::uint32_t> by_commit;
    for (const std::uint32_t index : transactions_) {
      const HistoryTransaction& txn = history_.transactions[index];
      const bool wrote =
          std::any_of(txn.operations.begin(), txn.operations.end(),
                      [](const Operation& each) { return each.kind == Operation::Kind::write; });
      if (wrote && txn.timestamp != 0) by_commit.push_back(index);
    }
    std::sort(by_commit.begin(), by_commit.end(), [&](std::uint32_t a, std::uint32_t b) {
      return history_.transactions[a].timestamp > history_.transactions[b].timestamp;
    });
    for (std::size_t i = 1; i < by_commit.size(); ++i) {
      double& end = ends_[by_commit[i]];
      end = std::min(end, ends_[by_commit[i - 1]] - just_before / 64);
    }
  }

  // A pessimist that writes a key after it has the lock, which the one that committed before gave
  // up once that was visible. Told the other way round, that commit would have to wait.
  void end_before_who_locks_what_it_wrote(std::uint32_t index) {
    const HistoryTransaction& writer = history_.transactions[index];
    if (writer.end != HistoryEnd::committed || writer.timestamp == 0) return;
    double& end = ends_[index];
    for (const std::uint32_t other : transactions_) {
      const HistoryTransaction& later = history_.transactions[other];
      if (later.locking != Locking::pessimistic || later.timestamp <= writer.timestamp) continue;
      for (const Operation& operation : later.operations) {
        if (operation.kind == Operation::Kind::write && wrote(writer, operation.target)) {
          end = std::min(end, static_cast<double>(operation.at) - just_before);
        }
      }
    }
  }

  static bool wrote(const HistoryTransaction& transaction, std::uint32_t key) {
    return std::any_of(transaction.operations.begin(), transaction.operations.end(),
                       [key](const Operation& each) {
                         return each.kind == Operation::Kind::write && each.target == key;
                       });
  }

  void tell(std::uint32_t index) {
    const HistoryTransaction& txn = history_.transactions[index];
    const std::size_t session = index;
    std::string begin = "begin";
    if (txn.level) begin += fmt::format(" {}", short_name(*txn.level));
    begin += txn.locking == Locking::pessimistic ? " pessimistic" : " optimistic";
    told_.push_back({static_cast<double>(txn.began_at), session, std::move(begin)});
    std::vector<std::size_t> standing;  // writes, as indexes into told_
    bool first = true;
    for (std::size_t i = 0; i < txn.operations.size(); ++i) {
      const Operation& operation = txn.operations[i];
      if (operation.kind == Operation::Kind::undo) {
        undo(operation, standing, session);
        continue;
      }
      const bool whole =
          i + 1 == txn.operations.size() || !continues(operation, txn.operations[i + 1]);
      auto text = whole ? text_of(operation) : std::nullopt;
      if (!text) continue;
      const bool writes = operation.kind == Operation::Kind::write;
      if (writes) standing.push_back(told_.size());
      const auto at = static_cast<double>(operation.at);
      told_.push_back(
          {first ? std::min(at, before_what_it_missed(txn)) : at, session, std::move(*text)});
      first = false;
    }
    if (txn.end == HistoryEnd::open) return;
    const bool by_user = txn.end == HistoryEnd::aborted && txn.cause.empty();
    told_.push_back({ends_[index], session, by_user ? "rollback" : "commit"});
    if (retelling_.checkpoints && !by_user) {
      told_.push_back({ends_[index], checkpointer, "checkpoint"});
    }
  }

  // A snapshot is older than what the history says of its first operation: that is told once it is
  // done. It stands before the first commit that it does not show, and behind the one before that.
  double before_what_it_missed(const HistoryTransaction& txn) const {
    double first = std::numeric_limits<double>::infinity();
    const Isolation level = txn.level.value_or(Isolation::serializable);
    if (txn.locking == Locking::pessimistic || level < Isolation::repeatable_read) return first;
    for (const std::uint32_t index : transactions_) {
      const HistoryTransaction& writer = history_.transactions[index];
      if (writer.end != HistoryEnd::committed || writer.id == txn.id) continue;
      const bool missed =
          std::any_of(txn.operations.begin(), txn.operations.end(),
                      [&](const Operation& operation) { return misses(operation, writer); });
      const double end = ends_.at(index) - just_before / 128;
      if (missed && end > static_cast<double>(txn.began_at)) first = std::min(first, end);
    }
    return first;
  }

  bool misses(const Operation& operation, const HistoryTransaction& writer) const {
    if (operation.kind == Operation::Kind::scan) {
      const auto& snapshot = history_.ranges[operation.target].snapshot;
      return snapshot && *snapshot < writer.timestamp;
    }
    if (operation.kind != Operation::Kind::read || !wrote(writer, operation.target)) return false;
    const HistoryVersion& version = operation.version;
    return (version.is_base() ? 0 : history_.transactions[version.writer].timestamp) <
           writer.timestamp;
  }

  void undo(const Operation& operation, std::vector<std::size_t>& standing, std::size_t session) {
    const std::size_t count = std::min<std::size_t>(operation.target, standing.size());
    if (count == 0) return;
    const double first = told_[standing[standing.size() - count]].at;
    const std::string name = fmt::format("s{}", ++savepoints_);
    told_.push_back({first - just_before, session, "savepoint " + name});
    told_.push_back({static_cast<double>(operation.at), session, "rollback to " + name});
    standing.resize(standing.size() - count);
  }

  std::string in(const std::string& keyspace, std::string text) {
    if (keyspace == default_keyspace_name) return text;
    keyspaces_.insert(keyspace);
    return fmt::format("in {} {}", spelled(keyspace), text);
  }

  std::string fresh_value() { return retelling_.equal_values ? "1" : std::to_string(++values_); }

  // An insert, add_and_get or compare_and_set is told by its write. One that failed wrote nothing.
  static bool continues(const Operation& read, const Operation& next) {
    return read.kind == Operation::Kind::read && read.before_write &&
           next.kind == Operation::Kind::write && next.target == read.target;
  }

  // Nothing: it is a part of another operation.
  std::optional<std::string> text_of(const Operation& operation) {
    if (operation.kind == Operation::Kind::scan) {
      const HistoryRange& range = history_.ranges[operation.target];
      std::string text = range.lower.empty() && !range.upper ? "*" : spelled_bounds(range);
      return in(range.keyspace, fmt::format("scan {}{}{}", text, range.reverse ? " reverse" : "",
                                            ending_of(operation.mode)));
    }
    const HistoryKey& key = history_.keys[operation.target];
    if (operation.kind == Operation::Kind::read) {
      if (operation.yielded) return std::nullopt;
      return in(key.keyspace, fmt::format("get {}{}", spelled(key.key), ending_of(operation.mode)));
    }
    switch (operation.write_kind) {
      case WriteKind::erase:
        return in(key.keyspace, fmt::format("del {}", spelled(key.key)));
      case WriteKind::insert:
        return in(key.keyspace, fmt::format("insert {} {}", spelled(key.key), fresh_value()));
      case WriteKind::add:
        return in(key.keyspace, fmt::format("add {} 1", spelled(key.key)));
      case WriteKind::add_and_get:
        return in(key.keyspace, fmt::format("add_and_get {} 1", spelled(key.key)));
      default:
        return in(key.keyspace, fmt::format("put {} {}", spelled(key.key), fresh_value()));
    }
  }

  static std::string spelled_bounds(const HistoryRange& range) {
    return (range.lower.empty() ? std::string() : spelled(range.lower)) + ".." +
           (range.upper ? spelled(*range.upper) : std::string());
  }

  // What was there before: keys whose first version was read as present.
  std::vector<std::string> setup() {
    std::set<std::uint32_t> present;
    for (const std::uint32_t index : transactions_) {
      for (const Operation& operation : history_.transactions[index].operations) {
        const bool elsewhere =
            !operation.version.is_base() && transactions_.count(operation.version.writer) == 0;
        if (operation.kind == Operation::Kind::read && !operation.absent &&
            (operation.version.is_base() || elsewhere)) {
          present.insert(operation.target);
        }
      }
    }
    std::vector<std::string> lines;
    for (const std::uint32_t index : present) {
      const HistoryKey& key = history_.keys[index];
      lines.push_back(in(key.keyspace, fmt::format("put {} {}", spelled(key.key),
                                                   retelling_.equal_values ? "1" : "0")));
    }
    std::vector<std::string> keyspaces;
    keyspaces.reserve(keyspaces_.size() + lines.size());
    for (const std::string& name : keyspaces_) {
      keyspaces.push_back(fmt::format("keyspace {}", spelled(name)));
    }
    std::move(lines.begin(), lines.end(), std::back_inserter(keyspaces));
    return keyspaces;
  }

  static constexpr std::size_t checkpointer = ~std::size_t{0};
  const History& history_;
  const std::set<std::uint32_t>& transactions_;
  const Retelling retelling_;
  std::map<std::uint32_t, double> ends_;
  std::vector<Told> told_;
  std::set<std::string> keyspaces_;
  std::size_t values_ = 0;
  std::size_t savepoints_ = 0;
};

}  // namespace

Draft draft_of(const History& history, const std::set<std::uint32_t>& transactions,
               const Retelling& retelling) {
  return Retold(history, transactions, retelling).draft();
}

}  // namespace isolde::lab
