#include "lab/explore/footprint.h"

#include <algorithm>
#include <concepts>
#include <deque>
#include <utility>
#include <variant>

namespace isolde::lab {
namespace {

bool overlap(const Access& a, const Access& b) {
  if (a.keyspace != b.keyspace) return false;
  const bool a_ends_before = a.upper && *a.upper <= b.lower;
  const bool b_ends_before = b.upper && *b.upper <= a.lower;
  return !a_ends_before && !b_ends_before;
}

bool conflict(const Access& a, const Access& b) {
  const int channels = (a.writes & (b.reads | b.writes)) | (a.reads & b.writes);
  return channels != 0 && overlap(a, b);
}

Access whole(std::string keyspace) { return {std::move(keyspace), {}, std::nullopt, 0, 0}; }

// What a reference stood for when the command ran is not known any more: it may have been anything.
Access place_of(const Operand& key, std::string keyspace) {
  if (!key.is_literal()) return whole(std::move(keyspace));
  return {std::move(keyspace), key.literal(), key.literal() + '\0', 0, 0};
}

Access place_of(const RangeOperand& range, std::string keyspace) {
  const bool literal =
      (!range.lower || range.lower->is_literal()) && (!range.upper || range.upper->is_literal());
  if (!literal) return whole(std::move(keyspace));
  const auto evaluated = evaluate(range, Bindings());
  if (!evaluated) return whole(std::move(keyspace));
  return {std::move(keyspace), evaluated->lower, evaluated->upper, 0, 0};
}

// Commands that are at no key and in no range of their own (what a cursor reads is told at its
// opening). A new command is one of these or has a place below; else this file does not compile,
// and none is taken for one that touches nothing.
template <typename Candidate, typename... Commands>
concept OneOf = (std::same_as<Candidate, Commands> || ...);
template <typename Candidate>
concept Placeless =
    OneOf<Candidate, BeginCommand, CommitCommand, RollbackCommand, SavepointCommand, ReleaseCommand,
          OpenCommand, NextCommand, CloseCommand, WaitCommand, RetryCommand, KeyspaceCommand,
          CheckpointCommand, FailCommand, HoldCommand>;

// The place that a command reads or writes; nothing: none.
struct PlaceOf {
  std::string keyspace;

  std::optional<Access> operator()(const GetCommand& get) { return place_of(get.key, keyspace); }
  std::optional<Access> operator()(const PutCommand& put) { return place_of(put.key, keyspace); }
  std::optional<Access> operator()(const EraseCommand& erase) {
    return place_of(erase.key, keyspace);
  }
  std::optional<Access> operator()(const AddCommand& add) { return place_of(add.key, keyspace); }
  std::optional<Access> operator()(const CompareAndSetCommand& cas) {
    return place_of(cas.key, keyspace);
  }
  std::optional<Access> operator()(const ScanCommand& scan) {
    return place_of(scan.range, keyspace);
  }
  template <Placeless Other>
  std::optional<Access> operator()(const Other&) {
    return std::nullopt;
  }
};

// How a command meets a place.
struct Manner {
  bool reads = true;
  bool writes = false;
  ReadMode mode = ReadMode::plain;
};

struct MannerOf {
  Manner operator()(const GetCommand& get) const { return {true, false, get.mode}; }
  Manner operator()(const ScanCommand& scan) const { return {true, false, scan.mode}; }
  Manner operator()(const PutCommand& put) const { return {put.insert, true, ReadMode::plain}; }
  Manner operator()(const EraseCommand&) const { return {false, true, ReadMode::plain}; }
  Manner operator()(const AddCommand& add) const { return {add.answers, true, ReadMode::plain}; }
  Manner operator()(const CompareAndSetCommand&) const { return {true, true, ReadMode::plain}; }
  template <Placeless Other>
  Manner operator()(const Other&) const {
    return {};
  }
};

bool refers_elsewhere(const Script& script, std::size_t session, const Operand& operand) {
  return std::any_of(operand.terms.begin(), operand.terms.end(), [&](const Operand::Term& term) {
    const auto* reference = std::get_if<Operand::Reference>(&term.what);
    if (reference == nullptr) return false;
    const auto step =
        std::find_if(script.steps.begin(), script.steps.end(),
                     [&](const Step& candidate) { return candidate.name == reference->step; });
    return step == script.steps.end() || step->session != session;
  });
}

// Whether a command uses what a step of another session returned.
struct RefersElsewhere {
  const Script& script;
  std::size_t session;

