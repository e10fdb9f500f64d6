#include "bench/workloads/datasets.h"

#include <string>

namespace isolde::bench {

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

}  // namespace isolde::bench
