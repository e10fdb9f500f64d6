// "How it was prevented belongs to every report": codes, keys and culprits, optimistic columns.
#include "tests/mvcc/phenomena.h"

using namespace isolde;
using namespace isolde::test;
using namespace isolde::test::steps;

namespace {

// The usual order: both do all they do, then A commits, then B.
Run a_then_b(TempDatabase& db, const Schedule& schedule, Isolation level) {
  std::vector<std::size_t> order;
  const std::size_t steps = schedule.sessions[0].size();
  for (std::size_t step = 0; step < steps; ++step) {
    order.push_back(0);
    order.push_back(1);
  }
  return play(db, schedule, {at(level, "alice"), at(level, "bob")}, order);
}

// The evidence names the key, both transactions and the versions.
void check_evidence(const Run& run, ErrorCode code, const std::string& key) {
  const Session& alice = run[0];
  const Session& bob = run[1];
  BOOST_REQUIRE(bob.error.has_value());
  const Error& error = *bob.error;
  BOOST_TEST(error.code() == code);
  const Evidence& evidence = error.evidence();
  BOOST_TEST(evidence.keyspace == "default");
  BOOST_REQUIRE(evidence.key.has_value());
  BOOST_TEST(*evidence.key == key);
  BOOST_REQUIRE(evidence.self.has_value());
  BOOST_TEST(evidence.self->id == bob.txn->id());
  BOOST_TEST(evidence.self->label == "bob");
  BOOST_REQUIRE(evidence.culprit.has_value());
  BOOST_TEST(evidence.culprit->id == alice.txn->id());
  BOOST_TEST(evidence.culprit->label == "alice");
  BOOST_REQUIRE(evidence.snapshot.has_value());
  BOOST_REQUIRE(evidence.conflict.has_value());
  BOOST_TEST(*evidence.conflict > *evidence.snapshot);
  for (const std::string& named : {key, std::string("alice"), std::string("bob")}) {
    BOOST_TEST(error.message().find(named) != std::string::npos, error.message());
  }
  BOOST_TEST(!bob.txn->active());
}

ErrorCode conflict_at(Isolation level) {
  return level == Isolation::serializable ? ErrorCode::serialization_failure
                                          : ErrorCode::write_conflict;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(levels_how)

BOOST_AUTO_TEST_CASE(a_lost_update_is_refused_to_the_second_to_commit_from_repeatable_read_on) {
  TempDatabase db;
  const Schedule& schedule = phenomenon("lost-update").schedule;
  for (const Isolation level : {Isolation::repeatable_read, Isolation::serializable}) {
    const Run run = a_then_b(db, schedule, level);
    BOOST_TEST(run[0].committed);
    check_evidence(run, conflict_at(level), "x");
    BOOST_TEST(text(run.final) == "x=11 y=20");
  }
  for (const Isolation level : {Isolation::read_uncommitted, Isolation::read_committed}) {
    BOOST_TEST(a_then_b(db, schedule, level).all_committed());
  }
}

BOOST_AUTO_TEST_CASE(a_read_for_update_is_judged_at_commit_at_every_level) {
  TempDatabase db;
  Schedule schedule = phenomenon("lost-update").schedule;
  schedule.sessions[0][0] = schedule.sessions[1][0] = get_for_update("x");
  for (const Isolation level : all_levels) {
    const Run run = a_then_b(db, schedule, level);
    BOOST_TEST(run[0].committed);
    check_evidence(run, conflict_at(level), "x");
    BOOST_TEST(text(run.final) == "x=11 y=20");
  }
}

// A lock that was held and not used to write: for the second one nothing has changed.
BOOST_AUTO_TEST_CASE(a_read_for_update_without_a_write_conflicts_with_nobody) {
  TempDatabase db;
  const Schedule schedule{{{"x", "10"}},
                          {{get_for_update("x"), commit()}, {get_for_update("x"), commit()}}};
  for (const Isolation level : all_levels) {
    BOOST_TEST(a_then_b(db, schedule, level).all_committed());
  }
}

// Even a transaction that writes nothing is told that what it locked has changed.
BOOST_AUTO_TEST_CASE(a_read_for_update_is_judged_in_a_transaction_that_writes_nothing) {
  TempDatabase db;
  const Schedule schedule{{{"x", "10"}},
                          {{put("x", "11"), commit()}, {get_for_update("x"), commit()}}};
  for (const Isolation level : all_levels) {
    check_evidence(a_then_b(db, schedule, level), conflict_at(level), "x");
  }
}

BOOST_AUTO_TEST_CASE(a_scan_for_update_is_judged_by_its_keys_and_at_serializable_by_its_range) {
  TempDatabase db;
  ScanOptions for_update;
  for_update.mode = ReadMode::for_update;
  const Contents setup{{"p/1", "1"}, {"p/2", "2"}};
  const Schedule changed{
      setup, {{put("p/2", "9"), commit()}, {scan(KeyRange::prefix("p/"), for_update), commit()}}};
  const Schedule inserted{
      setup, {{put("p/3", "3"), commit()}, {scan(KeyRange::prefix("p/"), for_update), commit()}}};
  for (const Isolation level : all_levels) {
    check_evidence(a_then_b(db, changed, level), conflict_at(level), "p/2");
    const Run phantom = a_then_b(db, inserted, level);
    if (level == Isolation::serializable) {
      check_evidence(phantom, ErrorCode::serialization_failure, "p/3");
      BOOST_REQUIRE(phantom[1].error->evidence().range.has_value());
      BOOST_TEST(phantom[1].error->evidence().range->lower == "p/");
      BOOST_TEST(phantom[1].error->evidence().range->upper.value_or("") == "p0");
    } else {
      BOOST_TEST(phantom.all_committed());
    }
  }
}

BOOST_AUTO_TEST_CASE(a_locking_read_never_returns_an_uncommitted_value) {
  TempDatabase db;
  db.put("x", "10");
  Transaction writer = db.begin();
  must(writer.put(db.keyspace(), "x", "11"));
  must(writer.put(db.keyspace(), "z", "1"));
  Transaction reader = db.begin(Isolation::read_uncommitted);
  BOOST_TEST(text(get(reader, db.keyspace(), "x")) == "11");
  BOOST_TEST(*must(reader.get_for_update(db.keyspace(), "x")) == "10");
  BOOST_TEST(*must(reader.get_for_share(db.keyspace(), "x")) == "10");
  BOOST_TEST(!must(reader.get_for_update(db.keyspace(), "z")));
  ScanOptions for_update;
  for_update.mode = ReadMode::for_update;
  std::string seen;
  must(reader.scan(db.keyspace(), KeyRange::all(), for_update,
                   [&](std::string_view key, std::string_view value) {
                     seen.append(key).append("=").append(value);
                   }));
  BOOST_TEST(seen == "x=10");
}

BOOST_AUTO_TEST_CASE(write_skew_is_refused_to_the_second_to_commit_at_serializable_only) {
  TempDatabase db;
  const Schedule& schedule = phenomenon("write-skew").schedule;
  const Run refused = a_then_b(db, schedule, Isolation::serializable);
  BOOST_TEST(refused[0].committed);
  check_evidence(refused, ErrorCode::serialization_failure, "x");
  BOOST_TEST(a_then_b(db, schedule, Isolation::repeatable_read).all_committed());
}

BOOST_AUTO_TEST_CASE(a_writer_that_relied_on_an_empty_range_is_told_the_range) {
  TempDatabase db;
  const Run run =
      a_then_b(db, phenomenon("predicate-write-skew").schedule, Isolation::serializable);
  BOOST_TEST(run[0].committed);
  check_evidence(run, ErrorCode::serialization_failure, "p/a");
  const auto& range = run[1].error->evidence().range;
  BOOST_REQUIRE(range.has_value());
  BOOST_TEST(range->lower == "p/");
  BOOST_TEST(range->upper.value_or("") == "p0");
}

BOOST_AUTO_TEST_CASE(a_snapshot_does_not_show_the_phantom_and_nobody_waits_or_fails) {
  TempDatabase db;
  for (const Isolation level : {Isolation::repeatable_read, Isolation::serializable}) {
    const Run run = play(db, phenomenon("phantom").schedule, {at(level, "alice"), at(level, "bob")},
                         {0, 1, 1, 0, 0});
    BOOST_TEST(run.all_committed());
    BOOST_TEST(run[0][0] == "p/1=1");
    BOOST_TEST(run[0][1] == "p/1=1");
    BOOST_TEST(run[1].ended_at < run[0].ended_at);
  }
}

BOOST_AUTO_TEST_CASE(blind_writes_conflict_at_repeatable_read_and_nowhere_else) {
  TempDatabase db;
  const Schedule schedule{
      {{"x", "10"}}, {{get("y"), put("x", "11"), commit()}, {get("y"), put("x", "12"), commit()}}};
  for (const Isolation level : all_levels) {
    const Run run = a_then_b(db, schedule, level);
    if (level == Isolation::repeatable_read) {
      check_evidence(run, ErrorCode::write_conflict, "x");
    } else {
      BOOST_TEST(run.all_committed());
      BOOST_TEST(text(run.final) == "x=12");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_serializable_transaction_that_only_reads_never_fails) {
  TempDatabase db(quick_options());
  const Schedule schedule{{{"x", "10"}, {"y", "20"}},
                          {{get("x"), scan(KeyRange::all()), get("z"), commit()},
                           {put("x", "11"), put("y", "21"), commit()}}};
  const Found failed =
      explore(db, schedule, {at(Isolation::serializable), at(Isolation::serializable)},
              [](const Run& run) { return !run[0].committed; });
  BOOST_TEST(failed.occurs == 0u, failed.example);
}

BOOST_AUTO_TEST_SUITE_END()
