#include "lab/explore/matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include "isolde/error.h"
#include "lab/play/playground.h"
#include "lab/script/parse_script.h"
#include "lab/script/script.h"
#include "lab/script/shipped_scripts.h"
#include "lab/text/json.h"
#include "lab/text/text.h"

namespace isolde::lab {
namespace {

// The weakest level at which each phenomenon must not occur any more.
constexpr std::array<Isolation, all_phenomena.size()> forbidden_from{
    Isolation::read_uncommitted,  // dirty-write
    Isolation::read_committed,    // aborted-read
    Isolation::read_committed,    // intermediate-read
    Isolation::read_committed,    // circular-information-flow
    Isolation::read_committed,    // observed-transaction-vanishes
    Isolation::repeatable_read,   // fuzzy-read
    Isolation::repeatable_read,   // phantom
    Isolation::repeatable_read,   // predicate-many-preceders
    Isolation::repeatable_read,   // lost-update
    Isolation::repeatable_read,   // cursor-lost-update
    Isolation::repeatable_read,   // read-skew
    Isolation::repeatable_read,   // long-fork
    Isolation::serializable,      // write-skew
    Isolation::serializable,      // predicate-write-skew
    Isolation::serializable,      // read-only-anomaly
    Isolation::read_uncommitted,  // stale-read
};

std::optional<Script> script_of(Phenomenon phenomenon) {
  const std::string file = fmt::format("{}.iso", name(phenomenon));
  for (const ShippedScript& shipped : shipped_scripts()) {
    if (shipped.name != file) continue;
    return parse_script(file, std::string(shipped.text)).script;
  }
  return std::nullopt;
}

// Why the versions alone kept it away, where no session failed and none waited.
std::string hidden_by(Phenomenon phenomenon, Isolation level) {
  if (phenomenon == Phenomenon::dirty_write) return "private_writes";
  return level >= Isolation::repeatable_read ? "snapshot" : "committed_reads";
}

std::string prevented_by(const Play& play, Phenomenon phenomenon) {
  for (const StepRecord& record : play.steps) {
    if (record.outcome.error) return std::string(name(record.outcome.error->code()));
  }
  for (const StepRecord& record : play.steps) {
    if (record.outcome.blocked) return "wait";
  }
  return hidden_by(phenomenon, play.cell.level);
}

bool shows(const Play& play, Phenomenon phenomenon) {
  const std::vector<Phenomenon> found = play.verdict.phenomena();
  return std::find(found.begin(), found.end(), phenomenon) != found.end();
}

// It occurs if one schedule shows it; prevented is what the first one says.
std::variant<MatrixCell, PlayFailure> play_cell(const Script& script, Phenomenon phenomenon,
                                                const Cell& cell, Playground& playground,
                                                const std::function<bool()>& stop) {
  MatrixCell result{phenomenon, cell, false, admits(cell.level, phenomenon), {}, {}};
  for (std::size_t schedule = 0; schedule < script.schedules.size(); ++schedule) {
    auto played = play(script, schedule, cell, playground, stop);
    if (auto* failure = std::get_if<PlayFailure>(&played)) return std::move(*failure);
    const Play& run = std::get<Play>(played);
    result.occurs = result.occurs || shows(run, phenomenon);
    const auto& broken = run.verdict.broken_promises;
    if (!broken.empty() && result.broken_promise.empty()) {
      result.broken_promise = broken.front().text;
    }
    if (result.prevented_by.empty()) result.prevented_by = prevented_by(run, phenomenon);
  }
  if (result.occurs) result.prevented_by.clear();
  return result;
}

std::vector<Locking> lockings_of(const Matrix& matrix) {
  std::vector<Locking> lockings;
  for (const Locking locking : all_lockings) {
    const auto uses = [locking](const MatrixCell& cell) { return cell.cell.locking == locking; };
    if (std::any_of(matrix.cells.begin(), matrix.cells.end(), uses)) lockings.push_back(locking);
  }
  return lockings;
}

std::vector<Isolation> levels_of(const Matrix& matrix) {
  std::vector<Isolation> levels;
  for (const Isolation level : all_levels) {
    const auto uses = [level](const MatrixCell& cell) { return cell.cell.level == level; };
    if (std::any_of(matrix.cells.begin(), matrix.cells.end(), uses)) levels.push_back(level);
  }
  return levels;
}

const MatrixCell* find(const Matrix& matrix, Phenomenon phenomenon, const Cell& cell) {
  for (const MatrixCell& candidate : matrix.cells) {
    if (candidate.phenomenon == phenomenon && candidate.cell == cell) return &candidate;
  }
  return nullptr;
}

bool departs(const MatrixCell& cell) {
  return cell.occurs != cell.admitted || !cell.broken_promise.empty();
}

std::string shown(const MatrixCell& cell) {
  return (cell.occurs ? "occurs" : cell.prevented_by) + (departs(cell) ? " (!)" : "");
}

// What fits four columns beside the names on a terminal of 80 columns.
constexpr std::size_t name_width = 30;
constexpr std::size_t column_width = 12;

struct ShortForm {
  std::string_view what;
  std::string_view brief;
  std::string_view meaning;
};

constexpr std::array<ShortForm, 7> short_forms{{
    {"write_conflict", "conflict", "a transaction failed with write_conflict"},
    {"serialization_failure", "failure", "a transaction failed with serialization_failure"},
    {"deadlock", "deadlock", "the transactions waited for each other, and one was the victim"},
    {"wait", "wait", "one waited until the other had ended"},
    {"snapshot", "snapshot", "its snapshot hides the newer versions"},
    {"committed_reads", "committed", "only committed versions are read"},
    {"private_writes", "private", "what is not committed is private to its writer"},
}};

std::string_view brief(std::string_view what) {
  const auto* found = std::find_if(short_forms.begin(), short_forms.end(),
                                   [what](const ShortForm& form) { return form.what == what; });
  return found == short_forms.end() ? what : found->brief;
}

std::string shown_short(const MatrixCell& cell) {
  const std::string_view what = cell.occurs ? "occurs" : brief(cell.prevented_by);
  return std::string(what.substr(0, column_width - 3)) + (departs(cell) ? " !" : "");
}

// A level of two words stands in two lines.
std::string heading(Locking locking, const std::vector<Isolation>& levels) {
  std::string first = padded(name(locking), name_width);
  std::string second(name_width, ' ');
  for (const Isolation level : levels) {
    const std::string_view text = name(level);
    const std::size_t dash = text.find('-');
    const bool one_word = dash == std::string_view::npos;
    first += padded(one_word ? "" : text.substr(0, dash), column_width);
    second += padded(one_word ? text : text.substr(dash + 1), column_width);
  }
  first.erase(first.find_last_not_of(' ') + 1);
  second.erase(second.find_last_not_of(' ') + 1);
  return first + '\n' + second + '\n';
}

// Of what prevented something here, in the order of the table above.
std::string legend(const Matrix& matrix) {
  std::string text;
  for (const ShortForm& form : short_forms) {
    const bool used =
        std::any_of(matrix.cells.begin(), matrix.cells.end(),
                    [&](const MatrixCell& cell) { return cell.prevented_by == form.what; });
    if (used) text += fmt::format("{} {}\n", padded(form.brief, column_width), form.meaning);
  }
  return text.empty() ? text : "Where it does not occur, what prevents it:\n" + text + '\n';
}

std::string departure(const MatrixCell& cell) {
  if (cell.occurs == cell.admitted) {
    return fmt::format("{} at {}: {}", name(cell.phenomenon), cell.cell.to_string(),
                       cell.broken_promise);
  }
  return fmt::format("{} at {}: the contract {} it, but it {}", name(cell.phenomenon),
                     cell.cell.to_string(), cell.admitted ? "admits" : "forbids",
                     cell.occurs ? "occurs" : "cannot be shown");
}

}  // namespace

bool admits(Isolation level, Phenomenon phenomenon) noexcept {
  return level < forbidden_from[static_cast<std::size_t>(phenomenon)];
}

std::vector<const MatrixCell*> Matrix::departures() const {
  std::vector<const MatrixCell*> departures;
  for (const MatrixCell& cell : cells) {
    if (departs(cell)) departures.push_back(&cell);
  }
  return departures;
}

std::variant<Matrix, PlayFailure> play_matrix(const std::vector<Cell>& cells,
                                              const std::function<bool()>& stop) {
  Matrix matrix;
  const auto playground = Playground::temporary();
  for (const Phenomenon phenomenon : all_phenomena) {
    const std::optional<Script> script = script_of(phenomenon);
    if (!script) {
      return PlayFailure{std::nullopt,
                         Error(ErrorCode::invalid_argument,
                               fmt::format("no script ships for {}", name(phenomenon)))};
    }
    for (const Cell& cell : cells) {
      auto played = play_cell(*script, phenomenon, cell, *playground, stop);
      if (auto* failure = std::get_if<PlayFailure>(&played)) return std::move(*failure);
      matrix.cells.push_back(std::move(std::get<MatrixCell>(played)));
    }
  }
  return matrix;
}

std::string matrix_text(const Matrix& matrix, bool color) {
  const std::vector<Isolation> levels = levels_of(matrix);
  std::string text;
  for (const Locking locking : lockings_of(matrix)) {
    text += '\n' + heading(locking, levels);
    for (const Phenomenon phenomenon : all_phenomena) {
      std::string line = padded(name(phenomenon), name_width);
      for (const Isolation level : levels) {
        const MatrixCell* cell = find(matrix, phenomenon, {level, locking});
        const std::string what = cell != nullptr ? shown_short(*cell) : "";
        const bool red = cell != nullptr && cell->occurs;
        const std::string gap(level == levels.back() ? 0 : column_width - what.size(), ' ');
        line += color ? fmt::format("\x1b[{}m{}\x1b[0m{}", red ? 31 : 32, what, gap) : what + gap;
      }
      text += line + '\n';
    }
  }
  text += '\n' + legend(matrix);
  for (const MatrixCell* cell : matrix.departures()) text += departure(*cell) + '\n';
  const std::size_t departures = matrix.departures().size();
  return text + fmt::format("{} cells as the contract says, {} not\n",
                            matrix.cells.size() - departures, departures);
}

std::string matrix_markdown(const Matrix& matrix) {
  const std::vector<Isolation> levels = levels_of(matrix);
  std::string text;
  for (const Locking locking : lockings_of(matrix)) {
    if (!text.empty()) text += '\n';
    text += fmt::format("| {} |", name(locking));
    for (const Isolation level : levels) text += fmt::format(" {} |", name(level));
    text += "\n|---|";
    for (std::size_t i = 0; i < levels.size(); ++i) text += "---|";
    text += '\n';
    for (const Phenomenon phenomenon : all_phenomena) {
      text += fmt::format("| {} |", name(phenomenon));
      for (const Isolation level : levels) {
        const MatrixCell* cell = find(matrix, phenomenon, {level, locking});
        const std::string what = cell == nullptr ? std::string() : shown(*cell);
        text += cell != nullptr && cell->occurs ? fmt::format(" **{}** |", what)
                                                : fmt::format(" {} |", what);
      }
      text += '\n';
    }
  }
  for (const MatrixCell* cell : matrix.departures()) text += "\n* " + departure(*cell) + '\n';
  return text;
}

std::string matrix_json(const Matrix& matrix) {
  Json cells = Json::array();
  for (const MatrixCell& cell : matrix.cells) {
    cells.push_back(Json{{"phenomenon", name(cell.phenomenon)},
                         {"level", name(cell.cell.level)},
                         {"locking", name(cell.cell.locking)},
                         {"occurs", cell.occurs},
                         {"admitted", cell.admitted},
                         {"prevented_by", cell.occurs ? Json(nullptr) : Json(cell.prevented_by)}});
  }
  return json_line(Json{{"cells", std::move(cells)}});
}

}  // namespace isolde::lab
