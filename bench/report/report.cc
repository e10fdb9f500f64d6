#include "bench/report/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

#include "bench/report/targets.h"

namespace isolde::bench {
namespace {

std::string optional_number(std::uint64_t number) {
  return number == no_figure ? std::string() : fmt::format("{}", number);
}

std::string json_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string csv_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c == '\n' ? ' ' : c;
  }
  return quoted + '"';
}

std::string target_line(const Target& target) {
  const char* const relation = target.at_most ? "<=" : ">=";
  const std::string measured = target.standing == Standing::not_measured
                                   ? std::string("-")
                                   : fmt::format("{:.2f} {}", target.measured, target.unit);
  return fmt::format("{:<62} {:>11}  {} {:g} (goal {:g})  {:<12} {}", target.what, measured,
                     relation, target.least, target.goal, name(target.standing), target.against);
}

std::string text_row(const CellResult& cell, const Figures& one) {
  if (one.turns.empty()) return fmt::format("  {:<16} {}\n", one.subject->name, one.problem);
  const Histogram latency = one.latency();
  const auto at = [&](double q) { return short_time(static_cast<double>(latency.quantile(q))); };
  std::string row = fmt::format(
      "  {:<16} {:>8}/s [{}..{}] {:>6.2f}%  {:>8} {:>8} {:>8} {:>8} {:>8}  {:>7.1f} us  {:>8}  "
      "{:>8}  {:>8}\n",
      one.subject->name, short_number(one.rate()), short_number(one.lowest()),
      short_number(one.highest()), 100 * one.failed(), at(0.5), at(0.95), at(0.99), at(0.999),
      short_time(static_cast<double>(latency.maximum())), one.cpu_us_per_commit(),
      short_bytes(static_cast<double>(one.most(&TurnResult::memory_bytes))),
      short_bytes(static_cast<double>(one.most(&TurnResult::disk_bytes))),
      short_bytes(one.written_per_commit()));
  std::string more = abort_reasons(one);
  const auto note = [&more](const std::string& text) { more += more.empty() ? text : "; " + text; };
  if (const auto waits = one.sum(&TurnResult::waits); waits != no_figure && waits != 0) {
    note(fmt::format("{} waits", waits));
  }
  if (const auto given_up = one.sum(&TurnResult::given_up); given_up != 0) {
    note(fmt::format("{} given up", given_up));
  }
  if (const auto beside = one.sum(&TurnResult::beside); cell.cell.work.workload == "long-reader") {
    note(fmt::format("{} reports", beside));
  }
  if (const auto anomalies = one.sum(&TurnResult::anomalies); anomalies != 0) {
    note(fmt::format("{} anomalies seen", anomalies));
  }
  if (!one.problem.empty()) note("NOT SOUND: " + one.problem);
  if (!more.empty()) row += fmt::format("  {:<16} {}\n", "", more);
  return row;
}

void add_json_turn(std::string& out, const TurnResult& turn) {
  out += fmt::format(
      "{{\"seconds\":{:.6f},\"committed\":{},\"attempts\":{},\"given_up\":{},\"beside\":{},"
      "\"anomalies\":{},\"cpu_seconds\":{:.6f},\"memory_bytes\":{},\"mapped_bytes\":{},"
      "\"disk_bytes\":{},\"written_bytes\":{},\"waits\":{},\"checkpoints\":{},\"aborts\":{{",
      turn.seconds, turn.committed, turn.attempts, turn.given_up, turn.beside, turn.anomalies,
      turn.cpu_seconds, turn.memory_bytes, turn.mapped_bytes, turn.disk_bytes, turn.written_bytes,
      turn.waits == no_figure ? "null" : fmt::format("{}", turn.waits),
      turn.checkpoints == no_figure ? "null" : fmt::format("{}", turn.checkpoints));
  bool first = true;
  for (std::size_t i = 1; i < reason_count; ++i) {
    if (turn.aborts.at(i) == 0) continue;
    out += fmt::format("{}\"{}\":{}", first ? "" : ",", name(static_cast<Reason>(i)),
                       turn.aborts.at(i));
    first = false;
  }
  out += "},\"latency_ns\":{";
  const Histogram& latency = turn.latency;
  out += fmt::format("\"p50\":{},\"p95\":{},\"p99\":{},\"p999\":{},\"max\":{}}}}}",
                     latency.quantile(0.5), latency.quantile(0.95), latency.quantile(0.99),
                     latency.quantile(0.999), latency.maximum());
}

