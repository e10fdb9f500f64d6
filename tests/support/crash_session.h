// One client of a database that will crash: random transactions at all levels, each written down
// in a ledger that says what the database has to remember.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/isolde.h"
#include "tests/support/commit_history.h"

namespace isolde::test {

// Kept by all sessions together, in turns.
struct CrashLedger {
  struct Acknowledged {  // one of the three
    std::uint64_t commit = 0;
    std::string tag = {};             // the writer of a value that was read
    std::size_t keyspace_commit = 0;  // which of keyspace_commits, from 1
  };

  std::map<std::uint64_t, CommittedChanges> data_commits;  // those in doubt too
  std::map<std::string, std::uint64_t> commit_of_tag;
  std::vector<CommittedChange> keyspace_commits;  // in order; made by session 0 alone
  std::vector<Acknowledged> acknowledged;         // in order
  std::vector<std::uint64_t> visible_of_session;  // its last commit that got visible
};

class CrashSession {
 public:
  struct Plan {
    std::size_t number = 0;
    std::uint64_t seed = 0;
    std::size_t steps = 0;
    bool may_fail = false;  // faults are injected
  };

  CrashSession(Database& db, CrashLedger& ledger, const Plan& plan, std::uint64_t& tags,
               std::vector<std::string>& complaints)
      : db_(&db),
        ledger_(&ledger),
        plan_(plan),
        random_(plan.seed),
        tags_(&tags),
        complaints_(&complaints) {}

  void run();

 private:
  void transaction();
  bool operation(Transaction& txn);
  bool write(Transaction& txn, const Keyspace& keyspace);
  bool read(Transaction& txn, const Keyspace& keyspace);
  void commit(Transaction& txn);
  void change_keyspaces();
  void checkpoint();
  void reclaim();

  Keyspace any_keyspace();
  std::string any_value();
  void note_value(std::string_view value);
  // False, and a complaint unless it was to be expected.
  bool refused(const Error& error, std::string_view doing);
  std::uint64_t draw(std::uint64_t below) { return random_() % below; }

  Database* db_;
  CrashLedger* ledger_;
  Plan plan_;
  std::mt19937_64 random_;
  std::uint64_t* tags_;
  std::vector<std::string>* complaints_;

  // Of the transaction in progress.
  std::string tag_;
  CommittedChanges changes_;
  std::vector<std::string> seen_tags_;
};

}  // namespace isolde::test
