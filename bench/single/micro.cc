#include <benchmark/benchmark.h>

#include <map>
#include <memory>

#include "bench/engines/subject.h"
#include "bench/run/store.h"
#include "bench/single/measurements.h"
#include "bench/workloads/draw.h"
#include "bench/workloads/record.h"

namespace isolde::bench {
namespace {

class Empty : public Task {
 public:
  bool draw() override { return false; }
  Reason attempt(Client& /*client*/) override { return Reason::none; }
};

// One key, locked and read. Raw LMDB has nothing to lock: it reads.
class Lock : public Task {
 public:
  explicit Lock(std::uint64_t keys) : keys_(keys) {}

  bool draw() override {
    key_ = random_.below(keys_);
    return false;
  }
  Reason attempt(Client& client) override {
    const Read read = client.get_for_update(account_key(key_).view());
    if (read.failed == Reason::none) benchmark::DoNotOptimize(touch(read.value.value()));
    return read.failed;
  }

 private:
  std::uint64_t keys_;
  std::uint64_t key_ = 0;
  Random random_{1};
};

// The stores, each loaded when its first benchmark runs.
class Stores {
 public:
  Stores(std::filesystem::path directory, std::uint64_t keys) : directory_(std::move(directory)) {
    work_.workload = "read";
    work_.keys = keys;
    work_.synced = Synced::yes;
  }
  const Store& of(const std::string& engine) {
    Store& store = stores_[engine];
    if (!store.engine) store = load_store(engine, work_, directory_ / engine);
    return store;
  }
  const Parameters& work() const { return work_; }

 private:
  std::filesystem::path directory_;
  Parameters work_;
  std::map<std::string, Store> stores_;
};

using MakeTask = std::unique_ptr<Task> (*)(const Store&, const Parameters&);

std::unique_ptr<Task> make_empty(const Store&, const Parameters&) {
  return std::make_unique<Empty>();
}
std::unique_ptr<Task> make_get(const Store& store, const Parameters& work) {
  Parameters hot = work;
  hot.hot = 1000;
  return store.dataset->task(hot, 0, 1);
}
std::unique_ptr<Task> make_lock(const Store&, const Parameters& work) {
  return std::make_unique<Lock>(work.keys);
}

void run(benchmark::State& state, Stores& stores, const Subject& subject, MakeTask make_task) {
  const Store& store = stores.of(subject.engine);
  const auto task = make_task(store, stores.work());
  const auto client = store.engine->client(subject.mode);
  for (auto iteration : state) {
    static_cast<void>(iteration);
    client->begin(task->draw());
    if (task->attempt(*client) != Reason::none || client->commit() != Reason::none) {
      throw CannotRun("a transaction without any beside it failed");
    }
    task->committed();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

}  // namespace

void measure_micro(const std::filesystem::path& directory, std::uint64_t keys,
                   const std::vector<std::string>& arguments) {
  std::vector<std::string> owned = {"isolde_bench"};
  owned.insert(owned.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(owned.size());
  for (std::string& one : owned) argv.push_back(one.data());
  int argc = static_cast<int>(argv.size());
  benchmark::Initialize(&argc, argv.data());
  if (argc > 1) throw CannotRun(std::string("Google Benchmark does not know ") + argv[1]);
  Stores stores(directory, keys);
  const struct {
    const char* name;
    MakeTask make_task;
    const char* isolde;
  } all[] = {{"empty", make_empty, "isolde-rr-opt"},
             {"get, 1000 keys", make_get, "isolde-rr-opt"},
             {"lock1, pessimistic", make_lock, "isolde-rc-pess"}};
  for (const auto& [name, make_task, isolde] : all) {
    for (const Subject* const subject : {find_subject(isolde), find_subject("lmdb")}) {
      const std::string full = std::string(name) + "/" + subject->engine;
      benchmark::RegisterBenchmark(full.c_str(), [&stores, subject,
                                                  make_task = make_task](benchmark::State& state) {
        run(state, stores, *subject, make_task);
      })->UseRealTime();
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}

}  // namespace isolde::bench
