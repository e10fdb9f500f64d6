#include "bench/workload.h"

namespace isolde::bench {

std::vector<Workload> all_workloads() {
  std::vector<Workload> all;
  all.push_back({"empty", Operation::empty, 1, StoreKind::quiet});
  all.push_back({"get, 1000 keys", Operation::read, 1, StoreKind::quiet, 1, 1000});
  for (const int threads : {1, 2}) {
    all.push_back({"read1", Operation::read, threads, StoreKind::quiet, 1});
    all.push_back({"read10", Operation::read, threads, StoreKind::quiet, 10});
    all.push_back({"scan100", Operation::scan, threads, StoreKind::quiet, 100});
  }
  all.push_back({"read1, 100k chains", Operation::read, 2, StoreKind::chains, 1});
  all.push_back({"read10, 100k chains", Operation::read, 2, StoreKind::chains, 10});
  all.push_back({"scan100, 100k chains", Operation::scan, 2, StoreKind::chains, 100});
  all.push_back({"lock1, pessimistic", Operation::lock, 1, StoreKind::quiet, 1, 0,
                 Mode::read_committed_pessimistic});
  for (const int clients : {1, 16, 64}) {
    all.push_back({"rmw1, durable", Operation::update, clients, StoreKind::durable});
  }
  all.push_back({"transfer hot=10, durable, RC for update", Operation::transfer, 16,
                 StoreKind::durable, 2, 10, Mode::read_committed_for_update});
  all.push_back(
      {"transfer hot=10, durable, RR", Operation::transfer, 16, StoreKind::durable, 2, 10});
  for (const auto& [name, mode] : {std::pair{"SER", Mode::serializable},
                                   std::pair{"RC pessimistic", Mode::read_committed_pessimistic},
                                   std::pair{"RR pessimistic", Mode::repeatable_read_pessimistic},
                                   std::pair{"SER pessimistic", Mode::serializable_pessimistic}}) {
    all.push_back({std::string("transfer hot=10, durable, ") + name, Operation::transfer, 16,
                   StoreKind::durable, 2, 10, mode});
  }
  all.push_back({"rmw1, no sync", Operation::update, 2, StoreKind::unsynced});
  all.push_back({"rmw1, no sync, RR pessimistic", Operation::update, 2, StoreKind::unsynced, 1, 0,
                 Mode::repeatable_read_pessimistic});
  all.push_back({"rmw1, no sync, SER pessimistic", Operation::update, 2, StoreKind::unsynced, 1, 0,
                 Mode::serializable_pessimistic});
  return all;
}

Value::Value(std::uint64_t number) : bytes_{} {
  std::memcpy(bytes_.data(), &number, sizeof number);
  add(0);
}

void Value::add(std::int64_t amount) {
  std::uint64_t balance;
  std::memcpy(&balance, bytes_.data(), sizeof balance);
  balance += static_cast<std::uint64_t>(amount);
  std::memcpy(bytes_.data(), &balance, sizeof balance);
  std::uint64_t filler = balance;
  for (std::size_t at = sizeof balance; at < value_bytes; at += sizeof filler) {
    filler = filler * 0x9e3779b97f4a7c15 + 1;
    std::memcpy(bytes_.data() + at, &filler, std::min(sizeof filler, value_bytes - at));
  }
}

}  // namespace isolde::bench
