#include "tests/mvcc/surface_plan.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <random>
#include <utility>

#include "tests/support/seed.h"
#include "tests/support/temp_database.h"

namespace isolde::test::surface {
namespace {

struct KindRow {
  Kind kind;
  std::string_view name;
  unsigned in_transaction;  // how often, among the steps of a transaction
  unsigned between;         // and between transactions
};

constexpr std::array<KindRow, kinds> rows{{
    {Kind::begin, "begin", 0, 0},
    {Kind::get, "get", 12, 0},
    {Kind::get_for_update, "get_for_update", 5, 0},
    {Kind::get_for_share, "get_for_share", 4, 0},
    {Kind::untracked_get, "untracked_get", 2, 0},
    {Kind::scan, "scan", 8, 0},
    {Kind::scan_locking, "scan_locking", 4, 0},
    {Kind::open_cursor, "open_cursor", 5, 0},
    {Kind::step_cursor, "step_cursor", 8, 0},
    {Kind::close_cursor, "close_cursor", 2, 0},
    {Kind::put, "put", 12, 0},
    {Kind::erase, "erase", 5, 0},
    {Kind::insert, "insert", 6, 0},
    {Kind::add, "add", 8, 0},
    {Kind::add_and_get, "add_and_get", 4, 0},
    {Kind::compare_and_set, "compare_and_set", 6, 0},
    {Kind::savepoint, "savepoint", 6, 0},
    {Kind::rollback_to, "rollback_to", 5, 0},
    {Kind::release, "release", 2, 0},
    {Kind::commit, "commit", 0, 0},
    {Kind::rollback, "rollback", 0, 0},
    {Kind::abandon_handle, "abandon_handle", 0, 0},
    {Kind::move_handle, "move_handle", 2, 0},
    {Kind::use_finished, "use_finished", 0, 3},
    {Kind::use_moved_from, "use_moved_from", 1, 1},
    {Kind::second_thread, "second_thread", 2, 4},
    {Kind::set_lock_timeout, "set_lock_timeout", 1, 0},
    {Kind::cancel_self, "cancel_self", 1, 0},
    {Kind::cancel_other, "cancel_other", 1, 4},
    {Kind::create_keyspace, "create_keyspace", 3, 16},
    {Kind::find_keyspace, "find_keyspace", 2, 4},
    {Kind::list_keyspaces, "list_keyspaces", 1, 2},
    {Kind::drop_keyspace, "drop_keyspace", 3, 16},
    {Kind::bulk_load, "bulk_load", 3, 16},
    {Kind::checkpoint, "checkpoint", 3, 20},
    {Kind::reclaim, "reclaim", 3, 16},
    {Kind::backup, "backup", 1, 2},
    {Kind::verify, "verify", 1, 3},
    {Kind::versions, "versions", 1, 4},
    {Kind::look_around, "look_around", 1, 4},
    {Kind::fail_sync, "fail_sync", 0, 1},
    {Kind::crash_image, "crash_image", 1, 6},
    {Kind::transact, "transact", 0, 8},
    {Kind::misuse, "misuse", 2, 1},
}};

// Kinds that have much to do with each other. Half of the runs are of one theme and little else: of
// all kinds at once, those that must come together in a certain order seldom do.
const std::vector<std::vector<Kind>>& themes() {
  using enum Kind;
  static const std::vector<std::vector<Kind>> all{
      {put, add, checkpoint, reclaim},
      {get, put, erase, insert, scan, open_cursor, step_cursor, savepoint, rollback_to, release},
      {get, put, insert, scan, create_keyspace, drop_keyspace, bulk_load, find_keyspace, checkpoint,
       reclaim, crash_image},
      {get, put, get_for_update, get_for_share, scan_locking, erase, add, cancel_other, savepoint,
       rollback_to, set_lock_timeout, second_thread},
      {get, put, scan, add, create_keyspace, bulk_load, drop_keyspace, fail_sync, crash_image,
       transact, backup, checkpoint},
      {get, put, erase, scan, add, add_and_get, compare_and_set, insert, savepoint, rollback_to},
  };
  return all;
}
constexpr std::size_t theme_of_the_base = 0;

class Drawing {
 public:
  Drawing(std::uint64_t seed, bool threads, std::uint64_t without)
      : random_(seed), threads_(threads), without_(without) {}

