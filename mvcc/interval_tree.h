// Spans of keys in key order, and a tree that finds those which overlap another.
#pragma once

#include <cstdint>
#include <string_view>

#include "isolde/types.h"

namespace isolde::mvcc {

// [lower, upper) in a keyspace, or [lower, upper], or without end. A key is [key, key].
struct Span {
  enum class End : std::uint8_t { open, closed, infinite };

  KeyspaceId keyspace;
  std::string_view lower;
  std::string_view upper;
  End end = End::closed;

  static Span of_key(KeyspaceId keyspace, std::string_view key) {
    return {keyspace, key, key, End::closed};
  }
  bool is_empty() const {
    return end == End::open ? upper <= lower : end == End::closed && upper < lower;
  }
  // True if `key`, in the same keyspace, is not past the end.
  bool reaches(std::string_view key) const {
    return end == End::infinite || (end == End::closed ? key <= upper : key < upper);
  }
  bool overlaps(const Span& other) const {
    return keyspace == other.keyspace && reaches(other.lower) && other.reaches(lower);
  }
  bool contains(const Span& other) const {
    if (keyspace != other.keyspace || other.lower < lower) return false;
    if (end == End::infinite) return true;
    if (other.end == End::infinite) return false;
    if (other.end == End::closed) return reaches(other.upper);
    return other.upper <= upper;
  }
  // True if the end is before the end of `other`; keyspaces count.
  bool ends_before(const Span& other) const {
    if (keyspace != other.keyspace) return keyspace < other.keyspace;
    if (end == End::infinite || other.end == End::infinite) {
      return end != End::infinite && other.end == End::infinite;
    }
    if (upper != other.upper) return upper < other.upper;
    return end == End::open && other.end == End::closed;
  }
};

// An intrusive treap (Seidel, Aragon 1996) by lower ends, in which each node knows the furthest end
// below it (Cormen et al., Interval trees). A Node has `left`, `right` and `furthest` (pointers to
// Node), span() and a priority() that is as good as random.
//
// Not thread-safe. Nodes belong to the caller; a node's span stays as it is while it is in the
// tree.
template <typename Node>
class IntervalTree {
 public:
  bool empty() const noexcept { return root_ == nullptr; }
  void insert(Node& node) noexcept { root_ = insert(root_, node); }
  // Precondition: it is in the tree.
  void erase(Node& node) noexcept { root_ = erase(root_, node); }

  // Calls visit(Node&) for each node whose span overlaps, by lower ends, until it returns false.
  // The visits must not change the tree. True if none returned false.
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
    const Span left = a.span();
    const Span right = b.span();
    if (left.keyspace != right.keyspace) return left.keyspace < right.keyspace;
    if (left.lower != right.lower) return left.lower < right.lower;
    return &a < &b;
  }
  static void update(Node& node) noexcept {
    node.furthest = &node;
    for (const Node* child : {node.left, node.right}) {
      if (child != nullptr && node.furthest->span().ends_before(child->furthest->span())) {
        node.furthest = child->furthest;
      }
    }
  }
  static Node* rotate_right(Node& node) noexcept {
    Node* top = node.left;
    node.left = top->right;
    top->right = &node;
    update(node);
    update(*top);
    return top;
  }
  static Node* rotate_left(Node& node) noexcept {
    Node* top = node.right;
    node.right = top->left;
    top->left = &node;
    update(node);
    update(*top);
    return top;
  }
  static Node* insert(Node* at, Node& node) noexcept {
    if (at == nullptr) {
      node.left = node.right = nullptr;
      update(node);
      return &node;
    }
    if (before(node, *at)) {
      at->left = insert(at->left, node);
      if (at->left->priority() > at->priority()) return rotate_right(*at);
    } else {
      at->right = insert(at->right, node);
      if (at->right->priority() > at->priority()) return rotate_left(*at);
    }
    update(*at);
    return at;
  }
  static Node* merge(Node* left, Node* right) noexcept {
    if (left == nullptr) return right;
    if (right == nullptr) return left;
    if (left->priority() > right->priority()) {
      left->right = merge(left->right, right);
      update(*left);
      return left;
    }
    right->left = merge(left, right->left);
    update(*right);
    return right;
  }
  static Node* erase(Node* at, Node& node) noexcept {
    if (at == &node) return merge(at->left, at->right);
    if (before(node, *at)) {
      at->left = erase(at->left, node);
    } else {
      at->right = erase(at->right, node);
    }
    update(*at);
    return at;
  }
  // Subtrees that end before `span` begins, and nodes that begin after it ends, are not visited.
  template <typename Visit>
  static bool visit_overlaps(Node* at, const Span& span, Visit& visit) {
    if (at == nullptr) return true;
    const Span furthest = at->furthest->span();
    if (furthest.keyspace < span.keyspace ||
        (furthest.keyspace == span.keyspace && !furthest.reaches(span.lower))) {
      return true;
    }
    if (!visit_overlaps(at->left, span, visit)) return false;
    const Span here = at->span();
    if (here.keyspace > span.keyspace ||
        (here.keyspace == span.keyspace && !span.reaches(here.lower))) {
      return true;
    }
    if (here.overlaps(span) && !visit(*at)) return false;
    return visit_overlaps(at->right, span, visit);
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
