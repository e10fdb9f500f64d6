// The timeline: which commit made which state.
#include <algorithm>
#include <cstdlib>
#include <set>

#include "tests/mvcc/surface_judge.h"

namespace isolde::test::surface {

std::uint64_t commit_in_doubt(const Error& error) {
  constexpr std::string_view before = " before commit ";
  const std::size_t at = error.message().find(before);
  if (at == std::string::npos || error.code() != ErrorCode::commit_outcome_unknown) return 0;
  return std::strtoull(error.message().c_str() + at + before.size(), nullptr, 10);
}

std::string shown(const Value& value) { return value ? value->substr(0, 16) : "absent"; }

std::string shown(const Entries& entries) {
  std::string text;
  for (const auto& [key, value] : entries) {
    text += (text.empty() ? "" : " ") + key + "=" + value.substr(0, 16);
  }
  return text.empty() ? "empty" : text;
}

const Keyspaces::Life* Timeline::life(std::uint32_t keyspace) const {
  const auto found = lives.find(keyspace);
  return found == lives.end() ? nullptr : &found->second;
}

bool Timeline::exists(std::uint32_t keyspace, std::uint64_t commit) const {
  const Keyspaces::Life* known = life(keyspace);
  return known != nullptr && known->created <= commit && commit < known->dropped;
}

Value Timeline::at(std::uint64_t commit, const Place& place) const {
  const auto found = versions_.find(place);
  if (found == versions_.end()) return std::nullopt;
  const auto version = found->second.upper_bound(commit);
  return version == found->second.begin() ? std::nullopt : std::prev(version)->second;
}

std::uint64_t Timeline::writer_of(std::uint64_t commit, const Place& place) const {
  const auto found = versions_.find(place);
  if (found == versions_.end()) return 0;
  const auto version = found->second.upper_bound(commit);
  return version == found->second.begin() ? 0 : std::prev(version)->first;
}

bool Timeline::changed(const Place& place, std::uint64_t after, std::uint64_t before) const {
  const auto found = versions_.find(place);
  if (found == versions_.end()) return false;
  const auto version = found->second.upper_bound(after);
  return version != found->second.end() && version->first < before;
}

bool Timeline::has_version(const Place& place, std::uint64_t commit) const {
  const auto found = versions_.find(place);
  return found != versions_.end() && found->second.count(commit) != 0;
}

void Timeline::write(const Place& place, std::uint64_t commit, Value value) {
  versions_[place][commit] = std::move(value);
}

void Timeline::for_each(std::uint32_t keyspace, const KeyRange& range,
                        const std::function<void(const Place&)>& visit) const {
  for (auto at = versions_.lower_bound({keyspace, range.lower}); at != versions_.end(); ++at) {
    if (at->first.keyspace != keyspace || !range.contains(at->first.key)) return;
    visit(at->first);
  }
}

std::optional<std::string> Timeline::compare(std::uint64_t commit,
                                             const World::Contents& found) const {
  std::map<std::string, std::map<std::string, std::string>> expected;
  for (const auto& [id, life] : lives) {
    if (!exists(id, commit)) continue;
    auto& entries = expected[life.name];
    for_each(id, KeyRange::all(), [&](const Place& place) {
      if (const Value value = at(commit, place)) entries[place.key] = *value;
    });
  }
  if (expected == found.keyspaces) return std::nullopt;
  const auto text = [](const auto& keyspaces) {
    std::string all;
    for (const auto& [name, entries] : keyspaces) {
      all += " " + name + "{" + shown(Entries(entries.begin(), entries.end())) + "}";
    }
    return all;
  };
  return "at " + std::to_string(commit) + " there is" + text(found.keyspaces) +
         ", which should be" + text(expected);
}

void Timeline::cut(std::uint64_t commit) {
  for (auto& [place, versions] : versions_) {
    versions.erase(versions.upper_bound(commit), versions.end());
  }
  std::erase_if(lives, [&](const auto& entry) { return entry.second.created > commit; });
  for (auto& [id, life] : lives) {
    if (life.dropped > commit) life.dropped = never;
  }
  newest = commit;
}

// Whether that commit may be the call's own.
bool Judge::made_at(const CatalogueCall& call, std::uint64_t commit) {
  if (call.error) return commit_in_doubt(*call.error) == commit && commit != 0;
  return call.moment.visible_before < commit && commit <= call.moment.visible_after;
}

// The timestamps that the catalogue says are its own.
void Judge::place_catalogue(const Keyspaces& keyspaces,
                            std::map<std::uint64_t, std::string>& claims) {
  const auto claim = [&](std::uint64_t commit, const std::string& what) {
    if (commit == never || commit <= start_) return;
    const auto [at, is_new] = claims.emplace(commit, what);
    if (!is_new) fault("both at " + std::to_string(commit) + ": " + at->second + ", " + what);
  };
  std::vector<Keyspaces::Life> lives = keyspaces.lives;
  std::sort(lives.begin(), lives.end(), [](const Keyspaces::Life& a, const Keyspaces::Life& b) {
    return a.created < b.created;
  });
  std::set<const CatalogueCall*> taken;
  for (const Keyspaces::Life& life : lives) {
    auto known = timeline_.lives.find(life.id);
    if (known == timeline_.lives.end()) {
      claim(life.created, "the creation of " + life.name);
      known = timeline_.lives.emplace(life.id, life).first;
      known->second.dropped = never;
      const CatalogueCall* load = nullptr;
      for (const CatalogueCall& call : history_.catalogue) {
        const bool may_be = call.kind == CatalogueCall::Kind::load && call.name == life.name &&
                            made_at(call, life.created) && taken.count(&call) == 0;
        // Of several the one that ended first: the others may be of later ones.
        if (may_be && (load == nullptr || call.moment.visible_after < load->moment.visible_after)) {
          load = &call;
        }
      }
      if (life.loaded && load != nullptr) taken.insert(load);
      if (life.loaded && load != nullptr) {
        for (const auto& [key, value] : load->entries) {
          timeline_.write({life.id, key}, life.created, value);
        }
      } else if (life.loaded && history_.faults_armed == never) {
        fault("nobody loaded " + life.name);
      }
    }
    // One that is gone since before it came was taken back when the log failed: it may be back.
    const bool taken_back = life.created != 0 && life.dropped < life.created;
    if (known->second.dropped == never && life.dropped != never && !taken_back) {
      known->second.dropped = life.dropped;
      claim(life.dropped, "the drop of " + life.name);
    }
  }
  for (const CatalogueCall& call : history_.catalogue) {
    if (call.kind != CatalogueCall::Kind::drop || !call.error) continue;
    const std::uint64_t commit = commit_in_doubt(*call.error);
    for (auto& [id, life] : timeline_.lives) {
      if (commit == 0 || life.name != call.name || !timeline_.exists(id, commit)) continue;
      life.dropped = commit;
      claim(commit, "the drop in doubt of " + life.name);
    }
  }
}

// Which commit of those that said no timestamp fills which gap: the first way that is accepted.
bool Judge::assign(const std::vector<std::uint64_t>& gaps, std::size_t at,
                   std::vector<Txn*>& doubtful, const std::function<bool()>& accept) {
  if (at == gaps.size()) {
    for (const Txn* txn : doubtful) {
      if (txn->end == End::committed && txn->commit == 0) return false;
    }
    return accept();
  }
  for (Txn* txn : doubtful) {
    if (txn->commit != 0) continue;
    const bool in_time = txn->ended.visible_before < gaps[at] &&
                         (is_armed(txn->ended) || gaps[at] <= txn->ended.visible_after);
    if (!in_time) continue;
    txn->commit = gaps[at];
    if (assign(gaps, at + 1, doubtful, accept)) return true;
    txn->commit = 0;
  }
  // Of a change of the catalogue in doubt nothing is known.
  if (history_.faults_armed != never) return assign(gaps, at + 1, doubtful, accept);
  return false;
}

// How many commits there may have been of which only the outcome is unknown.
std::size_t Judge::in_doubt(const std::vector<Txn*>& doubtful) const {
  return doubtful.size() +
         static_cast<std::size_t>(std::count_if(
             history_.catalogue.begin(), history_.catalogue.end(), [](const CatalogueCall& call) {
               return call.error && call.error->code() == ErrorCode::commit_outcome_unknown;
             }));
}

// I5: dense, in order, each once. Returns the timestamps that none has claimed, and who may have
// them.
std::vector<std::uint64_t> Judge::place_commits(const Keyspaces& keyspaces, std::uint64_t end,
                                                std::vector<Txn*>& doubtful) {
  start_ = timeline_.newest;
  std::map<std::uint64_t, std::string> claims;
  place_catalogue(keyspaces, claims);
  std::uint64_t newest = std::max(end, start_);
  for (const auto& txn : history_.transactions) {
    const bool may_write = !txn->own.empty();
    if (!may_write || (txn->end != End::committed && txn->end != End::unknown)) continue;
    if (txn->commit == 0) {
      doubtful.push_back(txn.get());
      continue;
    }
    if (txn->commit <= start_) fault(*txn, "commits at a timestamp that was there before");
    const auto [at, is_new] = claims.emplace(txn->commit, txn->name);
    if (!is_new) {
      fault("both at " + std::to_string(txn->commit) + ": " + at->second + ", " + txn->name);
    }
  }
  if (!claims.empty()) newest = std::max(newest, claims.rbegin()->first);
  // What is in doubt may have been the newest, and seen by nobody.
  if (history_.faults_armed != never) {
    newest = std::max(newest, history_.newest_visible) + in_doubt(doubtful);
  }
  std::vector<std::uint64_t> gaps;
  for (std::uint64_t commit = start_ + 1; commit <= newest; ++commit) {
    if (claims.count(commit) == 0) gaps.push_back(commit);
  }
  timeline_.newest = newest;
  return gaps;
}

void Judge::apply() {
  for (const auto& txn : history_.transactions) {
    if (txn->commit == 0 || txn->own.empty()) continue;
    if (txn->end == End::committed || txn->end == End::unknown) commits_[txn->commit] = txn.get();
  }
  for (const auto& [commit, txn] : commits_) {
    for (const auto& [place, own] : txn->own) {
      const Value below = timeline_.at(commit - 1, place);
      const auto value = own.over(below);
      if (!value) fault(*txn, "commits a sum over " + shown(below));
      timeline_.write(place, commit, value.value_or(std::nullopt));
      const Keyspaces::Life* life = timeline_.life(place.keyspace);
      if (life != nullptr && (life->dropped < commit || life->created > commit)) {
        fault(*txn, "commits into a keyspace that is not there");
      }
    }
  }
}

// Where in time an operation read: the newest state at a moment while it ran.
Judge::Bounds Judge::bounds(const Moment& moment) const {
  if (!is_armed(moment)) return {moment.visible_before, moment.visible_after};
  // I8: what was acknowledged is durable, and no snapshot is older.
  const bool synced = plan_.options.durability.kind == Durability::Kind::sync;
  return {synced ? moment.acknowledged : 0, timeline_.newest};
}

}  // namespace isolde::test::surface
