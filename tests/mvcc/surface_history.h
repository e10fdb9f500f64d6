// What happened in one run of the surface model: every operation with the moments between which it
// ran, what it answered, and what its transaction held then. Judged afterwards (surface_judge.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isolde/isolde.h"

namespace isolde::test::surface {

using Value = std::optional<std::string>;  // nothing: absent
using Entries = std::vector<std::pair<std::string, std::string>>;

constexpr std::uint64_t never = ~std::uint64_t{0};

// A key of one keyspace for good: ids are not reused.
struct Place {
  std::uint32_t keyspace = 0;
  std::string key;
  friend auto operator<=>(const Place&, const Place&) = default;
};

// The value as a 64-bit integer, absent as 0; nothing if it is none.
std::optional<std::int64_t> number(const Value& value);

// What a transaction has done to one key: what it sees there is a function of what lies below.
struct Own {
  struct Condition {
    std::optional<std::int64_t> delta;  // what it had added before
    Value expected;                     // what it saw: nothing for insert
    bool holds(const Value& base) const;
  };

  std::optional<Value> fixed;         // put, erased: whatever lies below
  std::optional<std::int64_t> delta;  // then added
  std::vector<Condition> conditions;  // what success of insert or compare_and_set said of it

  void set(Value value) {
    fixed = std::move(value);
    delta.reset();
  }
  void add(std::int64_t more);
  // Nothing: a sum over what is no integer.
  std::optional<Value> over(const Value& base) const;
  // What is seen: on what is no integer an add does not show.
  Value seen_over(const Value& base) const;
};
using OwnWrites = std::map<Place, Own>;

// Between two stamps of the run's own counter something happened.
struct Span {
  std::uint64_t from = 0;
  std::uint64_t to = never;
  bool surely_before(const Span& other) const { return to < other.from; }
};

// An operation: when, and the newest visible commit just before and just after.
struct Moment {
  Span span;
  std::uint64_t visible_before = 0;
  std::uint64_t visible_after = 0;
  std::uint64_t acknowledged = 0;  // the newest commit acknowledged before it
};

// What a point read says of the value that the transaction sees.
enum class Says : std::uint8_t { is, exists, absent, differs, counts_as, no_number };

struct Read {
  Moment moment;
  Place place;  // of a scan: without key
  Says says = Says::is;
  Value value;
  std::int64_t count = 0;  // of counts_as

  bool is_scan = false;
  KeyRange range;
  bool reverse = false;
  std::optional<std::size_t> limit;
  bool stopped = false;  // by its visitor, or it is a step of a cursor that yielded
  Entries entries;

  ReadMode mode = ReadMode::plain;
  bool skips_locked = false;
  bool before_write = false;  // of insert, add, compare_and_set
  bool tracked = true;
  bool depends = false;  // the commit fails if it changed, at every level
  OwnWrites own;         // what the transaction held then
  std::optional<std::uint64_t> snapshot;
  std::size_t cursor = 0;  // steps of one cursor share a snapshot; 0: of none
};

// A private write as read uncommitted may see it.
struct PrivateWrite {
  Place place;
  Span written;             // its place among others
  Span there;               // when it can be seen: the same, or a rollback has brought it back then
  Span gone{never, never};  // overwritten, undone, ended
  Own after;
  std::optional<std::uint64_t> snapshot;  // its transaction's
};

struct HeldLock {
  Place place;  // of a range: without key
  std::optional<KeyRange> range;
  LockMode mode = LockMode::exclusive;
  Moment granted;
  bool certain = true;  // false: asked for, and may be held or waited for
};

struct Refusal {
  Moment moment;
  std::string what;  // the operation
  Error error;
  std::optional<Place> place;
  OwnWrites own;
  bool at_commit = false;
  bool may_give_up = false;  // nowait, or a lock timeout that can come
  std::optional<std::uint64_t> snapshot;
};

// A cursor that reads at the snapshot of the moment when it was opened.
struct PinnedCursor {
  std::uint32_t keyspace = 0;
  std::uint64_t pinned = 0;  // the newest snapshot that it can have
  Span open;
};

// The timestamp that a commit_outcome_unknown speaks of; 0: it does not say. A hint, which saves
// the judge from trying all.
std::uint64_t commit_in_doubt(const Error& error);

enum class End : std::uint8_t { open, committed, unknown, aborted };

struct TransactionRecord {
  std::string name;
  std::size_t number = 0;
  std::size_t session = 0;  // which opening of the database
  TransactionId id;
  Isolation isolation = Isolation::repeatable_read;
  Locking locking = Locking::optimistic;
  bool read_only = false;
  Moment begun;
  std::optional<Moment> first;  // operation that fixes a snapshot
  std::optional<std::uint64_t> snapshot;
  Span snapshot_known;
  std::vector<Read> reads;
  std::vector<PrivateWrite> writes;
  std::vector<HeldLock> locks;
  std::vector<Refusal> refusals;
  std::vector<PinnedCursor> cursors;
  std::uint64_t cancel_asked = never;  // stamps
  std::uint64_t cancel_done = never;
  OwnWrites own;  // at the end what it committed
  End end = End::open;
  Moment ended;
  std::uint64_t commit = 0;
  std::optional<ErrorCode> ended_by;

  bool keeps_snapshot() const {
    return isolation == Isolation::repeatable_read ||
           (isolation == Isolation::serializable && locking == Locking::optimistic);
  }
  bool is_pessimistic() const { return locking == Locking::pessimistic; }
  bool depends_on_reads() const;  // it passes the pipeline though it wrote nothing
};

enum class Change : std::uint8_t { create, drop, load };

// A call that changes the catalogue, or asks it.
struct CatalogueCall {
  enum class Kind : std::uint8_t { create, find, list, drop, load } kind;
  std::size_t session = 0;
  Moment moment;
  std::string actor;
  std::string name;
  std::optional<Error> error;
  std::vector<Keyspace> found;
  Entries entries;  // loaded
  bool source_fails = false;
  bool own_transaction = false;  // the caller had one open
};

// One incarnation of a keyspace, as the database says at the end.
struct Keyspaces {
  struct Life {
    std::uint32_t id = 0;
    std::string name;
    std::uint64_t created = 0;
    std::uint64_t dropped = never;
    bool loaded = false;
  };
  std::vector<Life> lives;
};

// A copy of the database to be opened and compared later.
struct Copy {
  enum class Kind : std::uint8_t { backup, crash, kill } kind;
  Moment moment;
  std::string directory;
  std::uint64_t durable = 0;  // as the database said just before
};

struct VersionsCall {
  Moment moment;
  Place place;
  std::vector<VersionInfo> versions;
};

struct History {
  std::vector<std::unique_ptr<TransactionRecord>> transactions;
  std::vector<CatalogueCall> catalogue;
  std::vector<VersionsCall> versions;
  std::vector<std::string> faults;   // found on the spot
  std::uint64_t newest_visible = 0;  // ever, though a failed log takes commits back
  std::uint64_t faults_armed = never;
};

}  // namespace isolde::test::surface
