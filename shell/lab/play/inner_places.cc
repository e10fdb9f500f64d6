#include "lab/play/inner_places.h"

namespace isolde::lab {
namespace {

void (*listen_to)(PlaceListener) = nullptr;

}  // namespace

void set_inner_places(void (*listen)(PlaceListener)) noexcept { listen_to = listen; }
bool has_inner_places() noexcept { return listen_to != nullptr; }

InnerPlaces::InnerPlaces(PlaceListener listener) {
  if (listen_to != nullptr) listen_to(listener);
}
InnerPlaces::~InnerPlaces() {
  if (listen_to != nullptr) listen_to(nullptr);
}

}  // namespace isolde::lab
