#include "lab/check/verdict.h"

#include <set>

namespace isolde::lab {

std::string_view name(EdgeKind kind) noexcept {
  switch (kind) {
    case EdgeKind::ww:
      return "ww";
    case EdgeKind::wr:
      return "wr";
    case EdgeKind::rw:
      return "rw";
    case EdgeKind::session:
      return "session";
    case EdgeKind::real_time:
      break;
  }
  return "real-time";
}

std::vector<Phenomenon> Verdict::phenomena() const {
  std::set<Phenomenon> found;
  for (const Anomaly& anomaly : anomalies) found.insert(anomaly.phenomenon);
  return {found.begin(), found.end()};
}

}  // namespace isolde::lab
