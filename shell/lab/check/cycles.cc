#include "lab/check/cycles.h"

#include <algorithm>
#include <array>
#include <boost/graph/compressed_sparse_row_graph.hpp>
#include <boost/graph/strong_components.hpp>
#include <deque>
#include <map>
#include <numeric>
#include <string_view>
#include <tuple>
#include <unordered_map>

namespace isolde::lab {
namespace {

constexpr std::size_t small_component = 64;        // as many as a word has bits
constexpr std::size_t exhaustive_steps = 200'000;  // in one component
constexpr std::size_t search_steps = 20'000'000;   // edges looked at in all large components

// Successors of each node, side by side.
class Adjacency {
 public:
  template <typename Edges, typename Keep>
  Adjacency(std::size_t nodes, const Edges& edges, Keep keep) : from_(nodes + 1) {
    for (const auto& [from, to] : edges) {
      if (keep(from, to)) ++from_[from + 1];
    }
    std::partial_sum(from_.begin(), from_.end(), from_.begin());
    to_.resize(from_.back());
    std::vector<std::uint32_t> next(from_.begin(), from_.end() - 1);
    for (const auto& [from, to] : edges) {
      if (keep(from, to)) to_[next[from]++] = to;
    }
  }
  const std::uint32_t* begin(std::uint32_t node) const { return to_.data() + from_[node]; }
  const std::uint32_t* end(std::uint32_t node) const { return to_.data() + from_[node + 1]; }

 private:
  std::vector<std::uint32_t> from_;
  std::vector<std::uint32_t> to_;
};

// Finds all minimal cycles of three or more in a component of up to 64 nodes, depth first.
class SmallSearch {
 public:
  SmallSearch(const std::vector<std::uint32_t>& nodes, const CycleEdges& edges) : nodes_(nodes) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      for (std::size_t j = 0; j < nodes.size(); ++j) {
        const auto [first, last] = edges.between(nodes[i], nodes[j]);
        if (first != last) out_[i] |= bit(j);
      }
    }
  }

  // False if it gave up.
  bool run() {
    for (std::size_t start = 0; start < nodes_.size(); ++start) {
      path_.assign(1, start);
      // Nodes before `start` have had their turn.
      if (!extend(bit(start), ~std::uint64_t{0} << start << 1, 0)) return false;
    }
    return true;
  }
  std::vector<Cycle> cycles;

 private:
  static std::uint64_t bit(std::size_t node) { return std::uint64_t{1} << node; }

  // `blocked`: successors of nodes on the path but the last; to step there would be a short cut.
  bool extend(std::uint64_t on_path, std::uint64_t allowed, std::uint64_t blocked) {
    const std::size_t start = path_.front();
    const std::size_t last = path_.back();
    for (std::size_t next = start + 1; next < nodes_.size(); ++next) {
      if ((out_[last] & allowed & ~on_path & ~blocked & bit(next)) == 0) continue;
      if (++steps_ > exhaustive_steps) return false;
      const std::uint64_t back = out_[next] & on_path;
      if ((back & ~bit(start)) != 0) continue;
      path_.push_back(next);
      bool go_on = true;
      if (back != 0) {
        if (path_.size() > 2) take();
      } else {
        go_on = extend(on_path | bit(next), allowed, blocked | out_[last]);
      }
      path_.pop_back();
      if (!go_on) return false;
    }
    return true;
  }

  void take() {
    Cycle cycle;
    for (const std::size_t node : path_) cycle.push_back(nodes_[node]);
    cycles.push_back(std::move(cycle));
  }

  const std::vector<std::uint32_t>& nodes_;
  std::array<std::uint64_t, small_component> out_{};
  std::vector<std::size_t> path_;
  std::size_t steps_ = 0;
};

