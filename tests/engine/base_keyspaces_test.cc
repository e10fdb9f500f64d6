// Keyspaces of the base: their lives, and what views of different ages see of them (K1).
#include <thread>

#include "tests/engine/base_fixture.h"

using namespace isolde;
using namespace isolde::engine;
using namespace isolde::engine::test;

BOOST_AUTO_TEST_SUITE(base_keyspaces)

BOOST_AUTO_TEST_CASE(a_hundred_and_fifty_keyspaces_live_side_by_side) {
  TempDirectory directory;
  {
    auto base = open_base(directory.path());
    Changes changes;
    for (std::uint32_t id = 2; id <= 151; ++id) {
      changes.create(KeyspaceId{id}, "keyspace " + std::to_string(id));
    }
    for (std::uint32_t id = 2; id <= 151; ++id) {
      changes.put(KeyspaceId{id}, "id", std::to_string(id));
    }
    apply(*base, 1, changes);
  }
  auto base = open_base(directory.path());
  BOOST_TEST(names(*base).size() == 151u);
  BaseView view = open_view(*base);
  for (std::uint32_t id = 2; id <= 151; ++id) {
    BOOST_REQUIRE(get(view, KeyspaceId{id}, "id").value() == std::to_string(id));
  }
  BOOST_TEST(base->verify().value().keyspaces == 151u);
}

BOOST_AUTO_TEST_CASE(ids_may_be_large_and_sparse) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes changes;
  const std::vector<std::uint32_t> ids{1023, 1024, 70'000, 3'000'000, 0xfffffff0};
  for (const std::uint32_t id : ids) changes.create(KeyspaceId{id}, std::to_string(id));
  for (const std::uint32_t id : ids) changes.put(KeyspaceId{id}, "id", std::to_string(id));
  apply(*base, 1, changes);
  BaseView view = open_view(*base);
  for (const std::uint32_t id : ids) {
    BOOST_TEST(get(view, KeyspaceId{id}, "id").value() == std::to_string(id));
    BOOST_TEST(!get(view, KeyspaceId{id + 2}, "id"));
  }
  BOOST_TEST(base->next_keyspace_id().value == 0xfffffff1);
}

BOOST_AUTO_TEST_CASE(a_view_older_than_a_keyspace_answers_absent) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  BaseView old = open_view(*base);
  Changes changes;
  changes.create(KeyspaceId{2}, "two").put(KeyspaceId{2}, "a", "1");
  apply(*base, 1, changes);
  BOOST_TEST(!get(old, KeyspaceId{2}, "a"));
  BOOST_TEST(contents(old, KeyspaceId{2}).empty());
  BOOST_TEST(contents(*base, KeyspaceId{2}).size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_view_older_than_a_drop_keeps_the_keyspace) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes create;
  create.create(KeyspaceId{2}, "two").put(KeyspaceId{2}, "a", "1").put(KeyspaceId{2}, "b", "2");
  apply(*base, 1, create);
  BaseView old = open_view(*base);
  BaseView old_and_warm = open_view(*base);
  BOOST_TEST(get(old_and_warm, KeyspaceId{2}, "a").value() == "1");

  Changes drop;
  drop.drop(KeyspaceId{2}, "two");
  apply(*base, 2, drop);
  BOOST_TEST(names(*base).count("two") == 0u);
  BOOST_TEST(get(old, KeyspaceId{2}, "a").value() == "1");
  BOOST_TEST(contents(old, KeyspaceId{2}).size() == 2u);
  BOOST_TEST(contents(old_and_warm, KeyspaceId{2}).size() == 2u);
  BaseView young = open_view(*base);
  BOOST_TEST(!get(young, KeyspaceId{2}, "a"));
  BOOST_TEST(contents(young, KeyspaceId{2}).empty());
}

BOOST_AUTO_TEST_CASE(a_keyspace_of_the_same_name_never_shows_its_predecessors_data) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  std::vector<BaseView> views;
  for (std::uint32_t id = 2; id < 12; ++id) {
    Changes changes;
    if (id > 2) changes.drop(KeyspaceId{id - 1}, "name");
    changes.create(KeyspaceId{id}, "name").put(KeyspaceId{id}, std::to_string(id), "mine");
    apply(*base, id, changes);
    views.push_back(open_view(*base));
  }
  for (std::uint32_t seen = 2; seen < 12; ++seen) {
    BaseView& view = views[seen - 2];
    for (std::uint32_t id = 2; id < 12; ++id) {
      const Entries expected = id == seen ? Entries{{std::to_string(id), "mine"}} : Entries{};
      BOOST_TEST((contents(view, KeyspaceId{id}) == expected));
      BOOST_TEST(get(view, KeyspaceId{id}, std::to_string(id)).has_value() == (id == seen));
    }
  }
}

