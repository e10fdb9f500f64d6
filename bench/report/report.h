// A run's figures as text, Markdown, CSV and JSON. The page with plots is page.h.
#pragma once

#include <filesystem>
#include <string>

#include "bench/run/machine.h"
#include "bench/run/runner.h"

namespace isolde::bench {

struct Report {
  std::string command;
  std::uint64_t seed = 0;
  Machine machine;
  RunResult run;
};

std::string as_text(const Report& report);
std::string as_markdown(const Report& report);
std::string as_csv(const Report& report);
std::string as_json(const Report& report);

// Numbers for people: "1.23M", "45.6k", "789"; "12.3 us"; "4.5 MB".
std::string short_number(double number);
std::string short_time(double nanoseconds);
std::string short_bytes(double bytes);
// "write_conflict 12, deadlock 3"; empty if none.
std::string abort_reasons(const Figures& figures);
// Where, when, with what it was measured: a line each.
std::vector<std::string> conditions(const Report& report);

// Writes a file whole. Throws CannotRun.
void write_file(const std::filesystem::path& file, const std::string& text);
// Replaces what stands between the lines "<!-- results -->" and "<!-- end of results -->" of a
// Markdown file. Throws CannotRun, with the file as it was, if they are not there.
void replace_results(const std::filesystem::path& file, const std::string& markdown);

}  // namespace isolde::bench
