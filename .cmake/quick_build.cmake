# ISOLDE_UNITY, the one switch for builds that take less time; without it each file is compiled alone,
# as its build type says. Nothing here changes what a program does.

# Parsed once a target: what most files include.
function(isolde_common_headers target)
  if(ISOLDE_UNITY)
    target_precompile_headers(${target} PRIVATE <algorithm> <array> <atomic> <chrono>
      <condition_variable> <filesystem> <functional> <map> <memory> <mutex> <optional> <string>
      <thread> <variant> <vector> ${ARGN})
  endif()
endfunction()

# For the laboratory and the command, most of whose code is their libraries' headers: several files
# share them. The library's own files stand alone, and are optimised as users get them.
function(isolde_quick_build target)
  isolde_common_headers(${target} ${ARGN})
  if(NOT ISOLDE_UNITY)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
  # A file that includes others does not own what they keep to themselves, gcc means.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  if(ISOLDE_BUILD_TESTS)
    target_compile_options(${target} PRIVATE -O1 -g1)  # what is tested need not be the fastest
  endif()
endfunction()

# Tests are mostly Boost's macros: optimising one file took 37 s under a sanitizer, 7 s without.
function(isolde_quick_tests target)
  isolde_common_headers(${target} ${ARGN})
  if(ISOLDE_UNITY AND ISOLDE_SANITIZE)
    target_compile_options(${target} PRIVATE -O0 -g1)
  elseif(ISOLDE_UNITY)
    target_compile_options(${target} PRIVATE -O1 -g1)
  endif()
endfunction()
