// What an actor does beside its transaction: the catalogue, upkeep, misuse; and transact().
#include <algorithm>
#include <stdexcept>

#include "tests/mvcc/surface_actor.h"

namespace isolde::test::surface {

void Actor::step(const Step& step) {
  switch (step.kind) {
    case Kind::begin:
      return begin(step);
    case Kind::get:
    case Kind::get_for_update:
    case Kind::get_for_share:
    case Kind::untracked_get:
      return get(step);
    case Kind::scan:
    case Kind::scan_locking:
      return scan(step);
    case Kind::open_cursor:
    case Kind::close_cursor:
      return open_cursor(step);
    case Kind::step_cursor:
      return step_cursor();
    case Kind::put:
    case Kind::erase:
      return put_or_erase(step);
    case Kind::insert:
      return insert(step);
    case Kind::add:
    case Kind::add_and_get:
      return add(step);
    case Kind::compare_and_set:
      return compare_and_set(step);
    case Kind::savepoint:
      return savepoint();
    case Kind::rollback_to:
      return rollback_to(step, false);
    case Kind::release:
      return rollback_to(step, true);
    case Kind::commit:
      return commit();
    case Kind::rollback:
      return rollback();
    case Kind::abandon_handle:
      return abandon_handle();
    case Kind::move_handle:
      return move_handle();
    case Kind::use_finished:
      return use_finished(step);
    case Kind::use_moved_from:
      return use_moved_from();
    case Kind::second_thread:
      return second_thread(step);
    case Kind::set_lock_timeout:
      return set_lock_timeout(step);
    case Kind::cancel_self:
    case Kind::cancel_other:
      return cancel(step.kind == Kind::cancel_self, step);
    case Kind::create_keyspace:
    case Kind::find_keyspace:
    case Kind::list_keyspaces:
    case Kind::drop_keyspace:
    case Kind::bulk_load:
      return change_catalogue(step);
    case Kind::versions:
      return versions(step);
    case Kind::look_around:
      return look_around();
    case Kind::transact:
      return transact(step);
    case Kind::misuse:
      return misuse(step);
    default:
      return upkeep(step);
  }
}

void Actor::change_catalogue(const Step& step) {
  using Ask = CatalogueCall::Kind;
  Dice dice(step.dice);
  CatalogueCall call{};
  call.actor = name_;
  call.name = World::name_of(step.keyspace);
  call.own_transaction = in_transaction() && txn_->active();
  const char* verb = "find keyspace ";
  switch (step.kind) {
    case Kind::create_keyspace:
      call.kind = Ask::create;
      verb = "create keyspace ";
      break;
    case Kind::drop_keyspace:
      call.kind = Ask::drop;
      verb = "drop keyspace ";
      break;
    case Kind::bulk_load:
      call.kind = Ask::load;
      verb = "bulk load ";
      break;
    default:
      call.kind = step.kind == Kind::list_keyspaces ? Ask::list : Ask::find;
      break;
  }
  world_.trace().begun(name_, verb + call.name);
  call.moment = world_.begin_moment();
  if (call.kind == Ask::create || call.kind == Ask::find) {
    const auto found = call.kind == Ask::create ? world_.db().keyspace(call.name)
                                                : world_.db().find_keyspace(call.name);
    if (found) call.found.push_back(*found);
    if (!found) call.error = found.error();
  } else if (call.kind == Ask::list) {
    call.found = world_.db().keyspaces();
  } else if (call.kind == Ask::drop) {
    // The deterministic scheduler knows no time that passes.
    const auto patience = std::chrono::milliseconds(world_.plan().threads ? dice.draw(10) : 0);
    const auto dropped = world_.db().drop_keyspace(call.name, patience);
    if (!dropped) call.error = dropped.error();
  } else {
    bulk_load(step, call);
  }
  world_.end_moment(call.moment);
  world_.trace().ended(name_, call.error ? call.error->to_string() : "ok");
  for (const Keyspace& keyspace : call.found) world_.note_handle(keyspace);
  if (call.kind == Ask::load && !call.error) {
    if (const auto found = world_.db().find_keyspace(call.name)) world_.note_handle(*found);
  }
  world_.add(std::move(call));
}

void Actor::bulk_load(const Step& step, CatalogueCall& call) {
  Dice dice(step.dice);
  for (const char* key : {"a", "b", "c", "d"}) {
    if (dice.chance(60)) call.entries.emplace_back(key, world_.fresh_number());
  }
  call.source_fails = dice.chance(8);
  std::size_t given = 0;
  const auto loaded = world_.db().bulk_load(call.name, [&]() -> Result<std::optional<Entry>> {
    if (call.source_fails && given == call.entries.size()) {
      return Error(ErrorCode::io_error, "the source ran dry");
    }
    if (given == call.entries.size()) return std::optional<Entry>{};
    const auto& [key, value] = call.entries[given++];
    return std::optional(Entry{key, value});
  });
  if (!loaded) {
    call.error = loaded.error();
  } else if (*loaded != call.entries.size()) {
    world_.fault("a load counts wrongly");
  }
}

void Actor::upkeep(const Step& step) {
  world_.trace().begun(name_, std::string(isolde::test::surface::name(step.kind)));
  Result<void> outcome;
  switch (step.kind) {
    case Kind::checkpoint:
      outcome = world_.db().checkpoint();
      break;
    case Kind::reclaim:
      world_.db().reclaim();
      break;
    case Kind::verify:
      if (const auto report = world_.db().verify(); !report) outcome = report.error();
      break;
    case Kind::backup: {
      Copy copy{Copy::Kind::backup, world_.begin_moment(), world_.fresh_directory().string(), 0};
      outcome = world_.db().backup(copy.directory);
      world_.end_moment(copy.moment);
      if (outcome) world_.note_backup(std::move(copy));
      break;
    }
    case Kind::fail_sync: {
      Dice dice(step.dice);
      world_.arm_faults();
      if (dice.chance(50)) {
        world_.db().fail_next_sync();
      } else if (dice.chance(50)) {
        world_.files().fail_sync(1 + dice.draw(3), EIO);
      } else {
        world_.files().power_off_after(dice.draw(6));
      }
      break;
    }
    case Kind::crash_image:
      world_.take_crash_image(step.dice);
      break;
    default:
      world_.fault("no such step");
      break;
  }
  world_.trace().ended(name_, outcome ? "ok" : outcome.error().to_string());
  if (!outcome && !world_.faults_are_armed()) {
    world_.fault(std::string(isolde::test::surface::name(step.kind)) + ": " +
                 outcome.error().to_string());
  }
}

void Actor::versions(const Step& step) {
  const auto keyspace = keyspace_of(step);
  if (!keyspace) return;
  VersionsCall call;
  call.place = {keyspace->id().value, key_of(step)};
  world_.trace().begun(name_, "versions " + keyspace->name() + "/" + call.place.key);
  call.moment = world_.begin_moment();
  auto versions = world_.db().versions(*keyspace, call.place.key);
  world_.end_moment(call.moment);
  world_.trace().ended(name_, versions ? std::to_string(versions->size()) + " of them"
                                       : versions.error().to_string());
  if (!versions) return;
  call.versions = std::move(*versions);
  world_.add(std::move(call));
}

void Actor::look_around() {
  const Stats stats = world_.db().stats();
  if (stats.durable > stats.visible && !stats.failed) {
    // Read one after the other: visible first, which only grows.
    if (world_.visible() < stats.durable.value) world_.fault("durable is ahead of visible");
  }
  const LockState locks = world_.db().locks();
  for (const AwaitedLock& awaited : locks.awaited) {
    if (awaited.waits_for.empty()) world_.fault("a waiter waits for nobody: " + locks.to_text());
  }
  static_cast<void>(locks.to_dot());
  for (const DeadlockReport& report : world_.db().deadlocks()) {
    if (report.cycle.empty()) world_.fault("a deadlock without a cycle");
  }
}

// The transaction that transact() runs is written down as any other; its commit says no timestamp.
void Actor::transact(const Step& step) {
  if (in_transaction() && txn_->active()) return;
  put_away();
  Dice dice(step.dice);
  TransactionOptions options;
  draw_cell(dice, options);
  options.retry.max_attempts = 3;
  options.retry.base_delay = options.retry.max_delay = std::chrono::microseconds(1);
  TransactionRecord* last = nullptr;
  Moment attempt = world_.begin_moment();
  world_.trace().line(name_ + ": transact");
  const auto outcome = world_.db().transact(options, [&](Transaction& txn) -> Result<void> {
    if (last != nullptr && last->end == End::open) {
      last->end = End::aborted;  // its commit failed; this is the next attempt
      last->ended = attempt;
      world_.end_moment(last->ended);
      for (PrivateWrite& write : last->writes) {
        if (write.gone.from == never) write.gone = last->ended.span;
      }
    }
    last = &world_.add_transaction();
    last->name = name_ + "'s transact " + std::to_string(last->number);
    last->isolation = options.isolation;
    last->locking = options.locking;
    last->begun = world_.begin_moment();
    world_.end_moment(last->begun);
    adopt(txn, *last);
    auto done = work(step, dice);
    cursor_.reset();
    txn_ = nullptr;
    record_ = nullptr;
    attempt = world_.begin_moment();
    return done;
  });
  world_.end_moment(attempt);
  world_.trace().line(name_ + ": transact -> " + (outcome ? "ok" : outcome.error().to_string()));
  if (last == nullptr) return;
  txn_ = nullptr;
  if (outcome && last->end == End::aborted && last->ended_by) {
    world_.fault("transact reports success for " + last->name + ", which an error had ended");
  }
  if (last->end != End::open) return;
  const bool unknown = !outcome && outcome.error().code() == ErrorCode::commit_outcome_unknown;
  last->end = outcome ? End::committed : unknown ? End::unknown : End::aborted;
  last->ended = attempt;
  if (unknown) last->commit = commit_in_doubt(outcome.error());
  for (PrivateWrite& write : last->writes) {
    if (write.gone.from == never) write.gone = attempt.span;
  }
}

// Some steps, whose errors it may overlook.
Result<void> Actor::work(const Step& step, Dice& dice) {
  constexpr Kind kinds_of_work[] = {Kind::get,    Kind::put,  Kind::add,
                                    Kind::insert, Kind::scan, Kind::compare_and_set};
  TransactionRecord& record = *record_;
  for (std::size_t i = 1 + dice.draw(3); i > 0; --i) {
    Step one = step;
    one.kind = kinds_of_work[dice.draw(6)];
    one.dice = dice.draw(1u << 30);
    one.key = static_cast<std::uint8_t>((step.key + i) % 3);
    const std::size_t refusals = record.refusals.size();
    this->step(one);
    if (record.refusals.size() > refusals && dice.chance(60)) {
      const Error error = record.refusals.back().error;
      // What the work says rolls back; transact() may try again.
      return error;
    }
  }
  return {};
}

// Misuse that is refused by name and changes nothing.
void Actor::misuse(const Step& step) {
  const auto keyspace = keyspace_of(step);
  if (!in_transaction() || !keyspace || !txn_->active() || intruded_) return;
  const auto refused = [&](const Error* error, std::initializer_list<ErrorCode> codes,
                           const std::string& what) {
    // It may end for a reason of its own at any operation.
    if (error != nullptr && ends_transaction(error->code())) return;
    if (error == nullptr || std::find(codes.begin(), codes.end(), error->code()) == codes.end()) {
      world_.fault(what + " is not refused: " + (error == nullptr ? "ok" : error->to_string()));
    }
  };
  Dice dice(step.dice);
  Call call = begin_call("(misuse)");
  std::optional<Error> error;
  const auto keep = [&](const auto& result) {
    if (!result) error = result.error();
  };
  switch (dice.draw(6)) {
    case 0:
      keep(txn_->put(*keyspace, "", "1"));
      refused(error ? &*error : nullptr, {ErrorCode::key_empty}, "an empty key");
      break;
    case 1:
      keep(txn_->get(*keyspace, std::string(max_key_bytes + 1, 'k')));
      refused(error ? &*error : nullptr, {ErrorCode::key_too_long}, "a long key");
      break;
    case 2:
      keep(txn_->rollback_to(Savepoint{marks_.size() + 1, 1'000'000}));
      refused(error ? &*error : nullptr, {ErrorCode::invalid_argument}, "a strange savepoint");
      break;
    case 3:
      keep(txn_->release(Savepoint{0, 0}));
      refused(error ? &*error : nullptr, {ErrorCode::invalid_argument}, "no savepoint");
      break;
    case 4:
      keep(txn_->set_lock_timeout(std::chrono::milliseconds(-1)));
      refused(error ? &*error : nullptr, {ErrorCode::invalid_argument}, "a negative timeout");
      break;
    default:
      keep(txn_->get(Keyspace(KeyspaceId{60}, "nowhere"), "a"));
      refused(error ? &*error : nullptr, {ErrorCode::keyspace_not_found}, "a strange keyspace");
      break;
  }
  if (error && ends_transaction(error->code())) return refuse(call, *error);
  accept(call, error ? "refused" : "ok");
}

}  // namespace isolde::test::surface