// Shortest paths by breadth; steps into and between moments of real time count half as little as
// those into transactions: nothing.
class ShortestPath {
 public:
  ShortestPath(const Adjacency& adjacency, std::size_t nodes, std::size_t transactions)
      : adjacency_(adjacency), transactions_(transactions), came_from_(nodes), seen_(nodes) {}

  // The nodes from `from` to `to`, both included; empty if there is no path, or steps run out.
  std::vector<std::uint32_t> find(std::uint32_t from, std::uint32_t to, std::size_t& steps) {
    ++round_;
    frontier_.assign(1, from);
    seen_[from] = round_;
    while (!frontier_.empty()) {
      const std::uint32_t node = frontier_.front();
      frontier_.pop_front();
      if (node == to) return path(from, to);
      for (const std::uint32_t* next = adjacency_.begin(node); next != adjacency_.end(node);
           ++next) {
        if (steps == 0) return {};
        --steps;
        if (seen_[*next] == round_) continue;
        seen_[*next] = round_;
        came_from_[*next] = node;
        if (*next >= transactions_) {
          frontier_.push_front(*next);
        } else {
          frontier_.push_back(*next);
        }
      }
    }
    return {};
  }

 private:
  std::vector<std::uint32_t> path(std::uint32_t from, std::uint32_t to) const {
    std::vector<std::uint32_t> nodes;
    for (std::uint32_t node = to; node != from; node = came_from_[node]) nodes.push_back(node);
    nodes.push_back(from);
    std::reverse(nodes.begin(), nodes.end());
    return nodes;
  }
  const Adjacency& adjacency_;
  std::size_t transactions_;
  std::vector<std::uint32_t> came_from_;
  std::vector<std::uint32_t> seen_;
  std::deque<std::uint32_t> frontier_;
  std::uint32_t round_ = 0;
};

// The cycle with its smallest transaction first, so that it is found again.
Cycle turned(Cycle cycle) {
  std::rotate(cycle.begin(), std::min_element(cycle.begin(), cycle.end()), cycle.end());
  return cycle;
}

bool is_minimal(const Cycle& cycle, const CycleEdges& edges) {
  for (std::size_t i = 0; i < cycle.size(); ++i) {
    for (std::size_t j = 0; j < cycle.size(); ++j) {
      if (i == j || (i + 1) % cycle.size() == j) continue;
      const auto [first, last] = edges.between(cycle[i], cycle[j]);
      if (first != last) return false;
    }
  }
  return true;
}

bool shorter(const Cycle& a, const Cycle& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs_of(const CycleEdges& edges) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
  for (const Dependency& edge : edges.all()) {
    if (pairs.empty() || pairs.back() != std::pair(edge.from, edge.to)) {
      pairs.emplace_back(edge.from, edge.to);
    }
  }
  return pairs;
}

}  // namespace

Components strong_components(const Digraph& graph) {
  using Graph =
      boost::compressed_sparse_row_graph<boost::directedS, boost::no_property, boost::no_property,
                                         boost::no_property, std::uint32_t, std::uint32_t>;
  const Graph rows(boost::edges_are_unsorted_multi_pass, graph.edges.begin(), graph.edges.end(),
                   static_cast<std::uint32_t>(graph.nodes));
  Components components;
  components.of.resize(graph.nodes);
  if (graph.nodes == 0) return components;
  const std::uint32_t count = boost::strong_components(
      rows, boost::make_iterator_property_map(components.of.begin(),
                                              boost::get(boost::vertex_index, rows)));
  components.sizes.resize(count);
  for (const std::uint32_t component : components.of) ++components.sizes[component];
  components.cyclic = count < graph.nodes;
  return components;
}

