// The registry of commands: word, syntax, help, example and parser of each, in one table, from
// which the parser, the help and the documentation's tests are fed.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lab/script/command.h"
#include "lab/script/token.h"

namespace isolde::lab {

struct CommandSpec {
  std::string_view word;
  std::string_view syntax;
  std::string_view help;
  std::string_view example;  // parses as it stands
  bool in_setup;             // else only in sessions
  // Reads what follows the word; fails the stream if it is malformed.
  Action (*parse)(TokenStream& tokens);
};

std::span<const CommandSpec> command_registry();
const CommandSpec* find_command(std::string_view word);

// One command, from [if ...] [in KEYSPACE] on, up to `;`, `=>` or the end, which it leaves.
Command parse_command(TokenStream& tokens, bool in_setup);

// "50ms" or "2s", at most an hour; fails the stream on anything else.
std::chrono::milliseconds parse_duration(TokenStream& tokens);

// `in NAME`, if it stands next.
std::optional<std::string> parse_in_keyspace(TokenStream& tokens);

}  // namespace isolde::lab
