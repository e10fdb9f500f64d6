#include "lab/check/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/text/text.h"

namespace isolde::lab {
namespace {

using Kind = HistoryOperation::Kind;

// Tries the names of the table, first to last, on one cycle.
class Namer {
 public:
  Namer(const DependencyGraph& graph, const CycleEdges& edges, const Cycle& cycle)
      : graph_(graph), cycle_(cycle) {
    for (std::size_t i = 0; i < cycle.size(); ++i) {
      const auto [first, last] = edges.between(cycle[i], cycle[(i + 1) % cycle.size()]);
      steps_.emplace_back(first, last);
      if (!has(i, EdgeKind::ww) && !has(i, EdgeKind::wr)) antidependent_.push_back(i);
    }
  }

  NamedCycle name() {
    for (std::size_t i = 0; i < steps_.size(); ++i) chosen_.push_back(usual(i));
    return {phenomenon(), std::move(chosen_)};
  }

 private:
  using Step = std::pair<const Dependency*, const Dependency*>;

  template <typename Wanted>
  const Dependency* find(std::size_t step, EdgeKind kind, Wanted wanted) const {
    for (const Dependency* edge = steps_[step].first; edge != steps_[step].second; ++edge) {
      if (edge->kind == kind && wanted(*edge)) return edge;
    }
    return nullptr;
  }
  bool has(std::size_t step, EdgeKind kind) const {
    return find(step, kind, [](const Dependency&) { return true; }) != nullptr;
  }
  std::size_t before(std::size_t step) const { return (step + steps_.size() - 1) % steps_.size(); }

  // What is shown where the name does not ask for something else.
  Dependency usual(std::size_t step) const {
    const auto any = [](const Dependency&) { return true; };
    if (const Dependency* edge = find(step, EdgeKind::wr, any)) return *edge;
    if (const Dependency* edge = find(step, EdgeKind::ww, any)) return *edge;
    const auto of_key = [this](const Dependency& edge) { return !is_scan(edge); };
    if (const Dependency* edge = find(step, EdgeKind::rw, of_key)) return *edge;
    return *steps_[step].first;
  }

  Phenomenon phenomenon() {
    if (antidependent_.empty()) return without_antidependency();
    if (antidependent_.size() == 1) return with_one(antidependent_.front());
    return with_several();
  }

  Phenomenon without_antidependency() {
    bool only_writes = true;
    for (std::size_t i = 0; i < steps_.size(); ++i) only_writes &= has(i, EdgeKind::ww);
    if (!only_writes) return Phenomenon::circular_information_flow;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      chosen_[i] = *find(i, EdgeKind::ww, [](const Dependency&) { return true; });
    }
    return Phenomenon::dirty_write;
  }

  Phenomenon with_one(std::size_t rw) {
    if (overwrites_one_key(rw, false)) return Phenomenon::lost_update;
    if (overwrites_one_key(rw, true)) return Phenomenon::cursor_lost_update;
    // The reader comes between the last step and this one: what it read of either.
    const auto pick = [&](auto wanted) { return pick_reads(rw, wanted); };
    const auto later = [&](const Dependency& first, const Dependency& second) {
      return place(first) < place(second);
    };
    // A cursor shows the state of the moment when it was opened, which may be long before.
    if (pick([&](const Dependency& old, const Dependency& seen) {
          return later(seen, old) && !operation(old).cursor;
        })) {
      return Phenomenon::observed_transaction_vanishes;
    }
    if (pick([&](const Dependency& old, const Dependency& seen) {
          return later(old, seen) && is_fuzzy(old, seen);
        })) {
      return Phenomenon::fuzzy_read;
    }
    if (pick([&](const Dependency& old, const Dependency& seen) {
          return later(old, seen) && in_same_range(old, seen);
        })) {
      return Phenomenon::phantom;
    }
    if (pick([&](const Dependency& old, const Dependency& seen) {
          return later(old, seen) && is_scan(old);
        })) {
      return Phenomenon::predicate_many_preceders;
    }
    return Phenomenon::read_skew;
  }