void add_real_time(const DependencyGraph& dependencies, Digraph& graph) {
  const auto& transactions = dependencies.history().transactions;
  struct Moment {
    std::uint64_t at;
    std::uint32_t transaction;
    bool begins;
  };
  std::vector<Moment> moments;
  moments.reserve(2 * transactions.size());
  for (std::uint32_t t = 0; t < transactions.size(); ++t) {
    if (!dependencies.is_committed(t)) continue;
    moments.push_back({transactions[t].began_at, t, true});
    if (transactions[t].end == HistoryEnd::committed) {
      moments.push_back({transactions[t].ended_at, t, false});
    }
  }
  std::sort(moments.begin(), moments.end(),
            [](const Moment& a, const Moment& b) { return a.at < b.at; });
  std::vector<std::uint32_t> ended;  // since the last moment
  std::uint32_t last = no_index;
  for (const Moment& moment : moments) {
    if (!moment.begins) {
      ended.push_back(moment.transaction);
      continue;
    }
    if (!ended.empty()) {
      const auto node = static_cast<std::uint32_t>(graph.nodes++);
      if (last != no_index) graph.edges.emplace_back(last, node);
      for (const std::uint32_t transaction : ended) graph.edges.emplace_back(transaction, node);
      ended.clear();
      last = node;
    }
    if (last != no_index) graph.edges.emplace_back(last, moment.transaction);
  }
}

void add_sessions(const DependencyGraph& dependencies, Digraph& graph) {
  const auto& transactions = dependencies.history().transactions;
  std::vector<std::uint32_t> by_begin;
  for (std::uint32_t t = 0; t < transactions.size(); ++t) {
    if (dependencies.is_committed(t) && !transactions[t].session.empty()) by_begin.push_back(t);
  }
  std::sort(by_begin.begin(), by_begin.end(), [&](std::uint32_t a, std::uint32_t b) {
    return transactions[a].began_at < transactions[b].began_at;
  });
  std::unordered_map<std::string_view, std::uint32_t> last;
  for (const std::uint32_t t : by_begin) {
    const auto [before, is_first] = last.try_emplace(transactions[t].session, t);
    if (is_first) continue;
    if (transactions[before->second].ended_at < transactions[t].began_at) {
      graph.edges.emplace_back(before->second, t);
    }
    before->second = t;
  }
}

CycleEdges::CycleEdges(const DependencyGraph& dependencies, const Components& components) {
  for (const Dependency& edge : dependencies.dependencies()) {
    if (components.joined(edge.from, edge.to)) edges_.push_back(edge);
  }
  std::sort(edges_.begin(), edges_.end(), [](const Dependency& a, const Dependency& b) {
    return std::tie(a.from, a.to, a.kind, a.key, a.operation) <
           std::tie(b.from, b.to, b.kind, b.key, b.operation);
  });
}

std::pair<const Dependency*, const Dependency*> CycleEdges::between(std::uint32_t from,
                                                                    std::uint32_t to) const {
  const auto before = [](const Dependency& edge, std::pair<std::uint32_t, std::uint32_t> pair) {
    return std::pair(edge.from, edge.to) < pair;
  };
  const auto first = std::lower_bound(edges_.begin(), edges_.end(), std::pair(from, to), before);
  auto last = first;
  while (last != edges_.end() && last->from == from && last->to == to) ++last;
  return {edges_.data() + (first - edges_.begin()), edges_.data() + (last - edges_.begin())};
}

namespace {

// Cycles of two, from the sorted pairs. False if `found` wants no more.
bool pairs_both_ways(const CycleEdges& edges,
                     const std::vector<std::pair<std::uint32_t, std::uint32_t>>& pairs,
                     const std::function<bool(const Cycle&)>& found) {
  for (const auto& [from, to] : pairs) {
    if (from > to) continue;
    const auto [first, last] = edges.between(to, from);
    if (first != last && !found({from, to})) return false;
  }
  return true;
}

// In a large component: the shortest cycle through each edge, as far as the steps go.
bool search_large(const CycleEdges& edges, std::vector<Cycle>& cycles,
                  const std::vector<std::pair<std::uint32_t, std::uint32_t>>& pairs,
                  std::size_t nodes, const std::function<bool(std::uint32_t)>& is_large) {
  const Adjacency adjacency(nodes, pairs, [](std::uint32_t, std::uint32_t) { return true; });
  ShortestPath search(adjacency, nodes, nodes);
  std::size_t steps = search_steps;
  for (const auto& [from, to] : pairs) {
    if (!is_large(from)) continue;
    if (steps == 0) return false;
    Cycle cycle = search.find(to, from, steps);
    if (cycle.size() > 2 && is_minimal(cycle, edges)) cycles.push_back(turned(std::move(cycle)));
  }
  return steps > 0;
}

}  // namespace

