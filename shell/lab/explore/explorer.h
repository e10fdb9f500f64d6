// Runs the interleavings of a script's steps on the real engine, and judges each with the checker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lab/explore/footprint.h"
#include "lab/play/order_player.h"
#include "lab/script/cell.h"
#include "lab/script/phenomenon.h"
#include "lab/script/script.h"

namespace isolde::lab {

// What is explored of a script: the steps of each session, in their order.
struct Extent {
  // Schedules of the script (indices) that name exactly these steps; empty: none names any.
  std::vector<std::size_t> schedules;
  std::vector<std::vector<std::size_t>> steps;  // by session, indices into Script::steps
};

// All steps, if the schedules agree about them; else one extent for each set of steps that a
// schedule names: variants of a story, that are not meant to be played together.
std::vector<Extent> extents(const Script& script);

struct ExploreOptions {
  // Of interleavings that differ only in the order of steps that do not touch each other, run one.
  bool prune = true;
  // Says that they do not. Tests forget something here, to see that it is noticed.
  bool (*independent)(const Footprint&, const Footprint&) = &lab::independent;
  // More runs than this are not made: so many interleavings are drawn instead.
  std::uint64_t most_runs = 20'000;
  std::uint64_t seed = 0;  // of the drawing
  // Called now and then with the runs made so far; false: stop, and keep what there is.
  std::function<bool(std::uint64_t)> go_on = {};
  // Called for each run, in the order of the exploration, with its slots (sessions).
  std::function<void(const PlayedOrder&, const std::vector<std::size_t>&)> on_run = {};
};

// Interleavings with equal outcomes: all steps, the final state, the ends of all transactions, the
// judgement.
struct OutcomeGroup {
  PlayedOrder play;                    // one of them, its history left out
  std::vector<std::size_t> schedule;   // and its steps, of all that were run the least restless
  std::uint64_t interleavings = 0;     // all of them
  std::vector<std::string> committed;  // sessions
  std::map<std::string, std::string> aborted;  // session -> error code of its last abort
  std::vector<Phenomenon> anomalies;
  std::vector<std::size_t> violated;  // indices into Exploration::invariants
};

// One extent in one cell.
struct Exploration {
  const Script* script = nullptr;
  Extent extent;
  Cell cell;
  bool mixed = false;  // all transactions name their own level and locking: the cell says nothing
  bool pruned = false;
  bool interrupted = false;              // the counts are of what was run until then
  std::optional<std::uint64_t> sampled;  // so many orders were drawn, with this seed:
  std::uint64_t seed = 0;

  // design of the counts: interleavings = infeasible + serializable + non_serializable. When
  // sampled, `interleavings` counts all orders, and the others those of the sample.
  std::uint64_t interleavings = 0;
  std::uint64_t infeasible = 0;
  std::uint64_t executed = 0;  // runs to the end
  std::uint64_t given_up = 0;  // runs that turned out to lead nowhere new
  std::uint64_t serializable = 0;
  std::uint64_t non_serializable = 0;
  std::uint64_t blocked = 0;  // with at least one step that had to wait, and so on
  std::uint64_t aborted = 0;
  std::uint64_t deadlocks = 0;
  std::uint64_t invariant_violations = 0;
  std::uint64_t broken_promises = 0;  // a transaction did not get what its own level promises
  std::string broken_promise;         // the first one, told
  std::map<Phenomenon, std::uint64_t> anomalies;
  std::vector<const InvariantExpectation*> invariants;  // those of this cell
  std::map<std::string, OutcomeGroup> outcomes;         // by what they are

  // By the number of the order, or of the draw: what came of it. Empty if there are too many.
  enum class Mark : std::uint8_t { infeasible, fine, aborted, not_serializable };
  std::vector<Mark> marks;
  std::vector<std::uint8_t> abort_codes;  // of the first to abort, as ErrorCode

  double seconds = 0;
  bool is_complete() const noexcept { return !interrupted && !sampled; }
  // By the name that `explore NAME=N` gives it.
  std::uint64_t count(const std::string& name) const;
};

// A failure: setup failed, or the database did.
std::variant<Exploration, PlayFailure> explore(const Script& script, const Extent& extent,
                                               Cell cell, OrderPlayer& player,
                                               const ExploreOptions& options);

}  // namespace isolde::lab
