// The catalogue: the scripts that ship, with what their headers tell people about them.
//
// A script's header is its story, a blank line, and a comment of sections, `# NAME: TEXT`, whose
// text goes on in lines that are indented deeper. So there is one source for the demo, for
// docs/anomalies.md and for readers of the file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/script/cell.h"
#include "lab/script/script.h"

namespace isolde::lab {

enum class CatalogueGroup : std::uint8_t { phenomenon, deadlock, production };

inline constexpr std::array all_catalogue_groups{
    CatalogueGroup::phenomenon, CatalogueGroup::deadlock, CatalogueGroup::production};

// "phenomenon", "deadlock", "production": as headers say it.
std::string_view name(CatalogueGroup group) noexcept;
// "Phenomena", "Deadlocks", ...: for headings.
std::string_view heading(CatalogueGroup group) noexcept;

// One schedule in one cell, chosen to be shown.
struct CataloguePlay {
  std::size_t schedule = 0;  // index into Script::schedules
  Cell cell;
};

struct CatalogueEntry {
  CatalogueEntry(std::string its_name, Script its_script)
      : name(std::move(its_name)), script(std::move(its_script)) {}

  std::string name;   // "bank-transfer"
  std::string title;  // "Bank transfer": what the story begins with
  CatalogueGroup group = CatalogueGroup::production;
  std::string question;              // that it answers, in a sentence
  std::vector<CataloguePlay> plays;  // first what goes wrong, then what prevents it
  std::string notice;
  std::string prevented;  // by which level or lock, and how
  std::string costs;      // that
  std::string tolerate;   // when one would
  std::string try_next;   // a command line
  Script script;

  // The comment above a schedule, as one line; empty if there is none.
  std::string schedule_title(std::size_t schedule) const;
};

struct ParsedEntry {
  std::optional<CatalogueEntry> entry;
  std::vector<ScriptError> errors;  // of the script or of its header
  Source source;
};

// `file` is the script's file name, "bank-transfer.iso".
ParsedEntry parse_entry(std::string file, std::string text);

// All that ship: by group, phenomena in the order of the matrix, the others by name.
std::vector<CatalogueEntry> catalogue();

}  // namespace isolde::lab