void add_json_cell(std::string& out, const CellResult& cell) {
  const Parameters& work = cell.cell.work;
  out += fmt::format(
      "{{\"label\":{},\"x\":{:g},\"workload\":{},\"keys\":{},\"value_bytes\":{},\"operations\":{},"
      "\"read_share\":{:g},\"think_us\":{},\"theta\":{:g},\"hot\":{},\"clients\":{},\"snapshots\":{"
      "},"
      "\"chains\":{},\"checkpoints\":{},\"synced\":{},\"subjects\":[",
      json_string(cell.cell.label), cell.cell.x, json_string(work.workload), work.keys,
      work.value_bytes, work.operations, work.read_share, work.think_us, work.theta, work.hot,
      work.clients, work.snapshots, work.chains, work.checkpoints, work.synced == Synced::yes);
  for (std::size_t i = 0; i < cell.figures.size(); ++i) {
    const Figures& one = cell.figures[i];
    out += fmt::format("{}\n{{\"subject\":{},\"problem\":{},\"median\":{:.3f},\"turns\":[",
                       i == 0 ? "" : ",", json_string(one.subject->name), json_string(one.problem),
                       one.rate());
    for (std::size_t turn = 0; turn < one.turns.size(); ++turn) {
      if (turn != 0) out += ',';
      add_json_turn(out, one.turns[turn]);
    }
    out += "]}";
  }
  out += "]}";
}

// A row for each subject, a column for each cell; `tell` says what stands where they meet.
template <typename Tell>
std::string markdown_table(const SectionResult& section, Tell tell) {
  std::vector<std::string> subjects;
  std::string head = "| |";
  std::string rule = "|---|";
  for (const CellResult& cell : section.cells) {
    head += fmt::format(" {} |", cell.cell.label);
    rule += "---|";
    for (const Figures& one : cell.figures) {
      if (std::find(subjects.begin(), subjects.end(), one.subject->name) == subjects.end()) {
        subjects.push_back(one.subject->name);
      }
    }
  }
  std::string out = head + '\n' + rule + '\n';
  for (const std::string& subject : subjects) {
    out += fmt::format("| {} |", subject);
    for (const CellResult& cell : section.cells) {
      const Figures* const one = cell.of(subject);
      out += fmt::format(" {} |", one == nullptr ? std::string() : tell(*one));
    }
    out += '\n';
  }
  return out;
}

std::string markdown_section(const SectionResult& section) {
  std::string out = fmt::format("\n### {}\n\n{} Expected: {}\n\n", section.section.title,
                                section.section.question, section.section.expected);
  const Cell& first = section.cells.front().cell;
  out += fmt::format(
      "Commits a second, the median of {} turns of {:g} s; share of failed attempts.\n\n",
      first.repetitions, first.seconds);
  out += markdown_table(section, [](const Figures& one) {
    std::string text = short_number(one.rate());
    if (one.failed() >= 0.0005) text += fmt::format(", {:.1f} %", 100 * one.failed());
    if (!one.problem.empty()) text += ", not sound";
    return text;
  });
  out += "\nProcessor time of a commit, which other work on the machine hardly touches.\n\n";
  out += markdown_table(
      section, [](const Figures& one) { return short_time(1000 * one.cpu_us_per_commit()); });
  SectionResult durable{section.section, {}};
  for (const CellResult& cell : section.cells) {
    if (cell.cell.work.synced == Synced::yes) durable.cells.push_back(cell);
  }
  if (!durable.cells.empty()) {
    out += "\nLatency of those that are durable: p50, p99, the longest.\n\n";
    out += markdown_table(durable, [](const Figures& one) {
      const Histogram latency = one.latency();
      return fmt::format("{}, {}, {}", short_time(static_cast<double>(latency.quantile(0.5))),
                         short_time(static_cast<double>(latency.quantile(0.99))),
                         short_time(static_cast<double>(latency.maximum())));
    });
  }
  for (const CellResult& cell : section.cells) {
    for (const Figures& one : cell.figures) {
      if (one.problem.empty()) continue;
      out += fmt::format("\n{}, {}: {}\n", one.subject->name, cell.cell.label, one.problem);
    }
  }
  return out;
}

}  // namespace

std::string short_number(double number) {
  if (number >= 1e6) return fmt::format("{:.3g}M", number / 1e6);
  if (number >= 1e3) return fmt::format("{:.3g}k", number / 1e3);
  return fmt::format("{:.3g}", number);
}

std::string short_time(double nanoseconds) {
  if (nanoseconds >= 1e9) return fmt::format("{:.3g} s", nanoseconds / 1e9);
  if (nanoseconds >= 1e6) return fmt::format("{:.3g} ms", nanoseconds / 1e6);
  if (nanoseconds >= 1e3) return fmt::format("{:.3g} us", nanoseconds / 1e3);
  return fmt::format("{:.3g} ns", nanoseconds);
}

