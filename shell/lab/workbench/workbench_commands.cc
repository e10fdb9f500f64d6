// The commands to the shell itself: sessions, flow, help.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "lab/script/command_registry.h"
#include "lab/text/text.h"
#include "lab/workbench/inside_json.h"
#include "lab/workbench/workbench.h"

namespace isolde::lab {
namespace {

using Reply = Workbench::Reply;
using Paint = Screen::Paint;

constexpr std::string_view closed_words = "the database has crashed; reopen it: reopen";

// What works without a database.
bool needs_database(ShellVerb verb) {
  switch (verb) {
    case ShellVerb::use:
    case ShellVerb::sessions:
    case ShellVerb::explain:
    case ShellVerb::verdict:
    case ShellVerb::history:
    case ShellVerb::source:
    case ShellVerb::reopen:
    case ShellVerb::mode:
    case ShellVerb::timer:
    case ShellVerb::help:
    case ShellVerb::quit:
      return false;
    default:
      return true;
  }
}

ScreenStyle::Mode mode_of(std::string_view name) {
  if (name == "table") return ScreenStyle::Mode::table;
  return name == "json" ? ScreenStyle::Mode::json : ScreenStyle::Mode::text;
}

}  // namespace

Reply Workbench::run(const ShellCommand& command, std::optional<std::size_t> prefixed) {
  if (needs_database(command.verb) && !playground_.is_open()) {
    return refuse(std::string(closed_words));
  }
  switch (command.verb) {
    case ShellVerb::session:
      return open_session(command);
    case ShellVerb::use:
      return use(*command.session);
    case ShellVerb::sessions:
      return list_sessions();
    case ShellVerb::close:
      return close_session(*command.session);
    case ShellVerb::wait:
      return wait(command);
    case ShellVerb::source:
      return source(command.name);
    case ShellVerb::save:
      return save(command.name);
    case ShellVerb::crash:
      return crash();
    case ShellVerb::reopen:
      return reopen();
    case ShellVerb::fault:
      return fault();
    case ShellVerb::mode:
      style().mode = mode_of(command.name);
      return Reply::done;
    case ShellVerb::timer:
      style().timer = command.flag;
      return Reply::done;
    case ShellVerb::help:
      return help(command.name);
    case ShellVerb::quit:
      over_ = true;
      return Reply::done;
    default:
      break;
  }
  std::size_t seat = prefixed.value_or(here_);
  if (command.session) {
    const auto named = find_seat(*command.session);
    if (!named) return no_session(*command.session);
    seat = *named;
  }
  return run_here(command, seat);
}

// Those that look inside, mostly at one session.
Reply Workbench::run_here(const ShellCommand& command, std::size_t seat) {
  switch (command.verb) {
    case ShellVerb::cancel:
      return cancel(seat);
    case ShellVerb::versions:
      return versions(command);
    case ShellVerb::snapshot:
      return snapshot(seat);
    case ShellVerb::reads:
      return touches(seat, false);
    case ShellVerb::writes:
      return touches(seat, true);
    case ShellVerb::locks:
      return locks();
    case ShellVerb::waits:
      return waits(command.flag);
    case ShellVerb::deadlocks:
      return deadlocks(command.flag);
    case ShellVerb::explain:
      return explain();
    case ShellVerb::verdict:
      return verdict();
    case ShellVerb::stats:
      return stats();
    case ShellVerb::history:
      return history();
    default:
      return keyspaces();
  }
}

Reply Workbench::open_session(const ShellCommand& command) {
  const std::string& name = *command.session;
  const auto known = find_seat(name);
  // Each has a thread, which waits for the next one of its name when it is closed.
  constexpr std::size_t most_sessions = 256;
  if (!known && seats_.size() == most_sessions &&
      std::none_of(seats_.begin(), seats_.end(),
                   [&name](const Seat& seat) { return seat.name == name; })) {
    return refuse(
        fmt::format("there are {} sessions, closed ones included, and no more can be; "
                    "the name of a closed one can be taken again",
                    most_sessions));
  }
  const std::size_t seat = known ? *known : seat_for(name);
  Session& session = *conductor_.session(seat);
  Cell cell = session.cell();
  if (command.level) cell.level = *command.level;
  if (command.locking) cell.locking = *command.locking;
  session.set_cell(cell);
  here_ = seat;
  if (screen_.json()) return tell(session_line(name, cell));
  show(fmt::format(
      "{}: {}{}\n", screen_.session(seat, name), cell.to_string(),
      is_busy(seat) && (command.level || command.locking) ? ", from its next transaction on" : ""));
  return Reply::done;
}

Reply Workbench::use(const std::string& name) {
  const auto seat = find_seat(name);
  if (!seat) return no_session(name);
  here_ = *seat;
  return Reply::done;
}

Reply Workbench::list_sessions() {
  std::vector<ListedSession> sessions;
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (!is_open(seat)) continue;
    const Session& session = *conductor_.session(seat);
    ListedSession& listed = sessions.emplace_back();
    listed = {label_of(seat), session.cell(), state_of(seat), std::nullopt, {}};
    if (const Transaction* txn = session.transaction(); txn != nullptr) {
      listed.transaction = Cell{txn->isolation(), txn->locking()};
    }
    if (seats_[seat].at != nullptr) listed.waits_for = conductor_.turns().blockers(seat);
  }
  if (screen_.json()) return tell(sessions_line(sessions));
  Rows rows{{"session", "begins with", "state"}};
  for (const ListedSession& listed : sessions) {
    std::string state = listed.state.empty() ? "idle" : listed.state;
    if (listed.transaction) state += fmt::format(": {}", listed.transaction->to_string());
    if (!listed.waits_for.empty()) {
      state = fmt::format("waits for {}", fmt::join(listed.waits_for, " and "));
    }
    rows.push_back({listed.name, listed.cell.to_string(), state});
  }
  return tell(screen_.table(rows));
}

