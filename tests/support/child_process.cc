#include "tests/support/child_process.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string_view>

namespace isolde::test {
namespace {

[[noreturn]] void be_the_child(const std::function<std::string()>& work, unsigned seconds,
                               int answer) {
  // Boost's handlers would take a crash for one of its own test's.
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM}) {
    std::signal(number, SIG_DFL);
  }
  ::alarm(seconds);
  const std::string said = work();
  for (std::string_view rest = said; !rest.empty();) {
    const ssize_t done = ::write(answer, rest.data(), rest.size());
    if (done <= 0) break;
    rest.remove_prefix(static_cast<std::size_t>(done));
  }
  ::_exit(0);
}

}  // namespace

ChildOutcome in_child(const std::function<std::string()>& work, unsigned seconds) {
  int ends[2];
  if (::pipe(ends) != 0) std::abort();
  // Or the child writes once more what this process has said so far.
  std::cout.flush();
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) std::abort();
  if (child == 0) {
    ::close(ends[0]);
    be_the_child(work, seconds, ends[1]);
  }
  ::close(ends[1]);
  ChildOutcome outcome;
  char buffer[4096];
  for (;;) {
    const ssize_t got = ::read(ends[0], buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    outcome.said.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(ends[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  outcome.exited = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (WIFSIGNALED(status)) outcome.signal = WTERMSIG(status);
  return outcome;
}

std::string said_in_child(const std::function<std::string()>& work, unsigned seconds) {
  const ChildOutcome outcome = in_child(work, seconds);
  if (outcome.exited) return outcome.said;
  if (outcome.signal != 0) return "killed by signal " + std::to_string(outcome.signal);
  return "ended early, saying: " + outcome.said;
}

bool drop_rights() {
  constexpr unsigned nobody = 65534;
  return ::geteuid() != 0 || (::setgid(nobody) == 0 && ::setuid(nobody) == 0);
}

void permit(const std::filesystem::path& file, unsigned mode) {
  if (::geteuid() != 0) mode = (mode & 7U) * 0111U;
  std::filesystem::permissions(file, std::filesystem::perms(mode));
}

}  // namespace isolde::test