BOOST_AUTO_TEST_CASE(a_keyspace_can_be_created_dropped_and_created_in_one_checkpoint) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes changes;
  changes.create(KeyspaceId{2}, "name").drop(KeyspaceId{2}, "name").create(KeyspaceId{3}, "name");
  changes.put(KeyspaceId{2}, "lost", "1").put(KeyspaceId{3}, "kept", "1");
  apply(*base, 1, changes);
  BOOST_TEST(names(*base).at("name") == 3u);
  BOOST_TEST(contents(*base, KeyspaceId{2}).empty());
  BOOST_TEST(contents(*base, KeyspaceId{3}).size() == 1u);
}

BOOST_AUTO_TEST_CASE(replaying_creates_and_drops_changes_nothing) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes create;
  create.create(KeyspaceId{2}, "two").put(KeyspaceId{2}, "a", "1");
  apply(*base, 1, create);
  apply(*base, 1, create);
  BOOST_TEST(contents(*base, KeyspaceId{2}).size() == 1u);
  Changes drop;
  drop.drop(KeyspaceId{2}, "two").drop(KeyspaceId{99}, "never there");
  apply(*base, 2, drop);
  apply(*base, 2, drop);
  BOOST_TEST(names(*base).size() == 1u);
  BOOST_TEST(base->next_keyspace_id().value == 3u);
}

BOOST_AUTO_TEST_CASE(a_name_that_two_ids_claim_is_corruption) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes changes;
  changes.create(KeyspaceId{5}, "default");
  Result<ApplyOutcome> outcome = base->apply(Timestamp{1}, changes);
  BOOST_REQUIRE(!outcome);
  BOOST_TEST((outcome.error().code() == ErrorCode::corruption));
}

BOOST_AUTO_TEST_CASE(names_that_lmdb_or_the_catalogue_cannot_hold_are_refused) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  for (const std::string& name : {std::string(), std::string("a\0b", 3), std::string(256, 'n'),
                                  std::string("isolde:meta"), std::string("isolde:x")}) {
    Changes changes;
    changes.create(KeyspaceId{2}, name);
    Result<ApplyOutcome> outcome = base->apply(Timestamp{1}, changes);
    BOOST_REQUIRE(!outcome);
    BOOST_TEST((outcome.error().code() == ErrorCode::invalid_argument));
  }
  Changes changes;
  changes.create(KeyspaceId{2}, std::string(255, 'n')).create(KeyspaceId{3}, "\xff\x01 name/");
  apply(*base, 1, changes);
  base.reset();
  BOOST_TEST(names(*open_base(directory.path())).size() == 3u);
}

BOOST_AUTO_TEST_CASE(what_a_drop_leaves_is_gone_after_the_next_open) {
  TempDirectory directory;
  {
    auto base = open_base(directory.path());
    Changes create;
    create.create(KeyspaceId{2}, "two").put(KeyspaceId{2}, "a", "1");
    apply(*base, 1, create);
    Changes drop;
    drop.drop(KeyspaceId{2}, "two");
    apply(*base, 2, drop);
  }
  BOOST_TEST(Outsider(directory.path(), MDB_RDONLY).read("two").value().empty());
  {
    auto base = open_base(directory.path());
    BOOST_TEST(!base->has_foreign_write());
    BOOST_TEST(base->at().value == 2u);
    BOOST_TEST(base->next_keyspace_id().value == 3u);
  }
  BOOST_TEST(!Outsider(directory.path(), MDB_RDONLY).read("two"));
}

