#include "bench/run/store.h"

#include <sys/stat.h>

#include <algorithm>

#include "bench/engines/subject.h"
#include "bench/workloads/datasets.h"

namespace isolde::bench {
namespace {

// Updates 100,000 keys (or half of them), so that they live in memory where an engine does that.
void make_chains(const Store& store, const Parameters& work) {
  Parameters updates = work;
  updates.workload = "rmw";
  updates.operations = 1000;
  const auto task = store.dataset->task(updates, 0, 7);
  const auto client = store.engine->client("rr-opt");
  const std::uint64_t wanted = std::min<std::uint64_t>(100'000, work.keys / 2);
  for (std::uint64_t done = 0; done < wanted; done += updates.operations) {
    client->begin(task->draw());
    if (task->attempt(*client) != Reason::none || client->commit() != Reason::none) {
      throw CannotRun("the updates before the turns failed");
    }
    task->committed();
  }
}

}  // namespace

Store load_store(const std::string& engine, const Parameters& work,
                 const std::filesystem::path& directory) {
  std::filesystem::create_directories(directory);
  Store store;
  store.dataset = make_dataset(work);
  store.engine = open_engine(engine, {directory, work.synced, work.checkpoints && !work.chains,
                                      store.dataset->data_bytes()});
  store.engine->load(store.dataset->source());
  if (work.chains) make_chains(store, work);
  store.engine->settle();
  return store;
}

std::uint64_t allocated_bytes(const std::filesystem::path& directory) {
  std::uint64_t bytes = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, ignored)) {
    struct stat status {};
    if (lstat(entry.path().c_str(), &status) == 0 && S_ISREG(status.st_mode)) {
      bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
  }
  return bytes;
}

}  // namespace isolde::bench
