#include "lab/workbench/shell_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "lab/script/cell.h"
#include "lab/script/command_registry.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

void parse_session_name(TokenStream& tokens, ShellCommand& command) {
  const Token token = tokens.expect_word("the name of a session");
  if (!tokens.failure() && !is_name(token.text)) {
    tokens.fail(token.place, fmt::format("'{}' is no name of a session: a letter, then letters, "
                                         "digits or _",
                                         printable(token.text)));
  }
  command.session = token.text;
}

void parse_optional_session(TokenStream& tokens, ShellCommand& command) {
  if (!tokens.at_end()) parse_session_name(tokens, command);
}

void parse_cell(TokenStream& tokens, ShellCommand& command) {
  parse_session_name(tokens, command);
  command.level = accept_level(tokens);
  command.locking = accept_locking(tokens);
  const Token& rest = tokens.peek();
  if (!rest.is_bare()) return;
  tokens.fail(rest.place,
              fmt::format("'{}' is no level and no locking mode{}", printable(rest.text),
                          did_you_mean(rest.text, cell_spellings)));
}

void parse_file(TokenStream& tokens, ShellCommand& command) {
  command.name = tokens.expect_word("a file").text;
}

void parse_graph(TokenStream& tokens, ShellCommand& command) {
  command.flag = tokens.accept_word("dot");
}

void parse_wait(TokenStream& tokens, ShellCommand& command) {
  parse_session_name(tokens, command);
  if (!tokens.at_end()) command.timeout = parse_duration(tokens);
}

void parse_mode(TokenStream& tokens, ShellCommand& command) {
  const Token token = tokens.expect_word("text, table or json");
  constexpr std::array<std::string_view, 3> modes{"text", "table", "json"};
  if (!tokens.failure() && std::find(modes.begin(), modes.end(), token.text) == modes.end()) {
    tokens.fail(token.place, fmt::format("there is no mode '{}'{}; there are text, table and json",
                                         printable(token.text), did_you_mean(token.text, modes)));
  }
  command.name = token.text;
}

void parse_on_off(TokenStream& tokens, ShellCommand& command) {
  command.flag = tokens.accept_word("on");
  if (!command.flag && !tokens.accept_word("off")) tokens.fail_expected("on or off");
}

void parse_fault(TokenStream& tokens, ShellCommand&) {
  if (!tokens.accept_word("next-sync")) tokens.fail_expected("next-sync");
}

void parse_help(TokenStream& tokens, ShellCommand& command) {
  if (!tokens.at_end()) command.name = tokens.next().text;
}

void parse_key(TokenStream& tokens, ShellCommand& command) {
  command.name = tokens.expect_word("a key").text;
}

using Verb = ShellVerb;

