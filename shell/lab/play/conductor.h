// Conducts a play: gives the sessions their steps and their turns, and tells what happens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "isolde/error.h"
#include "lab/play/playground.h"
#include "lab/play/session.h"
#include "lab/play/turns.h"
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
  std::optional<std::size_t> record;  // index into the steps of the play; deferred: nothing
  // The commands of the record that came to an end since the last event about it.
  std::size_t from = 0;
  std::size_t to = 0;
  const Command* waiting = nullptr;  // blocked: the command that waits
  std::vector<std::string> by;       // blocked: for which sessions; deferred: the same of its own
};

// A play that could not be finished: setup failed, or the database did.
struct PlayFailure {
  std::optional<Place> place;  // the line of setup
  Error error;
};

// After each step: the sessions that it woke go on, the one that has been blocked for longest
// first; then steps that were deferred and can be played now, in the order in which they were
// deferred. Only then comes the next step. Nothing here depends on the clock, except that the lock
// timeout of a transaction may be waited for; and that only when nothing else can happen.
//
// One conductor serves many plays, one after the other: restart() stands between them.
//
// Not thread-safe: everything is called by the conducting thread.
class Conductor {
 public:
  // When a session that waits for another one (the command `wait`) is told to be blocked.
  enum class SessionWait : std::uint8_t {
    at_once,
    if_time_does_not_help,  // lock timeouts pass first; if they end the wait, it is not told at all
  };
  // Called for each event as it happens; it may look, and change nothing.
  using Listener = std::function<void(const PlayEvent&)>;

  // `playground` must outlive it.
  Conductor(Playground& playground, std::shared_ptr<Turns> turns, SessionWait session_wait,
            Listener listener);
  Conductor(const Conductor&) = delete;
  Conductor& operator=(const Conductor&) = delete;
  ~Conductor() { detach(); }

  // From here on the turns observe the playground's database, until it ends all and detaches.
  void attach();
  void detach();
  // What a session is at ends when it answers true; asked from the sessions' threads.
  void interrupt_when(std::function<bool()> interrupted);

  // Executes setup, in one session; what its commands did, or the first that failed. An insert of
  // what is there already does not fail it.
  std::variant<std::vector<CommandRecord>, PlayFailure> play_setup(
      const std::vector<Command>& setup, Cell cell);
  // One more session, idle. Its number is its place in the order of these calls.
  std::size_t add_session(std::string name, Cell cell);
  // A closed session plays no more steps, until it is opened again, as a new one.
  void close_session(std::size_t session) { sessions_[session].reset(); }
  void reopen_session(std::size_t session, std::string name, Cell cell);

  // Plays the steps (indices into Script::steps) in this order, to the end of all that can happen:
  // a step of a blocked session is deferred. `stop` is asked between steps: false if it answered
  // true.
  bool play(const Script& script, const std::vector<std::size_t>& steps,
            const std::function<bool()>& stop = {});
  // Or step by step. Whether the session is neither blocked nor has a deferred step.
  bool can_play(std::size_t session) const;
  // Plays one step, and lets the sessions go on that it wakes. Precondition: can_play().
  void play(const Step& step);
  // Lets sessions go on that were woken by time, or from outside.
  void settle();
  // Lets the lock timeout that ends first pass; false: no session waits with one.
  bool let_time_pass();
  bool can_time_pass() const { return next_timeout().has_value(); }
  // Ends the wait of a blocked session, as if it had been cancelled. False: it does not wait.
  bool cancel(std::size_t session);

  // Ends all: what waits is cancelled, what is open is rolled back. What the sessions do from here
  // on is no part of the play, and leaves its records as they are.
  void end();
  // The same, and forgets sessions, steps and bindings.
  void restart();

  std::size_t session_count() const noexcept { return sessions_.size(); }
  // Null: it is closed.
  Session* session(std::size_t session) { return sessions_[session].get(); }
  const Session* session(std::size_t session) const { return sessions_[session].get(); }
  const Turns& turns() const noexcept { return *turns_; }
  // What a session's step has done so far, while it is not done; readable while it has the turn
  // from its own thread.
  const StepRecord* unfinished(std::size_t session) const;
  const Bindings& bindings() const noexcept { return context_.bindings; }
  const std::deque<StepRecord>& records() const noexcept { return records_; }
  // The records as of now, for good: the sessions write no more into them. Only end() and restart()
  // may follow.
  std::deque<StepRecord> take_records();
  // Deferred steps that nothing could bring to their turn.
  const std::vector<const Step*>& never_played() const noexcept { return deferred_; }

 private:
  // A step that has begun and is not done.
  struct Unfinished {
    const Step* step = nullptr;
    std::size_t record = 0;
    std::size_t told = 0;             // commands that events were told about
    std::optional<Blocking> blocked;  // told as such
  };

  void defer(const Step& step);
  void start(const Step& step);
  void settle_after(const Step& step);
  void go_on();
  void follow(std::size_t session);
  void finish_step(std::size_t session);
  void tell_blocked(std::size_t session);
  bool end_a_wait();
  bool resume_woken();
  bool play_a_deferred_step();
  std::optional<std::size_t> next_timeout() const;
  bool waits_untold(std::size_t session) const;
  bool any_waits_untold() const;

  const SessionWait session_wait_;
  const Listener listener_;
  std::shared_ptr<Turns> turns_;
  SessionContext context_;
  bool attached_ = false;
  std::vector<std::unique_ptr<Session>> sessions_;     // as added; nothing: closed
  std::deque<StepRecord> records_;                     // the sessions write into them
  std::vector<std::optional<Unfinished>> unfinished_;  // by session
  std::vector<const Step*> deferred_;
  const Step* current_ = nullptr;  // the step that was played last, while nothing else moves on
};

}  // namespace isolde::lab
