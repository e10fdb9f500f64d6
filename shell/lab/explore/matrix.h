// The matrix: which phenomenon occurs at which level, played now, and what prevented it elsewhere.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lab/play/play.h"
#include "lab/script/cell.h"
#include "lab/script/phenomenon.h"

namespace isolde::lab {

struct MatrixCell {
  Phenomenon phenomenon = Phenomenon::dirty_write;
  Cell cell;
  bool occurs = false;    // the checker found it in a play of its script
  bool admitted = false;  // the contract of the levels says that it must be reproducible here
  // Where it does not occur: the first error code of a play, else `wait` if a step had to, else
  // what hides versions: snapshot, committed_reads, private_writes.
  std::string prevented_by;
  // A transaction that did not get what its level promises: the checker's sentence, else empty.
  std::string broken_promise;
};

struct Matrix {
  std::vector<MatrixCell> cells;  // by phenomenon, then locking, then level
  // A cell departs from the contract if what is admitted cannot be shown, if what is not occurs, or
  // if any transaction did not get what it was promised.
  std::vector<const MatrixCell*> departures() const;
};

// The contract: docs/levels.md, "What may happen". The same for both locking modes.
bool admits(Isolation level, Phenomenon phenomenon) noexcept;

// Plays the shipped script of each phenomenon in each cell. `stop` as in play().
std::variant<Matrix, PlayFailure> play_matrix(const std::vector<Cell>& cells,
                                              const std::function<bool()>& stop = {});

std::string matrix_text(const Matrix& matrix, bool color);
std::string matrix_markdown(const Matrix& matrix);
std::string matrix_json(const Matrix& matrix);

}  // namespace isolde::lab
