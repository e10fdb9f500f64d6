#include "lab/check/graph.h"

#include <algorithm>
#include <string_view>
#include <tuple>

namespace isolde::lab {
namespace {

using Operation = HistoryOperation;

std::uint64_t pair_of(std::uint32_t key, std::uint32_t writer) {
  return std::uint64_t{key} << 32 | writer;
}

bool reads_uncommitted(const HistoryTransaction& transaction) {
  return transaction.level == Isolation::read_uncommitted;
}

}  // namespace

DependencyGraph::DependencyGraph(const History& history) : history_(history) {
  find_committed();
  find_installs();
  order_versions();
  apply_orders();
  sort_keys();
  dependencies_.reserve(2 * installs_.size());
  add_write_edges();
  for (std::uint32_t t = 0; t < history_.transactions.size(); ++t) {
    if (is_committed(t)) add_read_edges(t);
  }
}

void DependencyGraph::find_committed() {
  const auto& transactions = history_.transactions;
  committed_.resize(transactions.size());
  base_present_.resize(history_.keys.size());
  for (std::size_t t = 0; t < transactions.size(); ++t) {
    committed_[t] = transactions[t].end == HistoryEnd::committed ? 1 : 0;
    if (transactions[t].timestamp != 0) timestamps_ = true;
  }
  // A commit in doubt has happened if a committed transaction saw it; that may go in a chain. At
  // read uncommitted it may have seen it before the commit began, so that says nothing.
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t t = 0; t < transactions.size(); ++t) {
      if (committed_[t] == 0) continue;
      for (const Operation& operation : transactions[t].operations) {
        if (operation.kind != Operation::Kind::read) continue;
        if (operation.version.is_base()) {
          if (!operation.absent) base_present_[operation.target] = 1;
          continue;
        }
        const std::uint32_t writer = operation.version.writer;
        if (transactions[writer].end != HistoryEnd::unknown || committed_[writer] != 0) continue;
        if (transactions[t].level == Isolation::read_uncommitted) continue;
        committed_[writer] = 1;
        changed = true;
      }
    }
  }
}

// The last write of each key that was not undone.
void DependencyGraph::find_installs() {
  const auto& transactions = history_.transactions;
  installs_from_.reserve(transactions.size() + 1);
  struct Written {
    std::uint32_t key;
    bool erased;
    bool undone;
  };
  std::vector<Written> writes;
  std::vector<std::uint32_t> standing;
  for (std::uint32_t t = 0; t < transactions.size(); ++t) {
    installs_from_.push_back(static_cast<std::uint32_t>(installs_.size()));
    if (!is_committed(t)) continue;
    writes.clear();
    standing.clear();
    for (const Operation& operation : transactions[t].operations) {
      if (operation.kind == Operation::Kind::write) {
        standing.push_back(static_cast<std::uint32_t>(writes.size()));
        writes.push_back({operation.target, operation.write_kind == WriteKind::erase, false});
      } else if (operation.kind == Operation::Kind::undo) {
        for (std::uint32_t n = 0; n < operation.target && !standing.empty(); ++n) {
          writes[standing.back()].undone = true;
          standing.pop_back();
        }
      }
    }
    std::stable_sort(writes.begin(), writes.end(),
                     [](const Written& a, const Written& b) { return a.key < b.key; });
    for (std::size_t i = 0; i < writes.size();) {
      const std::uint32_t key = writes[i].key;
      std::optional<Install> last;
      for (std::uint32_t number = 1; i < writes.size() && writes[i].key == key; ++i, ++number) {
        if (!writes[i].undone) last = Install{key, t, number, writes[i].erased};
      }
      if (last) installs_.push_back(*last);
    }
  }
  installs_from_.push_back(static_cast<std::uint32_t>(installs_.size()));
}

