#include "bench/workloads/parameters.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

namespace isolde::bench {
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

std::string Parameters::dataset() const {
  return fmt::format("{}-{}-{}{}{}{}", dataset_of(workload), keys, value_bytes,
                     chains ? "-chains" : "", checkpoints ? "" : "-kept",
                     synced == Synced::yes ? "-synced" : "");
}

std::string Parameters::text() const {
  std::string text(workload);
  if (operations != 1) text += fmt::format(" of {}", operations);
  if (workload == "ops") text += fmt::format(", {:g}% reads", 100 * read_share);
  if (think_us != 0) text += fmt::format(", {} us of thought each", think_us);
  if (theta != 0) text += fmt::format(", theta {:g}", theta);
  if (hot != 0) text += fmt::format(", hot {}", hot);
  if (chains) text += ", 100k chains";
  if (!checkpoints) text += ", no checkpoints";
  if (snapshots != 0) text += fmt::format(", {} snapshots", snapshots);
  text += fmt::format(", {} keys x {} B", keys, value_bytes);
  text += fmt::format(", {} client{}", clients, clients == 1 ? "" : "s");
  text += synced == Synced::yes ? ", synced" : ", no sync";
  return text;
}

}  // namespace isolde::bench
