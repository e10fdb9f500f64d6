// Looking inside: what the sessions see, hold and wait for, and what the checker makes of it.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/check/checker.h"
#include "lab/play/transcript.h"
#include "lab/text/text.h"
#include "lab/workbench/inside_json.h"
#include "lab/workbench/workbench.h"

namespace isolde::lab {
namespace {

using Reply = Workbench::Reply;
using Paint = Screen::Paint;

constexpr std::size_t shown_bytes = 48;

std::string advice(ErrorCode code) {
  switch (code) {
    case ErrorCode::write_conflict:
      return "Here the first one wins, for the other would overwrite what it has never seen. retry "
             "runs its commands again, on what is there now.";
    case ErrorCode::serialization_failure:
      return "At serializable, what a transaction has read must still be so when it commits. retry "
             "runs its commands again, on what is there now.";
    case ErrorCode::deadlock:
      return "None in the circle could ever have gone on, so one had to go. retry runs its "
             "commands "
             "again; if all take their locks in one order, there is no circle.";
    case ErrorCode::snapshot_too_old:
      return "Its old versions took more memory than they may. retry runs it on a new snapshot.";
    case ErrorCode::cancelled:
      return "It was cancelled, and what it had written is undone.";
    case ErrorCode::commit_outcome_unknown:
      return "The log failed under its commit: whether it survived, only reopen tells. To retry it "
             "blindly could do it twice.";
    case ErrorCode::database_failed:
      return "The log has failed, so that nothing more could be made durable; reopen recovers what "
             "was acknowledged.";
    default:
      return {};
  }
}

std::string version_value(const std::optional<std::string>& value) {
  return value ? spelled_short(*value, shown_bytes) : "absent";
}

}  // namespace

// The uncommitted ones first; each committed one with those whose next read would find it.
std::vector<SeenVersion> Workbench::seen_versions(const std::string& keyspace,
                                                  const std::string& key,
                                                  const std::vector<VersionInfo>& versions) const {
  std::vector<SeenVersion> seen;
  std::vector<std::vector<std::string>> by(versions.size());
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (!is_open(seat)) continue;
    const std::string name = label_of(seat);
    const auto activity = log_->activity(name);
    const Touch* own = nullptr;
    for (std::size_t i = 0; activity && activity->open && i < activity->touches.size(); ++i) {
      const Touch& touch = activity->touches[i];
      if (touch.kind == Touch::Kind::write && touch.key == key && touch.keyspace == keyspace) {
        own = &touch;
      }
    }
    if (own != nullptr) {
      seen.push_back({std::nullopt, own->value, name, false, false, {name}});
      continue;
    }
    const Transaction* txn = conductor_.session(seat)->transaction();
    const auto snapshot = txn == nullptr ? std::nullopt : txn->snapshot();
    std::size_t at = 0;
    while (snapshot && at < versions.size() && versions[at].commit > *snapshot) ++at;
    if (at < by.size()) by[at].push_back(name);
  }
  for (std::size_t i = 0; i < versions.size(); ++i) {
    const VersionInfo& version = versions[i];
    seen.push_back({version.commit, version.value, log_->session_of(version.writer),
                    version.in_memory, version.in_base, std::move(by[i])});
  }
  return seen;
}

Reply Workbench::versions(const ShellCommand& command) {
  const std::string keyspace_name = command.keyspace.value_or(std::string(default_keyspace_name));
  auto keyspace = playground_.find(keyspace_name);
  if (!keyspace) return refuse(evidence_sentence(keyspace.error(), {}, playground_));
  auto versions = playground_.database().versions(*keyspace, command.name);
  if (!versions) return refuse(versions.error().to_string());
  const auto seen = seen_versions(keyspace_name, command.name, *versions);
  if (screen_.json()) return tell(versions_line(keyspace_name, command.name, seen));
  if (seen.empty()) {
    show(fmt::format("there is no {}, and nobody sees one\n",
                     spelled_key(keyspace_name, command.name)));
    return Reply::done;
  }
  Rows rows{{"timestamp", "value", "writer", "where", "seen by"}};
  for (const SeenVersion& version : seen) {
    const std::string where = !version.commit                        ? "its write set"
                              : version.in_memory && version.in_base ? "memory, LMDB"
                              : version.in_memory                    ? "memory"
                                                                     : "LMDB";
    const std::string at = !version.commit              ? "uncommitted"
                           : version.commit->value == 0 ? "before"
                                                        : std::to_string(version.commit->value);
    rows.push_back({at, version_value(version.value), version.writer.value_or("-"), where,
                    fmt::format("{}", fmt::join(version.seen_by, " "))});
  }
  return tell(screen_.table(rows));
}

