#include "lab/play/session.h"

#include <fmt/format.h>

#include <algorithm>

#include "lab/text/text.h"

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

bool passes(const ScanCommand& scan, std::string_view value,
            const std::optional<std::string>& wanted) {
  return !scan.where || compare(std::string(value), scan.where->comparison, wanted);
}

// Collects what a scan, count or sum returns.
struct Gathering {
  const ScanCommand& scan;
  std::optional<std::string> wanted;  // of its `where`
  const std::function<bool()>& interrupted;
  Entries entries;
  std::size_t count = 0;
  std::int64_t sum = 0;
  std::optional<Error> failure;

  bool operator()(std::string_view key, std::string_view value) {
    if (interrupted && interrupted()) {
      failure = Error(ErrorCode::cancelled, "interrupted");
      return false;
    }
    if (!passes(scan, value, wanted)) return true;
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

void Session::play(const Step& step, StepRecord& record) {
  record.step = &step;
  record.outcome = Outcome::skip();
  context_.bindings.erase(step.name);
  since_begin_.push_back({&step, 0, step.commands.size()});
  for (std::size_t i = 0; i < step.commands.size() && !stopped_; ++i) {
    const Command& command = step.commands[i];
    const bool begins = std::holds_alternative<BeginCommand>(command.action);
    const bool retries = std::holds_alternative<RetryCommand>(command.action);
    if (retries) since_begin_.back().to = i;
    const auto wanted = holds(command);
    const bool again = retries && aborted_ && wanted && *wanted;
    if (!(again ? play_again(record) : play_command(step, command, record))) return;
    if (begins && record.commands.back().outcome.ok()) {
      since_begin_.assign(1, {&step, i, step.commands.size()});
    } else if (retries) {
      since_begin_.push_back({&step, i + 1, step.commands.size()});
    }
  }
}

bool Session::play_command(const Step& step, const Command& command, StepRecord& record) {
  record.current = &command;
  Outcome outcome = execute(command);
  if (stopped_) return false;  // what it did is no part of the play any more
  record.current = nullptr;
  record.commands.push_back({&command, outcome});
  if (outcome.error) {
    record.outcome = std::move(outcome);
    return false;  // the rest would only repeat that the transaction has ended
  }
  if (outcome.skipped) return true;
  record.outcome.skipped = false;
  if (!std::holds_alternative<std::monostate>(outcome.value)) {
    // At once: the commands of a step may refer to what it returned itself.
    context_.bindings[step.name] = outcome.value;
    context_.bindings[record.step->name] = outcome.value;
    record.outcome.value = std::move(outcome.value);
  }
  return true;
}

// As the loop around a transaction would: from its begin, whatever it had read is read anew. An
// operation that failed alone ends its step, as it did before; an abort ends the retry.
bool Session::play_again(StepRecord& record) {
  const std::vector<Stretch> stretches = since_begin_;
  for (const Stretch& stretch : stretches) {
    context_.bindings.erase(stretch.step->name);
    for (std::size_t i = stretch.from; i < stretch.to && !stopped_; ++i) {
      if (play_command(*stretch.step, stretch.step->commands[i], record)) continue;
      if (aborted_ || stopped_) return false;
      record.outcome = Outcome::of({});
      break;
    }
  }
  return true;
}

std::vector<Ending> Session::endings() const {
  std::vector<Ending> endings = endings_;
  if (txn_) endings.push_back({Ending::Kind::unfinished, std::nullopt});
  return endings;
}

void Session::finish() {
  forget_transaction();
  stopped_ = false;
}

void Session::forget_transaction() {
  cursors_.clear();
  savepoints_.clear();
  timeout_.reset();
  txn_.reset();
}

Result<bool> Session::holds(const Command::Condition& condition) const {
  auto left = evaluate_optional(condition.left, context_.bindings);
  if (!left) return left.error();
  std::optional<std::string> right;
  if (condition.right) {
    auto value = evaluate_optional(*condition.right, context_.bindings);
    if (!value) return value.error();
    right = *value;
  }
  return compare(*left, condition.comparison, right);
}

Result<bool> Session::holds(const Command& command) const {
  for (const Command::Condition& condition : command.conditions) {
    auto held = holds(condition);
    if (!held || !*held) return held;
  }
  return true;
}

Outcome Session::execute(const Command& command) {
  auto wanted = holds(command);
  if (!wanted) return Outcome::failed(wanted.error());
  if (!*wanted) return Outcome::skip();
  Outcome outcome =
      std::visit([&](const auto& action) { return run(command, action); }, command.action);
  if (outcome.error) outcome.error = context_.playground.told(*outcome.error);
  context_.turns->pause();
  note_end(outcome);
  return outcome;
}

// An error may have ended the transaction; only the transaction itself knows.
void Session::note_end(const Outcome& outcome) {
  if (!txn_ || txn_->active()) return;
  forget_transaction();
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
  auto txn = context_.playground.database().begin(options(begin));
  if (!txn) return Outcome::failed(txn.error());
  txn_.emplace(std::move(*txn));
  timeout_ = begin.timeout;
  aborted_ = false;
  return Outcome::of({});
}

TransactionOptions Session::options(const BeginCommand& begin) const {
  TransactionOptions options;
  options.isolation = begin.level.value_or(cell_.level);
  options.locking = begin.locking.value_or(cell_.locking);
  options.read_only = begin.read_only;
  options.priority = begin.priority;
  options.label = name_;
  options.lock_timeout = begin.timeout.value_or(no_lock_timeout);
  return options;
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

Result<Keyspace> Session::keyspace_of(const Command& command) const {
  return context_.playground.find(command.keyspace ? std::string_view(*command.keyspace)
                                                   : default_keyspace_name);
}

Outcome Session::run(const Command& command, const OpenCommand& open) {
  if (!txn_) return not_in_transaction("open");
  if (cursors_.count(open.cursor) != 0) {
    return invalid(fmt::format("cursor {} is open already; close it first", open.cursor));
  }
  auto keyspace = keyspace_of(command);
  if (!keyspace) return Outcome::failed(keyspace.error());
  auto range = evaluate(open.scan.range, context_.bindings);
  if (!range) return Outcome::failed(range.error());
  auto wanted = wanted_by(open.scan);
  if (!wanted) return Outcome::failed(wanted.error());
  auto cursor = txn_->cursor(*keyspace, *range, options_of(open.scan));
  if (!cursor) return Outcome::failed(cursor.error());
  cursors_.emplace(open.cursor, OpenCursor{std::move(*cursor), &open.scan, *wanted, 0});
  return Outcome::of({});
}

Outcome Session::run(const Command&, const NextCommand& next) {
  if (!txn_) return not_in_transaction("next");
  const auto found = cursors_.find(next.cursor);
  if (found == cursors_.end()) return invalid(fmt::format("there is no cursor {}", next.cursor));
  OpenCursor& open = found->second;
  while (!open.scan->limit || open.given < *open.scan->limit) {
    auto entry = open.cursor.next();
    if (!entry) return Outcome::failed(entry.error());
    if (!*entry) break;
    const auto& [key, value] = **entry;
    if (!passes(*open.scan, value, open.wanted)) continue;
    ++open.given;
    return Outcome::of(Entries{{std::string(key), std::string(value)}});
  }
  return Outcome::of(Entries{});
}

Outcome Session::run(const Command&, const CloseCommand& close) {
  if (!txn_) return not_in_transaction("close");
  if (cursors_.erase(close.cursor) == 0) {
    return invalid(fmt::format("there is no cursor {}", close.cursor));
  }
  return Outcome::of({});
}

Outcome Session::run(const Command&, const WaitCommand& wait) {
  context_.turns->wait_for(wait.session);
  return Outcome::of({});
}

// Reached only where there is nothing to run again.
Outcome Session::run(const Command&, const RetryCommand&) { return Outcome::skip(); }

Outcome Session::run(const Command&, const KeyspaceCommand& keyspace) {
  return outcome_of(context_.playground.create(keyspace.keyspace));
}

Outcome Session::run(const Command&, const CheckpointCommand&) {
  Database& database = context_.playground.database();
  auto done = database.checkpoint();
  if (done) database.reclaim();
  return outcome_of(done);
}

Outcome Session::run(const Command&, const FailCommand&) {
  Database& database = context_.playground.database();
  if (database.options().durability.kind == Durability::Kind::none) {
    return invalid("this database makes no syncs, so none can fail");
  }
  database.fail_next_sync();
  return Outcome::of({});
}

Outcome Session::run(const Command&, const HoldCommand& hold) {
  if (context_.turns->hold(hold.place, hold.step)) return Outcome::of({});
  return invalid(
      "hold is for the schedules of scripts, in a build with yield points (the presets dev and "
      "faults)");
}

template <typename KeyCommand>
Outcome Session::run(const Command& command, const KeyCommand& key_command) {
  if (!txn_ && aborted_) return not_in_transaction(command.text);
  auto keyspace = keyspace_of(command);
  if (!keyspace) return Outcome::failed(keyspace.error());
  if (txn_) {
    Outcome outcome = apply(*txn_, *keyspace, key_command);
    // As where a wait is cancelled: its transaction ends with it.
    if (outcome.error && outcome.error->code() == ErrorCode::cancelled && txn_->active()) {
      static_cast<void>(txn_->rollback());
    }
    return outcome;
  }
  auto txn = context_.playground.database().begin(options({}));
  if (!txn) return Outcome::failed(txn.error());
  Outcome outcome = apply(*txn, *keyspace, key_command);
  if (outcome.error) return outcome;
  auto committed = txn->commit();
  if (!committed) return Outcome::failed(committed.error());
  return outcome;
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace, const GetCommand& get) const {
  auto key = evaluate(get.key, context_.bindings);
  if (!key) return Outcome::failed(key.error());
  auto found = get.mode == ReadMode::plain ? txn.get(keyspace, *key)
               : get.mode == ReadMode::for_update
                   ? txn.get_for_update(keyspace, *key, get.lock_wait)
                   : txn.get_for_share(keyspace, *key, get.lock_wait);
  if (!found) return Outcome::failed(found.error());
  return Outcome::of(value_of(*found));
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace, const PutCommand& put) const {
  auto key = evaluate(put.key, context_.bindings);
  if (!key) return Outcome::failed(key.error());
  auto value = evaluate(put.value, context_.bindings);
  if (!value) return Outcome::failed(value.error());
  return outcome_of(put.insert ? txn.insert(keyspace, *key, *value)
                               : txn.put(keyspace, *key, *value));
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace,
                       const EraseCommand& erase) const {
  auto key = evaluate(erase.key, context_.bindings);
  if (!key) return Outcome::failed(key.error());
  return outcome_of(txn.erase(keyspace, *key));
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace, const AddCommand& add) const {
  auto key = evaluate(add.key, context_.bindings);
  if (!key) return Outcome::failed(key.error());
  auto text = evaluate(add.delta, context_.bindings);
  if (!text) return Outcome::failed(text.error());
  const auto delta = to_integer(*text);
  if (!delta) {
    return invalid(fmt::format("{} takes an integer, not {}", add.answers ? "add_and_get" : "add",
                               spelled_short(*text)));
  }
  if (!add.answers) return outcome_of(txn.add(keyspace, *key, *delta));
  auto sum = txn.add_and_get(keyspace, *key, *delta);
  if (!sum) return Outcome::failed(sum.error());
  return Outcome::of(*sum);
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace,
                       const CompareAndSetCommand& cas) const {
  auto key = evaluate(cas.key, context_.bindings);
  if (!key) return Outcome::failed(key.error());
  auto expected = evaluate(cas.expected, context_.bindings);
  if (!expected) return Outcome::failed(expected.error());
  auto value = evaluate(cas.value, context_.bindings);
  if (!value) return Outcome::failed(value.error());
  return outcome_of(txn.compare_and_set(keyspace, *key, *expected, *value));
}

Result<std::optional<std::string>> Session::wanted_by(const ScanCommand& scan) const {
  if (!scan.where) return std::optional<std::string>();
  auto wanted = evaluate(scan.where->operand, context_.bindings);
  if (!wanted) return wanted.error();
  return std::optional<std::string>(*wanted);
}

ScanOptions Session::options_of(const ScanCommand& scan) {
  ScanOptions options;
  options.reverse = scan.reverse;
  options.mode = scan.mode;
  options.lock_wait = scan.lock_wait;
  // A limit counts what `where` lets through, so only without one can the engine apply it.
  if (!scan.where) options.limit = scan.limit;
  return options;
}

// A scan that locks has locked all its range before it shows anything; a cursor locks as it goes.
Result<void> Session::step_through(
    Transaction& txn, const Keyspace& keyspace, const KeyRange& range, const ScanOptions& options,
    const std::function<bool(std::string_view, std::string_view)>& visit) {
  auto cursor = txn.cursor(keyspace, range, options);
  if (!cursor) return cursor.error();
  for (;;) {
    auto entry = cursor->next();
    if (!entry) return entry.error();
    if (!*entry || !visit((*entry)->key, (*entry)->value)) return {};
  }
}

Outcome Session::apply(Transaction& txn, const Keyspace& keyspace, const ScanCommand& scan) const {
  auto range = evaluate(scan.range, context_.bindings);
  if (!range) return Outcome::failed(range.error());
  auto wanted = wanted_by(scan);
  if (!wanted) return Outcome::failed(wanted.error());
  Gathering gathering{scan, *wanted, context_.interrupted, {}, 0, 0, std::nullopt};
  const auto visit = [&gathering](std::string_view key, std::string_view value) -> bool {
    return gathering(key, value);
  };
  const ScanOptions options = options_of(scan);
  const bool locks = txn.locking() == Locking::pessimistic &&
                     (scan.mode != ReadMode::plain || txn.isolation() == Isolation::serializable);
  if (scan.limit == std::size_t{0}) return std::move(gathering).outcome();
  if (scan.limit && scan.where && locks) {
    auto stepped = step_through(txn, keyspace, *range, options, visit);
    if (!stepped) return Outcome::failed(stepped.error());
  } else {
    auto scanned = txn.scan(keyspace, *range, options, visit);
    if (!scanned) return Outcome::failed(scanned.error());
  }
  return std::move(gathering).outcome();
}

}  // namespace isolde::lab
