#include "lab/explore/explorer.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <utility>

#include "lab/explore/footprint.h"
#include "lab/explore/orders.h"
#include "lab/script/outcome.h"

namespace isolde::lab {
namespace {

using Mark = Exploration::Mark;
using Clock = std::chrono::steady_clock;

// Orders up to this many are marked one by one.
constexpr std::uint64_t most_marked = std::uint64_t{1} << 21;
constexpr std::uint64_t runs_between_looks = 64;
constexpr std::size_t no_session = ~std::size_t{0};

std::size_t switches(const std::vector<std::size_t>& slots) {
  std::size_t count = 0;
  for (std::size_t i = 1; i < slots.size(); ++i) count += slots[i] != slots[i - 1] ? 1 : 0;
  return count;
}

// A session that could take the next slot, with what that slot would touch.
struct Candidate {
  std::size_t session = 0;
  Footprint footprint;
};

// A place in the tree of schedules: the slots before it have been played.
struct Node {
  std::vector<Candidate> asleep;   // what they lead to has been seen from an earlier sibling
  std::vector<Candidate> visited;  // those that were gone into, the last one now
};

class Exploring {
 public:
  Exploring(const Script& script, const Extent& extent, Cell cell, OrderPlayer& player,
            const ExploreOptions& options)
      : script_(script),
        options_(options),
        player_(player),
        footprints_(script, cell),
        orders_(lengths(extent)) {
    result_.script = &script;
    result_.extent = extent;
    result_.cell = cell;
    result_.mixed = footprints_.is_mixed();
    result_.pruned = options.prune;
    result_.seed = options.seed;
    result_.interleavings = orders_.all();
    for (const Expectations* scope : scopes()) {
      for (const InvariantExpectation& invariant : scope->invariants) {
        if (invariant.cells.contains(cell)) result_.invariants.push_back(&invariant);
      }
    }
  }

  std::variant<Exploration, PlayFailure> run() && {
    const auto start = Clock::now();
    const bool hopeless =
        !orders_.are_countable() || (!options_.prune && orders_.all() > options_.most_runs);
    const bool all = !hopeless && visit_all();
    if (!all && !failure_ && !result_.interrupted) sample();
    if (failure_) return std::move(*failure_);
    if (!result_.sampled && !result_.interrupted) {
      result_.infeasible = result_.interleavings - result_.serializable - result_.non_serializable;
    }
    result_.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    return std::move(result_);
  }

 private:
  static std::vector<std::size_t> lengths(const Extent& extent) {
    std::vector<std::size_t> lengths;
    lengths.reserve(extent.steps.size());
    for (const auto& steps : extent.steps) lengths.push_back(steps.size());
    return lengths;
  }

  std::vector<const Expectations*> scopes() const {
    std::vector<const Expectations*> scopes{&script_.expectations};
    for (const std::size_t schedule : result_.extent.schedules) {
      scopes.push_back(&script_.schedules[schedule].expectations);
    }
    return scopes;
  }

  // Asked before each run.
  bool may_go_on() {
    const std::uint64_t runs = result_.executed + result_.given_up;
    if (!options_.go_on || runs % runs_between_looks != 0 || options_.go_on(runs)) return true;
    result_.interrupted = true;
    return false;
  }

  bool start() {
    failure_ = player_.start(script_, result_.cell);
    footprints_.restart();
    slots_.clear();
    trace_.clear();
    done_.assign(orders_.steps().size(), 0);
    return !failure_;
  }

  bool has_step(std::size_t session) const { return done_[session] < orders_.steps()[session]; }
  bool can_go(std::size_t session) const { return has_step(session) && player_.can_step(session); }
  bool any_can_go() const {
    for (std::size_t session = 0; session < done_.size(); ++session) {
      if (can_go(session)) return true;
    }
    return false;
  }

  // Plays the next step of a session, and lets time pass where no session could go on.
  void go(std::size_t session) {
    const std::size_t step = result_.extent.steps[session][done_[session]];
    ++done_[session];
    slots_.push_back(session);
    trace_.push_back(footprints_.of(player_.step(script_.steps[step]), player_.records()));
    while (!any_can_go() && player_.let_time_pass()) {
      const Footprint passed = footprints_.of(player_.events(), player_.records());
      trace_.back().sessions |= passed.sessions;
      trace_.back().global = true;
    }
  }

  bool dependent(const Footprint& a, const Footprint& b) const {
    return !options_.prune || !options_.independent(a, b);
  }