Reply Workbench::snapshot(std::size_t seat) {
  const std::string name = label_of(seat);
  const Transaction* txn = conductor_.session(seat)->transaction();
  const std::uint64_t visible = playground_.database().stats().visible.value;
  if (screen_.json()) return tell(snapshot_line(name, txn, Timestamp{visible}));
  std::string text;
  if (txn == nullptr) {
    text = fmt::format("{} has no transaction; each of its commands reads the newest state, now {}",
                       name, visible);
  } else if (txn->isolation() == Isolation::read_uncommitted) {
    text = fmt::format(
        "{} has no snapshot: at read-uncommitted each read sees the newest writes, "
        "committed or not",
        name);
  } else if (txn->isolation() == Isolation::read_committed) {
    text = fmt::format(
        "{} has no snapshot: at read-committed each read sees the newest committed "
        "state, now {}",
        name, visible);
  } else if (txn->isolation() == Isolation::serializable &&
             txn->locking() == Locking::pessimistic) {
    text = fmt::format(
        "{} needs no snapshot: what it reads it locks, and reads the newest "
        "committed state, now {}",
        name, visible);
  } else if (const auto snapshot = txn->snapshot(); !snapshot) {
    text = fmt::format("{} takes its snapshot at its first operation; now that would be {}", name,
                       visible);
  } else {
    const std::uint64_t missed = visible - snapshot->value;
    text = fmt::format("{} reads the state at {}: {}", name, snapshot->value,
                       missed == 0   ? std::string("the newest")
                       : missed == 1 ? std::string("1 commit since then is not in it")
                                     : fmt::format("{} commits since then are not in it", missed));
  }
  for (const std::string& line : wrapped(text, style().width)) show(line + '\n');
  return Reply::done;
}

Reply Workbench::touches(std::size_t seat, bool writes) {
  const std::string name = label_of(seat);
  const auto activity = log_->activity(name);
  if (screen_.json()) return tell(touches_line(name, activity, writes, *log_));
  if (!activity || !activity->open) {
    show(fmt::format("{} has no transaction that has {} anything\n", name,
                     writes ? "written" : "read"));
    return Reply::done;
  }
  Rows rows{writes ? std::vector<std::string>{"key", "value", "by"}
                   : std::vector<std::string>{"what", "value", "version", "by"}};
  for (const Touch& touch : activity->touches) {
    if ((touch.kind == Touch::Kind::write) != writes) continue;
    if (touch.kind == Touch::Kind::scan) {
      LockTarget target{touch.keyspace, std::nullopt, touch.range};
      rows.push_back({spelled(target), fmt::format("{} entries", touch.yielded), "",
                      printable(touch.command)});
      continue;
    }
    const std::string key = spelled_key(touch.keyspace, touch.key);
    if (writes) {
      rows.push_back({key, version_value(touch.value), printable(touch.command)});
      continue;
    }
    const auto writer = log_->session_of(touch.writer);
    std::string version = touch.commit ? touch.commit->value == 0
                                             ? std::string("before")
                                             : fmt::format("at {}", touch.commit->value)
                                       : std::string("uncommitted");
    if (writer) version += fmt::format(", by {}", *writer == name ? "itself" : *writer);
    rows.push_back({key, version_value(touch.value), version, printable(touch.command)});
  }
  if (rows.size() == 1) {
    show(fmt::format("{} has {} nothing yet\n", name, writes ? "written" : "read"));
  } else {
    show(screen_.table(rows));
  }
  if (activity->left_out > 0) show(screen_.note(fmt::format("and {} more", activity->left_out)));
  return Reply::done;
}

