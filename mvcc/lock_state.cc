// What the lock table tells of itself: targets, edges, everything at one moment; as text and DOT.
#include <algorithm>
#include <map>
#include <utility>

#include "isolde/error.h"
#include "mvcc/lock_table.h"

namespace isolde {
namespace {

std::string in_milliseconds(std::chrono::steady_clock::duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count()) +
         " ms";
}

// "waits for key 'x' in keyspace 'k' (exclusive), which T2 'b' holds (shared)"
std::string described(const LockWaitEdge& edge) {
  return "waits for " + to_text(edge.target) + " (" + std::string(name(edge.mode)) + "), which " +
         to_text(edge.holder) + (edge.queued ? " waits for before it (" : " holds (") +
         std::string(name(edge.holder_mode)) + ")";
}

std::string dot_quoted(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

std::string dot_node(const TransactionRef& transaction) {
  return "T" + std::to_string(transaction.id.value);
}

// Nodes and arrows of a waits-for graph; `victim` is marked.
std::string dot_graph(const std::vector<LockWaitEdge>& edges, TransactionId victim) {
  std::map<TransactionId, TransactionRef> nodes;
  for (const LockWaitEdge& edge : edges) {
    nodes.emplace(edge.waiter.id, edge.waiter);
    nodes.emplace(edge.holder.id, edge.holder);
  }
  std::string dot = "digraph waits_for {\n  node [shape=box];\n";
  for (const auto& [id, transaction] : nodes) {
    dot += "  " + dot_node(transaction) + " [label=" + dot_quoted(to_text(transaction)) +
           (id == victim ? ", style=filled, fillcolor=lightgray" : "") + "];\n";
  }
  for (const LockWaitEdge& edge : edges) {
    dot += "  " + dot_node(edge.waiter) + " -> " + dot_node(edge.holder) + " [label=" +
           dot_quoted(to_text(edge.target) + " (" + std::string(name(edge.mode)) + ")") +
           (edge.queued ? ", style=dashed" : "") + "];\n";
  }
  return dot + "}\n";
}

}  // namespace

std::string_view name(LockMode mode) noexcept {
  return mode == LockMode::shared ? "shared" : "exclusive";
}

std::string to_text(const TransactionRef& transaction) {
  if (transaction.id.value == 0) return "an earlier transaction";
  std::string text = "T" + std::to_string(transaction.id.value);
  if (!transaction.label.empty()) text += " " + isolde::quoted(transaction.label);
  return text;
}

std::string to_text(const LockTarget& target) {
  const std::string in = " in keyspace " + isolde::quoted(target.keyspace);
  if (target.key) return "key " + isolde::quoted(*target.key) + in;
  const EvidenceRange& range = *target.range;
  return "range [" + isolde::quoted(range.lower) + ", " +
         (range.upper ? isolde::quoted(*range.upper) : std::string("end")) + ")" + in;
}

std::string to_text(const DeadlockReport& report) {
  std::string text = "deadlock of " + std::to_string(report.cycle.size()) + ":\n";
  for (const LockWaitEdge& edge : report.cycle) {
    text += "  " + to_text(edge.waiter) + " " + described(edge) + "\n";
  }
  return text + "  victim: " + report.reason + "\n";
}

std::string to_dot(const DeadlockReport& report) {
  return dot_graph(report.cycle, report.victim.id);
}

std::string LockState::to_text() const {
  std::string text = std::to_string(awaited.size()) + " waiting, the longest first:\n";
  for (const AwaitedLock& wait : awaited) {
    text += "  " + isolde::to_text(wait.waiter) + " since " + in_milliseconds(taken - wait.since) +
            "\n";
    for (const LockWaitEdge& edge : wait.waits_for) text += "    " + described(edge) + "\n";
  }
  text += std::to_string(held.size()) + " held:\n";
  for (const HeldLock& lock : held) {
    text += "  " + isolde::to_text(lock.target) + ": " + isolde::to_text(lock.holder) + " (" +
            std::string(name(lock.mode)) + ")\n";
  }
  return text;
}

std::string LockState::to_dot() const {
  std::vector<LockWaitEdge> edges;
  for (const AwaitedLock& wait : awaited) {
    edges.insert(edges.end(), wait.waits_for.begin(), wait.waits_for.end());
  }
  return dot_graph(edges, TransactionId{});
}

namespace mvcc {

LockTarget LockTable::target_of(const Span& span, bool is_range) const {
  LockTarget target;
  target.keyspace = listener_.keyspace_name(span.keyspace);
  if (!is_range) {
    target.key = std::string(span.lower);
    return target;
  }
  target.range = EvidenceRange{std::string(span.lower), std::nullopt};
  if (span.end != Span::End::infinite) target.range->upper = std::string(span.upper);
  return target;
}

LockWaitEdge LockTable::edge(const LockOwner& waiter, const LockOwner& holder, LockMode mode,
                             bool queued) const {
  const LockRequest& request = waiter.request_;
  return {waiter.reference(),
          target_of(span_of(request), request.key == nullptr),
          request.mode,
          holder.reference(),
          mode,
          queued,
          request.since};
}

// One for each whom it waits for: what that one holds says more than what it waits for.
std::vector<LockWaitEdge> LockTable::edges(const LockOwner& waiter) {
  std::vector<LockWaitEdge> found;
  for_each_blocker(waiter, [&](const LockOwner& other, LockMode mode, bool is_waiting) {
    for (LockWaitEdge& known : found) {
      if (known.holder.id != other.id) continue;
      if (known.queued && !is_waiting) {
        known.queued = false;
        known.holder_mode = mode;
      }
      return true;
    }
    found.push_back(edge(waiter, other, mode, is_waiting));
    return true;
  });
  std::stable_sort(found.begin(), found.end(), [](const LockWaitEdge& a, const LockWaitEdge& b) {
    return !a.queued && b.queued;
  });
  return found;
}

LockState LockTable::state() {
  LockState state;
  MutexLock lock(mutex_);
  state.taken = std::chrono::steady_clock::now();
  merge_pending();
  keys_.for_each([&](const KeyLock& key) {
    for (const Grant* grant = key.grants; grant != nullptr; grant = grant->next) {
      state.held.push_back({grant->owner->reference(), target_of(key.span(), false), grant->mode});
    }
  });
  ranges_.for_each([&](const RangeLock& range) {
    if (range.waiting) return;
    state.held.push_back({range.owner->reference(), target_of(range.span(), true), range.mode});
  });
  for (const LockOwner* waiter = first_waiter_; waiter != nullptr; waiter = waiter->next_waiter_) {
    const LockRequest& request = waiter->request_;
    state.awaited.push_back({waiter->reference(),
                             target_of(span_of(request), request.key == nullptr), request.mode,
                             request.since, edges(*waiter)});
  }
  return state;
}

std::vector<DeadlockReport> LockTable::deadlocks() const {
  MutexLock lock(mutex_);
  std::vector<DeadlockReport> reports = ring_;
  if (reports.size() == remembered_deadlocks) {
    const auto oldest = static_cast<std::ptrdiff_t>(found_deadlocks_ % remembered_deadlocks);
    std::rotate(reports.begin(), reports.begin() + oldest, reports.end());
  }
  return reports;
}

LockTable::Counts LockTable::counts() const {
  MutexLock lock(mutex_);
  return {held_, waiters_, found_deadlocks_, pending_count_};
}

}  // namespace mvcc
}  // namespace isolde
