#include "lab/workbench/inside_json.h"

#include <array>
#include <chrono>
#include <utility>

#include "isolde/keyspace.h"
#include "lab/check/verdict_report.h"
#include "lab/script/error_json.h"
#include "lab/text/json.h"
#include "lab/workbench/screen.h"

namespace isolde::lab {
namespace {

Json event(std::string_view name) { return Json{{"event", name}}; }

Json cell_json(const Cell& cell) {
  return Json{{"level", name(cell.level)}, {"locking", name(cell.locking)}};
}

// As spoken of in text: by the label, else by the id.
std::string name_of(const TransactionRef& txn) {
  return txn.label.empty() ? 'T' + std::to_string(txn.id.value) : txn.label;
}

Json mode_json(LockMode mode) { return std::string(1, letter_of(mode)); }

Json edges_json(const AwaitedLock& lock, const ReasonOf& reason_of) {
  Json edges = Json::array();
  for (const LockWaitEdge& edge : lock.waits_for) {
    Json json{{"session", name_of(edge.holder)},
              {"mode", mode_json(edge.holder_mode)},
              {"queued", edge.queued}};
    const auto reason = reason_of ? reason_of(edge) : std::nullopt;
    if (reason && !edge.queued) json["command"] = *reason;
    edges.push_back(std::move(json));
  }
  return edges;
}

Json awaited_json(const AwaitedLock& lock, const ReasonOf& reason_of) {
  Json json{{"session", name_of(lock.waiter)}, {"mode", mode_json(lock.mode)}};
  add_target(json, lock.target);
  json["waits_for"] = edges_json(lock, reason_of);
  return json;
}

Json touch_json(const Touch& touch, const SessionLog& log) {
  Json json = Json::object();
  add_target(json,
             {touch.keyspace, touch.range ? std::nullopt : std::optional(touch.key), touch.range});
  if (touch.kind == Touch::Kind::scan) {
    json["entries"] = touch.yielded;
  } else {
    json["value"] = value_json(touch.value);
  }
  if (touch.kind == Touch::Kind::read) {
    json["commit"] = touch.commit ? Json(touch.commit->value) : Json(nullptr);
    const auto writer = log.session_of(touch.writer);
    json["writer"] = writer ? Json(*writer) : Json(nullptr);
  }
  json["command"] = touch.command;
  return json;
}

}  // namespace

std::string sessions_line(const std::vector<ListedSession>& sessions) {
  Json list = Json::array();
  for (const ListedSession& session : sessions) {
    Json json{{"session", session.name}};
    json.update(cell_json(session.cell));
    json["state"] = session.state.empty() ? "idle" : session.state;
    if (session.transaction) json["transaction"] = cell_json(*session.transaction);
    if (!session.waits_for.empty()) json["waits_for"] = session.waits_for;
    list.push_back(std::move(json));
  }
  Json line = event("sessions");
  line["sessions"] = std::move(list);
  return json_line(line);
}

std::string versions_line(const std::string& keyspace, const std::string& key,
                          const std::vector<SeenVersion>& versions) {
  Json line = event("versions");
  if (keyspace != default_keyspace_name) line["keyspace"] = bytes_json(keyspace);
  line["key"] = bytes_json(key);
  line["versions"] = Json::array();
  for (const SeenVersion& version : versions) {
    line["versions"].push_back(
        Json{{"commit", version.commit ? Json(version.commit->value) : Json(nullptr)},
             {"value", value_json(version.value)},
             {"writer", version.writer ? Json(*version.writer) : Json(nullptr)},
             {"memory", version.in_memory},
             {"lmdb", version.in_base},
             {"seen_by", version.seen_by}});
  }
  return json_line(line);
}

std::string snapshot_line(const std::string& session, const Transaction* txn, Timestamp visible) {
  Json line = event("snapshot");
  line["session"] = session;
  line["snapshot"] = nullptr;
  line["visible"] = visible.value;
  if (txn == nullptr) return json_line(line);
  line["transaction"] = cell_json({txn->isolation(), txn->locking()});
  const bool keeps_one =
      txn->isolation() == Isolation::repeatable_read ||
      (txn->isolation() == Isolation::serializable && txn->locking() == Locking::optimistic);
  if (const auto snapshot = txn->snapshot(); keeps_one && snapshot) {
    line["snapshot"] = snapshot->value;
  }
  return json_line(line);
}

std::string touches_line(const std::string& session, const std::optional<Activity>& activity,
                         bool writes, const SessionLog& log) {
  const char* what = writes ? "writes" : "reads";
  Json line = event(what);
  line["session"] = session;
  line[what] = Json::array();
  if (!activity || !activity->open) return json_line(line);
  for (const Touch& touch : activity->touches) {
    if ((touch.kind == Touch::Kind::write) == writes) line[what].push_back(touch_json(touch, log));
  }
  if (activity->left_out > 0) line["left_out"] = activity->left_out;
  return json_line(line);
}

std::string locks_line(const LockState& state) {
  Json line = event("locks");
  line["held"] = Json::array();
  for (const HeldLock& lock : state.held) {
    Json json{{"session", name_of(lock.holder)}, {"mode", mode_json(lock.mode)}};
    add_target(json, lock.target);
    line["held"].push_back(std::move(json));
  }
  line["awaited"] = Json::array();
  for (const AwaitedLock& lock : state.awaited) {
    line["awaited"].push_back(awaited_json(lock, {}));
  }
  return json_line(line);
}

std::string waits_line(const LockState& state, bool clock, const ReasonOf& reason_of,
                       const std::vector<AwaitedSession>& sessions) {
  using Milliseconds = std::chrono::duration<double, std::milli>;
  Json line = event("waits");
  line["waits"] = Json::array();
  for (const AwaitedLock& lock : state.awaited) {
    Json json = awaited_json(lock, reason_of);
    if (clock) json["ms"] = Milliseconds(state.taken - lock.since).count();
    line["waits"].push_back(std::move(json));
  }
  for (const AwaitedSession& waiting : sessions) {
    Json others = Json::array();
    for (const std::string& other : waiting.waits_for) others.push_back(Json{{"session", other}});
    line["waits"].push_back(Json{{"session", waiting.waiter}, {"waits_for", std::move(others)}});
  }
  return json_line(line);
}

std::string deadlocks_line(const std::vector<DeadlockReport>& reports) {
  Json line = event("deadlocks");
  line["deadlocks"] = Json::array();
  for (const DeadlockReport& report : reports) {
    line["deadlocks"].push_back(Json{{"victim", name_of(report.victim)},
                                     {"reason", report.reason},
                                     {"cycle", cycle_json(report)}});
  }
  return json_line(line);
}

std::string graph_line(std::string_view what, const std::string& dot) {
  Json line = event(what);
  line["dot"] = dot;
  return json_line(line);
}

std::string explain_line(const std::optional<ExplainedAbort>& abort) {
  Json line = event("explain");
  line["outcome"] = nullptr;
  if (!abort) return json_line(line);
  line["outcome"] = name(abort->error.code());
  line["session"] = abort->session;
  line["step"] = abort->step;
  line["command"] = abort->command;
  add_error(line, abort->error);
  if (abort->deadlock) line["cycle"] = cycle_json(*abort->deadlock);
  line["sentences"] = abort->sentences;
  return json_line(line);
}

std::string verdict_line(const Verdict& verdict) {
  Json line = event("verdict");
  line["committed"] = verdict.committed;
  add_verdict(line, verdict);
  Json broken = Json::array();
  for (const BrokenPromise& promise : verdict.broken_promises) broken.push_back(promise.text);
  if (!broken.empty()) line["broken_promises"] = std::move(broken);
  return json_line(line);
}

std::string stats_line(const Stats& stats) {
  Json aborted = Json::object();
  for (const auto& [code, count] : stats.aborted) aborted[std::string(name(code))] = count;
  Json snapshots = Json::array();
  for (const SnapshotStats& live : stats.snapshots) {
    snapshots.push_back(Json{{"session", live.label},
                             {"snapshot", live.snapshot.value},
                             {"behind", live.versions_behind}});
  }
  Json line = event("stats");
  const std::array<std::pair<const char*, std::uint64_t>, 15> figures{{
      {"begun", stats.begun},
      {"committed", stats.committed},
      {"rolled_back", stats.rolled_back},
      {"visible", stats.visible.value},
      {"durable", stats.durable.value},
      {"checkpoint", stats.checkpoint.value},
      {"keys_in_memory", stats.chains},
      {"versions", stats.versions},
      {"version_bytes", stats.version_bytes},
      {"locks_held", stats.locks_held},
      {"lock_waiters", stats.lock_waiters},
      {"deadlocks", stats.deadlocks},
      {"log_syncs", stats.log_syncs},
      {"log_live_bytes", stats.log_live_bytes},
      {"retries", stats.retries},
  }};
  for (const auto& [figure, value] : figures) line[figure] = value;
  line["aborted"] = std::move(aborted);
  line["failed"] = stats.failed;
  line["snapshots"] = std::move(snapshots);
  return json_line(line);
}

std::string history_line(const std::vector<ListedStep>& steps) {
  Json line = event("history");
  line["steps"] = Json::array();
  for (const ListedStep& step : steps) {
    line["steps"].push_back(Json{{"step", step.name},
                                 {"session", step.session},
                                 {"command", step.text},
                                 {"outcome", to_script(step.outcome)}});
  }
  return json_line(line);
}

std::string keyspaces_line(const std::vector<std::string>& names) {
  Json line = event("keyspaces");
  line["keyspaces"] = Json::array();
  for (const std::string& keyspace : names) line["keyspaces"].push_back(bytes_json(keyspace));
  return json_line(line);
}

std::string session_line(const std::string& session, const Cell& cell) {
  Json line = event("session");
  line["session"] = session;
  line.update(cell_json(cell));
  return json_line(line);
}

std::string closed_line(const std::string& session) {
  Json line = event("closed");
  line["session"] = session;
  return json_line(line);
}

std::string crashed_line(const std::vector<std::string>& lost) {
  Json line = event("crashed");
  line["lost"] = lost;
  return json_line(line);
}

std::string reopened_line(Timestamp visible, std::uint64_t recovered) {
  Json line = event("reopened");
  line["visible"] = visible.value;
  line["recovered"] = recovered;
  return json_line(line);
}

std::string fault_line() {
  Json line = event("fault");
  line["fault"] = "next-sync";
  return json_line(line);
}

std::string saved_line(const std::string& file, std::size_t steps) {
  Json line = event("saved");
  line["file"] = bytes_json(file);
  line["steps"] = steps;
  return json_line(line);
}

std::string help_line(const std::vector<HelpEntry>& entries) {
  Json line = event("help");
  line["commands"] = Json::array();
  for (const HelpEntry& entry : entries) {
    line["commands"].push_back(
        Json{{"syntax", entry.syntax}, {"help", entry.help}, {"example", entry.example}});
  }
  return json_line(line);
}

}  // namespace isolde::lab
