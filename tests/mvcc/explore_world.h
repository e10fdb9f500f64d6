// A small world for deterministic schedules: one database, two keys, and what each commit wrote.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isolde/isolde.h"
#include "tests/support/exploration.h"
#include "tests/support/temp_database.h"

namespace isolde::test {

// Where key "a" (and "b" where it matters) is when the actors begin. Whatever the state, "a" is
// present in it unless said otherwise.
enum class Start : std::uint8_t {
  in_base,     // no chain
  absent,      // in neither
  in_chain,    // written since the last checkpoint
  in_both,     // written and checkpointed: the chain may go
  old_view,    // as in_both; the slot that is claimed next has a view from before
  old_reader,  // as in_both; a transaction at repeatable read has a snapshot from before
};

// While it lives temporary files lie in memory, if they can: a checkpoint syncs, which a disk makes
// the most expensive part of a schedule by far.
struct TmpfsForFiles {
  TmpfsForFiles();
  TmpfsForFiles(const TmpfsForFiles&) = delete;
  TmpfsForFiles& operator=(const TmpfsForFiles&) = delete;
  ~TmpfsForFiles();
  std::optional<std::string> before;
};

// Not thread-safe: the actors of explore() share it.
class ExploreWorld {
 public:
  explicit ExploreWorld(std::size_t max_version_memory = std::size_t{1} << 30);
  ~ExploreWorld();

  // The same state again, with other timestamps and values.
  void reset(Start start);

  // Bodies of actors.
  using Body = std::function<void()>;
  Body read_snapshot(unsigned gets = 1);  // repeatable read: gets of a key, then a scan
  Body read_committed();                  // two gets, each at its own moment
  Body scan_committed();                  // a scan of both keys
  Body old_reader();                      // get and scan of the transaction of Start::old_reader
  Body read_uncommitted();                // two gets and a scan
  Body cursors();                         // at read committed: two cursors at different moments
  Body put(Isolation level, std::string keys = "a");  // at serializable it reads them first
  Body insert(Isolation level);
  Body erase(Isolation level);
  Body add(Isolation level);
  Body scan_and_put();  // serializable: depends on a range
  Body checkpoint();
  Body reclaim();
  // One after the other, by one actor.
  static Body in_turn(std::vector<Body> bodies);

  // Everything that was read, and all that is there now, against the model.
  std::optional<std::string> judge();

  // The store may be damaged: nothing is verified at the end.
  void abandon();

  static Footprint footprint(std::string_view place);
  std::optional<std::uint64_t> content(unsigned part);
  static bool ignored(std::string_view place);

 private:
  using Value = std::optional<std::string>;
  struct Commit {
    std::map<std::string, Value> writes;
    std::map<std::string, int> sums;     // added to what was there
    std::vector<std::string> unchanged;  // keys without a commit between `snapshot` and this one
    std::uint64_t snapshot = 0;
    std::vector<std::string> absent;  // keys that were not there just before
  };
  // What was seen of some keys, by one look at one moment in [from, to].
  struct Seen {
    std::string who;
    std::uint64_t from;
    std::uint64_t to;
    std::map<std::string, Value> values;
    bool dirty = false;  // may see what is committed later
  };

  std::string next_value();
  Value value_at(const std::string& key, std::uint64_t at) const;
  bool is_possible(const Seen& seen, std::uint64_t at) const;
  std::uint64_t visible();
  std::uint64_t moment();
  Transaction begin(Isolation level);
  // False: the snapshot was given up.
  bool look(const char* who, Transaction& txn, const std::string& key);
  bool look_at_range(const char* who, Transaction& txn);
  bool note(const char* who, Transaction& txn, std::uint64_t from, const Error* error,
            std::map<std::string, Value> values);
  void write_alone(const std::string& key, Value value);
  void settle();
  void line_slots_up();
  void finish(Transaction& txn, Commit commit);
  void complain(std::string what);
  std::optional<std::string> judge_commits() const;
  std::optional<std::string> judge_reads() const;
  std::optional<std::string> judge_store();

  std::unique_ptr<TempDatabase> db_;
  std::uint64_t values_made_ = 0;
  std::uint64_t base_line_ = 0;  // the commit that is the newest when the actors begin
  std::uint64_t base_version_ = 0;
  std::vector<std::uint64_t> gates_;
  std::map<std::string, Value> initial_;
  std::map<std::uint64_t, Commit> commits_;
  std::vector<Seen> seen_;
  std::optional<std::string> complaint_;
  std::optional<Transaction> holder_;
};

using Cast = std::vector<std::pair<const char*, ExploreWorld::Body>>;

// ExploreWorld::footprint does not count private writes: with readers of those, no pruning.
enum class Pruning : std::uint8_t { by_state, none };

// Plays all interleavings of the cast, or those with few preemptions. Stops at the first failure.
Explored interleave(ExploreWorld& world, Start start, const Cast& cast,
                    std::optional<unsigned> preemptions = {}, Pruning pruning = Pruning::by_state);

}  // namespace isolde::test
