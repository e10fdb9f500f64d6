// Conducts a schedule: gives the sessions their turns, and writes down what happens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "isolde/error.h"
#include "lab/play/inner_places.h"
#include "lab/play/session.h"
#include "lab/play/thread_turns.h"
#include "lab/script/predicate.h"
#include "lab/script/script.h"

namespace isolde::lab {

// Something that happened in a play, in the order in which it did.
struct PlayEvent {
  enum class Kind : std::uint8_t {
    done,      // a step was played, at once
    blocked,   // it has to wait; once more, if it was woken and has to wait for another
    woken,     // it had to wait, and is done
    deferred,  // it is put off: its session is blocked
  };
  Kind kind = Kind::done;
  const Step* step = nullptr;
  std::optional<std::size_t> record;  // index into Play::steps; deferred: nothing
  // The commands of the record that came to an end since the last event about it.
  std::size_t from = 0;
  std::size_t to = 0;
  const Command* waiting = nullptr;  // blocked: the command that waits
  std::vector<std::string> by;       // blocked: for whom; deferred: the same of its session
};

// After each scheduled step: those that it woke go on, whoever has been blocked for longest first;
// then steps that were deferred and can be played now, in the order in which they were deferred.
// Only then comes the next scheduled step. Nothing here depends on the clock, except that a
// transaction with a timeout may be waited for; and that only when nothing else can happen (wait,
// or the end).
class Conductor {
 public:
  // `stage` must outlive it.
  explicit Conductor(SessionContext& stage);
  Conductor(const Conductor&) = delete;
  Conductor& operator=(const Conductor&) = delete;
  ~Conductor();

  // Plays the schedule to its end. `stop` is asked between steps: false if it answered true.
  bool play(const Schedule& schedule, const std::function<bool()>& stop);

  // As of the end of the schedule, whatever clear() does to the sessions afterwards.
  std::vector<StepRecord> steps() const;
  const std::vector<PlayEvent>& events() const noexcept { return events_; }
  std::map<std::string, std::vector<Ending>> endings() const;
  // Deferred steps that nothing could bring to their turn.
  const std::vector<const Step*>& never_played() const noexcept { return deferred_; }

  // Rolls back what is open, so that all who wait come to their end.
  void clear();

 private:
  // A step that has begun and is not done.
  struct Progress {
    std::size_t record = 0;
    std::size_t told = 0;             // commands that events were written about
    std::optional<Blocking> blocked;  // announced as such
  };

  bool can_play(const Step& step) const;
  void defer(const Step& step);
  void start(const Step& step);
  void follow(std::size_t session);
  void finish_step(std::size_t session);
  void announce_blocked(std::size_t session);
  void settle();
  bool end_a_wait();
  // Who stands inside the engine until this step goes on; nothing: everybody.
  void let_go(const std::optional<std::string>& step);
  bool play_a_deferred_step();
  bool clock_can_wake() const;
  bool is_waiting_silently() const;

  SessionContext& context_;
  std::unique_ptr<InnerPlaces> places_;  // if a step of the script stops at one
  std::shared_ptr<ThreadTurns> turns_;
  std::deque<Session> sessions_;                      // as declared; a deque, for they do not move
  std::deque<StepRecord> records_;                    // the sessions write into them
  std::vector<std::optional<Progress>> in_progress_;  // by session
  std::vector<const Step*> deferred_;
  std::vector<PlayEvent> events_;
  const Step* scheduled_ = nullptr;  // the slot of the schedule that is being played
};

}  // namespace isolde::lab
