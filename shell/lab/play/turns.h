// What a session of a play asks of whoever gives it its turns.
#pragma once

#include <cstddef>
#include <string>

namespace isolde::lab {

// Called by a session while it has the turn. See ThreadTurns (each session a thread) and FiberTurns
// (all sessions in one).
class Turns {
 public:
  virtual ~Turns() = default;
  // After each operation: returns when the session has its turn, which it may have lost meanwhile.
  virtual void pause() = 0;
  // Blocks the session until its wait is ended, if the other one is blocked or woken.
  virtual void wait_for(std::size_t other) = 0;
  // The session is to stand at a place inside the engine until that step. False: it cannot, here.
  virtual bool hold(const std::string& /*place*/, const std::string& /*until*/) { return false; }
};

}  // namespace isolde::lab