  // Depth first, each run from the beginning. Sleep sets (Godefroid 1996, chapter 5): having gone
  // into a, then b at a place, a need not be gone into below b until something that depends on a
  // has happened. So each class of equivalent schedules is run to its end exactly once. False: too
  // many runs, or an end before the end.
  bool visit_all() {
    std::vector<Node> path(1);
    std::size_t turn = no_session;  // at the deepest node
    for (;;) {
      if (!may_go_on()) return false;
      if (result_.executed + result_.given_up >= options_.most_runs) {
        forget();
        return false;
      }
      if (!start()) return false;
      for (std::size_t depth = 0; depth + 1 < path.size(); ++depth) {
        go(path[depth].visited.back().session);
      }
      descend(path, turn);
      if (failure_) return false;
      turn = backtrack(path);
      if (turn == no_session) return true;
    }
  }

  // From the deepest node on, by `turn` if it is a session, to an end.
  void descend(std::vector<Node>& path, std::size_t turn) {
    for (;;) {
      if (turn == no_session) turn = choose(path.back());
      if (turn == no_session) break;
      go(turn);
      Candidate gone{turn, trace_.back()};
      Node next;
      for (const auto* list : {&path.back().asleep, &path.back().visited}) {
        for (const Candidate& candidate : *list) {
          if (!dependent(candidate.footprint, gone.footprint)) next.asleep.push_back(candidate);
        }
      }
      path.back().visited.push_back(std::move(gone));
      path.push_back(std::move(next));
      turn = no_session;
    }
    if (slots_.size() == orders_.length()) {
      finish_class();
    } else {
      // No session can go on, for good: each order that begins so is infeasible. Or all that could
      // have been seen.
      player_.abandon();
      ++result_.given_up;
    }
  }

  // The session of the last slot first: schedules with few switches are the easiest to read.
  std::size_t choose(const Node& node) {
    enabled_.resize(slots_.size() + 1);
    std::vector<std::size_t>& enabled = enabled_[slots_.size()];
    enabled.clear();
    for (std::size_t session = 0; session < done_.size(); ++session) {
      if (can_go(session)) enabled.push_back(session);
    }
    if (!slots_.empty()) {
      const auto last = std::find(enabled.begin(), enabled.end(), slots_.back());
      if (last != enabled.end()) std::rotate(enabled.begin(), last, last + 1);
    }
    return next_of(node, enabled);
  }

  static std::size_t next_of(const Node& node, const std::vector<std::size_t>& enabled) {
    const auto holds = [](const std::vector<Candidate>& list, std::size_t session) {
      return std::any_of(list.begin(), list.end(), [session](const Candidate& candidate) {
        return candidate.session == session;
      });
    };
    for (const std::size_t session : enabled) {
      if (!holds(node.asleep, session) && !holds(node.visited, session)) return session;
    }
    return no_session;
  }

  // To the deepest place from which something is still to be seen: what to go into there.
  std::size_t backtrack(std::vector<Node>& path) {
    for (path.pop_back(); !path.empty(); path.pop_back()) {
      const std::size_t turn = next_of(path.back(), enabled_[path.size() - 1]);
      if (turn != no_session) return turn;
    }
    return no_session;
  }

  // The run has come to its end, and stands for all that are like it.
  void finish_class() {
    const auto before = [this](std::size_t i, std::size_t j) {
      return dependent(trace_[i], trace_[j]);
    };
    const std::uint64_t like = options_.prune ? orders_.count_like(slots_, before) : 1;
    const auto mark = judge(like);
    if (!mark || orders_.all() > most_marked) return;
    if (result_.marks.empty()) make_marks(orders_.all());
    orders_.for_each_like(slots_, before, [&](std::uint64_t number) {
      result_.marks[number] = mark->first;
      result_.abort_codes[number] = mark->second;
    });
  }

  void make_marks(std::uint64_t count) {
    result_.marks.assign(count, Mark::infeasible);
    result_.abort_codes.assign(count, 0);
  }