  // R -rw(x)-> W -ww(x)-> ... R.
  bool overwrites_one_key(std::size_t rw, bool by_cursor) {
    for (const Dependency* read = steps_[rw].first; read != steps_[rw].second; ++read) {
      if (read->kind != EdgeKind::rw || operation(*read).cursor != by_cursor) continue;
      std::vector<Dependency> chosen = chosen_;
      chosen[rw] = *read;
      bool all = true;
      for (std::size_t i = 0; i < steps_.size() && all; ++i) {
        if (i == rw) continue;
        const Dependency* write =
            find(i, EdgeKind::ww, [&](const Dependency& edge) { return edge.key == read->key; });
        all = write != nullptr;
        if (all) chosen[i] = *write;
      }
      if (!all) continue;
      chosen_ = std::move(chosen);
      return true;
    }
    return false;
  }

  // An antidependency out of the reader and a read of the step before, that go together.
  template <typename Wanted>
  bool pick_reads(std::size_t rw, Wanted wanted) {
    for (const Dependency* old = steps_[rw].first; old != steps_[rw].second; ++old) {
      if (old->kind != EdgeKind::rw) continue;
      const Dependency* seen = find(before(rw), EdgeKind::wr,
                                    [&](const Dependency& edge) { return wanted(*old, edge); });
      if (seen == nullptr) continue;
      chosen_[rw] = *old;
      chosen_[before(rw)] = *seen;
      return true;
    }
    return false;
  }

  Phenomenon with_several() {
    if (overwrites_in_unknown_order()) return Phenomenon::lost_update;
    if (is_long_fork()) return Phenomenon::long_fork;
    const bool with_reader = std::any_of(cycle_.begin(), cycle_.end(),
                                         [&](std::uint32_t t) { return graph_.is_read_only(t); });
    if (with_reader) return Phenomenon::read_only_anomaly;
    const bool on_keys =
        std::all_of(antidependent_.begin(), antidependent_.end(), [&](std::size_t step) {
          return find(step, EdgeKind::rw, [&](const Dependency& e) { return !is_scan(e); });
        });
    return on_keys ? Phenomenon::write_skew : Phenomenon::predicate_write_skew;
  }

  // All read one key, and all wrote it; their order is not known (an imported history), but
  // whichever it is, the second has overwritten the first.
  bool overwrites_in_unknown_order() {
    if (antidependent_.size() != steps_.size()) return false;
    for (const Dependency* read = steps_[0].first; read != steps_[0].second; ++read) {
      bool all = true;
      for (std::size_t i = 0; i < steps_.size() && all; ++i) {
        all = find(i, EdgeKind::rw, [&](const Dependency& e) { return e.key == read->key; });
      }
      if (all) return true;
    }
    return false;
  }

  bool is_long_fork() {
    if (antidependent_.size() != 2) return false;
    const std::size_t one = antidependent_[0];
    const std::size_t two = antidependent_[1];
    if (before(two) == one || before(one) == two) return false;
    return has(before(one), EdgeKind::wr) && has(before(two), EdgeKind::wr);
  }

  std::uint32_t reader(const Dependency& edge) const {
    return edge.kind == EdgeKind::rw ? edge.from : edge.to;
  }
  const HistoryOperation& operation(const Dependency& edge) const {
    return graph_.history().transactions[reader(edge)].operations[edge.operation];
  }
  // The entries of one scan were read at once.
  std::uint32_t place(const Dependency& edge) const {
    if (graph_.takes_effect_at_commit(reader(edge), edge.operation)) return no_index;
    return graph_.whole_operation(reader(edge), edge.operation);
  }
  // Through a range: what was not there.
  bool is_scan(const Dependency& edge) const { return operation(edge).kind == Kind::scan; }

  bool is_fuzzy(const Dependency& old, const Dependency& seen) const {
    if (old.key != seen.key || is_scan(old)) return false;
    return !is_scan(seen) || !operation(old).yielded;
  }

  bool in_same_range(const Dependency& old, const Dependency& seen) const {
    const HistoryRange* first = range_of(old);
    const HistoryRange* second = range_of(seen);
    if (first == nullptr || second == nullptr) return false;
    if (first->keyspace != second->keyspace || first->reverse != second->reverse) return false;
    const bool limited = first->limited || second->limited;
    const bool same_lower = first->lower == second->lower;
    const bool same_upper = first->upper == second->upper;
    if (first->reverse) return same_upper && (same_lower || limited);
    return same_lower && (same_upper || limited);
  }

