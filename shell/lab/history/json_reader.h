// Histories in JSON, one event a line: docs/history-format.md.
#pragma once

#include <memory>

#include "lab/history/history_reader.h"

namespace isolde::lab {

std::unique_ptr<HistoryReader> json_history_reader();

}  // namespace isolde::lab
