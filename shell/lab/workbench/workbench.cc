#include "lab/workbench/workbench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <utility>

#include "lab/play/play_json.h"
#include "lab/play/thread_turns.h"
#include "lab/play/transcript.h"
#include "lab/script/command_registry.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

using Reply = Workbench::Reply;
using Paint = Screen::Paint;

// Tells the host when a session was woken. It is added behind the turns, which know of the wake by
// then.
class Bell final : public Observer {
 public:
  explicit Bell(Host& host) : host_(host) {}
  void on_wake(const EventTransaction&, WakeReason) override { host_.woken(); }

 private:
  Host& host_;
};

constexpr std::size_t most_records_saved = 1'000;

std::string_view short_name(Isolation level) {
  constexpr std::array<std::string_view, all_levels.size()> names{"ru", "rc", "rr", "ser"};
  return names[static_cast<std::size_t>(level)];
}

}  // namespace

Workbench::Workbench(Setting setting, ScreenStyle style, Host& host)
    : setting_(std::move(setting)),
      screen_(style),
      host_(host),
      conductor_(playground_, std::make_shared<ThreadTurns>(), Conductor::SessionWait::at_once,
                 [this](const PlayEvent& event) { happened(event); }),
      bell_(std::make_shared<Bell>(host)) {
  conductor_.interrupt_when([&host] { return host.interrupted(); });
}

Workbench::~Workbench() {
  if (!playground_.is_open()) return;
  rollback_all();
  detach();
}

Result<void> Workbench::open() {
  if (auto attached = attach(); !attached) return attached;
  here_ = seat_for("A");
  return {};
}

Result<void> Workbench::attach() {
  auto opened = playground_.open(*setting_.directory, setting_.database);
  if (!opened) return opened;
  auto state = playground_.state_up_to(most_records_saved);
  if (!state) return state.error();
  origin_ = std::move(*state);
  origin_keyspaces_.clear();
  for (const Keyspace& keyspace : playground_.database().keyspaces()) {
    if (keyspace.name() != default_keyspace_name) origin_keyspaces_.push_back(keyspace.name());
  }
  // The sessions begin anew: they remember steps of theirs, for retry.
  std::vector<std::optional<Cell>> cells;  // of those that are open
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    cells.push_back(is_open(seat) ? std::optional(conductor_.session(seat)->cell()) : std::nullopt);
  }
  conductor_.restart();
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    conductor_.add_session(label_of(seat), cells[seat].value_or(setting_.cell));
    if (!cells[seat]) conductor_.close_session(seat);
    seats_[seat].steps = 0;
  }
  typed_.clear();
  step_names_.clear();
  abort_.reset();
  log_ = std::make_shared<SessionLog>([this](std::string_view session) -> std::string {
    const auto seat = find_seat(session);
    const StepRecord* record = seat ? conductor_.unfinished(*seat) : nullptr;
    return record == nullptr || record->current == nullptr ? std::string() : record->current->text;
  });
  // In this order: by the time that the turns say that a session is blocked, the log knows of what;
  // and by the time that the bell rings, the turns know which one was woken.
  playground_.database().add_observer(log_);
  conductor_.attach();
  playground_.database().add_observer(bell_);
  return {};
}

void Workbench::detach() {
  playground_.database().remove_observer(bell_);
  playground_.database().remove_observer(log_);
  conductor_.detach();
}

Reply Workbench::complain(std::string_view line, std::string_view name, std::size_t line_number,
                          const ScriptError& error) {
  const Source source{std::string(name), std::string(line)};
  std::string text = error.message;
  if (!name.empty()) {
    text = fmt::format("{}:{}:{}: {}", name, line_number, error.place.column, error.message);
  }
  // Its number is told above, or is of no use.
  constexpr std::size_t number_columns = 8;
  std::istringstream place(render_place(source, error.place));
  std::string below;
  for (std::string shown; std::getline(place, shown);) {
    below += "   " + shown.substr(std::min(number_columns, shown.size())) + '\n';
  }
  host_.show(screen_.complaint(text) + below, true);
  return Reply::misuse;
}

Reply Workbench::refuse(const std::string& message) {
  host_.show(screen_.complaint(message), true);
  return Reply::refused;
}

Reply Workbench::no_session(std::string_view name) {
  std::vector<std::string_view> names;
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (is_open(seat)) names.push_back(label_of(seat));
  }
  return refuse(fmt::format("there is no session {}{}; open it: session {}", name,
                            did_you_mean(name, names), name));
}

std::optional<std::size_t> Workbench::find_seat(std::string_view name) const {
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (label_of(seat) == name && is_open(seat)) return seat;
  }
  return std::nullopt;
}

