#include "bench/run/machine.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <thread>
#include <vector>

#include "bench/engines/engine.h"

namespace isolde::bench {
namespace {

// The rest of the first line of a file that begins with `name`, after its colon.
std::string line_of(const char* file, const std::string& name) {
  std::ifstream stream(file);
  std::string line;
  while (std::getline(stream, line)) {
    if (line.compare(0, name.size(), name) != 0) continue;
    const auto colon = line.find(':');
    const auto text = line.find_first_not_of(" \t", colon + 1);
    if (colon != std::string::npos && text != std::string::npos) return line.substr(text);
  }
  return "unknown";
}

std::string file_system_of(const std::filesystem::path& directory) {
  struct statfs found {};
  if (statfs(directory.c_str(), &found) != 0) return "unknown";
  switch (static_cast<unsigned long>(found.f_type)) {
    case TMPFS_MAGIC:
      return "tmpfs (in memory: durable figures mean nothing)";
    case EXT4_SUPER_MAGIC:
      return "ext4";
    case XFS_SUPER_MAGIC:
      return "xfs";
    case BTRFS_SUPER_MAGIC:
      return "btrfs";
    case OVERLAYFS_SUPER_MAGIC:
      return "overlayfs";
    default: {
      char text[32];
      std::snprintf(text, sizeof text, "type %lx", static_cast<unsigned long>(found.f_type));
      return text;
    }
  }
}

}  // namespace

Machine describe_machine(const std::filesystem::path& directory) {
  Machine machine;
  machine.processor = line_of("/proc/cpuinfo", "model name");
  machine.cores = std::thread::hardware_concurrency();
  machine.memory_gb = std::atof(line_of("/proc/meminfo", "MemTotal").c_str()) / 1e6;
  struct utsname system {};
  if (uname(&system) == 0) machine.kernel = std::string(system.sysname) + " " + system.release;
  machine.file_system = file_system_of(directory);
  machine.build = ISOLDE_BENCH_BUILD;
  const std::time_t now = std::time(nullptr);
  char date[32] = "";
  std::strftime(date, sizeof date, "%F %R UTC", std::gmtime(&now));
  machine.date = date;
  return machine;
}

double lone_sync_us(const std::filesystem::path& directory) {
  using Clock = std::chrono::steady_clock;
  const std::filesystem::path path = directory / "lone_sync";
  const auto check = [&path](bool ok) {
    if (!ok) throw CannotRun("cannot write " + path.string() + ": " + std::strerror(errno));
  };
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  check(file >= 0);
  // Written once before, so that a sync has no size or block to record.
  std::vector<char> block(std::size_t{1} << 20, 'x');
  check(pwrite(file, block.data(), block.size(), 0) > 0 && fsync(file) == 0);
  std::vector<double> samples;
  samples.reserve(200);
  for (off_t i = 0; i < 200; ++i) {
    const auto begin = Clock::now();
    block[0] = static_cast<char>(i);
    check(pwrite(file, block.data(), 512, 512 * i) > 0 && fdatasync(file) == 0);
    samples.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  close(file);
  std::filesystem::remove(path);
  std::nth_element(samples.begin(), samples.begin() + 100, samples.end());
  return samples[100];
}

double machine_load() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : 0;
}

}  // namespace isolde::bench
