#include "bench/workloads/dataset.h"

#include <utility>

namespace isolde::suite {
namespace {

constexpr std::pair<std::string_view, std::string_view> datasets[] = {
    {"read", "accounts"},     {"scan", "accounts"},        {"rmw", "accounts"},
    {"transfer", "accounts"}, {"mix", "accounts"},         {"ops", "accounts"},
    {"counter", "accounts"},  {"long-reader", "accounts"}, {"ycsb-a", "usertable"},
    {"ycsb-b", "usertable"},  {"ycsb-c", "usertable"},     {"ycsb-d", "usertable"},
    {"ycsb-e", "usertable"},  {"ycsb-f", "usertable"},     {"smallbank", "bank"},
    {"job-queue", "queue"},   {"rate-limiter", "limiter"}, {"on-call", "shifts"},
};

}  // namespace

std::string dataset_of(std::string_view workload) {
  for (const auto& [name, dataset] : datasets) {
    if (name == workload) return std::string(dataset);
  }
  return {};
}

std::vector<std::string_view> all_workloads() {
  std::vector<std::string_view> all;
  all.reserve(std::size(datasets));
  for (const auto& [name, dataset] : datasets) all.emplace_back(name);
  return all;
}

std::unique_ptr<Dataset> make_dataset(const Parameters& work) {
  const std::string dataset = dataset_of(work.workload);
  if (dataset == "accounts") return make_accounts(work);
  if (dataset == "usertable") return make_usertable(work);
  if (dataset == "bank") return make_bank(work);
  if (dataset == "queue") return make_queue(work);
  if (dataset == "limiter") return make_limiter(work);
  if (dataset == "shifts") return make_shifts(work);
  throw CannotRun("there is no workload '" + std::string(work.workload) + "'");
}

}  // namespace isolde::suite
