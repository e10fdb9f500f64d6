#include "lab/script/command_registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "lab/script/cell.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

Operand parse_operand(TokenStream& tokens, std::string_view what) {
  const Token token = tokens.expect_word(what);
  return Operand::parse(tokens, token);
}

std::string parse_plain_name(TokenStream& tokens, std::string_view what) {
  const Token token = tokens.expect_word(what);
  if (!tokens.failure() && !is_name(token.text, true)) {
    tokens.fail(token.place, fmt::format("'{}' is no name: a letter, then letters, digits, _ or -",
                                         printable(token.text)));
  }
  return token.text;
}

// [for update | for share] [nowait | skip locked]
void parse_locking_read(TokenStream& tokens, ReadMode& mode, LockWait& lock_wait) {
  if (tokens.accept_word("for")) {
    if (tokens.accept_word("update")) {
      mode = ReadMode::for_update;
    } else if (tokens.accept_word("share")) {
      mode = ReadMode::for_share;
    } else {
      tokens.fail_expected("update or share after for");
    }
  }
  const Place place = tokens.peek().place;
  if (tokens.accept_word("nowait")) {
    lock_wait = LockWait::nowait;
  } else if (tokens.accept_word("skip")) {
    if (!tokens.accept_word("locked")) tokens.fail_expected("locked after skip");
    lock_wait = LockWait::skip_locked;
  }
  if (lock_wait != LockWait::wait && mode == ReadMode::plain) {
    tokens.fail(place, "nowait and skip locked follow for update or for share");
  }
}

int parse_priority(TokenStream& tokens) {
  constexpr std::int64_t most = 1'000'000;
  const Token token = tokens.expect_word("a number after priority");
  const auto number = to_integer(token.text);
  if (!number || *number < -most || *number > most) {
    tokens.fail(token.place, fmt::format("priority takes an integer from {} to {}", -most, most));
    return 0;
  }
  return static_cast<int>(*number);
}

Action parse_begin(TokenStream& tokens) {
  BeginCommand begin;
  begin.level = accept_level(tokens);
  begin.locking = accept_locking(tokens);
  if (tokens.accept_word("read")) {
    if (!tokens.accept_word("only")) tokens.fail_expected("only after read");
    begin.read_only = true;
  }
  if (tokens.accept_word("timeout")) begin.timeout = parse_duration(tokens);
  if (tokens.accept_word("priority")) begin.priority = parse_priority(tokens);
  const Token& rest = tokens.peek();
  if (rest.is_bare()) {
    std::vector<std::string_view> words(cell_spellings.begin(), cell_spellings.end());
    words.insert(words.end(), {"read", "timeout", "priority"});
    tokens.fail(rest.place,
                fmt::format("begin takes [level] [locking] [read only] [timeout 50ms] [priority "
                            "N], in this order, not {}{}",
                            spelled_short(rest.text), did_you_mean(rest.text, words)));
  }
  return begin;
}

Action parse_rollback(TokenStream& tokens) {
  RollbackCommand rollback;
  if (tokens.accept_word("to")) rollback.savepoint = parse_plain_name(tokens, "a savepoint");
  return rollback;
}

Action parse_get(TokenStream& tokens) {
  GetCommand get;
  get.key = parse_operand(tokens, "a key");
  parse_locking_read(tokens, get.mode, get.lock_wait);
  return get;
}

Action parse_put_or_insert(TokenStream& tokens, bool insert) {
  PutCommand put;
  put.insert = insert;
  put.key = parse_operand(tokens, "a key");
  put.value = parse_operand(tokens, "a value");
  return put;
}

Action parse_add(TokenStream& tokens, bool answers) {
  AddCommand add;
  add.answers = answers;
  add.key = parse_operand(tokens, "a key");
  add.delta = parse_operand(tokens, "a number");
  return add;
}

Action parse_cas(TokenStream& tokens) {
  CompareAndSetCommand cas;
  cas.key = parse_operand(tokens, "a key");
  cas.expected = parse_operand(tokens, "the expected value");
  cas.value = parse_operand(tokens, "the new value");
  return cas;
}

