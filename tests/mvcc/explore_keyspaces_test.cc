// Waits for locks, checkpoints, drops and bulk loads in every interleaving: one key, two
// transactions, and what goes on behind their backs. All of it is explored, without a bound on
// preemptions where two actors meet. With one step left out the same exploration finds what goes
// wrong.
#include <boost/test/unit_test.hpp>

#ifdef ISOLDE_YIELD_POINTS

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mvcc/database_core.h"
#include "mvcc/planted_fault.h"
#include "tests/mvcc/explore_world.h"
#include "tests/support/sanitizer.h"

using namespace isolde;
using namespace isolde::test;
using mvcc::PlantedFault;

namespace {

constexpr auto opt = Locking::optimistic;
constexpr auto pess = Locking::pessimistic;
constexpr auto rc = Isolation::read_committed;
constexpr auto rr = Isolation::repeatable_read;
constexpr auto ser = Isolation::serializable;

Options quick() {
  Options options = small_options();
  options.durability = Durability::none();
  options.lock_timeout = no_lock_timeout;
  return options;
}

// A keyspace "ks" with a=10 in the base, or none for it to be loaded into.
class World {
 public:
  World() {
    const TmpfsForFiles files;
    db_ = std::make_unique<TempDatabase>(quick());
    db_->put("x", "0");
  }
  ~World() { reader_.reset(); }

  enum class Start { there, to_be_loaded };

  void reset(Start start) {
    reader_.reset();
    complaint_.reset();
    sums_ = 0;
    inserted_ = dropped_ = loaded_ = false;
    ks_.reset();
    if (start == Start::to_be_loaded && db_->db().find_keyspace("ks")) {
      must(db_->db().drop_keyspace("ks"));
    }
    if (start == Start::there) {
      ks_.emplace(must(db_->db().keyspace("ks")));
      Transaction txn = begin(rc, opt);
      must(txn.put(*ks_, "a", "10"));
      must(txn.commit());
    } else {
      reader_.emplace(begin(level_of_reader, opt));
      static_cast<void>(reader_->get(db_->keyspace(), "x"));
    }
    settle();
    start_ = start;
  }
  Isolation level_of_reader = rr;

  using Body = std::function<void()>;

  // Adds one; at repeatable read and above it may have to give way.
  Body add(Isolation level, Locking locking) {
    return [this, level, locking] {
      Transaction txn = begin(level, locking);
      if (!goes_on(txn.add(*ks_, "a", 1))) return;
      if (goes_on(txn.commit())) ++sums_;
    };
  }
  // The same by hand, under a lock.
  Body lock_and_put(Isolation level) {
    return [this, level] {
      Transaction txn = begin(level, pess);
      const auto value = txn.get_for_update(*ks_, "a");
      if (!goes_on(value)) return;
      const int before = std::stoi(std::string(value->value_or("0")));
      if (!goes_on(txn.put(*ks_, "a", std::to_string(before + 1)))) return;
      if (goes_on(txn.commit())) ++sums_;
    };
  }
  // Two gets and a scan: at one state of everything, or (below) each at one.
  Body read(Isolation level, Locking locking) {
    return [this, level, locking] {
      Transaction txn = begin(level, locking);
      std::vector<std::string> answers;
      for (int i = 0; i < 2; ++i) {
        const auto got = txn.get(*ks_, "a");
        if (!got && is_retryable(got.error().code())) return;
        answers.push_back(got ? std::string(got->value_or("absent")) : outcome(got));
        yield_here("between reads");
      }
      std::string scanned;
      const auto scan =
          txn.scan(*ks_, KeyRange::all(),
                   [&](std::string_view, std::string_view value) { scanned += value; });
      if (!scan && is_retryable(scan.error().code())) return;
      answers.push_back(scan ? scanned : outcome(scan));
      for (std::size_t i = 0; i < answers.size(); ++i) {
        const std::string& answer = answers[i];
        if (answer == "absent" || answer.empty()) complain("the reader saw nothing");
        if (level >= rr && answer != answers[0]) {
          complain("the reader saw " + answers[0] + ", and then " + answer);
        }
        if (i > 0 && answers[i - 1] == "keyspace_not_found" && answer != answers[i - 1]) {
          complain("a keyspace came back");
        }
      }
    };
  }
  // A cursor at read committed, which holds what it stands on.
  Body cursor(Isolation level) {
    return [this, level] {
      Transaction txn = begin(level, opt);
      auto cursor = txn.cursor(*ks_, KeyRange::all());
      if (!cursor) {
        if (outcome(cursor) != "keyspace_not_found") complain("a cursor: " + message_of(cursor));
        return;
      }
      yield_here("between reads");
      const auto entry = cursor->next();
      if (!entry || !*entry) complain("an open cursor lost its keyspace");
    };
  }
  Body drop() {
    return [this] {
      yield_here("drop");
      const auto done = db_->db().drop_keyspace("ks", std::chrono::milliseconds(0));
      dropped_ = done.has_value();
      if (!done && outcome(done) != "keyspace_busy") complain("a drop: " + message_of(done));
    };
  }
  Body checkpoint() {
    return [this] {
      yield_here("checkpoint");
      const auto done = db_->core().checkpointer().run();
      if (!done) complain("a checkpoint: " + done.error().to_string());
    };
  }
  Body reclaim() {
    return [this] {
      yield_here("reclaim");
      for (int i = 0; i < 2; ++i) db_->core().reclaimer().run();
    };
  }
  Body load() {
    return [this] {
      yield_here("load");
      bool given = false;
      const auto done = db_->db().bulk_load("ks", [&]() -> Result<std::optional<Entry>> {
        if (std::exchange(given, true)) return std::optional<Entry>{};
        return std::optional(Entry{"a", "10"});
      });
      loaded_ = done.has_value();
      if (!done) complain("a load: " + message_of(done));
    };
  }
  // Writes over what the load brought, so that a chain has the base's image at its bottom.
  Body write_over() {
    return [this] {
      const auto found = db_->db().find_keyspace("ks");
      if (!found) return;
      Transaction txn = begin(rc, opt);
      if (goes_on(txn.put(*found, "a", "11")) && goes_on(txn.commit())) sums_ = 1;
    };
  }
  // A snapshot from before the load: reads, inserts, reads.
  Body old_snapshot() {
    return [this] {
      yield_here("old snapshot");
      const auto found = db_->db().find_keyspace("ks");
      if (!found) return;
      for (int i = 0; i < 2; ++i) {
        const auto got = reader_->get(*found, "a");
        if (!got) return complain("the old snapshot: " + message_of(got));
        if (*got) complain("the old snapshot sees the load: " + std::string(**got));
        yield_here("between reads");
      }
      if (!goes_on(reader_->insert(*found, "a", "mine"))) return;
      if (goes_on(reader_->commit())) inserted_ = true;
    };
  }

