// Plays orders of steps one after the other, fast: no file is opened, no thread started, for any.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "lab/check/verdict.h"
#include "lab/history/history.h"
#include "lab/play/conductor.h"
#include "lab/play/fiber_turns.h"
#include "lab/play/playground.h"
#include "lab/play/session.h"
#include "lab/script/cell.h"
#include "lab/script/script.h"

namespace isolde::lab {

// What came of one order of steps. Points into its script, which must outlive it.
struct PlayedOrder {
  std::deque<StepRecord> steps;  // in the order in which they began
  // Of a blocked session, and never to be played: nothing could wake it.
  std::vector<const Step*> never_played;
  State state;                               // committed in the end
  std::vector<std::vector<Ending>> endings;  // by session
  bool blocked = false;                      // a step had to wait
  bool deadlock = false;                     // the engine found one
  History history;                           // setup and all sessions
  Verdict verdict;                           // of the checker on it
};

// Holds one temporary database and plays whatever it is given in it: any script, cell and order.
// Each play begins as the first would: what the last one left behind is erased, then setup runs.
//
// A whole order:          play()
// Or one step at a time:  start(), then step() while there is one that can be played, then finish()
//
// Thread safety: none; and all calls from one thread.
class OrderPlayer {
 public:
  // Errors: those of Database::open, and io_error (no temporary directory).
  static Result<std::unique_ptr<OrderPlayer>> open();
  OrderPlayer(const OrderPlayer&) = delete;
  OrderPlayer& operator=(const OrderPlayer&) = delete;
  ~OrderPlayer();

  // Plays the steps (indices into Script::steps) in this order, as `isolde run` does: a step of a
  // blocked session is deferred. A failure: setup failed, or the database did.
  std::variant<PlayedOrder, PlayFailure> play(const Script& script, Cell cell,
                                              const std::vector<std::size_t>& steps);

  // Erases, and plays setup. `script` must live until finish() has returned.
  std::optional<PlayFailure> start(const Script& script, Cell cell);
  // Whether the session can take a step: it is not blocked. (Between steps none is woken.)
  bool can_step(std::size_t session) const { return conductor_.can_play(session); }
  // Plays a step, and lets the sessions go on that it wakes. Returns what happened, until the next
  // call. Precondition: can_step() of its session.
  const std::vector<PlayEvent>& step(const Step& step);
  // When no session with steps left can go on: lets the lock timeout that ends first pass. False:
  // there is none. What happened is in `events()` then.
  bool let_time_pass();
  const std::vector<PlayEvent>& events() const noexcept { return events_; }
  const std::deque<StepRecord>& records() const noexcept { return conductor_.records(); }

  // Judges the play and ends what is still open.
  std::variant<PlayedOrder, PlayFailure> finish();
  // The same without asking for a judgement: the play is given up.
  void abandon();

 private:
  class PlayRecorder;
  explicit OrderPlayer(std::unique_ptr<Playground> playground);

  std::unique_ptr<Playground> playground_;
  std::shared_ptr<PlayRecorder> recorder_;
  std::shared_ptr<FiberTurns> turns_ = std::make_shared<FiberTurns>();
  Conductor conductor_;
  std::vector<PlayEvent> events_;  // of the last step
  bool blocked_ = false;           // a step of this play had to wait
};

}  // namespace isolde::lab
