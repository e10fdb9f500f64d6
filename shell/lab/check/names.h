// Names for cycles, and their story in sentences.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lab/check/cycles.h"
#include "lab/check/graph.h"
#include "lab/check/verdict.h"

namespace isolde::lab {

// A cycle with the one dependency between each two neighbours that its name rests on.
struct NamedCycle {
  Phenomenon phenomenon = Phenomenon::read_skew;
  std::vector<Dependency> edges;
};

// The first name of the table in docs/checker.md that fits the cycle.
NamedCycle named(const DependencyGraph& graph, const CycleEdges& edges, const Cycle& cycle);

// Dependencies by their two ends, for a caller that asks about many cycles; sorted when first
// asked, for most histories have none. The graph must outlive it. Not thread-safe.
class DependenciesByPair {
 public:
  explicit DependenciesByPair(const DependencyGraph& graph) : graph_(graph) {}
  // In the order of the graph.
  std::span<const Dependency> between(std::uint32_t from, std::uint32_t to);

 private:
  const DependencyGraph& graph_;
  std::vector<Dependency> sorted_;
};

// Edges that close a cycle with real time: dependencies where there are any, else the order in the
// session, else that of real time.
std::vector<Dependency> real_time_edges(const DependencyGraph& graph, DependenciesByPair& by_pair,
                                        const Cycle& cycle);
// Whether such a cycle is a stale read: one that misses what had ended before its transaction
// began. Other cycles with real time are anomalies only among serializable transactions, which
// promise it.
bool is_stale(const DependencyGraph& graph, const std::vector<Dependency>& edges);

Anomaly told(const DependencyGraph& graph, const NamedCycle& cycle);
Anomaly told(const DependencyGraph& graph, const AbnormalRead& read);

// "T7 (transfer)".
std::string spelled_transaction(const HistoryTransaction& transaction);
// "T3 read x before T5's write of it, so T3 came first", without the part behind the comma.
std::string fact(const DependencyGraph& graph, const Dependency& edge);
CycleEdge cycle_edge(const DependencyGraph& graph, const Dependency& edge);

}  // namespace isolde::lab
