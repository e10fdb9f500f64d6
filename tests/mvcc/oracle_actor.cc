// Actors: random transactions that keep a record of what they saw.
#include <algorithm>

#include "tests/mvcc/oracle.h"

namespace isolde::test {
namespace {

thread_local Witness::Heard heard_in_this_thread;

std::optional<std::int64_t> number(const Value& value) {
  if (!value) return 0;
  return std::stoll(*value);
}

}  // namespace

std::atomic<std::uint64_t> Actor::acknowledged{0};

void Witness::on_read(const EventTransaction&, const ReadEvent& event) {
  Heard& heard = heard_in_this_thread;
  if (event.snapshot) heard.snapshot = event.snapshot->value;
  if (!event.version.commit || event.version.commit->value == 0) return;
  Value value;
  if (event.version.value) value = std::string(*event.version.value);
  heard.versions.push_back({{std::string(event.keyspace), std::string(event.key)},
                            std::move(value),
                            event.version.commit->value,
                            event.version.writer});
}

void Witness::on_scan(const EventTransaction&, const ScanEvent& event) {
  Heard& heard = heard_in_this_thread;
  if (event.snapshot) heard.snapshot = event.snapshot->value;
  heard.observed.push_back(event.observed);
}

Witness::Heard Witness::take() { return std::exchange(heard_in_this_thread, {}); }

// Few keys, so that everything meets: names of text, and counters.
Place Actor::random_place() {
  const std::string keyspace = keyspaces_[draw(keyspaces_.size())].name();
  const std::size_t n = draw(14);
  return {keyspace, (n < 10 ? "k" : "n") + std::to_string(n % 10)};
}

KeyRange Actor::random_range() {
  if (chance(30)) return KeyRange::all();
  if (chance(30)) return KeyRange::prefix(chance(50) ? "k" : "n");
  std::string a = "k" + std::to_string(draw(10));
  std::string b = chance(30) ? "n" + std::to_string(draw(4)) : "k" + std::to_string(draw(10));
  if (b < a && chance(90)) std::swap(a, b);
  return KeyRange::between(a, b);
}

std::string Actor::fresh_value(const Place& place) {
  if (place.second[0] == 'n') return std::to_string(draw(1000));
  std::string value = name_ + "." + std::to_string(++values_);
  if (chance(5)) value += std::string(draw(3000), '+');
  if (chance(3)) value.clear();
  written.insert(value);
  return value;
}

const Keyspace& Actor::keyspace_of(const Place& place) const {
  return *std::find_if(keyspaces_.begin(), keyspaces_.end(),
                       [&](const Keyspace& keyspace) { return keyspace.name() == place.first; });
}

void Actor::step() {
  if (!txn_) return begin();
  if (!history_.acknowledged) history_.acknowledged = acknowledged.load();
  if (cursor_ && chance(50)) return step_cursor();
  switch (draw(16)) {
    case 0:
    case 1:
    case 2:
      return get();
    case 3:
    case 4:
      return scan();
    case 5:
      return open_cursor();
    case 6:
    case 7:
    case 8:
      return put_or_erase();
    case 9:
      return insert();
    case 10:
      return add();
    case 11:
      return add_and_get();
    case 12:
      return compare_and_set();
    case 13:
      return savepoints();
    case 14:
      return commit();
    default:
      return chance(80) ? commit() : rollback();
  }
}

void Actor::begin() {
  TransactionOptions options;
  options.isolation = static_cast<Isolation>(draw(4));
  options.label = name_;
  auto begun = db_.begin(options);
  if (!begun) {
    failures.push_back({options.isolation, begun.error()});
    return;
  }
  txn_.emplace(std::move(*begun));
  history_ = {};
  history_.isolation = options.isolation;
  ++transactions;
}

Observation Actor::observation_of(const Place& place) {
  Witness::take();
  Observation observation;
  observation.place = place;
  observation.acknowledged = acknowledged.load();
  for (const auto& [at, write] : own_) {
    if (at == place || (place.second.empty() && at.first == place.first)) {
      observation.own.emplace(at, write);
    }
  }
  return observation;
}

void Actor::record(Observation observation, const Witness::Heard& heard) {
  if (heard.snapshot) observation.snapshot = *heard.snapshot;
  observation.observed.insert(observation.observed.end(), heard.observed.begin(),
                              heard.observed.end());
  history_.versions.insert(history_.versions.end(), heard.versions.begin(), heard.versions.end());
  history_.observations.push_back(std::move(observation));
}

bool Actor::survives_error(const Error& error) {
  switch (error.code()) {
    case ErrorCode::already_exists:
    case ErrorCode::compare_failed:
      return true;
    default:
      failures.push_back({history_.isolation, error});
      if (txn_->active() == ends_transaction(error.code())) {
        failures.push_back(
            {history_.isolation,
             Error(ErrorCode::io_error, "active() disagrees with " + error.to_string())});
      }
      forget();
      return false;
  }
}

void Actor::forget() {
  cursor_.reset();
  txn_.reset();
  own_.clear();
  savepoints_.clear();
}

void Actor::get() {
  const Place place = random_place();
  Observation observation = observation_of(place);
  observation.for_update = chance(25);
  ReadOptions options;
  options.tracked = observation.tracked = observation.for_update || chance(90);
  const Keyspace& keyspace = keyspace_of(place);
  const auto read = !observation.for_update ? txn_->get(keyspace, place.second, options)
                    : chance(50)            ? txn_->get_for_update(keyspace, place.second)
                                            : txn_->get_for_share(keyspace, place.second);
  if (!survives(read)) return;
  if (*read) observation.value = std::string(**read);
  record(std::move(observation), Witness::take());
}

void Actor::scan() {
  Observation observation = observation_of({keyspaces_[draw(keyspaces_.size())].name(), ""});
  observation.is_scan = true;
  observation.range = random_range();
  ScanOptions options;
  options.reverse = observation.reverse = chance(40);
  if (chance(40)) options.limit = observation.limit = draw(5);
  if (chance(15)) options.mode = chance(50) ? ReadMode::for_update : ReadMode::for_share;
  observation.for_update = options.mode != ReadMode::plain;
  options.tracked = observation.tracked = observation.for_update || chance(90);
  const std::size_t stop_after = chance(20) ? 1 + draw(3) : ~std::size_t{0};
  const auto visited = txn_->scan(keyspace_of(observation.place), observation.range, options,
                                  [&](std::string_view key, std::string_view value) {
                                    observation.entries.emplace_back(key, value);
                                    return observation.entries.size() < stop_after;
                                  });
  if (!survives(visited)) return;
  observation.to_the_end = observation.entries.size() < stop_after;
  record(std::move(observation), Witness::take());
}

void Actor::open_cursor() {
  if (cursor_) return close_cursor();
  Observation observation = observation_of({keyspaces_[draw(keyspaces_.size())].name(), ""});
  observation.is_scan = true;
  observation.to_the_end = false;
  observation.range = random_range();
  ScanOptions options;
  options.reverse = observation.reverse = chance(40);
  if (chance(30)) options.limit = observation.limit = draw(6);
  if (chance(15)) options.mode = ReadMode::for_update;
  observation.for_update = options.mode != ReadMode::plain;
  auto opened = txn_->cursor(keyspace_of(observation.place), observation.range, options);
  if (!survives(opened)) return;
  cursor_.emplace(OpenCursor{std::move(*opened), std::move(observation), ++cursors_opened_});
}

void Actor::step_cursor() {
  Witness::take();
  const auto entry = cursor_->cursor.next();
  // What it yielded before was seen all the same.
  if (cursor_->is_rolled_back && outcome(entry) == "invalid_argument") return close_cursor();
  if (cursor_->is_rolled_back) {
    const std::string answer = "a cursor outlived its savepoint: " + outcome(entry);
    failures.push_back({history_.isolation, Error(ErrorCode::io_error, answer)});
  }
  if (!survives(entry)) return;
  Observation& observation = cursor_->observation;
  const Witness::Heard heard = Witness::take();
  if (heard.snapshot) observation.snapshot = *heard.snapshot;
  observation.observed.insert(observation.observed.end(), heard.observed.begin(),
                              heard.observed.end());
  if (*entry) {
    observation.entries.emplace_back((*entry)->key, (*entry)->value);
  } else {
    observation.to_the_end = true;
    close_cursor();
  }
}

void Actor::close_cursor() {
  Observation observation = std::move(cursor_->observation);
  cursor_.reset();
  // One that was never stepped has seen nothing; one at its limit may not tell its snapshot.
  if (observation.snapshot != 0) record(std::move(observation), {});
}

void Actor::put_or_erase() {
  const Place place = random_place();
  if (chance(30)) {
    if (survives(txn_->erase(keyspace_of(place), place.second))) {
      own_[place] = {std::nullopt, {}, own_[place].must_find};
    }
    return;
  }
  const std::string value = fresh_value(place);
  if (survives(txn_->put(keyspace_of(place), place.second, value))) {
    own_[place] = {value, {}, own_[place].must_find};
  }
}

void Actor::insert() {
  const Place place = random_place();
  Observation observation = observation_of(place);
  const std::string value = fresh_value(place);
  const auto inserted = txn_->insert(keyspace_of(place), place.second, value);
  if (!survives(inserted)) return;
  if (!inserted) {
    // What was found is not said in so many words: the event's version is judged.
    const Witness::Heard heard = Witness::take();
    history_.versions.insert(history_.versions.end(), heard.versions.begin(), heard.versions.end());
    return;
  }
  record(std::move(observation), Witness::take());
  const bool first = own_.count(place) == 0;
  OwnWrite& own = own_[place];
  own.value = value;
  own.delta.reset();
  if (first && !keeps_snapshot()) own.must_find = Value{};
}

void Actor::add() {
  Place place = random_place();
  place.second = "n" + std::to_string(draw(4));
  const auto delta = static_cast<std::int64_t>(draw(20)) - 10;
  if (!survives(txn_->add(keyspace_of(place), place.second, delta))) return;
  const auto before = own_.find(place);
  if (before != own_.end() && !before->second.delta) {
    before->second.value = std::to_string(*number(before->second.value) + delta);
  } else {
    OwnWrite& own = own_[place];
    own.delta = own.delta.value_or(0) + delta;
  }
}

void Actor::add_and_get() {
  Place place = random_place();
  place.second = "n" + std::to_string(draw(4));
  Observation observation = observation_of(place);
  const auto delta = static_cast<std::int64_t>(draw(20)) - 10;
  const auto sum = txn_->add_and_get(keyspace_of(place), place.second, delta);
  if (!survives(sum)) return;
  const auto heard = Witness::take();
  // Of its own value alone it has read nothing else.
  const auto before = own_.find(place);
  observation.for_update = before == own_.end() || before->second.delta;
  OwnWrite& own = own_[place];
  own.value = std::to_string(*sum);
  own.delta.reset();
  // Absent counts as 0: only another sum can be judged.
  observation.value = std::to_string(*sum - delta);
  if (*sum != delta) record(std::move(observation), heard);
}

void Actor::compare_and_set() {
  const Place place = random_place();
  const auto read = txn_->get(keyspace_of(place), place.second);
  if (!survives(read)) return;
  if (!*read) return;
  const std::string expected = chance(80) ? std::string(**read) : "something else";
  Observation observation = observation_of(place);
  observation.value = expected;
  const std::string value = fresh_value(place);
  const auto set = txn_->compare_and_set(keyspace_of(place), place.second, expected, value);
  if (!survives(set)) return;
  if (!set) return;
  const auto heard = Witness::take();
  const auto before = own_.find(place);
  OwnWrite changed{value, {}, {}};
  if (before == own_.end() || before->second.delta) {
    if (!keeps_snapshot() && before == own_.end()) changed.must_find = Value(expected);
    if (!keeps_snapshot() && before != own_.end() &&
        history_.isolation == Isolation::read_committed) {
      changed.must_find = std::to_string(number(expected).value() - *before->second.delta);
      // Absent below a sum looks like 0.
      if (*changed.must_find == Value("0")) changed.must_find.reset();
    }
  } else {
    changed.must_find = before->second.must_find;
  }
  record(std::move(observation), heard);
  own_[place] = std::move(changed);
}

void Actor::savepoints() {
  if (savepoints_.empty() || chance(50)) {
    const auto made = txn_->savepoint();
    if (survives(made)) savepoints_.push_back({*made, own_, cursors_opened_});
    return;
  }
  const std::size_t depth = draw(savepoints_.size());
  const Mark mark = savepoints_[depth];
  if (chance(60)) {
    if (!survives(txn_->rollback_to(mark.savepoint))) return;
    own_ = mark.own;
    savepoints_.resize(depth + 1);
    if (cursor_ && cursor_->ordinal > mark.cursors) cursor_->is_rolled_back = true;
  } else {
    if (!survives(txn_->release(mark.savepoint))) return;
    savepoints_.resize(depth);
  }
}

void Actor::commit() {
  if (cursor_) close_cursor();
  history_.id = txn_->id();
  const auto committed_at = txn_->commit();
  if (!survives(committed_at)) return;
  history_.commit = committed_at->value;
  history_.writes = own_;
  std::uint64_t known = acknowledged.load();
  while (known < history_.commit && !acknowledged.compare_exchange_weak(known, history_.commit)) {
  }
  committed.push_back(std::move(history_));
  forget();
}

void Actor::rollback() {
  if (cursor_) close_cursor();
  if (survives(txn_->rollback())) forget();
}

void Actor::finish() {
  if (!txn_) return;
  if (chance(70)) {
    commit();
  } else {
    rollback();
  }
}

}  // namespace isolde::test
