#include "bench/engines/engine.h"

#include <algorithm>
#include <array>
#include <vector>

namespace isolde::bench {

std::string_view name(Reason reason) {
  constexpr std::array<std::string_view, reason_count> names = {
      "none",         "write_conflict", "serialization_failure", "deadlock",
      "lock_timeout", "busy",           "snapshot_too_old"};
  return names.at(static_cast<std::size_t>(reason));
}

Reason Client::claim(std::string_view from, std::string_view to, std::uint64_t hint,
                     std::string& key) {
  std::vector<std::string> seen;
  seen.reserve(8);
  auto note = [&](std::string_view found, std::string_view) { seen.emplace_back(found); };
  key.clear();
  if (const Reason failed = scan(from, to, 8, note); failed != Reason::none) return failed;
  if (seen.empty()) return Reason::none;
  key = seen[hint % seen.size()];
  const Read read = get_for_update(key);
  if (read.failed != Reason::none) return read.failed;
  // Locked and read anew: another worker was quicker. The scan is worth nothing then.
  if (!read.value) return Reason::write_conflict;
  return Reason::none;
}

std::size_t EngineOptions::cache_bytes() const {
  return std::clamp(4 * data_bytes, std::size_t{256} << 20, std::size_t{4} << 30);
}

}  // namespace isolde::bench