  Plan plan(std::uint64_t seed) {
    Plan plan;
    plan.seed = seed;
    plan.schedule = random_();
    plan.by_rank = chance(30);
    constexpr std::array<unsigned, 6> stays{30, 60, 80, 92, 97, 100};
    const bool alike = chance(30);
    for (std::size_t actor = 0; actor < 5; ++actor) {
      const unsigned own = stays[draw(stays.size())];
      plan.stay_percent.push_back(alike && actor > 0 ? plan.stay_percent[0] : own);
    }
    plan.stay_between_percent = 30 + 30 * static_cast<unsigned>(draw(3));
    if (chance(65)) theme_ = chance(25) ? theme_of_the_base : draw(themes().size());
    if (const char* given = std::getenv("ISOLDE_MODEL_THEME")) {
      theme_ = std::strtoul(given, nullptr, 10) % themes().size();
    }
    if (theme_ == theme_of_the_base && chance(60)) {
      // One who commits is overtaken by all the others, who are seldom interrupted.
      plan.stay_percent = {50 + 10 * static_cast<unsigned>(draw(5)), 100, 100};
      plan.stay_between_percent = 50;
      plan.by_rank = false;
      plan.first_is_optimist = true;
    }
    narrow_ = theme_ == theme_of_the_base || chance(25);
    if (chance(40)) plan.levels = 1 + static_cast<unsigned>(draw(15));
    if (theme_ == theme_of_the_base && chance(75)) plan.levels = 0x3;  // nothing is validated there
    if (theme_ != theme_of_the_base && chance(30)) {
      plan.lockings = 1 + static_cast<unsigned>(draw(2));
    }
    plan.threads = threads_;
    plan.observed = chance(40);
    options(plan);
    choose_kinds(plan);
    keys_ = theme_ == theme_of_the_base ? 1 : narrow_ ? 1 + draw(2) : 1 + draw(4);
    keyspaces_ = narrow_ ? 1 : 1 + draw(3);
    setup(plan.setup);
    const std::size_t phases = narrow_ || chance(70) ? 1 : 2;
    for (std::size_t i = 0; i < phases; ++i) {
      Phase& phase = plan.phases.emplace_back();
      phase.reopening = static_cast<Reopening>(draw(3));
      const std::size_t actors = theme_ == theme_of_the_base ? 2
                                 : narrow_                   ? 2 + draw(2)
                                                             : 2 + draw(3);
      for (std::size_t actor = 0; actor < actors; ++actor) phase.actors.push_back(script());
      if (theme_ == theme_of_the_base || chance(narrow_ ? 70 : 35)) {
        phase.actors.push_back(carry());
      }
    }
    return plan;
  }

 private:
  std::size_t draw(std::size_t below) { return random_() % below; }
  bool chance(unsigned percent) { return random_() % 100 < percent; }

  void options(Plan& plan) {
    Options& options = plan.options = small_options();
    const std::size_t kind = draw(10);
    if (kind < 4) options.durability = Durability::none();
    if (kind == 4) options.durability = Durability::periodic(std::chrono::milliseconds(2));
    // In threads a wait may end by time; the deterministic scheduler knows no time.
    options.lock_timeout = threads_     ? std::chrono::milliseconds(1 + draw(30))
                           : chance(10) ? std::chrono::milliseconds(0)
                                        : no_lock_timeout;
    if (chance(15)) {
      plan.small_memory = true;
      options.max_version_memory = draw(2000);
    }
    if (chance(15)) options.deadlock_strategy = static_cast<DeadlockStrategy>(1 + draw(2));
    options.deadlock_victim = static_cast<VictimPolicy>(draw(5));
    if (chance(5)) options.max_locks_per_transaction = 1 + draw(3);
    if (threads_) {
      options.background_work = chance(70);
      if (chance(50)) options.checkpoint_log_bytes = 4 << 10;
    }
    // The background threads cannot be scheduled.
    if (!threads_ && options.durability.kind == Durability::Kind::periodic) {
      options.durability = Durability::sync();
    }
  }

