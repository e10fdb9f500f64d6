#include "lab/workbench/workbench.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <utility>

#include "lab/play/run_json.h"
#include "lab/play/transcript.h"
#include "lab/script/command_registry.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

using Reply = Workbench::Reply;
using Paint = Screen::Paint;

// Tells the host when a session was woken. It is added behind ThreadTurns, which knows of the wake
// by then.
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
      script_{Source("", ""), {}, {}, {}, {}, {}, {}, {}},
      context_{script_, playground_, setting_.cell, {}, nullptr},
      turns_(std::make_shared<ThreadTurns>()),
      bell_(std::make_shared<Bell>(host)) {
  context_.turns = turns_.get();
  context_.interrupted = [&host] { return host.interrupted(); };
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
  // The sessions remember steps of theirs, for retry.
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (!seats_[seat].session) continue;
    seats_[seat].session = std::make_unique<Session>(label_of(seat), context_);
    seats_[seat].steps = 0;
  }
  typed_.clear();
  step_names_.clear();
  abort_.reset();
  context_.bindings.clear();
  log_ = std::make_shared<SessionLog>([this](std::string_view session) -> std::string {
    const auto seat = find_seat(session);
    if (!seat || seats_[*seat].at == nullptr) return {};
    const Command* command = seats_[*seat].at->record.current;
    return command == nullptr ? std::string() : command->text;
  });
  // In this order: by the time that ThreadTurns says that somebody is blocked, the log knows of
  // what; and by the time that the bell rings, ThreadTurns knows who was woken.
  playground_.database().add_observer(log_);
  playground_.database().add_observer(turns_);
  playground_.database().add_observer(bell_);
  return {};
}

void Workbench::detach() {
  playground_.database().remove_observer(bell_);
  playground_.database().remove_observer(log_);
  playground_.database().remove_observer(turns_);
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
    if (seats_[seat].session) names.push_back(script_.sessions[seat].name);
  }
  return refuse(fmt::format("there is no session {}{}; open it: session {}", name,
                            did_you_mean(name, names), name));
}

std::optional<std::size_t> Workbench::find_seat(std::string_view name) const {
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (script_.sessions[seat].name == name && seats_[seat].session) return seat;
  }
  return std::nullopt;
}

// A session that was closed leaves its seat to the next one of its name.
std::size_t Workbench::seat_for(const std::string& name) {
  std::size_t seat = 0;
  while (seat < seats_.size() && script_.sessions[seat].name != name) ++seat;
  if (seat == seats_.size()) {
    turns_->add(name);
    script_.sessions.push_back({name, {}});
    seats_.emplace_back();
  }
  seats_[seat].session = std::make_unique<Session>(name, context_);
  seats_[seat].cell = setting_.cell;
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
        (!close || (find_seat(meant) && !seats_[*seat].session->has_cursor(meant)))) {
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
    const std::vector<std::string> by = turns_->blockers(seat);
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
  typed.cell = seats_[seat].cell;
  typed.began = Clock::now();
  seats_[seat].at = &typed;
  current_ = &typed.step;
  context_.cell = typed.cell;
  Session& session = *seats_[seat].session;
  turns_->run(seat, [&session, &typed] { session.play(typed.step, typed.record); });
  follow(seat);
  settle_now();
  current_ = nullptr;
  return Reply::done;
}

// What has come of the turn that a session had.
void Workbench::follow(std::size_t seat) {
  TypedStep& typed = *seats_[seat].at;
  if (turns_->state(seat) != ThreadTurns::State::idle) {
    show_block(seat);
    return;
  }
  seats_[seat].at = nullptr;
  typed.done = true;
  typed.record.deadlock = turns_->take_deadlock(seat);
  const auto& error = typed.record.outcome.error;
  typed.by_hand = typed.by_hand || (error && error->code() == ErrorCode::cancelled);
  const bool woken = typed.blocked.has_value();
  if (woken) {
    typed.blocked->finished = true;
    if (current_ != nullptr) typed.blocked->until = current_->name;
    typed.record.outcome.blocked = typed.blocked;
  }
  show_commands(typed, woken);
}

void Workbench::show_commands(TypedStep& typed, bool woken) {
  const std::string& name = script_.sessions[typed.step.session].name;
  if (screen_.json() && typed.done) {
    show(step_line(name, typed.record, woken));
    for (std::size_t i = typed.told; i < typed.record.commands.size(); ++i) {
      note_abort(typed, typed.record.commands[i]);
    }
    typed.told = typed.record.commands.size();
    return;
  }
  for (; typed.told < typed.record.commands.size(); ++typed.told) {
    const CommandRecord& record = typed.record.commands[typed.told];
    std::string verb = ": ";
    if (woken) {
      const std::string after = screen_.style().clock
                                    ? " after " + spelled(Clock::now() - typed.blocked_at)
                                    : std::string();
      verb = fmt::format(" wakes{}: {} → ", after, printable(record.command->text));
      woken = false;
    } else if (typed.record.commands.size() > 1) {
      verb = fmt::format(": {} → ", printable(record.command->text));
    }
    show(screen_.outcome(typed.step.session, name, verb, record.outcome));
    note_abort(typed, record);
    if (!record.outcome.error) continue;
    show(screen_.note(typed.record.deadlock
                          ? deadlock_sentence(*typed.record.deadlock)
                          : evidence_sentence(*record.outcome.error, name, playground_)));
  }
}