void DependencyGraph::order_versions() {
  versions_from_.assign(history_.keys.size() + 1, 0);
  for (const Install& install : installs_) ++versions_from_[install.key + 1];
  for (std::size_t k = 0; k < history_.keys.size(); ++k) versions_from_[k + 1] += versions_from_[k];
  versions_.resize(installs_.size());
  std::vector<std::uint32_t> next(versions_from_.begin(), versions_from_.end() - 1);
  for (const Install& install : installs_) {
    versions_[next[install.key]++] = {install.writer, install.write, install.erased};
  }
  for (std::size_t k = 0; k < history_.keys.size(); ++k) {
    std::sort(versions_.begin() + versions_from_[k], versions_.begin() + versions_from_[k + 1],
              [this](const Version& a, const Version& b) {
                const std::uint64_t left = rank(a.writer);
                const std::uint64_t right = rank(b.writer);
                return left != right ? left < right : a.writer < b.writer;
              });
  }
}

void DependencyGraph::apply_orders() {
  if (history_.orders.empty() && !history_.orders_only) return;
  std::vector<std::vector<const HistoryOrder*>> by_key(history_.keys.size());
  for (const HistoryOrder& order : history_.orders) by_key[order.key].push_back(&order);
  for (std::uint32_t key = 0; key < history_.keys.size(); ++key) {
    if (history_.orders_only || !by_key[key].empty()) apply_orders(key, by_key[key]);
  }
}

void DependencyGraph::apply_orders(std::uint32_t key,
                                   const std::vector<const HistoryOrder*>& orders) {
  // Versions in the order in which the history names them, so that scans find them so.
  std::unordered_map<std::uint32_t, std::uint32_t> place;
  for (const HistoryOrder* order : orders) {
    for (const std::uint32_t writer : order->writers) {
      place.emplace(writer, static_cast<std::uint32_t>(place.size()));
    }
  }
  const auto begin = versions_.begin() + versions_from_[key];
  const auto end = versions_.begin() + versions_from_[key + 1];
  const auto place_of = [&](const Version& version) {
    const auto found = place.find(version.writer);
    return found == place.end() ? no_index : found->second;
  };
  std::stable_sort(begin, end,
                   [&](const Version& a, const Version& b) { return place_of(a) < place_of(b); });
  for (auto at = begin; at != end; ++at) {
    listed_[pair_of(key, at->writer)] = static_cast<std::uint32_t>(at - begin);
  }
  PartialOrder partial;
  partial.next.resize(version_count(key));
  std::vector<std::uint8_t> has_before(version_count(key));
  for (const HistoryOrder* order : orders) {
    std::uint32_t before = no_index;
    for (const std::uint32_t writer : order->writers) {
      const std::uint32_t position = position_of(key, writer);
      if (position == no_index) continue;  // it has not committed
      if (before != no_index && before != position) {
        partial.next[before].push_back(position);
        has_before[position] = 1;
      }
      before = position;
    }
  }
  for (std::uint32_t position = 0; position < has_before.size(); ++position) {
    if (has_before[position] == 0) partial.first.push_back(position);
  }
  partial_.emplace(key, std::move(partial));
}

void DependencyGraph::sort_keys() {
  if (history_.ranges.empty()) return;
  for (std::uint32_t key = 0; key < history_.keys.size(); ++key) {
    if (version_count(key) > 0) sorted_keys_.push_back(key);
  }
  std::sort(sorted_keys_.begin(), sorted_keys_.end(), [this](std::uint32_t a, std::uint32_t b) {
    const HistoryKey& left = history_.keys[a];
    const HistoryKey& right = history_.keys[b];
    return std::tie(left.keyspace, left.key) < std::tie(right.keyspace, right.key);
  });
  // A scan at read uncommitted may have missed a key because of another's private erase.
  for (std::uint32_t t = 0; t < history_.transactions.size(); ++t) {
    std::unordered_map<std::uint32_t, std::uint32_t> numbers;
    for (const Operation& operation : history_.transactions[t].operations) {
      if (operation.kind != Operation::Kind::write) continue;
      const std::uint32_t number = ++numbers[operation.target];
      if (operation.write_kind != WriteKind::erase) continue;
      erases_[operation.target].push_back({operation.at, t, number});
    }
  }
}

