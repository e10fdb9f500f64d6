// The names of the workloads, and how one is run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/engines/engine.h"

namespace isolde::bench {

std::vector<std::string_view> all_workloads();
// The kind of data that a workload runs on: "accounts", ...; empty if there is no such workload.
std::string dataset_of(std::string_view workload);

// A plain block of memory: it is sent from process to process.
struct Parameters {
  std::string_view workload = "rmw";  // one of all_workloads(): it outlives everything
  std::uint64_t keys = 1'000'000;
  std::size_t value_bytes = 100;  // at least 8: a balance, then bytes that change with it
  unsigned operations = 1;        // keys read, written or scanned in one transaction
  double read_share = 0;          // "ops": of the operations, how many only read
  double theta = 0;               // Zipfian skew, 0 for uniform, below 1
  std::uint64_t hot = 0;          // draws from the first `hot` keys only; 0: from all
  unsigned think_us = 0;          // "ops": the client's own work after each operation, asleep
  unsigned clients = 1;
  unsigned snapshots = 0;  // read transactions held open beside the clients
  bool chains = false;     // 100,000 keys updated after loading, with no checkpoint since
  bool checkpoints = true;
  Synced synced = Synced::no;

  // What decides about the stored data, so that cells that agree on it share a store.
  std::string dataset() const;
  // What is not at its default, for people: "rmw, 16 clients, synced".
  std::string text() const;
};

}  // namespace isolde::bench