void parse_where(TokenStream& tokens, ScanCommand& scan) {
  if (!tokens.accept_word("value")) tokens.fail_expected("value after where");
  ScanCommand::Filter filter;
  filter.comparison = parse_comparison(tokens);
  filter.operand = parse_operand(tokens, "what to compare with");
  scan.where = std::move(filter);
}

ScanCommand parse_range_read(TokenStream& tokens, ScanCommand::What what) {
  ScanCommand scan;
  scan.what = what;
  scan.range = RangeOperand::parse(tokens);
  if (tokens.accept_word("where")) parse_where(tokens, scan);
  scan.reverse = tokens.accept_word("reverse");
  if (tokens.accept_word("limit")) {
    const Token count = tokens.expect_word("a number after limit");
    const auto limit = to_integer(count.text);
    if (!limit || *limit < 0) tokens.fail(count.place, "limit takes a number, 0 or more");
    scan.limit = static_cast<std::size_t>(std::max<std::int64_t>(0, limit.value_or(0)));
  }
  parse_locking_read(tokens, scan.mode, scan.lock_wait);
  const Token& rest = tokens.peek();
  if (rest.is_word("where") || rest.is_word("reverse") || rest.is_word("limit")) {
    tokens.fail(rest.place, fmt::format("{} stands too late: the order is where, reverse, limit, "
                                        "for update | for share",
                                        rest.text));
  }
  return scan;
}

using What = ScanCommand::What;

Action parse_open(TokenStream& tokens) {
  OpenCommand open;
  open.cursor = parse_plain_name(tokens, "the cursor's name");
  if (!tokens.accept_word("scan")) tokens.fail_expected("scan after the cursor's name");
  open.scan = parse_range_read(tokens, What::entries);
  return open;
}

Action parse_wait(TokenStream& tokens) {
  const Token session = tokens.expect_word("the session to wait for");
  if (!tokens.failure()) tokens.note_session_use({session.text, session.place});
  return WaitCommand{session.text, session.place};
}

Action parse_fail(TokenStream& tokens) {
  if (!tokens.accept_word("next-sync")) tokens.fail_expected("next-sync after fail");
  return FailCommand{};
}

Action parse_hold(TokenStream& tokens) {
  HoldCommand hold;
  hold.place = tokens.expect_word("a place inside the engine, in quotes").text;
  if (!tokens.accept_word("until")) tokens.fail_expected("until and a step");
  const Token step = tokens.expect_word("the step to stand there for");
  if (!tokens.failure()) tokens.note_step_use({step.text, step.place, false});
  hold.step = step.text;
  return hold;
}

