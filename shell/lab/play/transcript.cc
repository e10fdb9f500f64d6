#include "lab/play/transcript.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "lab/text/text.h"

namespace isolde::lab {
namespace {

constexpr std::string_view red = "31";
constexpr std::string_view green = "32";
constexpr std::string_view yellow = "33";
constexpr std::string_view bold = "1";
constexpr std::string_view dim = "2";
constexpr std::array<std::string_view, 5> session_colors{"36", "35", "34", "96", "95"};
constexpr std::size_t gap = 2;           // between lanes
constexpr std::size_t shown_bytes = 48;  // of a value

std::string painted(std::string_view text, std::string_view color, const TranscriptStyle& style) {
  if (!style.color || text.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", color, text);
}

std::string repeated(std::string_view piece, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) text += piece;
  return text;
}

std::string indented(std::string_view text, std::size_t indent, std::size_t width) {
  std::string block;
  for (const std::string& line : wrapped(text, width - indent)) {
    block += std::string(indent, ' ') + line + '\n';
  }
  return block;
}

std::string spelled_place(const std::pair<std::string, std::string>& place) {
  std::string key = spelled_short(place.second, shown_bytes);
  if (place.first == default_keyspace_name) return key;
  return fmt::format("{}/{}", place.first, key);
}

std::string last_line_of(std::string text) {
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text + '\n';
}

// Draws the lanes of one run. Every session of the script has one, in the order of the script.
class Lanes {
 public:
  Lanes(const Play& play, const Playground& playground, const TranscriptStyle& style)
      : play_(play), playground_(playground), style_(style) {
    const std::size_t count = play.script->sessions.size();
    constexpr std::size_t narrowest = 10;
    const std::size_t taken = indent + gap * (count - 1);  // of many sessions, more than there is
    width_ = std::max(narrowest, (style.width - std::min(style.width, taken)) / count);
  }

  std::string draw() const {
    std::string text = header();
    for (const PlayEvent& event : play_.events) text += row(event);
    return text;
  }

 private:
  static constexpr std::size_t indent = 2;

  std::string header() const {
    std::string names(indent, ' ');
    std::string rules(indent, ' ');
    for (std::size_t i = 0; i < play_.script->sessions.size(); ++i) {
      const std::string& name = play_.script->sessions[i].name;
      names += painted(name, color(i), style_) +
               std::string(width_ - std::min(width_, display_width(name)) + gap, ' ');
      rules += repeated("─", width_) + std::string(gap, ' ');
    }
    return last_line_of(names) + last_line_of(rules);
  }

  std::string row(const PlayEvent& event) const {
    if (!event.record) {
      return line(*event.step, true, printable(event.step->text) + " → deferred", yellow);
    }
    const StepRecord& record = play_.steps[*event.record];
    const Step& step = *record.step;
    std::string text;
    for (std::size_t i = event.from; i < event.to; ++i) {
      const CommandRecord& command = record.commands[i];
      const bool woken = i == event.from && event.kind == PlayEvent::Kind::woken;
      text += line(step, i == event.from,
                   fmt::format("{}{} → {}", woken ? "woken: " : "",
                               printable(command.command->text), shown(command.outcome)),
                   command.outcome.error ? red : color(step.session));
    }
    if (event.kind == PlayEvent::Kind::blocked) {
      text +=
          line(step, event.from == event.to,
               fmt::format("{} → blocked{}", printable(event.waiting->text), by(event)), yellow);
      return text + (record.outcome.blocked->finished ? std::string() : unmet(record));
    }
    if (record.outcome.error) {
      const std::string& name = play_.script->sessions[step.session].name;
      text +=
          indented(record.deadlock ? deadlock_sentence(*record.deadlock)
                                   : evidence_sentence(*record.outcome.error, name, playground_),
                   6, style_.width);
    }
    return text + unmet(record);
  }

  static std::string by(const PlayEvent& event) {
    return event.by.empty() ? "" : fmt::format(" by {}", fmt::join(event.by, " "));
  }

  // One command in the lane of its session; the first of a step after the step's name.
  std::string line(const Step& step, bool first, const std::string& what,
                   std::string_view paint) const {
    const std::string margin(indent + step.session * (width_ + gap), ' ');
    const std::string label = step.name + ' ';
    const std::size_t lead = display_width(label);
    std::string text;
    for (const std::string& piece : wrapped(what, width_ - std::min(width_ - 2, lead))) {
      text += margin;
      text += painted((first ? label : std::string(lead, ' ')) + piece, paint, style_);
      text += '\n';
      first = false;
    }
    return text;
  }

  static std::string shown(const Outcome& outcome) {
    if (outcome.error) return fmt::format("✗ {}", name(outcome.error->code()));
    return to_script(outcome, shown_bytes);
  }