std::string short_bytes(double bytes) {
  if (bytes >= 1e9) return fmt::format("{:.3g} GB", bytes / 1e9);
  if (bytes >= 1e6) return fmt::format("{:.3g} MB", bytes / 1e6);
  if (bytes >= 1e3) return fmt::format("{:.3g} kB", bytes / 1e3);
  return fmt::format("{:.0f} B", bytes);
}

std::string abort_reasons(const Figures& figures) {
  std::string text;
  for (std::size_t i = 1; i < reason_count; ++i) {
    std::uint64_t count = 0;
    for (const TurnResult& turn : figures.turns) count += turn.aborts.at(i);
    if (count == 0) continue;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {}", name(static_cast<Reason>(i)), count);
  }
  return text;
}

std::vector<std::string> conditions(const Report& report) {
  const Machine& machine = report.machine;
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{}; {} cores, {:.0f} GB; {}; {}", machine.processor, machine.cores,
                              machine.memory_gb, machine.kernel, machine.file_system));
  lines.push_back(fmt::format(
      "{}; {}; command: {}; seed {}; took {:.0f} s; load average {:.1f} before, {:.1f} after",
      machine.date, machine.build, report.command, report.seed, report.run.seconds,
      report.run.load_before, report.run.load_after));
  lines.push_back(
      fmt::format("a lone write and fdatasync of 512 bytes: {:.0f} us before, {:.0f} us after",
                  report.run.lone_sync_us_before, report.run.lone_sync_us_after));
  std::set<std::string> engines;
  for (const auto& [engine, configuration] : report.run.configurations) {
    engines.insert(engine.substr(0, engine.find(',')));
  }
  for (const std::string& engine : engines) {
    std::string line = fmt::format("{} {}", engine, engine_version(engine));
    for (const auto& [which, configuration] : report.run.configurations) {
      if (which.substr(0, which.find(',')) != engine) continue;
      line += fmt::format("; {}: {}", which.substr(which.find(',') + 2), configuration);
    }
    lines.push_back(std::move(line));
  }
  for (const auto& [engine, why] : missing_engines()) {
    lines.push_back(fmt::format("{}: {}", engine, why));
  }
  return lines;
}

std::string as_text(const Report& report) {
  std::string out;
  for (const std::string& line : conditions(report)) out += line + '\n';
  for (const SectionResult& section : report.run.sections) {
    out += fmt::format("\n== {} ==\n{}\nExpected: {}\n", section.section.title,
                       section.section.question, section.section.expected);
    for (const CellResult& cell : section.cells) {
      out += fmt::format(
          "\n{} ({}), {} turns of {:g} s\n  {:<16} {:>10} [spread] {:>7}  {:>8} {:>8} {:>8} {:>8} "
          "{:>8}  {:>10}  {:>8}  {:>8}  {:>8}\n",
          cell.cell.label, cell.cell.work.text(), cell.cell.repetitions, cell.cell.seconds,
          "subject", "commits", "failed", "p50", "p95", "p99", "p999", "max", "cpu/commit",
          "memory", "disk", "written");
      for (const Figures& one : cell.figures) out += text_row(cell, one);
    }
  }
  const auto targets = judge_targets(report.run);
  if (!any_measured(targets)) return out;
  out += "\n== The targets ==\n";
  for (const Target& target : targets) out += target_line(target) + '\n';
  return out;
}

std::string as_markdown(const Report& report) {
  std::string out;
  for (const std::string& line : conditions(report)) out += fmt::format("* {}\n", line);
  out +=
      "\n### The targets\n\n| | measured | at least | goal | | against "
      "|\n|---|---|---|---|---|---|\n";
  for (const Target& target : judge_targets(report.run)) {
    const std::string measured = target.standing == Standing::not_measured
                                     ? std::string("–")
                                     : fmt::format("{:.2f} {}", target.measured, target.unit);
    const char* const relation = target.at_most ? "≤" : "≥";
    out += fmt::format("| {} | {} | {} {:g} | {:g} | {} | {} |\n", target.what, measured, relation,
                       target.least, target.goal, name(target.standing), target.against);
  }
  for (const SectionResult& section : report.run.sections) out += markdown_section(section);
  return out;
}