std::uint32_t DependencyGraph::position_of(std::uint32_t key, std::uint32_t writer) const {
  if (!listed_.empty() || history_.orders_only) {
    const auto listed = listed_.find(pair_of(key, writer));
    if (listed != listed_.end()) return listed->second;
    if (partial_.count(key) != 0) return no_index;
  }
  const auto begin = versions_.begin() + versions_from_[key];
  const auto end = versions_.begin() + versions_from_[key + 1];
  const std::uint64_t wanted = rank(writer);
  auto found = std::lower_bound(
      begin, end, wanted,
      [this](const Version& version, std::uint64_t r) { return rank(version.writer) < r; });
  for (; found != end && rank(found->writer) == wanted; ++found) {
    if (found->writer == writer) return static_cast<std::uint32_t>(found - begin);
  }
  return no_index;
}

// The versions that come next after one (no_index: after the base).
template <typename Visit>
void DependencyGraph::for_each_next(std::uint32_t key, std::uint32_t position,
                                    Visit&& visit) const {
  if (!partial_.empty()) {
    const auto partial = partial_.find(key);
    if (partial != partial_.end()) {
      const auto& next =
          position == no_index ? partial->second.first : partial->second.next[position];
      for (const std::uint32_t following : next) visit(following);
      return;
    }
  }
  const std::uint32_t following = position == no_index ? 0 : position + 1;
  if (following < version_count(key)) visit(following);
}

void DependencyGraph::add_write_edges() {
  for (std::uint32_t key = 0; key < history_.keys.size(); ++key) {
    for (std::uint32_t i = 0; i < version_count(key); ++i) {
      for_each_next(key, i, [&](std::uint32_t following) {
        dependencies_.push_back(
            {version(key, i).writer, version(key, following).writer, key, no_index, EdgeKind::ww});
      });
    }
  }
}

void DependencyGraph::add_read_edges(std::uint32_t transaction) {
  for_each_seen(transaction, [&](std::uint32_t operation, std::uint32_t key, const Seen& seen) {
    add_seen(transaction, operation, key, seen);
  });
}

void DependencyGraph::add_seen(std::uint32_t transaction, std::uint32_t operation,
                               std::uint32_t key, const Seen& seen) {
  if (!seen.listed) {
    abnormal_reads_.push_back(
        {transaction, operation, key, seen.version.writer, !is_committed(seen.version.writer)});
    if (!is_committed(seen.version.writer)) return;
  }
  if (seen.position != no_index) {
    dependencies_.push_back(
        {version(key, seen.position).writer, transaction, key, operation, EdgeKind::wr});
  } else if (!seen.listed) {
    // All that its writer wrote to the key was undone again: there is no version to come after.
    return;
  }
  for_each_next(key, seen.position, [&](std::uint32_t following) {
    const std::uint32_t writer = version(key, following).writer;
    if (writer == transaction) return;
    dependencies_.push_back({transaction, writer, key, operation, EdgeKind::rw});
  });
}

template <typename Visit>
void DependencyGraph::for_each_seen(std::uint32_t transaction, Visit&& visit) const {
  const auto& operations = history_.transactions[transaction].operations;
  for (std::uint32_t i = 0; i < operations.size(); ++i) {
    const Operation& operation = operations[i];
    if (operation.kind == Operation::Kind::read) {
      if (operation.version.writer == transaction) continue;
      visit(i, operation.target, seen_by_read(transaction, i));
    } else if (operation.kind == Operation::Kind::scan) {
      for_each_unyielded(transaction, i, [&](std::uint32_t key) {
        const Seen seen = seen_absent(transaction, i, key);
        if (seen.position != own) visit(i, key, seen);
      });
    }
  }
}

