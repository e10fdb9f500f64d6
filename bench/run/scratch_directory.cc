#include "bench/run/scratch_directory.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

#include "bench/engines/engine.h"

namespace isolde::bench {
namespace {

// Waits until the child has ended, and passes signals on to it. All of them are blocked, so that
// none can fall between two steps. Returns the child's status, as of waitpid().
int attend(pid_t child, const sigset_t& signals) {
  for (;;) {
    siginfo_t info{};
    const int signal = ::sigwaitinfo(&signals, &info);
    if (signal == SIGCHLD) {
      int status = 0;
      if (::waitpid(child, &status, WNOHANG) == child) return status;
    } else if (signal > 0 && info.si_code <= 0) {
      ::kill(child, signal);  // a process sent it; a terminal's Ctrl-C reaches the child by itself
    }
  }
}

}  // namespace

int measure_in_scratch_directory(const std::filesystem::path& parent,
                                 const std::function<int(const std::filesystem::path&)>& measure) {
  sigset_t signals;
  sigset_t before;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, &before);
  std::string directory = (parent / "isolde_bench.XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) {
    throw CannotRun("cannot make a directory in " + parent.string() + ": " + std::strerror(errno));
  }
  // What the child leaves behind becomes a child of this process, to be waited for.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    std::exit(measure(directory));
  }
  const int status = child < 0 ? 0 : attend(child, signals);
  while (::wait(nullptr) > 0 || errno == EINTR) continue;
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  if (child < 0) throw CannotRun("no process to measure in");
  if (WIFSIGNALED(status)) {
    ::signal(WTERMSIG(status), SIG_DFL);
    ::raise(WTERMSIG(status));
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace isolde::bench