  // Books the run that has come to its end, so many times.
  std::optional<std::pair<Mark, std::uint8_t>> judge(std::uint64_t like) {
    auto finished = player_.finish();
    if (auto* failure = std::get_if<PlayFailure>(&finished)) {
      failure_ = std::move(*failure);
      return std::nullopt;
    }
    PlayedOrder& play = std::get<PlayedOrder>(finished);
    ++result_.executed;
    (play.verdict.serializable ? result_.serializable : result_.non_serializable) += like;
    if (play.blocked) result_.blocked += like;
    if (play.deadlock) result_.deadlocks += like;
    if (!play.verdict.broken_promises.empty()) {
      if (result_.broken_promises == 0) {
        result_.broken_promise = play.verdict.broken_promises.front().text;
      }
      result_.broken_promises += like;
    }
    const auto code = first_abort(play);
    if (code) result_.aborted += like;
    const std::vector<Phenomenon> anomalies = play.verdict.phenomena();
    for (const Phenomenon phenomenon : anomalies) result_.anomalies[phenomenon] += like;
    std::vector<std::size_t> violated = violations(play.state);
    if (!violated.empty()) result_.invariant_violations += like;
    const Mark mark = !play.verdict.serializable ? Mark::not_serializable
                      : code                     ? Mark::aborted
                                                 : Mark::fine;
    if (options_.on_run) options_.on_run(play, slots_);
    group(std::move(play), like, anomalies, std::move(violated));
    return std::pair(mark, static_cast<std::uint8_t>(code.value_or(ErrorCode{})));
  }

  static std::optional<ErrorCode> first_abort(const PlayedOrder& play) {
    for (const StepRecord& record : play.steps) {
      for (const CommandRecord& command : record.commands) {
        if (command.outcome.error && ends_transaction(command.outcome.error->code()) &&
            command.outcome.error->code() != ErrorCode::transaction_finished) {
          return command.outcome.error->code();
        }
      }
    }
    return std::nullopt;
  }

  std::vector<std::size_t> violations(const State& state) const {
    std::vector<std::size_t> violated;
    for (std::size_t i = 0; i < result_.invariants.size(); ++i) {
      const auto held = result_.invariants[i]->predicate.holds(state);
      if (!held || !*held) violated.push_back(i);
    }
    return violated;
  }

  std::string what_it_is(const PlayedOrder& play, const std::vector<Phenomenon>& anomalies) const {
    std::map<std::string_view, std::string> by_step;
    for (const StepRecord& record : play.steps) {
      Outcome outcome = record.outcome;
      const bool stuck = outcome.blocked && !outcome.blocked->finished;
      outcome.blocked.reset();
      by_step[record.step->name] = stuck ? "blocked" : to_script(outcome);
    }
    std::string text;
    for (const auto& [step, outcome] : by_step) text.append(step) += '=' + outcome + '\n';
    for (const auto& [place, value] : play.state) {
      text.append(place.first).append(1, '\0').append(place.second).append(1, '\0');
      text.append(value).append(1, '\n');
    }
    for (const std::vector<Ending>& endings : play.endings) {
      for (const Ending& ending : endings) text += ending.to_string() + ' ';
      text += '\n';
    }
    for (const Phenomenon phenomenon : anomalies) text.append(name(phenomenon)) += ' ';
    return text + (play.verdict.serializable ? 's' : 'n');
  }

  void group(PlayedOrder play, std::uint64_t like, const std::vector<Phenomenon>& anomalies,
             std::vector<std::size_t> violated) {
    OutcomeGroup& group = result_.outcomes[what_it_is(play, anomalies)];
    const bool first = group.interleavings == 0;
    group.interleavings += like;
    if (!first && switches(slots_) >= switches(sessions_of(group.schedule))) return;
    group.schedule = schedule();
    if (!first) {
      group.play.steps = std::move(play.steps);
      return;
    }
    play.history = History();
    group.anomalies = anomalies;
    group.violated = std::move(violated);
    for (std::size_t session = 0; session < play.endings.size(); ++session) {
      const std::string& name = script_.sessions[session].name;
      bool committed = false;
      for (const Ending& ending : play.endings[session]) {
        committed = committed || ending.kind == Ending::Kind::committed;
        if (ending.kind == Ending::Kind::aborted) group.aborted[name] = ending.to_string();
      }
      if (committed) group.committed.push_back(name);
    }
    group.play = std::move(play);
  }

  // The slots as steps.
  std::vector<std::size_t> schedule() const {
    std::vector<std::size_t> next(done_.size(), 0);
    std::vector<std::size_t> steps;
    steps.reserve(slots_.size());
    for (const std::size_t session : slots_) {
      steps.push_back(result_.extent.steps[session][next[session]++]);
    }
    return steps;
  }

