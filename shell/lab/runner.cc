#include "lab/runner.h"

#include <fmt/format.h>

#include <algorithm>

#include "lab/text.h"

namespace isolde::lab {
namespace {

// Plays one schedule; every part of it that can fail says so by a PlayFailure.
class Runner {
 public:
  Runner(const Script& script, std::size_t schedule, Cell cell, Playground& playground,
         const std::function<bool()>& stop)
      : script_(script),
        schedule_(script.schedules[schedule]),
        playground_(playground),
        stop_(stop) {
    play_.script = &script;
    play_.schedule = schedule;
    play_.cell = cell;
    for (const SessionDefinition& session : script.sessions) {
      sessions_.emplace_back(session.name, playground, cell, bindings_);
    }
  }

  PlayResult run() && {
    auto failure = play_setup();
    if (!failure) failure = play_steps();
    for (Session& session : sessions_) {
      session.finish();
      play_.endings[session.name()] = session.endings();
    }
    if (!failure) failure = read_state();
    if (failure) return std::move(*failure);
    check_finals();
    check_invariants();
    check_outcomes();
    look_for_anomalies();
    return std::move(play_);
  }

 private:
  std::optional<PlayFailure> play_setup() {
    Session session("setup", playground_, Cell{}, bindings_);
    for (const Command& command : script_.setup) {
      Outcome outcome = session.execute(command);
      const auto* put = std::get_if<PutCommand>(&command.action);
      const bool there_already = put != nullptr && put->insert && outcome.error &&
                                 outcome.error->code() == ErrorCode::already_exists;
      if (outcome.error && !there_already) return PlayFailure{command.place, *outcome.error};
      play_.setup.push_back({&command, std::move(outcome)});
    }
    return std::nullopt;
  }

  std::optional<PlayFailure> play_steps() {
    for (const std::size_t index : schedule_.steps) {
      if (stop_ && stop_()) {
        return PlayFailure{std::nullopt, Error(ErrorCode::cancelled, "interrupted")};
      }
      const Step& step = script_.steps[index];
      Session& session = sessions_[step.session];
      session.submit(step);
      for (StepRecord& record : session.advance()) {
        check_step(record);
        play_.steps.push_back(std::move(record));
      }
    }
    return std::nullopt;
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

  Facts facts() const { return {play_.state, bindings_, play_.endings}; }

  void check_invariants() {
    for_each(&Expectations::invariants, [this](const InvariantExpectation& invariant) {
      const auto held = invariant.predicate.holds(facts());
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

  void look_for_anomalies() {
    for (const AnomalyDefinition& anomaly : script_.anomalies) {
      const auto held = anomaly.predicate.holds(facts());
      AnomalyRecord record{&anomaly, held && *held, {}};
      if (!record.occurs) record.prevented_by = what_prevented();
      play_.anomalies.push_back(std::move(record));
    }
  }

  std::string what_prevented() const {
    for (const StepRecord& record : play_.steps) {
      if (record.outcome.error) return std::string(name(record.outcome.error->code()));
    }
    switch (play_.cell.level) {
      case Isolation::read_uncommitted:
        return "private_writes";
      case Isolation::read_committed:
        return "committed_reads";
      case Isolation::repeatable_read:
      case Isolation::serializable:
        break;
    }
    return "snapshot";
  }

  const Script& script_;
  const Schedule& schedule_;
  Playground& playground_;
  const std::function<bool()>& stop_;
  Bindings bindings_;
  std::deque<Session> sessions_;  // as declared; a deque, for they do not move
  Play play_;
};

}  // namespace

std::size_t Play::passed() const {
  return static_cast<std::size_t>(
      std::count_if(checks.begin(), checks.end(), [](const Check& check) { return check.passed; }));
}

PlayResult play(const Script& script, std::size_t schedule, Cell cell, Playground& playground,
                const std::function<bool()>& stop) {
  if (auto fresh = playground.restart(); !fresh) return PlayFailure{std::nullopt, fresh.error()};
  return Runner(script, schedule, cell, playground, stop).run();
}

}  // namespace isolde::lab
