// isolde check HISTORY: which anomalies a history shows, and which levels it satisfies.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "commands.h"
#include "exit_code.h"
#include "lab/checker.h"
#include "lab/edn.h"
#include "lab/history_reader.h"
#include "lab/history_writer.h"
#include "lab/verdict_report.h"
#include "stream.h"

namespace isolde::shell {
namespace {

struct CheckCommandOptions {
  std::string file;
  std::string level = "serializable";
  std::string format = "text";
  std::string convert;
};

bool print(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
}

class CheckCommand {
 public:
  explicit CheckCommand(const CheckCommandOptions& options) : options_(options) {}

  int run() {
    if (const int code = read(); code != exit_ok) return code;
    if (!options_.convert.empty()) return convert();
    const lab::Verdict verdict = lab::check(history_);
    lab::JudgedLevel level;
    if (options_.level != "promised") level = isolation_from_name(options_.level);
    print(options_.format == "json" ? lab::verdict_json(verdict, level)
                                    : lab::verdict_text(verdict, level));
    return lab::is_valid(verdict, level) ? exit_ok : exit_failed;
  }

 private:
  int read() {
    auto input = LineInput::open(options_.file);
    if (!input) return refuse(input.error());
    std::unique_ptr<lab::HistoryReader> reader;
    std::size_t blank = 0;
    for (std::size_t number = 1;; ++number) {
      auto line = input->next();
      if (!line) {
        if (line.error().code() == ErrorCode::cancelled) return refuse(line.error());
        complain(fmt::format("{}:{}:1: {}", input->name(), number, line.error().message()));
        return exit_usage;
      }
      if (!*line) break;
      if (!reader) {
        if ((*line)->find_first_not_of(" \t\r") == std::string_view::npos) {
          ++blank;
          continue;
        }
        reader = lab::history_reader(lab::format_of(**line));
        for (; blank > 0; --blank) static_cast<void>(reader->line({}));
      }
      if (const auto fault = reader->line(**line)) return malformed(input->name(), *fault);
    }
    if (!reader) {
      complain(fmt::format("{}: there is no history in it", input->name()));
      return exit_usage;
    }
    auto finished = reader->finish();
    if (const auto* fault = std::get_if<lab::InputFault>(&finished)) {
      return malformed(input->name(), *fault);
    }
    history_ = std::move(std::get<lab::History>(finished));
    return exit_ok;
  }

  static int refuse(const Error& error) {
    complain(error.message());
    return error.code() == ErrorCode::cancelled ? exit_interrupted : exit_usage;
  }

  static int malformed(const std::string& name, const lab::InputFault& fault) {
    complain(fmt::format("{}:{}:{}: {}", name, fault.line, fault.column, fault.message));
    return exit_usage;
  }

  int convert() const {
    if (options_.convert == "jsonl") {
      lab::write_history(history_, print);
    } else {
      const bool append = options_.convert == "list-append";
      print(lab::to_edn(history_, append ? lab::EdnKind::list_append : lab::EdnKind::rw_register));
    }
    return exit_ok;
  }

  const CheckCommandOptions& options_;
  lab::History history_;
};

}  // namespace

void add_check_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("check", "Find anomalies in a recorded history");
  auto options = std::make_shared<CheckCommandOptions>();
  command
      ->add_option("HISTORY", options->file,
                   "A history: JSON lines or Elle's EDN; - is standard input")
      ->required();
  command
      ->add_option("--level", options->level,
                   "What it must satisfy: serializable (default; in the order of real time), "
                   "repeatable-read, read-committed, read-uncommitted (ser, rr, rc, ru, snapshot), "
                   "or promised: what each transaction's own level promises")
      ->check(CLI::IsMember({"read-uncommitted", "read-committed", "repeatable-read",
                             "serializable", "ru", "rc", "rr", "ser", "snapshot", "promised"}));
  command->add_option("--format", options->format, "text (default) or json")
      ->check(CLI::IsMember({"text", "json"}));
  command
      ->add_option("--convert", options->convert,
                   "Do not judge it but write it to standard output: jsonl, or as Elle's "
                   "list-append or rw-register")
      ->check(CLI::IsMember({"jsonl", "list-append", "rw-register"}));
  command->footer("Example: isolde check history.jsonl --level promised");
  command->callback([options, &invocation] {
    invocation.run = [options] { return CheckCommand(*options).run(); };
  });
}

}  // namespace isolde::shell
