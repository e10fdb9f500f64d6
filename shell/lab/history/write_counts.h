// How often each transaction has written each key so far.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "lab/history/history.h"

namespace isolde::lab {

// Looks through the operations of small transactions, and keeps a table for large ones only: most
// transactions write a few keys, and a table of all of them would cost more than the history.
class WriteCounts {
 public:
  explicit WriteCounts(const History& history) : history_(history) {}

  // Writes of `key` by the transaction, undone ones included.
  std::uint32_t count(std::uint32_t transaction, std::uint32_t key) {
    const auto& operations = history_.transactions[transaction].operations;
    if (operations.size() <= small) {
      std::uint32_t found = 0;
      for (const HistoryOperation& operation : operations) found += writes(operation, key);
      return found;
    }
    Table& table = tables_[transaction];
    for (; table.seen < operations.size(); ++table.seen) {
      const HistoryOperation& operation = operations[table.seen];
      if (operation.kind == HistoryOperation::Kind::write) ++table.counts[operation.target];
    }
    const auto found = table.counts.find(key);
    return found == table.counts.end() ? 0 : found->second;
  }

 private:
  static constexpr std::size_t small = 32;
  struct Table {
    std::size_t seen = 0;
    std::unordered_map<std::uint32_t, std::uint32_t> counts;
  };
  static bool writes(const HistoryOperation& operation, std::uint32_t key) {
    return operation.kind == HistoryOperation::Kind::write && operation.target == key;
  }

  const History& history_;
  std::unordered_map<std::uint32_t, Table> tables_;
};

}  // namespace isolde::lab
