#include "interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "exit_code.h"

namespace isolde::shell {
namespace {

std::atomic<bool> noted{false};
std::atomic<bool> graceful{true};
static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers may touch nothing else");

extern "C" void note_interrupt(int) {
  if (!graceful.load() || noted.exchange(true)) ::_exit(exit_interrupted);
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = note_interrupt;
  // No SA_RESTART: a read that waits for the terminal must return for the flag to be seen.
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

void die_on_interrupt() { graceful.store(false); }

bool interrupted() noexcept { return noted.load(); }

}  // namespace isolde::shell
