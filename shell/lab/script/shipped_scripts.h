// The scripts that ship with Isolde, built into the binary.
#pragma once

#include <span>
#include <string_view>

namespace isolde::lab {

struct ShippedScript {
  std::string_view name;  // "lost-update.iso"
  std::string_view text;
};

std::span<const ShippedScript> shipped_scripts();

}  // namespace isolde::lab
