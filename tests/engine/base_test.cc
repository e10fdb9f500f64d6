// The base as a store: states, views, cursors, checkpoints.
#include "engine/base/base.h"

#include <thread>

#include "tests/engine/base_fixture.h"

using namespace isolde;
using namespace isolde::engine;
using namespace isolde::engine::test;

namespace {

std::string key_of(int number) {
  std::string digits = std::to_string(number);
  return "key" + std::string(6 - digits.size(), '0') + digits;
}

// The keys that `count` calls of `step` give, joined.
std::string joined(BaseCursor::Position first, const std::function<BaseCursor::Position()>& step) {
  std::string keys;
  for (BaseCursor::Position at = first; at.status == BaseLookup::Status::found; at = step()) {
    keys += keys.empty() ? "" : " ";
    keys += at.key;
  }
  return keys;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(base)

BOOST_AUTO_TEST_CASE(a_new_base_is_at_zero_and_has_the_default_keyspace) {
  TempDirectory directory;
  auto base = open_base(directory / "db");
  BOOST_TEST(base->is_fresh());
  BOOST_TEST(base->at().value == 0u);
  BOOST_TEST(base->database_id() != 0u);
  BOOST_TEST(names(*base).size() == 1u);
  BOOST_TEST(names(*base).at("default") == 1u);
  BOOST_TEST(base->next_keyspace_id().value == 2u);
  BOOST_TEST(!std::filesystem::exists(directory / "db/data.mdb.new"));
  BOOST_TEST(base->verify().value().keys == 0u);
}

BOOST_AUTO_TEST_CASE(a_reopened_base_is_at_the_last_checkpoint_and_not_fresh) {
  TempDirectory directory;
  std::uint64_t id = 0;
  {
    auto base = open_base(directory.path());
    id = base->database_id();
    Changes changes;
    changes.create(KeyspaceId{7}, "accounts").put(default_id, "a", "1");
    changes.put(KeyspaceId{7}, "b", std::string("\0\xff", 2)).put(KeyspaceId{7}, "c", "");
    apply(*base, 42, changes);
  }
  auto base = open_base(directory.path());
  BOOST_TEST(!base->is_fresh());
  BOOST_TEST(!base->has_foreign_write());
  BOOST_TEST(base->database_id() == id);
  BOOST_TEST(base->at().value == 42u);
  BOOST_TEST(base->next_keyspace_id().value == 8u);
  BaseView view = open_view(*base);
  BOOST_TEST(get(view, default_id, "a").value() == "1");
  BOOST_TEST(get(view, KeyspaceId{7}, "b").value() == std::string("\0\xff", 2));
  BOOST_TEST(get(view, KeyspaceId{7}, "c").value().empty());
  BOOST_TEST(!get(view, default_id, "b"));
}

BOOST_AUTO_TEST_CASE(two_new_bases_have_different_identities) {
  TempDirectory directory;
  BOOST_TEST(open_base(directory / "one")->database_id() !=
             open_base(directory / "two")->database_id());
}

BOOST_AUTO_TEST_CASE(a_view_keeps_its_state_until_it_is_renewed) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes first;
  first.put(default_id, "a", "1").put(default_id, "b", "1");
  const BaseVersion one = apply(*base, 1, first);
  BaseView view = open_view(*base);
  BOOST_TEST((view.version() == one));
  BOOST_TEST((base->version() == one));

  Changes second;
  second.put(default_id, "a", "2").erase(default_id, "b").erase(default_id, "never there");
  const BaseVersion two = apply(*base, 2, second);
  BOOST_TEST((one < two));
  BOOST_TEST(get(view, default_id, "a").value() == "1");
  BOOST_TEST(get(view, default_id, "b").value() == "1");
  BOOST_REQUIRE(view.renew(*base));
  BOOST_TEST((view.version() == two));
  BOOST_TEST(get(view, default_id, "a").value() == "2");
  BOOST_TEST(!get(view, default_id, "b"));
}

BOOST_AUTO_TEST_CASE(a_view_can_be_reset_closed_moved_and_opened_again) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes changes;
  changes.put(default_id, "a", "1");
  apply(*base, 1, changes);
  BaseView view = open_view(*base);
  view.reset();
  view.reset();
  BOOST_TEST(!view.is_open());
  BOOST_REQUIRE(view.renew(*base));
  BaseView moved = std::move(view);
  BOOST_TEST(moved.is_open());
  BOOST_TEST(get(moved, default_id, "a").value() == "1");
  moved.close();
  BOOST_TEST(!moved.is_open());
  BOOST_REQUIRE(moved.renew(*base));
  BaseView other = open_view(*base);
  other = std::move(moved);
  BOOST_TEST(get(other, default_id, "a").value() == "1");
}