  // A failed expectation of the step belongs under it, not only at the end.
  std::string unmet(const StepRecord& record) const {
    std::string text;
    for (const Check& check : play_.checks) {
      if (check.passed || check.what != "step " + record.step->name) continue;
      text += painted(indented(fmt::format("✗ expected {}", check.expected), 6, style_.width), red,
                      style_);
    }
    return text;
  }

  static std::string_view color(std::size_t session) {
    return session_colors[session % session_colors.size()];
  }

  const Play& play_;
  const Playground& playground_;
  const TranscriptStyle& style_;
  std::size_t width_ = 0;
};

std::string title(const Play& play, const TranscriptStyle& style) {
  const Script& script = *play.script;
  const std::string schedule =
      script.schedules.size() > 1 ? fmt::format(" · schedule {}", play.schedule + 1) : "";
  const std::string text =
      fmt::format("{}{} · {}", script.source.name(), schedule, play.cell.to_string());
  return '\n' + painted(text, bold, style) + "\n\n";
}

std::string setup_lines(const Play& play, const TranscriptStyle& style) {
  std::vector<std::string> parts;
  for (const CommandRecord& record : play.setup) {
    const bool there = record.outcome.error.has_value();  // only an insert may fail in setup
    parts.push_back(printable(record.command->text) + (there ? " (is there already)" : ""));
  }
  if (parts.empty()) return {};
  constexpr std::size_t most_shown = 6;
  const std::size_t more = parts.size() > most_shown ? parts.size() - most_shown : 0;
  parts.resize(parts.size() - more);
  std::string text = fmt::format("setup: {}", fmt::join(parts, "; "));
  if (more > 0) text += fmt::format("; … {} more", more);
  return painted(indented(text, 2, style.width), dim, style) + '\n';
}

// What the checker found, and of each kind of anomaly the first one told.
std::string verdict_lines(const Play& play, const TranscriptStyle& style) {
  const std::vector<Phenomenon> found = play.verdict.phenomena();
  std::string text = painted(indented("verdict: " + names_of(found), 2, style.width),
                             found.empty() ? green : red, style);
  for (const Phenomenon phenomenon : found) {
    for (const Anomaly& anomaly : play.verdict.anomalies) {
      if (anomaly.phenomenon != phenomenon) continue;
      text += indented(printable(anomaly.text), 6, style.width);
      break;
    }
  }
  return text;
}

std::string final_lines(const Play& play, const TranscriptStyle& style) {
  constexpr std::size_t most_shown = 12;
  std::vector<std::string> parts;
  for (const auto& [place, value] : play.changes) {
    if (parts.size() == most_shown) {
      parts.push_back(fmt::format("… {} more", play.changes.size() - most_shown));
      break;
    }
    parts.push_back(spelled_place(place) + '=' +
                    (value ? spelled_short(*value, shown_bytes) : "absent"));
  }
  const std::string text = parts.empty() ? "nothing" : fmt::format("{}", fmt::join(parts, " "));
  std::string block = '\n' + indented("final: " + text, 2, style.width);
  for (const auto& [session, endings] : play.endings) {
    if (!endings.empty() && endings.back().kind == Ending::Kind::unfinished) {
      block += indented(fmt::format("{} did not commit, and was rolled back at the end", session),
                        2, style.width);
    }
  }
  return block + verdict_lines(play, style);
}

// Failed checks with their place in the script; of those that passed only the number.
std::string check_lines(const Play& play, const TranscriptStyle& style) {
  std::string text;
  const Source& source = play.script->source;
  for (const Check& check : play.checks) {
    if (check.passed) continue;
    const std::string head =
        fmt::format("✗ {}:{}:{}: {} at {}: expected {}, but {}", source.name(), check.place.line,
                    check.place.column, check.what, play.cell.to_string(), check.expected,
                    check.what.starts_with("step") ? "it was " + check.actual : check.actual);
    text += painted(indented(head, 2, style.width), red, style);
    text += render_place(source, check.place);
  }
  if (play.checks.empty()) return text + "  nothing was expected here\n";
  if (play.failed() == 0) {
    const std::size_t count = play.passed();
    text += painted(fmt::format("  ✓ {} expectation{} met", count, count == 1 ? "" : "s"), green,
                    style) +
            '\n';
  }
  return text;
}

std::string endings_of(const Play& play) {
  std::vector<std::string> parts;
  for (const SessionDefinition& session : play.script->sessions) {
    const auto found = play.endings.find(session.name);
    if (found == play.endings.end()) continue;
    for (const Ending& ending : found->second) {
      parts.push_back(fmt::format("{} {}", session.name, ending.to_string()));
    }
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::vector<std::size_t> column_widths(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], display_width(row[i]));
    }
  }
  return widths;
}

