// isolde_bench: Isolde beside other engines: all of the plan, one workload of the user's own, or
// one of the single measurements.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "bench/report/page.h"
#include "bench/report/report.h"
#include "bench/run/plan.h"
#include "bench/run/runner.h"
#include "bench/run/scratch_directory.h"
#include "bench/single/measurements.h"

namespace isolde::bench {
namespace {

struct Options {
  PlanOptions plan;
  std::string directory;
  std::string output;
  std::string results_file;
  std::uint64_t seed = 1;
  bool list = false;
  std::string workload;  // one of the user's own instead of the plan
  Parameters work;
  std::vector<unsigned> clients = {1};
  // The single measurements, at most one of them.
  bool micro = false;
  std::vector<std::string> micro_arguments;  // for Google Benchmark
  bool recorder_cost = false;
  bool held_snapshot = false;
  std::uint64_t crash_recovery = 0;  // megabytes of log
  unsigned deadlock_chain = 0;       // transactions
};

// The folder of this program: in a build folder, on a disk, and never the one that it is called
// from.
std::string own_folder() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

void list_all() {
  std::fputs("workloads:", stdout);
  for (const std::string_view one : all_workloads()) fmt::print(stdout, " {}", one);
  std::fputs("\nsections:", stdout);
  for (const std::string& one : section_ids()) fmt::print(stdout, " {}", one);
  std::fputs("\nsubjects:\n", stdout);
  for (const Subject& one : all_subjects()) {
    fmt::print(stdout, "  {:<16} {} {}\n", one.name, one.promise, engine_version(one.engine));
  }
  for (const auto& [engine, why] : missing_engines()) {
    fmt::print(stdout, "  {:<16} {}\n", engine, why);
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
  if (!options.micro && !options.micro_arguments.empty()) {
    throw CannotRun(options.micro_arguments.front() + " goes with --micro");
  }
  check_names("subject", options.plan.subjects, subjects);
  check_names("section", options.plan.sections, section_ids());
  if (!options.workload.empty()) {
    check_names("workload", {options.workload}, all_workloads());
  }
}

// The user's own workload over the numbers of clients.
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
  app.add_option(
         "--directory", options.directory,
         "Where the data goes, on the disk to be measured: a new directory in it, removed at the "
         "end (default: the folder of this program)")
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
  app.add_flag("--chains", options.work.chains,
               "100,000 keys updated before the turns, with no checkpoint since")
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

void add_single_measurements(CLI::App& app, Options& options) {
  auto* const single =
      app.add_option_group("Single measurements", "At most one, instead of the plan");
  single->require_option(0, 1);
  single->add_flag(
      "--micro", options.micro,
      "What is too short for turns, with Google Benchmark; its --benchmark_... options "
      "may follow");
  single->add_flag("--recorder-cost", options.recorder_cost,
                   "Isolde without and with the laboratory's recorder, in turns");
  single->add_flag("--held-snapshot", options.held_snapshot,
                   "File growth while every key is updated, with and without an open snapshot");
  single
      ->add_option("--crash-recovery", options.crash_recovery,
                   "Time to open a database after a crash with so many megabytes of log")
      ->check(CLI::Range(1, 10'000));
  single
      ->add_option("--deadlock-chain", options.deadlock_chain,
                   "Time to find a deadlock of so many transactions")
      ->check(CLI::Range(2, 1000));
}

// True if one of them was asked for; it has been done then.
bool measure_single(const Options& options, const std::filesystem::path& directory) {
  const PlanOptions& plan = options.plan;
  if (options.micro) {
    measure_micro(directory, plan.keys, options.micro_arguments);
  } else if (options.recorder_cost) {
    measure_recorder_cost(directory, plan);
  } else if (options.held_snapshot) {
    const std::vector<std::string> both = {"isolde-rr-opt", "lmdb"};
    measure_held_snapshot(directory, plan.keys, plan.subjects.empty() ? both : plan.subjects);
  } else if (options.crash_recovery != 0) {
    measure_crash_recovery(directory, plan.keys, options.crash_recovery, plan.repetitions);
  } else if (options.deadlock_chain != 0) {
    measure_deadlock_chain(directory, options.deadlock_chain, plan.repetitions);
  } else {
    return false;
  }
  return true;
}

int measure(const Options& options, const std::string& command,
            const std::filesystem::path& directory) {
  if (measure_single(options, directory)) return 0;
  std::vector<Section> plan = options.workload.empty() ? make_plan(options.plan)
                                                       : std::vector<Section>{own_section(options)};
  if (plan.empty() || plan.front().cells.empty()) {
    throw CannotRun("none of these subjects is in these sections");
  }
  Report report{command, options.seed, describe_machine(options.directory), {}};
  report.run = run_plan(plan, directory, options.seed);
  std::fputs(as_text(report).c_str(), stdout);
  if (!options.output.empty()) {
    const std::filesystem::path output = options.output;
    write_file(output / "report.txt", as_text(report));
    write_file(output / "report.md", as_markdown(report));
    write_file(output / "report.csv", as_csv(report));
    write_file(output / "report.json", as_json(report));
    write_file(output / "report.html", as_page(report));
    fmt::print(stdout, "\nwritten: {}/report.txt, .md, .csv, .json, .html\n", options.output);
  }
  if (report.run.interrupted) return 128 + SIGINT;  // the results file stays as it was
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

// What was measured, for the report: the arguments without those that say where to write.
std::string command_of(const std::vector<std::string>& arguments) {
  std::string command = "isolde_bench";
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument.starts_with("--directory") || argument.starts_with("--output") ||
        argument.starts_with("--results-file")) {
      if (argument.find('=') == std::string::npos) ++i;  // the value is the next argument
      continue;
    }
    command.append(" ").append(argument);
  }
  return command;
}

void take_quick_values(const CLI::App& app, PlanOptions& plan) {
  if (!plan.quick) return;
  if (app.count("--keys") == 0) plan.keys = 100'000;
  if (app.count("--seconds") == 0) plan.seconds = 0.1;
  if (app.count("--repetitions") == 0) plan.repetitions = 3;
  if (app.count("--sustained-seconds") == 0) plan.sustained_seconds = 3;
}

template <typename F>
int told(const F& measure) {
  try {
    return measure();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "isolde_bench: %s\n", error.what());
    return 2;
  }
}

int run(std::vector<std::string> arguments) {
  CLI::App app{"Measures Isolde beside other engines: subjects in turns, each engine in a process.",
               "isolde_bench"};
  Options options;
  options.directory = own_folder();
  std::string durability = "none";
  add_options(app, options, durability);
  add_single_measurements(app, options);
  // CLI11 knows no option by the beginning of its name.
  const auto ours = std::stable_partition(
      arguments.begin(), arguments.end(),
      [](const std::string& one) { return !one.starts_with("--benchmark_"); });
  options.micro_arguments.assign(ours, arguments.end());
  arguments.erase(ours, arguments.end());
  std::vector<std::string> from_the_back(arguments.rbegin(), arguments.rend());
  try {
    app.parse(from_the_back);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  take_quick_values(app, options.plan);
  options.work.synced = durability == "sync" ? Synced::yes : Synced::no;
  if (options.list) {
    list_all();
    return 0;
  }
  return told([&] {
    check_options(options);
    return measure_in_scratch_directory(options.directory, [&](const auto& directory) {
      return told([&] { return measure(options, command_of(arguments), directory); });
    });
  });
}

}  // namespace
}  // namespace isolde::bench

int main(int argc, char** argv) { return isolde::bench::run({argv + 1, argv + argc}); }
