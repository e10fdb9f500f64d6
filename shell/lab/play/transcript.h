// Transcripts of runs for people: a lane a session, one row a step, evidence, final state, checks.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lab/play/play.h"
#include "lab/play/playground.h"

namespace isolde::lab {

struct TranscriptStyle {
  bool color = false;
  std::size_t width = 80;  // columns, at least 40
};

// The sentence behind an error: who changed what, and when. Falls back on the error's own message.
std::string evidence_sentence(const Error& error, std::string_view session,
                              const Playground& playground);

// "A waits for y, held by B; B waits for x, held by A. ..."
std::string deadlock_sentence(const DeadlockReport& report);

// The script's name and story.
std::string story(const Script& script, const TranscriptStyle& style);

// One run. `playground` names the keyspaces.
std::string transcript(const Play& play, const Playground& playground,
                       const TranscriptStyle& style);

// What happened in each cell: a row a run. `plays` are of one script and schedule.
std::string cell_table(const std::vector<Play>& plays, const TranscriptStyle& style);

// "12 passed, 0 failed".
std::string totals(std::size_t passed, std::size_t failed, const TranscriptStyle& style);

}  // namespace isolde::lab