// An insert or compare_and_set below repeatable read is evaluated on the newest version when the
// transaction commits (rule C6): that is the version it has read. (add_and_get answers, so what it
// read is what it says.)
bool DependencyGraph::takes_effect_at_commit(std::uint32_t transaction,
                                             std::uint32_t operation) const {
  const HistoryTransaction& of = history_.transactions[transaction];
  const Operation& read = of.operations[operation];
  if (!read.before_write || !of.level || *of.level > Isolation::read_committed) return false;
  if (operation + 1 >= of.operations.size()) return false;
  const Operation& next = of.operations[operation + 1];
  return next.kind == Operation::Kind::write && next.target == read.target &&
         next.write_kind != WriteKind::add_and_get;
}

DependencyGraph::Seen DependencyGraph::seen_by_read(std::uint32_t transaction,
                                                    std::uint32_t operation) const {
  const Operation& read = history_.transactions[transaction].operations[operation];
  if (takes_effect_at_commit(transaction, operation)) {
    const std::uint32_t mine = position_of(read.target, transaction);
    if (mine != no_index) return {mine == 0 ? no_index : mine - 1, {}, true};
  }
  if (read.version.is_base()) return {};
  const std::uint32_t writer = read.version.writer;
  Seen seen{no_index, read.version, false};
  if (!is_committed(writer)) return seen;
  seen.position = position_of(read.target, writer);
  if (seen.position == no_index) return seen;
  const std::uint32_t final_write = version(read.target, seen.position).write;
  seen.listed = read.version.write == 0 || read.version.write == final_write;
  return seen;
}

// The keys with versions in the range of a scan that it did not yield.
template <typename Visit>
void DependencyGraph::for_each_unyielded(std::uint32_t transaction, std::uint32_t operation,
                                         Visit&& visit) const {
  const auto& operations = history_.transactions[transaction].operations;
  const HistoryRange& range = history_.ranges[operations[operation].target];
  std::vector<std::uint32_t> yielded;
  for (std::uint32_t i = 1; i <= range.yielded && i <= operation; ++i) {
    yielded.push_back(operations[operation - i].target);
  }
  std::sort(yielded.begin(), yielded.end());
  const auto before = [&](const std::string& bound) {
    return [&](std::uint32_t key) {
      const HistoryKey& at = history_.keys[key];
      if (at.keyspace != range.keyspace) return at.keyspace < range.keyspace;
      return at.key < bound;
    };
  };
  auto at = std::partition_point(sorted_keys_.begin(), sorted_keys_.end(), before(range.lower));
  for (; at != sorted_keys_.end(); ++at) {
    const HistoryKey& key = history_.keys[*at];
    if (key.keyspace != range.keyspace || (range.upper && key.key >= *range.upper)) break;
    if (!std::binary_search(yielded.begin(), yielded.end(), *at)) visit(*at);
  }
}

bool DependencyGraph::has_own_write(std::uint32_t transaction, std::uint32_t operation,
                                    std::uint32_t key) const {
  const auto& operations = history_.transactions[transaction].operations;
  return std::any_of(operations.begin(), operations.begin() + operation,
                     [key](const Operation& earlier) {
                       return earlier.kind == Operation::Kind::write && earlier.target == key;
                     });
}