  std::optional<std::string> judge() {
    reader_.reset();
    if (complaint_) return complaint_;
    if (inserted_) return "inserted over what was loaded after the snapshot";
    const auto found = db_->db().find_keyspace("ks");
    if (found.has_value() != (!dropped_ && (start_ == Start::there || loaded_))) {
      return "the keyspace is there, or not, against what was answered";
    }
    if (found) {
      const int expected = 10 + sums_;
      const std::string value = text(get(*found));
      if (value != std::to_string(expected)) {
        return "a is " + value + ", right is " + std::to_string(expected);
      }
    }
    // Nothing holds a checkpoint back now.
    auto& core = db_->core();
    static_cast<void>(core.checkpointer().run());
    if (core.base().at().value < core.pipeline().visible()) return "a checkpoint is held back";
    if (db_->db().stats().locks_held != 0) return "locks are left";
    return std::nullopt;
  }

  void abandon() {
    reader_.reset();
    db_->abandon();
  }

 private:
  Transaction begin(Isolation level, Locking locking) {
    TransactionOptions options;
    options.isolation = level;
    options.locking = locking;
    return std::move(*db_->db().begin(options));
  }
  template <typename T>
  bool goes_on(const Result<T>& result) {
    if (result) return true;
    const bool may_be = is_retryable(result.error().code()) ||
                        result.error().code() == ErrorCode::already_exists ||
                        result.error().code() == ErrorCode::keyspace_not_found;
    if (!may_be) complain(result.error().to_string());
    return false;
  }
  std::optional<std::string> get(const Keyspace& keyspace) {
    Transaction txn = begin(rc, opt);
    const auto got = txn.get(keyspace, "a");
    if (!got || !*got) return std::nullopt;
    return std::string(**got);
  }
  void settle() {
    static_cast<void>(db_->core().checkpointer().run());
    for (int i = 0; i < 3; ++i) db_->core().reclaimer().run();
  }
  void complain(std::string what) {
    if (!complaint_) complaint_ = std::move(what);
  }

