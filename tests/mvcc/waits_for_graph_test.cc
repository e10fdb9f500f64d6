// The waits-for graph over edges that the test lists: it needs no lock table.
#include "mvcc/waits_for_graph.h"

#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <vector>

using namespace isolde;
using namespace isolde::mvcc;

namespace {

class ListedEdges final : public BlockerSource {
 public:
  struct Edge {
    std::size_t waiter;
    std::size_t blocker;
    bool is_waiting = false;  // the blocker stands ahead in a queue
  };
  explicit ListedEdges(std::vector<Edge> edges) : edges_(std::move(edges)) {}

  void visit_blockers(LockOwner& waiter, const Visit& visit) override {
    for (const Edge& edge : edges_) {
      if (&owners[edge.waiter] != &waiter) continue;
      if (!visit(owners[edge.blocker], edge.is_waiting)) return;
    }
  }

  // The cycle through `start`, as indexes into `owners`.
  std::vector<std::size_t> cycle_through(std::size_t start) {
    std::vector<std::size_t> cycle;
    for (const LockOwner* owner : graph.find_cycle(owners[start])) {
      cycle.push_back(static_cast<std::size_t>(owner - owners.data()));
    }
    return cycle;
  }

  std::array<LockOwner, 6> owners;
  WaitsForGraph graph{*this};

 private:
  std::vector<Edge> edges_;
};

using Cycle = std::vector<std::size_t>;

}  // namespace

BOOST_AUTO_TEST_SUITE(waits_for_graph)

BOOST_AUTO_TEST_CASE(a_chain_of_waits_is_no_cycle) {
  ListedEdges edges({{0, 1}, {1, 2}, {0, 2}});
  for (std::size_t start = 0; start < 3; ++start) BOOST_TEST(edges.cycle_through(start).empty());
}

BOOST_AUTO_TEST_CASE(a_shortest_cycle_through_the_start_is_found_and_begins_with_it) {
  // Of length 4 by 1 and 2, of length 3 by 4.
  ListedEdges edges({{0, 1}, {1, 2}, {2, 3}, {3, 0}, {0, 4}, {4, 3}});
  BOOST_TEST((edges.cycle_through(0) == Cycle{0, 4, 3}));
  BOOST_TEST((edges.cycle_through(1) == Cycle{1, 2, 3, 0}));
}

BOOST_AUTO_TEST_CASE(a_cycle_that_the_start_only_leads_to_is_not_its_own) {
  ListedEdges edges({{0, 1}, {1, 2}, {2, 1}});
  BOOST_TEST(edges.cycle_through(0).empty());
  BOOST_TEST((edges.cycle_through(2) == Cycle{2, 1}));
}

BOOST_AUTO_TEST_CASE(an_owner_reaches_what_its_blockers_wait_for) {
  ListedEdges edges({{0, 1}, {1, 2}});
  BOOST_TEST(edges.graph.reaches(edges.owners[0], edges.owners[2]));
  BOOST_TEST(!edges.graph.reaches(edges.owners[2], edges.owners[0]));
}

BOOST_AUTO_TEST_CASE(a_waiter_ahead_counts_only_if_it_waits_for_the_start) {
  // 1 and 2 wait ahead of 0; 2 waits for it through 3.
  ListedEdges edges({{0, 1, true}, {0, 2, true}, {2, 3}, {3, 0}});
  BOOST_TEST((edges.graph.find_ahead(edges.owners[0]) == &edges.owners[2]));
  // A holder that waits for it is no waiter ahead.
  ListedEdges holders({{0, 2}, {2, 0}});
  BOOST_TEST((holders.graph.find_ahead(holders.owners[0]) == nullptr));
}

BOOST_AUTO_TEST_SUITE_END()