  const HistoryRange* range_of(const Dependency& edge) const {
    const auto& operations = graph_.history().transactions[reader(edge)].operations;
    const HistoryOperation& whole =
        operations[graph_.whole_operation(reader(edge), edge.operation)];
    return whole.kind == Kind::scan ? &graph_.history().ranges[whole.target] : nullptr;
  }

  const DependencyGraph& graph_;
  const Cycle& cycle_;
  std::vector<Step> steps_;
  std::vector<std::size_t> antidependent_;  // steps that are nothing but antidependencies
  std::vector<Dependency> chosen_;
};

std::string short_name(const HistoryTransaction& transaction) {
  return fmt::format("T{}", transaction.id);
}

}  // namespace

NamedCycle named(const DependencyGraph& graph, const CycleEdges& edges, const Cycle& cycle) {
  return Namer(graph, edges, cycle).name();
}

std::span<const Dependency> DependenciesByPair::between(std::uint32_t from, std::uint32_t to) {
  if (sorted_.empty()) {
    sorted_ = graph_.dependencies();
    std::stable_sort(sorted_.begin(), sorted_.end(), [](const Dependency& a, const Dependency& b) {
      return std::pair(a.from, a.to) < std::pair(b.from, b.to);
    });
  }
  const auto is_before = [](const Dependency& dependency,
                            std::pair<std::uint32_t, std::uint32_t> pair) {
    return std::pair(dependency.from, dependency.to) < pair;
  };
  const auto begin =
      std::lower_bound(sorted_.begin(), sorted_.end(), std::pair(from, to), is_before);
  auto end = begin;
  while (end != sorted_.end() && end->from == from && end->to == to) ++end;
  return {begin, end};
}

std::vector<Dependency> real_time_edges(const DependencyGraph& graph, DependenciesByPair& by_pair,
                                        const Cycle& cycle) {
  const auto& transactions = graph.history().transactions;
  std::vector<Dependency> edges;
  edges.reserve(cycle.size());
  for (std::size_t i = 0; i < cycle.size(); ++i) {
    const std::uint32_t from = cycle[i];
    const std::uint32_t to = cycle[(i + 1) % cycle.size()];
    const bool same = !transactions[from].session.empty() &&
                      transactions[from].session == transactions[to].session;
    Dependency edge{from, to, no_index, no_index, same ? EdgeKind::session : EdgeKind::real_time};
    // What the transactions depend on says more than the clock.
    const bool by_clock = transactions[from].ended_at < transactions[to].began_at;
    for (const Dependency& dependency : by_pair.between(from, to)) {
      const bool is_better =
          edge.kind > dependency.kind && (!by_clock || dependency.kind != EdgeKind::rw);
      if (is_better) edge = dependency;
    }
    edges.push_back(edge);
  }
  return edges;
}

bool is_stale(const DependencyGraph& graph, const std::vector<Dependency>& edges) {
  const auto& transactions = graph.history().transactions;
  std::size_t antidependencies = 0;
  std::size_t rw = 0;
  bool all_serializable = true;
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const auto& level = transactions[edges[i].from].level;
    all_serializable =
        all_serializable && level.value_or(Isolation::serializable) == Isolation::serializable;
    // What was read before it was committed may be missed by others afterwards.
    const auto& reader = transactions[edges[i].to].level;
    if (edges[i].kind == EdgeKind::wr && reader == Isolation::read_uncommitted) return false;
    if (edges[i].kind != EdgeKind::rw) continue;
    ++antidependencies;
    rw = i;
  }
  if (all_serializable || antidependencies == 0) return true;
  if (antidependencies > 1) return false;
  const Dependency& into = edges[(rw + edges.size() - 1) % edges.size()];
  return into.kind == EdgeKind::real_time || into.kind == EdgeKind::session ||
         transactions[into.from].ended_at < transactions[into.to].began_at;
}

std::string spelled_transaction(const HistoryTransaction& transaction) {
  if (transaction.label.empty()) return short_name(transaction);
  return fmt::format("T{} ({})", transaction.id, spelled_short(transaction.label));
}

