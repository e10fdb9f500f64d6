# Writes OUTPUT, a C++ source that holds the scripts of SCRIPTS, so that the binary knows them
# wherever it runs. Called as: cmake -DOUTPUT=... -DSCRIPTS=a.iso,b.iso -P embed_scripts.cmake
string(REPLACE "," ";" SCRIPTS "${SCRIPTS}")
set(entries "")
foreach(script IN LISTS SCRIPTS)
  get_filename_component(name "${script}" NAME)
  file(READ "${script}" text)
  if(text MATCHES "\\)iso\"")
    message(FATAL_ERROR "${script} contains )iso\", which ends a raw string")
  endif()
  string(APPEND entries "    ShippedScript{\"${name}\", R\"iso(${text})iso\"},\n")
endforeach()
list(LENGTH SCRIPTS count)
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
