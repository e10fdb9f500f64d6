#include "bench/workloads/parameters.h"

#include <fmt/format.h>

#include "bench/workloads/dataset.h"

namespace isolde::suite {

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

}  // namespace isolde::suite
