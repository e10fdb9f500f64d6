// Lets plays of a test stop at places inside the engine, where they are compiled in.
#pragma once

#include "engine/yield_point.h"
#include "lab/play/inner_places.h"

namespace isolde::lab {

struct InnerPlacesOfTheEngine {
#ifdef ISOLDE_YIELD_POINTS
  InnerPlacesOfTheEngine() {
    set_inner_places([](PlaceListener listener) { yield_hook.store(listener); });
  }
  InnerPlacesOfTheEngine(const InnerPlacesOfTheEngine&) = delete;
  InnerPlacesOfTheEngine& operator=(const InnerPlacesOfTheEngine&) = delete;
  ~InnerPlacesOfTheEngine() { set_inner_places(nullptr); }
#endif
};

}  // namespace isolde::lab
