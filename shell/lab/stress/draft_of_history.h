// Drafts out of histories.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "lab/history/history.h"
#include "lab/stress/draft.h"

namespace isolde::lab {

// What a history does not tell.
struct Retelling {
  bool equal_values =
      false;  // all writes write the same, and so does setup; else each another value
  bool checkpoints = false;  // one after each commit
};

// The transactions with these indexes, each a session of its own, their operations in the order of
// the history. A commit stands before the first read of what it wrote, before a lock on that to
// overwrite it, and before later commits. Cursors are told as the scans that their steps were.
Draft draft_of(const History& history, const std::set<std::uint32_t>& transactions,
               const Retelling& retelling);

}  // namespace isolde::lab
