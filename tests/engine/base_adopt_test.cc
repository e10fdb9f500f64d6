// Taking over plain LMDB files (L5), and strangers that write to ours.
#include "tests/engine/base_fixture.h"

using namespace isolde;
using namespace isolde::engine;
using namespace isolde::engine::test;

namespace {

Entries numbered(int count, const std::string& prefix) {
  Entries entries;
  for (int i = 0; i < count; ++i) entries[prefix + std::to_string(i)] = std::string(i % 3000, 'v');
  return entries;
}

// Refused, and the file's bytes are what they were.
void check_refused(const std::filesystem::path& directory, const std::string& mentions) {
  const std::string before = read_file(directory / "data.mdb");
  Result<std::unique_ptr<Base>> base = Base::open(directory, small_options());
  BOOST_REQUIRE(!base);
  BOOST_TEST_MESSAGE(base.error().to_string());
  BOOST_TEST((base.error().code() == ErrorCode::invalid_argument));
  BOOST_TEST(base.error().message().find(mentions) != std::string::npos);
  BOOST_TEST((read_file(directory / "data.mdb") == before));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(base_adopt)

BOOST_AUTO_TEST_CASE(named_databases_become_keyspaces) {
  TempDirectory directory;
  {
    Outsider outsider(directory.path());
    outsider.put("people", numbered(2000, "p"));
    outsider.put("places", {{"here", "1"}});
    outsider.put("empty", {});
  }
  std::uint64_t id = 0;
  {
    auto base = open_base(directory.path());
    id = base->database_id();
    BOOST_TEST(base->is_fresh());
    BOOST_TEST(!base->has_foreign_write());
    BOOST_TEST(base->at().value == 0u);
    BOOST_TEST(names(*base).size() == 4u);
    BOOST_TEST((contents(*base, id_of(*base, "people")) == numbered(2000, "p")));
    BOOST_TEST(contents(*base, id_of(*base, "places")).size() == 1u);
    BOOST_TEST(contents(*base, id_of(*base, "default")).empty());
    BOOST_TEST(base->verify().value().keys == 2001u);
    Changes changes;
    changes.put(id_of(*base, "places"), "there", "2");
    apply(*base, 1, changes);
  }
  auto base = open_base(directory.path());
  BOOST_TEST(!base->is_fresh());
  BOOST_TEST(base->database_id() == id);
  BOOST_TEST(contents(*base, id_of(*base, "places")).size() == 2u);
}

BOOST_AUTO_TEST_CASE(plain_records_move_to_the_default_keyspace) {
  TempDirectory directory;
  Outsider(directory.path()).put("", numbered(5000, "k"));
  {
    auto base = open_base(directory.path());
    BOOST_TEST(names(*base).size() == 1u);
    BOOST_TEST((contents(*base, default_id) == numbered(5000, "k")));
    BOOST_TEST(base->verify().value().keys == 5000u);
  }
  Outsider outsider(directory.path(), MDB_RDONLY);
  BOOST_TEST((outsider.read("default") == numbered(5000, "k")));
  BOOST_TEST(outsider.read("").value().size() == 2u);  // the names of two databases
}

BOOST_AUTO_TEST_CASE(both_kinds_are_adopted_together) {
  TempDirectory directory;
  {
    Outsider outsider(directory.path());
    outsider.put("middle", {{"m", "1"}});
    outsider.put("", {{"a", "1"}, {"m", "2"}, {"middle1", "3"}, {"z", std::string(48, 'x')}});
    outsider.put("default", {{"already", "here"}});
  }
  auto base = open_base(directory.path());
  BOOST_TEST(names(*base).size() == 2u);
  const Entries expected{
      {"a", "1"}, {"already", "here"}, {"m", "2"}, {"middle1", "3"}, {"z", std::string(48, 'x')}};
  BOOST_TEST((contents(*base, id_of(*base, "default")) == expected));
  BOOST_TEST((contents(*base, id_of(*base, "middle")) == Entries{{"m", "1"}}));
}

BOOST_AUTO_TEST_CASE(plain_records_may_have_the_names_that_we_need) {
  TempDirectory directory;
  const Entries entries{{"default", "1"}, {"isolde:meta", "2"}, {"x", "3"}};
  Outsider(directory.path()).put("", entries);
  auto base = open_base(directory.path());
  BOOST_TEST((contents(*base, default_id) == entries));
}

BOOST_AUTO_TEST_CASE(an_empty_lmdb_file_is_adopted_and_needs_no_lock_file) {
  TempDirectory directory;
  { Outsider outsider(directory.path()); }
  std::filesystem::remove(directory / "lock.mdb");
  auto base = open_base(directory.path());
  BOOST_TEST(names(*base).size() == 1u);
  BOOST_TEST(base->is_fresh());
}

BOOST_AUTO_TEST_CASE(databases_with_special_flags_are_refused_by_name) {
  struct Case {
    unsigned flag;
    const char* name;
  };
  for (const Case& special :
       {Case{MDB_DUPSORT, "DUPSORT"}, Case{MDB_INTEGERKEY, "INTEGERKEY"},
        Case{MDB_REVERSEKEY, "REVERSEKEY"}, Case{MDB_DUPSORT | MDB_DUPFIXED, "DUPSORT"},
        Case{MDB_DUPSORT | MDB_REVERSEDUP, "DUPSORT"}}) {
    const std::string key(sizeof(std::size_t), 'k');
    TempDirectory named;
    {
      Outsider outsider(named.path());
      outsider.put("good", {{"a", "1"}});
      outsider.put("special", {{key, "1"}}, special.flag);
    }
    check_refused(named.path(), "'special' has the flag " + std::string(special.name));
    TempDirectory unnamed;
    Outsider(unnamed.path()).put("", {{key, "1"}}, special.flag);
    check_refused(unnamed.path(), special.name);
  }
}

BOOST_AUTO_TEST_CASE(reserved_names_duplicate_keys_and_too_many_databases_are_refused) {
  TempDirectory reserved;
  Outsider(reserved.path()).put("isolde:other", {{"a", "1"}});
  check_refused(reserved.path(), "isolde:other");
  TempDirectory twice;
  {
    Outsider outsider(twice.path());
    outsider.put("default", {{"a", "1"}});
    outsider.put("", {{"a", "2"}, {"b", "2"}});
  }
  check_refused(twice.path(), "'a' is both");
  TempDirectory many;
  {
    Outsider outsider(many.path());
    for (int i = 0; i < 300; ++i) outsider.put(std::to_string(i), {});
  }
  check_refused(many.path(), "max_keyspaces");
}

BOOST_AUTO_TEST_CASE(a_plain_file_is_not_adopted_for_reading_only) {
  TempDirectory directory;
  Outsider(directory.path()).put("", {{"a", "1"}});
  const std::string before = read_file(directory / "data.mdb");
  BaseOptions options = small_options();
  options.read_only = true;
  BOOST_TEST((open_failure(directory.path(), options) == ErrorCode::read_only));
  BOOST_TEST((read_file(directory / "data.mdb") == before));
}

BOOST_AUTO_TEST_CASE(adoption_grows_a_map_that_is_too_small) {
  TempDirectory directory;
  Entries entries;
  for (int i = 100'000; i < 130'000; ++i) entries[std::to_string(i)] = std::string(100, 'v');
  Outsider(directory.path()).put("", entries);
  BaseOptions options;
  options.initial_map_bytes = 1 << 20;
  auto base = open_base(directory.path(), options);
  BOOST_TEST((contents(*base, default_id) == entries));
  BOOST_TEST(base->verify().value().keys == entries.size());
}

BOOST_AUTO_TEST_CASE(a_write_by_a_stranger_is_found_at_the_next_open) {
  TempDirectory directory;
  {
    auto base = open_base(directory.path());
    Changes changes;
    changes.create(KeyspaceId{2}, "gone").create(KeyspaceId{3}, "stays");
    changes.put(KeyspaceId{3}, "a", "1");
    apply(*base, 5, changes);
  }
  {
    Outsider outsider(directory.path());
    outsider.put("new", {{"n", "1"}});
    outsider.put("stays", {{"b", "2"}});
    outsider.drop("gone");
    outsider.put("", {{"plain", "record"}});
  }
  {
    auto base = open_base(directory.path());
    BOOST_TEST(base->has_foreign_write());
    BOOST_TEST((base->foreign_write_error().code() == ErrorCode::corruption));
    BOOST_TEST(base->at().value == 5u);
  }
  {
    auto base = open_base(directory.path());
    BOOST_REQUIRE(base->has_foreign_write());  // looking changed nothing
    BOOST_REQUIRE(base->accept_foreign_write());
    BOOST_TEST(!base->has_foreign_write());
    const std::map<std::string, std::uint32_t> expected{{"default", 1}, {"new", 4}, {"stays", 3}};
    BOOST_TEST((names(*base) == expected));
    BOOST_TEST((contents(*base, KeyspaceId{4}) == Entries{{"n", "1"}}));
    BOOST_TEST((contents(*base, KeyspaceId{3}) == Entries{{"a", "1"}, {"b", "2"}}));
    BOOST_TEST((contents(*base, default_id) == Entries{{"plain", "record"}}));
    BOOST_TEST(contents(*base, KeyspaceId{2}).empty());
    Changes changes;
    changes.put(KeyspaceId{4}, "o", "2");
    apply(*base, 6, changes);
  }
  auto base = open_base(directory.path());
  BOOST_TEST(!base->has_foreign_write());
  BOOST_TEST(base->next_keyspace_id().value == 5u);
  BOOST_TEST(contents(*base, KeyspaceId{4}).size() == 2u);
  BOOST_TEST(base->verify().value().keyspaces == 3u);
}

BOOST_AUTO_TEST_CASE(a_strangers_write_is_accepted_for_reading_without_a_trace) {
  TempDirectory directory;
  { auto base = open_base(directory.path()); }
  Outsider(directory.path()).put("new", {{"n", "1"}});
  const std::string before = read_file(directory / "data.mdb");
  BaseOptions options = small_options();
  options.read_only = true;
  {
    auto base = open_base(directory.path(), options);
    BOOST_TEST(base->has_foreign_write());
    BOOST_REQUIRE(base->accept_foreign_write());
    BOOST_TEST((contents(*base, id_of(*base, "new")) == Entries{{"n", "1"}}));
  }
  BOOST_TEST((read_file(directory / "data.mdb") == before));
}

BOOST_AUTO_TEST_CASE(special_databases_of_a_stranger_are_not_accepted) {
  TempDirectory directory;
  { auto base = open_base(directory.path()); }
  Outsider(directory.path()).put("special", {{"n", "1"}}, MDB_DUPSORT);
  auto base = open_base(directory.path());
  Result<void> accepted = base->accept_foreign_write();
  BOOST_REQUIRE(!accepted);
  BOOST_TEST((accepted.error().code() == ErrorCode::invalid_argument));
  BOOST_TEST(accepted.error().message().find("'special'") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_stranger_who_writes_while_we_are_open_stops_checkpoints_and_new_views) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  BaseView view = open_view(*base);
  BOOST_REQUIRE(in_child([&] {
                  Outsider(directory.path()).put("default", {{"stranger", "was here"}});
                  return 0;
                }) == 0);
  Changes changes;
  changes.put(default_id, "a", "1");
  Result<ApplyOutcome> outcome = base->apply(Timestamp{1}, changes);
  BOOST_REQUIRE(!outcome);
  BOOST_TEST((outcome.error().code() == ErrorCode::corruption));
  BOOST_TEST(!get(view, default_id, "stranger"));
  Result<void> renewed = view.renew(*base);
  BOOST_REQUIRE(!renewed);
  BOOST_TEST((renewed.error().code() == ErrorCode::corruption));
  BOOST_TEST(base->at().value == 0u);
}

BOOST_AUTO_TEST_CASE(a_strangers_reader_is_no_obstacle) {
  TempDirectory directory;
  auto base = open_base(directory.path());
  Changes changes;
  changes.put(default_id, "a", "1");
  apply(*base, 1, changes);
  BOOST_TEST(in_child([&] {
               return Outsider(directory.path(), MDB_RDONLY).read("default")->size() == 1 ? 0 : 1;
             }) == 0);
  apply(*base, 2, changes);
  BOOST_TEST(open_view(*base).is_open());
}

BOOST_AUTO_TEST_SUITE_END()
