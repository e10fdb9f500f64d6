// Isolde as an embedder uses it: through the public headers only.
#pragma once

#include <isolde/isolde.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "bench/workload.h"

namespace isolde::bench {

class IsoldeStore {
 public:
  static constexpr const char* name = "isolde";

  // Creates it in `directory` and loads `keys` keys. Ends the process on any error.
  IsoldeStore(const std::filesystem::path& directory, StoreKind kind, std::uint64_t keys);

  // Returns when no checkpoint is due that would run into the next turn, which is another store's.
  void settle();
  std::uint64_t keys() const { return keys_; }
  void add_observer(std::shared_ptr<Observer> observer);
  void remove_observer(const std::shared_ptr<Observer>& observer);

  // Updates every key once, in the order of `sweep`; with a snapshot open from before it to after
  // it if `held`.
  void update_all(const Sweep& sweep, bool held);
  // The base and the log.
  std::uint64_t file_bytes() const;
  // What versions took in memory at the end of the last update_all().
  std::string memory() const { return memory_; }

 private:
  friend class IsoldeClient;
  void load();
  void make_chains();

  Database database_;
  Keyspace keyspace_;
  std::uint64_t keys_;
  std::string memory_;
};

// One thread of a workload.
class IsoldeClient {
 public:
  IsoldeClient(IsoldeStore& store, const Workload& work, std::uint64_t seed);

  void step();  // one transaction, to its successful end, however often it is tried
  std::uint64_t attempts() const { return attempts_; }
  std::uint64_t committed() const { return committed_; }

 private:
  void read();
  void scan();
  void lock();
  void update();
  void transfer();
  Result<Value> get_for_write(Transaction& txn, const Key& key);

  IsoldeStore& store_;
  const Workload& work_;
  Picker picker_;
  TransactionOptions options_;
  bool for_update_ = false;
  std::uint64_t attempts_ = 0;
  std::uint64_t committed_ = 0;
};

}  // namespace isolde::bench