constexpr std::array registry{
    CommandSpec{
        "begin", "begin [LEVEL] [LOCKING] [read only] [timeout 50ms] [priority N]",
        "Starts a transaction, at the run's level and locking where none is named; it waits "
        "for locks for ever unless a timeout is named.",
        "begin serializable read only", false, parse_begin},
    CommandSpec{"commit", "commit", "Ends the transaction, keeping its writes.", "commit", false,
                [](TokenStream&) -> Action { return CommitCommand{}; }},
    CommandSpec{"rollback", "rollback [to SAVEPOINT]",
                "Ends the transaction, undoing its writes, or acknowledges that it was aborted; "
                "with `to`, undoes what was written since the savepoint.",
                "rollback to s1", false, parse_rollback},
    CommandSpec{"retry", "retry",
                "Runs the aborted transaction of the session again, from its begin to here; "
                "skipped if it was not aborted.",
                "retry", false, [](TokenStream&) -> Action { return RetryCommand{}; }},
    CommandSpec{"savepoint", "savepoint NAME", "Marks a place to roll back to.", "savepoint s1",
                false,
                [](TokenStream& tokens) -> Action {
                  return SavepointCommand{parse_plain_name(tokens, "a name")};
                }},
    CommandSpec{"release", "release SAVEPOINT",
                "Forgets a savepoint and those inside it, keeping the writes.", "release s1", false,
                [](TokenStream& tokens) -> Action {
                  return ReleaseCommand{parse_plain_name(tokens, "a savepoint")};
                }},
    CommandSpec{"get", "get KEY [for update | for share [nowait | skip locked]]",
                "Reads a key; with `for`, the commit depends on it at every level.",
                "get x for update", false, parse_get},
    CommandSpec{"put", "put KEY VALUE", "Writes a key.", "put x 10", true,
                [](TokenStream& tokens) { return parse_put_or_insert(tokens, false); }},
    CommandSpec{"insert", "insert KEY VALUE",
                "Writes a key that must not be there (in setup: leaves one that is there alone).",
                "insert x 10", true,
                [](TokenStream& tokens) { return parse_put_or_insert(tokens, true); }},
    CommandSpec{
        "del", "del KEY", "Removes a key, whether or not it is there.", "del x", true,
        [](TokenStream& tokens) -> Action { return EraseCommand{parse_operand(tokens, "a key")}; }},
    CommandSpec{"add", "add KEY NUMBER",
                "Adds to an integer (absent counts as 0) at commit, without reading it: blind, so "
                "that adds of several count at every level.",
                "add x -5", true, [](TokenStream& tokens) { return parse_add(tokens, false); }},
    CommandSpec{"add_and_get", "add_and_get KEY NUMBER",
                "Adds to an integer and returns the sum, which is what will be committed: the "
                "commit depends on it at every level.",
                "add_and_get hits 1", true,
                [](TokenStream& tokens) { return parse_add(tokens, true); }},
    CommandSpec{"cas", "cas KEY OLD NEW", "Writes NEW if the value is OLD, atomically.",
                "cas x 10 11", true, parse_cas},
    CommandSpec{
        "scan", "scan RANGE [where value OP V] [reverse] [limit N] [for update | for share ...]",
        "Reads a range in key order: a..b (half-open), p* (a prefix) or *.",
        "scan acct/* where value >= 100 reverse limit 2", false,
        [](TokenStream& tokens) -> Action { return parse_range_read(tokens, What::entries); }},
    CommandSpec{
        "count", "count RANGE [where ...] [reverse] [limit N] [for ...]",
        "Counts what scan would return.", "count lib*", false,
        [](TokenStream& tokens) -> Action { return parse_range_read(tokens, What::count); }},
    CommandSpec{"sum", "sum RANGE [where ...] [reverse] [limit N] [for ...]",
                "Adds up the values that scan would return, all integers.", "sum acct/*", false,
                [](TokenStream& tokens) -> Action { return parse_range_read(tokens, What::sum); }},
    CommandSpec{"open", "open CURSOR scan RANGE ...",
                "Opens a cursor over what scan would return, to be walked by next.",
                "open c scan acct/* reverse", false, parse_open},
    CommandSpec{"next", "next CURSOR", "Reads the cursor's next entry; empty at its end.", "next c",
                false,
                [](TokenStream& tokens) -> Action {
                  return NextCommand{parse_plain_name(tokens, "a cursor")};
                }},
    CommandSpec{"close", "close CURSOR", "Closes a cursor.", "close c", false,
                [](TokenStream& tokens) -> Action {
                  return CloseCommand{parse_plain_name(tokens, "a cursor")};
                }},
    CommandSpec{"wait", "wait SESSION", "Goes on once that session is not blocked any more.",
                "wait A", false, parse_wait},
    CommandSpec{"keyspace", "keyspace NAME",
                "Creates a keyspace; commands use it with `in NAME` in front.", "keyspace stock",
                true,
                [](TokenStream& tokens) -> Action {
                  return KeyspaceCommand{tokens.expect_word("a name").text};
                }},
    CommandSpec{"checkpoint", "checkpoint", "Carries all that is committed into LMDB now.",
                "checkpoint", true, [](TokenStream&) -> Action { return CheckpointCommand{}; }},
    CommandSpec{"fail", "fail next-sync",
                "Makes the next sync of the commit log fail, as a dying disk would.",
                "fail next-sync", false, parse_fail},
    CommandSpec{"hold", "hold \"PLACE\" until STEP",
                "Once the rest of this step comes by that place inside the engine, it stands there "
                "until STEP has been played; for builds with yield points.",
                "hold \"commit: validated\" until b2", false, parse_hold},
};