BOOST_AUTO_TEST_CASE(a_view_may_pass_from_thread_to_thread) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes changes;
  changes.put(default_id, "a", "1");
  apply(*base, 1, changes);
  BaseView view = open_view(*base);
  std::string seen;
  std::thread([&] { seen = view.get(default_id, "a").value; }).join();
  BOOST_TEST(seen == "1");
  bool renewed = false;
  std::thread([&] { renewed = view.renew(*base).has_value(); }).join();
  BOOST_TEST(renewed);
  BOOST_TEST(get(view, default_id, "a").value() == "1");
}

BOOST_AUTO_TEST_CASE(one_view_can_serve_two_bases_in_turn) {
  TempDirectory directory;
  auto one = open_base(directory / "one");
  auto two = open_base(directory / "two");
  Changes changes;
  changes.put(default_id, "a", "1");
  apply(*one, 1, changes);
  BaseView view = open_view(*one);
  BOOST_TEST(get(view, default_id, "a").value() == "1");
  BOOST_REQUIRE(view.renew(*two));
  BOOST_TEST(!get(view, default_id, "a"));
}

BOOST_AUTO_TEST_CASE(five_hundred_views_are_open_at_once) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  std::vector<BaseView> views;
  for (std::uint64_t n = 1; n <= 500; ++n) {
    if (n % 50 == 1) {
      Changes changes;
      changes.put(default_id, "n", std::to_string(n));
      apply(*base, n, changes);
    }
    views.push_back(open_view(*base));
  }
  BOOST_TEST(get(views[0], default_id, "n").value() == "1");
  BOOST_TEST(get(views[49], default_id, "n").value() == "1");
  BOOST_TEST(get(views[50], default_id, "n").value() == "51");
  BOOST_TEST(get(views[499], default_id, "n").value() == "451");
}

BOOST_AUTO_TEST_CASE(a_view_too_many_is_an_error_and_room_comes_back) {
  TempDirectory directory;
  BaseOptions options = small_options();
  options.max_readers = 8;
  auto base = open_base(directory.path(), options);
  std::vector<BaseView> views;
  std::optional<Error> failure;
  while (!failure && views.size() < 1000) {
    BaseView view;
    Result<void> opened = view.renew(*base);
    if (opened) {
      views.push_back(std::move(view));
    } else {
      failure = opened.error();
    }
  }
  BOOST_REQUIRE(failure);
  BOOST_TEST((failure->code() == ErrorCode::out_of_memory));
  BOOST_TEST(views.size() >= 8u);
  views.back().close();
  BOOST_TEST(open_view(*base).is_open());
}

BOOST_AUTO_TEST_CASE(keys_and_values_of_all_lengths_come_back) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes changes;
  Entries expected;
  for (const std::size_t key_bytes : {1, 2, 16, 255, 510, 511}) {
    for (const std::size_t value_bytes : {0, 1, 100, 2000, 4096, 100'000, 16 << 20}) {
      if (value_bytes > 4096 && key_bytes % 2 == 0) continue;
      std::string key(key_bytes, static_cast<char>('a' + expected.size()));
      std::string value(value_bytes, static_cast<char>('0' + expected.size()));
      changes.put(default_id, key, value);
      expected.emplace(std::move(key), std::move(value));
    }
  }
  apply(*base, 1, changes);
  BOOST_TEST((contents(*base, default_id) == expected));
  BOOST_TEST(base->verify().value().keys == expected.size());
}

BOOST_AUTO_TEST_CASE(an_empty_or_overlong_key_is_absent) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes changes;
  changes.put(default_id, "a", "1");
  apply(*base, 1, changes);
  BaseView view = open_view(*base);
  BOOST_TEST(!get(view, default_id, ""));
  BOOST_TEST(!get(view, default_id, std::string(600, 'a')));
  BOOST_TEST(!get(view, KeyspaceId{0}, "a"));
  BOOST_TEST(!get(view, KeyspaceId{2}, "a"));
  BOOST_TEST(!get(view, KeyspaceId{0xffffffff}, "a"));
}

