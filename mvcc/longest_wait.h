// The longest wait.
#pragma once

#include <chrono>

namespace isolde::mvcc {

// What is asked to wait longer waits so long: the deadline of the longest duration that there is
// would overflow, and be at once.
inline constexpr std::chrono::milliseconds longest_wait = std::chrono::hours(24 * 365);

}  // namespace isolde::mvcc
