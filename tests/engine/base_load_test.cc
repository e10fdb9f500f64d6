// Bulk load and hot copies.
#include "tests/engine/base_fixture.h"

using namespace isolde;
using namespace isolde::engine;
using namespace isolde::engine::test;

namespace {

constexpr KeyspaceId loaded_id{2};

// Gives `count` ascending entries, then what `end` says.
class Source {
 public:
  explicit Source(int count, std::optional<Error> end = std::nullopt)
      : count_(count), end_(std::move(end)) {}

  Result<std::optional<std::pair<std::string_view, std::string_view>>> operator()() {
    if (next_ == count_) {
      if (end_) return *end_;
      return std::optional<std::pair<std::string_view, std::string_view>>{};
    }
    key_ = key_of(next_);
    value_ = std::string(100, static_cast<char>('a' + next_ % 26));
    ++next_;
    return std::make_optional(std::pair<std::string_view, std::string_view>(key_, value_));
  }
  static std::string key_of(int number) { return std::to_string(1'000'000 + number); }

 private:
  int count_;
  std::optional<Error> end_;
  int next_ = 0;
  std::string key_;
  std::string value_;
};

Base::LoadSource from_list(std::vector<std::pair<std::string, std::string>> entries) {
  auto list =
      std::make_shared<std::vector<std::pair<std::string, std::string>>>(std::move(entries));
  auto next = std::make_shared<std::size_t>(0);
  return [=]() -> Result<std::optional<std::pair<std::string_view, std::string_view>>> {
    if (*next == list->size()) {
      return std::optional<std::pair<std::string_view, std::string_view>>{};
    }
    const auto& [key, value] = (*list)[(*next)++];
    return std::make_optional(std::pair<std::string_view, std::string_view>(key, value));
  };
}

Result<void> no_growth() { return Error(ErrorCode::out_of_memory, "no growth expected"); }

ErrorCode load_failure(Base& base, const Base::LoadSource& source, KeyspaceId id = loaded_id,
                       const std::string& name = "loaded") {
  Result<std::uint64_t> count = base.load(id, name, source, no_growth);
  BOOST_REQUIRE(!count);
  BOOST_TEST_MESSAGE(count.error().to_string());
  return count.error().code();
}

// Nothing of a load is to be seen, and its name can be used.
void check_no_trace(Base& base) {
  BOOST_TEST(names(base).size() == 1u);
  BOOST_TEST(base.unclaimed_loads().empty());
  Changes changes;
  changes.create(KeyspaceId{50}, "loaded");
  apply(base, base.at().value + 1, changes);
  BOOST_TEST(contents(base, KeyspaceId{50}).empty());
  BOOST_TEST(base.verify().has_value());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(base_load)

// Its creation is acknowledged by the log, and comes to the base with a later checkpoint.
BOOST_AUTO_TEST_CASE(a_finished_load_is_read_by_its_id_and_listed_once_it_is_created) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes before;
  before.put(default_id, "a", "1");
  apply(*base, 3, before);
  BaseView old = open_view(*base);
  BOOST_TEST(base->load(loaded_id, "loaded", Source(1000), no_growth).value() == 1000u);
  BOOST_TEST(base->at().value == 3u);
  BOOST_TEST(names(*base).size() == 1u);
  BOOST_TEST(base->next_keyspace_id().value == 3u);
  BOOST_TEST(base->unclaimed_loads().size() == 1u);
  BaseView between = open_view(*base);
  BOOST_TEST(contents(between, loaded_id).size() == 1000u);
  Changes create;
  create.create(loaded_id, "loaded").put(loaded_id, "and", "more");
  apply(*base, 4, create);
  BOOST_TEST(base->unclaimed_loads().empty());
  BOOST_TEST(contents(old, loaded_id).empty());
  BOOST_TEST(contents(between, loaded_id).size() == 1000u);
  BaseView view = open_view(*base);
  BOOST_TEST(contents(view, loaded_id).size() == 1001u);
  BOOST_TEST(get(view, loaded_id, Source::key_of(27)).value() == std::string(100, 'b'));
}

BOOST_AUTO_TEST_CASE(an_unfinished_load_is_seen_by_nobody) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Source source(450'000);
  int given = 0;
  BOOST_REQUIRE(base->load(
      loaded_id, "loaded",
      [&]() {
        // Two batches are committed by then.
        if (++given == 430'000) {
          BOOST_TEST(contents(*base, loaded_id).empty());
          BOOST_TEST(base->unclaimed_loads().empty());
        }
        return source();
      },
      no_growth));
  BOOST_TEST(contents(*base, loaded_id).size() == 450'000u);
}

BOOST_AUTO_TEST_CASE(a_large_load_takes_several_transactions_and_grows_the_map) {
  TempDirectory directory;
  BaseOptions options = small_options();
  options.initial_map_bytes = 2 << 20;
  auto base = open_base(directory.path(), options);
  BaseView view = open_view(*base);
  int growths = 0;
  const auto grow = [&]() -> Result<void> {
    view.reset();
    ++growths;
    Result<void> grown = base->grow_map();
    if (grown) grown = view.renew(*base);
    return grown;
  };
  const BaseVersion version = base->version();
  BOOST_TEST(base->load(loaded_id, "loaded", Source(300'000), grow).value() == 300'000u);
  BOOST_TEST(growths >= 3);
  BOOST_TEST(base->version().value >= version.value + 4);
  Changes create;
  create.create(loaded_id, "loaded");
  apply(*base, 1, create);
  BOOST_TEST(base->verify().value().keys == 300'000u);
  BOOST_REQUIRE(view.renew(*base));
  BOOST_TEST(get(view, loaded_id, Source::key_of(299'999)).has_value());
}

BOOST_AUTO_TEST_CASE(a_finished_load_outlives_a_restart_until_it_is_claimed_or_discarded) {
  TempDirectory directory;
  {
    auto base = open_base(directory.path());
    BOOST_REQUIRE(base->load(loaded_id, "loaded", Source(10), no_growth));
    BOOST_REQUIRE(base->load(KeyspaceId{3}, "unwanted", Source(10), no_growth));
  }
  {
    auto base = open_base(directory.path());
    BOOST_TEST(!base->has_foreign_write());
    BOOST_TEST(base->next_keyspace_id().value == 4u);
    BOOST_TEST(base->unclaimed_loads().size() == 2u);
    BOOST_REQUIRE(base->discard_load(KeyspaceId{3}));
    BOOST_REQUIRE(base->discard_load(KeyspaceId{99}));
    Changes create;
    create.create(loaded_id, "loaded").create(KeyspaceId{4}, "unwanted");
    apply(*base, 1, create);
    BOOST_TEST(base->unclaimed_loads().empty());
    BOOST_TEST(contents(*base, loaded_id).size() == 10u);
    BOOST_TEST(contents(*base, KeyspaceId{4}).empty());
  }
  BOOST_TEST(open_base(directory.path())->verify().value().keys == 10u);
}

// Its commit follows theirs; a checkpoint may end between any two of them.
BOOST_AUTO_TEST_CASE(keyspaces_of_the_name_that_came_and_went_leave_the_load_alone) {
  for (const bool one_step : {false, true}) {
    TempDirectory directory;
    auto base = open_base(directory.path());
    BOOST_REQUIRE(base->load(loaded_id, "loaded", Source(10), no_growth));
    Changes changes;
    changes.create(KeyspaceId{9}, "loaded");
    if (!one_step) {
      changes.put(KeyspaceId{9}, "a", "1");
      apply(*base, 1, changes);
      BOOST_TEST(contents(*base, KeyspaceId{9}).empty());
      BOOST_TEST(contents(*base, loaded_id).size() == 10u);
      BOOST_TEST((base->next_keyspace_id() == KeyspaceId{10}));
      changes = Changes();
    }
    changes.drop(KeyspaceId{9}, "loaded").create(loaded_id, "loaded").put(loaded_id, "more", "1");
    apply(*base, 2, changes);
    BOOST_TEST(base->unclaimed_loads().empty());
    BOOST_TEST(contents(*base, loaded_id).size() == 11u);
  }
}

BOOST_AUTO_TEST_CASE(a_discarded_load_is_gone_for_new_views_also_when_its_name_comes_back) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  BOOST_REQUIRE(base->load(loaded_id, "loaded", Source(10), no_growth));
  BOOST_TEST((load_failure(*base, Source(1), KeyspaceId{3}) == ErrorCode::invalid_argument));
  BaseView old = open_view(*base);
  BOOST_REQUIRE(base->discard_load(loaded_id));
  BOOST_TEST(contents(*base, loaded_id).empty());
  BOOST_REQUIRE(base->load(KeyspaceId{3}, "loaded", Source(20), no_growth));
  BOOST_TEST(contents(*base, loaded_id).empty());
  BOOST_TEST(contents(*base, KeyspaceId{3}).size() == 20u);
  BOOST_TEST(contents(old, loaded_id).size() == 10u);
  BOOST_TEST((load_failure(*base, Source(1), loaded_id, "other") == ErrorCode::invalid_argument));
}

BOOST_AUTO_TEST_CASE(entries_out_of_order_or_out_of_bounds_leave_nothing) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  using List = std::vector<std::pair<std::string, std::string>>;
  BOOST_TEST((load_failure(*base, from_list(List{{"b", "1"}, {"a", "1"}})) ==
              ErrorCode::invalid_argument));
  BOOST_TEST((load_failure(*base, from_list(List{{"a", "1"}, {"a", "1"}})) ==
              ErrorCode::invalid_argument));
  BOOST_TEST((load_failure(*base, from_list(List{{"", "1"}})) == ErrorCode::key_empty));
  BOOST_TEST((load_failure(*base, from_list(List{{std::string(512, 'k'), "1"}})) ==
              ErrorCode::key_too_long));
  BOOST_TEST(
      (load_failure(*base, from_list(List{{"a", "1"}, {"b", std::string((16 << 20) + 1, 'v')}})) ==
       ErrorCode::value_too_large));
  check_no_trace(*base);
}

BOOST_AUTO_TEST_CASE(an_error_of_the_source_comes_back_and_leaves_nothing) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  const Error broken(ErrorCode::io_error, "line 7 is malformed");
  BOOST_TEST((load_failure(*base, Source(250'000, broken)) == ErrorCode::io_error));
  check_no_trace(*base);
}

BOOST_AUTO_TEST_CASE(a_map_that_may_not_grow_leaves_nothing) {
  TempDirectory directory;
  BaseOptions options = small_options();
  options.initial_map_bytes = 2 << 20;
  auto base = open_base(directory.path(), options);
  BOOST_TEST((load_failure(*base, Source(100'000)) == ErrorCode::out_of_memory));
  check_no_trace(*base);
}

BOOST_AUTO_TEST_CASE(names_and_ids_in_use_are_refused) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  BOOST_TEST((load_failure(*base, Source(1), loaded_id, "default") == ErrorCode::invalid_argument));
  BOOST_TEST((load_failure(*base, Source(1), default_id, "new") == ErrorCode::invalid_argument));
  BOOST_TEST(
      (load_failure(*base, Source(1), loaded_id, "isolde:x") == ErrorCode::invalid_argument));
  BOOST_TEST((load_failure(*base, Source(1), loaded_id, "") == ErrorCode::invalid_argument));
}

BOOST_AUTO_TEST_CASE(a_crash_in_the_middle_leaves_nothing_after_the_next_open) {
  TempDirectory directory;
  BOOST_TEST(in_child([&] {
               auto base = open_base(directory.path());
               Source source(250'000);
               int given = 0;
               static_cast<void>(base->load(
                   loaded_id, "loaded",
                   [&]() {
                     if (++given == 240'000) ::_exit(7);
                     return source();
                   },
                   no_growth));
               return 0;
             }) == 7);
  auto base = open_base(directory.path());
  BOOST_TEST(!base->has_foreign_write());
  check_no_trace(*base);
}

BOOST_AUTO_TEST_CASE(a_copy_is_the_newest_state_and_a_base_of_its_own) {
  TempDirectory directory;
  std::filesystem::create_directory(directory / "copy");
  auto base = open_base(directory / "db");
  Changes changes;
  changes.create(KeyspaceId{2}, "two").create(KeyspaceId{3}, "dropped");
  for (int i = 0; i < 1000; ++i) {
    changes.put(KeyspaceId{2}, Source::key_of(i), std::string(i * 10, 'v'));
  }
  apply(*base, 17, changes);
  Changes drop;
  drop.drop(KeyspaceId{3}, "dropped");
  apply(*base, 18, drop);
  BOOST_REQUIRE(base->load(KeyspaceId{4}, "hidden", Source(10), no_growth));
  Result<Timestamp> at = base->copy_to(directory / "copy");
  BOOST_REQUIRE_MESSAGE(at, text_of(at));
  BOOST_TEST(at->value == 18u);
  BOOST_TEST(!std::filesystem::exists(directory / "copy/lock.mdb"));

  auto copy = open_base(directory / "copy");
  BOOST_TEST(!copy->has_foreign_write());
  BOOST_TEST(copy->at().value == 18u);
  BOOST_TEST(copy->database_id() == base->database_id());
  BOOST_TEST((names(*copy) == names(*base)));
  BOOST_TEST((contents(*copy, KeyspaceId{2}) == contents(*base, KeyspaceId{2})));
  BOOST_TEST(copy->unclaimed_loads().empty());
  BOOST_TEST(copy->next_keyspace_id().value == 5u);
  BOOST_TEST(copy->verify().has_value());
  apply(*copy, 19, drop);
}

BOOST_AUTO_TEST_CASE(a_copy_never_overwrites_a_file) {
  TempDirectory directory;
  auto base = open_base(directory / "db");
  std::filesystem::create_directory(directory / "copy");
  write_file(directory / "copy/data.mdb", "precious");
  Result<Timestamp> at = base->copy_to(directory / "copy");
  BOOST_REQUIRE(!at);
  BOOST_TEST((at.error().code() == ErrorCode::invalid_argument));
  BOOST_TEST(read_file(directory / "copy/data.mdb") == "precious");
  BOOST_TEST(!base->copy_to(directory / "none").has_value());
}

BOOST_AUTO_TEST_SUITE_END()
