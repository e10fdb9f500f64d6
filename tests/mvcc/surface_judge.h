// The oracle of the surface model: a map for each timestamp, and what the contract of the levels
// (docs/levels.md) says of each operation. Knows nothing of how the engine works.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/mvcc/surface_history.h"
#include "tests/mvcc/surface_plan.h"
#include "tests/mvcc/surface_world.h"

namespace isolde::test::surface {

// Every committed state.
class Timeline {
 public:
  Value at(std::uint64_t commit, const Place& place) const;
  // The commit that wrote what is there then; 0: none did.
  std::uint64_t writer_of(std::uint64_t commit, const Place& place) const;
  // By a commit in (after, before), both exclusive.
  bool changed(const Place& place, std::uint64_t after, std::uint64_t before) const;
  bool has_version(const Place& place, std::uint64_t commit) const;
  bool exists(std::uint32_t keyspace, std::uint64_t commit) const;
  const Keyspaces::Life* life(std::uint32_t keyspace) const;
  void write(const Place& place, std::uint64_t commit, Value value);
  // Each place of the keyspace that was ever written and that lies in the range.
  void for_each(std::uint32_t keyspace, const KeyRange& range,
                const std::function<void(const Place&)>& visit) const;
  // What is different, in words; nothing if it is the state at that commit.
  std::optional<std::string> compare(std::uint64_t commit, const World::Contents& found) const;
  // Forgets what came later: a crash took it back.
  void cut(std::uint64_t commit);

  std::map<std::uint32_t, Keyspaces::Life> lives;
  std::uint64_t newest = 0;

 private:
  std::map<Place, std::map<std::uint64_t, Value>> versions_;
};

// What a session left behind, to be compared with the timeline.
struct Found {
  const Copy* copy = nullptr;  // nothing: the next opening
  Result<World::Contents> contents;
};

class Judge {
 public:
  Judge(const Plan& plan, Timeline& timeline, History& history)
      : plan_(plan), timeline_(timeline), history_(history) {}

  // Everything that happened in a session, and what was found there at its end. Returns what is
  // wrong, in words, the first of it only; the timeline then holds what was committed.
  std::optional<std::string> judge(const Keyspaces& keyspaces, const World::Contents& end);
  std::optional<std::string> judge(const Found& found);
  // The session ended with a crash of the machine, not only of the process.
  void note_crash() { crashed_at_the_end_ = true; }

 private:
  using Txn = TransactionRecord;
  struct Bounds {
    std::uint64_t least;
    std::uint64_t most;
  };

  // Timestamps.
  std::vector<std::uint64_t> place_commits(const Keyspaces& keyspaces, std::uint64_t end,
                                           std::vector<Txn*>& doubtful);
  void place_catalogue(const Keyspaces& keyspaces, std::map<std::uint64_t, std::string>& claims);
  static bool made_at(const CatalogueCall& call, std::uint64_t commit);
  std::size_t in_doubt(const std::vector<Txn*>& doubtful) const;
  bool assign(const std::vector<std::uint64_t>& gaps, std::size_t at, std::vector<Txn*>& doubtful,
              const std::function<bool()>& accept);
  void apply();
  void judge_all(const World::Contents& end);
  bool is_armed(const Moment& moment) const { return moment.span.to > history_.faults_armed; }
  Bounds bounds(const Moment& moment) const;

  // Reads.
  void judge_reads(const Txn& txn);
  bool could_be(const Txn& txn, const Read& read, std::uint64_t at) const;
  bool scan_could_be(const Txn& txn, const Read& read, std::uint64_t at) const;
  std::vector<std::uint64_t> moments_of(const Txn& txn, const Read& read) const;
  static bool is_dirty(const Txn& txn, const Read& read);
  static void lay(const std::vector<const PrivateWrite*>& there,
                  const std::vector<Value>& committed, std::vector<Value>& values);
  std::vector<Value> dirty_values(const Txn& txn, const Read& read, const Place& place) const;
  void judge_dirty(const Txn& txn, const Read& read);
  KeyRange observed(const Read& read) const;
  std::uint64_t newest_seen(const Read& read, std::uint64_t at) const;

  // Commits and refusals.
  void judge_transaction(const Txn& txn);
  void judge_snapshot(const Txn& txn);
  void judge_commit(const Txn& txn);
  void judge_dependencies(const Txn& txn, std::uint64_t commit);
  void judge_refusal(const Txn& txn, const Refusal& refusal);
  bool conflict_is_real(const Txn& txn, const Refusal& refusal) const;
  bool may_depend_on(const Txn& txn, const Refusal& refusal, const Place& place) const;
  void judge_missing_keyspace(const Txn& txn, const Refusal& refusal);
  void judge_cancelled(const Txn& txn);
  void judge_locks(const Txn& txn);
  static bool overlap(const HeldLock& a, const HeldLock& b);
  bool possibly_locked(const Txn& txn, const HeldLock& wanted) const;
  bool may_have_missed(const Txn& txn, const Keyspaces::Life& life) const;
  const CatalogueCall* drop_of(const Keyspaces::Life& life) const;
  void judge_drops();
  void judge_catalogue(const CatalogueCall& call);
  bool named(const std::string& name, std::uint64_t at) const;
  void judge_versions(const VersionsCall& call);
  void judge_survival(const Found& found, std::uint64_t at);

  void fault(const std::string& what) {
    if (!fault_) fault_ = what;
  }
  // The rule first: by its words finds are told apart.
  void fault(const Txn& txn, const std::string& what) { fault(what + " (" + txn.name + ")"); }

  const Plan& plan_;
  Timeline& timeline_;
  History& history_;
  std::uint64_t start_ = 0;
  bool crashed_at_the_end_ = false;
  std::map<std::uint64_t, Txn*> commits_;
  std::optional<std::string> fault_;
};

std::string shown(const Value& value);
std::string shown(const Entries& entries);

}  // namespace isolde::test::surface
