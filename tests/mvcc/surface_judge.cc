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
  std::vector<Txn*> doubtful;
  const std::vector<std::uint64_t> gaps = place_commits(keyspaces, end.at, doubtful);
  if (fault_) return fault_;
  // Some commits said no timestamp. Nothing is wrong if all is well in any order of them.
  constexpr int most_orders = 100;
  const Timeline before = timeline_;
  std::optional<std::string> first;
  int orders = 0;
  const bool fits = assign(gaps, 0, doubtful, [&] {
    timeline_ = before;
    commits_.clear();
    fault_.reset();
    judge_all(end);
    if (!first) first = fault_;
    return !fault_ || ++orders == most_orders;
  });
  if (fits && !fault_) return std::nullopt;
  if (!first) {
    first = "nobody is known to have committed at " +
            (gaps.empty() ? std::string("the end") : std::to_string(gaps.front()));
  }
  return fault_ = first;
}

void Judge::judge_all(const World::Contents& end) {
  apply();
  judge_drops();
  for (const auto& txn : history_.transactions) judge_transaction(*txn);
  for (const CatalogueCall& call : history_.catalogue) judge_catalogue(call);
  for (const VersionsCall& call : history_.versions) judge_versions(call);
  if (auto different = timeline_.compare(end.at, end)) fault("at the end, " + *different);
}

bool Judge::could_be(const Txn& txn, const Read& read, std::uint64_t at) const {
  const Keyspaces::Life* life = timeline_.life(read.place.keyspace);
  if (life != nullptr && life->dropped <= at) return false;
  if (read.is_scan) return scan_could_be(txn, read, at);
  Value value = timeline_.at(at, read.place);
  if (const Own* own = own_at(read, read.place)) value = own->seen_over(value);
  if (fits(read, value)) return true;
  if (!read.skips_locked || read.value) return false;
  return possibly_locked(txn, {read.place, {}, LockMode::exclusive, read.moment});
}

bool Judge::scan_could_be(const Txn& txn, const Read& read, std::uint64_t at) const {
  std::map<std::string, Value> seen;
  const auto consider = [&](const Place& place) {
    if (seen.count(place.key) != 0) return;
    const Value below = timeline_.at(at, place);
    const Own* own = own_at(read, place);
    seen[place.key] = own != nullptr ? own->seen_over(below) : below;
  };
  timeline_.for_each(read.place.keyspace, read.range, consider);
  for (const auto& [place, own] : read.own) {
    if (read.range.contains(place.key)) consider(place);
  }
  Entries order;
  for (const auto& [key, value] : seen) {
    if (value) order.emplace_back(key, *value);
  }
  if (read.reverse) std::reverse(order.begin(), order.end());
  const bool full = read.stopped || (read.limit && read.entries.size() >= *read.limit);
  std::size_t given = 0;
  for (const auto& [key, value] : order) {
    if (given == read.entries.size() && full) break;
    if (given < read.entries.size() && read.entries[given].first == key) {
      if (value != read.entries[given].second) return false;
      ++given;
      continue;
    }
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

// The values that lie on each other at read uncommitted, of private writes that are all there: one
// that no later value covers, with the adds that came after it; who was first may be unknown.
void Judge::lay(const std::vector<const PrivateWrite*>& there, const std::vector<Value>& committed,
                std::vector<Value>& values) {
  const auto with_adds = [&](const Value& bottom, const PrivateWrite* covering) {
    std::vector<Value> sums{bottom};
    for (const PrivateWrite* add : there) {
      if (add->after.fixed) continue;
      if (covering != nullptr && add->written.surely_before(covering->written)) continue;
      const bool may_be_covered =
          covering != nullptr && !covering->written.surely_before(add->written);
      const std::vector<Value> without = sums;
      for (Value& sum : sums) sum = add->after.seen_over(sum);
      if (may_be_covered) sums.insert(sums.end(), without.begin(), without.end());
    }
    values.insert(values.end(), sums.begin(), sums.end());
  };
  bool any_value = false;
  for (const PrivateWrite* value : there) {
    if (!value->after.fixed) continue;
    any_value = true;
    const bool covered = std::any_of(there.begin(), there.end(), [&](const PrivateWrite* later) {
      return later->after.fixed && value->written.surely_before(later->written);
    });
    if (!covered) with_adds(value->after.seen_over({}), value);
  }
  if (any_value) return;
  for (const Value& value : committed) with_adds(value, nullptr);
}

// What read uncommitted may show of a key, own writes apart: the newest committed value, and on it
// the private writes of those that lived then. Each of the others has one that was surely there, or
// one of a few, or perhaps none.
std::vector<Value> Judge::dirty_values(const Txn& txn, const Read& read, const Place& place) const {
  const Span& when = read.moment.span;
  std::vector<std::vector<const PrivateWrite*>> choices;
  for (const auto& other : history_.transactions) {
    if (other.get() == &txn) continue;
    std::vector<const PrivateWrite*> possible;
    bool certain = false;
    for (const PrivateWrite& write : other->writes) {
      if (write.place != place || write.there.from > when.to || write.gone.to < when.from) {
        continue;
      }
      possible.push_back(&write);
      certain = certain || (write.there.to < when.from && write.gone.from > when.to);
    }
    if (possible.empty()) continue;
    if (!certain) possible.push_back(nullptr);
    choices.push_back(std::move(possible));
  }
  std::vector<Value> committed;
  const Bounds in = bounds(read.moment);
  for (std::uint64_t at = in.least; at <= in.most; ++at) {
    committed.push_back(timeline_.at(at, place));
  }
  std::vector<Value> values;
  std::vector<const PrivateWrite*> there;
  const std::function<void(std::size_t)> choose = [&](std::size_t at) {
    if (at == choices.size()) return lay(there, committed, values);
    for (const PrivateWrite* write : choices[at]) {
      if (write != nullptr) there.push_back(write);
      choose(at + 1);
      if (write != nullptr) there.pop_back();
    }
  };
  choose(0);
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
      if (fits_it(own != nullptr ? own->seen_over(value) : value)) return;
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