BOOST_AUTO_TEST_CASE(a_cursor_goes_both_ways_and_finds_its_bounds) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes changes;
  for (const char* key : {"b", "d", "f"}) changes.put(default_id, key, std::string("value ") + key);
  apply(*base, 1, changes);
  BaseView view = open_view(*base);
  BaseCursor cursor;
  BOOST_REQUIRE(cursor.bind(view, default_id));
  const auto forward = [&] { return cursor.next(); };
  const auto backward = [&] { return cursor.previous(); };
  BOOST_TEST(joined(cursor.seek(""), forward) == "b d f");
  BOOST_TEST(joined(cursor.seek("b"), forward) == "b d f");
  BOOST_TEST(joined(cursor.seek("c"), forward) == "d f");
  BOOST_TEST(joined(cursor.seek("g"), forward).empty());
  BOOST_TEST(joined(cursor.seek_last(), backward) == "f d b");
  BOOST_TEST(joined(cursor.seek_before("g"), backward) == "f d b");
  BOOST_TEST(joined(cursor.seek_before("f"), backward) == "d b");
  BOOST_TEST(joined(cursor.seek_before("e"), backward) == "d b");
  BOOST_TEST(joined(cursor.seek_before("b"), backward).empty());
  BOOST_TEST(joined(cursor.seek_before(""), backward).empty());
  BOOST_TEST(cursor.seek("d").value == "value d");
  BOOST_TEST(joined(cursor.seek(std::string(600, 'c')), forward) == "d f");
}

BOOST_AUTO_TEST_CASE(a_cursor_agrees_with_a_model_over_many_pages) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  std::mt19937_64 random(seed_for("a_cursor_agrees_with_a_model_over_many_pages"));
  Entries model;
  Changes changes;
  for (int i = 0; i < 5000; ++i) {
    model[key_of(static_cast<int>(random() % 20000))] = std::to_string(i);
  }
  for (const auto& [key, value] : model) changes.put(default_id, key, value);
  apply(*base, 1, changes);
  BaseView view = open_view(*base);
  BaseCursor cursor;
  BOOST_REQUIRE(cursor.bind(view, default_id));
  for (int round = 0; round < 2000; ++round) {
    const std::string key = key_of(static_cast<int>(random() % 20000));
    auto expected = model.lower_bound(key);
    if (random() % 2 == 0) {
      auto at = cursor.seek(key);
      for (int step = 0; step < 5 && expected != model.end(); ++step, ++expected) {
        BOOST_REQUIRE(at.status == BaseLookup::Status::found);
        BOOST_REQUIRE(at.key == expected->first && at.value == expected->second);
        at = cursor.next();
      }
      if (expected == model.end()) BOOST_REQUIRE(at.status == BaseLookup::Status::absent);
    } else {
      auto at = cursor.seek_before(key);
      for (int step = 0; step < 5 && expected != model.begin(); ++step) {
        --expected;
        BOOST_REQUIRE(at.status == BaseLookup::Status::found);
        BOOST_REQUIRE(at.key == expected->first && at.value == expected->second);
        at = cursor.previous();
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_cursor_is_bound_again_after_a_renewal_and_to_other_keyspaces) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes first;
  first.create(KeyspaceId{2}, "two").put(default_id, "a", "1").put(KeyspaceId{2}, "b", "2");
  apply(*base, 1, first);
  BaseView view = open_view(*base);
  BaseCursor cursor;
  BOOST_REQUIRE(cursor.bind(view, default_id));
  BOOST_TEST(cursor.seek("").key == "a");
  Changes second;
  second.put(default_id, "0", "0");
  apply(*base, 2, second);
  BOOST_TEST(cursor.seek("").key == "a");
  BOOST_REQUIRE(view.renew(*base));
  BOOST_REQUIRE(cursor.bind(view, default_id));
  BOOST_TEST(cursor.seek("").key == "0");
  BOOST_REQUIRE(cursor.bind(view, KeyspaceId{2}));
  BOOST_TEST(cursor.seek("").key == "b");
  BOOST_REQUIRE(cursor.bind(view, KeyspaceId{3}));
  BOOST_TEST((cursor.seek("").status == BaseLookup::Status::absent));
  BOOST_TEST((cursor.seek_last().status == BaseLookup::Status::absent));
  BaseCursor moved = std::move(cursor);
  BOOST_REQUIRE(moved.bind(view, default_id));
  BOOST_TEST(moved.seek("").key == "0");
  view.close();
  moved.close();
}

BOOST_AUTO_TEST_CASE(checkpoints_agree_with_a_model_and_with_an_outside_reader) {
  TempDirectory directory;
  std::map<std::uint32_t, Entries> model;
  std::mt19937_64 random(seed_for("checkpoints_agree_with_a_model_and_with_an_outside_reader"));
  const auto text = [&](std::size_t limit) { return std::string(random() % limit, 'v'); };
  for (std::uint64_t at = 1; at <= 30; ++at) {
    auto base = open_base(directory.path());
    Changes changes;
    if (at == 1) {
      for (std::uint32_t id = 2; id <= 4; ++id) changes.create(KeyspaceId{id}, std::to_string(id));
    }
    for (std::uint32_t id = 1; id <= 4; ++id) {
      Entries step;
      for (int i = 0; i < 300; ++i) step[key_of(static_cast<int>(random() % 1500))] = text(6000);
      for (const auto& [key, value] : step) {
        if (random() % 3 == 0) {
          changes.erase(KeyspaceId{id}, key);
          model[id].erase(key);
        } else {
          changes.put(KeyspaceId{id}, key, value);
          model[id][key] = value;
        }
      }
    }
    apply(*base, at, changes);
    std::uint64_t keys = 0;
    for (const auto& [id, entries] : model) {
      BOOST_REQUIRE((contents(*base, KeyspaceId{id}) == entries));
      keys += entries.size();
    }
    Result<BaseSummary> summary = base->verify();
    BOOST_REQUIRE_MESSAGE(summary, text_of(summary));
    BOOST_REQUIRE(summary->keys == keys);
    BOOST_REQUIRE(summary->keyspaces == 4u);
  }
  Outsider outsider(directory.path(), MDB_RDONLY);
  BOOST_TEST((outsider.read("default") == model[1]));
  for (std::uint32_t id = 2; id <= 4; ++id) {
    BOOST_TEST((outsider.read(std::to_string(id)) == model[id]));
  }
}

BOOST_AUTO_TEST_CASE(an_empty_checkpoint_moves_the_time_alone) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes none;
  const BaseVersion before = base->version();
  BOOST_TEST((apply(*base, 9, none) > before));
  BOOST_TEST(base->at().value == 9u);
}

