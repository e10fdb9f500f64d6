// The phenomena that isolation levels are told apart by, and their names.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace isolde::lab {

// In the order of the table in docs/levels.md, which is the order of the matrix.
enum class Phenomenon : std::uint8_t {
  dirty_write,
  aborted_read,
  intermediate_read,
  circular_information_flow,
  observed_transaction_vanishes,
  fuzzy_read,
  phantom,
  predicate_many_preceders,
  lost_update,
  cursor_lost_update,
  read_skew,
  long_fork,
  write_skew,
  predicate_write_skew,
  read_only_anomaly,
  stale_read,
};

inline constexpr std::array all_phenomena{
    Phenomenon::dirty_write,
    Phenomenon::aborted_read,
    Phenomenon::intermediate_read,
    Phenomenon::circular_information_flow,
    Phenomenon::observed_transaction_vanishes,
    Phenomenon::fuzzy_read,
    Phenomenon::phantom,
    Phenomenon::predicate_many_preceders,
    Phenomenon::lost_update,
    Phenomenon::cursor_lost_update,
    Phenomenon::read_skew,
    Phenomenon::long_fork,
    Phenomenon::write_skew,
    Phenomenon::predicate_write_skew,
    Phenomenon::read_only_anomaly,
    Phenomenon::stale_read,
};

// "dirty-write", ...: the names of the command line, of scripts and of JSON.
std::string_view name(Phenomenon phenomenon) noexcept;

// The names, or "serializable" if there are none.
std::string names_of(const std::vector<Phenomenon>& phenomena, std::string_view between = ", ");

// By its name, or by an alias that people know (dirty-read, non-repeatable-read).
std::optional<Phenomenon> phenomenon_from_name(std::string_view text) noexcept;

// "; did you mean X?" for a word that is no phenomenon, or nothing.
std::string did_you_mean_phenomenon(std::string_view word);

}  // namespace isolde::lab
