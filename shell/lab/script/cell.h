// Cells: pairs of isolation level and locking mode, and the sets of them that `@` names.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/types.h"
#include "lab/script/token.h"

namespace isolde::lab {

inline constexpr std::array all_levels{Isolation::read_uncommitted, Isolation::read_committed,
                                       Isolation::repeatable_read, Isolation::serializable};
inline constexpr std::array all_lockings{Locking::optimistic, Locking::pessimistic};
// Whatever names a level or a locking mode.
inline constexpr std::array<std::string_view, 11> cell_spellings{"read-uncommitted",
                                                                 "read-committed",
                                                                 "repeatable-read",
                                                                 "serializable",
                                                                 "ru",
                                                                 "rc",
                                                                 "rr",
                                                                 "ser",
                                                                 "snapshot",
                                                                 "optimistic",
                                                                 "pessimistic"};

struct Cell {
  Isolation level = Isolation::repeatable_read;
  Locking locking = Locking::optimistic;

  std::size_t index() const noexcept {
    return static_cast<std::size_t>(level) * all_lockings.size() +
           static_cast<std::size_t>(locking);
  }
  static Cell at(std::size_t index) noexcept {
    return {all_levels[index / all_lockings.size()], all_lockings[index % all_lockings.size()]};
  }
  std::string to_string() const;  // "repeatable-read optimistic"
  friend bool operator==(const Cell&, const Cell&) = default;
};

// A set of cells; by default all of them.
class CellSet {
 public:
  static constexpr std::size_t cell_count = all_levels.size() * all_lockings.size();

  CellSet() { cells_.set(); }

  static CellSet none();
  void insert(const Cell& cell) noexcept { cells_.set(cell.index()); }
  bool contains(const Cell& cell) const noexcept { return cells_.test(cell.index()); }
  // As it follows `@`, short: "ru | rc optimistic". Empty for all cells.
  std::string to_script() const;
  // A cell that both hold, if any.
  std::optional<Cell> common(const CellSet& other) const noexcept;

  // Reads "[level] [locking] { | [level] [locking] }" to the end of the line.
  static CellSet parse(TokenStream& tokens);

 private:
  std::bitset<cell_count> cells_;
};

// A level or a locking at the front of the stream, consumed if it is one.
std::optional<Isolation> accept_level(TokenStream& tokens);
std::optional<Locking> accept_locking(TokenStream& tokens);

}  // namespace isolde::lab
