// What one slot of a schedule touches: which slots may change places without a difference.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lab/play/conductor.h"
#include "lab/script/cell.h"
#include "lab/script/script.h"

namespace isolde::lab {

// A key or a range of one keyspace, and through which channels it is read or written.
struct Access {
  // Channels: the committed versions, the locks, and what is uncommitted yet but can be read.
  static constexpr std::uint8_t committed = 1;
  static constexpr std::uint8_t locks = 2;
  static constexpr std::uint8_t uncommitted = 4;

  std::string keyspace;
  std::string lower;
  std::optional<std::string> upper;  // exclusive; nothing: to the end
  std::uint8_t reads = 0;
  std::uint8_t writes = 0;
};

// Flags and accesses of one slot: of the step that was played, of all that it woke, and of the lock
// that it began to wait for.
struct Footprint {
  std::uint64_t sessions = 0;   // as bits: those that had a turn
  bool takes_snapshot = false;  // so it sees what has been published
  bool publishes = false;       // commits writes
  bool begins = false;
  bool may_lock = false;  // what begins there: so a deadlock may have it for its victim
  bool ends = false;      // commits: real time orders it and later begins
  bool blocks = false;
  bool global = false;  // touches all there is: checkpoints, `wait`, values of other sessions
  std::vector<Access> accesses;

  bool touches_locks() const;
};

// Whether two slots, one right after the other, may change places: everything that can be observed
// afterwards is the same, which of them can be played included. Errs on the side of no.
bool independent(const Footprint& a, const Footprint& b);

// Follows a play, slot by slot. What a commit touches depends on what its transaction did before.
class Footprints {
 public:
  Footprints(const Script& script, Cell cell);

  // A new play begins.
  void restart();
  // After each slot, in order: what happened in it, and the play's records.
  Footprint of(const std::vector<PlayEvent>& events, const std::deque<StepRecord>& records);

  // Whether all that run choose their own level and locking, so that the cell says nothing.
  bool is_mixed() const noexcept { return !uses_cell_; }

 private:
  struct Transaction {
    bool open = false;
    bool has_snapshot = false;
    bool wrote = false;
    Isolation level = Isolation::repeatable_read;
    Locking locking = Locking::optimistic;
    std::vector<Access> at_end;
    std::map<std::string, Access> cursors;  // the range of each, without channels
  };

  void note_levels(Isolation level, Locking locking);
  void look_at(const Command& command, bool& open);
  void add(Footprint& footprint, std::size_t session, const CommandRecord& done);
  void add_operation(Footprint& footprint, std::size_t session, const Command& command);
  void begin_in(Footprint& footprint, std::size_t session, Isolation level, Locking locking) const;
  void add_end(Footprint& footprint, Transaction& transaction, bool commits) const;
  void touch(Footprint& footprint, Transaction& transaction, const Command& command,
             Access place) const;

  const Script& script_;
  Cell cell_;
  bool has_pessimists_ = false;
  bool has_uncommitted_reads_ = false;
  bool uses_cell_ = false;
  std::vector<std::uint8_t> is_global_;    // by step
  std::vector<std::uint8_t> writes_;       // by session: it writes, or reads for update or share
  std::vector<Transaction> transactions_;  // by session
};

}  // namespace isolde::lab
