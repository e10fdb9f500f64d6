// Ctrl-C, SIGTERM, a terminal that closes: temporary and half-written files must not stay behind.
#pragma once

namespace isolde::shell {

// The exit code of a command that was interrupted, as a shell gives it: 128 + SIGINT.
inline constexpr int exit_interrupted = 130;

// From now on a first SIGINT, SIGTERM or SIGHUP is only noted, for the command to end in order; a
// second one ends the process at once. Likewise SIGPIPE, if no process reads standard output or
// error any more; of any other pipe it leaves EPIPE to tell, as SIGXFSZ does EFBIG.
void catch_interrupts();
// The command has nothing to tidy up: the next signal ends the process, with exit code 130.
void die_on_interrupt();

bool interrupted() noexcept;
// The same for commands that live on: a Ctrl-C is forgotten once it has been answered, SIGTERM is
// not.
bool take_interrupt() noexcept;
// No process reads standard output (or error) any more: the command ends as if interrupted, but
// has no reader to tell.
bool reader_is_gone() noexcept;
// Ends the process as SIGPIPE would have, had it not been caught: last, when all is tidied up.
// The parent process then sees what it is used to of other commands. Returns the exit code if it
// can't.
int die_of_broken_pipe() noexcept;
// Readable while a signal is noted: for poll(), which a signal just before it would not end.
int interrupt_descriptor() noexcept;

}  // namespace isolde::shell
