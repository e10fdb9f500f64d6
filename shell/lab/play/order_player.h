// Plays schedules one after the other, fast: no file is opened, no thread started, for any of them.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lab/check/checker.h"
#include "lab/history/history.h"
#include "lab/play/play.h"
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

// One turn of a session within a slot of the schedule.
struct SlotPart {
  std::size_t session = 0;
  const StepRecord* record = nullptr;
  // The commands of the record that came to an end in this turn.
  std::size_t from = 0;
  std::size_t to = 0;
  const Command* waiting = nullptr;  // at which the turn ended
};

// Holds one temporary database and plays whatever it is given in it: any script, cell and order.
// Each play begins as the first would: what the last one left behind is erased, then setup runs.
//
// A whole schedule:       play()
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
  // Whether the session is neither blocked nor woken. So it is between the steps of a schedule.
  bool can_step(std::size_t session) const;
  // Plays a step, and lets those go on whom it wakes. Returns everybody's turns, in order, until
  // the next call. Precondition: can_step() of its session.
  const std::vector<SlotPart>& step(const Step& step);
  // When no session with steps left can go on: lets the lock timeout that ends first pass. False:
  // there is none. The turns are in `turns()` then.
  bool let_time_pass();
  const std::vector<SlotPart>& turns() const;
  // Whether a step has had to wait so far.
  bool has_blocked() const;

  // Judges the play and ends what is still open.
  std::variant<PlayedOrder, PlayFailure> finish();
  // The same without asking for a judgement: the play is given up.
  void abandon();

 private:
  class Stagehand;
  explicit OrderPlayer(std::unique_ptr<Stagehand> stagehand);
  std::unique_ptr<Stagehand> stagehand_;
};

}  // namespace isolde::lab