BOOST_AUTO_TEST_CASE(a_failed_checkpoint_leaves_views_and_keyspaces_as_they_were) {
  TempDirectory directory;
  BaseOptions options = small_options();
  options.initial_map_bytes = 1 << 20;
  auto base = open_base(directory.path(), options);
  Changes create;
  create.create(KeyspaceId{2}, "two").put(KeyspaceId{2}, "a", "1");
  apply(*base, 1, create);

  Changes changes;
  changes.create(KeyspaceId{3}, "three").drop(KeyspaceId{2}, "two");
  for (int i = 100'000; i < 120'000; ++i) {
    changes.put(KeyspaceId{3}, std::to_string(i), std::string(100, 'v'));
  }
  Result<ApplyOutcome> outcome = base->apply(Timestamp{2}, changes);
  BOOST_REQUIRE(outcome);
  BOOST_REQUIRE(outcome->kind == ApplyOutcome::Kind::map_full);
  BOOST_TEST((names(*base) == std::map<std::string, std::uint32_t>{{"default", 1}, {"two", 2}}));
  BaseView view = open_view(*base);
  BOOST_TEST(get(view, KeyspaceId{2}, "a").value() == "1");
  BOOST_TEST(contents(view, KeyspaceId{3}).empty());
  // The next transaction gets the lost one's number: what it had set must not come to life.
  Changes other;
  other.put(default_id, "a", "1");
  apply(*base, 2, other);
  BOOST_REQUIRE(view.renew(*base));
  BOOST_TEST(get(view, KeyspaceId{2}, "a").value() == "1");
  BOOST_TEST(contents(view, KeyspaceId{3}).empty());

  view.close();
  do {
    BOOST_REQUIRE(base->grow_map());
    outcome = base->apply(Timestamp{3}, changes);
    BOOST_REQUIRE(outcome);
  } while (outcome->kind == ApplyOutcome::Kind::map_full);
  BOOST_TEST((names(*base) == std::map<std::string, std::uint32_t>{{"default", 1}, {"three", 3}}));
  BOOST_TEST(contents(*base, KeyspaceId{3}).size() == 20'000u);
}

BOOST_AUTO_TEST_CASE(handles_of_dropped_keyspaces_run_out_and_come_back) {
  TempDirectory directory;
  BaseOptions options = small_options();
  options.max_keyspaces = 4;
  auto base = open_base(directory.path(), options);
  BaseView view = open_view(*base);
  int freed = 0;
  std::uint64_t at = 0;
  for (std::uint32_t id = 2; id < 150; ++id) {
    const std::string name = "temporary " + std::to_string(id);
    Changes create;
    create.create(KeyspaceId{id}, name).put(KeyspaceId{id}, "id", std::to_string(id));
    Result<ApplyOutcome> outcome = base->apply(Timestamp{++at}, create);
    BOOST_REQUIRE(outcome);
    if (outcome->kind == ApplyOutcome::Kind::handles_full) {
      view.reset();
      BOOST_REQUIRE(base->free_handles());
      ++freed;
      apply(*base, at, create);
    }
    BOOST_REQUIRE(view.renew(*base));
    BOOST_REQUIRE(get(view, KeyspaceId{id}, "id").value() == std::to_string(id));
    Changes drop;
    drop.drop(KeyspaceId{id}, name);
    apply(*base, ++at, drop);
  }
  BOOST_TEST(freed >= 2);
  BOOST_TEST(freed <= 10);
  BOOST_TEST(names(*base).size() == 1u);
  BOOST_TEST(base->verify().has_value());
}

BOOST_AUTO_TEST_CASE(too_many_keyspaces_are_an_error) {
  TempDirectory directory;
  BaseOptions options = small_options();
  options.max_keyspaces = 4;
  auto base = open_base(directory.path(), options);
  Changes changes;
  for (std::uint32_t id = 2; id < 200; ++id) changes.create(KeyspaceId{id}, std::to_string(id));
  Result<ApplyOutcome> outcome = base->apply(Timestamp{1}, changes);
  BOOST_REQUIRE(!outcome);
  BOOST_TEST((outcome.error().code() == ErrorCode::invalid_argument));
  BOOST_TEST(outcome.error().message().find("max_keyspaces") != std::string::npos);
  BOOST_TEST(names(*base).size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_base_with_more_keyspaces_than_the_option_opens_all_the_same) {
  TempDirectory directory;
  {
    auto base = open_base(directory.path());
    Changes changes;
    for (std::uint32_t id = 2; id < 120; ++id) changes.create(KeyspaceId{id}, std::to_string(id));
    apply(*base, 1, changes);
  }
  BaseOptions options = small_options();
  options.max_keyspaces = 2;
  BOOST_TEST(names(*open_base(directory.path(), options)).size() == 119u);
}

BOOST_AUTO_TEST_SUITE_END()