Reply Workbench::close_session(const std::string& name) {
  const auto seat = find_seat(name);
  if (!seat) return no_session(name);
  if (seats_[*seat].at != nullptr) {
    return refuse(fmt::format("session {} waits; end that first: cancel {}", name, name));
  }
  std::size_t open = 0;
  for (std::size_t other = 0; other < seats_.size(); ++other) open += is_open(other) ? 1 : 0;
  if (open == 1) return refuse(fmt::format("{} is the only session; to leave: quit", name));
  if (conductor_.session(*seat)->in_transaction()) {
    // As a line of its own: what others do next may depend on it, in a saved script as well.
    auto rollback = parse_line("rollback");
    static_cast<void>(play(*seat, std::move(std::get<TypedLine>(rollback))));
  }
  conductor_.close_session(*seat);
  if (here_ == *seat) {
    here_ = 0;
    while (!is_open(here_)) ++here_;
  }
  return tell(screen_.json() ? closed_line(name) : fmt::format("{}: closed\n", name));
}

Reply Workbench::wait(const ShellCommand& command) {
  const auto seat = find_seat(*command.session);
  if (!seat) return no_session(*command.session);
  const bool limited = command.timeout.has_value();
  const auto deadline = Clock::now() + command.timeout.value_or(std::chrono::milliseconds(0));
  while (seats_[*seat].at != nullptr) {
    if (!limited && !conductor_.can_time_pass()) {
      return refuse(fmt::format(
          "{} waits for {}, and nothing will happen while you wait for it; commit or roll back "
          "there, or: cancel {}",
          *command.session, fmt::join(conductor_.turns().blockers(*seat), " and "),
          *command.session));
    }
    std::optional<std::chrono::milliseconds> longest;
    if (limited) {
      longest = std::max(std::chrono::milliseconds(0),
                         std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()));
    }
    const Host::Waited waited = host_.wait(longest);
    settle();
    if (waited == Host::Waited::woken || seats_[*seat].at == nullptr) continue;
    return refuse(fmt::format("{} still waits", *command.session));
  }
  return Reply::done;
}

Reply Workbench::cancel(std::size_t seat) {
  if (seats_[seat].at == nullptr) {
    return refuse(fmt::format("{} does not wait for anything", label_of(seat)));
  }
  seats_[seat].at->by_hand = true;
  conductor_.cancel(seat);
  settle();
  return Reply::done;
}

Reply Workbench::source(const std::string& file) {
  constexpr int most_nested = 16;
  if (nested_ == most_nested) return refuse(fmt::format("{}: files source each other", file));
  auto text = host_.read(file);
  if (!text) {
    host_.show(screen_.complaint(text.error().message()), true);
    return Reply::misuse;
  }
  if (text->find('\0') != std::string::npos) {
    host_.show(screen_.complaint(fmt::format("{} is no text", printable(file))), true);
    return Reply::misuse;
  }
  const Source source(file, std::move(*text));
  Reply worst = Reply::done;
  ++nested_;
  for (std::size_t number = 1; number <= source.line_count() && !over_; ++number) {
    if (host_.interrupted()) {
      worst = std::max(worst, refuse(fmt::format("{}: interrupted at line {}", file, number)));
      break;
    }
    const std::string_view line = source.line(number);
    if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
    if (!screen_.json()) show(fmt::format("{}{}\n", prompt(), printable(line)));
    worst = std::max(worst, execute(line, file, number));
  }
  --nested_;
  return worst;
}

