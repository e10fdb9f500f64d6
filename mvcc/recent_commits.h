// The last commits: what they wrote (validation of ranges, C2) and who they were (evidence).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "isolde/types.h"
#include "mvcc/version.h"

namespace isolde::mvcc {

// Prepared outside the critical section, so that remembering it there is one exchange of pointers.
struct RecentCommit {
  std::uint64_t commit = 0;
  TransactionId id;
  std::string label;
  std::vector<Chain*> chains;  // valid while a snapshot below `commit` is registered
};

// Not thread-safe: guarded by the pipeline's mutex.
//
// Why the chains may be followed: a validator at snapshot S only looks at commits > v >= S. Their
// chains have a version newer than S, and S is registered, so they have not been dropped (I3).
class RecentCommits {
 public:
  static constexpr std::uint64_t capacity = 4096;

  // Takes the place of the oldest, which the caller frees, or uses again, outside the critical
  // section.
  std::unique_ptr<RecentCommit> remember(std::unique_ptr<RecentCommit> commit) noexcept {
    std::swap(ring_[commit->commit % capacity], commit);
    return commit;
  }
  // Null: forgotten, or never written by a transaction.
  const RecentCommit* find(std::uint64_t commit) const noexcept {
    const auto& place = ring_[commit % capacity];
    return place && place->commit == commit ? place.get() : nullptr;
  }

 private:
  std::array<std::unique_ptr<RecentCommit>, capacity> ring_;
};

}  // namespace isolde::mvcc
