#include "lab/explore/explore_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/script/outcome.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

using Mark = Exploration::Mark;

constexpr std::size_t most_groups = 40;  // that people are shown of one cell

std::string number(std::uint64_t count) {
  if (count == ~std::uint64_t{0}) return "more than 1.8e19";
  std::string digits = std::to_string(count);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

std::string cell_name(const Exploration& run) {
  return run.mixed ? "as the sessions say" : run.cell.to_string();
}

std::string step_names(const Script& script, const std::vector<std::size_t>& schedule) {
  std::string text;
  for (const std::size_t step : schedule) {
    if (!text.empty()) text += ' ';
    text += script.steps[step].name;
  }
  return text;
}

std::string heading(const Exploration& run) {
  const Script& script = *run.script;
  std::vector<std::string> parts;
  for (std::size_t session = 0; session < run.extent.steps.size(); ++session) {
    const std::size_t steps = run.extent.steps[session].size();
    if (steps == 0) continue;
    parts.push_back(fmt::format("{} ({})", script.sessions[session].name, steps));
  }
  std::string which;
  if (run.extent.schedules.size() < script.schedules.size()) {
    std::vector<std::size_t> numbers;
    numbers.reserve(run.extent.schedules.size());
    for (const std::size_t schedule : run.extent.schedules) numbers.push_back(schedule + 1);
    which = fmt::format(", the steps of schedule {}", fmt::join(numbers, ", "));
  }
  return fmt::format("{}{}: steps of {}: {} interleaving{}\n", script.source.name(), which,
                     fmt::join(parts, ", "), number(run.interleavings),
                     run.interleavings == 1 ? "" : "s");
}

std::string counts_table(const std::vector<const Explored*>& cells) {
  std::vector<std::vector<std::string>> rows{{"", "infeasible", "serializable", "not", "blocked",
                                              "aborted", "deadlocks", "outcomes", "runs"}};
  for (const Explored* explored : cells) {
    const Exploration& run = explored->exploration;
    std::vector<std::string> row{cell_name(run)};
    for (const std::uint64_t count :
         {run.infeasible, run.serializable, run.non_serializable, run.blocked, run.aborted,
          run.deadlocks, std::uint64_t{run.outcomes.size()}, run.executed}) {
      row.push_back(number(count));
    }
    rows.push_back(std::move(row));
  }
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    text += padded(row.front(), widths.front());
    for (std::size_t i = 1; i < row.size(); ++i) {
      text += fmt::format("{:>{}}", row[i], widths[i] + 2);
    }
    text += '\n';
  }
  return text;
}

std::string remarks(const std::vector<const Explored*>& cells) {
  std::string text;
  for (const Explored* explored : cells) {
    const Exploration& run = explored->exploration;
    if (run.sampled) {
      text += fmt::format("{}: {} orders drawn with seed {}; the counts are of these\n",
                          cell_name(run), number(*run.sampled), run.seed);
    }
    if (run.interrupted) {
      text += fmt::format("{}: interrupted; the counts are of what was run until then\n",
                          cell_name(run));
    }
    if (run.broken_promises > 0) {
      text +=
          fmt::format("{}: in {} interleavings somebody did not get what its level promises: {}\n",
                      cell_name(run), number(run.broken_promises), run.broken_promise);
    }
  }
  return text;
}

// What was found, and in which cells how often.
std::string findings(const std::vector<const Explored*>& cells) {
  std::vector<std::pair<std::string, std::string>> lines;
  const auto add = [&](const std::string& what, const std::string& where) {
    const auto found = std::find_if(lines.begin(), lines.end(),
                                    [&](const auto& line) { return line.first == what; });
    if (found == lines.end()) {
      lines.emplace_back(what, where);
    } else {
      found->second += ", " + where;
    }
  };
  for (const Phenomenon phenomenon : all_phenomena) {
    for (const Explored* explored : cells) {
      const Exploration& run = explored->exploration;
      const auto found = run.anomalies.find(phenomenon);
      if (found == run.anomalies.end()) continue;
      add(std::string(name(phenomenon)),
          fmt::format("{} at {}", number(found->second), cell_name(run)));
    }
  }
  for (const Explored* explored : cells) {
    const Exploration& run = explored->exploration;
    for (std::size_t i = 0; i < run.invariants.size(); ++i) {
      std::uint64_t count = 0;
      for (const auto& [outcome, group] : run.outcomes) {
        const auto& violated = group.violated;
        if (std::find(violated.begin(), violated.end(), i) != violated.end()) {
          count += group.interleavings;
        }
      }
      if (count == 0) continue;
      add(fmt::format("violated: invariant {}", run.invariants[i]->text),
          fmt::format("{} at {}", number(count), cell_name(run)));
    }
  }
  if (lines.empty()) return "\nno anomalies\n";
  std::string text = "\n";
  for (const auto& [what, where] : lines) text += fmt::format("{}: {}\n", what, where);
  return text;
}

