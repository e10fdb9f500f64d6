// The model of a database, every committed state by timestamp, and actors whose random transactions
// are compared with it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/temp_database.h"

namespace isolde::test {

using Place = std::pair<std::string, std::string>;  // keyspace and key
using Value = std::optional<std::string>;           // nothing: absent
using Entries = std::vector<std::pair<std::string, std::string>>;

// A private write, as its transaction should see it.
struct OwnWrite {
  Value value;
  std::optional<std::int64_t> delta;     // instead: to be added to what is newest at commit
  std::optional<Value> must_find;        // what has to be there at commit (C6)
  Value over(const Value& below) const;  // what the transaction sees
};
using OwnWrites = std::map<Place, OwnWrite>;

// One read or scan, with all that its answer depends on.
struct Observation {
  std::uint64_t snapshot = 0;
  std::uint64_t acknowledged = 0;  // the newest commit acknowledged before it began
  bool for_update = false;
  bool tracked = true;
  OwnWrites own;  // at that moment: of the place, or of the keyspace

  Place place;  // of a scan: the keyspace, and no key
  Value value;

  bool is_scan = false;
  KeyRange range;
  bool reverse = false;
  std::optional<std::size_t> limit;
  bool to_the_end = true;  // false: a cursor that was closed early
  Entries entries;
  std::vector<KeyRange> observed;  // as the events said
};

// A version that an event named.
struct NamedVersion {
  Place place;
  Value value;
  std::uint64_t commit = 0;
  TransactionId writer;
};

struct History {
  TransactionId id;
  Isolation isolation = Isolation::read_committed;
  std::uint64_t commit = 0;
  std::optional<std::uint64_t> acknowledged;  // before its first operation
  OwnWrites writes;
  std::vector<Observation> observations;
  std::vector<NamedVersion> versions;
};

// An error that ended a transaction, or should not have happened.
struct Failure {
  Isolation isolation;
  Error error;
};

class Model {
 public:
  // Takes the transactions of one round (all that ended, and all that committed) in commit order,
  // and returns what is wrong with them, in words.
  std::vector<std::string> judge(std::vector<History> committed,
                                 const std::vector<Failure>& failures);
  std::vector<std::string> compare(const std::string& keyspace, const Contents& found) const;

 private:
  Value at(std::uint64_t snapshot, const Place& place) const;
  bool changed(const Place& place, std::uint64_t after, std::uint64_t before) const;
  Entries scan(const Observation& observation) const;
  void apply(const History& history);
  void judge_one(const History& history);
  void judge_observation(const History& history, const Observation& observation);
  void judge_dirty(const History& history, const Observation& observation);
  void judge_commit(const History& history);
  void judge_failure(const Failure& failure);
  bool was_written(const std::string& value) const { return written_.count(value) != 0; }
  void fault(const History& history, const std::string& what);

  std::map<Place, std::map<std::uint64_t, Value>> versions_;
  std::map<std::uint64_t, TransactionId> writers_;
  std::set<std::string> written_;
  std::uint64_t newest_ = 0;
  std::vector<std::string> faults_;

 public:
  // Values that were written, by whomever: read uncommitted may see them.
  void note_written(const std::set<std::string>& values) {
    written_.insert(values.begin(), values.end());
  }
  // Commits up to here are not transactions of actors (keyspaces).
  void start_at(std::uint64_t commit) { newest_ = commit; }
};

// Keeps what the events of the operation in this thread said.
class Witness : public Observer {
 public:
  void on_read(const EventTransaction& txn, const ReadEvent& event) override;
  void on_scan(const EventTransaction& txn, const ScanEvent& event) override;

  struct Heard {
    std::optional<std::uint64_t> snapshot;
    std::vector<NamedVersion> versions;
    std::vector<KeyRange> observed;
  };
  static Heard take();
};

// Runs random transactions, one operation a step. Not thread-safe: one thread at a time.
class Actor {
 public:
  Actor(Database& db, std::vector<Keyspace> keyspaces, std::uint64_t seed, std::string name)
      : db_(db), keyspaces_(std::move(keyspaces)), random_(seed), name_(std::move(name)) {}

  void step();
  // Ends what is open, by commit or rollback.
  void finish();

  std::vector<History> committed;
  std::vector<Failure> failures;
  std::set<std::string> written;
  std::size_t transactions = 0;

  // The newest commit that anyone has been told of: later snapshots must not be older.
  static std::atomic<std::uint64_t> acknowledged;

 private:
  struct OpenCursor {
    Cursor cursor;
    Observation observation;
    std::size_t ordinal = 0;
    bool is_rolled_back = false;  // with the savepoint that it was opened in
  };
  struct Mark {
    Savepoint savepoint;
    OwnWrites own;
    std::size_t cursors = 0;  // that had been opened
  };

  std::size_t draw(std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_);
  }
  bool chance(int percent) { return draw(100) < static_cast<std::size_t>(percent); }
  Place random_place();
  KeyRange random_range();
  std::string fresh_value(const Place& place);
  const Keyspace& keyspace_of(const Place& place) const;
  bool keeps_snapshot() const { return txn_->isolation() >= Isolation::repeatable_read; }

  void begin();
  void get();
  void scan();
  void open_cursor();
  void step_cursor();
  void close_cursor();
  void put_or_erase();
  void insert();
  void add();
  void add_and_get();
  void compare_and_set();
  void savepoints();
  void commit();
  void rollback();

  Observation observation_of(const Place& place);
  void record(Observation observation, const Witness::Heard& heard);
  // True if the transaction goes on.
  template <typename T>
  bool survives(const Result<T>& result) {
    return result ? true : survives_error(result.error());
  }
  bool survives_error(const Error& error);
  void forget();

  Database& db_;
  std::vector<Keyspace> keyspaces_;
  std::mt19937_64 random_;
  std::string name_;
  std::uint64_t values_ = 0;
  std::optional<Transaction> txn_;
  History history_;
  OwnWrites own_;
  std::vector<Mark> savepoints_;
  std::size_t cursors_opened_ = 0;
  std::optional<OpenCursor> cursor_;
};

}  // namespace isolde::test
