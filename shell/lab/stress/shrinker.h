// The shrinker: from a draft that goes wrong to a small one that goes wrong in the same way.
//
// Source: Zeller, Hildebrandt 2002 (ddmin), on transactions first, then on moves.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include "lab/history/history.h"
#include "lab/stress/draft.h"
#include "lab/stress/trial.h"

namespace isolde::lab {

struct Shrunken {
  Draft draft;
  Finding finding;
};

struct ShrinkOptions {
  std::size_t most_plays = 20'000;
  // Asked between plays, with the moves that are left by then; false: that is small enough.
  std::function<bool(std::size_t)> go_on = {};
};

// No single move, no transaction and no line of setup can be left out of the result, unless it was
// stopped. Precondition: `draft` shows the finding; a play that depends on luck may not again.
Shrunken shrink(Draft draft, const Finding& finding, Trial& trial,
                const ShrinkOptions& options = {});

// From a history: transactions around what went wrong are made a draft, and more of them until a
// play of it goes wrong in the same way (of a broken promise: a transaction of the same level does
// not get what that promises). Nothing: none did; what went wrong then took a race that
// steps cannot tell, or an engine that is not this one.
std::optional<Shrunken> shrink(const History& history, const Finding& finding, Trial& trial,
                               const ShrinkOptions& options = {});

// The script, with what goes wrong as its comment, and expected not to (of anomalies: to).
std::string to_script(const Shrunken& shrunken, std::string_view origin);

}  // namespace isolde::lab