Reply Workbench::locks() {
  const LockState state = playground_.database().locks();
  if (screen_.json()) return tell(locks_line(state));
  if (state.held.empty() && state.awaited.empty()) {
    show("no locks are held\n");
    return Reply::done;
  }
  Rows rows{{"what", "mode", "who", "state"}};
  const auto name_of = [](const TransactionRef& txn) {
    return txn.label.empty() ? fmt::format("T{}", txn.id.value) : txn.label;
  };
  for (const HeldLock& lock : state.held) {
    rows.push_back(
        {spelled(lock.target), std::string(1, letter_of(lock.mode)), name_of(lock.holder), "held"});
  }
  for (const AwaitedLock& lock : state.awaited) {
    std::vector<std::string> by;
    for (const LockWaitEdge& edge : lock.waits_for) by.push_back(name_of(edge.holder));
    rows.push_back({spelled(lock.target), std::string(1, letter_of(lock.mode)),
                    name_of(lock.waiter), fmt::format("waits for {}", fmt::join(by, " "))});
  }
  show(screen_.table(rows));
  return Reply::done;
}

Reply Workbench::waits(bool dot) {
  const LockState state = playground_.database().locks();
  const Turns& turns = conductor_.turns();
  if (dot) return tell(screen_.json() ? graph_line("waits", state.to_dot()) : state.to_dot());
  if (screen_.json()) {
    std::vector<AwaitedSession> sessions;
    for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
      if (!turns.waits_for_session(seat)) continue;
      sessions.push_back({label_of(seat), turns.blockers(seat)});
    }
    const auto reason_of = [this](const LockWaitEdge& edge) { return log_->reason_of(edge); };
    return tell(waits_line(state, style().clock, reason_of, sessions));
  }
  std::string text;
  for (const AwaitedLock& lock : state.awaited) {
    for (const LockWaitEdge& edge : lock.waits_for) {
      text += fmt::format("{} waits: {}\n", lock.waiter.label,
                          screen_.edge(edge, log_->reason_of(edge), state.taken - lock.since));
    }
  }
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (!turns.waits_for_session(seat)) continue;
    text += fmt::format("{} waits until {} goes on\n", label_of(seat),
                        fmt::join(turns.blockers(seat), " "));
  }
  show(text.empty() ? std::string("nobody waits\n") : text);
  return Reply::done;
}

Reply Workbench::deadlocks(bool dot) {
  const std::vector<DeadlockReport> reports = playground_.database().deadlocks();
  if (screen_.json() && !dot) return tell(deadlocks_line(reports));
  if (reports.empty()) {
    show("there has been no deadlock\n");
    return Reply::done;
  }
  if (dot) {
    const std::string graph = to_dot(reports.back());
    return tell(screen_.json() ? graph_line("deadlocks", graph) : graph);
  }
  for (std::size_t i = 0; i < reports.size(); ++i) {
    show(fmt::format("deadlock {}: {} was its victim\n", i + 1, reports[i].victim.label));
    show(screen_.note(deadlock_sentence(reports[i])));
  }
  return Reply::done;
}

std::vector<std::string> Workbench::why(const Abort& abort) const {
  std::vector<std::string> sentences{
      abort.deadlock ? deadlock_sentence(*abort.deadlock)
                     : evidence_sentence(abort.error, abort.session, playground_)};
  if (abort.error.evidence().is_lasting) return sentences;  // they all say to run it again
  if (std::string text = advice(abort.error.code()); !text.empty()) {
    sentences.push_back(std::move(text));
  }
  return sentences;
}

Reply Workbench::explain() {
  if (screen_.json()) {
    if (!abort_) return tell(explain_line(std::nullopt));
    const Abort& abort = *abort_;
    return tell(explain_line(ExplainedAbort{abort.session, abort.step, abort.command, abort.error,
                                            abort.deadlock, why(abort)}));
  }
  if (!abort_) {
    show("no transaction has been aborted by an error\n");
    return Reply::done;
  }
  const Abort& abort = *abort_;
  show(fmt::format("{}'s transaction was aborted in {}, by {}: {}\n", abort.session, abort.step,
                   printable(abort.command),
                   screen_.painted(to_script(Outcome::failed(abort.error)), Paint::bad)));
  for (const std::string& sentence : why(abort)) show(screen_.note(sentence));
  return Reply::done;
}

