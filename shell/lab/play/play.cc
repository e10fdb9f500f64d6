#include "lab/play/play.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "lab/check/checker.h"
#include "lab/history/recorder.h"
#include "lab/play/thread_turns.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

// Whether any step of the script has a command of this kind.
template <typename Kind>
bool has(const Script& script) {
  return std::any_of(script.steps.begin(), script.steps.end(), [](const Step& step) {
    return std::any_of(step.commands.begin(), step.commands.end(), [](const Command& command) {
      return std::holds_alternative<Kind>(command.action);
    });
  });
}

// Transactions that wait, through others, for themselves; by label, in the order of the waits.
std::vector<std::string> waits_in_a_circle(const LockState& locks) {
  std::map<std::uint64_t, const AwaitedLock*> waits;
  for (const AwaitedLock& wait : locks.awaited) waits[wait.waiter.id.value] = &wait;
  for (const AwaitedLock& start : locks.awaited) {
    std::vector<std::string> circle;
    std::set<std::uint64_t> seen;
    const std::function<bool(const AwaitedLock&)> leads_back = [&](const AwaitedLock& wait) {
      circle.push_back(wait.waiter.label);
      for (const LockWaitEdge& edge : wait.waits_for) {
        const std::uint64_t holder = edge.holder.id.value;
        if (holder == start.waiter.id.value) return true;
        const auto next = waits.find(holder);
        if (next != waits.end() && seen.insert(holder).second && leads_back(*next->second)) {
          return true;
        }
      }
      circle.pop_back();
      return false;
    };
    if (leads_back(start)) return circle;
  }
  return {};
}

// Plays one schedule and judges it; every part of it that can fail says so by a PlayFailure.
class Playing {
 public:
  Playing(const Script& script, std::size_t schedule, Cell cell, Playground& playground)
      : script_(script), schedule_(script.schedules[schedule]), playground_(playground) {
    play_.script = &script;
    play_.schedule = schedule;
    play_.cell = cell;
  }

  PlayResult run(const std::function<bool()>& stop) && {
    playground_.database().add_observer(recorder_);
    auto failure = play_steps(stop);
    playground_.database().remove_observer(recorder_);
    if (failure) return std::move(*failure);
    check_finals();
    check_invariants();
    check_outcomes();
    check_verdicts();
    return std::move(play_);
  }

 private:
  std::optional<PlayFailure> play_steps(const std::function<bool()>& stop) {
    const auto turns = std::make_shared<ThreadTurns>();
    if (has<HoldCommand>(script_)) turns->allow_holds();
    Conductor conductor(playground_, turns, Conductor::SessionWait::if_time_does_not_help,
                        [this](const PlayEvent& event) { play_.events.push_back(event); });
    conductor.attach();
    auto setup = conductor.play_setup(script_.setup, play_.cell);
    if (auto* failure = std::get_if<PlayFailure>(&setup)) return std::move(*failure);
    play_.setup = std::get<std::vector<CommandRecord>>(std::move(setup));
    for (const SessionDefinition& session : script_.sessions) {
      conductor.add_session(session.name, play_.cell);
    }
    if (!conductor.play(script_, schedule_.steps, stop)) {
      return PlayFailure{std::nullopt, Error(ErrorCode::cancelled, "interrupted")};
    }
    return judge(conductor);
  }

  // As of the end of the schedule: what happens after it, to end what is still open, is no part of
  // the play.
  std::optional<PlayFailure> judge(Conductor& conductor) {
    play_.unseen_deadlock = waits_in_a_circle(playground_.database().locks());
    if (!play_.unseen_deadlock.empty()) {
      play_.checks.push_back(
          {schedule_.place, "deadlock", "to be seen and broken",
           fmt::format("{} wait for each other for ever", fmt::join(play_.unseen_deadlock, " ")),
           false});
    }
    playground_.database().remove_observer(recorder_);
    play_.verdict = check(history());
    play_.steps = conductor.take_records();
    for (std::size_t session = 0; session < conductor.session_count(); ++session) {
      const Session& ended = *conductor.session(session);
      play_.endings[ended.name()] = ended.endings();
    }
    bindings_ = conductor.bindings();
    if (auto failure = read_state()) return failure;
    for (const StepRecord& record : play_.steps) check_step(record);
    for (const Step* step : conductor.never_played()) {
      play_.checks.push_back({step->place, "step " + step->name, "to be played",
                              fmt::format("session {} is still blocked when the schedule ends",
                                          script_.sessions[step->session].name),
                              false});
    }
    return std::nullopt;
  }

  // What was recorded, with the keyspaces named as in the script.
  History history() const {
    History history = recorder_->history();
    for (HistoryKey& key : history.keys) key.keyspace = playground_.script_name(key.keyspace);
    for (HistoryRange& range : history.ranges) {
      range.keyspace = playground_.script_name(range.keyspace);
    }
    return history;
  }

  std::optional<PlayFailure> read_state() {
    auto state = playground_.state();
    if (!state) return PlayFailure{std::nullopt, state.error()};
    play_.state = std::move(*state);
    const State& origin = playground_.origin();
    for (const auto& [place, value] : play_.state) {
      const auto before = origin.find(place);
      if (before == origin.end() || before->second != value) play_.changes[place] = value;
    }
    for (const auto& [place, value] : origin) {
      if (play_.state.count(place) == 0) play_.changes[place] = std::nullopt;
    }
    return std::nullopt;
  }

