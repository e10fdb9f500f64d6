#include "lab/workbench/session_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace isolde::lab {
namespace {

bool is_foreign(const EventTransaction& txn) noexcept { return txn.label.empty(); }

EvidenceRange evidence_of(const KeyRange& range) { return {range.lower, range.upper}; }

bool covers(const EvidenceRange& range, std::string_view key) {
  return key >= range.lower && (!range.upper || key < *range.upper);
}

bool overlap(const EvidenceRange& a, const EvidenceRange& b) {
  return (!a.upper || b.lower < *a.upper) && (!b.upper || a.lower < *b.upper);
}

bool concerns(const Touch& touch, const LockTarget& target) {
  if (touch.keyspace != target.keyspace) return false;
  if (target.key) {
    return touch.range ? covers(*touch.range, *target.key) : touch.key == *target.key;
  }
  return touch.range ? overlap(*touch.range, *target.range) : covers(*target.range, touch.key);
}

}  // namespace

std::optional<Activity> SessionLog::activity(std::string_view session) const {
  const std::lock_guard lock(mutex_);
  const auto found = activities_.find(session);
  return found == activities_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<CurrentWait> SessionLog::wait(std::string_view session) const {
  const std::lock_guard lock(mutex_);
  const auto found = waits_.find(session);
  return found == waits_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string> SessionLog::session_of(TransactionId id) const {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(id.value);
  return found == sessions_.end() ? std::nullopt : std::optional(found->second);
}

// The last one that fits the mode: a lock is taken once, but shown for what it is good for now.
std::optional<std::string> SessionLog::reason_of(const LockWaitEdge& edge) const {
  const std::lock_guard lock(mutex_);
  const auto found = activities_.find(edge.holder.label);
  if (found == activities_.end() || !found->second.open || found->second.id != edge.holder.id) {
    return std::nullopt;
  }
  std::optional<std::string> reason;
  for (const Touch& touch : found->second.touches) {
    const bool exclusive = touch.kind == Touch::Kind::write || touch.mode == ReadMode::for_update;
    if (concerns(touch, edge.target) && exclusive == (edge.holder_mode == LockMode::exclusive)) {
      reason = touch.command;
    }
  }
  return reason;
}

void SessionLog::on_begin(const EventTransaction& txn) {
  if (is_foreign(txn)) return;
  recorder_.on_begin(txn);
  recorder_.set_session(txn.id, std::string(txn.label));
  const std::lock_guard lock(mutex_);
  sessions_[txn.id.value] = txn.label;
  Activity activity;
  activity.id = txn.id;
  activities_.insert_or_assign(std::string(txn.label), std::move(activity));
}

Activity* SessionLog::current(const EventTransaction& txn) {
  const auto found = activities_.find(txn.label);
  return found == activities_.end() || found->second.id != txn.id ? nullptr : &found->second;
}

void SessionLog::add(const EventTransaction& txn, Touch touch) {
  constexpr std::size_t most_kept = 10'000;
  touch.command = command_(txn.label);
  const std::lock_guard lock(mutex_);
  Activity* activity = current(txn);
  if (activity == nullptr) return;
  if (activity->touches.size() >= most_kept) {
    ++activity->left_out;
    return;
  }
  activity->touches.push_back(std::move(touch));
}

void SessionLog::on_read(const EventTransaction& txn, const ReadEvent& event) {
  if (is_foreign(txn)) return;
  recorder_.on_read(txn, event);
  Touch touch;
  touch.keyspace = event.keyspace;
  touch.key = event.key;
  touch.mode = event.mode;
  touch.writer = event.version.writer;
  touch.commit = event.version.commit;
  if (event.version.value) touch.value = std::string(*event.version.value);
  add(txn, std::move(touch));
}

void SessionLog::on_scan(const EventTransaction& txn, const ScanEvent& event) {
  if (is_foreign(txn)) return;
  recorder_.on_scan(txn, event);
  Touch touch;
  touch.kind = Touch::Kind::scan;
  touch.keyspace = event.keyspace;
  touch.range = evidence_of(event.observed);
  touch.mode = event.mode;
  touch.yielded = event.yielded;
  add(txn, std::move(touch));
}

void SessionLog::on_write(const EventTransaction& txn, const WriteEvent& event) {
  if (is_foreign(txn)) return;
  recorder_.on_write(txn, event);
  Touch touch;
  touch.kind = Touch::Kind::write;
  touch.keyspace = event.keyspace;
  touch.key = event.key;
  touch.sequence = event.sequence;
  if (event.value) touch.value = std::string(*event.value);
  if (!event.value && event.delta) touch.value = fmt::format("{:+}", *event.delta);
  add(txn, std::move(touch));
}

void SessionLog::on_undo(const EventTransaction& txn, std::uint64_t sequence) {
  if (is_foreign(txn)) return;
  recorder_.on_undo(txn, sequence);
  const std::lock_guard lock(mutex_);
  Activity* activity = current(txn);
  if (activity == nullptr) return;
  std::erase_if(activity->touches, [sequence](const Touch& touch) {
    return touch.kind == Touch::Kind::write && touch.sequence > sequence;
  });
}

void SessionLog::on_commit(const EventTransaction& txn, Timestamp at) {
  if (is_foreign(txn)) return;
  recorder_.on_commit(txn, at);
  const std::lock_guard lock(mutex_);
  Activity* activity = current(txn);
  if (activity == nullptr) return;
  activity->open = false;
  activity->committed = at;
}

void SessionLog::on_abort(const EventTransaction& txn, const Error* cause) {
  if (is_foreign(txn)) return;
  recorder_.on_abort(txn, cause);
  const std::lock_guard lock(mutex_);
  if (Activity* activity = current(txn); activity != nullptr) activity->open = false;
}

void SessionLog::on_block(const EventTransaction& txn, const BlockEvent& event) {
  if (is_foreign(txn)) return;
  const std::lock_guard lock(mutex_);
  waits_.insert_or_assign(std::string(txn.label), CurrentWait{txn.id, event.mode, event.waits_for,
                                                              std::chrono::steady_clock::now()});
}

void SessionLog::on_wake(const EventTransaction& txn, WakeReason) {
  if (is_foreign(txn)) return;
  const std::lock_guard lock(mutex_);
  waits_.erase(std::string(txn.label));
}

}  // namespace isolde::lab
