// LMDB without Isolde, used as its documentation says is fastest: the baseline.
#pragma once

#include <lmdb.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "bench/workload.h"

namespace isolde::bench {

class RawStore {
 public:
  static constexpr const char* name = "lmdb";

  // Creates it in `directory` and loads `keys` keys. Ends the process on any error.
  RawStore(const std::filesystem::path& directory, StoreKind kind, std::uint64_t keys);
  RawStore(const RawStore&) = delete;
  RawStore& operator=(const RawStore&) = delete;
  ~RawStore();

  // Nothing of an earlier turn is left to do.
  void settle();
  std::uint64_t keys() const { return keys_; }

  // Updates every key once, in the order of `sweep`; with a read transaction open from before it to
  // after it if `held`.
  void update_all(const Sweep& sweep, bool held);
  std::uint64_t file_bytes() const;
  std::string memory() const { return {}; }

 private:
  friend class RawClient;
  void load();

  std::filesystem::path directory_;
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ =
      0;  // the unnamed database: a named one would cost each transaction one more lookup
  std::uint64_t keys_;
};

// One thread of a workload.
class RawClient {
 public:
  RawClient(RawStore& store, const Workload& work, std::uint64_t seed);
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  ~RawClient();

  void step();  // one transaction, to its successful end
  std::uint64_t attempts() const { return steps_; }
  std::uint64_t committed() const { return steps_; }

 private:
  void read();
  void scan();
  void update();
  void transfer();
  std::string_view get(MDB_txn* txn, const Key& key);
  void put(MDB_txn* txn, const Key& key, const Value& value);

  RawStore& store_;
  const Workload& work_;
  Picker picker_;
  MDB_txn* reader_ = nullptr;  // reset between transactions
  MDB_cursor* cursor_ = nullptr;
  std::uint64_t steps_ = 0;
};

}  // namespace isolde::bench
