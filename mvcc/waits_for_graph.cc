#include "mvcc/waits_for_graph.h"

#include <algorithm>

#include "mvcc/planted_fault.h"

namespace isolde::mvcc {

bool WaitsForGraph::search(LockOwner& from, const LockOwner& wanted, FirstStep first) {
  const std::uint64_t search = ++searches_;
  LockOwner* last = &from;
  from.search_ = search;
  from.search_next_ = nullptr;
  from.reached_from_ = nullptr;
  bool found = false;
  for (LockOwner* at = &from; at != nullptr && !found; at = at->search_next_) {
    if (at->is_left_out_) continue;
    const bool only_queued = at == &from && first == FirstStep::queued;
    const auto visit = [&](LockOwner& other, bool is_waiting) {
      if (only_queued && !is_waiting) return true;
      if (is_waiting && is_planted(PlantedFault::queue_edges_forgotten)) return true;
      if (&other == &wanted) {
        other.reached_from_ = at;
        found = true;
        return false;
      }
      if (other.search_ == search) return true;
      other.search_ = search;
      other.reached_from_ = at;
      other.search_next_ = nullptr;
      last->search_next_ = &other;
      last = &other;
      return true;
    };
    source_.visit_blockers(*at, std::ref(visit));  // by reference: a copy could allocate
  }
  return found;
}

std::vector<LockOwner*> WaitsForGraph::find_cycle(LockOwner& start) {
  std::vector<LockOwner*> cycle;
  if (!search(start, start)) return cycle;
  cycle.push_back(&start);
  for (LockOwner* at = start.reached_from_; at != &start; at = at->reached_from_) {
    cycle.push_back(at);
  }
  std::reverse(cycle.begin() + 1, cycle.end());
  return cycle;
}

bool WaitsForGraph::reaches(LockOwner& from, const LockOwner& to) { return search(from, to); }

LockOwner* WaitsForGraph::find_ahead(LockOwner& start) {
  if (!search(start, start, FirstStep::queued)) return nullptr;
  LockOwner* at = start.reached_from_;
  while (at->reached_from_ != &start) at = at->reached_from_;
  return at;
}

Victim choose_victim(const std::vector<LockOwner*>& cycle, VictimPolicy policy) {
  const auto younger = [](const LockOwner* a, const LockOwner* b) { return a->begun > b->begun; };
  const auto first_by = [&](auto before) {
    return *std::min_element(cycle.begin(), cycle.end(), before);
  };
  LockOwner* victim = cycle.front();
  std::string why;
  switch (policy) {
    case VictimPolicy::youngest:
      victim = first_by(younger);
      why = "began last";
      break;
    case VictimPolicy::oldest:
      victim = first_by([](const LockOwner* a, const LockOwner* b) { return a->begun < b->begun; });
      why = "began first";
      break;
    case VictimPolicy::fewest_writes: {
      victim = first_by([&](const LockOwner* a, const LockOwner* b) {
        const std::size_t left = a->writes.load(std::memory_order_relaxed);
        const std::size_t right = b->writes.load(std::memory_order_relaxed);
        return left != right ? left < right : younger(a, b);
      });
      const std::size_t keys = victim->writes.load(std::memory_order_relaxed);
      why = "has written the fewest keys (" + std::to_string(keys) + ")";
      break;
    }
    case VictimPolicy::requester:
      why = "asked for the lock that closed the cycle";
      break;
    case VictimPolicy::lowest_priority:
      victim = first_by([&](const LockOwner* a, const LockOwner* b) {
        return a->priority != b->priority ? a->priority < b->priority : younger(a, b);
      });
      why = "has the lowest priority (" + std::to_string(victim->priority) + ")";
      break;
  }
  return {victim, to_text(victim->reference()) + " " + why + ", and the policy is '" +
                      std::string(name(policy)) + "'"};
}

}  // namespace isolde::mvcc