// Which version without a value a scan saw of a key that it did not yield: the newest such one that
// its snapshot holds. If the newest version there has a value, then the scan has missed it; the
// version without a value before it is then what it claims to have seen (traps 1 and 2).
DependencyGraph::Seen DependencyGraph::seen_absent(std::uint32_t transaction,
                                                   std::uint32_t operation,
                                                   std::uint32_t key) const {
  const HistoryTransaction& reader = history_.transactions[transaction];
  const HistoryRange& range = history_.ranges[reader.operations[operation].target];
  const std::uint64_t at = reader.operations[operation].at;
  if (has_own_write(transaction, operation, key)) return {own, {}, true};
  const auto visible = [&](const Version& candidate) {
    const HistoryTransaction& writer = history_.transactions[candidate.writer];
    if (candidate.writer == transaction) return false;
    return range.snapshot && timestamps_ ? writer.timestamp <= *range.snapshot
                                         : writer.ended_at < at;
  };
  std::uint32_t position = version_count(key);
  if (partial_.count(key) == 0) {
    const auto begin = versions_.begin() + versions_from_[key];
    position =
        static_cast<std::uint32_t>(std::partition_point(begin, begin + position, visible) - begin);
  } else {
    while (position > 0 && !visible(version(key, position - 1))) --position;
  }
  if (position > 0 && !version(key, position - 1).erased && reads_uncommitted(reader)) {
    if (const UncommittedErase* erase = uncommitted_erase(transaction, at, key)) {
      Seen seen{no_index, {erase->writer, erase->write}, false};
      if (!is_committed(erase->writer)) return seen;
      seen.position = position_of(key, erase->writer);
      seen.listed = seen.position != no_index && version(key, seen.position).write == erase->write;
      return seen;
    }
  }
  while (position > 0 && !version(key, position - 1).erased) --position;
  return {position == 0 ? no_index : position - 1, {}, true};
}

const DependencyGraph::UncommittedErase* DependencyGraph::uncommitted_erase(
    std::uint32_t transaction, std::uint64_t at, std::uint32_t key) const {
  const auto found = erases_.find(key);
  if (found == erases_.end()) return nullptr;
  const UncommittedErase* newest = nullptr;
  for (const UncommittedErase& erase : found->second) {
    if (erase.writer == transaction || erase.at > at) continue;
    if (history_.transactions[erase.writer].ended_at < at) continue;
    if (newest == nullptr || erase.at > newest->at) newest = &erase;
  }
  return newest;
}

std::vector<std::uint32_t> DependencyGraph::writers_of(std::uint32_t key) const {
  std::vector<std::uint32_t> writers;
  for (std::uint32_t i = 0; i < version_count(key); ++i) writers.push_back(version(key, i).writer);
  return writers;
}

std::uint32_t DependencyGraph::whole_operation(std::uint32_t transaction,
                                               std::uint32_t operation) const {
  const auto& operations = history_.transactions[transaction].operations;
  if (operation >= operations.size() || !operations[operation].yielded) return operation;
  while (operation + 1 < operations.size() && operations[operation].kind != Operation::Kind::scan) {
    ++operation;
  }
  return operation;
}

std::vector<Observation> DependencyGraph::observations(std::uint32_t transaction) const {
  std::vector<Observation> observed;
  for_each_seen(transaction, [&](std::uint32_t operation, std::uint32_t key, const Seen& seen) {
    if (!seen.listed || takes_effect_at_commit(transaction, operation)) return;
    Observation observation{operation, key, 0, never, no_index, no_index};
    if (seen.position != no_index) {
      observation.writer = version(key, seen.position).writer;
      observation.from_rank = rank(observation.writer);
    }
    for_each_next(key, seen.position, [&](std::uint32_t following) {
      observation.next_writer = version(key, following).writer;
      observation.to_rank = rank(observation.next_writer);
    });
    observed.push_back(observation);
  });
  return observed;
}

std::vector<Observation> DependencyGraph::replaced(std::uint32_t transaction) const {
  std::vector<Observation> observed;
  for (std::uint32_t i = installs_from_[transaction]; i < installs_from_[transaction + 1]; ++i) {
    const std::uint32_t key = installs_[i].key;
    const std::uint32_t mine = position_of(key, transaction);
    if (mine == 0 || mine == no_index) continue;
    const std::uint32_t writer = version(key, mine - 1).writer;
    observed.push_back({no_index, key, rank(writer), never, writer, no_index});
  }
  return observed;
}

}  // namespace isolde::lab
