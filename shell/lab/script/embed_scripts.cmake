# Writes OUTPUT, a C++ source that holds the scripts of the folder SCRIPTS, so that the binary knows
# them wherever it runs. Called as: cmake -DOUTPUT=... -DSCRIPTS=... -P embed_scripts.cmake
file(GLOB scripts "${SCRIPTS}/*.iso")
set(entries "")
foreach(script IN LISTS scripts)
  get_filename_component(name "${script}" NAME)
  file(READ "${script}" text)
  if(text MATCHES "\\)iso\"")
    message(FATAL_ERROR "${script} contains )iso\", which ends a raw string")
  endif()
  string(APPEND entries "    ShippedScript{\"${name}\", R\"iso(${text})iso\"},\n")
endforeach()
list(LENGTH scripts count)
file(CONFIGURE OUTPUT "${OUTPUT}" @ONLY CONTENT [[
// Generated from shell/scripts/*.iso.
#include "lab/script/shipped_scripts.h"

#include <array>

namespace isolde::lab {

std::span<const ShippedScript> shipped_scripts() {
  static constexpr std::array<ShippedScript, @count@> scripts{
@entries@  };
  return scripts;
}

}  // namespace isolde::lab
]])
