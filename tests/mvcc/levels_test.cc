// What may happen at which level: what a level admits must show in some interleaving, what it
// forbids in none.
#include <algorithm>

#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;
using namespace isolde::test::steps;

namespace {

bool is_before(const Session& first, const Session& second) {
  return first.committed && second.committed && first.commit_at < second.commit_at;
}

// A level is a promise to the transaction that chose it, whatever the others chose. The owner of
// the promise is session 0; the witness looks at what happened to it.
struct Promise {
  std::string name;
  std::string admitted;  // by the owner's level; the other's level changes nothing
  Schedule schedule;
  std::function<bool(const Run&)> broken;
};

constexpr auto opt = Locking::optimistic;
constexpr auto pess = Locking::pessimistic;
const std::vector<std::pair<Locking, Locking>> all_mixes{
    {opt, opt}, {pess, pess}, {opt, pess}, {pess, opt}};

}  // namespace

BOOST_AUTO_TEST_SUITE(levels)

BOOST_AUTO_TEST_CASE(every_phenomenon_shows_exactly_where_its_level_admits_it) {
  BOOST_TEST(phenomena().size() == 16u);
  TempDatabase db(quick_options());
  for (const Locking locking : {Locking::optimistic, Locking::pessimistic}) {
    for (const Phenomenon& p : phenomena()) {
      for (std::size_t level = 0; level < all_levels.size(); ++level) {
        std::vector<TransactionOptions> options;
        for (std::size_t session = 0; session < p.schedule.sessions.size(); ++session) {
          options.push_back(at(all_levels[level], std::string(1, char('A' + session)), locking));
        }
        const Found found = explore(db, p.schedule, options, p.occurs);
        const bool admitted = p.admitted[level] == '*';
        BOOST_TEST((found.occurs > 0) == admitted,
                   p.name << " at " << name(all_levels[level]) << ", " << name(locking) << ", in "
                          << found.occurs << " of " << found.runs << " interleavings, "
                          << (admitted ? "" : "not ") << "admitted: " << found.example);
        BOOST_TEST(found.faults.empty(), (found.faults.empty() ? "" : found.faults.front()));
      }
    }
  }
}

// The two that no level admits have no run that shows their witness to work.
BOOST_AUTO_TEST_CASE(the_witnesses_of_what_never_happens_recognise_it) {
  Run torn;
  torn.sessions.resize(2);
  torn.sessions[0].committed = torn.sessions[1].committed = true;
  torn.final = {{"x", "11"}, {"y", "22"}};
  BOOST_TEST(phenomenon("dirty-write").occurs(torn));
  torn.final = {{"x", "12"}, {"y", "21"}};
  BOOST_TEST(phenomenon("dirty-write").occurs(torn));
  torn.final = {{"x", "12"}, {"y", "22"}};
  BOOST_TEST(!phenomenon("dirty-write").occurs(torn));

  Run stale;
  stale.sessions.resize(2);
  stale.sessions[0].committed = stale.sessions[1].committed = true;
  stale.sessions[0].ended_at = 1;
  stale.sessions[1].results = {"10", "ok"};
  stale.sessions[1].positions = {2, 3};
  BOOST_TEST(phenomenon("stale-read").occurs(stale));
  stale.sessions[1].results = {"11", "ok"};
  BOOST_TEST(!phenomenon("stale-read").occurs(stale));
}

BOOST_AUTO_TEST_CASE(a_cursor_for_update_stops_the_cursor_lost_update_at_every_level) {
  Schedule schedule = phenomenon("cursor-lost-update").schedule;
  ScanOptions for_update;
  for_update.mode = ReadMode::for_update;
  schedule.sessions[0][0] = next(KeyRange::all(), for_update);
  TempDatabase db(quick_options());
  for (const Isolation level : all_levels) {
    const Found found =
        explore(db, schedule, {at(level), at(level)}, phenomenon("cursor-lost-update").occurs);
    BOOST_TEST(found.occurs == 0u, name(level) << ": " << found.example);
  }
}

BOOST_AUTO_TEST_CASE(reading_for_update_or_share_stops_the_lost_update_at_every_level) {
  TempDatabase db(quick_options());
  for (const auto& read : {get_for_update("x"), get_for_share("x")}) {
    Schedule schedule = phenomenon("lost-update").schedule;
    schedule.sessions[0][0] = schedule.sessions[1][0] = read;
    for (const Isolation level : all_levels) {
      const Found found =
          explore(db, schedule, {at(level), at(level)}, phenomenon("lost-update").occurs);
      BOOST_TEST(found.occurs == 0u, name(level) << ": " << found.example);
    }
  }
}

BOOST_AUTO_TEST_CASE(reading_for_share_stops_the_write_skew_at_every_level) {
  TempDatabase db(quick_options());
  Schedule schedule = phenomenon("write-skew").schedule;
  schedule.sessions[0][1] = get_for_share("y");
  schedule.sessions[1][0] = get_for_share("x");
  for (const Isolation level : all_levels) {
    const Found found =
        explore(db, schedule, {at(level), at(level)}, phenomenon("write-skew").occurs);
    BOOST_TEST(found.occurs == 0u, name(level) << ": " << found.example);
  }
}