// A session that was closed leaves its seat to the next one of its name.
std::size_t Workbench::seat_for(const std::string& name) {
  std::size_t seat = 0;
  while (seat < seats_.size() && label_of(seat) != name) ++seat;
  if (seat < seats_.size()) {
    conductor_.reopen_session(seat, name, setting_.cell);
  } else {
    seats_.emplace_back().name = name;
    conductor_.add_session(name, setting_.cell);
  }
  return seat;
}

std::optional<std::size_t> Workbench::addressed(const TypedLine& typed) {
  if (!typed.session) return here_;
  const auto seat = find_seat(*typed.session);
  if (!seat) static_cast<void>(no_session(*typed.session));
  return seat;
}

Reply Workbench::execute(std::string_view line, std::string_view name, std::size_t line_number) {
  auto parsed = parse_line(line);
  if (const auto* error = std::get_if<ScriptError>(&parsed)) {
    return complain(line, name, line_number, *error);
  }
  TypedLine& typed = std::get<TypedLine>(parsed);
  const auto seat = addressed(typed);
  if (!seat) return Reply::refused;
  if (typed.or_shell) {
    const bool close = typed.or_shell->verb == ShellVerb::close;
    const std::string& meant = *typed.or_shell->session;
    if (!typed.session &&
        (!close || (find_seat(meant) && !conductor_.session(*seat)->has_cursor(meant)))) {
      typed.shell = std::move(typed.or_shell);
    }
  }
  const auto began = Clock::now();
  Reply reply = Reply::done;
  if (typed.shell) {
    reply = run(*typed.shell, typed.session ? seat : std::nullopt);
  } else if (!typed.commands.empty()) {
    reply = play(*seat, std::move(typed));
  } else if (typed.session) {
    here_ = *seat;  // "B:" alone
  }
  if (screen_.style().timer && !screen_.json() && !over_) {
    show(screen_.painted(fmt::format("   {}", spelled(Clock::now() - began)), Paint::dim) + '\n');
  }
  return reply;
}

