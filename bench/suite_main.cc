// isolde_suite: Isolde beside other engines; all of the plan, or one workload of one's own.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>

#include "bench/report/page.h"
#include "bench/report/report.h"
#include "bench/run/plan.h"
#include "bench/run/runner.h"
#include "bench/workloads/dataset.h"

namespace isolde::suite {
namespace {

struct Options {
  PlanOptions plan;
  std::string directory = ".";
  std::string output;
  std::string results_file;
  std::uint64_t seed = 1;
  bool list = false;
  std::string workload;  // one of the user's own instead of the plan
  Parameters work;
  std::vector<unsigned> clients = {1};
};

void list_all() {
  std::fputs("workloads:", stdout);
  for (const std::string_view one : all_workloads())
    std::fputs(fmt::format(" {}", one).c_str(), stdout);
  std::fputs("\nsections:", stdout);
  for (const std::string& one : section_ids()) std::fputs(fmt::format(" {}", one).c_str(), stdout);
  std::fputs("\nsubjects:\n", stdout);
  for (const Subject& one : all_subjects()) {
    std::fputs(
        fmt::format("  {:<16} {} {}\n", one.name, one.promise, engine_version(one.engine)).c_str(),
        stdout);
  }
  for (const auto& [engine, why] : missing_engines()) {
    std::fputs(fmt::format("  {:<16} {}\n", engine, why).c_str(), stdout);
  }
}

// Names outside the known ones, told together with those.
template <typename Names>
void check_names(const char* what, const std::vector<std::string>& given, const Names& known) {
  for (const std::string& name : given) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string text = fmt::format("no {} is called '{}'; there are:", what, name);
    for (const auto& one : known) text.append(" ").append(one);
    throw CannotRun(text);
  }
}

void check_options(const Options& options) {
  std::vector<std::string> subjects;
  for (const Subject& one : all_subjects()) subjects.push_back(one.name);
  for (const std::string& name : options.plan.subjects) {
    for (const auto& [engine, why] : missing_engines()) {
      if (name.starts_with(engine)) throw CannotRun(fmt::format("{}: {}", name, why));
    }
  }
  check_names("subject", options.plan.subjects, subjects);
  check_names("section", options.plan.sections, section_ids());
  if (!options.workload.empty()) {
    check_names("workload", {options.workload}, all_workloads());
  }
}

// One workload over the numbers of clients.
Section own_section(const Options& options) {
  Section section{
      "own", options.workload, "A workload of your own.", "What you expect.", "clients", true, {}};
  for (const std::string_view name : all_workloads()) {
    if (name != options.workload) continue;
    for (const unsigned clients : options.clients) {
      Cell cell;
      cell.work = options.work;
      cell.work.workload = name;
      cell.work.keys = options.plan.keys;
      cell.work.clients = clients;
      cell.label = fmt::format("{}, {} clients", name, clients);
      cell.x = clients;
      cell.seconds = options.plan.seconds;
      cell.repetitions = options.plan.repetitions;
      for (const Subject& subject : all_subjects()) {
        const auto& wanted = options.plan.subjects;
        if (wanted.empty() ||
            std::find(wanted.begin(), wanted.end(), subject.name) != wanted.end()) {
          cell.subjects.push_back(&subject);
        }
      }
      section.cells.push_back(std::move(cell));
    }
  }
  return section;
}

void add_options(CLI::App& app, Options& options, std::string& durability) {
  app.add_flag("--list", options.list, "Workloads, sections, subjects, and what is missing");
  app.add_flag("--quick", options.plan.quick, "100,000 keys, 3 short turns: under five minutes");
  app.add_option("--sections", options.plan.sections, "Only these, comma-separated")
      ->delimiter(',');
  app.add_option("--subjects", options.plan.subjects, "Only these, comma-separated")
      ->delimiter(',');
  app.add_option("--keys", options.plan.keys, "Keys in each store")
      ->check(CLI::Range(100, 100'000'000));
  app.add_option("--seconds", options.plan.seconds, "Length of a turn")
      ->check(CLI::Range(0.001, 3600.0));
  app.add_option("--sustained-seconds", options.plan.sustained_seconds,
                 "Length of the sustained turns")
      ->check(CLI::Range(0.001, 86'400.0));
  app.add_option("--repetitions", options.plan.repetitions, "Turns of each subject")
      ->check(CLI::Range(1, 1000));
  app.add_option("--seed", options.seed, "Of all random choices");
  app.add_option("--directory", options.directory,
                 "Where the data goes, on the disk to be measured")
      ->check(CLI::ExistingDirectory)
      ->take_last();  // ./dev bench gives one, its user may give another
  app.add_option("--output", options.output,
                 "An existing directory for report.txt, .md, .csv, .json and .html")
      ->check(CLI::ExistingDirectory)
      ->take_last();
  app.add_option("--results-file", options.results_file,
                 "A Markdown file whose results are replaced (docs/benchmarks.md)")
      ->check(CLI::ExistingFile);
  const std::string own = "One workload of your own";
  app.add_option("--workload", options.workload, "Instead of the sections: one of --list")
      ->group(own);
  app.add_option("--clients", options.clients, "Numbers of clients, comma-separated")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024))
      ->group(own);
  app.add_option("--value-size", options.work.value_bytes, "Bytes of a value")
      ->check(CLI::Range(8, 1 << 20))
      ->group(own);
  app.add_option("--operations", options.work.operations, "Operations in a transaction")
      ->check(CLI::Range(1, 100'000))
      ->group(own);
  app.add_option("--read-share", options.work.read_share,
                 "Of the operations of 'ops', how many read")
      ->check(CLI::Range(0.0, 1.0))
      ->group(own);
  app.add_option("--think-us", options.work.think_us,
                 "Of 'ops': microseconds that a client sleeps after each operation")
      ->check(CLI::Range(0, 1'000'000))
      ->group(own);
  app.add_option("--theta", options.work.theta, "Zipfian skew; 0 is uniform")
      ->check(CLI::Range(0.0, 0.999))
      ->group(own);
  app.add_option("--hot", options.work.hot, "Draw from so many keys only")->group(own);
  app.add_option("--snapshots", options.work.snapshots, "Read transactions held open")
      ->check(CLI::Range(0, 1500))
      ->group(own);
  app.add_option("--durability", durability, "sync or none")
      ->check(CLI::IsMember({"sync", "none"}))
      ->group(own);
}

int measure(const Options& options, const std::string& command) {
  check_options(options);
  std::vector<Section> plan = options.workload.empty() ? make_plan(options.plan)
                                                       : std::vector<Section>{own_section(options)};
  if (plan.empty() || plan.front().cells.empty()) {
    throw CannotRun("none of these subjects is in these sections");
  }
  Report report{command, options.seed, describe_machine(options.directory), {}};
  report.run = run_plan(plan, options.directory, options.seed);
  std::fputs(as_text(report).c_str(), stdout);
  if (!options.output.empty()) {
    const std::filesystem::path output = options.output;
    write_file(output / "report.txt", as_text(report));
    write_file(output / "report.md", as_markdown(report));
    write_file(output / "report.csv", as_csv(report));
    write_file(output / "report.json", as_json(report));
    write_file(output / "report.html", as_page(report));
    std::fputs(
        fmt::format("\nwritten: {}/report.txt, .md, .csv, .json, .html\n", options.output).c_str(),
        stdout);
  }
  if (!options.results_file.empty()) replace_results(options.results_file, as_markdown(report));
  // What could not run was said; what ran and is not sound fails the run.
  for (const SectionResult& section : report.run.sections) {
    for (const CellResult& cell : section.cells) {
      for (const Figures& one : cell.figures) {
        if (!one.problem.empty()) return 1;
      }
    }
  }
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app{
      "Measures Isolde beside other engines: subjects in turns, each engine in a process."};
  Options options;
  std::string durability = "none";
  add_options(app, options, durability);
  CLI11_PARSE(app, argc, argv);
  if (options.plan.quick) {
    if (app.count("--keys") == 0) options.plan.keys = 100'000;
    if (app.count("--seconds") == 0) options.plan.seconds = 0.1;
    if (app.count("--repetitions") == 0) options.plan.repetitions = 3;
    if (app.count("--sustained-seconds") == 0) options.plan.sustained_seconds = 3;
  }
  options.work.synced = durability == "sync" ? Synced::yes : Synced::no;
  if (options.list) {
    list_all();
    return 0;
  }
  std::string command = "isolde_suite";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    // Where it wrote is nobody's business; the value may be the next argument.
    if (argument.starts_with("--directory") || argument.starts_with("--output") ||
        argument.starts_with("--results-file")) {
      if (argument.find('=') == std::string::npos) ++i;
      continue;
    }
    command.append(" ").append(argument);
  }
  try {
    return measure(options, command);
  } catch (const std::exception& error) {
    std::fputs(fmt::format("isolde_suite: {}\n", error.what()).c_str(), stderr);
    return 2;
  }
}

}  // namespace
}  // namespace isolde::suite

int main(int argc, char** argv) { return isolde::suite::run(argc, argv); }
