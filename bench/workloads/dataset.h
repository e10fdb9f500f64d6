// What a workload is: the data that a store is loaded with, the transactions on it, and the proof
// that they were done. To add one: README.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "bench/engines/engine.h"
#include "bench/workloads/parameters.h"

namespace isolde::bench {

// One client's transactions, one after the other.
class Task {
 public:
  Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  virtual ~Task() = default;

  // Draws the inputs of the next transaction; true if it writes.
  virtual bool draw() = 0;
  // The transaction between begin and commit. Run again with the same inputs after a failure.
  virtual Reason attempt(Client& client) = 0;
  // The attempt has committed: what it did is now part of what check() expects.
  virtual void committed() {}
  // Committed transactions that saw or left what their invariant forbids.
  std::uint64_t anomalies() const { return anomalies_; }
  // True for one that runs beside the measured clients: its commits and latencies are kept apart.
  virtual bool is_beside() const { return false; }

 protected:
  std::uint64_t anomalies_ = 0;
};

// One kind of stored data, with the workloads that run on it. It lives as long as its store, and
// knows what all committed transactions together must have left there.
//
// Thread safety: task(), check() and mend() for one thread at a time; tasks of their own threads.
class Dataset {
 public:
  Dataset() = default;
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;
  virtual ~Dataset() = default;

  virtual EntrySource source() = 0;
  virtual std::size_t data_bytes() const = 0;
  virtual std::unique_ptr<Task> task(const Parameters& work, unsigned client,
                                     std::uint64_t seed) = 0;
  // Reads what is stored. What is wrong with it; empty if it is as the committed transactions
  // must have left it.
  virtual std::string check(Client& client) = 0;
  // Undoes what the anomalies of a turn left, so that the next subject finds data that keeps its
  // invariant. After each turn, the warming one too; throws CannotRun.
  virtual void mend(Client& /*client*/) {}
};

// Hears of all entries of [from, to), in one transaction; false if that failed.
inline bool read_all(Client& client, std::string_view from, std::string_view to,
                     const Visit& visit) {
  client.begin(false);
  if (client.scan(from, to, ~std::size_t{0}, visit) == Reason::none &&
      client.commit() == Reason::none) {
    return true;
  }
  client.rollback();
  return false;
}

}  // namespace isolde::bench
