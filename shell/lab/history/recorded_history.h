// Makes a history of what a recorder has kept.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "lab/history/history.h"
#include "lab/history/recorder_buffer.h"

namespace isolde::lab {

History recorded_history(const std::vector<std::unique_ptr<RecordBuffer>>& buffers,
                         const std::unordered_map<std::uint64_t, std::string>& sessions);

}  // namespace isolde::lab