bool for_each_minimal_cycle(const CycleEdges& edges, const Components& components,
                            const std::function<bool(const Cycle&)>& found) {
  const auto pairs = pairs_of(edges);
  if (!pairs_both_ways(edges, pairs, found)) return false;
  std::map<std::uint32_t, std::vector<std::uint32_t>> small;  // nodes by component
  bool any_large = false;
  std::uint32_t last = no_index;
  for (const auto& [from, to] : pairs) {
    if (from == last) continue;
    last = from;
    const std::uint32_t component = components.of[from];
    if (components.sizes[component] > small_component) {
      any_large = true;
    } else if (components.sizes[component] > 2) {
      small[component].push_back(from);
    }
  }
  bool complete = true;
  std::vector<Cycle> cycles;
  for (const auto& [component, nodes] : small) {
    SmallSearch search(nodes, edges);
    if (!search.run()) complete = false;
    cycles.insert(cycles.end(), search.cycles.begin(), search.cycles.end());
  }
  if (any_large) {
    // Longer cycles than those through one edge each are not looked for.
    search_large(edges, cycles, pairs, components.of.size(), [&](std::uint32_t node) {
      return components.sizes[components.of[node]] > small_component;
    });
    complete = false;
  }
  std::sort(cycles.begin(), cycles.end(), shorter);
  cycles.erase(std::unique(cycles.begin(), cycles.end()), cycles.end());
  for (const Cycle& cycle : cycles) {
    if (!found(cycle)) return false;
  }
  return complete;
}

bool for_each_real_time_cycle(const DependencyGraph& dependencies, const Digraph& strict,
                              const Components& joined, const Components& components,
                              const std::function<bool(const Dependency&)>& counts,
                              const std::function<bool(const Cycle&)>& found) {
  const std::size_t transactions = dependencies.history().transactions.size();
  const Adjacency adjacency(strict.nodes, strict.edges, [&](std::uint32_t from, std::uint32_t to) {
    return joined.joined(from, to);
  });
  ShortestPath search(adjacency, strict.nodes, transactions);
  std::size_t steps = search_steps;
  std::vector<Cycle> cycles;
  for (const Dependency& edge : dependencies.dependencies()) {
    if (!joined.joined(edge.from, edge.to) || components.joined(edge.from, edge.to)) continue;
    if (!counts(edge)) continue;
    if (steps == 0) break;
    Cycle cycle = search.find(edge.to, edge.from, steps);
    std::erase_if(cycle, [&](std::uint32_t node) { return node >= transactions; });
    if (!cycle.empty()) cycles.push_back(turned(std::move(cycle)));
  }
  std::sort(cycles.begin(), cycles.end(), shorter);
  cycles.erase(std::unique(cycles.begin(), cycles.end()), cycles.end());
  std::vector<Cycle> taken;  // as sets: a cycle around one of them is not minimal
  for (const Cycle& cycle : cycles) {
    Cycle set = cycle;
    std::sort(set.begin(), set.end());
    const bool around = std::any_of(taken.begin(), taken.end(), [&](const Cycle& other) {
      return std::includes(set.begin(), set.end(), other.begin(), other.end());
    });
    if (around) continue;
    if (!found(cycle)) return false;
    if (taken.size() < small_component) taken.push_back(std::move(set));
  }
  return steps > 0;
}

}  // namespace isolde::lab
