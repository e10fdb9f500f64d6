#include "tests/mvcc/surface_history.h"

#include <charconv>

namespace isolde::test::surface {

std::optional<std::int64_t> number(const Value& value) {
  if (!value) return 0;
  std::int64_t parsed = 0;
  const char* end = value->data() + value->size();
  const auto [at, failure] = std::from_chars(value->data(), end, parsed);
  if (failure != std::errc() || at != end) return std::nullopt;
  return parsed;
}

bool Own::Condition::holds(const Value& base) const {
  Value seen = base;
  if (delta) {
    // On what is no integer an add does not show.
    if (const auto below = number(base)) seen = std::to_string(*below + *delta);
  }
  return seen == expected;
}

void Own::add(std::int64_t more) { delta = delta.value_or(0) + more; }

Value Own::seen_over(const Value& base) const {
  const auto sum = over(base);
  return sum ? *sum : base;
}

std::optional<Value> Own::over(const Value& base) const {
  const Value& below = fixed ? *fixed : base;
  if (!delta) return below;
  const auto sum = number(below);
  if (!sum) return std::nullopt;
  return Value(std::to_string(*sum + *delta));
}

bool TransactionRecord::depends_on_reads() const {
  if (is_pessimistic()) return false;
  for (const Read& read : reads) {
    if (read.depends) return true;
  }
  return false;
}

}  // namespace isolde::test::surface
