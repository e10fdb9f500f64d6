// The tree in which locks on places that overlap are found: against looking at all of them, and
// what it costs among many that have nothing to do with the one that is looked for.
#include "mvcc/interval_tree.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "mvcc/key_tree.h"
#include "mvcc/lock_owner.h"
#include "tests/support/seed.h"

using namespace isolde;
using mvcc::IntervalTree;
using mvcc::Span;

namespace {

struct Node {
  Node* left = nullptr;
  Node* right = nullptr;
  Node* furthest = nullptr;
  KeyspaceId keyspace;
  std::string lower;
  std::string upper;
  Span::End end = Span::End::closed;
  std::uint64_t random = 0;
  bool is_in = false;

  inline static std::size_t looks = 0;  // how often anybody asked where a node is
  Span span() const {
    ++looks;
    return {keyspace, lower, upper, end};
  }
  std::uint64_t priority() const { return random; }
};

// Two keyspaces, bounds of one letter: all sorts of ends that meet.
Node drawn(std::mt19937_64& random) {
  Node node;
  node.keyspace = KeyspaceId{static_cast<std::uint32_t>(1 + random() % 2)};
  node.lower = std::string(1, static_cast<char>('a' + random() % 12));
  node.upper = std::string(1, static_cast<char>(node.lower[0] + random() % 4));
  node.end = static_cast<Span::End>(random() % 3);
  if (node.end == Span::End::open && node.upper == node.lower) node.end = Span::End::closed;
  if (node.end == Span::End::infinite) node.upper.clear();
  node.random = mvcc::RangeLock::draw();
  return node;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(interval_tree)

BOOST_AUTO_TEST_CASE(it_finds_what_a_look_at_all_of_them_finds) {
  std::mt19937_64 random(test::seed());
  for (std::size_t run = 0; run < test::rounds(100); ++run) {
    IntervalTree<Node> tree;
    std::deque<Node> nodes;
    for (int step = 0; step < 200; ++step) {
      if (nodes.empty() || random() % 3 != 0) {
        tree.insert(nodes.emplace_back(drawn(random)));
        nodes.back().is_in = true;
      } else {
        Node& node = nodes[random() % nodes.size()];
        if (node.is_in) tree.erase(node);
        node.is_in = false;
      }
      const Node wanted = drawn(random);
      std::vector<const Node*> expected;
      for (const Node& node : nodes) {
        if (node.is_in && node.span().overlaps(wanted.span())) expected.push_back(&node);
      }
      std::vector<const Node*> found;
      std::optional<std::string> last;
      const bool to_the_end = tree.for_each_overlap(wanted.span(), [&](const Node& node) {
        BOOST_REQUIRE(!last || *last <= node.lower);
        last = node.lower;
        found.push_back(&node);
        return true;
      });
      BOOST_REQUIRE(to_the_end);
      std::sort(expected.begin(), expected.end());
      std::sort(found.begin(), found.end());
      BOOST_REQUIRE(found == expected);
      if (expected.empty()) continue;
      std::size_t visits = 0;
      BOOST_REQUIRE(!tree.for_each_overlap(wanted.span(), [&](const Node&) {
        ++visits;
        return false;
      }));
      BOOST_REQUIRE(visits == 1u);
    }
  }
}

// Counted, not timed: how many nodes are looked at to lock one more range, to ask for it and to let
// it go, among ever more that it has nothing to do with.
BOOST_AUTO_TEST_CASE(what_one_range_costs_hardly_depends_on_how_many_others_there_are) {
  IntervalTree<Node> tree;
  std::deque<Node> nodes;
  const auto range = [](std::size_t number) {
    Node node;
    node.keyspace = KeyspaceId{1};
    node.lower = std::to_string(10'000'000 + number);
    node.upper = node.lower;
    node.random = mvcc::RangeLock::draw();
    return node;
  };
  for (const std::size_t count : {100u, 10'000u, 100'000u}) {
    while (nodes.size() < count) tree.insert(nodes.emplace_back(range(2 * nodes.size())));
    std::size_t most = 0;
    for (std::size_t number = 1; number < 2 * count; number += 2 * (count / 50)) {
      Node one = range(number);
      Node::looks = 0;
      tree.insert(one);
      BOOST_TEST(!tree.for_each_overlap(one.span(), [](const Node&) { return false; }));
      tree.erase(one);
      most = std::max(most, Node::looks);
    }
    const double depth = std::log2(static_cast<double>(count));
    BOOST_TEST(most < 100 * depth, most << " looks among " << count);
  }
}

struct KeyNode {
  KeyNode* left = nullptr;
  KeyNode* right = nullptr;
  KeyspaceId keyspace;
  std::string name;
  std::uint64_t random = mvcc::RangeLock::draw();
  bool is_in = false;

  inline static std::size_t looks = 0;
  std::string_view key() const {
    ++looks;
    return name;
  }
  std::uint64_t priority() const { return random; }
};

BOOST_AUTO_TEST_CASE(keys_in_a_span_are_found_in_key_order) {
  std::mt19937_64 random(test::seed());
  for (std::size_t run = 0; run < test::rounds(100); ++run) {
    mvcc::KeyTree<KeyNode> tree;
    std::deque<KeyNode> nodes;
    for (std::uint32_t keyspace = 1; keyspace <= 2; ++keyspace) {
      for (char key = 'a'; key <= 'm'; ++key) {
        KeyNode& node = nodes.emplace_back();
        node.keyspace = KeyspaceId{keyspace};
        node.name = std::string(1, key);
      }
    }
    for (int step = 0; step < 200; ++step) {
      KeyNode& node = nodes[random() % nodes.size()];
      if (std::exchange(node.is_in, !node.is_in)) {
        tree.erase(node);
      } else {
        tree.insert(node);
      }
      const Node wanted = drawn(random);
      std::vector<const KeyNode*> expected;
      std::vector<const KeyNode*> all;
      for (const KeyNode& candidate : nodes) {
        if (!candidate.is_in) continue;
        all.push_back(&candidate);
        if (Span::of_key(candidate.keyspace, candidate.name).overlaps(wanted.span())) {
          expected.push_back(&candidate);
        }
      }
      std::vector<const KeyNode*> found;
      BOOST_REQUIRE(tree.for_each_overlap(wanted.span(), [&](const KeyNode& at) {
        found.push_back(&at);
        return true;
      }));
      BOOST_REQUIRE(found == expected);
      found.clear();
      tree.for_each([&](const KeyNode& at) { found.push_back(&at); });
      BOOST_REQUIRE(found == all);
      if (expected.empty()) continue;
      std::size_t visits = 0;
      BOOST_REQUIRE(!tree.for_each_overlap(wanted.span(), [&](const KeyNode&) {
        ++visits;
        return false;
      }));
      BOOST_REQUIRE(visits == 1u);
    }
  }
}

BOOST_AUTO_TEST_CASE(what_one_key_costs_hardly_depends_on_how_many_others_there_are) {
  mvcc::KeyTree<KeyNode> tree;
  std::deque<KeyNode> nodes;
  for (const std::size_t count : {100u, 10'000u, 100'000u}) {
    while (nodes.size() < count) {
      KeyNode& node = nodes.emplace_back();
      node.name = std::to_string(10'000'000 + 2 * nodes.size());
      tree.insert(node);
    }
    std::size_t most = 0;
    for (std::size_t number = 1; number < 2 * count; number += 2 * (count / 50)) {
      KeyNode one;
      one.name = std::to_string(10'000'000 + number);
      KeyNode::looks = 0;
      tree.insert(one);
      BOOST_TEST(!tree.for_each_overlap(Span::of_key(one.keyspace, one.name),
                                        [](const KeyNode&) { return false; }));
      tree.erase(one);
      most = std::max(most, KeyNode::looks);
    }
    const double depth = std::log2(static_cast<double>(count));
    BOOST_TEST(most < 30 * depth, most << " looks among " << count);
  }
}

// A tree of equal priorities is a list. Short threads, each with its first range, once made one.
BOOST_AUTO_TEST_CASE(no_two_threads_draw_the_same_priority) {
  std::vector<std::uint64_t> drawn(64);
  for (std::uint64_t& priority : drawn) {
    std::thread([&] { priority = mvcc::RangeLock::draw(); }).join();
  }
  std::sort(drawn.begin(), drawn.end());
  BOOST_TEST((std::adjacent_find(drawn.begin(), drawn.end()) == drawn.end()));
}

BOOST_AUTO_TEST_SUITE_END()
