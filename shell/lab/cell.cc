#include "lab/cell.h"

#include <fmt/format.h>

#include "lab/text.h"

namespace isolde::lab {
namespace {

constexpr std::array<std::string_view, 11> cell_words{"read-uncommitted",
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

}  // namespace

std::string Cell::to_string() const { return fmt::format("{} {}", name(level), name(locking)); }

std::optional<Cell> CellSet::common(const CellSet& other) const noexcept {
  const auto both = cells_ & other.cells_;
  for (std::size_t i = 0; i < cell_count; ++i) {
    if (both.test(i)) return Cell::at(i);
  }
  return std::nullopt;
}

std::optional<Isolation> accept_level(TokenStream& tokens) {
  if (!tokens.peek().is_bare()) return std::nullopt;
  const auto level = isolation_from_name(tokens.peek().text);
  if (level) tokens.next();
  return level;
}

std::optional<Locking> accept_locking(TokenStream& tokens) {
  if (!tokens.peek().is_bare()) return std::nullopt;
  const auto locking = locking_from_name(tokens.peek().text);
  if (locking) tokens.next();
  return locking;
}

CellSet CellSet::parse(TokenStream& tokens) {
  CellSet set;
  set.cells_.reset();
  do {
    const Token first = tokens.peek();
    const auto level = accept_level(tokens);
    const auto locking = accept_locking(tokens);
    if (!level && !locking) {
      if (first.kind == Token::Kind::word) {
        tokens.fail(first.place,
                    fmt::format("'{}' is no level and no locking mode{}", printable(first.text),
                                did_you_mean(first.text, cell_words)));
      }
      tokens.fail_expected("a level (ru, rc, rr, ser) or a locking mode after @");
      return set;
    }
    for (std::size_t i = 0; i < cell_count; ++i) {
      const Cell cell = Cell::at(i);
      if ((!level || cell.level == *level) && (!locking || cell.locking == *locking)) {
        set.cells_.set(i);
      }
    }
  } while (tokens.accept_symbol("|"));
  if (!tokens.at_end()) tokens.fail_expected("| and another cell, or the end of the line");
  return set;
}

}  // namespace isolde::lab
