// Commands: what a step or a line of setup asks of the database.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "isolde/options.h"
#include "isolde/range.h"
#include "isolde/types.h"
#include "lab/script/operand.h"
#include "lab/text/source.h"

namespace isolde::lab {

// a..b, a.., ..b, p* or *; the bounds may be references.
struct RangeOperand {
  enum class Kind : std::uint8_t { all, prefix, between };
  Kind kind = Kind::all;
  std::optional<Operand> lower;  // prefix: the prefix itself
  std::optional<Operand> upper;

  static RangeOperand parse(TokenStream& tokens);
};
Result<KeyRange> evaluate(const RangeOperand& range, const Bindings& bindings);

struct BeginCommand {
  std::optional<Isolation> level;
  std::optional<Locking> locking;
  bool read_only = false;
  std::optional<std::chrono::milliseconds> timeout;  // of each wait for a lock; nothing: none
  int priority = 0;  // of a database that lets deadlocks be paid by the lowest one
};
struct CommitCommand {};
struct RollbackCommand {
  std::optional<std::string> savepoint;  // rollback to s
};
struct SavepointCommand {
  std::string savepoint;
};
struct ReleaseCommand {
  std::string savepoint;
};
struct GetCommand {
  Operand key;
  ReadMode mode = ReadMode::plain;
  LockWait lock_wait = LockWait::wait;
};
struct PutCommand {
  bool insert = false;
  Operand key;
  Operand value;
};
struct EraseCommand {
  Operand key;
};
struct AddCommand {
  bool answers = false;  // add_and_get
  Operand key;
  Operand delta;
};
struct CompareAndSetCommand {
  Operand key;
  Operand expected;
  Operand value;
};
struct ScanCommand {
  enum class What : std::uint8_t { entries, count, sum };
  struct Filter {
    Comparison comparison = Comparison::eq;
    Operand operand;
  };
  What what = What::entries;
  RangeOperand range;
  std::optional<Filter> where;
  bool reverse = false;
  std::optional<std::size_t> limit;
  ReadMode mode = ReadMode::plain;
  LockWait lock_wait = LockWait::wait;
};
struct OpenCommand {
  std::string cursor;
  ScanCommand scan;
};
struct NextCommand {
  std::string cursor;
};
struct CloseCommand {
  std::string cursor;
};
// Goes on once that session is not blocked any more.
struct WaitCommand {
  std::string session;
  Place place;
};
// Runs the transaction that was aborted once more, from its begin to here.
struct RetryCommand {};
struct KeyspaceCommand {
  std::string keyspace;
};
struct CheckpointCommand {};
// The next sync of the log fails.
struct FailCommand {};
// Once the session comes by a place inside the engine (engine/yield_point.h), it stands there until
// that step has been played. Needs a build with such places.
struct HoldCommand {
  std::string place;
  std::string step;
};

using Action =
    std::variant<BeginCommand, CommitCommand, RollbackCommand, SavepointCommand, ReleaseCommand,
                 GetCommand, PutCommand, EraseCommand, AddCommand, CompareAndSetCommand,
                 ScanCommand, OpenCommand, NextCommand, CloseCommand, WaitCommand, RetryCommand,
                 KeyspaceCommand, CheckpointCommand, FailCommand, HoldCommand>;

// [if LEFT OP RIGHT] [in KEYSPACE] ACTION
struct Command {
  struct Condition {
    Operand left;
    Comparison comparison = Comparison::eq;
    std::optional<Operand> right;  // nothing: `absent`
  };
  std::string text;  // as written
  Place place;
  std::vector<Condition> conditions;
  std::optional<std::string> keyspace;
  Action action;
};

}  // namespace isolde::lab