  std::unique_ptr<TempDatabase> db_;
  std::optional<Keyspace> ks_;
  std::optional<Transaction> reader_;
  Start start_ = Start::there;
  int sums_ = 0;
  bool inserted_ = false;
  bool dropped_ = false;
  bool loaded_ = false;
  std::optional<std::string> complaint_;
};

using Actors = std::vector<std::pair<const char*, World::Body>>;

// The places where the protocol of this file can go one way or another; what lies between them is
// explored by explore_protocol and explore_lock_waits.
bool is_among(std::string_view place, const std::vector<std::string_view>& places) {
  return std::find(places.begin(), places.end(), place) != places.end();
}
const std::vector<std::string_view> of_commits = {"commit: before lookup",
                                                  "commit: base image fetched",
                                                  "commit: before critical section",
                                                  "locks: before request",
                                                  "checkpoint",
                                                  "reclaim",
                                                  "next"};
const std::vector<std::string_view> of_loads = {"load",
                                                "old snapshot",
                                                "between reads",
                                                "commit: before lookup",
                                                "commit: before critical section",
                                                "checkpoint",
                                                "reclaim",
                                                "next"};
const std::vector<std::string_view> of_keyspaces = {"commit: waits for room",
                                                    "commit: before lookup",
                                                    "commit: base image fetched",
                                                    "commit: before critical section",
                                                    "locks: before request",
                                                    "read: before visible",
                                                    "read: before lookup",
                                                    "read: published",
                                                    "scan: merged",
                                                    "drop",
                                                    "drop: announced",
                                                    "drop: before critical section",
                                                    "drop: nobody looks",
                                                    "drop: visible",
                                                    "checkpoint",
                                                    "reclaim",
                                                    "load",
                                                    "old snapshot",
                                                    "between reads",
                                                    "next"};

Explored play(World& world, World::Start start, const Actors& actors,
              std::optional<unsigned> preemptions, const std::vector<std::string_view>& places) {
  Exploration exploration;
  exploration.begin = [&] {
    world.reset(start);
    std::vector<Exploration::Actor> cast;
    for (const auto& [name, body] : actors) cast.push_back({name, body});
    return cast;
  };
  exploration.judge = [&] { return world.judge(); };
  exploration.ignored = [&](std::string_view place) { return !is_among(place, places); };
  exploration.preemptions = sanitized ? std::optional(1u) : preemptions;
  return explore(exploration);
}

void expect_right(World& world, World::Start start, const Actors& actors,
                  std::optional<unsigned> preemptions = {},
                  const std::vector<std::string_view>& places = of_keyspaces) {
  const Explored explored = play(world, start, actors, preemptions, places);
  std::string names;
  for (const auto& [name, body] : actors) names += std::string(names.empty() ? "" : ", ") + name;
  BOOST_TEST_MESSAGE(names << ": " << explored.schedules << " schedules");
  BOOST_TEST(!explored.failure, names << ": " << explored.failure.value_or(""));
  BOOST_TEST(explored.exhausted);
}

World::Body in_turn(std::vector<World::Body> bodies) {
  return ExploreWorld::in_turn(std::move(bodies));
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(explore_keyspaces, World)

// C1. The first of the finds: a base image that outlives a wait for locks.
BOOST_AUTO_TEST_CASE(waits_for_locks_meet_checkpoints) {
  const World::Body upkeep = in_turn({checkpoint(), reclaim()});
  expect_right(*this, Start::there,
               {{"optimist", add(rc, opt)},
                {"pessimist, checkpoint", in_turn({lock_and_put(rc), checkpoint(), reclaim()})}},
               {}, of_commits);
  for (const auto& [level, locking] : std::vector<std::pair<Isolation, Locking>>{
           {rc, opt}, {rr, opt}, {ser, opt}, {rc, pess}, {rr, pess}, {ser, pess}}) {
    expect_right(*this, Start::there,
                 {{"first", add(level, locking)}, {"second", lock_and_put(rc)}, {"upkeep", upkeep}},
                 2);
  }
}

// K1. Every kind of transaction and a drop, all of it; then with a checkpoint after the drop.
BOOST_AUTO_TEST_CASE(drops_meet_each_kind_of_transaction) {
  const std::vector<std::pair<const char*, World::Body>> kinds = {
      {"reader rc", read(rc, opt)},    {"reader rr", read(rr, opt)},
      {"reader ser", read(ser, opt)},  {"reader ser pessimistic", read(ser, pess)},
      {"cursor rc", cursor(rc)},       {"cursor rr", cursor(rr)},
      {"adds rc", add(rc, opt)},       {"adds rr", add(rr, opt)},
      {"locks rc", lock_and_put(rc)},  {"locks rr", lock_and_put(rr)},
      {"locks ser", lock_and_put(ser)}};
  for (const auto& kind : kinds) {
    expect_right(*this, Start::there,
                 {kind, {"drop, checkpoint", in_turn({drop(), checkpoint(), reclaim()})}});
  }
}

BOOST_AUTO_TEST_CASE(two_transactions_meet_a_drop_and_a_checkpoint) {
  for (const auto& [first, second] :
       std::vector<std::pair<World::Body, World::Body>>{{read(rr, opt), add(rc, opt)},
                                                        {read(ser, pess), lock_and_put(rc)},
                                                        {add(rc, opt), lock_and_put(rc)},
                                                        {add(rr, opt), lock_and_put(ser)}}) {
    expect_right(*this, Start::there,
                 {{"first", first},
                  {"second", second},
                  {"drop, checkpoint", in_turn({drop(), checkpoint(), reclaim()})}},
                 2);
  }
}

BOOST_AUTO_TEST_CASE(loads_meet_older_snapshots_and_those_who_write_over_them) {
  for (const Isolation level : {rr, ser}) {
    level_of_reader = level;
    expect_right(*this, Start::to_be_loaded,
                 {{"old snapshot", old_snapshot()},
                  {"load, write", in_turn({load(), write_over(), checkpoint(), reclaim()})}},
                 {}, of_loads);
    expect_right(*this, Start::to_be_loaded,
                 {{"old snapshot", old_snapshot()},
                  {"load", load()},
                  {"writer", write_over()},
                  {"upkeep", in_turn({checkpoint(), reclaim()})}},
                 2, of_loads);
  }
}

BOOST_AUTO_TEST_SUITE_END()

#endif  // ISOLDE_YIELD_POINTS
