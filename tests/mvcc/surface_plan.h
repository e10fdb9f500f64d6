// What a run of the surface model does: a database's settings and a script for each actor, drawn
// from one seed. Every step is a few small numbers, so that steps can be left out when a failing
// run is shrunk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/isolde.h"

namespace isolde::test::surface {

enum class Kind : std::uint8_t {
  begin,
  get,
  get_for_update,
  get_for_share,
  untracked_get,
  scan,
  scan_locking,
  open_cursor,
  step_cursor,
  close_cursor,
  put,
  erase,
  insert,
  add,
  add_and_get,
  compare_and_set,
  savepoint,
  rollback_to,
  release,
  commit,
  rollback,
  abandon_handle,
  move_handle,
  use_finished,
  use_moved_from,
  second_thread,
  set_lock_timeout,
  cancel_self,
  cancel_other,
  create_keyspace,
  find_keyspace,
  list_keyspaces,
  drop_keyspace,
  bulk_load,
  checkpoint,
  reclaim,
  backup,
  verify,
  versions,
  look_around,
  fail_sync,
  crash_image,
  transact,
  misuse,
};
constexpr std::size_t kinds = static_cast<std::size_t>(Kind::misuse) + 1;
std::string_view name(Kind kind);

struct Step {
  Kind kind = Kind::get;
  std::uint8_t keyspace = 0;
  std::uint8_t key = 0;
  std::uint64_t dice = 0;
};
using Script = std::vector<Step>;

// How a phase ends: what the next one opens.
enum class Reopening : std::uint8_t { close, kill, crash };

struct Phase {
  std::vector<Script> actors;
  Reopening reopening = Reopening::close;
};

struct Plan {
  std::uint64_t seed = 0;
  std::uint64_t number = 0;            // which of its runner's it is
  std::uint64_t schedule = 0;          // seed of the scheduler's choices
  std::vector<unsigned> stay_percent;  // of each actor: how seldom it is interrupted
  unsigned stay_between_percent = 50;
  bool by_rank = false;
  bool threads = false;
  bool observed = false;
  bool small_memory = false;
  // The levels and lockings that its transactions draw from, as bits.
  unsigned levels = 0xf;
  unsigned lockings = 0x3;
  bool first_is_optimist = false;  // and the others are pessimists
  Options options;
  Script setup;
  std::vector<Phase> phases;

  std::size_t steps() const;
};

// Kinds that are left out: ISOLDE_MODEL_WITHOUT, names with commas between them. For triage.
std::uint64_t left_out();

Plan draw_plan(std::uint64_t seed, bool threads, std::uint64_t without);

}  // namespace isolde::test::surface
