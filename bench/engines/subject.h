// What is measured: the engines that this build has, and the ways to use them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/engines/engine.h"

namespace isolde::bench {

// One way of running transactions on one engine.
struct Subject {
  std::string name;    // "rocksdb-pess", as on the command line
  std::string engine;  // whose process it shares
  std::string mode;
  std::string promise;  // its guarantee, in the engine's own words
};

// Every subject that this build has, Isolde's first; and the engines that it lacks, each with why.
const std::vector<Subject>& all_subjects();
const std::vector<std::pair<std::string, std::string>>& missing_engines();
// Null if there is no such subject.
const Subject* find_subject(std::string_view name);
// The engine's version, without opening it.
std::string engine_version(const std::string& engine);
// Throws CannotRun if this build has no such engine, or it can't be opened.
std::unique_ptr<Engine> open_engine(const std::string& engine, const EngineOptions& options);

}  // namespace isolde::bench
