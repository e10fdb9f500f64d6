// Strong components and minimal cycles of a dependency graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "lab/check/graph.h"

namespace isolde::lab {

// A directed graph as pairs of nodes; pairs may repeat.
struct Digraph {
  std::size_t nodes = 0;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> edges;
};

// Which strong component each node is in, and whether there is a component of several nodes.
struct Components {
  std::vector<std::uint32_t> of;
  std::vector<std::uint32_t> sizes;
  bool cyclic = false;

  // Whether an edge between the two can be part of a cycle.
  bool joined(std::uint32_t a, std::uint32_t b) const { return of[a] == of[b]; }
  bool in_cycle(std::uint32_t node) const { return sizes[of[node]] > 1; }
};
Components strong_components(const Digraph& graph);

// The order of real time between committed transactions, as few edges: behind the transactions'
// nodes come those of moments, one for each begin that follows an end. What has ended leads to the
// next moment, each moment to the next one and to what begins then. So it takes one pass and two
// edges a transaction, where all pairs would be quadratic.
//
// Appends to `graph`, whose first nodes are the transactions.
void add_real_time(const DependencyGraph& dependencies, Digraph& graph);

// The transactions of the same session, one after the other (if they did not overlap).
void add_sessions(const DependencyGraph& dependencies, Digraph& graph);

// One cycle: its transactions in order. Edges lead from each to the next, from the last to the
// first.
using Cycle = std::vector<std::uint32_t>;

// The dependencies between transactions that are on cycles together, by pairs.
class CycleEdges {
 public:
  CycleEdges(const DependencyGraph& dependencies, const Components& components);

  // Those from one transaction to another; empty if there are none.
  std::pair<const Dependency*, const Dependency*> between(std::uint32_t from,
                                                          std::uint32_t to) const;
  const std::vector<Dependency>& all() const noexcept { return edges_; }  // by from, then to

 private:
  std::vector<Dependency> edges_;
};

// Calls `found` for each minimal cycle: one whose transactions form no other cycle among
// themselves. Shortest first within a component. Stops when `found` answers false. Returns false if
// it stopped, or left some out because the search became too long (components of more than 64
// transactions: only the shortest cycle through each edge is looked for).
bool for_each_minimal_cycle(const CycleEdges& edges, const Components& components,
                            const std::function<bool(const Cycle&)>& found);

// The same for cycles that exist only with real time: those through dependencies that `counts` and
// whose ends `components` does not join. `strict` is the graph with real time, `joined` its
// components.
bool for_each_real_time_cycle(const DependencyGraph& dependencies, const Digraph& strict,
                              const Components& joined, const Components& components,
                              const std::function<bool(const Dependency&)>& counts,
                              const std::function<bool(const Cycle&)>& found);

}  // namespace isolde::lab
