// Work in a forked child: what may die, kill, drop its rights or mount things.
#pragma once

#include <filesystem>
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

// For work that tries what it may not: root's becomes another user's, false if it can't; any other
// user has nobody else, and tries it itself.
bool drop_rights();
// What whoever has dropped its rights may do with a file, as the last digit of `mode` says for
// others; the owner may do what the first says, unless it is the one who tries.
void permit(const std::filesystem::path& file, unsigned mode);

}  // namespace isolde::test
