// What the interactive shell understands beyond the commands of scripts, and lines as they are
// typed.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "isolde/types.h"
#include "lab/script/command.h"
#include "lab/script/token.h"
#include "lab/text/source.h"

namespace isolde::lab {

enum class ShellVerb : std::uint8_t {
  session,
  use,
  sessions,
  close,
  versions,
  snapshot,
  reads,
  writes,
  locks,
  waits,
  deadlocks,
  explain,
  verdict,
  stats,
  history,
  keyspaces,
  wait,
  cancel,
  source,
  save,
  crash,
  reopen,
  fault,
  mode,
  timer,
  help,
  quit,
};

// A command to the shell itself, rather than to a session. Each verb reads the fields that its
// syntax names.
struct ShellCommand {
  ShellVerb verb = ShellVerb::help;
  std::optional<std::string> session;
  std::string name;  // a key, a file, a mode or a word
  std::optional<std::string> keyspace;
  std::optional<Isolation> level;
  std::optional<Locking> locking;
  std::optional<std::chrono::milliseconds> timeout;
  bool flag = false;  // waits dot, timer on, save over an existing file
};

// Where a word of the syntax names something that exists, for completion.
enum class Operands : std::uint8_t { none, sessions, levels, keys, words, files, modes, on_off };

struct ShellCommandSpec {
  std::string_view word;
  std::string_view syntax;
  std::string_view help;
  std::string_view example;
  ShellVerb verb;
  Operands operands;
  // Reads what follows the word; fails the stream if it is malformed. Nothing: takes nothing.
  void (*parse)(TokenStream& tokens, ShellCommand& command);
};

std::span<const ShellCommandSpec> shell_command_registry();
const ShellCommandSpec* find_shell_command(std::string_view word);

// One line: [SESSION:] and either a command to the shell, or commands to the session, with `;`
// between them. Both empty: the line says nothing.
struct TypedLine {
  std::optional<std::string> session;  // the prefix
  std::optional<ShellCommand> shell;
  std::vector<Command> commands;
  std::string text;  // of the commands, as written
  // What may have been meant: `close` and `wait` are words of both kinds.
  std::optional<ShellCommand> or_shell;
};

// Errors point into the line.
std::variant<TypedLine, ScriptError> parse_line(std::string_view line);

}  // namespace isolde::lab