BOOST_AUTO_TEST_CASE(a_change_of_an_unknown_keyspace_is_corruption_and_nothing_is_applied) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes changes;
  changes.create(KeyspaceId{2}, "two").put(default_id, "a", "1").put(KeyspaceId{9}, "a", "1");
  Result<ApplyOutcome> outcome = base->apply(Timestamp{1}, changes);
  BOOST_REQUIRE(!outcome);
  BOOST_TEST((outcome.error().code() == ErrorCode::corruption));
  BOOST_TEST(base->at().value == 0u);
  BOOST_TEST(names(*base).size() == 1u);
  BOOST_TEST(contents(*base, default_id).empty());
  Changes good;
  good.put(default_id, "a", "1");
  apply(*base, 1, good);
  BOOST_TEST(names(*base).size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_full_map_changes_nothing_and_grows_with_no_view_open) {
  TempDirectory directory;
  BaseOptions options = small_options();
  options.initial_map_bytes = 1 << 20;
  auto base = open_base(directory.path(), options);
  BaseView view = open_view(*base);
  Changes changes;
  for (int i = 0; i < 20'000; ++i) changes.put(default_id, key_of(i), std::string(100, 'v'));
  int growths = 0;
  for (;;) {
    Result<ApplyOutcome> outcome = base->apply(Timestamp{1}, changes);
    BOOST_REQUIRE(outcome);
    if (outcome->kind == ApplyOutcome::Kind::applied) break;
    BOOST_REQUIRE(outcome->kind == ApplyOutcome::Kind::map_full);
    BOOST_TEST(base->at().value == 0u);
    view.reset();
    const std::size_t before = base->map_bytes();
    BOOST_REQUIRE(base->grow_map());
    BOOST_TEST(base->map_bytes() == 2 * before);
    BOOST_REQUIRE(view.renew(*base));
    BOOST_TEST(!get(view, default_id, key_of(0)));
    ++growths;
  }
  BOOST_TEST(growths >= 2);
  BOOST_REQUIRE(view.renew(*base));
  BOOST_TEST(contents(view, default_id).size() == 20'000u);
  BOOST_TEST(base->file_bytes() > (2u << 20));
  view.close();
  base.reset();
  // The small map is only a wish: an existing file is mapped whole.
  BOOST_TEST(contents(*open_base(directory.path(), options), default_id).size() == 20'000u);
}

BOOST_AUTO_TEST_CASE(a_map_that_does_not_fit_into_the_address_space_is_made_smaller) {
  TempDirectory directory;
  BaseOptions options;
  options.initial_map_bytes = std::size_t{1} << 50;
  auto base = open_base(directory.path(), options);
  BOOST_TEST(base->map_bytes() < options.initial_map_bytes);
  BOOST_TEST(base->map_bytes() >= (1u << 20));
  Changes changes;
  changes.put(default_id, "a", "1");
  apply(*base, 1, changes);
  BOOST_TEST(contents(*base, default_id).size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
