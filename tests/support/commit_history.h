// The model of a database's committed states: what each commit changed, in commit order.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "isolde/isolde.h"
#include "tests/support/temp_database.h"

namespace isolde::test {

struct CommittedChange {
  enum class Kind : std::uint8_t { put, erase, add, create_keyspace, drop_keyspace };
  Kind kind = Kind::put;
  std::string keyspace;
  std::string key = {};
  std::string value = {};
  std::int64_t delta = 0;
};
using CommittedChanges = std::vector<CommittedChange>;

// Every keyspace with all that is in it.
using DatabaseContents = std::map<std::string, Contents>;

// Commits are numbered as their timestamps: 1, 2, 3, ... Not thread-safe.
class CommitHistory {
 public:
  CommitHistory() : states_{{{std::string(default_keyspace_name), {}}}} {}

  std::uint64_t last() const { return states_.size() - 1; }
  const DatabaseContents& at(std::uint64_t commit) const { return states_.at(commit); }
  void append(const CommittedChanges& changes);
  // Forgets the commits after that one: they did not survive.
  void truncate(std::uint64_t commit) { states_.resize(commit + 1); }

 private:
  std::vector<DatabaseContents> states_;
};

// All that a new transaction sees, or the first error. From any thread.
Result<DatabaseContents> read_everything(Database& db,
                                         Isolation isolation = Isolation::repeatable_read);

// Where two of them differ first: "default: b is 2, not 3"; empty if nowhere.
std::string first_difference(const DatabaseContents& found, const DatabaseContents& expected);

}  // namespace isolde::test
