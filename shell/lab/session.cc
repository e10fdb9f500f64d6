#include "lab/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "lab/text.h"

namespace isolde::lab {
namespace {

Outcome invalid(std::string message) {
  return Outcome::failed(Error(ErrorCode::invalid_argument, std::move(message)));
}

Outcome outcome_of(const Result<void>& result) {
  return result ? Outcome::of({}) : Outcome::failed(result.error());
}

Value value_of(const std::optional<std::string_view>& found) {
  if (!found) return Absent{};
  return std::string(*found);
}

// Collects what a scan, count or sum returns.
struct Gathering {
  const ScanCommand& scan;
  std::optional<std::string> wanted;  // of its `where`
  Entries entries;
  std::size_t count = 0;
  std::int64_t sum = 0;
  std::optional<Error> failure;

  bool operator()(std::string_view key, std::string_view value) {
    if (scan.where && !compare(std::string(value), scan.where->comparison, wanted)) return true;
    ++count;
    if (scan.what == ScanCommand::What::entries) {
      entries.emplace_back(std::string(key), std::string(value));
    } else if (scan.what == ScanCommand::What::sum) {
      const auto number = to_integer(value);
      if (!number || __builtin_add_overflow(sum, *number, &sum)) {
        failure = Error(ErrorCode::invalid_argument,
                        fmt::format("the sum fails at {}={}: no integer, or too large",
                                    spelled_short(key), spelled_short(value)));
        return false;
      }
    }
    return !scan.limit || count < *scan.limit;
  }

