#include "lab/check/checker.h"

#include <algorithm>
#include <set>
#include <utility>

#include "lab/check/cycles.h"
#include "lab/check/graph.h"
#include "lab/check/names.h"
#include "lab/check/promises.h"

namespace isolde::lab {
namespace {

// More cycles than this are not even named.
constexpr std::size_t most_named = 1'000'000;

template <typename Keep>
Digraph digraph(const DependencyGraph& graph, Keep keep) {
  Digraph result;
  result.nodes = graph.history().transactions.size();
  result.edges.reserve(graph.dependencies().size());
  for (const Dependency& edge : graph.dependencies()) {
    if (keep(edge)) result.edges.emplace_back(edge.from, edge.to);
  }
  return result;
}

// Whether there is a cycle without two antidependencies in a row, which snapshots rule out (Fekete
// et al. 2005). Each transaction has two nodes: reached by an antidependency, or otherwise.
bool has_cycle_snapshots_exclude(const DependencyGraph& graph) {
  Digraph doubled;
  const auto count = static_cast<std::uint32_t>(graph.history().transactions.size());
  doubled.nodes = 2 * std::size_t{count};
  for (const Dependency& edge : graph.dependencies()) {
    if (edge.kind == EdgeKind::rw) {
      doubled.edges.emplace_back(edge.from, edge.to + count);
    } else {
      doubled.edges.emplace_back(edge.from, edge.to);
      doubled.edges.emplace_back(edge.from + count, edge.to);
    }
  }
  return strong_components(doubled).cyclic;
}

// The weakest level at which the phenomenon must not happen (docs/levels.md); nothing: real time
// is what it violates, not an order.
std::optional<Isolation> excluded_from(Phenomenon phenomenon) {
  switch (phenomenon) {
    case Phenomenon::dirty_write:
      return Isolation::read_uncommitted;
    case Phenomenon::aborted_read:
    case Phenomenon::intermediate_read:
    case Phenomenon::circular_information_flow:
    case Phenomenon::observed_transaction_vanishes:
      return Isolation::read_committed;
    case Phenomenon::fuzzy_read:
    case Phenomenon::phantom:
    case Phenomenon::predicate_many_preceders:
    case Phenomenon::lost_update:
    case Phenomenon::cursor_lost_update:
    case Phenomenon::read_skew:
    case Phenomenon::long_fork:
      return Isolation::repeatable_read;
    case Phenomenon::write_skew:
    case Phenomenon::predicate_write_skew:
    case Phenomenon::read_only_anomaly:
      return Isolation::serializable;
    case Phenomenon::stale_read:
      break;
  }
  return std::nullopt;
}

class Judgement {
 public:
  Judgement(const History& history, const CheckOptions& options)
      : options_(options), graph_(history) {}

  Verdict run() && {
    count();
    for (const AbnormalRead& read : graph_.abnormal_reads()) {
      take(read.aborted ? Phenomenon::aborted_read : Phenomenon::intermediate_read,
           [&] { return told(graph_, read); });
      verdict_.serializable = false;
    }
    Digraph strict = digraph(graph_, [](const Dependency&) { return true; });
    add_real_time(graph_, strict);
    const Components joined = strong_components(strict);
    if (joined.cyclic) judge_cycles(strict, joined);
    verdict_.session_serializable &= verdict_.serializable;
    verdict_.strictly_serializable &= verdict_.session_serializable;
    verdict_.broken_promises =
        broken_promises(graph_, strict, joined.cyclic, options_.max_broken_promises);
    conclude();
    return std::move(verdict_);
  }

 private:
  void count() {
    const auto& transactions = graph_.history().transactions;
    for (std::uint32_t t = 0; t < transactions.size(); ++t) {
      if (graph_.is_committed(t)) ++verdict_.committed;
      if (transactions[t].end == HistoryEnd::aborted) ++verdict_.aborted;
    }
  }

  void judge_cycles(const Digraph& strict, const Components& joined) {
    verdict_.strictly_serializable = false;
    const Digraph plain = digraph(graph_, [](const Dependency&) { return true; });
    const Components components = strong_components(plain);
    if (components.cyclic) {
      verdict_.serializable = false;
      judge_levels();
      name_cycles(components);
    } else {
      Digraph sessions = plain;
      add_sessions(graph_, sessions);
      verdict_.session_serializable = !strong_components(sessions).cyclic;
    }
    const auto all = [](const Dependency&) { return true; };
    DependenciesByPair by_pair(graph_);
    const bool complete =
        for_each_real_time_cycle(graph_, strict, joined, components, all, [&](const Cycle& cycle) {
          NamedCycle named{Phenomenon::stale_read, real_time_edges(graph_, by_pair, cycle)};
          if (!is_stale(graph_, named.edges)) return true;
          take(named.phenomenon, [&] { return told(graph_, named); });
          return verdict_.anomalies.size() < 2 * options_.max_anomalies;
        });
    if (!complete) verdict_.more_anomalies = true;
  }

  // Which levels the cycles violate, whatever their names: exact, where the search for names may be
  // cut short.
  void judge_levels() {
    const auto only = [this](auto keep) { return strong_components(digraph(graph_, keep)).cyclic; };
    violate(Isolation::serializable);
    if (has_cycle_snapshots_exclude(graph_)) violate(Isolation::repeatable_read);
    if (only([](const Dependency& edge) { return edge.kind != EdgeKind::rw; })) {
      violate(Isolation::read_committed);
    }
    if (only([](const Dependency& edge) { return edge.kind == EdgeKind::ww; })) {
      violate(Isolation::read_uncommitted);
    }
  }

  void name_cycles(const Components& components) {
    const CycleEdges edges(graph_, components);
    std::size_t count = 0;
    const bool complete = for_each_minimal_cycle(edges, components, [&](const Cycle& cycle) {
      const NamedCycle cycle_with_name = named(graph_, edges, cycle);
      take(cycle_with_name.phenomenon, [&] { return told(graph_, cycle_with_name); });
      return ++count < most_named;
    });
    if (!complete) verdict_.more_anomalies = true;
  }

  // Tells it if there is room, or if it is the first of its name.
  template <typename Tell>
  void take(Phenomenon phenomenon, Tell tell) {
    if (const auto level = excluded_from(phenomenon)) violate(*level);
    const bool is_new = found_.insert(phenomenon).second;
    if (is_new || verdict_.anomalies.size() < options_.max_anomalies) {
      verdict_.anomalies.push_back(tell());
    } else {
      verdict_.more_anomalies = true;
    }
  }

  void violate(Isolation level) {
    if (!verdict_.weakest_violated || level < *verdict_.weakest_violated) {
      verdict_.weakest_violated = level;
    }
  }

  void conclude() {
    if (!verdict_.weakest_violated) return;
    const Isolation weakest = *verdict_.weakest_violated;
    if (weakest == Isolation::read_uncommitted) {
      verdict_.strongest.reset();
    } else {
      verdict_.strongest = static_cast<Isolation>(static_cast<int>(weakest) - 1);
    }
  }

  const CheckOptions& options_;
  DependencyGraph graph_;
  Verdict verdict_;
  std::set<Phenomenon> found_;
};

}  // namespace

Verdict check(const History& history, const CheckOptions& options) {
  return Judgement(history, options).run();
}

}  // namespace isolde::lab
