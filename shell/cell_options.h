// The options --level, --locking and --color, shared by the commands that play scripts.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "lab/cell.h"

namespace isolde::shell {

struct CellOptions {
  std::string level;
  std::string locking;
  std::string color = "auto";
};

// Adds the options; what `options` holds is the default, and named as such in the help.
void add_cell_options(CLI::App& command, CellOptions& options);

std::vector<lab::Cell> cells_of(const CellOptions& options);

// Whether standard output is to be coloured: NO_COLOR and dumb terminals are respected.
bool want_color(const CellOptions& options);

}  // namespace isolde::shell
