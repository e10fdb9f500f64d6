#include "lab/script/phenomenon.h"

#include <algorithm>
#include <utility>

#include "lab/text/source.h"

namespace isolde::lab {
namespace {

constexpr std::array<std::string_view, all_phenomena.size()> phenomenon_names{
    "dirty-write",
    "aborted-read",
    "intermediate-read",
    "circular-information-flow",
    "observed-transaction-vanishes",
    "fuzzy-read",
    "phantom",
    "predicate-many-preceders",
    "lost-update",
    "cursor-lost-update",
    "read-skew",
    "long-fork",
    "write-skew",
    "predicate-write-skew",
    "read-only-anomaly",
    "stale-read",
};

constexpr std::array<std::pair<std::string_view, Phenomenon>, 2> aliases{{
    {"dirty-read", Phenomenon::aborted_read},
    {"non-repeatable-read", Phenomenon::fuzzy_read},
}};

}  // namespace

std::string_view name(Phenomenon phenomenon) noexcept {
  return phenomenon_names[static_cast<std::size_t>(phenomenon)];
}

std::string names_of(const std::vector<Phenomenon>& phenomena, std::string_view between) {
  if (phenomena.empty()) return "serializable";
  std::string text;
  for (const Phenomenon phenomenon : phenomena) {
    text.append(text.empty() ? "" : between).append(name(phenomenon));
  }
  return text;
}

std::optional<Phenomenon> phenomenon_from_name(std::string_view text) noexcept {
  for (const Phenomenon phenomenon : all_phenomena) {
    if (name(phenomenon) == text) return phenomenon;
  }
  for (const auto& [alias, phenomenon] : aliases) {
    if (alias == text) return phenomenon;
  }
  return std::nullopt;
}

std::string did_you_mean_phenomenon(std::string_view word) {
  std::vector<std::string_view> known(phenomenon_names.begin(), phenomenon_names.end());
  for (const auto& alias : aliases) known.push_back(alias.first);
  return did_you_mean(word, known);
}

}  // namespace isolde::lab
