// The notation of tests/lab/histories/README.md, turned into JSON lines; and verdicts spelled
// alike.
#pragma once

#include <string>
#include <vector>

#include "lab/check/checker.h"
#include "lab/history/history.h"

namespace isolde::lab::test {

// Throws std::runtime_error, naming the step, if it is none.
std::string json_lines_of(const std::string& notation);
// Main thread only: fails the test if the reader refuses it.
History history_of(const std::string& notation);

struct Entry {
  std::string file;
  std::string name;
  std::string history;
  std::string repaired;
  std::vector<std::string> anomalies;  // "phenomenon: cycle"
  std::string strongest;
  std::string promises;
};
std::vector<Entry> entries();

// "write-skew: T1 -rw(x)-> T2 -rw(b in a..c)-> T1", the transaction with the smallest id first.
std::string spelled(const Anomaly& anomaly);
std::string strongest(const Verdict& verdict);  // ru, rc, rr, ser, none
std::string promises(const Verdict& verdict);   // kept, broken T1 T2

}  // namespace isolde::lab::test
