// What the checker finds: anomalies with their cycles, broken promises, and the levels satisfied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/types.h"
#include "lab/history/history.h"
#include "lab/script/phenomenon.h"

namespace isolde::lab {

// Why one transaction comes before another (Adya 1999, section 3).
enum class EdgeKind : std::uint8_t {
  ww,         // `to` overwrote what `from` wrote
  wr,         // `to` read what `from` wrote
  rw,         // `from` read what `to` overwrote
  session,    // the same session ran `from`, then `to`
  real_time,  // `from` had ended before `to` began
};

// "ww", "wr", "rw", "session", "real-time".
std::string_view name(EdgeKind kind) noexcept;

struct CycleEdge {
  TransactionId from;
  TransactionId to;
  EdgeKind kind = EdgeKind::ww;
  std::optional<HistoryKey> key;      // ww, wr, rw
  std::optional<HistoryRange> range;  // wr, rw: through which range, if not by the key itself
};

struct Anomaly {
  Phenomenon phenomenon = Phenomenon::dirty_write;
  std::vector<TransactionId> transactions;  // each once, in the order of the cycle
  // Each edge's `to` is the next one's `from`, the last leads back. For aborted-read and
  // intermediate-read the one read that shows it.
  std::vector<CycleEdge> cycle;
  std::string text;  // told in sentences
};

// A transaction that did not get what its own level promises, whatever the others chose.
struct BrokenPromise {
  TransactionId transaction;
  Isolation level = Isolation::serializable;
  std::string text;
  std::vector<TransactionId> told_of = {};  // itself, and the others in the text
};

struct Verdict {
  std::size_t committed = 0;
  std::size_t aborted = 0;
  // An order of the committed transactions explains all reads; one that respects the order in each
  // session; one that respects real time as well.
  bool serializable = true;
  bool session_serializable = true;
  bool strictly_serializable = true;
  // As if all had run at one level: the strongest that the history satisfies (nothing: not even
  // read uncommitted), and the weakest that it violates (nothing: not even serializable).
  std::optional<Isolation> strongest = Isolation::serializable;
  std::optional<Isolation> weakest_violated;
  // Every minimal cycle once, shortest first; docs/checker.md says what is minimal.
  std::vector<Anomaly> anomalies;
  bool more_anomalies = false;  // the search was cut short: there are more than those told
  std::vector<BrokenPromise> broken_promises;

  // The names found, each once, in the order of the enumeration.
  std::vector<Phenomenon> phenomena() const;
};

}  // namespace isolde::lab
