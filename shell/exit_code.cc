#include "exit_code.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "lab/text/source.h"
#include "lab/text/text.h"

namespace isolde::shell {
namespace {

int exit_code_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::cancelled:
      return exit_interrupted;
    case ErrorCode::database_in_use:
    case ErrorCode::corruption:
    case ErrorCode::not_a_database:
    case ErrorCode::permission_denied:
    case ErrorCode::format_unsupported:
    case ErrorCode::database_failed:
      return exit_database;
    case ErrorCode::keyspace_not_found:
    case ErrorCode::already_exists:
    case ErrorCode::invalid_argument:
    case ErrorCode::key_empty:
    case ErrorCode::key_too_long:
    case ErrorCode::value_too_large:
      return exit_usage;
    default:
      return exit_failed;
  }
}

}  // namespace

void complain(std::string_view message) {
  if (reader_is_gone()) return;  // what fails now fails for that reason, which is no error
  const std::string line = fmt::format("isolde: {}\n", message);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

int report(const Error& error, std::string_view context) {
  if (error.code() == ErrorCode::cancelled) {
    complain(fmt::format("{}: interrupted", context));
  } else {
    complain(fmt::format("{}: {}", context, error.to_string()));
  }
  return exit_code_of(error.code());
}

int report_open(const Error& error, std::string_view directory) {
  complain(fmt::format("cannot open {}: {}", directory, error.to_string()));
  return exit_database;
}

int report_unknown_keyspace(const Database& database, std::string_view name) {
  const std::vector<Keyspace> keyspaces = database.keyspaces();
  std::vector<std::string> names;
  names.reserve(keyspaces.size());
  for (const Keyspace& keyspace : keyspaces) names.push_back(lab::spelled(keyspace.name()));
  const std::vector<std::string_view> views(names.begin(), names.end());
  complain(fmt::format("there is no keyspace {} in {}{}; it has: {}", lab::spelled(name),
                       lab::printable(database.directory().string()),
                       lab::did_you_mean(name, views),
                       names.empty() ? "none yet" : fmt::format("{}", fmt::join(names, ", "))));
  return exit_usage;
}

}  // namespace isolde::shell
