// Entries in a database, wherever they lie, and what a scan of them sees.
#pragma once

#include <array>
#include <boost/test/unit_test.hpp>
#include <string>
#include <string_view>

#include "tests/support/temp_database.h"

namespace isolde::test {

inline std::string scan(Transaction& txn, const Keyspace& keyspace, const KeyRange& range,
                        const ScanOptions& options = {}) {
  std::string seen;
  must(txn.scan(keyspace, range, options, [&](std::string_view key, std::string_view value) {
    if (!seen.empty()) seen += ' ';
    seen.append(key).append("=").append(value);
  }));
  return seen;
}

inline ScanOptions limit(std::size_t limit, bool reverse = false) {
  ScanOptions options;
  options.limit = limit;
  options.reverse = reverse;
  return options;
}
inline ScanOptions reversed() {
  ScanOptions options;
  options.reverse = true;
  return options;
}

inline void fill(TempDatabase& db, const Contents& entries) {
  Transaction txn = db.begin();
  for (const auto& [key, value] : entries) must(txn.put(db.keyspace(), key, value));
  must(txn.commit());
}

// All in memory, all in the base, or a checkpoint that left the chains: reads must not differ.
enum class Where : std::uint8_t { memory, base, both };
inline constexpr std::array everywhere{Where::memory, Where::base, Where::both};
inline void bring(TempDatabase& db, Where where) {
  if (where == Where::memory) return;
  db.checkpoint();
  if (where == Where::base) {
    db.reclaim();
    BOOST_TEST(db->stats().chains == 0u);
  }
}

}  // namespace isolde::test
