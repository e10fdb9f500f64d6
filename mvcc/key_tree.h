// Keys in key order: a tree that finds those that lie in a span.
#pragma once

#include <string_view>
#include <utility>

#include "mvcc/interval_tree.h"

namespace isolde::mvcc {

// An intrusive treap (Seidel, Aragon 1996). What IntervalTree does for spans; for keys alone there
// are no ends to be kept, which is most of its work. A Node has `left` and `right` (pointers to
// Node), `keyspace`, key() and a priority() that is as good as random.
//
// Not thread-safe. Nodes belong to the caller; a node's key stays as it is while it is in the tree,
// and no two have the same one.
template <typename Node>
class KeyTree {
 public:
  bool empty() const noexcept { return root_ == nullptr; }

  void insert(Node& node) noexcept {
    Node** link = &root_;
    while (*link != nullptr && (*link)->priority() >= node.priority()) link = towards(**link, node);
    // All below goes to its left or to its right.
    Node* at = std::exchange(*link, &node);
    Node** less = &node.left;
    Node** greater = &node.right;
    while (at != nullptr) {
      if (before(*at, node)) {
        *less = at;
        less = &at->right;
        at = at->right;
      } else {
        *greater = at;
        greater = &at->left;
        at = at->left;
      }
    }
    *less = nullptr;
    *greater = nullptr;
  }

  // Precondition: it is in the tree.
  void erase(Node& node) noexcept {
    Node** link = &root_;
    while (*link != &node) link = towards(**link, node);
    Node* left = node.left;
    Node* right = node.right;
    while (left != nullptr && right != nullptr) {
      if (left->priority() >= right->priority()) {
        *link = left;
        link = &left->right;
        left = left->right;
      } else {
        *link = right;
        link = &right->left;
        right = right->left;
      }
    }
    *link = left != nullptr ? left : right;
  }

  // Calls visit(Node&) for each node in the span, in key order, until it returns false. The visits
  // must not change the tree. True if none returned false.
  template <typename Visit>
  bool for_each_overlap(const Span& span, Visit&& visit) const {
    return visit_overlaps(root_, span, visit);
  }
  template <typename Visit>
  void for_each(Visit&& visit) const {
    visit_all(root_, visit);
  }

 private:
  static bool before(const Node& a, const Node& b) noexcept {
    if (a.keyspace != b.keyspace) return a.keyspace < b.keyspace;
    return a.key() < b.key();
  }
  static Node** towards(Node& at, const Node& node) noexcept {
    return before(node, at) ? &at.left : &at.right;
  }
  template <typename Visit>
  static bool visit_overlaps(Node* at, const Span& span, Visit& visit) {
    if (at == nullptr) return true;
    const std::string_view key = at->key();
    const bool is_here = at->keyspace == span.keyspace;
    const bool is_below = is_here ? key < span.lower : at->keyspace < span.keyspace;
    const bool is_above = is_here ? !span.reaches(key) : span.keyspace < at->keyspace;
    if (!is_below && !visit_overlaps(at->left, span, visit)) return false;
    if (!is_below && !is_above && !visit(*at)) return false;
    return is_above || visit_overlaps(at->right, span, visit);
  }
  template <typename Visit>
  static void visit_all(Node* at, Visit& visit) {
    if (at == nullptr) return;
    visit_all(at->left, visit);
    visit(*at);
    visit_all(at->right, visit);
  }

  Node* root_ = nullptr;
};

}  // namespace isolde::mvcc
