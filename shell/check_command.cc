// isolde check HISTORY: which anomalies a history shows, and which levels it satisfies.
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "commands.h"
#include "exit_code.h"
#include "history_input.h"
#include "lab/check/checker.h"
#include "lab/check/edn_writer.h"
#include "lab/check/verdict_report.h"
#include "lab/history/history_writer.h"
#include "stream.h"

namespace isolde::shell {
namespace {

struct CheckCommandOptions {
  std::string file;
  std::string level = "serializable";
  std::string format = "text";
  std::string convert;
};

class CheckCommand {
 public:
  explicit CheckCommand(const CheckCommandOptions& options) : options_(options) {}

  int run() {
    auto input = read_history(options_.file);
    if (const int* code = std::get_if<int>(&input)) return *code;
    history_ = std::move(std::get<lab::History>(input));
    if (!options_.convert.empty()) return convert();
    const lab::Verdict verdict = lab::check(history_);
    lab::JudgedLevel level;
    if (options_.level != "promised") level = isolation_from_name(options_.level);
    print(options_.format == "json" ? lab::verdict_json(verdict, level)
                                    : lab::verdict_text(verdict, level));
    return lab::is_valid(verdict, level) ? exit_ok : exit_failed;
  }

 private:
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
