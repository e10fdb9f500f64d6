#include "interrupt.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>

namespace isolde::shell {
namespace {

std::atomic<int> noted{0};  // the signal
std::atomic<bool> graceful{true};
int interrupt_bell = -1;  // an eventfd
static_assert(std::atomic<int>::is_always_lock_free, "signal handlers may touch nothing else");

void ring() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(interrupt_bell, &one, sizeof one);
}

extern "C" void note_interrupt(int signal) {
  if (!graceful.load() || noted.exchange(signal) != 0) ::_exit(exit_interrupted);
  const int error = errno;
  ring();
  errno = error;
}

// The signal does not say which descriptor it is about: a pipe that the user named as a file may
// break as well, and that is an error of the command like any other.
bool standard_stream_is_broken() {
  std::array<pollfd, 2> streams{pollfd{STDOUT_FILENO, 0, 0}, pollfd{STDERR_FILENO, 0, 0}};
  if (::poll(streams.data(), streams.size(), 0) <= 0) return false;
  return ((streams[0].revents | streams[1].revents) & (POLLERR | POLLHUP)) != 0;
}

// It comes again with each further write, so unlike an interrupt a second one changes nothing.
extern "C" void note_broken_pipe(int signal) {
  const int error = errno;
  int none = 0;
  if (standard_stream_is_broken() && noted.compare_exchange_strong(none, signal)) ring();
  errno = error;
}

}  // namespace

void catch_interrupts() {
  interrupt_bell = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  // No SA_RESTART: a read that waits for the terminal must return for the flag to be seen.
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  struct sigaction inherited {};
  ::sigaction(SIGHUP, nullptr, &inherited);
  if (inherited.sa_handler != SIG_IGN) ::sigaction(SIGHUP, &action, nullptr);  // else: nohup
  // A file that would outgrow its limit (ulimit -f) is then an error of the write, as on a full
  // disk.
  ::signal(SIGXFSZ, SIG_IGN);
  action.sa_handler = note_broken_pipe;
  ::sigaction(SIGPIPE, &action, nullptr);
}

void die_on_interrupt() { graceful.store(false); }

bool interrupted() noexcept { return noted.load() != 0; }

bool take_interrupt() noexcept {
  int expected = SIGINT;
  if (noted.load() != expected) return false;
  // Before the note goes: a signal that comes in between is not lost.
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t drained = ::read(interrupt_bell, &count, sizeof count);
  return noted.compare_exchange_strong(expected, 0);
}

bool reader_is_gone() noexcept { return noted.load() == SIGPIPE; }

int die_of_broken_pipe() noexcept {
  ::signal(SIGPIPE, SIG_DFL);
  ::raise(SIGPIPE);
  return 128 + SIGPIPE;  // where the parent process has it blocked
}

int interrupt_descriptor() noexcept { return interrupt_bell; }

}  // namespace isolde::shell