void Workbench::note_abort(const TypedStep& typed, const CommandRecord& record) {
  const auto& error = record.outcome.error;
  if (!error || !ends_transaction(error->code()) ||
      error->code() == ErrorCode::transaction_finished) {
    return;
  }
  abort_ = Abort{script_.sessions[typed.step.session].name, typed.step.name, record.command->text,
                 *error, typed.record.deadlock};
}

void Workbench::show_block(std::size_t seat) {
  TypedStep& typed = *seats_[seat].at;
  const std::vector<std::string> by = turns_->blockers(seat);
  if (!typed.blocked) {
    typed.blocked = Blocking{by, std::nullopt, false};
    typed.blocked_at = Clock::now();
  }
  if (screen_.json()) {
    show(blocked_line(label_of(seat), typed.record, by));
    return;
  }
  show_commands(typed, false);
  const std::string head = screen_.session(seat, label_of(seat));
  if (turns_->waited_for(seat)) {
    show(fmt::format("{} {}\n", head,
                     screen_.painted(fmt::format("waits until {} goes on", fmt::join(by, " ")),
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

void Workbench::settle() {
  current_ = nullptr;
  settle_now();
}

void Workbench::settle_now() {
  do {
    while (const auto woken = turns_->next_woken()) {
      context_.cell = seats_[*woken].cell;
      turns_->resume(*woken);
      follow(*woken);
    }
  } while (end_a_wait());
}

bool Workbench::end_a_wait() {
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    const auto other = turns_->waited_for(seat);
    if (!other || turns_->state(*other) != ThreadTurns::State::idle) continue;
    turns_->end_wait(seat);
    return true;
  }
  return false;
}

bool Workbench::clock_can_wake() const {
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (seats_[seat].at != nullptr && seats_[seat].session->has_timeout() &&
        turns_->state(seat) == ThreadTurns::State::blocked) {
      return true;
    }
  }
  return false;
}

std::string Workbench::state_of(std::size_t seat) const {
  if (!playground_.is_open()) return "crashed";
  if (seats_[seat].at != nullptr) return "waits";
  const Session& session = *seats_[seat].session;
  if (session.in_transaction()) {
    return session.transaction()->read_only() ? "open read only" : "open";
  }
  return session.is_aborted() ? "aborted" : "";
}

std::string Workbench::prompt(bool marked) const {
  const Seat& seat = seats_[here_];
  Cell cell = seat.cell;
  if (const Transaction* txn = seat.session->transaction(); txn != nullptr) {
    cell = {txn->isolation(), txn->locking()};
  }
  const std::string state = state_of(here_);
  std::string escape = screen_.session_escape(here_);
  std::string reset = escape.empty() ? "" : "\x1b[0m";
  if (marked && !escape.empty()) {
    escape = '\001' + escape + '\002';
    reset = '\001' + reset + '\002';
  }
  return fmt::format("{}{}{}[{} {}{}{}]> ", escape, script_.sessions[here_].name, reset,
                     short_name(cell.level), name(cell.locking), state.empty() ? "" : " ", state);
}

// Those who wait are cancelled first: nothing that they asked for may come to happen because the
// others go.
void Workbench::rollback_all() {
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (seats_[seat].session) seats_[seat].session->stop();
    if (turns_->waited_for(seat)) turns_->end_wait(seat);
    if (const auto wait = log_->wait(label_of(seat))) playground_.database().cancel(wait->id);
  }
  for (;;) {
    while (const auto woken = turns_->next_woken()) turns_->resume(*woken);
    bool waiting = false;
    for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
      waiting = waiting || turns_->state(seat) != ThreadTurns::State::idle;
    }
    if (!waiting) break;
    turns_->await_wake();
  }
  for (Seat& seat : seats_) {
    seat.at = nullptr;
    if (seat.session) seat.session->finish();
  }
}

bool Workbench::finish() {
  if (!playground_.is_open()) return true;
  bool whole = true;
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (!seats_[seat].session) continue;
    const bool waits = seats_[seat].at != nullptr;
    if (!waits && !seats_[seat].session->in_transaction()) continue;
    host_.show(fmt::format("{} {}: rolled back, for the input ends here\n", label_of(seat),
                           waits ? "still waits" : "has a transaction open"),
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
