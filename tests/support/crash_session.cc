#include "tests/support/crash_session.h"

#include <array>
#include <chrono>

#include "mvcc/database_core.h"

namespace isolde::test {
namespace {

constexpr std::uint64_t keys = 10;
constexpr std::uint64_t counters = 3;
constexpr std::uint64_t extra_keyspaces = 4;

}  // namespace

void CrashSession::run() {
  for (std::size_t step = 0; step < plan_.steps && complaints_->empty(); ++step) {
    const std::uint64_t dice = draw(100);
    if (plan_.number == 0 && dice < 16) {
      checkpoint();
    } else if (plan_.number == 0 && dice < 30) {
      change_keyspaces();
    } else if (dice < 34) {
      reclaim();
    } else {
      transaction();
    }
  }
}

void CrashSession::transaction() {
  constexpr std::array levels{Isolation::read_uncommitted, Isolation::read_committed,
                              Isolation::repeatable_read, Isolation::serializable};
  TransactionOptions options;
  options.isolation = levels[draw(levels.size())];
  tag_ = "t" + std::to_string(++*tags_);
  options.label = tag_;
  changes_.clear();
  seen_tags_.clear();
  auto txn = db_->begin(options);
  if (!txn) {
    refused(txn.error(), "begin");
    return;
  }
  const std::uint64_t operations = 1 + draw(4);
  for (std::uint64_t i = 0; i < operations; ++i) {
    if (!operation(*txn)) return;  // rolls back
  }
  // What it saw may never be committed at all.
  if (options.isolation == Isolation::read_uncommitted) seen_tags_.clear();
  if (draw(12) == 0) {
    static_cast<void>(txn->rollback());
    return;
  }
  commit(*txn);
}

bool CrashSession::operation(Transaction& txn) {
  const Keyspace keyspace = any_keyspace();
  return draw(3) == 0 ? read(txn, keyspace) : write(txn, keyspace);
}

bool CrashSession::write(Transaction& txn, const Keyspace& keyspace) {
  const std::string key = "k" + std::to_string(draw(keys));
  const std::uint64_t dice = draw(20);
  if (dice < 3) {
    auto erased = txn.erase(keyspace, key);
    if (!erased) return refused(erased.error(), "erase");
    changes_.push_back({CommittedChange::Kind::erase, keyspace.name(), key});
    return true;
  }
  if (dice < 6) {
    const std::string counter = "n" + std::to_string(draw(counters));
    const auto delta = static_cast<std::int64_t>(draw(100));
    auto added = txn.add(keyspace, counter, delta);
    if (!added) return refused(added.error(), "add");
    changes_.push_back({CommittedChange::Kind::add, keyspace.name(), counter, {}, delta});
    return true;
  }
  const std::string value = any_value();
  auto put = dice < 8 ? txn.insert(keyspace, key, value) : txn.put(keyspace, key, value);
  if (!put && put.error().code() == ErrorCode::already_exists) return true;
  if (!put) return refused(put.error(), "put");
  changes_.push_back({CommittedChange::Kind::put, keyspace.name(), key, value});
  return true;
}

bool CrashSession::read(Transaction& txn, const Keyspace& keyspace) {
  const std::string key = "k" + std::to_string(draw(keys));
  if (draw(3) == 0) {
    auto scanned = txn.scan(keyspace, KeyRange::from(key),
                            [&](std::string_view, std::string_view value) { note_value(value); });
    return scanned || refused(scanned.error(), "scan");
  }
  auto value = draw(4) == 0 ? txn.get_for_update(keyspace, key) : txn.get(keyspace, key);
  if (!value) return refused(value.error(), "get");
  if (*value) note_value(**value);
  return true;
}

void CrashSession::commit(Transaction& txn) {
  std::uint64_t& visible = ledger_->visible_of_session[plan_.number];
  visible = 0;
  const auto committed = txn.commit();
  const bool in_doubt = !committed && committed.error().code() == ErrorCode::commit_outcome_unknown;
  if (visible != 0 && (committed || in_doubt)) {
    ledger_->data_commits[visible] = changes_;
    ledger_->commit_of_tag[tag_] = visible;
  }
  if (!committed) {
    refused(committed.error(), "commit");
    return;
  }
  if (changes_.empty() != (visible == 0) || (visible != 0 && committed->value != visible)) {
    complaints_->push_back(tag_ + " got timestamp " + std::to_string(committed->value) +
                           ", and was visible at " + std::to_string(visible));
  }
  if (visible != 0) ledger_->acknowledged.push_back({.commit = visible});
  for (const std::string& tag : seen_tags_) ledger_->acknowledged.push_back({.tag = tag});
}

void CrashSession::change_keyspaces() {
  const std::string name = "ks" + std::to_string(draw(extra_keyspaces));
  const bool is_there = db_->find_keyspace(name).has_value();
  Result<void> done;
  if (is_there) {
    done = db_->drop_keyspace(name, std::chrono::milliseconds(0));
  } else if (auto created = db_->keyspace(name); !created) {
    done = created.error();
  }
  const bool in_doubt = !done && done.error().code() == ErrorCode::commit_outcome_unknown;
  if (done || in_doubt) {
    ledger_->keyspace_commits.push_back(
        {is_there ? CommittedChange::Kind::drop_keyspace : CommittedChange::Kind::create_keyspace,
         name});
  }
  if (done) {
    ledger_->acknowledged.push_back({.keyspace_commit = ledger_->keyspace_commits.size()});
  } else if (done.error().code() != ErrorCode::keyspace_busy) {
    refused(done.error(), "a change of keyspaces");
  }
}

void CrashSession::checkpoint() {
  if (auto done = db_->checkpoint(); !done) refused(done.error(), "checkpoint");
}

void CrashSession::reclaim() { DatabaseInternals::core(*db_).reclaimer().run(); }

Keyspace CrashSession::any_keyspace() {
  if (draw(2) == 0) {
    auto found = db_->find_keyspace("ks" + std::to_string(draw(extra_keyspaces)));
    if (found) return *found;
  }
  return db_->find_keyspace(default_keyspace_name).value();
}

std::string CrashSession::any_value() {
  std::uint64_t bytes = draw(40);
  const std::uint64_t dice = draw(40);
  if (dice < 4) bytes = 1500;
  if (dice == 4) bytes = 6000;  // more than a segment holds
  return tag_ + ':' + std::string(static_cast<std::size_t>(bytes), 'v');
}

void CrashSession::note_value(std::string_view value) {
  const std::size_t end = value.find(':');
  if (end != std::string_view::npos) seen_tags_.emplace_back(value.substr(0, end));
}

bool CrashSession::refused(const Error& error, std::string_view doing) {
  switch (error.code()) {
    case ErrorCode::write_conflict:
    case ErrorCode::serialization_failure:
    case ErrorCode::keyspace_not_found:
      return false;
    case ErrorCode::database_failed:
    case ErrorCode::commit_outcome_unknown:
    case ErrorCode::disk_full:
    case ErrorCode::io_error:
      if (plan_.may_fail) return false;
      break;
    default:
      break;
  }
  complaints_->push_back(std::string(doing) + ": " + error.to_string());
  return false;
}

}  // namespace isolde::test