  std::vector<std::size_t> sessions_of(const std::vector<std::size_t>& schedule) const {
    std::vector<std::size_t> sessions;
    sessions.reserve(schedule.size());
    for (const std::size_t step : schedule) sessions.push_back(script_.steps[step].session);
    return sessions;
  }

  void forget() {
    Exploration empty;
    empty.script = result_.script;
    empty.extent = std::move(result_.extent);
    empty.cell = result_.cell;
    empty.mixed = result_.mixed;
    empty.seed = result_.seed;
    empty.interleavings = result_.interleavings;
    empty.invariants = std::move(result_.invariants);
    result_ = std::move(empty);
  }

  // Each order is as likely as any other; one that steps a blocked session is infeasible.
  void sample() {
    result_.sampled = 0;
    result_.pruned = false;
    make_marks(options_.most_runs);
    for (std::uint64_t draw = 0; draw < options_.most_runs; ++draw) {
      if (!may_go_on()) return;
      std::mt19937_64 source(options_.seed + draw * 0x9e3779b97f4a7c15u);
      if (!start()) return;
      const std::vector<std::size_t> order = orders_.random(source);
      const bool feasible = std::all_of(order.begin(), order.end(), [this](std::size_t session) {
        if (!can_go(session)) return false;
        go(session);
        return true;
      });
      ++*result_.sampled;
      if (!feasible) {
        player_.abandon();
        ++result_.infeasible;
        continue;
      }
      const auto mark = judge(1);
      if (!mark) return;
      result_.marks[draw] = mark->first;
      result_.abort_codes[draw] = mark->second;
    }
  }

  const Script& script_;
  const ExploreOptions& options_;
  OrderPlayer& player_;
  Footprints footprints_;
  Orders orders_;
  Exploration result_;
  std::optional<PlayFailure> failure_;

  // Of the run that is under way.
  std::vector<std::size_t> slots_;                 // their sessions
  std::vector<Footprint> trace_;                   // their footprints
  std::vector<std::size_t> done_;                  // steps, by session
  std::vector<std::vector<std::size_t>> enabled_;  // by depth, of the path
};

}  // namespace

std::vector<Extent> extents(const Script& script) {
  const auto extent_of = [&](const std::set<std::size_t>& steps) {
    Extent extent;
    extent.steps.resize(script.sessions.size());
    for (const std::size_t step : steps) extent.steps[script.steps[step].session].push_back(step);
    return extent;
  };
  std::map<std::set<std::size_t>, std::vector<std::size_t>> sets;
  std::vector<std::set<std::size_t>> in_order;
  for (std::size_t i = 0; i < script.schedules.size(); ++i) {
    const auto& steps = script.schedules[i].steps;
    const std::set<std::size_t> set(steps.begin(), steps.end());
    if (sets[set].empty()) in_order.push_back(set);
    sets[set].push_back(i);
  }
  std::vector<Extent> extents;
  if (in_order.size() == 1) {  // all steps, those in no schedule as well
    for (std::size_t step = 0; step < script.steps.size(); ++step) in_order.front().insert(step);
    extents.push_back(extent_of(in_order.front()));
    for (std::size_t i = 0; i < script.schedules.size(); ++i) extents[0].schedules.push_back(i);
    return extents;
  }
  for (const std::set<std::size_t>& set : in_order) {
    extents.push_back(extent_of(set));
    extents.back().schedules = sets[set];
  }
  return extents;
}

std::uint64_t Exploration::count(const std::string& name) const {
  const std::map<std::string, std::uint64_t> counts{
      {"interleavings", interleavings},
      {"infeasible", infeasible},
      {"executed", executed},
      {"serializable", serializable},
      {"non_serializable", non_serializable},
      {"blocked", blocked},
      {"aborted", aborted},
      {"deadlocks", deadlocks},
      {"invariant_violations", invariant_violations},
  };
  if (const auto found = counts.find(name); found != counts.end()) return found->second;
  const auto phenomenon = phenomenon_from_name(name);
  const auto found = phenomenon ? anomalies.find(*phenomenon) : anomalies.end();
  return found == anomalies.end() ? 0 : found->second;
}

std::variant<Exploration, PlayFailure> explore(const Script& script, const Extent& extent,
                                               Cell cell, OrderPlayer& player,
                                               const ExploreOptions& options) {
  return Exploring(script, extent, cell, player, options).run();
}

}  // namespace isolde::lab