  void check_step(const StepRecord& record) {
    for (const StepExpectation& expectation : record.step->expectations) {
      if (!expectation.cells.contains(play_.cell)) continue;
      play_.checks.push_back({expectation.place, "step " + record.step->name,
                              expectation.outcome.text, to_script(record.outcome),
                              matches(expectation.outcome, record.outcome, bindings_)});
    }
  }

  // Calls `judge` for each expectation of this cell, first those of the script, then the
  // schedule's.
  template <typename Expectation, typename Judge>
  void for_each(std::vector<Expectation> Expectations::*list, Judge judge) {
    for (const Expectations* scope : {&script_.expectations, &schedule_.expectations}) {
      for (const Expectation& expectation : scope->*list) {
        if (expectation.cells.contains(play_.cell)) judge(expectation);
      }
    }
  }

  void check_finals() {
    for_each(&Expectations::finals, [this](const FinalExpectation& final) {
      std::vector<std::string> differences;
      State unnamed = play_.state;
      for (const FinalExpectation::Item& item : final.items) {
        check_final_item(item, unnamed, differences);
      }
      if (final.exactly) {
        for (const auto& [place, value] : unnamed) {
          differences.push_back(spelled_place(place) + '=' + spelled_short(value));
        }
      }
      play_.checks.push_back({final.place, "final", final.text,
                              fmt::format("{}", fmt::join(differences, " ")), differences.empty()});
    });
  }

  void check_final_item(const FinalExpectation::Item& item, State& unnamed,
                        std::vector<std::string>& differences) {
    auto key = evaluate(item.key, bindings_);
    if (!key) {
      differences.push_back(fmt::format("({})", key.error().message()));
      return;
    }
    std::optional<std::string> wanted;
    if (item.value) {
      auto value = evaluate(*item.value, bindings_);
      if (!value) {
        differences.push_back(fmt::format("({})", value.error().message()));
        return;
      }
      wanted = *value;
    }
    const std::pair place(item.keyspace, *key);
    const auto found = play_.state.find(place);
    const bool there = found != play_.state.end();
    if (there != wanted.has_value() || (there && found->second != *wanted)) {
      differences.push_back(spelled_place(place) + '=' +
                            (there ? spelled_short(found->second) : "absent"));
    }
    unnamed.erase(place);
  }

  static std::string spelled_place(const std::pair<std::string, std::string>& place) {
    std::string key = spelled_short(place.second);
    if (place.first == default_keyspace_name) return key;
    return fmt::format("in {} {}", spelled_short(place.first), key);
  }

  void check_invariants() {
    for_each(&Expectations::invariants, [this](const InvariantExpectation& invariant) {
      const auto held = invariant.predicate.holds(play_.state);
      const std::string actual = !held   ? held.error().message()
                                 : *held ? "it holds"
                                         : "it does not hold";
      play_.checks.push_back({invariant.place, "invariant", invariant.text, actual, held && *held});
    });
  }

  void check_outcomes() {
    std::map<std::string, std::size_t> counts;
    for (const auto& [session, endings] : play_.endings) {
      for (const Ending& ending : endings) ++counts[ending.to_string()];
    }
    for_each(&Expectations::outcomes, [&](const OutcomesExpectation& outcomes) {
      std::map<std::string, std::size_t> wanted = outcomes.counts;
      std::erase_if(wanted, [](const auto& entry) { return entry.second == 0; });
      std::vector<std::string> actual;
      actual.reserve(counts.size());
      for (const auto& [what, count] : counts) actual.push_back(fmt::format("{}={}", what, count));
      play_.checks.push_back(
          {outcomes.place, "outcomes", outcomes.text,
           actual.empty() ? "no transactions" : fmt::format("{}", fmt::join(actual, " ")),
           wanted == counts});
    });
  }

  void check_verdicts() {
    const std::vector<Phenomenon> found = play_.verdict.phenomena();
    for_each(&Expectations::verdicts, [&](const VerdictExpectation& verdict) {
      std::string actual = "it is " + names_of(found, " ");
      const auto& broken = play_.verdict.broken_promises;
      if (verdict.kind == VerdictExpectation::Kind::promised && !broken.empty()) {
        actual = broken.front().text;
      }
      play_.checks.push_back({verdict.place, "verdict", verdict.text, std::move(actual),
                              meets(verdict, found, play_.verdict)});
    });
  }

  static bool meets(const VerdictExpectation& expected, const std::vector<Phenomenon>& found,
                    const Verdict& verdict) {
    using Expected = VerdictExpectation::Kind;
    switch (expected.kind) {
      case Expected::exactly:
        return expected.anomalies == found;
      case Expected::includes:
        return std::includes(found.begin(), found.end(), expected.anomalies.begin(),
                             expected.anomalies.end());
      case Expected::serializable:
        return verdict.serializable;
      case Expected::not_serializable:
        return !verdict.serializable;
      case Expected::promised:
        return verdict.broken_promises.empty();
    }
    return false;
  }

  const Script& script_;
  const Schedule& schedule_;
  Playground& playground_;
  Bindings bindings_;  // as of the end of the schedule
  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  Play play_;
};

}  // namespace

std::size_t Play::passed() const {
  return static_cast<std::size_t>(
      std::count_if(checks.begin(), checks.end(), [](const Check& check) { return check.passed; }));
}

PlayResult play(const Script& script, std::size_t schedule, Cell cell, Playground& playground,
                const std::function<bool()>& stop) {
  playground.want_syncs(has<FailCommand>(script));
  if (auto fresh = playground.restart(); !fresh) return PlayFailure{std::nullopt, fresh.error()};
  return Playing(script, schedule, cell, playground).run(stop);
}

}  // namespace isolde::lab