  bool in(const Operand& operand) const { return refers_elsewhere(script, session, operand); }
  bool in(const std::optional<Operand>& operand) const { return operand && in(*operand); }
  bool operator()(const GetCommand& get) const { return in(get.key); }
  bool operator()(const PutCommand& put) const { return in(put.key) || in(put.value); }
  bool operator()(const EraseCommand& erase) const { return in(erase.key); }
  bool operator()(const AddCommand& add) const { return in(add.key) || in(add.delta); }
  bool operator()(const CompareAndSetCommand& cas) const {
    return in(cas.key) || in(cas.expected) || in(cas.value);
  }
  bool operator()(const ScanCommand& scan) const {
    return in(scan.range.lower) || in(scan.range.upper) || (scan.where && in(scan.where->operand));
  }
  bool operator()(const OpenCommand& open) const { return (*this)(open.scan); }
  template <Placeless Other>
  bool operator()(const Other&) const {
    return false;
  }
  bool of(const Command& command) const {
    return std::any_of(command.conditions.begin(), command.conditions.end(),
                       [this](const Command::Condition& condition) {
                         return in(condition.left) || in(condition.right);
                       }) ||
           std::visit(*this, command.action);
  }
};

bool writes_or_locks(const Command& command) {
  const auto* open = std::get_if<OpenCommand>(&command.action);
  if (open != nullptr) return open->scan.mode != ReadMode::plain;
  const Manner manner = std::visit(MannerOf{}, command.action);
  return manner.writes || manner.mode != ReadMode::plain;
}

bool is_global(const Action& action) {
  return std::holds_alternative<WaitCommand>(action) ||
         std::holds_alternative<KeyspaceCommand>(action) ||
         std::holds_alternative<CheckpointCommand>(action) ||
         std::holds_alternative<FailCommand>(action) || std::holds_alternative<HoldCommand>(action);
}

}  // namespace

bool Footprint::touches_locks() const {
  return std::any_of(accesses.begin(), accesses.end(), [](const Access& access) {
    return ((access.reads | access.writes) & Access::locks) != 0;
  });
}

bool independent(const Footprint& a, const Footprint& b) {
  if (a.global || b.global || (a.sessions & b.sessions) != 0) return false;
  if ((a.takes_snapshot && b.publishes) || (b.takes_snapshot && a.publishes)) return false;
  if ((a.begins && b.ends) || (b.begins && a.ends)) return false;
  // A deadlock's victim is the youngest.
  if (a.begins && b.begins && a.may_lock && b.may_lock) return false;
  // The first waiter goes on first; and what a new request may pass depends on all that wait.
  if (a.blocks && (b.blocks || b.touches_locks())) return false;
  if (b.blocks && a.touches_locks()) return false;
  for (const Access& one : a.accesses) {
    for (const Access& other : b.accesses) {
      if (conflict(one, other)) return false;
    }
  }
  return true;
}

Footprints::Footprints(const Script& script, Cell cell) : script_(script), cell_(cell) {
  bool any_elsewhere = false;
  writes_.assign(script.sessions.size(), 0);
  std::deque<bool> open(script.sessions.size(), false);
  for (const Step& step : script.steps) {
    const RefersElsewhere elsewhere{script, step.session};
    bool global = false;
    for (const Command& command : step.commands) {
      look_at(command, open[step.session]);
      if (writes_or_locks(command)) writes_[step.session] = 1;
      any_elsewhere = any_elsewhere || elsewhere.of(command);
      global = global || elsewhere.of(command) || is_global(command.action);
    }
    is_global_.push_back(global ? 1 : 0);
  }
  // It runs commands of other steps again.
  for (std::size_t i = 0; i < script.steps.size(); ++i) {
    const auto& commands = script.steps[i].commands;
    const bool retries = std::any_of(commands.begin(), commands.end(), [](const Command& command) {
      return std::holds_alternative<RetryCommand>(command.action);
    });
    if (retries && any_elsewhere) is_global_[i] = 1;
  }
  restart();
}

void Footprints::note_levels(Isolation level, Locking locking) {
  has_pessimists_ = has_pessimists_ || locking == Locking::pessimistic;
  has_uncommitted_reads_ = has_uncommitted_reads_ || level == Isolation::read_uncommitted;
}

// Which transactions begin at which level: their own, or the cell's, as those of one command do.
// `open`: whether the session is surely in a transaction.
void Footprints::look_at(const Command& command, bool& open) {
  const bool surely = command.conditions.empty();
  if (const auto* begin = std::get_if<BeginCommand>(&command.action)) {
    uses_cell_ = uses_cell_ || !begin->level || !begin->locking;
    note_levels(begin->level.value_or(cell_.level), begin->locking.value_or(cell_.locking));
    open = open || surely;
    return;
  }
  const auto* rollback = std::get_if<RollbackCommand>(&command.action);
  if (std::holds_alternative<CommitCommand>(command.action) ||
      (rollback != nullptr && !rollback->savepoint)) {
    open = false;
  } else if (!open && std::visit(PlaceOf{{}}, command.action)) {
    uses_cell_ = true;
    note_levels(cell_.level, cell_.locking);
  }
}

void Footprints::restart() {
  transactions_.assign(script_.sessions.size(), Transaction());
  for (Transaction& transaction : transactions_) {
    transaction.level = cell_.level;
    transaction.locking = cell_.locking;
  }
}

Footprint Footprints::of(const std::vector<PlayEvent>& events,
                         const std::deque<StepRecord>& records) {
  Footprint footprint;
  for (const PlayEvent& event : events) {
    const StepRecord& record = records[*event.record];
    const std::size_t session = event.step->session;
    footprint.sessions |= std::uint64_t{1} << session;
    const auto index = static_cast<std::size_t>(event.step - script_.steps.data());
    if (is_global_[index] != 0) footprint.global = true;
    for (std::size_t i = event.from; i < event.to; ++i) {
      add(footprint, session, record.commands[i]);
    }
    if (event.waiting == nullptr) continue;
    footprint.blocks = true;
    // It touches what it waits for, and is not done.
    const Transaction before = transactions_[session];
    add(footprint, session, {event.waiting, Outcome::of({})});
    transactions_[session] = before;
  }
  return footprint;
}

void Footprints::add(Footprint& footprint, std::size_t session, const CommandRecord& done) {
  Transaction& transaction = transactions_[session];
  const Command& command = *done.command;
  const bool in_vain =
      done.outcome.error && done.outcome.error->code() == ErrorCode::transaction_finished;
  if (done.outcome.skipped || in_vain) return;
  if (const auto* begin = std::get_if<BeginCommand>(&command.action)) {
    if (done.outcome.error) return;
    transaction = Transaction();
    transaction.open = true;
    transaction.level = begin->level.value_or(cell_.level);
    transaction.locking = begin->locking.value_or(cell_.locking);
    begin_in(footprint, session, transaction.level, transaction.locking);
    return;
  }
  const auto* rollback = std::get_if<RollbackCommand>(&command.action);
  if (std::holds_alternative<CommitCommand>(command.action)) {
    add_end(footprint, transaction, true);
  } else if (rollback != nullptr) {
    add_end(footprint, transaction, false);
    if (rollback->savepoint) return;  // it goes on
    transaction = Transaction();
    return;
  } else {
    add_operation(footprint, session, command);
  }
  const bool ended = std::holds_alternative<CommitCommand>(command.action) ||
                     (done.outcome.error && ends_transaction(done.outcome.error->code()));
  if (!ended) return;
  if (done.outcome.error) add_end(footprint, transaction, false);
  transaction = Transaction();
}

void Footprints::begin_in(Footprint& footprint, std::size_t session, Isolation level,
                          Locking locking) const {
  footprint.begins = true;
  const bool locks_reads = level == Isolation::serializable && locking == Locking::pessimistic;
  footprint.may_lock =
      footprint.may_lock || locks_reads || (has_pessimists_ && writes_[session] != 0);
}

void Footprints::add_operation(Footprint& footprint, std::size_t session, const Command& command) {
  Transaction& transaction = transactions_[session];
  std::string keyspace = command.keyspace.value_or(std::string(default_keyspace_name));
  std::optional<Access> place;
  if (const auto* open = std::get_if<OpenCommand>(&command.action)) {
    place = place_of(open->scan.range, std::move(keyspace));
    transaction.cursors[open->cursor] = *place;
  } else if (const auto* next = std::get_if<NextCommand>(&command.action)) {
    const auto cursor = transaction.cursors.find(next->cursor);
    if (cursor != transaction.cursors.end()) place = cursor->second;
  } else {
    place = std::visit(PlaceOf{std::move(keyspace)}, command.action);
  }
  if (!place) return;
  if (transaction.open) {
    touch(footprint, transaction, command, std::move(*place));
    return;
  }
  // It commits by itself.
  Transaction own;
  own.level = cell_.level;
  own.locking = cell_.locking;
  begin_in(footprint, session, own.level, own.locking);
  touch(footprint, own, command, std::move(*place));
  add_end(footprint, own, true);
}

void Footprints::touch(Footprint& footprint, Transaction& transaction, const Command& command,
                       Access place) const {
  Manner manner = std::visit(MannerOf{}, command.action);
  if (const auto* open = std::get_if<OpenCommand>(&command.action)) manner.mode = open->scan.mode;
  // Which scan a cursor belongs to is not looked up: it may lock.
  if (std::holds_alternative<NextCommand>(command.action)) manner.mode = ReadMode::for_update;
  const bool pessimistic = transaction.locking == Locking::pessimistic;
  const bool serializable = transaction.level == Isolation::serializable;
  const bool keeps_snapshot = transaction.level >= Isolation::repeatable_read;
  const bool locking_read = manner.mode != ReadMode::plain;
  Access now = place;
  Access at_end = std::move(place);
  if (keeps_snapshot && !(serializable && pessimistic) && !transaction.has_snapshot) {
    footprint.takes_snapshot = true;
    transaction.has_snapshot = true;
  }
  const bool locks = pessimistic && (serializable || locking_read || manner.writes);
  if (!keeps_snapshot || locks) now.reads |= Access::committed;
  if (transaction.level == Isolation::read_uncommitted) now.reads |= Access::uncommitted;
  // What is validated at commit.
  if (!pessimistic && (serializable || locking_read || manner.writes)) {
    at_end.reads |= Access::committed;
  }
  if (manner.writes) {
    transaction.wrote = true;
    now.writes |= Access::uncommitted;
    at_end.writes |= Access::committed | Access::uncommitted;
    if (has_pessimists_) at_end.writes |= Access::locks;
  }
  const bool exclusive = manner.writes || manner.mode == ReadMode::for_update;
  if (locks && exclusive) {
    now.writes |= Access::locks;
    at_end.writes |= Access::locks;
  } else if (locks) {
    now.reads |= Access::locks;
    at_end.reads |= Access::locks;
  }
  if (!has_uncommitted_reads_) {
    now.writes = static_cast<std::uint8_t>(now.writes & ~Access::uncommitted);
    at_end.writes = static_cast<std::uint8_t>(at_end.writes & ~Access::uncommitted);
  }
  if ((now.reads | now.writes) != 0) footprint.accesses.push_back(std::move(now));
  if ((at_end.reads | at_end.writes) != 0) transaction.at_end.push_back(std::move(at_end));
}

void Footprints::add_end(Footprint& footprint, Transaction& transaction, bool commits) const {
  if (commits) {
    footprint.ends = true;
    if (transaction.wrote) footprint.publishes = true;
  }
  for (const Access& access : transaction.at_end) {
    Access ended = access;
    if (!commits) {
      ended.reads = static_cast<std::uint8_t>(ended.reads & ~Access::committed);
      ended.writes = static_cast<std::uint8_t>(ended.writes & ~Access::committed);
    }
    if ((ended.reads | ended.writes) != 0) footprint.accesses.push_back(std::move(ended));
  }
}

}  // namespace isolde::lab
