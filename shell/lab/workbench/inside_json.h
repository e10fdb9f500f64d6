// What the commands that look inside tell, as JSON: one object a line, each with its "event".
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/locks.h"
#include "isolde/stats.h"
#include "isolde/transaction.h"
#include "lab/check/checker.h"
#include "lab/script/cell.h"
#include "lab/script/outcome.h"
#include "lab/workbench/session_log.h"

namespace isolde::lab {

// A version of a key, committed or in the write set of a session, and the sessions that see it.
struct SeenVersion {
  std::optional<Timestamp> commit;  // nothing: uncommitted; 0: before all that is known
  std::optional<std::string> value;
  std::optional<std::string> writer;  // a session
  bool in_memory = false;
  bool in_base = false;
  std::vector<std::string> seen_by;
};

// A session as `sessions` lists it.
struct ListedSession {
  std::string name;
  Cell cell;
  std::string state;                // empty: idle
  std::optional<Cell> transaction;  // of the open one
  std::vector<std::string> waits_for;
};

// A line that was typed, as `history` lists it.
struct ListedStep {
  std::string name;
  std::string session;
  std::string text;
  Outcome outcome;
};

// Why the last transaction was aborted.
struct ExplainedAbort {
  std::string session;
  std::string step;
  std::string command;
  Error error;
  std::optional<DeadlockReport> deadlock;
  std::vector<std::string> sentences;
};

// A session that waits until another goes on, rather than for a lock.
struct AwaitedSession {
  std::string waiter;
  std::vector<std::string> waits_for;
};

using ReasonOf = std::function<std::optional<std::string>(const LockWaitEdge&)>;

std::string sessions_line(const std::vector<ListedSession>& sessions);
std::string versions_line(const std::string& keyspace, const std::string& key,
                          const std::vector<SeenVersion>& versions);
// `txn`: nothing outside a transaction.
std::string snapshot_line(const std::string& session, const Transaction* txn, Timestamp visible);
std::string touches_line(const std::string& session, const std::optional<Activity>& activity,
                         bool writes, const SessionLog& log);
std::string locks_line(const LockState& state);
// `clock`: says for how long.
std::string waits_line(const LockState& state, bool clock, const ReasonOf& reason_of,
                       const std::vector<AwaitedSession>& sessions);
std::string deadlocks_line(const std::vector<DeadlockReport>& reports);
// A graph for Graphviz, of waits or deadlocks.
std::string graph_line(std::string_view event, const std::string& dot);
std::string explain_line(const std::optional<ExplainedAbort>& abort);
std::string verdict_line(const Verdict& verdict);
std::string stats_line(const Stats& stats);
std::string history_line(const std::vector<ListedStep>& steps);
std::string keyspaces_line(const std::vector<std::string>& names);

// What the commands to the shell itself have done.
std::string session_line(const std::string& session, const Cell& cell);
std::string closed_line(const std::string& session);
std::string crashed_line(const std::vector<std::string>& lost);
std::string reopened_line(Timestamp visible, std::uint64_t recovered);
std::string fault_line();
std::string saved_line(const std::string& file, std::size_t steps);

// Of one command, or of all.
struct HelpEntry {
  std::string_view syntax;
  std::string_view help;
  std::string_view example;
};
std::string help_line(const std::vector<HelpEntry>& entries);

}  // namespace isolde::lab
