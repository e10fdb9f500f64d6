#include "bench/report/page.h"

#include <fmt/format.h>

#include <algorithm>

#include "bench/report/plot.h"
#include "bench/report/targets.h"

namespace isolde::bench {
namespace {

constexpr const char* style = R"(
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { margin-top: 3rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; font-size: 13px; margin: 0.6rem 0; }
td, th { padding: 0.15rem 0.6rem; text-align: right; border-bottom: 1px solid #eee; white-space: nowrap; }
td:first-child, th:first-child, td.text { text-align: left; white-space: normal; }
.goal { color: #00663f; } .least { color: #7a5b00; } .MISSED { color: #b3261e; font-weight: 600; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(30rem, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; background: #fff; }
svg text { font: 11px system-ui, sans-serif; fill: #333; }
svg text.title { font-size: 14px; font-weight: 600; } svg text.group { font-weight: 600; }
svg .grid { stroke: #e4e4e4; } svg .spread { stroke: #222; stroke-width: 1.5; }
details { margin: 0.5rem 0; } summary { cursor: pointer; }
)";

std::size_t color_of(const Subject& subject) {
  const auto& all = all_subjects();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].name == subject.name) return i;
  }
  return 0;
}

// A plot over the section's axis, a line for each subject.
template <typename Value>
std::string over_axis(const SectionResult& section, std::string title, std::string y_label,
                      Value value) {
  Plot plot{std::move(title),
            section.section.x_label,
            std::move(y_label),
            section.section.log_x,
            false,
            {}};
  for (const CellResult& cell : section.cells) {
    for (const Figures& one : cell.figures) {
      if (one.turns.empty()) continue;
      auto series = std::find_if(plot.series.begin(), plot.series.end(),
                                 [&](const auto& any) { return any.name == one.subject->name; });
      if (series == plot.series.end()) {
        plot.series.push_back({one.subject->name, color_of(*one.subject), {}});
        series = std::prev(plot.series.end());
      }
      series->points.push_back(value(cell, one));
    }
  }
  return line_plot(plot);
}

// How long the slowest so-many-of-a-hundred took.
std::string latency_plot(const CellResult& cell) {
  Plot plot{"Latency: " + cell.cell.label,
            "one in so many transactions took longer",
            "milliseconds",
            true,
            true,
            {}};
  for (const Figures& one : cell.figures) {
    const Histogram latency = one.latency();
    if (latency.count() < 10) continue;
    PlotSeries series{one.subject->name, color_of(*one.subject), {}};
    for (double odds = 2; odds < static_cast<double>(latency.count()) && odds <= 1e6; odds *= 1.6) {
      const double y = static_cast<double>(latency.quantile(1 - 1 / odds)) / 1e6;
      series.points.push_back({odds, y, y, y});
    }
    plot.series.push_back(std::move(series));
  }
  return line_plot(plot);
}

std::string timeline_plot(const CellResult& cell) {
  Plot plot{"Over time: " + cell.cell.label, "seconds", "commits/s", false, false, {}};
  for (const Figures& one : cell.figures) {
    if (one.turns.empty()) continue;
    const TurnResult& turn = one.turns.front();
    PlotSeries series{one.subject->name, color_of(*one.subject), {}};
    const auto slots = std::min(static_cast<std::size_t>(turn.seconds / turn.slot_seconds),
                                TurnResult::timeline_slots);
    series.points.reserve(slots);
    for (std::size_t slot = 0; slot < slots; ++slot) {
      const double rate = static_cast<double>(turn.timeline.at(slot)) / turn.slot_seconds;
      series.points.push_back({static_cast<double>(slot) * turn.slot_seconds, rate, rate, rate});
    }
    plot.series.push_back(std::move(series));
  }
  return line_plot(plot);
}

std::string bars(const SectionResult& section) {
  std::vector<BarGroup> groups;
  groups.reserve(section.cells.size());
  for (const CellResult& cell : section.cells) {
    BarGroup group{cell.cell.label, {}};
    group.bars.reserve(cell.figures.size());
    for (const Figures& one : cell.figures) {
      if (one.turns.empty()) continue;
      std::string text = short_number(one.rate()) + "/s";
      if (one.failed() >= 0.001) text += fmt::format(", {:.1f}% failed", 100 * one.failed());
      group.bars.push_back({one.subject->name, color_of(*one.subject), one.rate(), one.lowest(),
                            one.highest(), std::move(text)});
    }
    groups.push_back(std::move(group));
  }
  return bar_plot("Commits a second: median and spread", groups);
}

// Isolde's rate over raw LMDB's, turn by turn.
std::string overhead_plot(const SectionResult& section) {
  BarGroup group{"1 is raw LMDB", {}};
  for (const CellResult& cell : section.cells) {
    const Figures* const lmdb = cell.of("lmdb");
    const Figures* const isolde = cell.of("isolde-rr-opt");
    if (lmdb == nullptr || isolde == nullptr) continue;
    const double ratio = median_ratio(*isolde, *lmdb);
    group.bars.push_back({cell.cell.label, 0, ratio, ratio, ratio, fmt::format("{:.2f} x", ratio)});
  }
  return bar_plot("Isolde at repeatable read, of raw LMDB's rate", {group});
}

std::string plots(const SectionResult& section) {
  std::string out = "<div class=\"plots\">\n";
  if (section.section.id == "overhead") out += overhead_plot(section);
  if (section.section.x_label.empty()) {
    out += bars(section);
  } else {
    out +=
        over_axis(section, "Throughput", "commits/s", [](const CellResult& cell, const auto& one) {
          return PlotPoint{cell.cell.x, one.rate(), one.lowest(), one.highest()};
        });
    out += over_axis(section, "Attempts that failed", "% of attempts",
                     [](const CellResult& cell, const auto& one) {
                       const double failed = 100 * one.failed();
                       return PlotPoint{cell.cell.x, failed, failed, failed};
                     });
  }
  if (section.section.id == "growth-snapshots" || section.section.id == "growth-keys") {
    out += over_axis(section, "On disk", "megabytes", [](const CellResult& cell, const auto& one) {
      const double megabytes = static_cast<double>(one.most(&TurnResult::disk_bytes)) / 1e6;
      return PlotPoint{cell.cell.x, megabytes, megabytes, megabytes};
    });
  }
  for (const CellResult& cell : section.cells) {
    const bool durable = cell.cell.work.synced == Synced::yes;
    if (durable && section.section.id != "read-share" && section.section.id != "skew") {
      out += latency_plot(cell);
    }
    if (section.section.id == "sustained") out += timeline_plot(cell);
  }
  return out + "</div>\n";
}

void add_row(std::string& out, const Figures& one) {
  if (one.turns.empty()) {
    out += fmt::format("<tr><td>{}</td><td class=\"text\" colspan=\"13\">{}</td></tr>\n",
                       xml_text(one.subject->name), xml_text(one.problem));
    return;
  }
  const Histogram latency = one.latency();
  out += fmt::format("<tr><td>{}</td><td>{}</td><td>{} – {}</td><td>{:.2f} %</td>",
                     xml_text(one.subject->name), short_number(one.rate()),
                     short_number(one.lowest()), short_number(one.highest()), 100 * one.failed());
  for (const double q : {0.5, 0.95, 0.99, 0.999, 1.0}) {
    out += fmt::format("<td>{}</td>", short_time(static_cast<double>(latency.quantile(q))));
  }
  const auto waits = one.sum(&TurnResult::waits);
  const auto anomalies = one.sum(&TurnResult::anomalies);
  std::string notes = abort_reasons(one);
  if (waits != no_figure && waits != 0) notes += fmt::format(" · {} waits", waits);
  if (anomalies != 0) notes += fmt::format(" · {} anomalies seen", anomalies);
  if (const auto beside = one.sum(&TurnResult::beside); beside != 0) {
    notes += fmt::format(" · {} reports", beside);
  }
  if (!one.problem.empty()) notes += " · NOT SOUND: " + one.problem;
  out += fmt::format(
      "<td>{:.1f} us</td><td>{}</td><td>{}</td><td>{}</td><td class=\"text\">{}</td></tr>\n",
      one.cpu_us_per_commit(),
      short_bytes(static_cast<double>(one.most(&TurnResult::memory_bytes))),
      short_bytes(static_cast<double>(one.most(&TurnResult::disk_bytes))),
      short_bytes(one.written_per_commit()), xml_text(notes));
}

std::string tables(const SectionResult& section) {
  std::string out = "<details><summary>All figures</summary>\n";
  for (const CellResult& cell : section.cells) {
    out += fmt::format(
        "<h4>{}</h4>\n<p>{}; {} turns of {:g} s</p>\n<table>\n<tr><th>subject</th>"
        "<th>commits/s</th><th>spread</th><th>failed</th><th>p50</th><th>p95</th><th>p99</th>"
        "<th>p999</th><th>max</th><th>CPU/commit</th><th>memory</th><th>disk</th>"
        "<th>written/commit</th><th></th></tr>\n",
        xml_text(cell.cell.label), xml_text(cell.cell.work.text()), cell.cell.repetitions,
        cell.cell.seconds);
    for (const Figures& one : cell.figures) add_row(out, one);
    out += "</table>\n";
  }
  return out + "</details>\n";
}

std::string target_table(const RunResult& run) {
  std::string out =
      "<table>\n<tr><th>target</th><th>measured</th><th>at least</th><th>goal</th><th></th>"
      "<th>against</th></tr>\n";
  for (const Target& target : judge_targets(run)) {
    const bool measured = target.standing != Standing::not_measured;
    const char* const relation = target.at_most ? "≤" : "≥";
    out += fmt::format(
        "<tr><td>{}</td><td>{}</td><td>{} {:g}</td><td>{} {:g}</td><td class=\"{}\">{}</td>"
        "<td class=\"text\">{}</td></tr>\n",
        xml_text(target.what),
        measured ? fmt::format("{:.2f} {}", target.measured, target.unit) : "–", relation,
        target.least, relation, target.goal, measured ? name(target.standing) : "none",
        name(target.standing), xml_text(target.against));
  }
  return out + "</table>\n";
}

}  // namespace

std::string as_page(const Report& report) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n"
      "<meta charset=\"utf-8\"/>\n<title>Isolde, measured</title>\n<style>{}</style>\n</head>\n"
      "<body>\n<h1>Isolde, measured</h1>\n<ul>\n",
      style);
  for (const std::string& line : conditions(report)) {
    out += fmt::format("<li>{}</li>\n", xml_text(line));
  }
  out +=
      "</ul>\n<p>Each engine runs in a process of its own; subjects take turns, and the median "
      "turn "
      "counts. Spreads that are wide mean that the machine was busy: compare subjects of one plot, "
      "not plots of two days.</p>\n";
  std::string targets = "<h2>The targets</h2>\n" + target_table(report.run);
  bool told_targets = false;
  for (const SectionResult& section : report.run.sections) {
    out += fmt::format("<h2>{}</h2>\n<p>{}</p>\n<p>Expected: {}</p>\n",
                       xml_text(section.section.title), xml_text(section.section.question),
                       xml_text(section.section.expected));
    out += plots(section);
    out += tables(section);
    if (!told_targets) out += targets;  // after the first section, the overhead
    told_targets = true;
  }
  return out + "</body>\n</html>\n";
}

}  // namespace isolde::bench