Reply Workbench::crash() {
  std::vector<std::string> lost;
  for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
    if (is_busy(seat)) lost.push_back(label_of(seat));
  }
  rollback_all();
  detach();
  playground_.abandon();
  if (screen_.json()) return tell(crashed_line(lost));
  show(fmt::format("{}\n", screen_.painted("crashed: the database is as a killed process leaves it",
                                           Paint::bad)));
  if (!lost.empty()) {
    show(screen_.note(
        fmt::format("Lost with it: what {} had not committed.", fmt::join(lost, " and "))));
  }
  return Reply::done;
}

Reply Workbench::reopen() {
  if (playground_.is_open()) {
    for (std::size_t seat = 0; seat < seats_.size(); ++seat) {
      if (is_busy(seat)) {
        return refuse(fmt::format("session {} has a transaction open; end it first, or: crash",
                                  label_of(seat)));
      }
    }
    detach();
    if (auto closed = playground_.close(); !closed) {
      host_.show(closed.error().to_string() + '\n', true);
    }
  }
  if (auto attached = attach(); !attached) return refuse(attached.error().to_string());
  const Stats stats = playground_.database().stats();
  if (screen_.json()) {
    return tell(reopened_line(stats.visible, stats.visible.value - stats.checkpoint.value));
  }
  show(fmt::format("reopened: commits up to {} are there; {} of them recovered from the log\n",
                   stats.visible.value, stats.visible.value - stats.checkpoint.value));
  return Reply::done;
}

Reply Workbench::fault() {
  if (playground_.database().options().durability.kind == Durability::Kind::none) {
    return refuse(
        "this database makes no syncs, so none can fail; open one with --durability sync");
  }
  playground_.database().fail_next_sync();
  return tell(screen_.json() ? fault_line() : "the next sync of the log will fail\n");
}

Reply Workbench::help(const std::string& word) {
  if (word.empty()) return help_on_all();
  const CommandSpec* of_sessions = find_command(word);
  const ShellCommandSpec* of_shell = find_shell_command(word);
  if (of_sessions == nullptr && of_shell == nullptr) {
    std::vector<std::string_view> words;
    for (const auto& spec : command_registry()) words.push_back(spec.word);
    for (const auto& spec : shell_command_registry()) words.push_back(spec.word);
    static_cast<void>(refuse(
        fmt::format("there is no command {}{}", spelled_short(word), did_you_mean(word, words))));
    return Reply::misuse;
  }
  std::vector<HelpEntry> entries;
  if (of_sessions != nullptr) {
    entries.push_back({of_sessions->syntax, of_sessions->help, of_sessions->example});
  }
  if (of_shell != nullptr) entries.push_back({of_shell->syntax, of_shell->help, of_shell->example});
  if (screen_.json()) return tell(help_line(entries));
  for (const HelpEntry& entry : entries) {
    const bool told_apart = entries.size() > 1 && &entry == &entries.front();
    show(fmt::format("{}{}\n", told_apart ? "SESSION: " : "",
                     screen_.painted(entry.syntax, Paint::bold)) +
         screen_.note(entry.help) + fmt::format("   Example: {}\n", entry.example));
  }
  return Reply::done;
}

Reply Workbench::help_on_all() {
  if (screen_.json()) {
    std::vector<HelpEntry> entries;
    for (const auto& spec : command_registry()) {
      entries.push_back({spec.syntax, spec.help, spec.example});
    }
    for (const auto& spec : shell_command_registry()) {
      entries.push_back({spec.syntax, spec.help, spec.example});
    }
    return tell(help_line(entries));
  }
  const auto list = [this](std::string_view heading, const auto& registry) {
    std::vector<std::string_view> words;
    for (const auto& spec : registry) words.push_back(spec.word);
    show(fmt::format("{}\n", screen_.painted(heading, Paint::bold)) +
         screen_.note(fmt::format("{}", fmt::join(words, "  "))));
  };
  list("For a session: [SESSION:] [if $a2 OP VALUE] [in KEYSPACE] COMMAND {; ...}",
       command_registry());
  list("For the shell", shell_command_registry());
  show(screen_.note(
      "`help COMMAND` explains one. `A: get x` is for session A, `get x` for the one at the "
      "prompt. Outside a transaction each command commits by itself. $a2 is what the second line "
      "of session A returned; `history` shows the names."));
  return Reply::done;
}

}  // namespace isolde::lab
