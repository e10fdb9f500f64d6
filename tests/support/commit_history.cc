#include "tests/support/commit_history.h"

#include <charconv>

namespace isolde::test {

void CommitHistory::append(const CommittedChanges& changes) {
  DatabaseContents state = states_.back();
  for (const CommittedChange& change : changes) {
    switch (change.kind) {
      case CommittedChange::Kind::put:
        state[change.keyspace][change.key] = change.value;
        break;
      case CommittedChange::Kind::erase:
        state[change.keyspace].erase(change.key);
        break;
      case CommittedChange::Kind::add: {
        std::string& value = state[change.keyspace][change.key];
        std::int64_t sum = 0;
        std::from_chars(value.data(), value.data() + value.size(), sum);
        value = std::to_string(sum + change.delta);
        break;
      }
      case CommittedChange::Kind::create_keyspace:
        state[change.keyspace];
        break;
      case CommittedChange::Kind::drop_keyspace:
        state.erase(change.keyspace);
        break;
    }
  }
  states_.push_back(std::move(state));
}

Result<DatabaseContents> read_everything(Database& db, Isolation isolation) {
  DatabaseContents found;
  TransactionOptions options;
  options.isolation = isolation;
  auto txn = db.begin(options);
  if (!txn) return txn.error();
  for (const Keyspace& keyspace : db.keyspaces()) {
    Contents& contents = found[keyspace.name()];
    auto scanned =
        txn->scan(keyspace, KeyRange::all(), [&](std::string_view key, std::string_view value) {
          contents.emplace_hint(contents.end(), key, value);
        });
    if (!scanned) return scanned.error();
  }
  if (auto ended = txn->commit(); !ended) return ended.error();
  return found;
}

namespace {

std::string shortened(const std::string& value) {
  return value.size() <= 24
             ? value
             : value.substr(0, 20) + "... (" + std::to_string(value.size()) + " bytes)";
}

std::string key_told(const std::string& keyspace, const std::string& key, std::string_view what) {
  std::string told = keyspace;
  told.append(": ").append(key).append(" is ").append(what);
  return told;
}

}  // namespace

std::string first_difference(const DatabaseContents& found, const DatabaseContents& expected) {
  for (const auto& [name, contents] : expected) {
    const auto keyspace = found.find(name);
    if (keyspace == found.end()) return "keyspace " + name + " is missing";
    for (const auto& [key, value] : contents) {
      const auto entry = keyspace->second.find(key);
      if (entry == keyspace->second.end()) return key_told(name, key, "missing");
      if (entry->second != value) {
        return key_told(name, key, shortened(entry->second) + ", not " + shortened(value));
      }
    }
    for (const auto& [key, value] : keyspace->second) {
      if (!contents.contains(key)) return key_told(name, key, "too many");
    }
  }
  for (const auto& [name, contents] : found) {
    if (!expected.contains(name)) return "keyspace " + name + " is too many";
  }
  return {};
}

}  // namespace isolde::test