constexpr std::array registry{
    ShellCommandSpec{"session", "session NAME [LEVEL] [LOCKING]",
                     "Opens a session, or changes what one begins with, and goes to it.",
                     "session B serializable pessimistic", Verb::session, Operands::levels,
                     parse_cell},
    ShellCommandSpec{"use", "use SESSION",
                     "Goes to a session: what is typed without a name in front is for it.", "use B",
                     Verb::use, Operands::sessions, parse_session_name},
    ShellCommandSpec{"sessions", "sessions", "Lists the sessions, and what each is doing.",
                     "sessions", Verb::sessions, Operands::none, nullptr},
    ShellCommandSpec{"close", "close SESSION", "Closes a session, rolling back what it has open.",
                     "close B", Verb::close, Operands::sessions, parse_session_name},
    ShellCommandSpec{"versions", "[in KEYSPACE] versions KEY",
                     "Shows the versions of a key: timestamp, writer, whether it is in LMDB or in "
                     "memory, who sees it.",
                     "versions x", Verb::versions, Operands::keys, parse_key},
    ShellCommandSpec{"snapshot", "snapshot [SESSION]", "Tells what state a session reads.",
                     "snapshot A", Verb::snapshot, Operands::sessions, parse_optional_session},
    ShellCommandSpec{"reads", "reads [SESSION]", "Lists what the session's transaction has read.",
                     "reads A", Verb::reads, Operands::sessions, parse_optional_session},
    ShellCommandSpec{"writes", "writes [SESSION]",
                     "Lists what the session's transaction has written.", "writes A", Verb::writes,
                     Operands::sessions, parse_optional_session},
    ShellCommandSpec{"locks", "locks", "Lists the locks that are held, and who waits for them.",
                     "locks", Verb::locks, Operands::none, nullptr},
    ShellCommandSpec{"waits", "waits [dot]",
                     "Tells who waits for whom; with dot, as a graph for Graphviz.", "waits",
                     Verb::waits, Operands::none, parse_graph},
    ShellCommandSpec{"deadlocks", "deadlocks [dot]",
                     "Tells of the deadlocks so far; with dot, of the last one as a graph.",
                     "deadlocks", Verb::deadlocks, Operands::none, parse_graph},
    ShellCommandSpec{"explain", "explain", "Tells why the last transaction was aborted.", "explain",
                     Verb::explain, Operands::none, nullptr},
    ShellCommandSpec{"verdict", "verdict",
                     "Asks the checker which anomalies the sessions' transactions have shown.",
                     "verdict", Verb::verdict, Operands::none, nullptr},
    ShellCommandSpec{"stats", "stats", "Shows the database's figures.", "stats", Verb::stats,
                     Operands::none, nullptr},
    ShellCommandSpec{"history", "history",
                     "Lists what was typed, by the names that $a2 refers to, with what came of it.",
                     "history", Verb::history, Operands::none, nullptr},
    ShellCommandSpec{"keyspaces", "keyspaces", "Lists the keyspaces.", "keyspaces", Verb::keyspaces,
                     Operands::none, nullptr},
    ShellCommandSpec{"wait", "wait SESSION [2s]",
                     "Waits until a session is not blocked any more; Ctrl-C gives that up.",
                     "wait A 2s", Verb::wait, Operands::sessions, parse_wait},
    ShellCommandSpec{"cancel", "cancel [SESSION]",
                     "Ends a session's wait for a lock, and with it its transaction.", "cancel A",
                     Verb::cancel, Operands::sessions, parse_optional_session},
    ShellCommandSpec{"source", "source FILE", "Reads lines from a file, as if they were typed.",
                     "source steps.txt", Verb::source, Operands::files, parse_file},
    ShellCommandSpec{"save", "save FILE.iso",
                     "Writes what was typed as a script that expects what was seen; `isolde run` "
                     "plays it.",
                     "save mine.iso", Verb::save, Operands::files, parse_file},
    ShellCommandSpec{"crash", "crash",
                     "Abandons the database as a killed process would; nothing that is open "
                     "survives.",
                     "crash", Verb::crash, Operands::none, nullptr},
    ShellCommandSpec{"reopen", "reopen",
                     "Opens the database again, recovering what was acknowledged.", "reopen",
                     Verb::reopen, Operands::none, nullptr},
    ShellCommandSpec{"fault", "fault next-sync",
                     "Makes the next sync of the commit log fail, as a dying disk would.",
                     "fault next-sync", Verb::fault, Operands::words, parse_fault},
    ShellCommandSpec{"mode", "mode text | table | json", "Sets how answers are shown.",
                     "mode table", Verb::mode, Operands::modes, parse_mode},
    ShellCommandSpec{"timer", "timer on | off", "Shows how long each command took.", "timer on",
                     Verb::timer, Operands::on_off, parse_on_off},
    ShellCommandSpec{"help", "help [COMMAND]", "Lists the commands, or explains one.", "help begin",
                     Verb::help, Operands::words, parse_help},
    ShellCommandSpec{"quit", "quit", "Leaves, rolling back what is open. So does Ctrl-D.", "quit",
                     Verb::quit, Operands::none, nullptr},
};

// What it is called elsewhere, and here.
struct Habit {
  std::string_view word;
  std::string_view here;
};

constexpr std::array<Habit, 15> habits{{{"set", "put"},
                                        {"update", "put"},
                                        {"delete", "del"},
                                        {"erase", "del"},
                                        {"remove", "del"},
                                        {"rm", "del"},
                                        {"incr", "add"},
                                        {"select", "get or scan"},
                                        {"find", "scan"},
                                        {"keys", "scan"},
                                        {"list", "scan"},
                                        {"ls", "scan"},
                                        {"tables", "keyspaces"},
                                        {"abort", "rollback"},
                                        {"undo", "rollback"}}};

