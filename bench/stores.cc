#include "bench/stores.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "bench/turn.h"

namespace isolde::bench {
namespace {

[[noreturn]] void give_up(const char* doing, const std::filesystem::path& path) {
  std::fprintf(stderr, "isolde_bench: cannot %s %s: %s\n", doing, path.c_str(),
               std::strerror(errno));
  std::exit(1);
}

}  // namespace

Stores::Stores(const std::filesystem::path& parent, std::uint64_t keys) : keys_(keys) {
  std::string pattern = (parent / "isolde_bench.XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) give_up("create a directory in", parent);
  directory_ = pattern;
  struct statfs file_system {};
  if (statfs(directory_.c_str(), &file_system) == 0 && file_system.f_type == TMPFS_MAGIC) {
    std::fprintf(stderr, "isolde_bench: %s is in memory (tmpfs): durable figures mean nothing\n",
                 parent.c_str());
  }
}

Stores::~Stores() {
  sets_ = {};
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

double Stores::lone_sync_us() {
  using Clock = std::chrono::steady_clock;
  const std::filesystem::path path = directory_ / "lone_sync";
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) give_up("create", path);
  // Written once before, so that a sync has no size or block to record.
  std::vector<char> block(std::size_t{1} << 20, 'x');
  if (pwrite(file, block.data(), block.size(), 0) < 0 || fsync(file) != 0) give_up("write", path);
  std::vector<double> samples;
  for (off_t i = 0; i < 200; ++i) {
    const auto begin = Clock::now();
    block[0] = static_cast<char>(i);
    if (pwrite(file, block.data(), 512, 512 * i) < 0 || fdatasync(file) != 0) {
      give_up("sync", path);
    }
    samples.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  close(file);
  return quantile(samples, 0.5);
}

}  // namespace isolde::bench
