// The contract of the levels, as data: docs/levels.md, "What may happen": the same in both locking
// modes.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/mvcc/schedules.h"

namespace isolde::test {

inline constexpr std::array all_levels{Isolation::read_uncommitted, Isolation::read_committed,
                                       Isolation::repeatable_read, Isolation::serializable};

// A schedule, and a witness that recognises the phenomenon in a run, whatever the order of steps.
struct Phenomenon {
  std::string name;
  std::string admitted;  // a mark a level, weakest first: '*' must be reproducible, '-' never
  Schedule schedule;
  std::function<bool(const Run&)> occurs;
};

const std::vector<Phenomenon>& phenomena();
const Phenomenon& phenomenon(std::string_view name);

// The runs of a schedule in which something occurs; the first one is told in `example`. Most runs
// stay in memory; some start from the base, and some are checkpointed and reclaimed between all
// steps.
struct Found {
  std::size_t runs = 0;
  std::size_t occurs = 0;
  std::string example;
  std::vector<std::string> faults;  // of the events of waiting
};
Found explore(TempDatabase& db, const Schedule& schedule,
              const std::vector<TransactionOptions>& options,
              const std::function<bool(const Run&)>& occurs);

TransactionOptions at(Isolation level, std::string label = {},
                      Locking locking = Locking::optimistic);
// Thousands of runs: not each commit has to be on disk.
Options quick_options();

}  // namespace isolde::test
