#include "lab/check/promises.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "lab/check/names.h"

namespace isolde::lab {
namespace {

Isolation level_of(const HistoryTransaction& transaction) {
  return transaction.level.value_or(Isolation::serializable);
}

class Promises {
 public:
  Promises(const DependencyGraph& graph, std::size_t most)
      : graph_(graph), transactions_(graph.history().transactions), most_(most) {}

  void check_abnormal_reads() {
    for (const AbnormalRead& read : graph_.abnormal_reads()) {
      if (level_of(transactions_[read.reader]) == Isolation::read_uncommitted) continue;
      add(read.reader, told(graph_, read).text, {read.writer});
    }
  }

  void check_mixed_cycles(const Digraph& strict) {
    // Real time stands behind the dependencies.
    Digraph mixed;
    mixed.nodes = strict.nodes;
    const auto& dependencies = graph_.dependencies();
    for (const Dependency& edge : dependencies) {
      if (counts(edge)) mixed.edges.emplace_back(edge.from, edge.to);
    }
    mixed.edges.insert(mixed.edges.end(),
                       strict.edges.begin() + static_cast<std::ptrdiff_t>(dependencies.size()),
                       strict.edges.end());
    const Components components = strong_components(mixed);
    if (!components.cyclic) return;
    Components alone;
    alone.of.resize(mixed.nodes);
    for (std::uint32_t i = 0; i < mixed.nodes; ++i) alone.of[i] = i;
    const auto counting = [this](const Dependency& edge) { return counts(edge); };
    DependenciesByPair by_pair(graph_);
    for_each_real_time_cycle(graph_, mixed, components, alone, counting, [&](const Cycle& cycle) {
      tell_cycle(by_pair, cycle);
      return broken.size() < most_;
    });
  }

  void check_prefixes() {
    if (!graph_.ordered_by_commit()) return;
    find_floors();
    for (std::uint32_t t = 0; t < transactions_.size() && broken.size() < most_; ++t) {
      if (!graph_.is_committed(t)) continue;
      const Isolation level = level_of(transactions_[t]);
      if (level == Isolation::repeatable_read) check_snapshot(t);
      if (level == Isolation::read_committed) check_each_operation(t);
    }
  }

  std::vector<BrokenPromise> broken;

 private:
  void add(std::uint32_t transaction, std::string text, const std::vector<std::uint32_t>& others) {
    if (broken.size() >= most_) return;
    const TransactionId id{transactions_[transaction].id};
    std::vector<TransactionId> told_of{id};
    for (const std::uint32_t other : others) {
      if (other != no_index && other != transaction) told_of.push_back({transactions_[other].id});
    }
    broken.push_back(
        {id, level_of(transactions_[transaction]), std::move(text), std::move(told_of)});
  }

  bool counts(const Dependency& edge) const {
    switch (edge.kind) {
      case EdgeKind::wr:
        return level_of(transactions_[edge.to]) >= Isolation::read_committed;
      case EdgeKind::rw: {
        const HistoryTransaction& reader = transactions_[edge.from];
        return level_of(reader) == Isolation::serializable &&
               !reader.operations[edge.operation].untracked;
      }
      default:
        return true;
    }
  }

  // The cycle breaks the promise of the strictest transaction on it.
  void tell_cycle(DependenciesByPair& by_pair, const Cycle& cycle) {
    std::vector<Dependency> edges = real_time_edges(graph_, by_pair, cycle);
    const auto strictest = std::max_element(cycle.begin(), cycle.end(), [&](auto a, auto b) {
      return level_of(transactions_[a]) < level_of(transactions_[b]);
    });
    add(*strictest, told(graph_, NamedCycle{Phenomenon::read_skew, std::move(edges)}).text, cycle);
  }

  // For each transaction the newest commit that had been acknowledged before it began.
  void find_floors() {
    floors_.assign(transactions_.size(), {0, no_index});
    std::vector<std::uint32_t> begins;
    std::vector<std::uint32_t> ends;
    for (std::uint32_t t = 0; t < transactions_.size(); ++t) {
      begins.push_back(t);
      const bool acknowledged = transactions_[t].end == HistoryEnd::committed;
      if (acknowledged && !graph_.is_read_only(t)) ends.push_back(t);
    }
    std::sort(begins.begin(), begins.end(), [this](std::uint32_t a, std::uint32_t b) {
      return transactions_[a].began_at < transactions_[b].began_at;
    });
    std::sort(ends.begin(), ends.end(), [this](std::uint32_t a, std::uint32_t b) {
      return transactions_[a].ended_at < transactions_[b].ended_at;
    });
    Bound floor;
    auto end = ends.begin();
    for (const std::uint32_t t : begins) {
      for (; end != ends.end() && transactions_[*end].ended_at < transactions_[t].began_at; ++end) {
        if (graph_.rank(*end) > floor.rank) floor = {graph_.rank(*end), *end};
      }
      floors_[t] = floor;
    }
  }

