// The datasets that workloads run on; each stands in a file that has no header.
#pragma once

#include <memory>

#include "bench/workloads/dataset.h"

namespace isolde::bench {

// For the workload's keys, value size, ... Throws CannotRun if there is no such workload.
std::unique_ptr<Dataset> make_dataset(const Parameters& work);

std::unique_ptr<Dataset> make_accounts(const Parameters& work);
std::unique_ptr<Dataset> make_usertable(const Parameters& work);
std::unique_ptr<Dataset> make_bank(const Parameters& work);
std::unique_ptr<Dataset> make_queue(const Parameters& work);
std::unique_ptr<Dataset> make_limiter(const Parameters& work);
std::unique_ptr<Dataset> make_shifts(const Parameters& work);

}  // namespace isolde::bench