void fail_unknown(TokenStream& tokens, const Token& word, bool in_setup) {
  std::vector<std::string_view> words;
  for (const CommandSpec& spec : registry) {
    if (spec.in_setup || !in_setup) words.push_back(spec.word);
  }
  tokens.fail(word.place, fmt::format("unknown command {}{}", spelled_short(word.text),
                                      did_you_mean(word.text, words)));
}

bool uses_keyspace(const Action& action) {
  return std::holds_alternative<GetCommand>(action) || std::holds_alternative<PutCommand>(action) ||
         std::holds_alternative<EraseCommand>(action) ||
         std::holds_alternative<AddCommand>(action) ||
         std::holds_alternative<CompareAndSetCommand>(action) ||
         std::holds_alternative<ScanCommand>(action) || std::holds_alternative<OpenCommand>(action);
}

Command::Condition parse_condition(TokenStream& tokens) {
  Command::Condition condition;
  condition.left = parse_operand(tokens, "a reference such as $a2 after if");
  condition.comparison = parse_comparison(tokens);
  if (!tokens.accept_word("absent")) {
    condition.right = parse_operand(tokens, "a value to compare with");
  }
  return condition;
}

}  // namespace

std::chrono::milliseconds parse_duration(TokenStream& tokens) {
  constexpr std::int64_t longest = 3'600'000;
  const Token token = tokens.expect_word("a duration such as 50ms or 2s");
  const bool in_ms = token.text.ends_with("ms");
  const std::string_view number =
      std::string_view(token.text).substr(0, token.text.size() - (in_ms ? 2 : 1));
  const auto count = token.text.ends_with('s') ? to_integer(number) : std::nullopt;
  if (tokens.failure()) return {};
  if (!count || *count < 1 || *count > longest / (in_ms ? 1 : 1000)) {
    tokens.fail(token.place, fmt::format("{} is no duration: write 50ms or 2s, at most an hour",
                                         spelled_short(token.text)));
    return {};
  }
  return std::chrono::milliseconds(in_ms ? *count : *count * 1000);
}

std::span<const CommandSpec> command_registry() { return registry; }

const CommandSpec* find_command(std::string_view word) {
  const auto* found = std::find_if(registry.begin(), registry.end(),
                                   [word](const CommandSpec& spec) { return spec.word == word; });
  return found == registry.end() ? nullptr : found;
}

std::optional<std::string> parse_in_keyspace(TokenStream& tokens) {
  if (!tokens.accept_word("in")) return std::nullopt;
  return tokens.expect_word("a keyspace after in").text;
}

Command parse_command(TokenStream& tokens, bool in_setup) {
  const std::size_t first = tokens.position();
  Command command;
  command.place = tokens.peek().place;
  while (tokens.peek().is_word("if")) {
    const Token word = tokens.next();
    if (in_setup) tokens.fail(word.place, "setup has no steps that if could ask about");
    command.conditions.push_back(parse_condition(tokens));
  }
  const Place in_place = tokens.peek().place;
  command.keyspace = parse_in_keyspace(tokens);
  const Token word = tokens.expect_word("a command");
  const CommandSpec* spec = word.is_bare() ? find_command(word.text) : nullptr;
  if (tokens.failure()) return command;
  if (spec == nullptr) {
    fail_unknown(tokens, word, in_setup);
    return command;
  }
  if (in_setup && !spec->in_setup) {
    tokens.fail(word.place, fmt::format("{} belongs into a session; each line of setup commits by "
                                        "itself",
                                        spec->word));
    return command;
  }
  command.action = spec->parse(tokens);
  tokens.explain(fmt::format("the syntax is: {}", spec->syntax));
  if (command.keyspace && !uses_keyspace(command.action)) {
    tokens.fail(in_place, fmt::format("{} has nothing to do with a keyspace", spec->word));
  }
  const Token& rest = tokens.peek();
  if (rest.kind != Token::Kind::end && !rest.is_symbol(";") && !rest.is_symbol("=>")) {
    tokens.fail(rest.place, fmt::format("too much: {}; the syntax is: {}", spelled_short(rest.text),
                                        spec->syntax));
  }
  command.text = tokens.text_since(first);
  return command;
}

}  // namespace isolde::lab
