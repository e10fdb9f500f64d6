#include "lab/explore/witness.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "lab/script/parse_script.h"
#include "lab/script/script.h"

namespace isolde::lab {
namespace {

// Groups that are tried for one witness, the least restless first.
constexpr std::size_t most_candidates = 12;
constexpr std::uint64_t most_runs_for_order = 2'000;

using Steps = std::vector<std::size_t>;
using Shows = std::function<bool(const PlayedOrder&)>;

std::size_t switches(const Script& script, const Steps& steps) {
  std::size_t count = 0;
  for (std::size_t i = 1; i < steps.size(); ++i) {
    count += script.steps[steps[i]].session != script.steps[steps[i - 1]].session ? 1 : 0;
  }
  return count;
}

// Setup, and those of the script's steps, in this order; without expectations.
std::string spelled_script(const Script& script, const Steps& steps) {
  std::string text;
  if (!script.setup.empty()) text += "setup\n";
  for (const Command& command : script.setup) text.append("  ").append(command.text) += '\n';
  const std::set<std::size_t> kept(steps.begin(), steps.end());
  for (std::size_t session = 0; session < script.sessions.size(); ++session) {
    bool named = false;
    for (const std::size_t index : kept) {
      const Step& step = script.steps[index];
      if (step.session != session) continue;
      if (!named) text.append("session ").append(script.sessions[session].name) += '\n';
      named = true;
      text.append("  ").append(step.name).append(": ").append(step.text) += '\n';
    }
  }
  text += "schedule";
  for (const std::size_t index : steps) text.append(" ").append(script.steps[index].name);
  return text + '\n';
}

class Search {
 public:
  Search(const Exploration& exploration, OrderPlayer& player, Shows shows)
      : exploration_(exploration), player_(player), shows_(std::move(shows)) {}

  // A script with one schedule that shows it; nothing if `steps` do not by themselves.
  std::optional<Script> shortest(const Steps& steps) {
    if (!shown(*exploration_.script, steps)) return std::nullopt;
    const Steps needed = without_the_needless(steps);
    auto script = shown(*exploration_.script, needed);
    if (!script) return std::nullopt;
    reorder(*script);
    return script;
  }

 private:
  // The script of these steps, if it can be written down and its play shows it.
  std::optional<Script> shown(const Script& script, const Steps& steps) {
    auto parsed = parse_script("witness.iso", spelled_script(script, steps));
    if (!parsed.script) return std::nullopt;
    auto played =
        player_.play(*parsed.script, exploration_.cell, parsed.script->schedules.front().steps);
    const auto* play = std::get_if<PlayedOrder>(&played);
    if (play == nullptr || !play->never_played.empty() || !shows_(*play)) return std::nullopt;
    return std::move(parsed.script);
  }

  // First whole sessions, then steps from the end, as long as something can go.
  Steps without_the_needless(Steps steps) {
    const Script& script = *exploration_.script;
    for (std::size_t session = 0; session < script.sessions.size(); ++session) {
      Steps fewer = steps;
      std::erase_if(fewer, [&](std::size_t step) { return script.steps[step].session == session; });
      if (fewer.size() < steps.size() && !fewer.empty() && shown(script, fewer)) {
        steps = std::move(fewer);
      }
    }
    for (bool again = true; again;) {
      again = false;
      for (std::size_t i = steps.size(); i-- > 0 && steps.size() > 1;) {
        Steps fewer = steps;
        fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
        if (!shown(script, fewer)) continue;
        steps = std::move(fewer);
        again = true;
      }
    }
    return steps;
  }

  // The same steps in the order that changes sessions the least.
  void reorder(Script& script) {
    ExploreOptions options;
    options.most_runs = most_runs_for_order;
    Steps& best = script.schedules.front().steps;
    options.on_run = [&](const PlayedOrder& play, const Steps& slots) {
      if (!shows_(play)) return;
      std::vector<Steps> lanes = extents(script).front().steps;
      std::vector<std::size_t> next(lanes.size(), 0);
      Steps steps;
      steps.reserve(slots.size());
      for (const std::size_t session : slots) steps.push_back(lanes[session][next[session]++]);
      if (switches(script, steps) < switches(script, best)) best = std::move(steps);
    };
    const Script copy = script;
    (void)explore(copy, extents(copy).front(), exploration_.cell, player_, options);
  }

