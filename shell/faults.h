// Planted faults and places inside the engine, for the command: in builds with yield points only.
#pragma once

namespace isolde::shell {

// Lets plays stop at places inside the engine, and plants the fault that ISOLDE_FAULT names, if it
// is set. False, having said why: there is no such fault, or this build has none.
bool plant_faults();

}  // namespace isolde::shell
