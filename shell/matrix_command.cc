// isolde matrix: every phenomenon, level and locking mode, played now.
#include <memory>
#include <string>
#include <variant>

#include "cell_options.h"
#include "commands.h"
#include "exit_code.h"
#include "interrupt.h"
#include "lab/explore/matrix.h"
#include "stream.h"

namespace isolde::shell {
namespace {

struct MatrixOptions {
  CellOptions cells{"all", "all", "auto"};
  std::string format = "text";
};

int run_matrix(const MatrixOptions& options) {
  const auto played = lab::play_matrix(cells_of(options.cells), interrupted);
  if (const auto* failure = std::get_if<lab::PlayFailure>(&played)) {
    return report(failure->error, "matrix");
  }
  const lab::Matrix& matrix = std::get<lab::Matrix>(played);
  const std::string text = options.format == "json" ? lab::matrix_json(matrix)
                           : options.format == "markdown"
                               ? lab::matrix_markdown(matrix)
                               : lab::matrix_text(matrix, want_color(options.cells));
  print(text);
  return matrix.departures().empty() ? exit_ok : exit_failed;
}

}  // namespace

void add_matrix_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand(
      "matrix", "Show which phenomenon occurs at which level, and what prevents it elsewhere");
  auto options = std::make_shared<MatrixOptions>();
  add_cell_options(*command, options->cells);
  command->add_option("--format", options->format, "text (default), markdown or json")
      ->check(CLI::IsMember({"text", "markdown", "json"}));
  command->footer("Example: isolde matrix --locking optimistic");
  command->callback(
      [options, &invocation] { invocation.run = [options] { return run_matrix(*options); }; });
}

}  // namespace isolde::shell
