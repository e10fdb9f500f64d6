# The suite: Isolde beside other engines. Those are optional: what Debian package is missing is left
# out, and the suite says so.
find_package(fmt REQUIRED)
file(GLOB sources CONFIGURE_DEPENDS
  engines/*.cc workloads/*.cc run/*.cc report/*.cc)
list(FILTER sources EXCLUDE REGEX "/(rocksdb|wiredtiger|berkeleydb|sqlite)_engine\\.cc$")
# An archive, so that its tests can link it.
add_library(isolde_suite_parts STATIC ${sources})
target_include_directories(isolde_suite_parts PUBLIC ${PROJECT_SOURCE_DIR})
target_compile_definitions(isolde_suite_parts PRIVATE ISOLDE_SUITE_VERSION="${PROJECT_VERSION}"
  ISOLDE_SUITE_BUILD="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}, ${CMAKE_BUILD_TYPE}")
target_link_libraries(isolde_suite_parts
  PUBLIC isolde::isolde isolde_build PkgConfig::lmdb fmt::fmt)

option(ISOLDE_BENCH_OTHER_ENGINES "Measure other engines too, where their packages are" ON)
function(isolde_suite_engine name)  # NAME, then where it was found: an imported target, or a library
  target_sources(isolde_suite_parts PRIVATE engines/${name}_engine.cc)
  string(TOUPPER ${name} upper)
  target_compile_definitions(isolde_suite_parts PRIVATE ISOLDE_SUITE_${upper}=1)
  target_link_libraries(isolde_suite_parts PUBLIC ${ARGN})
endfunction()
if(ISOLDE_BENCH_OTHER_ENGINES)
  foreach(engine rocksdb wiredtiger sqlite)
    set(module ${engine})
    if(engine STREQUAL sqlite)
      set(module sqlite3)
    endif()
    pkg_check_modules(suite_${engine} QUIET IMPORTED_TARGET ${module})
    if(TARGET PkgConfig::suite_${engine})
      isolde_suite_engine(${engine} PkgConfig::suite_${engine})
    endif()
  endforeach()
  find_path(suite_db_include db.h)
  find_library(suite_db_library NAMES db-5.3)
  if(suite_db_include AND suite_db_library)
    isolde_suite_engine(berkeleydb ${suite_db_library})
  endif()
endif()

add_executable(isolde_suite suite_main.cc)
target_link_libraries(isolde_suite PRIVATE isolde_suite_parts CLI11::CLI11)