// Each thing's witness once: at the strongest level that shows it, optimistic if either does.
std::string witness_texts(std::vector<const Explored*> cells) {
  std::stable_sort(cells.begin(), cells.end(), [](const Explored* a, const Explored* b) {
    return a->exploration.cell.level > b->exploration.cell.level;
  });
  std::vector<const Witness*> shown;
  for (const Explored* cell : cells) {
    for (const Witness& witness : cell->witnesses) {
      const bool known = std::any_of(shown.begin(), shown.end(), [&](const Witness* other) {
        return other->what == witness.what;
      });
      if (!known) shown.push_back(&witness);
    }
  }
  std::string text;
  for (const Witness* witness : shown) text.append("\n").append(witness->script);
  return text;
}

std::string group_line(const Script& script, const OutcomeGroup& group) {
  std::string text = fmt::format("{:>9} x ", number(group.interleavings));
  text += group.play.verdict.serializable ? "serializable" : "not serializable";
  for (const Phenomenon phenomenon : group.anomalies) text.append(" ").append(name(phenomenon));
  if (!group.committed.empty())
    text += fmt::format("; committed {}", fmt::join(group.committed, " "));
  for (const auto& [session, code] : group.aborted) {
    text += fmt::format("; {} aborted: {}", session, code);
  }
  std::string final;
  for (const auto& [place, value] : group.play.state) {
    final += ' ';
    if (place.first != default_keyspace_name) final.append(place.first).append("/");
    final.append(spelled_short(place.second)).append("=").append(spelled_short(value));
  }
  text += fmt::format("; final{}\n", final.empty() ? " empty" : final);
  std::string steps;
  for (const StepRecord& record : group.play.steps) {
    const Outcome& outcome = record.outcome;
    if (std::holds_alternative<std::monostate>(outcome.value) && !outcome.error) continue;
    constexpr std::size_t shown_bytes = 24;
    steps += fmt::format(" {}={}", record.step->name, to_script(outcome, shown_bytes));
  }
  if (!steps.empty()) text += fmt::format("{:>12}{}\n", "", steps.substr(1));
  return text + fmt::format("{:>12}{}\n", "", step_names(script, group.schedule));
}

std::string groups_text(const Exploration& run) {
  std::vector<const OutcomeGroup*> groups;
  groups.reserve(run.outcomes.size());
  for (const auto& [outcome, group] : run.outcomes) groups.push_back(&group);
  std::stable_sort(groups.begin(), groups.end(), [](const auto* a, const auto* b) {
    return a->interleavings > b->interleavings;
  });
  std::string text = fmt::format("\noutcomes at {}:\n", cell_name(run));
  for (std::size_t i = 0; i < std::min(groups.size(), most_groups); ++i) {
    text += group_line(*run.script, *groups[i]);
  }
  if (groups.size() > most_groups) {
    text += fmt::format("{:>12}and {} more\n", "", groups.size() - most_groups);
  }
  return text;
}

// Why a kind of error comes where none was needed.
std::string_view reason_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::serialization_failure:
      return "what it had read was overwritten since its snapshot: that is one edge, and it does "
             "not ask whether there is a cycle";
    case ErrorCode::write_conflict:
      return "a key that it wrote has a version newer than its snapshot, whoever would have come "
             "first";
    case ErrorCode::deadlock:
      return "locks were asked for in an order in which each waits for the other, though what was "
             "read and written has an order";
    case ErrorCode::snapshot_too_old:
      return "its snapshot was given up";
    case ErrorCode::lock_timeout:
      return "it waited for longer than it was willing to";
    default:
      return "see the error";
  }
}

std::string false_abort_text(const std::vector<const Explored*>& cells) {
  std::string text;
  for (const FalseAborts& aborts : false_aborts(cells)) {
    if (text.empty()) {
      text += fmt::format(
          "\nfalse aborts: {} interleavings are serializable anyway (at read-committed optimistic "
          "nobody aborts, and the checker finds no cycle)\n",
          number(aborts.anyway));
    }
    const double share = aborts.anyway == 0 ? 0
                                            : 100.0 * static_cast<double>(aborts.aborted) /
                                                  static_cast<double>(aborts.anyway);
    text += fmt::format("  serializable {} aborts somebody in {} of them ({:.1f} %)",
                        name(aborts.locking), number(aborts.aborted), share);
    if (aborts.infeasible > 0) {
      text += fmt::format("; in {} it makes somebody wait instead, who has a step in this order",
                          number(aborts.infeasible));
    }
    text += '\n';
    for (const auto& [code, count] : aborts.reasons) {
      text += fmt::format("    {} in {}: {}\n", name(code), number(count), reason_of(code));
    }
  }
  return text;
}

