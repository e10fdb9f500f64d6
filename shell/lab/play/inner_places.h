// Places inside the engine where a play may stop a session: for builds that have them.
#pragma once

namespace isolde::lab {

// Called with the name of each place that a thread comes by. Names that begin with "blocked: " are
// of threads that would sleep in the kernel; they try again once it returns.
using PlaceListener = void (*)(const char* place);

// The laboratory sees the engine only through its public headers, and those know of no such places.
// A binary that links it with an engine that has them says here how to listen: `listen` takes the
// listener, or null for none, while no thread is inside the library. Once, before any play.
void set_inner_places(void (*listen)(PlaceListener listener)) noexcept;
bool has_inner_places() noexcept;

// Listens as long as it lives; nothing in a build without such places.
class InnerPlaces {
 public:
  explicit InnerPlaces(PlaceListener listener);
  InnerPlaces(const InnerPlaces&) = delete;
  InnerPlaces& operator=(const InnerPlaces&) = delete;
  ~InnerPlaces();
};

}  // namespace isolde::lab
