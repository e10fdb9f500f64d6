// Work in a forked child: what may die, kill, drop its rights or mount things.
#pragma once

#include <functional>
#include <string>

namespace isolde::test {

struct ChildOutcome {
  std::string said;  // what the work returned; all of it only if it exited
  bool exited = false;
  int signal = 0;  // that killed it
};

// Runs `work` in a child and waits for it. To be called while this process has one thread. A child
// that takes longer than `seconds` dies by SIGALRM.
ChildOutcome in_child(const std::function<std::string()>& work, unsigned seconds = 120);

// What it said, or how it died: what most tests compare.
std::string said_in_child(const std::function<std::string()>& work, unsigned seconds = 120);

}  // namespace isolde::test