bool is_same_extent(const Exploration& a, const Exploration& b) {
  return a.script == b.script && a.extent.schedules == b.extent.schedules &&
         a.extent.steps == b.extent.steps;
}

}  // namespace

void for_each_extent(const std::vector<Explored>& explored,
                     const std::function<void(const std::vector<const Explored*>&)>& visit) {
  std::vector<const Explored*> cells;
  for (const Explored& one : explored) {
    if (!cells.empty() && !is_same_extent(cells.back()->exploration, one.exploration)) {
      visit(cells);
      cells.clear();
    }
    cells.push_back(&one);
  }
  if (!cells.empty()) visit(cells);
}

std::vector<FalseAborts> false_aborts(const std::vector<const Explored*>& cells) {
  const auto find = [&](Cell cell) -> const Exploration* {
    for (const Explored* explored : cells) {
      const Exploration& run = explored->exploration;
      if (run.cell == cell && !run.mixed && !run.interrupted) return &run;
    }
    return nullptr;
  };
  std::vector<FalseAborts> all;
  const Exploration* base = find({Isolation::read_committed, Locking::optimistic});
  if (base == nullptr || base->marks.empty()) return all;
  for (const Locking locking : all_lockings) {
    const Exploration* run = find({Isolation::serializable, locking});
    const bool comparable = run != nullptr && run->marks.size() == base->marks.size() &&
                            run->sampled == base->sampled && run->seed == base->seed;
    if (!comparable) continue;
    FalseAborts aborts;
    aborts.locking = locking;
    for (std::size_t i = 0; i < base->marks.size(); ++i) {
      if (base->marks[i] != Mark::fine) continue;
      ++aborts.anyway;
      if (run->marks[i] == Mark::infeasible) ++aborts.infeasible;
      if (run->marks[i] != Mark::aborted) continue;
      ++aborts.aborted;
      ++aborts.reasons[static_cast<ErrorCode>(run->abort_codes[i])];
    }
    all.push_back(std::move(aborts));
  }
  return all;
}

std::vector<ExploreCheck> explore_checks(const std::vector<Explored>& explored) {
  std::vector<ExploreCheck> checks;
  const Script* script = explored.empty() ? nullptr : explored.front().exploration.script;
  if (script == nullptr) return checks;
  for (const ExploreExpectation& expectation : script->explorations) {
    for (std::size_t index = 0; index < CellSet::cell_count; ++index) {
      const Cell cell = Cell::at(index);
      if (!expectation.cells.contains(cell)) continue;
      bool explored_here = false;
      bool complete = true;
      std::map<std::string, std::uint64_t> counts;
      for (const Explored& one : explored) {
        if (!(one.exploration.cell == cell)) continue;
        explored_here = true;
        complete = complete && one.exploration.is_complete();
        for (const auto& [what, wanted] : expectation.counts) {
          counts[what] += one.exploration.count(what);
        }
      }
      if (!explored_here) continue;
      std::vector<std::string> actual;
      bool passed = complete;
      for (const auto& [what, wanted] : expectation.counts) {
        passed = passed && counts[what] == wanted;
        actual.push_back(fmt::format("{}={}", what, counts[what]));
      }
      checks.push_back({expectation.place,
                        fmt::format("{} @ {}", expectation.text, cell.to_string()),
                        complete ? fmt::format("{}", fmt::join(actual, " "))
                                 : "not all interleavings were run, so the counts are not known",
                        passed});
    }
  }
  return checks;
}

std::string explore_text(const std::vector<Explored>& explored, bool outcomes) {
  std::string text;
  for_each_extent(explored, [&](const std::vector<const Explored*>& cells) {
    if (!text.empty()) text += '\n';
    text += heading(cells.front()->exploration) + '\n' + counts_table(cells) + remarks(cells) +
            findings(cells) + false_abort_text(cells);
    if (outcomes) {
      for (const Explored* one : cells) text += groups_text(one->exploration);
    }
    text += witness_texts(cells);
  });
  return text;
}

}  // namespace isolde::lab
