#include "lab/script/cell.h"

#include <fmt/format.h>

#include "lab/text/text.h"

namespace isolde::lab {

std::string Cell::to_string() const { return fmt::format("{} {}", name(level), name(locking)); }

CellSet CellSet::none() {
  CellSet set;
  set.cells_.reset();
  return set;
}

std::string CellSet::to_script() const {
  constexpr std::array<std::string_view, all_levels.size()> short_names{"ru", "rc", "rr", "ser"};
  if (cells_.all()) return {};
  for (const Locking locking : all_lockings) {
    CellSet whole = none();
    for (const Isolation level : all_levels) whole.insert({level, locking});
    if (whole.cells_ == cells_) return std::string(name(locking));
  }
  std::vector<std::string> parts;
  for (const Isolation level : all_levels) {
    const std::string_view word = short_names[static_cast<std::size_t>(level)];
    const bool optimistic = contains({level, Locking::optimistic});
    const bool pessimistic = contains({level, Locking::pessimistic});
    if (optimistic && pessimistic) parts.emplace_back(word);
    if (optimistic != pessimistic) {
      parts.push_back(fmt::format("{} {}", word, optimistic ? "optimistic" : "pessimistic"));
    }
  }
  return fmt::format("{}", fmt::join(parts, " | "));
}

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
  CellSet set = none();
  do {
    const Token first = tokens.peek();
    const auto level = accept_level(tokens);
    const auto locking = accept_locking(tokens);
    if (!level && !locking) {
      if (first.kind == Token::Kind::word) {
        tokens.fail(first.place,
                    fmt::format("'{}' is no level and no locking mode{}", printable(first.text),
                                did_you_mean(first.text, cell_spellings)));
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
