// What single transactions were promised by their own levels, whatever the others chose.
#pragma once

#include <vector>

#include "lab/check/cycles.h"
#include "lab/check/graph.h"
#include "lab/check/verdict.h"

namespace isolde::lab {

// Adya's mixed graph: write dependencies count for all, read dependencies for readers at read
// committed and above, antidependencies for readers at serializable; with real time. A cycle breaks
// a promise. Besides: at repeatable read all reads are of one commit prefix, and no version of a
// key that it wrote lies between that and its commit; at read committed each operation reads one
// commit prefix, none older than before; neither reads what never was committed.
//
// `strict`: the dependency graph with real time; looked at only if `cyclic`.
std::vector<BrokenPromise> broken_promises(const DependencyGraph& graph, const Digraph& strict,
                                           bool cyclic, std::size_t most);

}  // namespace isolde::lab