// As other shells write it: in capitals, with a dot in front.
std::string plain_word(std::string_view word) {
  if (word.starts_with('.')) word.remove_prefix(1);
  std::string plain(word);
  std::transform(plain.begin(), plain.end(), plain.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return plain;
}

std::string unknown(const Token& word) {
  const std::string plain = plain_word(word.text);
  const auto* habit = std::find_if(habits.begin(), habits.end(),
                                   [&plain](const Habit& each) { return each.word == plain; });
  const bool here = find_command(plain) != nullptr || find_shell_command(plain) != nullptr;
  if (here || habit != habits.end()) {
    return fmt::format("unknown command {}; did you mean {}?", spelled_short(word.text),
                       here ? plain : habit->here);
  }
  std::vector<std::string_view> words;
  words.reserve(registry.size() + command_registry().size());
  for (const ShellCommandSpec& spec : registry) words.push_back(spec.word);
  for (const CommandSpec& spec : command_registry()) words.push_back(spec.word);
  // A script read line by line; did_you_mean would only guess at each of its words.
  constexpr std::array<std::string_view, 5> of_scripts{"setup", "schedule", "final", "invariant",
                                                       "outcomes"};
  if (std::find(of_scripts.begin(), of_scripts.end(), word.text) != of_scripts.end()) {
    return fmt::format("{} belongs to scripts, which `isolde run FILE` plays", word.text);
  }
  std::string meant = did_you_mean(word.text, words);
  if (meant.empty()) meant = "; `help` lists the commands";
  return fmt::format("unknown command {}{}", spelled_short(word.text), meant);
}

ShellCommand parse_shell_command(TokenStream& tokens, const ShellCommandSpec& spec) {
  ShellCommand command;
  command.verb = spec.verb;
  command.keyspace = parse_in_keyspace(tokens);
  tokens.next();  // the word
  if (spec.parse != nullptr) spec.parse(tokens, command);
  tokens.explain(fmt::format("the syntax is: {}", spec.syntax));
  if (!tokens.at_end()) {
    const Token& rest = tokens.peek();
    tokens.fail(rest.place, fmt::format("too much: {}; the syntax is: {}", spelled_short(rest.text),
                                        spec.syntax));
  }
  return command;
}

// "A:" in front, and where the rest begins. A key may hold a colon, but no line begins with a key.
std::optional<std::string> session_prefix(const Token& first, std::size_t& rest) {
  if (first.kind != Token::Kind::word) return std::nullopt;
  const std::size_t colon = first.find_bare(":");
  if (colon == std::string::npos || !is_name(std::string_view(first.text).substr(0, colon))) {
    return std::nullopt;
  }
  rest = first.place.column - 1 + colon + 1;
  return first.text.substr(0, colon);
}

}  // namespace

std::span<const ShellCommandSpec> shell_command_registry() { return registry; }

const ShellCommandSpec* find_shell_command(std::string_view word) {
  if (word == "exit") word = "quit";
  const auto* found =
      std::find_if(registry.begin(), registry.end(),
                   [word](const ShellCommandSpec& spec) { return spec.word == word; });
  return found == registry.end() ? nullptr : found;
}

std::variant<TypedLine, ScriptError> parse_line(std::string_view line) {
  TypedLine typed;
  TokenStream start(line, 1);
  std::size_t rest = 0;
  typed.session = session_prefix(start.peek(), rest);
  TokenStream tokens(line, 1, rest);
  if (tokens.failure()) return *tokens.failure();
  if (tokens.at_end()) return typed;

  const bool in_front = tokens.peek().is_word("in");
  const Token word = tokens.peek(in_front ? 2 : 0);
  const ShellCommandSpec* spec = word.is_bare() ? find_shell_command(word.text) : nullptr;
  const bool both = spec != nullptr && find_command(word.text) != nullptr;
  if (spec != nullptr && (!in_front || spec->verb == Verb::versions)) {
    TokenStream copy = tokens;
    ShellCommand command = parse_shell_command(both ? copy : tokens, *spec);
    if (both && !copy.failure()) {
      typed.or_shell = std::move(command);
    } else if (both && spec->verb == Verb::wait) {
      return *copy.failure();  // the shell's `wait` says all that the script's says, and more
    } else if (!both) {
      if (tokens.failure()) return *tokens.failure();
      typed.shell = std::move(command);
      return typed;
    }
  }
  if (typed.or_shell && typed.or_shell->timeout) {
    typed.shell = std::exchange(typed.or_shell, std::nullopt);
    return typed;
  }
  if (word.is_bare() && !word.is_word("if") && find_command(word.text) == nullptr) {
    return ScriptError{word.place, unknown(word)};
  }
  const std::size_t first = tokens.position();
  do {
    typed.commands.push_back(parse_command(tokens, false));
  } while (!tokens.failure() && tokens.accept_symbol(";") && !tokens.at_end());
  if (!tokens.failure() && !tokens.at_end()) {
    tokens.fail(tokens.peek().place, "expectations belong to scripts; here you see what happens");
  }
  if (tokens.failure()) return *tokens.failure();
  typed.text = tokens.text_since(first);
  // A habit from SQL: the last `;` separates nothing.
  while (!typed.text.empty() && (typed.text.back() == ';' || typed.text.back() == ' ')) {
    typed.text.pop_back();
  }
  return typed;
}

}  // namespace isolde::lab
