#include "lab/play/conductor.h"

#include <algorithm>
#include <utility>

namespace isolde::lab {
namespace {

using Kind = PlayEvent::Kind;

std::vector<std::string> names_of(const Script& script) {
  std::vector<std::string> names;
  names.reserve(script.sessions.size());
  for (const SessionDefinition& session : script.sessions) names.push_back(session.name);
  return names;
}

bool has_holds(const Script& script) {
  return std::any_of(script.steps.begin(), script.steps.end(), [](const Step& step) {
    return std::any_of(step.commands.begin(), step.commands.end(), [](const Command& command) {
      return std::holds_alternative<HoldCommand>(command.action);
    });
  });
}

}  // namespace

Conductor::Conductor(SessionContext& stage)
    : context_(stage), turns_(std::make_shared<ThreadTurns>(names_of(stage.script))) {
  context_.turns = turns_.get();
  for (const SessionDefinition& session : stage.script.sessions) {
    sessions_.emplace_back(session.name, context_);
  }
  in_progress_.resize(sessions_.size());
  context_.playground.database().add_observer(turns_);
  if (has_inner_places() && has_holds(stage.script)) {
    places_ = std::make_unique<InnerPlaces>(&ThreadTurns::reached);
    turns_->allow_holds(true);
  }
}

Conductor::~Conductor() {
  clear();
  places_.reset();
  context_.playground.database().remove_observer(turns_);
  context_.turns = nullptr;
}

bool Conductor::play(const Schedule& schedule, const std::function<bool()>& stop) {
  for (const std::size_t index : schedule.steps) {
    if (stop && stop()) return false;
    const Step& step = context_.script.steps[index];
    scheduled_ = &step;
    if (can_play(step)) {
      start(step);
    } else {
      defer(step);
    }
    settle();
    let_go(step.name);
  }
  let_go(std::nullopt);
  scheduled_ = nullptr;
  while (clock_can_wake()) {
    turns_->await_wake();
    settle();
  }
  return true;
}

// A step may not overtake those of its session that were deferred.
bool Conductor::can_play(const Step& step) const {
  return !in_progress_[step.session] &&
         std::none_of(deferred_.begin(), deferred_.end(),
                      [&step](const Step* other) { return other->session == step.session; });
}

void Conductor::defer(const Step& step) {
  PlayEvent event;
  event.kind = Kind::deferred;
  event.step = &step;
  event.by = turns_->blockers(step.session);
  events_.push_back(std::move(event));
  deferred_.push_back(&step);
}

void Conductor::start(const Step& step) {
  in_progress_[step.session] = Progress{records_.size(), 0, std::nullopt};
  StepRecord& record = records_.emplace_back();
  record.step = &step;
  Session& session = sessions_[step.session];
  turns_->run(step.session, [&session, &step, &record] { session.play(step, record); });
  follow(step.session);
}

// What has come of the turn that a session had.
void Conductor::follow(std::size_t session) {
  if (turns_->state(session) == ThreadTurns::State::idle) {
    finish_step(session);
  } else if (!turns_->waited_for(session)) {
    announce_blocked(session);
  }
}

void Conductor::finish_step(std::size_t session) {
  Progress progress = std::move(*in_progress_[session]);
  in_progress_[session].reset();
  StepRecord& record = records_[progress.record];
  record.deadlock = turns_->take_deadlock(session);
  PlayEvent event;
  event.kind = progress.blocked ? Kind::woken : Kind::done;
  event.step = record.step;
  event.record = progress.record;
  event.from = progress.told;
  event.to = record.commands.size();
  events_.push_back(std::move(event));
  record.outcome.blocked = std::move(progress.blocked);
  if (!record.outcome.blocked) return;
  record.outcome.blocked->finished = true;
  if (scheduled_ != nullptr) record.outcome.blocked->until = scheduled_->name;
}

void Conductor::announce_blocked(std::size_t session) {
  Progress& progress = *in_progress_[session];
  const StepRecord& record = records_[progress.record];
  PlayEvent event;
  event.kind = Kind::blocked;
  event.step = record.step;
  event.record = progress.record;
  event.from = progress.told;
  event.to = record.commands.size();
  event.waiting = record.current;
  event.by = turns_->blockers(session);
  progress.told = event.to;
  if (!progress.blocked) progress.blocked = Blocking{event.by, std::nullopt, false};
  events_.push_back(std::move(event));
}

void Conductor::settle() {
  for (;;) {
    if (const auto woken = turns_->next_woken()) {
      turns_->resume(*woken);
      follow(*woken);
    } else if (end_a_wait() || play_a_deferred_step()) {
      continue;
    } else if (is_waiting_silently() && clock_can_wake()) {
      turns_->await_wake();
    } else {
      break;
    }
  }
  // A wait that time alone does not end is ended by a later step, or not at all.
  for (std::size_t session = 0; session < sessions_.size(); ++session) {
    if (in_progress_[session] && !in_progress_[session]->blocked && turns_->waited_for(session)) {
      announce_blocked(session);
    }
  }
}

bool Conductor::end_a_wait() {
  for (std::size_t session = 0; session < sessions_.size(); ++session) {
    const auto other = turns_->waited_for(session);
    if (!other || turns_->state(*other) != ThreadTurns::State::idle) continue;
    turns_->end_wait(session);
    return true;
  }
  return false;
}

bool Conductor::play_a_deferred_step() {
  const auto ready = std::find_if(deferred_.begin(), deferred_.end(), [this](const Step* step) {
    return !in_progress_[step->session];
  });
  if (ready == deferred_.end()) return false;
  const Step& step = **ready;
  deferred_.erase(ready);
  start(step);
  return true;
}

void Conductor::let_go(const std::optional<std::string>& step) {
  if (!places_) return;
  turns_->let_go(step);
  settle();
}

bool Conductor::clock_can_wake() const {
  for (std::size_t session = 0; session < sessions_.size(); ++session) {
    if (turns_->state(session) == ThreadTurns::State::blocked && !turns_->waited_for(session) &&
        !turns_->is_held(session) && sessions_[session].has_timeout()) {
      return true;
    }
  }
  return false;
}

bool Conductor::is_waiting_silently() const {
  for (std::size_t session = 0; session < sessions_.size(); ++session) {
    if (in_progress_[session] && !in_progress_[session]->blocked && turns_->waited_for(session)) {
      return true;
    }
  }
  return false;
}

std::vector<StepRecord> Conductor::steps() const {
  std::vector<StepRecord> steps(records_.begin(), records_.end());
  for (const auto& progress : in_progress_) {
    if (!progress) continue;
    steps[progress->record].outcome = Outcome::of({});
    steps[progress->record].outcome.blocked = progress->blocked;
  }
  return steps;
}

std::map<std::string, std::vector<Ending>> Conductor::endings() const {
  std::map<std::string, std::vector<Ending>> endings;
  for (const Session& session : sessions_) endings[session.name()] = session.endings();
  return endings;
}

void Conductor::clear() {
  for (Session& session : sessions_) session.stop();
  turns_->allow_holds(false);
  turns_->let_go(std::nullopt);
  for (;;) {
    for (std::size_t session = 0; session < sessions_.size(); ++session) {
      if (turns_->waited_for(session)) turns_->end_wait(session);
      if (turns_->state(session) == ThreadTurns::State::idle) sessions_[session].finish();
    }
    while (const auto woken = turns_->next_woken()) turns_->resume(*woken);
    std::size_t waiting = 0;
    std::size_t open = 0;
    for (std::size_t session = 0; session < sessions_.size(); ++session) {
      const bool idle = turns_->state(session) == ThreadTurns::State::idle;
      waiting += idle ? 0 : 1;
      open += idle && sessions_[session].in_transaction() ? 1 : 0;
    }
    if (waiting == 0) break;
    if (open != 0) continue;
    // They wait for each other: a deadlock that the engine has not seen.
    const LockState locks = context_.playground.database().locks();
    if (!clock_can_wake() && !locks.awaited.empty()) {
      context_.playground.database().cancel(locks.awaited.front().waiter.id);
    } else {
      turns_->await_wake();
    }
  }
  for (Session& session : sessions_) session.finish();
}

}  // namespace isolde::lab
