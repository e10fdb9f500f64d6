// The model: what each committed transaction must have seen, and what must have been refused.
#include <algorithm>

#include "tests/mvcc/oracle.h"

namespace isolde::test {
namespace {

std::string shown(const Value& value) { return value ? isolde::quoted(*value) : "absent"; }
std::string shown(const Place& place) { return place.first + "/" + place.second; }
std::string shown(const Entries& entries) {
  std::string all;
  for (const auto& [key, value] : entries) all += key + "=" + isolde::quoted(value) + " ";
  return all;
}
bool is_counter(const std::string& key) { return key.starts_with("n"); }

}  // namespace

Value OwnWrite::over(const Value& below) const {
  if (!delta) return value;
  return std::to_string((below ? std::stoll(*below) : 0) + *delta);
}

Value Model::at(std::uint64_t snapshot, const Place& place) const {
  const auto found = versions_.find(place);
  if (found == versions_.end()) return std::nullopt;
  auto version = found->second.upper_bound(snapshot);
  return version == found->second.begin() ? std::nullopt : std::prev(version)->second;
}

// In (after, before), both exclusive.
bool Model::changed(const Place& place, std::uint64_t after, std::uint64_t before) const {
  const auto found = versions_.find(place);
  if (found == versions_.end()) return false;
  const auto version = found->second.upper_bound(after);
  return version != found->second.end() && version->first < before;
}

Entries Model::scan(const Observation& o) const {
  std::map<std::string, std::string> seen;
  const auto consider = [&](const Place& place) {
    if (place.first != o.place.first || !o.range.contains(place.second)) return;
    Value value = at(o.snapshot, place);
    if (const auto own = o.own.find(place); own != o.own.end()) value = own->second.over(value);
    if (value) seen[place.second] = *value;
  };
  for (const auto& [place, versions] : versions_) consider(place);
  for (const auto& [place, write] : o.own) consider(place);
  Entries entries(seen.begin(), seen.end());
  if (o.reverse) std::reverse(entries.begin(), entries.end());
  const std::size_t most = o.to_the_end ? o.limit.value_or(entries.size()) : o.entries.size();
  if (entries.size() > most) entries.resize(most);
  return entries;
}

void Model::fault(const History& history, const std::string& what) {
  faults_.push_back("T" + std::to_string(history.id.value) + " at " +
                    std::string(name(history.isolation)) + ", commit " +
                    std::to_string(history.commit) + ": " + what);
}

void Model::apply(const History& history) {
  if (history.writes.empty()) return;
  // I5: dense, in order.
  if (history.commit != newest_ + 1) {
    fault(history, "the commit before it was " + std::to_string(newest_));
  }
  newest_ = std::max(newest_, history.commit);
  writers_[history.commit] = history.id;
  for (const auto& [place, write] : history.writes) {
    Value value = write.over(at(history.commit - 1, place));
    versions_[place][history.commit] = value;
    if (value) written_.insert(*value);
  }
}

std::vector<std::string> Model::judge(std::vector<History> committed,
                                      const std::vector<Failure>& failures) {
  faults_.clear();
  std::sort(committed.begin(), committed.end(), [](const History& a, const History& b) {
    return a.commit != b.commit ? a.commit < b.commit : a.writes.size() > b.writes.size();
  });
  for (const History& history : committed) apply(history);
  for (const History& history : committed) judge_one(history);
  for (const Failure& failure : failures) judge_failure(failure);
  return faults_;
}

std::vector<std::string> Model::compare(const std::string& keyspace, const Contents& found) const {
  std::vector<std::string> faults;
  for (const auto& [place, versions] : versions_) {
    if (place.first != keyspace) continue;
    const auto entry = found.find(place.second);
    const Value value = entry == found.end() ? std::nullopt : Value(entry->second);
    if (value != versions.rbegin()->second) {
      faults.push_back(shown(place) + " is " + shown(value) + " at the end, not " +
                       shown(versions.rbegin()->second));
    }
  }
  for (const auto& [key, value] : found) {
    if (versions_.count({keyspace, key}) == 0) faults.push_back(key + " was never written");
  }
  return faults;
}

void Model::judge_one(const History& history) {
  const bool one_snapshot = history.isolation >= Isolation::repeatable_read;
  for (const Observation& o : history.observations) {
    const std::uint64_t acknowledged = one_snapshot ? *history.acknowledged : o.acknowledged;
    if (o.snapshot < acknowledged) {
      fault(history, "stale: read at " + std::to_string(o.snapshot) + " after the commit " +
                         std::to_string(acknowledged) + " was acknowledged");
    }
    if (one_snapshot && o.snapshot != history.observations.front().snapshot) {
      fault(history, "two snapshots in one transaction");
    }
    if (history.isolation == Isolation::read_uncommitted && !o.for_update) {
      judge_dirty(history, o);
    } else {
      judge_observation(history, o);
    }
  }
  for (const NamedVersion& version : history.versions) {
    const auto known = writers_.find(version.commit);
    if (known == writers_.end()) continue;  // from before the actors
    if (at(version.commit, version.place) != version.value ||
        (version.writer != known->second && version.writer.value != 0)) {
      fault(history, "an event named a version of " + shown(version.place) + " at " +
                         std::to_string(version.commit) + " that is not there");
    }
  }
  judge_commit(history);
}

void Model::judge_observation(const History& history, const Observation& o) {
  if (o.is_scan) {
    const Entries expected = scan(o);
    if (o.entries != expected) {
      fault(history, "a scan of " + o.place.first + " from '" + o.range.lower + "' at " +
                         std::to_string(o.snapshot) + " gave " + shown(o.entries) + "not " +
                         shown(expected));
    }
    return;
  }
  Value expected = at(o.snapshot, o.place);
  if (const auto own = o.own.find(o.place); own != o.own.end()) {
    expected = own->second.over(expected);
  }
  if (o.value != expected) {
    fault(history, shown(o.place) + " read at " + std::to_string(o.snapshot) + " gave " +
                       shown(o.value) + ", not " + shown(expected));
  }
}

// Read uncommitted: own writes for sure, else whatever somebody wrote; never invented values.
void Model::judge_dirty(const History& history, const Observation& o) {
  const auto check = [&](const Place& place, const Value& value) {
    const auto own = o.own.find(place);
    if (own != o.own.end() && !own->second.delta) {
      if (value != own->second.value) {
        fault(history, "did not see its own write of " + shown(place) + " but " + shown(value));
      }
    } else if (value && !is_counter(place.second) && !was_written(*value)) {
      fault(history, shown(place) + " gave " + shown(value) + ", which nobody wrote");
    }
  };
  if (!o.is_scan) return check(o.place, o.value);
  for (std::size_t i = 0; i < o.entries.size(); ++i) {
    check({o.place.first, o.entries[i].first}, o.entries[i].second);
    const bool ordered = i == 0 || (o.reverse ? o.entries[i].first < o.entries[i - 1].first
                                              : o.entries[i].first > o.entries[i - 1].first);
    if (!ordered || !o.range.contains(o.entries[i].first)) {
      fault(history, "a scan out of order, or of its range: " + shown(o.entries));
    }
  }
}

// What the commit had to find unchanged.
void Model::judge_commit(const History& history) {
  const bool writes = !history.writes.empty();
  const std::uint64_t end = writes ? history.commit : history.commit + 1;
  for (const auto& [place, write] : history.writes) {
    if (history.isolation == Isolation::repeatable_read && !history.observations.empty() &&
        changed(place, history.observations.front().snapshot, end)) {
      fault(history, "first committer wins, but not for " + shown(place));
    }
    if (write.must_find && at(end - 1, place) != *write.must_find) {
      fault(history, "an insert or compare_and_set of " + shown(place) + " went over " +
                         shown(at(end - 1, place)));
    }
  }
  for (const Observation& o : history.observations) {
    const bool serializable = history.isolation == Isolation::serializable && o.tracked && writes;
    if (o.for_update && !o.is_scan && changed(o.place, o.snapshot, end)) {
      fault(history, shown(o.place) + " was read for update, and changed before the commit");
    }
    for (const auto& [key, value] : o.entries) {
      const Place place{o.place.first, key};
      if (o.for_update && changed(place, o.snapshot, end)) {
        fault(history, shown(place) + " was scanned for update, and changed before the commit");
      }
    }
    if (!serializable) continue;
    const auto own = o.own.find(o.place);
    const bool was_read = own == o.own.end() || own->second.delta;
    if (!o.is_scan && was_read && changed(o.place, o.snapshot, end)) {
      fault(history, shown(o.place) + " was read, and changed before the commit");
    }
    for (const KeyRange& range : o.observed) {
      for (const auto& [place, versions] : versions_) {
        if (place.first == o.place.first && range.contains(place.second) &&
            changed(place, o.snapshot, end)) {
          fault(history, shown(place) + " changed in a range that was observed");
        }
      }
    }
  }
}

// A conflict names a version that is really there, and newer.
void Model::judge_failure(const Failure& failure) {
  const Error& error = failure.error;
  History nobody;
  nobody.isolation = failure.isolation;
  if (error.evidence().self) nobody.id = error.evidence().self->id;
  switch (error.code()) {
    case ErrorCode::write_conflict:
    case ErrorCode::serialization_failure: {
      const Evidence& evidence = error.evidence();
      // A condition (C6) may fail on a version that only the base remembers; snapshots can't.
      if (failure.isolation <= Isolation::read_committed && !evidence.conflict) return;
      const Place place{evidence.keyspace, evidence.key.value_or("")};
      const auto found = versions_.find(place);
      const bool there = found != versions_.end() && evidence.conflict &&
                         found->second.count(evidence.conflict->value) != 0;
      if (!there) fault(nobody, "a conflict over nothing: " + error.to_string());
      if (there && evidence.culprit && evidence.culprit->id.value != 0 &&
          evidence.culprit->id != writers_[evidence.conflict->value]) {
        fault(nobody, "the wrong culprit: " + error.to_string());
      }
      return;
    }
    case ErrorCode::snapshot_too_old:
      return;  // the test says whether that may happen
    default:
      fault(nobody, "unexpected: " + error.to_string());
  }
}

}  // namespace isolde::test
