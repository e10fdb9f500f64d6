// Ctrl-C and SIGTERM, so that temporary databases and half-written files do not stay behind.
#pragma once

namespace isolde::shell {

// From now on a first SIGINT or SIGTERM is only noted, for the command to end in good order; a
// second one ends the process at once. SIGPIPE is ignored: a write to a closed pipe is an error
// like any other.
void catch_interrupts();
// The command has nothing to tidy up: the next signal ends the process, with exit code 130.
void die_on_interrupt();

bool interrupted() noexcept;
// The same for commands that live on: a Ctrl-C is forgotten once it has been answered, SIGTERM is
// not.
bool take_interrupt() noexcept;
// Readable while a signal is noted: for poll(), which a signal just before it would not end.
int interrupt_descriptor() noexcept;

}  // namespace isolde::shell