  Outcome outcome() && {
    if (failure) return Outcome::failed(*failure);
    switch (scan.what) {
      case ScanCommand::What::entries:
        return Outcome::of(std::move(entries));
      case ScanCommand::What::count:
        return Outcome::of(static_cast<std::int64_t>(count));
      case ScanCommand::What::sum:
        return Outcome::of(sum);
    }
    return Outcome::of({});
  }
};

}  // namespace

std::vector<StepRecord> Session::advance() {
  std::vector<StepRecord> finished;
  while (!queue_.empty()) {
    const Step* step = queue_.front();
    queue_.pop_front();
    finished.push_back(play(*step));
  }
  return finished;
}

StepRecord Session::play(const Step& step) {
  StepRecord record;
  record.step = &step;
  record.outcome = Outcome::skip();
  bindings_.erase(step.name);
  for (const Command& command : step.commands) {
    record.commands.push_back({&command, execute(command)});
    const Outcome& outcome = record.commands.back().outcome;
    if (outcome.error) {
      record.outcome = outcome;
      break;  // the rest would only repeat that the transaction has ended
    }
    if (outcome.skipped) continue;
    record.outcome.skipped = false;
    if (!std::holds_alternative<std::monostate>(outcome.value)) {
      record.outcome.value = outcome.value;
      // At once: the commands of a step may refer to what it returned itself.
      bindings_[step.name] = outcome.value;
    }
  }
  return record;
}

void Session::finish() {
  if (!txn_) return;
  txn_.reset();
  endings_.push_back({Ending::Kind::unfinished, std::nullopt});
}

Result<bool> Session::holds(const Command::Condition& condition) const {
  auto left = evaluate_optional(condition.left, bindings_);
  if (!left) return left.error();
  std::optional<std::string> right;
  if (condition.right) {
    auto value = evaluate_optional(*condition.right, bindings_);
    if (!value) return value.error();
    right = *value;
  }
  return compare(*left, condition.comparison, right);
}

Outcome Session::execute(const Command& command) {
  for (const Command::Condition& condition : command.conditions) {
    auto held = holds(condition);
    if (!held) return Outcome::failed(held.error());
    if (!*held) return Outcome::skip();
  }
  Outcome outcome =
      std::visit([&](const auto& action) { return run(command, action); }, command.action);
  note_end(outcome);
  return outcome;
}

// An error may have ended the transaction; only the transaction itself knows.
void Session::note_end(const Outcome& outcome) {
  if (!txn_ || txn_->active()) return;
  txn_.reset();
  savepoints_.clear();
  if (outcome.error) {
    aborted_ = true;
    endings_.push_back({Ending::Kind::aborted, outcome.error->code()});
  }
}

Outcome Session::not_in_transaction(std::string_view what) const {
  return Outcome::failed(Error(
      ErrorCode::transaction_finished,
      aborted_ ? fmt::format("{}: the transaction of session {} was aborted; acknowledge that by "
                             "rollback, or begin a new one",
                             what, name_)
               : fmt::format("{}: session {} has no transaction; begin one", what, name_)));
}

Outcome Session::run(const Command&, const BeginCommand& begin) {
  if (txn_) {
    return invalid(
        fmt::format("session {} has a transaction open; commit or roll it back first", name_));
  }
  TransactionOptions options;
  options.isolation = begin.level.value_or(cell_.level);
  options.locking = begin.locking.value_or(cell_.locking);
  options.read_only = begin.read_only;
  options.label = name_;
  auto txn = playground_.database().begin(options);
  if (!txn) return Outcome::failed(txn.error());
  txn_.emplace(std::move(*txn));
  aborted_ = false;
  savepoints_.clear();
  return Outcome::of({});
}

Outcome Session::run(const Command&, const CommitCommand&) {
  if (!txn_) return not_in_transaction("commit");
  auto committed = txn_->commit();
  if (!committed) return Outcome::failed(committed.error());
  endings_.push_back({Ending::Kind::committed, std::nullopt});
  return Outcome::of({});
}

Outcome Session::run(const Command&, const RollbackCommand& rollback) {
  if (rollback.savepoint) {
    if (!txn_) return not_in_transaction("rollback to");
    auto savepoint = find_savepoint(*rollback.savepoint);
    if (!savepoint) return Outcome::failed(savepoint.error());
    auto rolled_back = txn_->rollback_to(*savepoint);
    if (!rolled_back) return Outcome::failed(rolled_back.error());
    while (savepoints_.back().second.serial != savepoint->serial) savepoints_.pop_back();
    return Outcome::of({});
  }
  if (!txn_) {
    if (!aborted_) return not_in_transaction("rollback");
    aborted_ = false;
    return Outcome::of({});
  }
  auto rolled_back = txn_->rollback();
  if (!rolled_back) return Outcome::failed(rolled_back.error());
  endings_.push_back({Ending::Kind::rolled_back, std::nullopt});
  return Outcome::of({});
}

Outcome Session::run(const Command&, const SavepointCommand& command) {
  if (!txn_) return not_in_transaction("savepoint");
  auto savepoint = txn_->savepoint();
  if (!savepoint) return Outcome::failed(savepoint.error());
  savepoints_.emplace_back(command.savepoint, *savepoint);
  return Outcome::of({});
}

Outcome Session::run(const Command&, const ReleaseCommand& release) {
  if (!txn_) return not_in_transaction("release");
  auto savepoint = find_savepoint(release.savepoint);
  if (!savepoint) return Outcome::failed(savepoint.error());
  auto released = txn_->release(*savepoint);
  if (!released) return Outcome::failed(released.error());
  const auto at = std::find_if(savepoints_.begin(), savepoints_.end(), [&](const auto& entry) {
    return entry.second.serial == savepoint->serial;
  });
  savepoints_.erase(at, savepoints_.end());
  return Outcome::of({});
}

// The innermost of that name, as in SQL: a later savepoint hides an earlier namesake.
Result<Savepoint> Session::find_savepoint(const std::string& name) const {
  for (auto at = savepoints_.rbegin(); at != savepoints_.rend(); ++at) {
    if (at->first == name) return at->second;
  }
  return Error(ErrorCode::invalid_argument, fmt::format("there is no savepoint {}", name));
}

Outcome Session::run(const Command&, const KeyspaceCommand& keyspace) {
  return outcome_of(playground_.create(keyspace.keyspace));
}

Outcome Session::run(const Command&, const CheckpointCommand&) {
  return outcome_of(playground_.database().checkpoint());
}

template <typename KeyCommand>
Outcome Session::run(const Command& command, const KeyCommand& key_command) {
  if (!txn_ && aborted_) return not_in_transaction(command.text);
  auto keyspace = playground_.find(command.keyspace ? std::string_view(*command.keyspace)
                                                    : default_keyspace_name);
  if (!keyspace) return Outcome::failed(keyspace.error());
  if (txn_) return apply(*txn_, *keyspace, key_command);
  auto txn = playground_.database().begin(
      {.isolation = cell_.level, .locking = cell_.locking, .label = name_});
  if (!txn) return Outcome::failed(txn.error());
  Outcome outcome = apply(*txn, *keyspace, key_command);
  if (outcome.error) return outcome;
  auto committed = txn->commit();
  if (!committed) return Outcome::failed(committed.error());
  return outcome;
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace, const GetCommand& get) const {
  auto key = evaluate(get.key, bindings_);
  if (!key) return Outcome::failed(key.error());
  auto found = get.mode == ReadMode::plain ? txn.get(keyspace, *key)
               : get.mode == ReadMode::for_update
                   ? txn.get_for_update(keyspace, *key, get.lock_wait)
                   : txn.get_for_share(keyspace, *key, get.lock_wait);
  if (!found) return Outcome::failed(found.error());
  return Outcome::of(value_of(*found));
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace, const PutCommand& put) const {
  auto key = evaluate(put.key, bindings_);
  if (!key) return Outcome::failed(key.error());
  auto value = evaluate(put.value, bindings_);
  if (!value) return Outcome::failed(value.error());
  return outcome_of(put.insert ? txn.insert(keyspace, *key, *value)
                               : txn.put(keyspace, *key, *value));
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace,
                       const EraseCommand& erase) const {
  auto key = evaluate(erase.key, bindings_);
  if (!key) return Outcome::failed(key.error());
  return outcome_of(txn.erase(keyspace, *key));
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace, const AddCommand& add) const {
  auto key = evaluate(add.key, bindings_);
  if (!key) return Outcome::failed(key.error());
  auto text = evaluate(add.delta, bindings_);
  if (!text) return Outcome::failed(text.error());
  const auto delta = to_integer(*text);
  if (!delta) return invalid(fmt::format("add takes an integer, not {}", spelled_short(*text)));
  auto sum = txn.add(keyspace, *key, *delta);
  if (!sum) return Outcome::failed(sum.error());
  return Outcome::of(*sum);
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace,
                       const CompareAndSetCommand& cas) const {
  auto key = evaluate(cas.key, bindings_);
  if (!key) return Outcome::failed(key.error());
  auto expected = evaluate(cas.expected, bindings_);
  if (!expected) return Outcome::failed(expected.error());
  auto value = evaluate(cas.value, bindings_);
  if (!value) return Outcome::failed(value.error());
  return outcome_of(txn.compare_and_set(keyspace, *key, *expected, *value));
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace, const ScanCommand& scan) const {
  auto range = evaluate(scan.range, bindings_);
  if (!range) return Outcome::failed(range.error());
  Gathering gathering{scan, std::nullopt, {}, 0, 0, std::nullopt};
  if (scan.where) {
    auto wanted = evaluate(scan.where->operand, bindings_);
    if (!wanted) return Outcome::failed(wanted.error());
    gathering.wanted = *wanted;
  }
  ScanOptions options;
  options.reverse = scan.reverse;
  options.mode = scan.mode;
  options.lock_wait = scan.lock_wait;
  // A limit counts what `where` lets through, so only without one can the engine apply it.
  if (!scan.where) options.limit = scan.limit;
  if (scan.limit != std::size_t{0}) {
    auto scanned = txn.scan(keyspace, *range, options,
                            [&](std::string_view key, std::string_view value) -> bool {
                              return gathering(key, value);
                            });
    if (!scanned) return Outcome::failed(scanned.error());
  }
  return std::move(gathering).outcome();
}

}  // namespace isolde::lab
