// One session of a script: its steps, one after the other, and the transaction that they run in.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "isolde/transaction.h"
#include "lab/play/playground.h"
#include "lab/play/turns.h"
#include "lab/script/cell.h"
#include "lab/script/outcome.h"
#include "lab/script/predicate.h"
#include "lab/script/script.h"

namespace isolde::lab {

// What one command of a step did.
struct CommandRecord {
  const Command* command = nullptr;
  Outcome outcome;
};

// A step that is played, or has been. Its outcome is the error that stopped it, else skipped if all
// of its commands were, else success with the last value that one of them returned.
struct StepRecord {
  const Step* step = nullptr;
  std::vector<CommandRecord> commands;  // a retry has those that it ran again
  const Command* current = nullptr;     // while it is played: what it is at
  Outcome outcome;
  std::optional<DeadlockReport> deadlock;  // it was the victim
};

// What the sessions of a play share.
struct SessionContext {
  Playground& playground;
  Bindings bindings;
  Turns* turns = nullptr;
  // Whether what a session is at shall end at once; asked from its thread. Nothing: never.
  std::function<bool()> interrupted = {};
};

// Executes the commands of one session in order.
//
// Outside a transaction each command commits by itself. After an abort nothing does, until `begin`,
// `rollback` or `retry`: a script must not go on as if its transaction were still there.
//
// Not thread-safe: it runs while it has the turn (see Turns). The context must outlive it;
// destruction rolls back.
class Session {
 public:
  // `cell`: of transactions that name no level, no locking.
  Session(std::string name, SessionContext& context, Cell cell)
      : name_(std::move(name)), context_(context), cell_(cell) {}

  const std::string& name() const noexcept { return name_; }
  Cell cell() const noexcept { return cell_; }
  // From the next transaction on.
  void set_cell(Cell cell) noexcept { cell_ = cell; }

  // Plays a step into `record`, which is up to date whenever another session has the turn.
  void play(const Step& step, StepRecord& record);
  Outcome execute(const Command& command);

  // How its transactions ended that `begin` started, in order; the open one is unfinished.
  std::vector<Ending> endings() const;
  bool in_transaction() const noexcept { return txn_.has_value(); }
  // The open one, if any; it may be looked at while the session does not run.
  const Transaction* transaction() const noexcept { return txn_ ? &*txn_ : nullptr; }
  // Its transaction was ended by an error that no command has acknowledged yet.
  bool is_aborted() const noexcept { return aborted_; }
  bool has_cursor(const std::string& name) const { return cursors_.count(name) != 0; }
  // After which its waits for locks end by themselves.
  std::optional<std::chrono::milliseconds> timeout() const noexcept { return timeout_; }
  // Nothing more of the step that it is in shall be executed.
  void stop() noexcept { stopped_ = true; }
  // Rolls back what is still open when the schedule is over.
  void finish();

 private:
  // Commands of a step, for retry.
  struct Stretch {
    const Step* step = nullptr;
    std::size_t from = 0;
    std::size_t to = 0;
  };
  struct OpenCursor {
    Cursor cursor;
    const ScanCommand* scan;
    std::optional<std::string> wanted;  // of its `where`
    std::size_t given = 0;
  };

  // False if the step is over.
  bool play_command(const Step& step, const Command& command, StepRecord& record);
  bool play_again(StepRecord& record);
  Result<bool> holds(const Command& command) const;
  Result<bool> holds(const Command::Condition& condition) const;

  Outcome run(const Command& command, const BeginCommand& begin);
  Outcome run(const Command& command, const CommitCommand& commit);
  Outcome run(const Command& command, const RollbackCommand& rollback);
  Outcome run(const Command& command, const SavepointCommand& savepoint);
  Outcome run(const Command& command, const ReleaseCommand& release);
  Outcome run(const Command& command, const OpenCommand& open);
  Outcome run(const Command& command, const NextCommand& next);
  Outcome run(const Command& command, const CloseCommand& close);
  Outcome run(const Command& command, const WaitCommand& wait);
  Outcome run(const Command& command, const RetryCommand& retry);
  Outcome run(const Command& command, const KeyspaceCommand& keyspace);
  Outcome run(const Command& command, const CheckpointCommand& checkpoint);
  Outcome run(const Command& command, const FailCommand& fail);
  Outcome run(const Command& command, const HoldCommand& hold);
  // The commands that read or write keys.
  template <typename KeyCommand>
  Outcome run(const Command& command, const KeyCommand& key_command);

  Outcome apply(Transaction& txn, const Keyspace& keyspace, const GetCommand& get) const;
  Outcome apply(Transaction& txn, const Keyspace& keyspace, const PutCommand& put) const;
  Outcome apply(Transaction& txn, const Keyspace& keyspace, const EraseCommand& erase) const;
  Outcome apply(Transaction& txn, const Keyspace& keyspace, const AddCommand& add) const;
  Outcome apply(Transaction& txn, const Keyspace& keyspace, const CompareAndSetCommand& cas) const;
  Outcome apply(Transaction& txn, const Keyspace& keyspace, const ScanCommand& scan) const;
  static Result<void> step_through(
      Transaction& txn, const Keyspace& keyspace, const KeyRange& range, const ScanOptions& options,
      const std::function<bool(std::string_view, std::string_view)>& visit);

  TransactionOptions options(const BeginCommand& begin) const;
  Outcome not_in_transaction(std::string_view what) const;
  Result<Savepoint> find_savepoint(const std::string& name) const;
  Result<Keyspace> keyspace_of(const Command& command) const;
  Result<std::optional<std::string>> wanted_by(const ScanCommand& scan) const;
  static ScanOptions options_of(const ScanCommand& scan);
  void forget_transaction();
  void note_end(const Outcome& outcome);

  std::string name_;
  SessionContext& context_;
  Cell cell_;
  std::optional<Transaction> txn_;
  std::map<std::string, OpenCursor> cursors_;         // of txn_: they go first
  std::optional<std::chrono::milliseconds> timeout_;  // of txn_
  bool aborted_ = false;
  std::vector<std::pair<std::string, Savepoint>> savepoints_;  // outermost first
  std::vector<Ending> endings_;
  std::vector<Stretch> since_begin_;  // what a retry would run again
  bool stopped_ = false;
};

}  // namespace isolde::lab