std::string as_csv(const Report& report) {
  std::string out =
      "section,label,x,workload,keys,value_bytes,operations,read_share,theta,hot,clients,snapshots,"
      "synced,subject,turns,rate_median,rate_min,rate_max,attempts,committed,failed,";
  for (std::size_t i = 1; i < reason_count; ++i) {
    out.append(name(static_cast<Reason>(i))).append(",");
  }
  out +=
      "given_up,waits,beside,anomalies,p50_ns,p95_ns,p99_ns,p999_ns,max_ns,cpu_us_per_commit,"
      "memory_bytes,mapped_bytes,disk_bytes,written_per_commit,problem\n";
  for (const SectionResult& section : report.run.sections) {
    for (const CellResult& cell : section.cells) {
      const Parameters& work = cell.cell.work;
      for (const Figures& one : cell.figures) {
        const Histogram latency = one.latency();
        out += fmt::format(
            "{},{},{:g},{},{},{},{},{:g},{:g},{},{},{},{},{},{},{:.2f},{:.2f},{:.2f},",
            section.section.id, csv_string(cell.cell.label), cell.cell.x, work.workload, work.keys,
            work.value_bytes, work.operations, work.read_share, work.theta, work.hot, work.clients,
            work.snapshots, work.synced == Synced::yes ? 1 : 0, one.subject->name, one.turns.size(),
            one.rate(), one.lowest(), one.highest());
        out += fmt::format("{},{},{:.6f},", one.attempts(), one.committed(), one.failed());
        for (std::size_t i = 1; i < reason_count; ++i) {
          std::uint64_t count = 0;
          for (const TurnResult& turn : one.turns) count += turn.aborts.at(i);
          out += fmt::format("{},", count);
        }
        out += fmt::format(
            "{},{},{},{},{},{},{},{},{},{:.3f},{},{},{},{:.1f},{}\n",
            one.sum(&TurnResult::given_up), optional_number(one.sum(&TurnResult::waits)),
            one.sum(&TurnResult::beside), one.sum(&TurnResult::anomalies), latency.quantile(0.5),
            latency.quantile(0.95), latency.quantile(0.99), latency.quantile(0.999),
            latency.maximum(), one.cpu_us_per_commit(), one.most(&TurnResult::memory_bytes),
            one.most(&TurnResult::mapped_bytes), one.most(&TurnResult::disk_bytes),
            one.written_per_commit(), csv_string(one.problem));
      }
    }
  }
  return out;
}

std::string as_json(const Report& report) {
  std::string out = "{\"conditions\":[";
  const auto lines = conditions(report);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    out.append(i == 0 ? "" : ",").append(json_string(lines[i]));
  }
  out += fmt::format("],\"command\":{},\"seed\":{},\"cores\":{},\"lone_sync_us\":[{:.1f},{:.1f}],",
                     json_string(report.command), report.seed, report.machine.cores,
                     report.run.lone_sync_us_before, report.run.lone_sync_us_after);
  out += fmt::format("\"load\":[{:.2f},{:.2f}],\"missing\":{{", report.run.load_before,
                     report.run.load_after);
  for (std::size_t i = 0; i < missing_engines().size(); ++i) {
    const auto& [engine, why] = missing_engines()[i];
    out.append(i == 0 ? "" : ",").append(json_string(engine)).append(":").append(json_string(why));
  }
  out += "},\"targets\":[";
  const auto targets = judge_targets(report.run);
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const Target& target = targets[i];
    out += fmt::format(
        "{}\n{{\"what\":{},\"against\":{},\"measured\":{},\"least\":{:g},\"goal\":{:g},"
        "\"at_most\":{},\"unit\":{},\"standing\":{}}}",
        i == 0 ? "" : ",", json_string(target.what), json_string(target.against),
        target.standing == Standing::not_measured ? std::string("null")
                                                  : fmt::format("{:.4f}", target.measured),
        target.least, target.goal, target.at_most, json_string(target.unit),
        json_string(name(target.standing)));
  }
  out += "],\"sections\":[";
  for (std::size_t i = 0; i < report.run.sections.size(); ++i) {
    const SectionResult& section = report.run.sections[i];
    out += fmt::format("{}\n{{\"id\":{},\"title\":{},\"expected\":{},\"cells\":[",
                       i == 0 ? "" : ",", json_string(section.section.id),
                       json_string(section.section.title), json_string(section.section.expected));
    for (std::size_t cell = 0; cell < section.cells.size(); ++cell) {
      if (cell != 0) out += ",\n";
      add_json_cell(out, section.cells[cell]);
    }
    out += "]}";
  }
  return out + "]}\n";
}

void write_file(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream << text;
  stream.close();
  if (!stream) throw CannotRun("cannot write " + file.string());
}

void replace_results(const std::filesystem::path& file, const std::string& markdown) {
  std::ifstream stream(file, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(stream), {});
  const std::string begin = "<!-- results -->\n";
  const std::string end = "<!-- end of results -->";
  const auto from = text.find(begin);
  const auto to = text.find(end);
  if (from == std::string::npos || to == std::string::npos || to < from) {
    throw CannotRun(file.string() + " has no place for results");
  }
  text.replace(from + begin.size(), to - from - begin.size(), "\n" + markdown + "\n");
  write_file(file, text);
}

}  // namespace isolde::bench
