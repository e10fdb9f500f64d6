#include "lab/explore/catalogue_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "lab/play/playground.h"
#include "lab/play/transcript.h"

namespace isolde::lab {
namespace {

constexpr std::string_view introduction =
    R"(# The catalogue: anomalies, deadlocks, and what they do in production

Every entry is a script that ships with Isolde, plays, and is tested in all cells; this page is the output of `isolde demo --format markdown`, and
a test compares the two. `isolde demo NAME` tells one of them in the terminal, `isolde run NAME --level all --locking all` plays all of
it. In the tables stands what came of a schedule: **the anomaly** that the checker found, who had to wait, who failed; else it was
serializable. Names and promises: [levels.md](levels.md); the phenomena in one table: [matrix.md](matrix.md).
)";

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') {
    text[0] = static_cast<char>(text[0] - 'a' + 'A');
  }
  return text;
}

std::string index(const std::vector<CatalogueEntry>& entries) {
  std::string text;
  for (const CatalogueGroup group : all_catalogue_groups) {
    text += fmt::format("\n**{}**\n\n", heading(group));
    for (const CatalogueEntry& entry : entries) {
      if (entry.group != group) continue;
      text += fmt::format("* [{0}](#{0}): {1}\n", entry.name, entry.question);
    }
  }
  return text;
}

class Page {
 public:
  explicit Page(const std::function<bool()>& stop) : stop_(stop) {}

  std::variant<std::string, PlayFailure> write(const std::vector<CatalogueEntry>& entries) {
    text_ = std::string(introduction) + index(entries);
    for (const CatalogueGroup group : all_catalogue_groups) {
      text_ += fmt::format("\n## {}\n", heading(group));
      for (const CatalogueEntry& entry : entries) {
        if (entry.group == group && !write(entry)) return std::move(*failure_);
      }
    }
    return std::move(text_);
  }

 private:
  bool write(const CatalogueEntry& entry) {
    text_ += fmt::format("\n### {}\n\n*{}*\n\n", entry.name, entry.question);
    for (const std::string& line : entry.script.story) text_ += line + '\n';
    if (!write_lanes(entry)) return false;
    write_paragraph("What to notice", entry.notice);
    write_paragraph("What prevents it", entry.prevented);
    write_paragraph("What that costs", entry.costs);
    write_paragraph("When one would tolerate it", entry.tolerate);
    for (std::size_t schedule = 0; schedule < entry.script.schedules.size(); ++schedule) {
      if (!write_table(entry, schedule)) return false;
    }
    text_ += fmt::format("\n```console\n$ {}\n...\n```\n", entry.try_next);
    return true;
  }

  void write_paragraph(std::string_view heading, const std::string& text) {
    text_ += fmt::format("\n**{}.** {}\n", heading, capital(text));
  }

  std::optional<Play> played(const CatalogueEntry& entry, std::size_t schedule, const Cell& cell) {
    PlayResult result = play(entry.script, schedule, cell, *playground_, stop_);
    if (auto* failure = std::get_if<PlayFailure>(&result)) {
      failure_ = std::move(*failure);
      return std::nullopt;
    }
    return std::move(std::get<Play>(result));
  }

  // What goes wrong, step by step.
  bool write_lanes(const CatalogueEntry& entry) {
    const CataloguePlay& first = entry.plays.front();
    const auto run = played(entry, first.schedule, first.cell);
    if (!run) return false;
    const std::string lanes = transcript(*run, *playground_, {});
    text_ += "\n```text\n" + lanes.substr(lanes.find_first_not_of('\n')) + "```\n";
    return true;
  }

  bool write_table(const CatalogueEntry& entry, std::size_t schedule) {
    std::vector<std::string> cells;
    for (std::size_t i = 0; i < CellSet::cell_count; ++i) {
      const auto run = played(entry, schedule, Cell::at(i));
      if (!run) return false;
      cells.push_back(summary(*run, "**"));
    }
    const std::string title = entry.schedule_title(schedule);
    const std::string lead = title.empty() ? "" : fmt::format("*{}*", title);
    if (std::all_of(cells.begin(), cells.end(),
                    [&](const std::string& cell) { return cell == cells.front(); })) {
      text_ += fmt::format("\n{}{}At every level, in both modes: {}.\n", lead,
                           lead.empty() ? "" : " ", cells.front());
      return true;
    }
    if (!lead.empty()) text_ += '\n' + lead + '\n';
    text_ += "\n| | optimistic | pessimistic |\n|---|---|---|\n";
    for (std::size_t i = 0; i < cells.size(); i += all_lockings.size()) {
      text_ += fmt::format("| {} | {} | {} |\n", name(Cell::at(i).level), cells[i], cells[i + 1]);
    }
    return true;
  }

  const std::function<bool()>& stop_;
  std::unique_ptr<Playground> playground_ = Playground::temporary();
  std::string text_;
  std::optional<PlayFailure> failure_;
};

}  // namespace

std::string summary(const Play& play, std::string_view mark) {
  std::vector<std::string> parts;
  for (const Phenomenon phenomenon : play.verdict.phenomena()) {
    parts.push_back(fmt::format("{0}{1}{0}", mark, name(phenomenon)));
  }
  std::set<std::string> waiters;
  for (const StepRecord& record : play.steps) {
    const std::string& session = play.script->sessions[record.step->session].name;
    if (record.outcome.blocked && waiters.insert(session).second) {
      parts.push_back(session + " waits");
    }
  }
  for (const SessionDefinition& session : play.script->sessions) {
    const auto found = play.endings.find(session.name);
    if (found == play.endings.end()) continue;
    for (const Ending& ending : found->second) {
      const std::string end = ending.to_string();
      if (end != "ok" && end != "rollback") {
        parts.push_back(fmt::format("{}: {}", session.name, end));
      }
    }
  }
  return parts.empty() ? "serializable" : fmt::format("{}", fmt::join(parts, "; "));
}

std::variant<std::string, PlayFailure> catalogue_page(const std::vector<CatalogueEntry>& entries,
                                                      const std::function<bool()>& stop) {
  return Page(stop).write(entries);
}

}  // namespace isolde::lab
