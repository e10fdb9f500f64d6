// What Tab can make of the word that is being typed.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "lab/script/command_registry.h"
#include "lab/text/text.h"
#include "lab/workbench/workbench.h"

namespace isolde::lab {
namespace {

constexpr std::array<std::string_view, 7> cell_words{
    "read-uncommitted", "read-committed", "repeatable-read", "serializable",
    "snapshot",         "optimistic",     "pessimistic"};

bool takes_key(std::string_view word) {
  constexpr std::array<std::string_view, 9> words{"get",         "put", "insert",   "del", "add",
                                                  "add_and_get", "cas", "versions", "scan"};
  return std::find(words.begin(), words.end(), word) != words.end() || word == "count" ||
         word == "sum";
}

// The words of the last command of the line, the last one unfinished (and maybe empty).
struct Typing {
  std::vector<std::string> words;
  std::string prefix;
  bool first_in_line = true;  // no prefix and no `;` before
};

Typing typing_of(std::string_view line) {
  Typing typing;
  if (const std::size_t at = line.rfind(';'); at != std::string_view::npos) {
    line.remove_prefix(at + 1);
    typing.first_in_line = false;
  }
  std::string word;
  for (const char c : line) {
    if (c != ' ' && c != '\t') {
      word += c;
      continue;
    }
    if (!word.empty()) typing.words.push_back(std::exchange(word, {}));
  }
  typing.prefix = std::move(word);
  if (!typing.words.empty() && typing.words.front().ends_with(':')) {
    typing.words.erase(typing.words.begin());
    typing.first_in_line = false;
  }
  return typing;
}

}  // namespace

std::vector<std::string> Workbench::completions(std::string_view line) {
  Typing typing = typing_of(line);
  std::vector<std::string> candidates;
  const auto add_sessions = [&](std::string_view suffix) {
    for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
      if (is_open(seat)) candidates.push_back(label_of(seat) + std::string(suffix));
    }
  };
  const auto add_keyspaces = [&] {
    if (!playground_.is_open()) return;
    for (const Keyspace& keyspace : playground_.database().keyspaces()) {
      candidates.push_back(spelled(keyspace.name()));
    }
  };
  std::string keyspace(default_keyspace_name);
  if (!typing.words.empty() && typing.words.front() == "in") {
    if (typing.words.size() == 1) {
      add_keyspaces();
    } else {
      keyspace = typing.words[1];
      typing.words.erase(typing.words.begin(), typing.words.begin() + 2);
    }
  }
  if (candidates.empty() && typing.words.empty()) {
    for (const auto& spec : command_registry()) candidates.emplace_back(spec.word);
    candidates.emplace_back("in");
    if (typing.first_in_line) {
      for (const auto& spec : shell_command_registry()) candidates.emplace_back(spec.word);
      add_sessions(":");
    }
  } else if (candidates.empty()) {
    const std::string& word = typing.words.front();
    const bool second = typing.words.size() == 1;
    const ShellCommandSpec* spec = find_shell_command(word);
    if (takes_key(word) && second) {
      candidates = live_keys(keyspace, typing.prefix);
    } else if (word == "begin" || (spec != nullptr && spec->operands == Operands::levels)) {
      if (word == "begin" || !second) candidates.assign(cell_words.begin(), cell_words.end());
      if (word == "begin") candidates.insert(candidates.end(), {"read", "timeout", "priority"});
      if (word != "begin" && second) add_sessions("");
    } else if (word == "help" && second) {
      for (const auto& other : command_registry()) candidates.emplace_back(other.word);
      for (const auto& other : shell_command_registry()) candidates.emplace_back(other.word);
    } else if (spec != nullptr && second) {
      if (spec->operands == Operands::sessions) add_sessions("");
      if (spec->operands == Operands::modes) candidates = {"text", "table", "json"};
      if (spec->operands == Operands::on_off) candidates = {"on", "off"};
      if (spec->verb == ShellVerb::fault) candidates = {"next-sync"};
      if (spec->verb == ShellVerb::waits || spec->verb == ShellVerb::deadlocks) {
        candidates = {"dot"};
      }
    } else if ((word == "get" || word == "scan") && !second) {
      candidates = {"for", "update", "share", "nowait", "skip", "locked"};
      if (word == "scan")
        candidates.insert(candidates.end(), {"where", "value", "reverse", "limit"});
    }
  }
  std::erase_if(candidates, [&typing](const std::string& candidate) {
    return !candidate.starts_with(typing.prefix);
  });
  std::sort(candidates.begin(), candidates.end());
  candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
  return candidates;
}

bool Workbench::completes_files(std::string_view line) {
  const Typing typing = typing_of(line);
  if (typing.words.size() != 1) return false;
  const ShellCommandSpec* spec = find_shell_command(typing.words.front());
  return spec != nullptr && spec->operands == Operands::files;
}

// The first few that the newest committed state has.
std::vector<std::string> Workbench::live_keys(const std::string& keyspace_name,
                                              const std::string& prefix) {
  constexpr std::size_t most_offered = 100;
  std::vector<std::string> keys;
  if (!playground_.is_open()) return keys;
  auto keyspace = playground_.find(keyspace_name);
  auto txn = playground_.database().begin({.read_only = true});
  if (!keyspace || !txn) return keys;
  ScanOptions options;
  options.limit = most_offered;
  static_cast<void>(
      txn->scan(*keyspace, KeyRange::prefix(prefix), options,
                [&keys](std::string_view key, std::string_view) { keys.push_back(spelled(key)); }));
  return keys;
}

}  // namespace isolde::lab
