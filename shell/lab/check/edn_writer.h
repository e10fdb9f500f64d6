// Our histories for Elle: list-append and rw-register, one map of EDN a line. It stands here, and
// not beside the reader, because it needs the order of the versions (graph).
#pragma once

#include <cstdint>
#include <string>

#include "lab/history/history.h"

namespace isolde::lab {

enum class EdnKind : std::uint8_t { list_append, rw_register };

// The same transactions on the same versions; values are numbers of their own, unique. An erase is
// a write like others. What a scan saw of each key, absent ones too, becomes a read of that key.
std::string to_edn(const History& history, EdnKind kind);

}  // namespace isolde::lab