  // Each run leaves many kinds out, so that those it has meet often (swarm testing; Groce et al.
  // 2012).
  void choose_kinds(const Plan& plan) {
    const unsigned share = !narrow_ && chance(30) ? 100 : 20 + static_cast<unsigned>(draw(50));
    for (const KindRow& row : rows) {
      const auto kind = static_cast<std::size_t>(row.kind);
      const bool always = row.kind == Kind::begin || row.kind == Kind::commit ||
                          row.kind == Kind::get || row.kind == Kind::put ||
                          row.kind == Kind::create_keyspace;
      with_[kind] = (always || chance(share)) && (without_ >> kind & 1) == 0;
    }
    if (theme_) choose_theme();
    const auto leave_out = [&](Kind kind) { with_[static_cast<std::size_t>(kind)] = false; };
    // What ends a run's usefulness is rare.
    if (!chance(15)) leave_out(Kind::fail_sync);
    if (!chance(40)) leave_out(Kind::cancel_self);
    if (!chance(40)) leave_out(Kind::misuse);
    if (!chance(20)) leave_out(Kind::backup);
    if (!chance(30)) leave_out(Kind::second_thread);
    if (plan.threads) {
      leave_out(Kind::second_thread);
      leave_out(Kind::crash_image);
    }
    upkeep_ = static_cast<unsigned>(draw(4));
  }

  void choose_theme() {
    const std::vector<Kind>& theme = themes()[*theme_];
    for (const KindRow& row : rows) {
      const bool of_theme = std::find(theme.begin(), theme.end(), row.kind) != theme.end();
      const bool ends = row.kind == Kind::begin || row.kind == Kind::commit;
      const auto kind = static_cast<std::size_t>(row.kind);
      // Around the base: what is judged by the newest value, and few others.
      const bool conditional = *theme_ == theme_of_the_base &&
                               (row.kind == Kind::insert || row.kind == Kind::compare_and_set);
      const unsigned share = of_theme ? 90 : ends ? 100 : conditional ? 40 : 3;
      with_[kind] = chance(share) && (without_ >> kind & 1) == 0;
    }
  }

  bool has(Kind kind) const { return with_[static_cast<std::size_t>(kind)]; }

  Step step(Kind kind) {
    Step step;
    step.kind = kind;
    step.keyspace = static_cast<std::uint8_t>(draw(keyspaces_));
    step.key = static_cast<std::uint8_t>(draw(keys_));
    step.dice = random_();
    return step;
  }
  void add(Script& script, Kind kind) {
    if (has(kind)) script.push_back(step(kind));
  }

  Step weighted(bool in_transaction) {
    unsigned total = 0;
    const auto weight = [&](const KindRow& row) {
      if (!has(row.kind) || !makes_sense(row.kind)) return 0u;
      const bool is_upkeep = row.between > 0;
      if (!in_transaction) return row.between;
      return is_upkeep ? row.in_transaction * upkeep_ / 2 : row.in_transaction * 2;
    };
    for (const KindRow& row : rows) total += weight(row);
    if (total == 0) return step(Kind::look_around);
    std::size_t at = draw(total);
    for (const KindRow& row : rows) {
      if (at < weight(row)) return step(row.kind);
      at -= weight(row);
    }
    std::abort();
  }

  // Only with something to go back to, or to go on with.
  bool makes_sense(Kind kind) const {
    if (kind == Kind::rollback_to || kind == Kind::release) return has_mark_;
    if (kind == Kind::step_cursor || kind == Kind::close_cursor) return has_cursor_;
    return true;
  }

