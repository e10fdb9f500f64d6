// What an actor reads and writes.
#include <algorithm>
#include <stdexcept>

#include "tests/mvcc/surface_actor.h"

namespace isolde::test::surface {
namespace {

// Thrown by a visitor out of a scan.
struct Enough : std::runtime_error {
  Enough() : std::runtime_error("enough") {}
};

std::string shown(const Value& value) { return value ? *value : "absent"; }

std::string shown(const Entries& entries) {
  std::string text;
  for (const auto& [key, value] : entries) text += (text.empty() ? "" : " ") + key + "=" + value;
  return text.empty() ? "empty" : text;
}

std::string shown(const KeyRange& range) {
  if (range.lower.empty() && !range.upper) return "*";
  return range.lower + ".." + range.upper.value_or("");
}

std::string shown(ReadMode mode) {
  return mode == ReadMode::plain ? "" : mode == ReadMode::for_update ? " for update" : " for share";
}

std::string shown(LockWait wait) {
  return wait == LockWait::wait ? "" : wait == LockWait::nowait ? " nowait" : " skip locked";
}

KeyRange until(const KeyRange& range, bool reverse, const std::string& last) {
  KeyRange observed = range;
  if (reverse) {
    observed.lower = last;
  } else {
    observed.upper = last + '\0';
  }
  return observed;
}

KeyRange behind(const KeyRange& range, bool reverse, const std::string& last) {
  KeyRange left = range;
  if (reverse) {
    left.upper = last;
  } else {
    left.lower = last + '\0';
  }
  return left;
}

Result<std::optional<std::int64_t>> perform_add(Transaction& txn, const Keyspace& keyspace,
                                                const std::string& key, std::int64_t delta,
                                                bool and_get) {
  if (and_get) {
    const auto sum = txn.add_and_get(keyspace, key, delta);
    if (!sum) return sum.error();
    return std::optional<std::int64_t>(*sum);
  }
  if (const auto added = txn.add(keyspace, key, delta); !added) return added.error();
  return std::optional<std::int64_t>{};
}

}  // namespace

KeyRange Actor::random_range(Dice& dice) const {
  if (dice.chance(50)) return KeyRange::all();
  if (dice.chance(20)) return KeyRange::prefix(std::string(1, "abcde"[dice.draw(5)]));
  const std::size_t from = dice.draw(4);
  if (dice.chance(30)) return KeyRange::from(std::string(1, "abcde"[from]));
  return KeyRange::between(std::string(1, "abcde"[from]),
                           std::string(1, "abcdef"[from + dice.draw(3)]));
}

void Actor::get(const Step& step) {
  const auto keyspace = keyspace_of(step);
  if (!in_transaction() || !keyspace) return;
  Dice dice(step.dice);
  const std::string key = key_of(step);
  Read read;
  read.place = {keyspace->id().value, key};
  read.mode = step.kind == Kind::get_for_update  ? ReadMode::for_update
              : step.kind == Kind::get_for_share ? ReadMode::for_share
                                                 : ReadMode::plain;
  read.tracked = step.kind != Kind::untracked_get;
  LockOptions lock;
  if (read.mode != ReadMode::plain && dice.chance(30)) {
    lock.wait = dice.chance(50) ? LockWait::nowait : LockWait::skip_locked;
  }
  Call call = begin_call("get " + keyspace->name() + "/" + key + shown(read.mode) +
                             shown(lock.wait) + (read.tracked ? "" : " untracked"),
                         read.place);
  if (lock.wait == LockWait::nowait) call.may_give_up = true;
  ReadOptions options;
  options.tracked = read.tracked;
  const auto got = read.mode == ReadMode::for_update  ? txn_->get_for_update(*keyspace, key, lock)
                   : read.mode == ReadMode::for_share ? txn_->get_for_share(*keyspace, key, lock)
                                                      : txn_->get(*keyspace, key, options);
  if (got && *got) read.value = std::string(**got);
  const bool answers = answered(call, got, shown(read.value));
  const bool locks = read.mode != ReadMode::plain ||
                     (record_->isolation == Isolation::serializable && read.tracked);
  const LockMode mode = read.mode == ReadMode::for_update ? LockMode::exclusive : LockMode::shared;
  const bool skipped = lock.wait == LockWait::skip_locked && !read.value;
  if (locks) note_lock(call, read.place, {}, mode, answers && !skipped);
  if (!answers) return;
  const bool refused =
      (lock.wait != LockWait::wait && !record_->is_pessimistic()) ||
      (lock.wait == LockWait::skip_locked && record_->isolation == Isolation::serializable);
  if (refused) world_.fault(call.what + " is not refused");
  read.skips_locked = lock.wait == LockWait::skip_locked;
  read.depends = read.mode != ReadMode::plain && !record_->is_pessimistic();
  note_read(call, std::move(read));
}

void Actor::scan(const Step& step) {
  const auto keyspace = keyspace_of(step);
  if (!in_transaction() || !keyspace) return;
  Dice dice(step.dice);
  Read read;
  read.place = {keyspace->id().value, ""};
  read.is_scan = true;
  read.range = random_range(dice);
  ScanOptions options;
  options.reverse = read.reverse = dice.chance(40);
  if (dice.chance(40)) options.limit = read.limit = dice.draw(4);
  if (step.kind == Kind::scan_locking) {
    options.mode = dice.chance(60) ? ReadMode::for_update : ReadMode::for_share;
    if (dice.chance(30)) {
      options.lock_wait = dice.chance(40) ? LockWait::nowait : LockWait::skip_locked;
    }
  } else {
    options.tracked = !dice.chance(12);
  }
  const std::size_t enough = dice.chance(20) ? 1 + dice.draw(2) : ~std::size_t{0};
  const bool throws = dice.chance(25);
  Call call = begin_call(
      "scan " + keyspace->name() + "/" + shown(read.range) + (read.reverse ? " reverse" : "") +
          (read.limit ? " limit " + std::to_string(*read.limit) : "") + shown(options.mode) +
          shown(options.lock_wait) + (options.tracked ? "" : " untracked"),
      read.place);
  if (options.lock_wait == LockWait::nowait) call.may_give_up = true;
  Result<std::size_t> visited = std::size_t{0};
  try {
    visited = txn_->scan(*keyspace, read.range, options,
                         [&](std::string_view key, std::string_view value) {
                           read.entries.emplace_back(key, value);
                           if (read.entries.size() < enough) return true;
                           if (throws) throw Enough();
                           return false;
                         });
  } catch (const Enough&) {
    visited = read.entries.size();
  }
  const bool answers = answered(call, visited, shown(read.entries));
  if (answers && *visited != read.entries.size()) world_.fault("a scan counts wrongly");
  read.stopped = read.entries.size() >= enough;
  if (!answers) {
    note_lock(call, read.place, read.range, LockMode::exclusive, false);
    return;
  }
  note_scan(call, std::move(read), options);
}

// What a scan, or a step of a cursor, has read, and locked.
void Actor::note_scan(Call& call, Read read, const ScanOptions& options) {
  read.mode = options.mode;
  read.tracked = options.tracked || options.mode != ReadMode::plain;
  read.skips_locked = options.lock_wait == LockWait::skip_locked;
  read.depends = read.mode != ReadMode::plain && !record_->is_pessimistic();
  const bool serializable = record_->isolation == Isolation::serializable;
  if (options.lock_wait != LockWait::wait &&
      (!record_->is_pessimistic() || (read.skips_locked && serializable))) {
    world_.fault(call.what + " is not refused");
  }
  const LockMode mode = read.mode == ReadMode::for_update ? LockMode::exclusive : LockMode::shared;
  const bool limited = read.limit && read.entries.size() >= *read.limit;
  if (serializable && read.tracked) {
    const bool nothing = read.limit == std::size_t{0};
    // With a limit it locks as far as that goes, which is not known if its visitor stopped it.
    const bool ends_there = limited || (read.limit && read.stopped);
    const KeyRange observed = ends_there && !nothing
                                  ? until(read.range, read.reverse, read.entries.back().first)
                                  : read.range;
    if (!nothing) note_lock(call, read.place, observed, mode);
    if (ends_there) note_lock(call, read.place, read.range, mode, false);
  } else if (read.mode != ReadMode::plain) {
    for (const auto& [key, value] : read.entries) {
      note_lock(call, {read.place.keyspace, key}, {}, mode);
    }
    note_lock(call, read.place, read.range, mode, false);
  }
  note_read(call, std::move(read));
}

void Actor::open_cursor(const Step& step) {
  if (cursor_) {
    cursor_.reset();
    if (in_transaction() && !record_->cursors.empty() && record_->cursors.back().open.to == never) {
      record_->cursors.back().open.to = world_.stamp();
    }
    if (step.kind == Kind::close_cursor) world_.trace().line(name_ + ": closes its cursor");
  }
  if (step.kind == Kind::close_cursor) return;
  const auto keyspace = keyspace_of(step);
  if (!in_transaction() || !keyspace) return;
  Dice dice(step.dice);
  const KeyRange range = random_range(dice);
  ScanOptions options;
  options.reverse = dice.chance(30);
  if (dice.chance(20)) options.limit = 1 + dice.draw(3);
  if (dice.chance(20)) options.mode = dice.chance(50) ? ReadMode::for_update : ReadMode::for_share;
  const Place place{keyspace->id().value, ""};
  Call call = begin_call("open cursor " + keyspace->name() + "/" + shown(range) +
                             (options.reverse ? " reverse" : "") + shown(options.mode) +
                             (options.limit ? " limit " + std::to_string(*options.limit) : ""),
                         place);
  auto opened = txn_->cursor(*keyspace, range, options);
  if (!answered(call, opened) || record_->end != End::open) return;
  const bool locks = record_->is_pessimistic() && (options.mode != ReadMode::plain ||
                                                   record_->isolation == Isolation::serializable);
  cursor_.emplace(OpenCursor{std::move(*opened), world_.fresh_id(), locks, place, range, options, 0,
                             false, own_of(place), call.moment, marks_.size()});
  if (!locks) {
    record_->cursors.push_back(
        {place.keyspace, call.moment.visible_after, {call.moment.span.to, never}});
  }
}

void Actor::step_cursor() {
  if (!cursor_ || !in_transaction()) return;
  OpenCursor& open = *cursor_;
  Call call = begin_call("next", open.place);
  const auto entry = open.cursor.next();
  Read read;
  if (entry && *entry) read.entries.emplace_back((*entry)->key, (*entry)->value);
  // It ended with the savepoint that it was opened in.
  if (!entry && open.is_undone && entry.error().code() == ErrorCode::invalid_argument) {
    return accept(call, entry.error().to_string());
  }
  if (entry && open.is_undone && !intruded_) {
    world_.fault("a cursor goes on though its savepoint has been rolled back");
  }
  if (!answered(call, entry, shown(read.entries))) {
    if (open.locks) note_lock(call, open.place, open.left, LockMode::exclusive, false);
    return;
  }
  if (record_->end != End::open) {
    if (record_->ended.span.surely_before(call.moment.span)) {
      world_.fault("a cursor goes on after the end of its transaction");
    }
    return;
  }
  if (open.at_end) {
    if (!read.entries.empty()) world_.fault("a cursor goes on behind its end");
    return;
  }
  if (open.options.limit && open.yielded >= *open.options.limit) {
    if (!read.entries.empty()) world_.fault("a cursor goes on behind its limit");
    return;
  }
  read.place = open.place;
  read.is_scan = true;
  read.range = open.left;
  read.reverse = open.options.reverse;
  read.limit = 1;
  if (open.locks) {
    note_scan(call, read, open.options);
  } else {
    read.cursor = open.number;
    const std::size_t before = record_->reads.size();
    note_scan(call, read, open.options);
    if (record_->reads.size() > before) {
      record_->reads.back().own = open.own;
      record_->reads.back().moment = open.opened;
    }
  }
  if (read.entries.empty()) {
    open.at_end = true;
  } else {
    ++open.yielded;
    open.left = behind(open.left, open.options.reverse, read.entries[0].first);
  }
}

void Actor::put_or_erase(const Step& step) {
  const auto keyspace = keyspace_of(step);
  if (!in_transaction() || !keyspace) return;
  Dice dice(step.dice);
  const std::string key = key_of(step);
  const Place place{keyspace->id().value, key};
  Value value;
  if (step.kind != Kind::erase) {
    value = (dice.chance(15) ? "t" : "") + world_.fresh_number();
    if (dice.chance(3)) *value += std::string(600, '0');
  }
  Call call = begin_call((value ? "put " : "erase ") + keyspace->name() + "/" + key +
                             (value ? " " + value->substr(0, 12) : ""),
                         place);
  const auto written = value ? txn_->put(*keyspace, key, *value) : txn_->erase(*keyspace, key);
  const bool answers = answered(call, written);
  note_lock(call, place, {}, LockMode::exclusive, answers);
  if (!answers || record_->end != End::open) return;
  Own own = record_->own[place];
  own.set(value);
  note_write(call, place, std::move(own));
}

void Actor::insert(const Step& step) {
  const auto keyspace = keyspace_of(step);
  if (!in_transaction() || !keyspace) return;
  const std::string key = key_of(step);
  const std::string value = world_.fresh_number();
  Read read;
  read.place = {keyspace->id().value, key};
  read.before_write = true;
  Call call = begin_call("insert " + keyspace->name() + "/" + key + " " + value, read.place);
  const auto inserted = txn_->insert(*keyspace, key, value);
  const bool exists = !inserted && inserted.error().code() == ErrorCode::already_exists;
  read.says = exists ? Says::exists : Says::absent;
  const bool answers = answered(call, inserted);
  note_lock(call, read.place, {}, LockMode::exclusive, answers || exists);
  if ((!answers && !exists) || record_->end != End::open) return;
  const Place place = read.place;
  note_read(call, std::move(read));
  if (exists) return;
  Own own = record_->own[place];
  if (!own.fixed) own.conditions.push_back({own.delta, std::nullopt});
  own.set(value);
  note_write(call, place, std::move(own));
}

void Actor::add(const Step& step) {
  const auto keyspace = keyspace_of(step);
  if (!in_transaction() || !keyspace) return;
  Dice dice(step.dice);
  const bool and_get = step.kind == Kind::add_and_get;
  const std::string key = key_of(step);
  const auto delta = static_cast<std::int64_t>(dice.draw(9)) + 1;
  Read read;
  read.place = {keyspace->id().value, key};
  read.before_write = true;
  // What it answers is read as by get_for_update: never another's uncommitted value.
  if (and_get) read.mode = ReadMode::for_update;
  Call call = begin_call((and_get ? "add_and_get " : "add ") + keyspace->name() + "/" + key + " " +
                             std::to_string(delta),
                         read.place);
  const auto sum = perform_add(*txn_, *keyspace, key, delta, and_get);
  const bool no_number = !sum && sum.error().code() == ErrorCode::invalid_argument && !intruded_;
  const bool answers = answered(call, sum, sum && *sum ? std::to_string(**sum) : std::string("ok"));
  note_lock(call, read.place, {}, LockMode::exclusive, answers || no_number);
  if ((!answers && !no_number) || record_->end != End::open) return;
  const Place place = read.place;
  if (no_number) {
    read.says = Says::no_number;
    note_read(call, std::move(read));
    return;
  }
  Own own = record_->own[place];
  if (*sum) {
    // From here on the sum is a value of its own, good only if what it was computed on stays.
    read.says = Says::counts_as;
    read.count = **sum - delta;
    read.depends = !own.fixed && !record_->is_pessimistic();
    note_read(call, std::move(read));
    own.set(std::to_string(**sum));
  } else {
    own.add(delta);
  }
  note_write(call, place, std::move(own));
}

void Actor::compare_and_set(const Step& step) {
  const auto keyspace = keyspace_of(step);
  if (!in_transaction() || !keyspace) return;
  Dice dice(step.dice);
  const std::string key = key_of(step);
  Read read;
  read.place = {keyspace->id().value, key};
  read.before_write = true;
  // Mostly what it saw there last; else what it would see next to that.
  std::string expected = seen_[read.place].value_or("10");
  if (dice.chance(15)) expected = std::to_string(10 + dice.draw(20));
  const std::string value = world_.fresh_number();
  Call call = begin_call("compare_and_set " + keyspace->name() + "/" + key + " " +
                             expected.substr(0, 12) + " " + value,
                         read.place);
  const auto set = txn_->compare_and_set(*keyspace, key, expected, value);
  const bool differs = !set && set.error().code() == ErrorCode::compare_failed;
  read.says = differs ? Says::differs : Says::is;
  read.value = expected;
  const bool answers = answered(call, set);
  note_lock(call, read.place, {}, LockMode::exclusive, answers || differs);
  if ((!answers && !differs) || record_->end != End::open) return;
  const Place place = read.place;
  note_read(call, std::move(read));
  if (differs) return;
  Own own = record_->own[place];
  if (!own.fixed) own.conditions.push_back({own.delta, expected});
  own.set(value);
  seen_[place] = value;
  note_write(call, place, std::move(own));
}

}  // namespace isolde::test::surface
