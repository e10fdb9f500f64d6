#include "faults.h"

#include <fmt/format.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "exit_code.h"

#ifdef ISOLDE_YIELD_POINTS
#include "engine/yield_point.h"
#include "lab/play/inner_places.h"
#include "mvcc/planted_fault.h"
#endif

namespace isolde::shell {

bool plant_faults() {
  const char* const given = std::getenv("ISOLDE_FAULT");
  const std::string_view wanted = given != nullptr ? given : "";
#ifdef ISOLDE_YIELD_POINTS
  lab::set_inner_places([](lab::PlaceListener listener) { yield_hook.store(listener); });
  if (wanted.empty()) return true;
  const auto fault = mvcc::planted_fault_from_name(wanted);
  if (fault) {
    mvcc::planted_fault.store(*fault);
    return true;
  }
  std::string names;
  for (const auto& entry : mvcc::planted_fault_names) {
    if (!names.empty()) names += ' ';
    names += entry.first;
  }
  complain(fmt::format("ISOLDE_FAULT: there is no fault '{}'; there are: {}", wanted, names));
  return false;
#else
  if (wanted.empty()) return true;
  complain(fmt::format("ISOLDE_FAULT is '{}', but this build has no faults: use the preset faults",
                       wanted));
  return false;
#endif
}

}  // namespace isolde::shell
