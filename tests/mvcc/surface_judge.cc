// Reads: each is explained by one committed state and its transaction's own writes.
#include "tests/mvcc/surface_judge.h"

#include <algorithm>

namespace isolde::test::surface {
namespace {

// What a point read said, of a value that its transaction would see.
bool fits(const Read& read, const Value& value) {
  switch (read.says) {
    case Says::is:
      return value == read.value;
    case Says::exists:
      return value.has_value();
    case Says::absent:
      return !value.has_value();
    case Says::differs:
      return value != read.value;
    case Says::counts_as:
      return number(value) == read.count;
    case Says::no_number:
      return !number(value);
  }
  return false;
}

const Own* own_at(const Read& read, const Place& place) {
  const auto found = read.own.find(place);
  return found == read.own.end() ? nullptr : &found->second;
}

std::string described(const Read& read) {
  std::string text = read.is_scan ? "a scan of keyspace " : "a read of ";
  text += std::to_string(read.place.keyspace) + "/";
  if (!read.is_scan) {
    constexpr const char* says[] = {"is ",     "exists",     "is absent",
                                    "is not ", "counts as ", "is no number"};
    text += read.place.key + " (" + says[static_cast<std::size_t>(read.says)];
    if (read.says == Says::is || read.says == Says::differs) text += shown(read.value);
    if (read.says == Says::counts_as) text += std::to_string(read.count);
    return text + ")";
  }
  return text + read.range.lower + ".." + read.range.upper.value_or("") +
         (read.reverse ? " reverse" : "") + " (" + shown(read.entries) + ")";
}

}  // namespace

std::optional<std::string> Judge::judge(const Keyspaces& keyspaces, const World::Contents& end) {
  if (!history_.faults.empty()) return history_.faults.front();
  if (!place_commits(keyspaces, end.at)) return fault_;
  apply();
  judge_drops();
  for (const auto& txn : history_.transactions) judge_transaction(*txn);
  for (const CatalogueCall& call : history_.catalogue) judge_catalogue(call);
  for (const VersionsCall& call : history_.versions) judge_versions(call);
  if (auto different = timeline_.compare(end.at, end)) fault("at the end, " + *different);
  return fault_;
}

bool Judge::could_be(const Txn& txn, const Read& read, std::uint64_t at) const {
  const Keyspaces::Life* life = timeline_.life(read.place.keyspace);
  if (life != nullptr && life->dropped <= at) return false;
  if (read.is_scan) return scan_could_be(txn, read, at);
  Value value = timeline_.at(at, read.place);
  if (const Own* own = own_at(read, read.place)) {
    const auto seen = own->over(value);
    if (!seen) return true;  // a sum over what is no number: it shows what it likes
    value = *seen;
  }
  if (fits(read, value)) return true;
  if (!read.skips_locked || read.value) return false;
  return possibly_locked(txn, {read.place, {}, LockMode::exclusive, read.moment});
}

bool Judge::scan_could_be(const Txn& txn, const Read& read, std::uint64_t at) const {
  std::map<std::string, std::optional<Value>> seen;  // no value: anything
  const auto consider = [&](const Place& place) {
    if (seen.count(place.key) != 0) return;
    const Value below = timeline_.at(at, place);
    const Own* own = own_at(read, place);
    seen[place.key] = own != nullptr ? own->over(below) : std::optional<Value>(below);
  };
  timeline_.for_each(read.place.keyspace, read.range, consider);
  for (const auto& [place, own] : read.own) {
    if (read.range.contains(place.key)) consider(place);
  }
  std::vector<std::pair<std::string, std::optional<Value>>> order;
  for (const auto& [key, value] : seen) {
    if (!value || *value) order.emplace_back(key, value);
  }
  if (read.reverse) std::reverse(order.begin(), order.end());
  const bool full = read.stopped || (read.limit && read.entries.size() >= *read.limit);
  std::size_t given = 0;
  for (const auto& [key, value] : order) {
    if (given == read.entries.size() && full) break;
    if (given < read.entries.size() && read.entries[given].first == key) {
      if (value && **value != read.entries[given].second) return false;
      ++given;
      continue;
    }
    if (!value) continue;
    const bool skipped =
        read.skips_locked &&
        possibly_locked(txn, {{read.place.keyspace, key}, {}, LockMode::exclusive, read.moment});
    if (!skipped) return false;
  }
  return given == read.entries.size();
}

// The states that explain it.
std::vector<std::uint64_t> Judge::moments_of(const Txn& txn, const Read& read) const {
  std::vector<std::uint64_t> found;
  const Bounds in = bounds(read.moment);
  const std::uint64_t least = read.snapshot.value_or(in.least);
  const std::uint64_t most = read.snapshot.value_or(in.most);
  for (std::uint64_t at = least; at <= most; ++at) {
    if (could_be(txn, read, at)) found.push_back(at);
  }
  return found;
}

bool Judge::is_dirty(const Txn& txn, const Read& read) {
  return txn.isolation == Isolation::read_uncommitted && read.mode == ReadMode::plain;
}

void Judge::judge_reads(const Txn& txn) {
  std::map<std::size_t, std::vector<std::uint64_t>> of_cursor;
  for (const Read& read : txn.reads) {
    if (is_dirty(txn, read)) {
      judge_dirty(txn, read);
      continue;
    }
    std::vector<std::uint64_t> moments = moments_of(txn, read);
    if (read.cursor != 0 && !moments.empty()) {
      const auto [known, is_first] = of_cursor.emplace(read.cursor, moments);
      if (!is_first) {
        std::vector<std::uint64_t> both;
        std::set_intersection(known->second.begin(), known->second.end(), moments.begin(),
                              moments.end(), std::back_inserter(both));
        known->second = moments = both;
      }
    }
    if (!moments.empty()) continue;
    const Bounds in = bounds(read.moment);
    fault(txn, described(read) +
                   (read.snapshot ? " at snapshot " + std::to_string(*read.snapshot)
                                  : " between " + std::to_string(in.least) + " and " +
                                        std::to_string(in.most)) +
                   " shows no committed state with its own writes");
  }
}

// What read uncommitted may show of a key, own writes apart: the newest private write of those
// that lived then, else the newest committed value.
std::vector<Value> Judge::dirty_values(const Txn& txn, const Read& read, const Place& place) const {
  const Span& when = read.moment.span;
  std::vector<const PrivateWrite*> possible;
  std::vector<const PrivateWrite*> certain;
  for (const auto& other : history_.transactions) {
    if (other.get() == &txn) continue;
    for (const PrivateWrite& write : other->writes) {
      if (write.place != place || write.written.from > when.to || write.gone.to < when.from) {
        continue;
      }
      possible.push_back(&write);
      if (write.written.to < when.from && write.gone.from > when.to) certain.push_back(&write);
    }
  }
  std::vector<Value> below;
  const Bounds in = bounds(read.moment);
  for (std::uint64_t at = in.least; at <= in.most; ++at) {
    below.push_back(timeline_.at(at, place));
  }
  std::vector<Value> values;
  if (certain.empty()) values = below;
  // A sum over a sum: which one lies below is not said.
  for (const PrivateWrite* write : possible) {
    if (write->after.fixed) below.push_back(write->after.over({}).value_or(std::nullopt));
  }
  for (const PrivateWrite* write : possible) {
    const bool superseded = std::any_of(
        certain.begin(), certain.end(),
        [&](const PrivateWrite* later) { return write->written.surely_before(later->written); });
    if (superseded) continue;
    for (const Value& base : below) {
      if (const auto value = write->after.over(base)) values.push_back(*value);
    }
    // At repeatable read and above a sum may lie over what its own snapshot shows.
    if (!write->snapshot) continue;
    const auto value = write->after.over(timeline_.at(*write->snapshot, place));
    if (value) values.push_back(*value);
  }
  return values;
}

void Judge::judge_dirty(const Txn& txn, const Read& read) {
  const auto judge_key = [&](const Place& place, const std::function<bool(const Value&)>& fits_it,
                             const std::string& shown_there) {
    const Own* own = own_at(read, place);
    std::vector<Value> values = dirty_values(txn, read, place);
    if (read.before_write || (txn.is_pessimistic() && own != nullptr)) {
      // A locking write reads what is committed, and a sum stays what it was under its lock.
      const Bounds in = bounds(read.moment);
      for (std::uint64_t at = in.least; at <= in.most; ++at) {
        values.push_back(timeline_.at(at, place));
      }
    }
    for (const Value& value : values) {
      const auto seen = own != nullptr ? own->over(value) : std::optional<Value>(value);
      if (!seen || fits_it(*seen)) return;
    }
    std::string expected;
    for (const Value& value : values) expected += " " + shown(value);
    fault(txn, described(read) + " shows " + place.key + "=" + shown_there +
                   ", where the newest uncommitted or committed value is one of" + expected +
                   (own != nullptr ? " (own writes apart)" : ""));
  };
  if (!read.is_scan) {
    return judge_key(
        read.place, [&](const Value& value) { return fits(read, value); }, shown(read.value));
  }
  std::map<std::string, std::string> entries(read.entries.begin(), read.entries.end());
  const KeyRange range = observed(read);
  std::map<std::string, bool> keys;
  timeline_.for_each(read.place.keyspace, range, [&](const Place& place) { keys[place.key]; });
  for (const auto& other : history_.transactions) {
    for (const PrivateWrite& write : other->writes) {
      if (write.place.keyspace == read.place.keyspace && range.contains(write.place.key)) {
        keys[write.place.key];
      }
    }
  }
  for (const auto& [key, value] : read.entries) keys[key];
  for (const auto& [key, unused] : keys) {
    const auto entry = entries.find(key);
    const Value shows = entry == entries.end() ? Value() : Value(entry->second);
    judge_key(
        {read.place.keyspace, key}, [&](const Value& value) { return value == shows; },
        shown(shows));
  }
}

// What a scan has looked at: up to its last entry if it stopped there.
KeyRange Judge::observed(const Read& read) const {
  KeyRange range = read.range;
  const bool full = read.stopped || (read.limit && read.entries.size() >= *read.limit);
  if (!full) return range;
  if (read.entries.empty()) return {range.lower, range.lower};
  if (read.reverse) {
    range.lower = read.entries.back().first;
  } else {
    range.upper = read.entries.back().first + '\0';
  }
  return range;
}

// The newest commit whose effect it has seen, had it read there.
std::uint64_t Judge::newest_seen(const Read& read, std::uint64_t at) const {
  const auto seen = [&](const Place& place) {
    const Own* own = own_at(read, place);
    return own != nullptr && own->fixed ? 0 : timeline_.writer_of(at, place);
  };
  if (!read.is_scan) return seen(read.place);
  std::uint64_t newest = 0;
  timeline_.for_each(read.place.keyspace, observed(read),
                     [&](const Place& place) { newest = std::max(newest, seen(place)); });
  return newest;
}

}  // namespace isolde::test::surface