std::vector<std::vector<std::string>> table_rows(const std::vector<Play>& plays,
                                                 const TranscriptStyle& style) {
  std::vector<std::vector<std::string>> rows{{"level", "locking", "verdict", "transactions"}};
  std::set<Locking> lockings;
  for (const Play& play : plays) {
    lockings.insert(play.cell.locking);
    rows.push_back({std::string(name(play.cell.level)), std::string(name(play.cell.locking)),
                    names_of(play.verdict.phenomena()), endings_of(play)});
  }
  // A column that says the same in every row is noise; and of too wide a table the last goes first.
  if (lockings.size() == 1) {
    for (auto& row : rows) row.erase(row.begin() + 1);
  }
  std::size_t total = 2 * rows.front().size();
  for (const std::size_t width : column_widths(rows)) total += width;
  if (total > style.width) {
    for (auto& row : rows) row.pop_back();
  }
  return rows;
}

}  // namespace

std::string evidence_sentence(const Error& error, std::string_view session,
                              const Playground& playground) {
  const Evidence& evidence = error.evidence();
  if (error.code() == ErrorCode::keyspace_not_found) {
    // The error speaks to programmers.
    const std::string keyspace = spelled_short(playground.script_name(evidence.keyspace));
    return fmt::format("There is no keyspace {}; this creates it: keyspace {}", keyspace, keyspace);
  }
  const std::string self =
      evidence.self && !evidence.self->label.empty() ? evidence.self->label : std::string(session);
  const bool conflict =
      error.code() == ErrorCode::write_conflict || error.code() == ErrorCode::serialization_failure;
  if (!conflict || (!evidence.key && !evidence.range)) return error.message();
  std::string where;
  const std::string keyspace = playground.script_name(evidence.keyspace);
  if (!keyspace.empty() && keyspace != default_keyspace_name) where = " in " + keyspace;
  const std::string culprit = evidence.culprit && !evidence.culprit->label.empty()
                                  ? evidence.culprit->label
                                  : "another transaction";
  if (evidence.is_lasting) {
    return fmt::format("{} adds to {}{}, but {}; to run it again would not help.", self,
                       subject_of(error), where, evidence.reason);
  }
  std::string text = fmt::format("{} changed {}{}", culprit, subject_of(error), where);
  if (evidence.key && evidence.range) {
    text += fmt::format(" (in the range {} that {} had read)", spelled(*evidence.range), self);
  }
  if (evidence.conflict) text += fmt::format(" at timestamp {}", evidence.conflict->value);
  text += evidence.snapshot
              ? fmt::format(", after {}'s snapshot at {}", self, evidence.snapshot->value)
              : fmt::format(", after {} had read it", self);
  return text + '.';
}

std::string deadlock_sentence(const DeadlockReport& report) {
  std::vector<std::string> edges;
  for (const LockWaitEdge& edge : report.cycle) {
    const LockTarget& target = edge.target;
    const std::string what = target.key     ? spelled_short(*target.key)
                             : target.range ? spelled(*target.range)
                                            : std::string("a lock");
    edges.push_back(fmt::format("{} waits for {}, {} by {}", edge.waiter.label, what,
                                edge.queued ? "asked for before" : "held", edge.holder.label));
  }
  return fmt::format("{}. {}", fmt::join(edges, "; "), report.reason);
}

std::string story(const Script& script, const TranscriptStyle& style) {
  std::string text;
  for (const std::string& line : script.story) {
    text += line.empty() ? "\n" : indented(line, 0, style.width);
  }
  return text;
}

std::string transcript(const Play& play, const Playground& playground,
                       const TranscriptStyle& style) {
  return title(play, style) + setup_lines(play, style) + Lanes(play, playground, style).draw() +
         final_lines(play, style) + check_lines(play, style);
}

std::string cell_table(const std::vector<Play>& plays, const TranscriptStyle& style) {
  const std::vector<std::vector<std::string>> rows = table_rows(plays, style);
  const std::vector<std::size_t> widths = column_widths(rows);
  const std::string heading = fmt::format("{} at each level", plays.front().script->source.name());
  std::string text = '\n' + painted(heading, bold, style) + "\n\n";
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line = "  ";
    for (std::size_t i = 0; i < rows[r].size(); ++i) {
      const bool last = i + 1 == rows[r].size();
      const std::string& cell = rows[r][i];
      const bool verdict = rows[0][i] == "verdict";
      const std::string_view paint = r == 0                   ? dim
                                     : !verdict               ? std::string_view()
                                     : cell == "serializable" ? green
                                                              : red;
      const std::string shown = last ? cell : padded(cell, widths[i] + 2);
      line += paint.empty() ? shown : painted(shown, paint, style);
    }
    text += last_line_of(line);
  }
  return text;
}

std::string totals(std::size_t passed, std::size_t failed, const TranscriptStyle& style) {
  return painted(fmt::format("{} passed, {} failed", passed, failed), failed == 0 ? green : red,
                 style) +
         '\n';
}

}  // namespace isolde::lab