BOOST_AUTO_TEST_CASE(a_level_is_a_promise_to_who_chose_it_whatever_the_other_chose) {
  const Contents xy{{"x", "10"}, {"y", "20"}};
  const std::vector<Promise> promises{
      {"aborted read",
       "*---",
       {xy, {{get("x"), commit()}, {put("x", "101"), rollback()}}},
       [](const Run& run) { return run[0][0] == "101"; }},
      {"intermediate read",
       "*---",
       {xy, {{get("x"), commit()}, {put("x", "101"), put("x", "11"), commit()}}},
       [](const Run& run) { return run[0][0] == "101"; }},
      {"observed transaction vanishes",
       "*---",
       {xy, {{get("x"), get("y"), commit()}, {put("x", "11"), put("y", "21"), commit()}}},
       [](const Run& run) { return run[0][0] == "11" && run[0][1] == "20"; }},
      {"fuzzy read",
       "**--",
       {xy, {{get("x"), get("x"), commit()}, {put("x", "11"), commit()}}},
       [](const Run& run) { return run[1].committed && run[0][0] != run[0][1]; }},
      {"phantom",
       "**--",
       {{{"p/1", "1"}},
        {{scan(KeyRange::prefix("p/")), scan(KeyRange::prefix("p/")), commit()},
         {insert("p/2", "2"), erase("p/1"), commit()}}},
       [](const Run& run) { return run[1].committed && run[0][0] != run[0][1]; }},
      {"read skew",
       "**--",
       {xy, {{get("x"), get("y"), commit()}, {put("x", "12"), put("y", "18"), commit()}}},
       [](const Run& run) { return run[0][0] == "10" && run[0][1] == "18"; }},
      {"lost update",
       "**--",
       {xy, {{get("x"), put_sum("x", 0, 1), commit()}, {get("x"), put_sum("x", 0, 5), commit()}}},
       [](const Run& run) { return run[0][0] == "10" && is_before(run[1], run[0]); }},
      {"write skew",
       "***-",
       {xy,
        {{get("x"), get("y"), put("x", "11"), commit()},
         {get("x"), get("y"), put("y", "21"), commit()}}},
       [](const Run& run) { return run[0][1] == "20" && is_before(run[1], run[0]); }},
      {"predicate write skew",
       "***-",
       {{},
        {{scan(KeyRange::prefix("p/")), insert("p/a", "1"), commit()},
         {scan(KeyRange::prefix("p/")), insert("p/b", "1"), commit()}}},
       [](const Run& run) { return run[0][0].empty() && is_before(run[1], run[0]); }},
      {"stale read",
       "----",
       {xy, {{get("x"), commit()}, {put("x", "11"), commit()}}},
       [](const Run& run) {
         return run[1].committed && run[1].ended_at < run[0].positions[0] && run[0][0] == "10";
       }},
      {"dirty write", "----", phenomenon("dirty-write").schedule, phenomenon("dirty-write").occurs},
  };
  TempDatabase db(quick_options());
  for (const Promise& promise : promises) {
    for (std::size_t own = 0; own < all_levels.size(); ++own) {
      for (const Isolation other : all_levels) {
        for (const auto& [own_locking, other_locking] : all_mixes) {
          const Found found =
              explore(db, promise.schedule,
                      {at(all_levels[own], "A", own_locking), at(other, "B", other_locking)},
                      [&](const Run& run) { return run[0].committed && promise.broken(run); });
          const bool admitted = promise.admitted[own] == '*';
          BOOST_TEST((found.occurs > 0) == admitted,
                     promise.name << " for one at " << name(all_levels[own]) << ", "
                                  << name(own_locking) << ", beside one at " << name(other) << ", "
                                  << name(other_locking) << ": " << found.occurs << " of "
                                  << found.runs << ": " << found.example);
          BOOST_TEST(found.faults.empty(), (found.faults.empty() ? "" : found.faults.front()));
        }
      }
    }
  }
}

// One of the two has to read what is not committed, and the other what was committed after its own
// first operation.
BOOST_AUTO_TEST_CASE(information_flows_in_a_circle_only_past_read_uncommitted_and_no_snapshot) {
  TempDatabase db(quick_options());
  const Phenomenon& p = phenomenon("circular-information-flow");
  for (const Isolation one : all_levels) {
    for (const Isolation other : all_levels) {
      const Found found = explore(db, p.schedule, {at(one), at(other)}, p.occurs);
      const bool admitted = std::min(one, other) == Isolation::read_uncommitted &&
                            std::max(one, other) <= Isolation::read_committed;
      BOOST_TEST((found.occurs > 0) == admitted,
                 name(one) << " and " << name(other) << ": " << found.example);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