std::string fact(const DependencyGraph& graph, const Dependency& edge) {
  const History& history = graph.history();
  const HistoryTransaction& from = history.transactions[edge.from];
  const HistoryTransaction& to = history.transactions[edge.to];
  const std::string a = short_name(from);
  const std::string b = short_name(to);
  if (edge.kind == EdgeKind::session)
    return fmt::format("{} ran in session {} before {}", a, spelled_short(from.session), b);
  if (edge.kind == EdgeKind::real_time) return fmt::format("{} had ended before {} began", a, b);
  const std::string key = spelled_key(history.keys[edge.key]);
  if (edge.kind == EdgeKind::ww) return fmt::format("{} overwrote {}'s write of {}", b, a, key);
  const HistoryTransaction& reader = edge.kind == EdgeKind::rw ? from : to;
  const HistoryOperation& operation = reader.operations[edge.operation];
  if (operation.kind == Kind::scan) {
    const std::string range = spelled_range(history.ranges[operation.target]);
    if (edge.kind == EdgeKind::wr) {
      return fmt::format("{} scanned {} and saw that {} had erased {}", b, range, a, key);
    }
    return fmt::format("{} scanned {} before {}'s write of {}", a, range, b, key);
  }
  if (edge.kind == EdgeKind::wr) return fmt::format("{} read {}'s write of {}", b, a, key);
  return fmt::format("{} read {} before {}'s write of it", a, key, b);
}

CycleEdge cycle_edge(const DependencyGraph& graph, const Dependency& edge) {
  const History& history = graph.history();
  CycleEdge told;
  told.from = TransactionId{history.transactions[edge.from].id};
  told.to = TransactionId{history.transactions[edge.to].id};
  told.kind = edge.kind;
  if (edge.key != no_index) told.key = history.keys[edge.key];
  if (edge.operation != no_index) {
    const std::uint32_t reader = edge.kind == EdgeKind::rw ? edge.from : edge.to;
    const HistoryOperation& operation = history.transactions[reader].operations[edge.operation];
    if (operation.kind == Kind::scan) told.range = history.ranges[operation.target];
  }
  return told;
}

Anomaly told(const DependencyGraph& graph, const NamedCycle& cycle) {
  const auto& transactions = graph.history().transactions;
  Anomaly anomaly;
  anomaly.phenomenon = cycle.phenomenon;
  // A story begins best with what was read too early.
  std::vector<Dependency> edges = cycle.edges;
  const auto first = std::find_if(edges.begin(), edges.end(),
                                  [](const Dependency& edge) { return edge.kind == EdgeKind::rw; });
  if (first != edges.end()) std::rotate(edges.begin(), first, edges.end());
  for (std::size_t i = 0; i < edges.size(); ++i) {
    const Dependency& edge = edges[i];
    anomaly.transactions.push_back(TransactionId{transactions[edge.from].id});
    anomaly.cycle.push_back(cycle_edge(graph, edge));
    const bool last = i + 1 == edges.size();
    if (i > 0) anomaly.text += last ? "; but " : "; ";
    anomaly.text += fmt::format("{}, so {} came first", fact(graph, edge),
                                i == 0 ? spelled_transaction(transactions[edge.from])
                                       : short_name(transactions[edge.from]));
  }
  anomaly.text += '.';
  return anomaly;
}

Anomaly told(const DependencyGraph& graph, const AbnormalRead& read) {
  const History& history = graph.history();
  const HistoryTransaction& writer = history.transactions[read.writer];
  const HistoryTransaction& reader = history.transactions[read.reader];
  Anomaly anomaly;
  anomaly.phenomenon = read.aborted ? Phenomenon::aborted_read : Phenomenon::intermediate_read;
  anomaly.transactions = {TransactionId{reader.id}, TransactionId{writer.id}};
  Dependency edge{read.writer, read.reader, read.key, read.operation, EdgeKind::wr};
  anomaly.cycle.push_back(cycle_edge(graph, edge));
  const std::string key = spelled_key(history.keys[read.key]);
  const std::string what =
      !read.aborted ? fmt::format("but that was not the last one of its writes of {}", key)
      : writer.end == HistoryEnd::open ? fmt::format("but {} never committed", short_name(writer))
                                       : fmt::format("but {} aborted", short_name(writer));
  const std::string why = read.aborted && !writer.cause.empty() ? " (" + writer.cause + ")" : "";
  anomaly.text = fmt::format("{} read {}'s write of {}, {}{}.", spelled_transaction(reader),
                             spelled_transaction(writer), key, what, why);
  return anomaly;
}

}  // namespace isolde::lab
