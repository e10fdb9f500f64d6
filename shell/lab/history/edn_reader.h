// Histories as Elle writes them: list-append and rw-register, one map of EDN a line.
#pragma once

#include <memory>

#include "lab/history/history_reader.h"

namespace isolde::lab {

// Operations of clients ({:process 0 :type :invoke :f :txn :value [[:append :x 1] [:r :x nil]]});
// those of other processes are passed over. What is read must have been written; a process
// completes what it has invoked. Transactions are numbered from 1 in the order of their
// invocations.
//
// Versions are ordered as far as they can be: of list-append by the longest list that was read,
// appends that were never read coming after it; of rw-register by transactions that read a version
// and wrote the next, all after nil.
std::unique_ptr<HistoryReader> edn_history_reader();

}  // namespace isolde::lab