  void setup(Script& script) {
    for (std::size_t i = draw(3); i > 0; --i) {
      add(script, chance(40) ? Kind::bulk_load : Kind::create_keyspace);
    }
    for (std::size_t i = draw(3); i > 0; --i) {
      script.push_back(step(Kind::begin));
      for (std::size_t put = 1 + draw(3); put > 0; --put) script.push_back(step(Kind::put));
      script.push_back(step(Kind::commit));
      if (chance(50)) add(script, Kind::checkpoint);
      if (chance(50)) add(script, Kind::reclaim);
    }
    // All in the base, no chain.
    if (narrow_ || chance(50)) add(script, Kind::checkpoint);
    if (narrow_ || chance(50)) add(script, Kind::reclaim);
  }

  // Carries what there is into the base, and lets go of it, again and again.
  Script carry() {
    Script script;
    for (std::size_t i = 2 + draw(5); i > 0; --i) {
      add(script, Kind::checkpoint);
      add(script, Kind::reclaim);
    }
    return script;
  }

  void transaction(Script& script) {
    script.push_back(step(Kind::begin));
    if (theme_ == theme_of_the_base && chance(60)) {
      // Two who do no more than this, beside one who carries it into the base in between.
      add(script, Kind::add);
      return script.push_back(step(Kind::commit));
    }
    has_mark_ = has_cursor_ = false;
    const std::size_t length = narrow_ ? 1 + draw(2) : chance(75) ? 1 + draw(6) : 5 + draw(10);
    for (std::size_t i = 0; i < length; ++i) {
      script.push_back(weighted(true));
      has_mark_ = has_mark_ || script.back().kind == Kind::savepoint;
      has_cursor_ = has_cursor_ || script.back().kind == Kind::open_cursor;
    }
    const std::size_t end = draw(20);
    if (end == 0 && has(Kind::abandon_handle)) return script.push_back(step(Kind::abandon_handle));
    if (end < 3 && has(Kind::rollback)) return script.push_back(step(Kind::rollback));
    script.push_back(step(Kind::commit));
  }

  Script script() {
    Script script;
    const bool keeps_house = !narrow_ && chance(30);
    const bool around_the_base = theme_ == theme_of_the_base;
    const std::size_t transactions = around_the_base ? 1 : 1 + draw(3);
    for (std::size_t i = 0; i < transactions; ++i) {
      if (keeps_house || chance(around_the_base ? 5 : 20)) {
        for (std::size_t work = 1 + draw(4); work > 0; --work) script.push_back(weighted(false));
      }
      if (!keeps_house || chance(30)) transaction(script);
    }
    return script;
  }

  std::mt19937_64 random_;
  bool threads_;
  std::uint64_t without_;
  std::array<bool, kinds> with_{};
  std::optional<std::size_t> theme_;
  bool narrow_ = false;  // few keys, short transactions, kept in the base
  bool has_mark_ = false;
  bool has_cursor_ = false;
  unsigned upkeep_ = 1;
  std::size_t keys_ = 3;
  std::size_t keyspaces_ = 2;
};

}  // namespace

std::string_view name(Kind kind) {
  for (const KindRow& row : rows) {
    if (row.kind == kind) return row.name;
  }
  return "?";
}

std::size_t Plan::steps() const {
  std::size_t count = setup.size();
  for (const Phase& phase : phases) {
    for (const Script& script : phase.actors) count += script.size();
  }
  return count;
}

std::uint64_t left_out() {
  const char* given = std::getenv("ISOLDE_MODEL_WITHOUT");
  std::string_view list = given != nullptr ? given : "";
  std::uint64_t mask = 0;
  while (!list.empty()) {
    const std::string_view one = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), one.size() + 1));
    bool known = false;
    for (const KindRow& row : rows) {
      if (row.name != one) continue;
      mask |= std::uint64_t{1} << static_cast<std::size_t>(row.kind);
      known = true;
    }
    if (!known) {
      std::fprintf(stderr, "ISOLDE_MODEL_WITHOUT: no kind of that name\n");
      std::abort();
    }
  }
  return mask;
}

Plan draw_plan(std::uint64_t seed, bool threads, std::uint64_t without) {
  return Drawing(seed, threads, without).plan(seed);
}

}  // namespace isolde::test::surface
