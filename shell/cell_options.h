// The options --level, --locking and --color, shared by the commands that play scripts, and what
// options are checked by.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "lab/play/transcript.h"
#include "lab/script/cell.h"

namespace isolde::shell {

struct CellOptions {
  std::string level;
  std::string locking;
  std::string color = "auto";
};

// Adds the options; what `options` holds is the default, and named as such in the help.
void add_cell_options(CLI::App& command, CellOptions& options);

// Checks of options. CLI11's own take a number with a sign or too many digits modulo 2^64 for a
// whole one, and "nan" for one in any range.
CLI::Validator whole_number(std::uint64_t least = 0, std::uint64_t most = UINT64_MAX);
CLI::Validator number_between(double least, double most);

std::vector<lab::Cell> cells_of(const CellOptions& options);

// Whether standard output is to be coloured: NO_COLOR and dumb terminals are respected.
bool want_color(const CellOptions& options);
// How transcripts are shown on standard output: with colour, and as wide as the terminal.
lab::TranscriptStyle transcript_style(const CellOptions& options);

}  // namespace isolde::shell
