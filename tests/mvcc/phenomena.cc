#include "tests/mvcc/phenomena.h"

#include <algorithm>

namespace isolde::test {
using namespace steps;

const std::vector<Phenomenon>& phenomena() {
  static const Contents xy{{"x", "10"}, {"y", "20"}};
  static const std::vector<Phenomenon> all{
      {"dirty-write",
       "----",
       {xy,
        {{put("x", "11"), put("y", "21"), commit()}, {put("x", "12"), put("y", "22"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && (run.value("x") == "11") != (run.value("y") == "21");
       }},
      {"aborted-read",
       "*---",
       {xy, {{put("x", "101"), rollback()}, {get("x"), commit()}}},
       [](const Run& run) { return run[1].committed && run[1][0] == "101"; }},
      {"intermediate-read",
       "*---",
       {xy, {{put("x", "101"), put("x", "11"), commit()}, {get("x"), commit()}}},
       [](const Run& run) { return run[1].committed && run[1][0] == "101"; }},
      {"circular-information-flow",
       "*---",
       {xy, {{put("x", "11"), get("y"), commit()}, {put("y", "22"), get("x"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[0][1] == "22" && run[1][1] == "11";
       }},
      {"observed-transaction-vanishes",
       "*---",
       {xy, {{put("x", "11"), put("y", "21"), commit()}, {get("x"), get("y"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[1][0] == "11" && run[1][1] == "20";
       }},
      {"fuzzy-read",
       "**--",
       {xy, {{get("x"), get("x"), commit()}, {put("x", "11"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[0][0] == "10" && run[0][1] == "11";
       }},
      {"phantom",
       "**--",
       {{{"p/1", "1"}},
        {{scan(KeyRange::prefix("p/")), scan(KeyRange::prefix("p/")), commit()},
         {insert("p/2", "2"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[0][0] == "p/1=1" && run[0][1] == "p/1=1 p/2=2";
       }},
      {"predicate-many-preceders",
       "**--",
       {{{"p/1", "1"}},
        {{scan(KeyRange::from("p/2")), scan(KeyRange::all()), commit()},
         {insert("p/2", "2"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[0][0].empty() && run[0][1] == "p/1=1 p/2=2";
       }},
      {"lost-update",
       "**--",
       {xy, {{get("x"), put_sum("x", 0, 1), commit()}, {get("x"), put_sum("x", 0, 5), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[0][0] == "10" && run[1][0] == "10";
       }},
      {"cursor-lost-update",
       "**--",
       {xy, {{next(KeyRange::all()), put_sum("x", 0, 1), commit()}, {put("x", "75"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[0][0] == "10" && run.value("x") == "11";
       }},
      {"read-skew",
       "**--",
       {xy, {{get("x"), get("y"), commit()}, {put("x", "12"), put("y", "18"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[0][0] == "10" && run[0][1] == "18";
       }},
      {"long-fork",
       "**--",
       {xy,
        {{put("x", "11"), commit()},
         {put("y", "21"), commit()},
         {get("y"), then_commit(get("x"))},
         {get("x"), then_commit(get("y"))}}},
       [](const Run& run) {
         return run.all_committed() && run[2][0] == "20" && run[2][1] == "11" &&
                run[3][0] == "10" && run[3][1] == "21";
       }},
      {"write-skew",
       "***-",
       {xy,
        {{get("x"), get("y"), put("x", "11"), commit()},
         {get("x"), get("y"), put("y", "21"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[0][1] == "20" && run[1][0] == "10";
       }},
      {"predicate-write-skew",
       "***-",
       {{},
        {{scan(KeyRange::prefix("p/")), insert("p/a", "1"), commit()},
         {scan(KeyRange::prefix("p/")), insert("p/b", "1"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[0][0].empty() && run[1][0].empty();
       }},
      // Fekete, O'Neil, O'Neil 2004: a deposit, a withdrawal with a penalty, and a statement.
      {"read-only-anomaly",
       "***-",
       {{{"x", "0"}, {"y", "0"}},
        {{get("y"), then_commit(put("y", "20"))},
         {get("x"), get("y"), put("x", "-11"), commit()},
         {get("x"), then_commit(get("y"))}}},
       [](const Run& run) {
         return run.all_committed() && run[1][1] == "0" && run[2][0] == "0" && run[2][1] == "20";
       }},
      {"stale-read",
       "----",
       {xy, {{put("x", "11"), commit()}, {get("x"), commit()}}},
       [](const Run& run) {
         return run.all_committed() && run[0].ended_at < run[1].positions[0] && run[1][0] == "10";
       }},
  };
  return all;
}

namespace {

std::vector<std::size_t> lengths(const Schedule& schedule) {
  std::vector<std::size_t> steps;
  for (const auto& session : schedule.sessions) steps.push_back(session.size());
  return steps;
}

}  // namespace

Options quick_options() {
  Options options = small_options();
  options.durability = Durability::none();
  return options;
}

Found explore(TempDatabase& db, const Schedule& schedule,
              const std::vector<TransactionOptions>& options,
              const std::function<bool(const Run&)>& occurs) {
  Found found;
  const bool may_block = std::any_of(
      options.begin(), options.end(),
      [](const TransactionOptions& one) { return one.locking == Locking::pessimistic; });
  std::shared_ptr<Stage> stage;
  if (may_block) {
    stage = std::make_shared<Stage>(options.size());
    db->add_observer(stage);
  }
  each_interleaving(lengths(schedule), [&](const std::vector<std::size_t>& order) {
    const std::size_t n = found.runs++;
    const Upkeep upkeep = n % 211 == 3  ? Upkeep::between_steps
                          : n % 31 == 5 ? Upkeep::before
                                        : Upkeep::none;
    const Run run = play(db, schedule, options, order, upkeep, stage.get());
    if (n % 64 == 0) db.reclaim();
    if (!occurs(run)) return;
    if (found.occurs++ == 0) found.example = run.story();
  });
  if (stage) {
    db->remove_observer(stage);
    found.faults = stage->faults();
  }
  return found;
}

TransactionOptions at(Isolation level, std::string label, Locking locking) {
  TransactionOptions options;
  options.isolation = level;
  options.locking = locking;
  options.lock_timeout = no_lock_timeout;
  options.label = std::move(label);
  return options;
}

const Phenomenon& phenomenon(std::string_view name) {
  return *std::find_if(phenomena().begin(), phenomena().end(),
                       [&](const Phenomenon& p) { return p.name == name; });
}

}  // namespace isolde::test
