// One session of a script: a queue of steps, and the transaction that they run in.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "isolde/transaction.h"
#include "lab/cell.h"
#include "lab/outcome.h"
#include "lab/playground.h"
#include "lab/predicate.h"
#include "lab/script.h"

namespace isolde::lab {

// What one command of a step did.
struct CommandRecord {
  const Command* command = nullptr;
  Outcome outcome;
};

// A step that has been played. Its outcome is the error that stopped it, else skipped if all of its
// commands were, else success with the last value that one of them returned.
struct StepRecord {
  const Step* step = nullptr;
  std::vector<CommandRecord> commands;
  Outcome outcome;
};

// Executes the commands of one session in order. Steps are submitted to its queue and advance()
// plays what can be played; under optimistic locking that is everything, at once, in the caller's
// thread.
//
// Outside a transaction each command commits by itself. After an abort nothing does, until `begin`
// or `rollback`: a script must not go on as if its transaction were still there.
//
// Not thread-safe. The playground and the bindings must outlive it; destruction rolls back.
class Session {
 public:
  Session(std::string name, Playground& playground, Cell cell, Bindings& bindings)
      : name_(std::move(name)), playground_(playground), cell_(cell), bindings_(bindings) {}

  const std::string& name() const noexcept { return name_; }

  void submit(const Step& step) { queue_.push_back(&step); }
  // Plays the queued steps; returns those that have finished.
  std::vector<StepRecord> advance();
  // Rolls back what is still open when the schedule is over.
  void finish();

  Outcome execute(const Command& command);
  // How its transactions ended that `begin` started, in order.
  const std::vector<Ending>& endings() const noexcept { return endings_; }

 private:
  StepRecord play(const Step& step);
  Result<bool> holds(const Command::Condition& condition) const;

  Outcome run(const Command& command, const BeginCommand& begin);
  Outcome run(const Command& command, const CommitCommand& commit);
  Outcome run(const Command& command, const RollbackCommand& rollback);
  Outcome run(const Command& command, const SavepointCommand& savepoint);
  Outcome run(const Command& command, const ReleaseCommand& release);
  Outcome run(const Command& command, const KeyspaceCommand& keyspace);
  Outcome run(const Command& command, const CheckpointCommand& checkpoint);
  // The commands that read or write keys.
  template <typename KeyCommand>
  Outcome run(const Command& command, const KeyCommand& key_command);

  Outcome apply(Transaction& txn, const Keyspace& keyspace, const GetCommand& get) const;
  Outcome apply(Transaction& txn, const Keyspace& keyspace, const PutCommand& put) const;
  Outcome apply(Transaction& txn, const Keyspace& keyspace, const EraseCommand& erase) const;
  Outcome apply(Transaction& txn, const Keyspace& keyspace, const AddCommand& add) const;
  Outcome apply(Transaction& txn, const Keyspace& keyspace, const CompareAndSetCommand& cas) const;
  Outcome apply(Transaction& txn, const Keyspace& keyspace, const ScanCommand& scan) const;

  Outcome not_in_transaction(std::string_view what) const;
  Result<Savepoint> find_savepoint(const std::string& name) const;
  void note_end(const Outcome& outcome);

  std::string name_;
  Playground& playground_;
  Cell cell_;
  Bindings& bindings_;
  std::deque<const Step*> queue_;
  std::optional<Transaction> txn_;
  bool aborted_ = false;  // its transaction was ended by an error that nobody acknowledged yet
  std::vector<std::pair<std::string, Savepoint>> savepoints_;  // outermost first
  std::vector<Ending> endings_;
};

}  // namespace isolde::lab
