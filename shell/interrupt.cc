#include "interrupt.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "exit_code.h"

namespace isolde::shell {
namespace {

std::atomic<int> noted{0};  // the signal
std::atomic<bool> graceful{true};
int rung = -1;  // an eventfd
static_assert(std::atomic<int>::is_always_lock_free, "signal handlers may touch nothing else");

extern "C" void note_interrupt(int signal) {
  if (!graceful.load() || noted.exchange(signal) != 0) ::_exit(exit_interrupted);
  const int error = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(rung, &one, sizeof one);
  errno = error;
}

}  // namespace

void catch_interrupts() {
  rung = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  // No SA_RESTART: a read that waits for the terminal must return for the flag to be seen.
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

void die_on_interrupt() { graceful.store(false); }

bool interrupted() noexcept { return noted.load() != 0; }

bool take_interrupt() noexcept {
  int expected = SIGINT;
  if (noted.load() != expected) return false;
  // Before the note goes: a signal that comes in between is not lost.
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t drained = ::read(rung, &count, sizeof count);
  return noted.compare_exchange_strong(expected, 0);
}

int interrupt_descriptor() noexcept { return rung; }

}  // namespace isolde::shell
