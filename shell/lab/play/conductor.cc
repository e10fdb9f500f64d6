#include "lab/play/conductor.h"

#include <algorithm>
#include <utility>

namespace isolde::lab {
namespace {

using Kind = PlayEvent::Kind;
using Wait = Turns::Wait;

}  // namespace

Conductor::Conductor(Playground& playground, std::shared_ptr<Turns> turns, SessionWait session_wait,
                     Listener listener)
    : session_wait_(session_wait),
      listener_(std::move(listener)),
      turns_(std::move(turns)),
      context_{playground, {}, turns_.get(), {}} {}

void Conductor::attach() {
  context_.playground.database().add_observer(turns_);
  attached_ = true;
}

void Conductor::detach() {
  if (!attached_) return;
  end();
  context_.playground.database().remove_observer(turns_);
  attached_ = false;
}

void Conductor::interrupt_when(std::function<bool()> interrupted) {
  context_.interrupted = std::move(interrupted);
}

std::variant<std::vector<CommandRecord>, PlayFailure> Conductor::play_setup(
    const std::vector<Command>& setup, Cell cell) {
  Session session("setup", context_, cell);
  std::vector<CommandRecord> records;
  for (const Command& command : setup) {
    Outcome outcome = session.execute(command);
    const auto* put = std::get_if<PutCommand>(&command.action);
    const bool there_already = put != nullptr && put->insert && outcome.error &&
                               outcome.error->code() == ErrorCode::already_exists;
    if (outcome.error && !there_already) return PlayFailure{command.place, *outcome.error};
    records.push_back({&command, std::move(outcome)});
  }
  return records;
}

std::size_t Conductor::add_session(std::string name, Cell cell) {
  const std::size_t session = turns_->add(name);
  sessions_.push_back(std::make_unique<Session>(std::move(name), context_, cell));
  unfinished_.emplace_back();
  return session;
}

void Conductor::reopen_session(std::size_t session, std::string name, Cell cell) {
  sessions_[session] = std::make_unique<Session>(std::move(name), context_, cell);
}

bool Conductor::play(const Script& script, const std::vector<std::size_t>& steps,
                     const std::function<bool()>& stop) {
  for (const std::size_t index : steps) {
    if (stop && stop()) return false;
    const Step& step = script.steps[index];
    if (can_play(step.session)) {
      play(step);
    } else {
      defer(step);
      settle_after(step);
    }
  }
  if (turns_->let_all_go()) go_on();
  current_ = nullptr;
  while (let_time_pass()) continue;
  return true;
}

// A step may not overtake those of its session that were deferred.
bool Conductor::can_play(std::size_t session) const {
  return !unfinished_[session] &&
         std::none_of(deferred_.begin(), deferred_.end(),
                      [session](const Step* other) { return other->session == session; });
}

void Conductor::play(const Step& step) {
  current_ = &step;
  start(step);
  settle_after(step);
}

void Conductor::settle_after(const Step& step) {
  current_ = &step;
  go_on();
  if (turns_->let_go(step.name)) go_on();
}

void Conductor::defer(const Step& step) {
  listener_({Kind::deferred, &step, std::nullopt, 0, 0, nullptr, turns_->blockers(step.session)});
  deferred_.push_back(&step);
}

void Conductor::start(const Step& step) {
  const std::size_t session = step.session;
  unfinished_[session] = Unfinished{&step, records_.size(), 0, std::nullopt};
  records_.emplace_back().step = &step;
  turns_->run(session, [this, session] {
    const Unfinished& at = *unfinished_[session];
    sessions_[session]->play(*at.step, records_[at.record]);
  });
  follow(session);
}

// What has come of the turn that a session had.
void Conductor::follow(std::size_t session) {
  const Turns::Standing standing = turns_->standing(session);
  if (standing.state == Turns::State::idle) {
    finish_step(session);
  } else if (standing.wait != Wait::session || session_wait_ == SessionWait::at_once) {
    tell_blocked(session);
  }
}

void Conductor::finish_step(std::size_t session) {
  Unfinished done = std::move(*unfinished_[session]);
  unfinished_[session].reset();
  StepRecord& record = records_[done.record];
  record.deadlock = turns_->take_deadlock(session);
  const Kind kind = done.blocked ? Kind::woken : Kind::done;
  if (done.blocked) {
    done.blocked->finished = true;
    if (current_ != nullptr) done.blocked->until = current_->name;
    record.outcome.blocked = std::move(done.blocked);
  }
  listener_({kind, done.step, done.record, done.told, record.commands.size(), nullptr, {}});
}

void Conductor::tell_blocked(std::size_t session) {
  Unfinished& at = *unfinished_[session];
  const StepRecord& record = records_[at.record];
  const std::size_t told = std::exchange(at.told, record.commands.size());
  std::vector<std::string> by = turns_->blockers(session);
  if (!at.blocked) at.blocked = Blocking{by, std::nullopt, false};
  listener_({Kind::blocked, at.step, at.record, told, at.told, record.current, std::move(by)});
}

void Conductor::settle() {
  current_ = nullptr;
  go_on();
}

void Conductor::go_on() {
  for (;;) {
    if (const auto woken = turns_->next_woken()) {
      turns_->resume(*woken);
      follow(*woken);
    } else if (end_a_wait() || play_a_deferred_step()) {
      continue;
    } else if (const auto first = any_waits_untold() ? next_timeout() : std::nullopt) {
      follow(turns_->let_time_pass(*first));
    } else {
      break;
    }
  }
  // A wait that time alone does not end is ended by a later step, or not at all.
  for (std::size_t session = 0; session < sessions_.size(); ++session) {
    if (waits_untold(session)) tell_blocked(session);
  }
}

bool Conductor::end_a_wait() {
  for (std::size_t session = 0; session < sessions_.size(); ++session) {
    if (!unfinished_[session]) continue;
    const Turns::Standing standing = turns_->standing(session);
    if (standing.wait != Wait::session || !turns_->is_idle(standing.other)) continue;
    turns_->end_wait(session);
    return true;
  }
  return false;
}

bool Conductor::play_a_deferred_step() {
  const auto ready = std::find_if(deferred_.begin(), deferred_.end(),
                                  [this](const Step* step) { return !unfinished_[step->session]; });
  if (ready == deferred_.end()) return false;
  const Step& step = **ready;
  deferred_.erase(ready);
  start(step);
  return true;
}

bool Conductor::let_time_pass() {
  current_ = nullptr;
  const auto first = next_timeout();
  if (!first) return false;
  follow(turns_->let_time_pass(*first));
  go_on();
  return true;
}

std::optional<std::size_t> Conductor::next_timeout() const {
  std::optional<std::size_t> first;
  for (std::size_t session = 0; session < sessions_.size(); ++session) {
    if (!unfinished_[session] || !sessions_[session]->timeout()) continue;
    if (turns_->standing(session).wait != Wait::lock) continue;
    if (!first || sessions_[session]->timeout() < sessions_[*first]->timeout()) first = session;
  }
  return first;
}

bool Conductor::waits_untold(std::size_t session) const {
  return session_wait_ == SessionWait::if_time_does_not_help && unfinished_[session] &&
         !unfinished_[session]->blocked && turns_->waits_for_session(session);
}

bool Conductor::any_waits_untold() const {
  if (session_wait_ == SessionWait::at_once) return false;
  for (std::size_t session = 0; session < sessions_.size(); ++session) {
    if (waits_untold(session)) return true;
  }
  return false;
}

bool Conductor::cancel(std::size_t session) {
  if (turns_->waits_for_session(session)) {
    turns_->end_wait(session);
  } else if (const auto waiting = turns_->waiting_transaction(session)) {
    context_.playground.database().cancel(*waiting);
  } else {
    return false;
  }
  return true;
}

bool Conductor::resume_woken() {
  bool any = false;
  for (auto woken = turns_->next_woken(); woken; woken = turns_->next_woken()) {
    turns_->resume(*woken);
    any = true;
  }
  return any;
}

void Conductor::end() {
  for (const auto& session : sessions_) {
    if (session) session->stop();
  }
  // The held go on first: one may have a mutex of the engine that a cancellation needs.
  turns_->end_holds();
  if (turns_->let_all_go()) resume_woken();
  // Waits are cancelled before anything is rolled back: what a session has asked for must not come
  // to happen because another one goes. A cancelled session may be about to wait once more.
  for (;;) {
    std::optional<std::size_t> waiting;
    for (std::size_t session = 0; session < sessions_.size(); ++session) {
      if (turns_->is_idle(session)) continue;
      waiting = session;
      cancel(session);
    }
    if (!waiting) break;
    if (!resume_woken()) turns_->let_time_pass(*waiting);  // its wake is under way
  }
  for (const auto& session : sessions_) {
    if (session) session->finish();
  }
  unfinished_.assign(sessions_.size(), std::nullopt);
  deferred_.clear();
}

void Conductor::restart() {
  end();
  sessions_.clear();
  unfinished_.clear();
  records_.clear();
  turns_->clear();
  context_.bindings.clear();
  current_ = nullptr;
}

const StepRecord* Conductor::unfinished(std::size_t session) const {
  const auto& at = unfinished_[session];
  return at ? &records_[at->record] : nullptr;
}

std::deque<StepRecord> Conductor::take_records() {
  for (const auto& session : sessions_) {
    if (session) session->stop();
  }
  for (const auto& at : unfinished_) {
    if (!at) continue;
    records_[at->record].outcome = Outcome::of({});
    records_[at->record].outcome.blocked = at->blocked;
  }
  return std::move(records_);
}

}  // namespace isolde::lab
