// Every interleaving of a few actors, one after the other: stateless model checking.
//
// Sources: Godefroid 1997 (VeriSoft: re-execution from the start for each schedule); Musuvathi,
// Qadeer 2007 (CHESS: a bound on preemptions, states told apart by their happens-before).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace isolde::test {

// What a piece of code touches of the shared state, which has up to sixteen parts, as bits.
// What stands for what is up to the test.
struct Footprint {
  std::uint16_t reads = 0xffff;
  std::uint16_t writes = 0xffff;
};

struct Exploration {
  struct Actor {
    std::string name;
    std::function<void()> body;
  };

  // Sets the same world up before each schedule, and gives the actors to be interleaved in it.
  // Deterministic: their paths may depend on nothing but the schedule.
  std::function<std::vector<Actor>()> begin;
  // Judges a schedule after its end: what is wrong, if anything is.
  std::function<std::optional<std::string>()> judge;

  // What the code from a yield point (or "start") to the next one may read and write of the shared
  // state; too much is safe, too little loses interleavings. Two schedules in which the same pieces
  // of code ran, and each met the parts that it touches as left by the same pieces, have led to the
  // same state: only one of them is explored further. Without a function: none is dropped.
  std::function<Footprint(std::string_view place)> footprint;
  // For parts whose content can be seen as a whole: a hash of it, the same in all schedules that
  // begin alike. They need not be among the writes of a footprint, and tell fewer states apart.
  std::function<std::optional<std::uint64_t>(unsigned part)> content;
  // Places that are none: no switch happens there. (Those that begin with "blocked: " always are.)
  std::function<bool(std::string_view place)> ignored;
  // At most so many switches away from an actor that could go on; without it, any number.
  std::optional<unsigned> preemptions;
  // Instead of all interleavings one, drawn. The same seed gives the same schedule.
  struct Draw {
    std::uint64_t seed = 0;
    // An actor that could go on does, at each place, with the chance that is its own (those of the
    // list in turn), and between operations (yield_between_operations()) with another.
    std::vector<unsigned> stay_percent = {50};
    unsigned stay_between_percent = 50;
    // Each actor has a rank, and the first that can go on does, woken sleepers included; one that
    // does not stay becomes the last. (After PCT: Burckhardt et al. 2010.)
    bool by_rank = false;
  };
  std::optional<Draw> draw;
  // Called when the actor that runs gives way to another one: which, and where. For traces.
  std::function<void(std::size_t actor, std::string_view place)> switched;
  // Called when all actors sleep: true if time may have ended a wait. Without it, or if it says no,
  // that is a deadlock.
  std::function<bool()> all_sleep;
  // Stops, unexhausted, after so many schedules.
  std::uint64_t most_schedules = ~std::uint64_t{0};
};

struct Explored {
  std::uint64_t schedules = 0;
  std::uint64_t steps = 0;             // from a yield point to the next, in all schedules
  std::uint64_t states = 0;            // that were told apart
  bool exhausted = false;              // nothing is left within the bounds
  std::optional<std::string> failure;  // what was wrong, and the schedule that led there

  Explored& operator+=(const Explored& other);
};

// Interleaves the actors at the library's yield points (engine/yield_point.h), depth first, until
// all is explored or a schedule fails. Needs ISOLDE_YIELD_POINTS, and no other thread inside the
// library meanwhile. Main thread only: the actors run on it, as fibers, one at a time.
//
// An actor that would sleep (a place that begins with "blocked: ") goes on only after another one
// has; when all of them sleep the schedule fails as a deadlock.
Explored explore(const Exploration& exploration);

// A place of the test's own, for actors; nothing outside of explore().
void yield_here(const char* place);
void yield_between_operations();

}  // namespace isolde::test