  const Exploration& exploration_;
  OrderPlayer& player_;
  Shows shows_;
};

// The shortest script for what these groups have in common.
std::optional<Script> shortest_of(const Exploration& exploration, OrderPlayer& player,
                                  std::vector<const OutcomeGroup*> groups, const Shows& shows) {
  const Script& script = *exploration.script;
  const auto calmer = [&](const OutcomeGroup* a, const OutcomeGroup* b) {
    return switches(script, a->schedule) < switches(script, b->schedule);
  };
  std::stable_sort(groups.begin(), groups.end(), calmer);
  if (groups.size() > most_candidates) groups.resize(most_candidates);
  std::optional<Script> best;
  const auto length = [](const Script& candidate) {
    const Steps& steps = candidate.schedules.front().steps;
    return std::pair(steps.size(), switches(candidate, steps));
  };
  for (const OutcomeGroup* group : groups) {
    auto found = Search(exploration, player, shows).shortest(group->schedule);
    if (found && (!best || length(*found) < length(*best))) best = std::move(found);
  }
  return best;
}

std::string cell_of(const Exploration& exploration) {
  CellSet cells = CellSet::none();
  cells.insert(exploration.cell);
  return exploration.mixed ? std::string() : " @ " + cells.to_script();
}

Witness witness_of(const Exploration& exploration, const Script& script, std::string what,
                   std::uint64_t interleavings, const std::string& expectation) {
  const Steps& steps = script.schedules.front().steps;
  Witness witness{std::move(what), interleavings, {}, {}};
  for (const std::size_t step : steps) witness.schedule.push_back(script.steps[step].name);
  const std::string where = exploration.mixed ? std::string("at the levels that the sessions name")
                                              : fmt::format("at {}", exploration.cell.to_string());
  const std::string options =
      exploration.mixed ? std::string()
                        : fmt::format(" --level {} --locking {}", name(exploration.cell.level),
                                      name(exploration.cell.locking));
  witness.script = fmt::format("# {} {}, found by exploring {}.\n# Play it: isolde run FILE{}\n",
                               witness.what, where, exploration.script->source.name(), options) +
                   spelled_script(script, steps) + expectation + cell_of(exploration) + '\n';
  return witness;
}

bool holds(const std::vector<Phenomenon>& list, Phenomenon phenomenon) {
  return std::find(list.begin(), list.end(), phenomenon) != list.end();
}

}  // namespace

std::vector<Witness> witnesses(const Exploration& exploration, OrderPlayer& player) {
  std::vector<Witness> found;
  for (const auto& [phenomenon, interleavings] : exploration.anomalies) {
    std::vector<const OutcomeGroup*> groups;
    for (const auto& [outcome, group] : exploration.outcomes) {
      if (holds(group.anomalies, phenomenon)) groups.push_back(&group);
    }
    const auto script = shortest_of(exploration, player, std::move(groups),
                                    [sought = phenomenon](const PlayedOrder& play) {
                                      return holds(play.verdict.phenomena(), sought);
                                    });
    if (!script) continue;
    found.push_back(witness_of(exploration, *script, std::string(name(phenomenon)), interleavings,
                               fmt::format("verdict includes {}", name(phenomenon))));
  }
  for (std::size_t i = 0; i < exploration.invariants.size(); ++i) {
    const InvariantExpectation& invariant = *exploration.invariants[i];
    std::vector<const OutcomeGroup*> groups;
    std::uint64_t interleavings = 0;
    for (const auto& [outcome, group] : exploration.outcomes) {
      if (std::find(group.violated.begin(), group.violated.end(), i) == group.violated.end()) {
        continue;
      }
      groups.push_back(&group);
      interleavings += group.interleavings;
    }
    if (groups.empty()) continue;
    const auto script =
        shortest_of(exploration, player, std::move(groups), [&](const PlayedOrder& play) {
          const auto held = invariant.predicate.holds(play.state);
          return held && !*held;
        });
    if (!script) continue;
    found.push_back(witness_of(exploration, *script, "invariant " + invariant.text, interleavings,
                               fmt::format("invariant not ({})", invariant.text)));
  }
  return found;
}

}  // namespace isolde::lab
