// An engine with a dataset in it, in this process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "bench/engines/engine.h"
#include "bench/workloads/dataset.h"

namespace isolde::bench {

struct Store {
  std::unique_ptr<Dataset> dataset;
  std::unique_ptr<Engine> engine;  // whose clients are gone before it
};

// Opens the engine in the directory, which may be new, and loads what `work` runs on. Throws
// CannotRun.
Store load_store(const std::string& engine, const Parameters& work,
                 const std::filesystem::path& directory);

// What files under a directory take on the disk.
std::uint64_t allocated_bytes(const std::filesystem::path& directory);

}  // namespace isolde::bench
