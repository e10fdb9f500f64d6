// What is asked of the lock table.
#pragma once

#include <cstdint>
#include <string_view>

#include "isolde/locks.h"
#include "isolde/range.h"
#include "mvcc/interval_tree.h"

namespace isolde::mvcc {

// What is asked for: a key, or a range (which has to outlive the call).
struct LockAsk {
  KeyspaceId keyspace;
  std::string_view key;
  std::uint64_t hash = 0;  // of the key
  const KeyRange* range = nullptr;
  LockMode mode = LockMode::exclusive;

  Span span() const;
};

}  // namespace isolde::mvcc
