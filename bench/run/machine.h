// What it was measured on.
#pragma once

#include <filesystem>
#include <string>

namespace isolde::bench {

struct Machine {
  std::string processor;
  unsigned cores = 0;
  double memory_gb = 0;
  std::string kernel;
  std::string file_system;  // of the directory
  std::string build;        // compiler and build type
  std::string date;         // UTC
};

Machine describe_machine(const std::filesystem::path& directory);
// The time of one small write with its fdatasync into a preallocated file, in microseconds: what a
// durable commit can't do without. Throws CannotRun.
double lone_sync_us(const std::filesystem::path& directory);
// Processes that wanted to run, on average over the last minute.
double machine_load();

}  // namespace isolde::bench
