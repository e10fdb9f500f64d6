#include "isolde/types.h"

#include <array>
#include <utility>

namespace isolde {
namespace {

template <typename Enum>
struct Spelling {
  std::string_view text;
  Enum value;
};

// The first spelling of each value is the canonical one.
constexpr std::array isolation_spellings{
    Spelling<Isolation>{"read-uncommitted", Isolation::read_uncommitted},
    Spelling<Isolation>{"read-committed", Isolation::read_committed},
    Spelling<Isolation>{"repeatable-read", Isolation::repeatable_read},
    Spelling<Isolation>{"serializable", Isolation::serializable},
    Spelling<Isolation>{"ru", Isolation::read_uncommitted},
    Spelling<Isolation>{"rc", Isolation::read_committed},
    Spelling<Isolation>{"rr", Isolation::repeatable_read},
    Spelling<Isolation>{"snapshot", Isolation::repeatable_read},
    Spelling<Isolation>{"ser", Isolation::serializable},
};
constexpr std::array locking_spellings{
    Spelling<Locking>{"optimistic", Locking::optimistic},
    Spelling<Locking>{"pessimistic", Locking::pessimistic},
};

template <typename Spellings, typename Enum>
constexpr std::string_view spelling_of(const Spellings& spellings, Enum value) noexcept {
  for (const auto& spelling : spellings) {
    if (spelling.value == value) return spelling.text;
  }
  return "unknown";
}

template <typename Spellings>
constexpr auto value_of(const Spellings& spellings, std::string_view text) noexcept
    -> std::optional<decltype(spellings[0].value)> {
  for (const auto& spelling : spellings) {
    if (spelling.text == text) return spelling.value;
  }
  return std::nullopt;
}

}  // namespace

std::string_view name(Isolation level) noexcept { return spelling_of(isolation_spellings, level); }
std::string_view name(Locking locking) noexcept { return spelling_of(locking_spellings, locking); }

std::optional<Isolation> isolation_from_name(std::string_view text) noexcept {
  return value_of(isolation_spellings, text);
}
std::optional<Locking> locking_from_name(std::string_view text) noexcept {
  return value_of(locking_spellings, text);
}

}  // namespace isolde
