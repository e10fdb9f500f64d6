// How an actor writes down what it was told, and the life of its transaction.
#include "tests/mvcc/surface_actor.h"

#include <algorithm>

#include "tests/support/exploration.h"

namespace isolde::test::surface {
namespace {

std::string short_name(Isolation level) {
  constexpr const char* names[] = {"RU", "RC", "RR", "SER"};
  return names[static_cast<std::size_t>(level)];
}

}  // namespace

void Actor::play(const Script& script) {
  for (const Step& one : script) {
    yield_between_operations();
    step(one);
  }
  if (in_transaction() && txn_->active()) rollback();
  put_away();
}

std::vector<Transaction> Actor::take_finished() { return std::exchange(finished_, {}); }

Actor::Call Actor::begin_call(std::string what, std::optional<Place> place) {
  world_.trace().begun(name_, what);
  Call call;
  call.what = std::move(what);
  call.changes = changes_;
  call.place = std::move(place);
  call.may_give_up = waits_may_end();
  call.moment = world_.begin_moment();
  return call;
}

bool Actor::waits_may_end() const {
  return timeout_.value_or(world_.plan().options.lock_timeout) != no_lock_timeout;
}

void Actor::accept(Call& call, const std::string& answer) {
  world_.end_moment(call.moment);
  constexpr std::size_t shown = 60;
  world_.trace().ended(name_, answer.size() > shown ? answer.substr(0, shown) + "..." : answer);
  if (in_transaction()) note_snapshot(call);
}

void Actor::note_snapshot(const Call& call) {
  if (record_->end != End::open) return;
  const auto snapshot = txn_->snapshot();
  if (!snapshot) return;
  if (!record_->keeps_snapshot()) {
    world_.fault(record_->name + " names a snapshot, though it has none");
  } else if (!record_->snapshot) {
    record_->snapshot = snapshot->value;
    record_->first = call.moment;
  } else if (*record_->snapshot != snapshot->value) {
    world_.fault(record_->name + " changed its snapshot");
  }
}

void Actor::refuse(Call& call, const Error& error) {
  world_.end_moment(call.moment);
  world_.trace().ended(name_, error.to_string());
  if (!in_transaction()) return;
  const bool had_ended = record_->end != End::open;
  if (had_ended) {
    if (error.code() != ErrorCode::transaction_finished) {
      world_.fault(call.what + " of a transaction that had ended: " + error.to_string());
    }
    return;
  }
  // In use by the other; or ended by it: how, the other will be told.
  const bool by_the_other = error.code() == ErrorCode::invalid_argument ||
                            error.code() == ErrorCode::transaction_finished;
  if (intruded_ && by_the_other) return;
  note_snapshot(call);
  Refusal refusal{call.moment,      call.what,        error, call.place, {}, call.at_commit,
                  call.may_give_up, record_->snapshot};
  refusal.own = record_->own;
  record_->refusals.push_back(std::move(refusal));
  const bool ends = ends_transaction(error.code());
  if (ends == txn_->active()) {
    world_.fault(record_->name + ": active() disagrees with " + error.to_string());
  }
  if (!ends) return;
  const bool unknown = error.code() == ErrorCode::commit_outcome_unknown;
  note_end(call, unknown ? End::unknown : End::aborted, unknown ? commit_in_doubt(error) : 0,
           error.code());
}

void Actor::note_end(const Call& call, End end, std::uint64_t commit,
                     std::optional<ErrorCode> cause) {
  record_->end = end;
  record_->ended = call.moment;
  record_->commit = commit;
  record_->ended_by = cause;
  for (PrivateWrite& write : record_->writes) {
    if (write.gone.from == never) write.gone = call.moment.span;
  }
  for (PinnedCursor& cursor : record_->cursors) {
    if (cursor.open.to == never) cursor.open.to = call.moment.span.from;
  }
  marks_.clear();
}

OwnWrites Actor::own_of(const Place& place) const {
  OwnWrites found;
  for (const auto& [at, own] : record_->own) {
    if (at.keyspace == place.keyspace && (place.key.empty() || at.key == place.key)) {
      found.emplace(at, own);
    }
  }
  return found;
}

void Actor::note_read(Call& call, Read read) {
  // Another thread's write got in between: what was held at the moment of the read is not known.
  if (changes_ != call.changes || record_->end != End::open) return;
  read.moment = call.moment;
  read.own = own_of(read.place);
  read.snapshot = record_->snapshot;
  if (!read.is_scan && read.says == Says::is) seen_[read.place] = read.value;
  for (const auto& [key, value] : read.entries) seen_[{read.place.keyspace, key}] = value;
  record_->reads.push_back(std::move(read));
}

void Actor::note_write(const Call& call, const Place& place, Own own) {
  ++changes_;
  for (PrivateWrite& write : record_->writes) {
    if (write.place == place && write.gone.from == never) write.gone = call.moment.span;
  }
  const Span& now = call.moment.span;
  record_->writes.push_back({place, now, now, {never, never}, own, record_->snapshot});
  record_->own[place] = std::move(own);
}

void Actor::note_lock(const Call& call, const Place& place, std::optional<KeyRange> range,
                      LockMode mode, bool certain) {
  if (!record_->is_pessimistic()) return;
  if (range && range->upper && *range->upper <= range->lower) return;  // nothing is in it
  record_->locks.push_back({place, std::move(range), mode, call.moment, certain});
}

void Actor::draw_cell(Dice& dice, TransactionOptions& options) const {
  const auto pick = [&](unsigned among, std::size_t many) {
    std::size_t at = dice.draw(many);
    while ((among >> at & 1) == 0) at = (at + 1) % many;
    return at;
  };
  options.isolation = static_cast<Isolation>(pick(world_.plan().levels, 4));
  options.locking = static_cast<Locking>(pick(world_.plan().lockings, 2));
  if (world_.plan().first_is_optimist) {
    options.locking = name_ == "A" ? Locking::optimistic : Locking::pessimistic;
  }
}

void Actor::begin(const Step& step) {
  if (in_transaction() && txn_->active()) return;
  put_away();
  Dice dice(step.dice);
  TransactionOptions options;
  draw_cell(dice, options);
  options.read_only = dice.chance(7);
  options.priority = static_cast<int>(dice.draw(3));
  TransactionRecord& record = world_.add_transaction();
  options.label = name_ + std::to_string(record.number);
  record.name = options.label + " (" + short_name(options.isolation) +
                (options.locking == Locking::optimistic ? " optimist)" : " pessimist)");
  record.isolation = options.isolation;
  record.locking = options.locking;
  record.read_only = options.read_only;
  Call call = begin_call("begin " + record.name + (options.read_only ? " read only" : ""));
  auto begun = world_.db().begin(options);
  if (!begun) {
    record.end = End::aborted;
    world_.fault("begin: " + begun.error().to_string());
    return accept(call, begun.error().to_string());
  }
  owned_.emplace(std::move(*begun));
  accept(call, "ok");
  record.begun = call.moment;
  adopt(*owned_, record);
}

void Actor::adopt(Transaction& txn, TransactionRecord& record) {
  txn_ = &txn;
  record_ = &record;
  record_->id = txn.id();
  world_.announce(record);
  marks_.clear();
  intruded_ = false;
  timeout_.reset();
}

// The handle of a transaction that has ended is kept for a while.
void Actor::put_away() {
  cursor_.reset();
  while (guests_ > 0) yield_here("blocked: a guest is inside");
  // It was refused while the guest was inside.
  if (owned_ && owned_->active() && in_transaction()) rollback();
  if (owned_ && !owned_->active() && finished_.size() < 3) {
    finished_.push_back(std::move(*owned_));
  }
  owned_.reset();
  txn_ = nullptr;
  record_ = nullptr;
}

void Actor::commit() {
  if (!in_transaction()) return;
  Call call = begin_call("commit");
  call.at_commit = true;
  const auto committed = txn_->commit();
  if (!answered(call, committed, committed ? std::to_string(committed->value) : "")) return;
  if (record_->end != End::open) {
    world_.fault(record_->name + " committed after its end");
    return;
  }
  if (txn_->active()) world_.fault(record_->name + " is active after its commit");
  note_end(call, End::committed, committed->value, {});
  // What is acknowledged without a sync may still go with the machine; it is seen all the same.
  if (!record_->own.empty()) world_.acknowledge(committed->value);
}

void Actor::rollback() {
  if (!in_transaction()) return;
  Call call = begin_call("rollback");
  if (!answered(call, txn_->rollback())) return;
  // It may have acknowledged the end that a guest brought about, who is yet to be told.
  while (guests_ > 0) yield_here("blocked: a guest is inside");
  if (record_->end == End::open) note_end(call, End::aborted, 0, {});
}

void Actor::abandon_handle() {
  if (!in_transaction() || !owned_) return;
  cursor_.reset();
  while (guests_ > 0) yield_here("blocked: a guest is inside");
  Call call = begin_call("(its handle is destroyed)");
  owned_.reset();
  world_.end_moment(call.moment);
  world_.trace().ended(name_, "ok");
  if (record_->end == End::open) note_end(call, End::aborted, 0, {});
  txn_ = nullptr;
  record_ = nullptr;
}

void Actor::move_handle() {
  if (!in_transaction() || !owned_ || intruded_) return;
  world_.trace().line(name_ + ": (its handle moves)");
  Transaction elsewhere(std::move(*owned_));
  std::vector<Transaction> further;
  further.push_back(std::move(elsewhere));
  *owned_ = std::move(further.front());
  if (cursor_) {
    Cursor moved(std::move(cursor_->cursor));
    cursor_->cursor = std::move(moved);
  }
}

void Actor::savepoint() {
  if (!in_transaction()) return;
  Call call = begin_call("savepoint");
  const auto made = txn_->savepoint();
  if (!answered(call, made)) return;
  marks_.push_back({*made, record_->own, record_->writes.size()});
}

void Actor::rollback_to(const Step& step, bool release) {
  if (!in_transaction() || marks_.empty()) return;
  Dice dice(step.dice);
  const std::size_t at = dice.draw(marks_.size());
  const Mark mark = marks_[at];
  Call call = begin_call((release ? "release " : "rollback to ") + std::to_string(at + 1));
  if (!answered(call,
                release ? txn_->release(mark.savepoint) : txn_->rollback_to(mark.savepoint))) {
    return;
  }
  if (record_->end != End::open) return;
  if (release) {
    marks_.resize(at, marks_[at]);
    if (cursor_) cursor_->savepoints = std::min(cursor_->savepoints, at);
    return;
  }
  marks_.resize(at + 1, marks_[at]);
  ++changes_;
  for (std::size_t i = mark.writes; i < record_->writes.size(); ++i) {
    PrivateWrite& write = record_->writes[i];
    if (write.gone.from == never) write.gone = call.moment.span;
  }
  record_->own = mark.own;
  // What was overwritten since is there again, in its old place among the writes of all.
  for (const auto& [place, own] : mark.own) {
    std::size_t last = mark.writes;
    while (last > 0 && record_->writes[last - 1].place != place) --last;
    if (last == 0 || record_->writes[last - 1].gone.from == never) continue;
    PrivateWrite again = record_->writes[last - 1];
    again.there = call.moment.span;
    again.gone = {never, never};
    record_->writes.push_back(std::move(again));
  }
  if (cursor_ && cursor_->savepoints > at) cursor_->is_undone = true;
}

void Actor::set_lock_timeout(const Step& step) {
  if (!in_transaction()) return;
  Dice dice(step.dice);
  const auto timeout = std::chrono::milliseconds(dice.draw(world_.plan().threads ? 5 : 1));
  Call call = begin_call("set_lock_timeout " + std::to_string(timeout.count()));
  if (answered(call, txn_->set_lock_timeout(timeout))) timeout_ = timeout;
}

void Actor::cancel(bool self, const Step& step) {
  TransactionRecord* target = record_;
  if (!self) {
    target = world_.announced(step.dice);
  }
  if (target == nullptr) return;
  Call call = begin_call("cancel " + target->name);
  world_.note_cancel(*target, call.moment.span.from, never);
  bool found = true;
  if (self) {
    txn_->cancel();
  } else {
    found = world_.db().cancel(target->id);
  }
  world_.end_moment(call.moment);
  world_.trace().ended(name_, found ? "ok" : "not found");
  if (found) world_.note_cancel(*target, call.moment.span.from, call.moment.span.to);
}

// While it is inside, or not: another thread uses the same handle.
void Actor::second_thread(const Step& step) {
  Dice dice(step.dice);
  if (others_.empty()) return;
  Actor& other = *others_[dice.draw(others_.size())];
  if (!other.in_transaction() || !other.owned_ || !other.txn_->active()) return;
  // One that waits for what it holds itself waits for ever.
  if (in_transaction() && txn_->active() && !record_->locks.empty()) return;
  other.intruded_ = true;
  world_.trace().line(name_ + ": enters the transaction of " + other.name_);
  // As an actor of another name, so that the trace tells them apart.
  Actor guest(world_, name_ + " in " + other.name_);
  guest.txn_ = other.txn_;
  guest.record_ = other.record_;
  guest.intruded_ = true;
  Step as = step;
  as.dice = step.dice / 3;
  ++other.guests_;
  if (dice.chance(60)) {
    guest.commit();
  } else {
    guest.put_or_erase(as);
  }
  --other.guests_;
  other.changes_ += guest.changes_;
  guest.txn_ = nullptr;
}

void Actor::must_be_finished(const char* what, ErrorCode code) {
  if (code == ErrorCode::transaction_finished || code == ErrorCode::invalid_argument) return;
  world_.fault(std::string(what) +
               " of a handle whose transaction is over: " + std::string(isolde::name(code)));
}

void Actor::use_finished(const Step& step) {
  if (finished_.empty()) return;
  const auto keyspace = keyspace_of(step);
  if (!keyspace) return;
  Transaction& txn = finished_.back();
  Call call = begin_call("(uses a handle whose transaction is over)");
  if (const auto got = txn.get(*keyspace, "a"); !got) {
    must_be_finished("get", got.error().code());
  } else {
    world_.fault("get of a handle whose transaction is over succeeded");
  }
  if (const auto put = txn.put(*keyspace, "a", "1"); put) {
    world_.fault("put of a handle whose transaction is over succeeded");
  }
  if (const auto again = txn.commit(); again) {
    world_.fault("commit of a handle whose transaction is over succeeded");
  }
  if (!txn.rollback()) world_.fault("rollback does not acknowledge the end");
  txn.cancel();
  static_cast<void>(txn.id());
  static_cast<void>(txn.label());
  static_cast<void>(txn.snapshot());
  world_.end_moment(call.moment);
  world_.trace().ended(name_, "ok");
}

void Actor::use_moved_from() {
  auto begun = world_.db().begin();
  const auto keyspace = world_.handle(0, 1);
  if (!begun || !keyspace) return;
  Call call = begin_call("(uses a handle that was moved from)");
  Transaction kept(std::move(*begun));
  Transaction& gone = *begun;
  if (gone.active()) world_.fault("a handle that was moved from is active");
  if (const auto got = gone.get(*keyspace, "a"); got) {
    world_.fault("get of a handle that was moved from succeeded");
  }
  if (const auto scanned = gone.scan(*keyspace, {}, [](std::string_view, std::string_view) {});
      scanned) {
    world_.fault("scan of a handle that was moved from succeeded");
  }
  if (const auto put = gone.put(*keyspace, "a", "1"); put) {
    world_.fault("put of a handle that was moved from succeeded");
  }
  if (const auto made = gone.savepoint(); made) {
    world_.fault("savepoint of a handle that was moved from succeeded");
  }
  if (const auto done = gone.commit(); done) {
    world_.fault("commit of a handle that was moved from succeeded");
  }
  static_cast<void>(gone.rollback());
  gone.cancel();
  static_cast<void>(gone.id());
  static_cast<void>(gone.label());
  static_cast<void>(gone.snapshot());
  static_cast<void>(gone.isolation());
  world_.end_moment(call.moment);
  world_.trace().ended(name_, "ok");
}

}  // namespace isolde::test::surface