Reply Workbench::verdict() {
  const History history = log_->recorder().history();
  const Verdict verdict = check(history);
  if (screen_.json()) return tell(verdict_line(verdict));
  const std::vector<Phenomenon> found = verdict.phenomena();
  show(fmt::format("verdict on {} committed transaction{}: {}\n", verdict.committed,
                   verdict.committed == 1 ? "" : "s",
                   screen_.painted(names_of(found), found.empty() ? Paint::good : Paint::bad)));
  for (const Phenomenon phenomenon : found) {
    const auto told = std::find_if(
        verdict.anomalies.begin(), verdict.anomalies.end(),
        [phenomenon](const Anomaly& anomaly) { return anomaly.phenomenon == phenomenon; });
    if (told != verdict.anomalies.end()) show(screen_.note(printable(told->text)));
  }
  for (const BrokenPromise& broken : verdict.broken_promises) {
    show(screen_.note(printable(broken.text)));
  }
  return Reply::done;
}

Reply Workbench::stats() {
  const Stats stats = playground_.database().stats();
  if (screen_.json()) return tell(stats_line(stats));
  std::uint64_t aborted = 0;
  std::vector<std::string> causes;
  for (const auto& [code, count] : stats.aborted) {
    aborted += count;
    if (count > 0) causes.push_back(fmt::format("{} {}", count, name(code)));
  }
  Rows rows{{"figure", "value"}};
  rows.push_back(
      {"transactions", fmt::format("{} begun, {} committed, {} rolled back, {} aborted",
                                   stats.begun, stats.committed, stats.rolled_back, aborted)});
  if (!causes.empty()) rows.push_back({"aborted by", fmt::format("{}", fmt::join(causes, ", "))});
  rows.push_back(
      {"commits",
       fmt::format("visible {}, durable {}, in LMDB {}{}", stats.visible.value, stats.durable.value,
                   stats.checkpoint.value, stats.failed ? "; the log has failed" : "")});
  rows.push_back({"memory", fmt::format("{} keys, {} versions, {} bytes", stats.chains,
                                        stats.versions, stats.version_bytes)});
  rows.push_back({"locks", fmt::format("{} held, {} waiting, {} deadlocks", stats.locks_held,
                                       stats.lock_waiters, stats.deadlocks)});
  rows.push_back({"log", fmt::format("{} syncs, {} bytes not yet in LMDB", stats.log_syncs,
                                     stats.log_live_bytes)});
  show(screen_.table(rows));
  for (const SnapshotStats& live : stats.snapshots) {
    show(screen_.note(fmt::format("{} reads at {}, {} commits behind",
                                  live.label.empty() ? "a transaction" : live.label,
                                  live.snapshot.value, live.versions_behind)));
  }
  return Reply::done;
}

Reply Workbench::history() {
  std::vector<ListedStep> steps;
  for (const TypedStep& typed : typed_) {
    steps.push_back(
        {typed.step.name, label_of(typed.step.session), typed.step.text, outcome_of(typed)});
  }
  if (screen_.json()) return tell(history_line(steps));
  if (steps.empty()) return tell("nothing has been typed for a session yet\n");
  Rows rows{{"step", "session", "typed", "outcome"}};
  for (const ListedStep& step : steps) {
    rows.push_back(
        {step.name, step.session, printable(step.text), to_script(step.outcome, shown_bytes)});
  }
  return tell(screen_.table(rows));
}

Reply Workbench::keyspaces() {
  std::vector<std::string> names;
  for (const Keyspace& keyspace : playground_.database().keyspaces()) {
    names.push_back(keyspace.name());
  }
  if (screen_.json()) return tell(keyspaces_line(names));
  for (const std::string& keyspace : names) show(fmt::format("   {}\n", spelled(keyspace)));
  return Reply::done;
}

}  // namespace isolde::lab