std::string Workbench::fresh_step_name(std::size_t seat) {
  std::string prefix = label_of(seat);
  std::transform(prefix.begin(), prefix.end(), prefix.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  for (;;) {
    std::string name = fmt::format("{}{}", prefix, ++seats_[seat].steps);
    if (step_names_.insert(name).second) return name;
  }
}

Reply Workbench::play(std::size_t seat, TypedLine line) {
  if (!playground_.is_open()) return refuse("the database has crashed; reopen it: reopen");
  if (seats_[seat].at != nullptr) {
    const std::vector<std::string> by = conductor_.turns().blockers(seat);
    return refuse(
        fmt::format("session {} waits for {}, so it can do nothing else; end that wait "
                    "from the other side, or by: cancel {}",
                    label_of(seat), fmt::join(by, " and "), label_of(seat)));
  }
  TypedStep& typed = typed_.emplace_back();
  typed.step.name = fresh_step_name(seat);
  typed.step.session = seat;
  typed.step.commands = std::move(line.commands);
  typed.step.text = std::move(line.text);
  typed.cell = conductor_.session(seat)->cell();
  typed.record = conductor_.records().size();
  seats_[seat].at = &typed;
  conductor_.play(typed.step);
  return Reply::done;
}

void Workbench::happened(const PlayEvent& event) {
  TypedStep& typed = *seats_[event.step->session].at;
  if (event.kind == PlayEvent::Kind::blocked) {
    show_block(typed, event);
    return;
  }
  seats_[event.step->session].at = nullptr;
  typed.done = true;
  const auto& error = record_of(typed).outcome.error;
  typed.by_hand = typed.by_hand || (error && error->code() == ErrorCode::cancelled);
  if (screen_.json()) {
    show(step_line(label_of(event.step->session), record_of(typed),
                   event.kind == PlayEvent::Kind::woken));
  }
  show_commands(typed, event);
}

// Those that came to an end; JSON has told of them already.
void Workbench::show_commands(const TypedStep& typed, const PlayEvent& event) {
  const std::string& name = label_of(typed.step.session);
  const StepRecord& step = record_of(typed);
  bool woken = event.kind == PlayEvent::Kind::woken;
  for (std::size_t i = event.from; i < event.to; ++i) {
    const CommandRecord& record = step.commands[i];
    note_abort(typed, record);
    if (screen_.json()) continue;
    std::string verb = ": ";
    if (woken) {
      const std::string after = screen_.style().clock
                                    ? " after " + spelled(Clock::now() - typed.blocked_at)
                                    : std::string();
      verb = fmt::format(" wakes{}: {} → ", after, printable(record.command->text));
      woken = false;
    } else if (step.commands.size() > 1) {
      verb = fmt::format(": {} → ", printable(record.command->text));
    }
    show(screen_.outcome(typed.step.session, name, verb, record.outcome));
    if (!record.outcome.error) continue;
    show(screen_.note(step.deadlock ? deadlock_sentence(*step.deadlock)
                                    : evidence_sentence(*record.outcome.error, name, playground_)));
  }
}

void Workbench::note_abort(const TypedStep& typed, const CommandRecord& record) {
  const auto& error = record.outcome.error;
  if (!error || !ends_transaction(error->code()) ||
      error->code() == ErrorCode::transaction_finished) {
    return;
  }
  abort_ = Abort{label_of(typed.step.session), typed.step.name, record.command->text, *error,
                 record_of(typed).deadlock};
}

void Workbench::show_block(TypedStep& typed, const PlayEvent& event) {
  const std::size_t seat = typed.step.session;
  if (!typed.blocked) {
    typed.blocked = Blocking{event.by, std::nullopt, false};
    typed.blocked_at = Clock::now();
  }
  if (screen_.json()) show(blocked_line(label_of(seat), record_of(typed), event.by));
  show_commands(typed, event);
  if (screen_.json()) return;
  const std::string head = screen_.session(seat, label_of(seat));
  if (conductor_.turns().waits_for_session(seat)) {
    show(
        fmt::format("{} {}\n", head,
                    screen_.painted(fmt::format("waits until {} goes on", fmt::join(event.by, " ")),
                                    Paint::waiting)));
    return;
  }
  const auto wait = log_->wait(label_of(seat));
  if (!wait) return;
  for (std::size_t i = 0; i < wait->edges.size(); ++i) {
    const LockWaitEdge& edge = wait->edges[i];
    const std::string text = screen_.edge(edge, log_->reason_of(edge), std::nullopt);
    show(fmt::format(
        "{} {}\n", head,
        screen_.painted(fmt::format("{}: {}", i == 0 ? "waits" : "and", text), Paint::waiting)));
  }
}

// Of one that still waits: that it does.
Outcome Workbench::outcome_of(const TypedStep& typed) const {
  if (typed.done) return record_of(typed).outcome;
  Outcome outcome = Outcome::of({});
  outcome.blocked = typed.blocked;
  return outcome;
}

void Workbench::settle() { conductor_.settle(); }

bool Workbench::is_busy(std::size_t seat) const {
  return is_open(seat) &&
         (seats_[seat].at != nullptr || conductor_.session(seat)->in_transaction());
}

std::string Workbench::state_of(std::size_t seat) const {
  if (!playground_.is_open()) return "crashed";
  if (seats_[seat].at != nullptr) return "waits";
  const Session& session = *conductor_.session(seat);
  if (session.in_transaction()) {
    return session.transaction()->read_only() ? "open read only" : "open";
  }
  return session.is_aborted() ? "aborted" : "";
}

std::string Workbench::prompt(bool marked) const {
  const Session& session = *conductor_.session(here_);
  Cell cell = session.cell();
  if (const Transaction* txn = session.transaction(); txn != nullptr) {
    cell = {txn->isolation(), txn->locking()};
  }
  const std::string state = state_of(here_);
  std::string escape = screen_.session_escape(here_);
  std::string reset = escape.empty() ? "" : "\x1b[0m";
  if (marked && !escape.empty()) {
    escape = '\001' + escape + '\002';
    reset = '\001' + reset + '\002';
  }
  return fmt::format("{}{}{}[{} {}{}{}]> ", escape, label_of(here_), reset, short_name(cell.level),
                     name(cell.locking), state.empty() ? "" : " ", state);
}

void Workbench::rollback_all() {
  conductor_.end();
  for (Seat& seat : seats_) seat.at = nullptr;
}

bool Workbench::finish() {
  if (!playground_.is_open()) return true;
  bool whole = true;
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (!is_busy(seat)) continue;
    host_.show(fmt::format("{} {}: rolled back, for the input ends here\n", label_of(seat),
                           seats_[seat].at != nullptr ? "still waits" : "has a transaction open"),
               true);
    whole = false;
  }
  rollback_all();
  detach();
  if (auto closed = playground_.close(); !closed) {
    static_cast<void>(refuse("closing the database: " + closed.error().to_string()));
    return false;
  }
  return whole;
}

bool Workbench::interrupt() {
  if (seats_[here_].at == nullptr) return false;
  return cancel(here_) == Reply::done;
}

}  // namespace isolde::lab