  // A limit of the prefix that was read, and the transaction that set it.
  struct Bound {
    std::uint64_t rank = 0;
    std::uint32_t transaction = no_index;
    Observation by = {};
  };

  // All observations at one place in the order of the commits: at or after `low`, before `high`.
  void check_snapshot(std::uint32_t t) {
    Bound low = floors_[t];
    Bound high{graph_.is_read_only(t) ? never : graph_.rank(t), t, {}};
    for (const Observation& seen : graph_.observations(t)) {
      narrow(low, high, seen);
    }
    for (const Observation& replaced : graph_.replaced(t)) {
      if (replaced.from_rank > low.rank) low = {replaced.from_rank, replaced.writer, replaced};
    }
    if (low.rank < high.rank) return;
    add(t,
        fmt::format("{} read no one snapshot: {}, but {}, and {} committed before that.",
                    spelled_transaction(transactions_[t]), story_of_high(t, high),
                    story_of_low(low), name_of(high.transaction)),
        {high.transaction, low.transaction});
  }

  static void narrow(Bound& low, Bound& high, const Observation& seen) {
    if (seen.from_rank > low.rank) low = {seen.from_rank, seen.writer, seen};
    if (seen.to_rank < high.rank) high = {seen.to_rank, seen.next_writer, seen};
  }

  // Each operation at a place of its own, none before an earlier one's. Cursors stay at the place
  // where they were opened.
  void check_each_operation(std::uint32_t t) {
    Bound low = floors_[t];
    const auto observations = graph_.observations(t);
    for (std::size_t i = 0; i < observations.size();) {
      const std::uint32_t whole = graph_.whole_operation(t, observations[i].operation);
      const bool cursor = transactions_[t].operations[whole].cursor;
      Bound low_here = cursor ? Bound{} : low;
      Bound high{never, no_index, {}};
      for (;
           i < observations.size() && graph_.whole_operation(t, observations[i].operation) == whole;
           ++i) {
        narrow(low_here, high, observations[i]);
      }
      if (low_here.rank >= high.rank) {
        add(t,
            fmt::format("{} went back in time: {}, but {}, and {} committed before that.",
                        spelled_transaction(transactions_[t]), story_of_high(t, high),
                        story_of_low(low_here), name_of(high.transaction)),
            {high.transaction, low_here.transaction});
        return;
      }
      if (!cursor) low = low_here;
    }
  }

  std::string name_of(std::uint32_t transaction) const {
    return fmt::format("T{}", transactions_[transaction].id);
  }
  std::string key_of(const Observation& seen) const {
    return spelled_key(graph_.history().keys[seen.key]);
  }
  std::string story_of_high(std::uint32_t t, const Bound& high) const {
    if (high.transaction == t) return "it committed";
    return fmt::format("it did not see {}'s write of {}", name_of(high.transaction),
                       key_of(high.by));
  }
  std::string story_of_low(const Bound& low) const {
    const std::string writer = name_of(low.transaction);
    if (low.by.writer == no_index) return fmt::format("{} had ended before it began", writer);
    if (low.by.operation == no_index) {
      return fmt::format("it overwrote {}'s write of {}", writer, key_of(low.by));
    }
    return fmt::format("it saw {}'s write of {}", writer, key_of(low.by));
  }

  const DependencyGraph& graph_;
  const std::vector<HistoryTransaction>& transactions_;
  std::size_t most_;
  std::vector<Bound> floors_;
};

}  // namespace

std::vector<BrokenPromise> broken_promises(const DependencyGraph& graph, const Digraph& strict,
                                           bool cyclic, std::size_t most) {
  Promises promises(graph, most);
  promises.check_abnormal_reads();
  if (cyclic) promises.check_mixed_cycles(strict);
  promises.check_prefixes();
  return std::move(promises.broken);
}

}  // namespace isolde::lab
