// What those who look inside are told, and the misfortunes that can be asked for.
#include <boost/test/unit_test.hpp>
#include <string>
#include <vector>

#include "tests/support/temp_database.h"

namespace isolde {
namespace {

using test::must;
using test::outcome;
using test::TempDirectory;

void put(Database& db, const Keyspace& keyspace, const std::string& key, const std::string& value) {
  auto txn = must(db.begin());
  must(txn.put(keyspace, key, value));
  must(txn.commit());
}

// "2=b@T7 memory base", newest first.
std::vector<std::string> told(Database& db, const Keyspace& keyspace, const std::string& key) {
  std::vector<std::string> lines;
  for (const VersionInfo& version : must(db.versions(keyspace, key))) {
    lines.push_back(std::to_string(version.commit.value) + '=' + version.value.value_or("erased") +
                    (version.in_memory ? " memory" : "") + (version.in_base ? " base" : "") +
                    (version.writer.value == 0 ? "" : " written"));
  }
  return lines;
}

BOOST_AUTO_TEST_SUITE(inside)

BOOST_AUTO_TEST_CASE(the_versions_of_a_key_are_told_while_somebody_can_see_them) {
  const TempDirectory directory;
  auto db = must(Database::open(directory.path() / "db", test::small_options()));
  const Keyspace keyspace = must(db.find_keyspace(default_keyspace_name));
  BOOST_TEST(told(db, keyspace, "x").empty());
  put(db, keyspace, "x", "a");
  auto reader = must(db.begin());
  static_cast<void>(must(reader.get(keyspace, "x")));
  must(db.checkpoint());
  put(db, keyspace, "x", "b");
  auto eraser = must(db.begin());
  must(eraser.erase(keyspace, "x"));
  // Not committed, so it is no version yet.
  BOOST_TEST(told(db, keyspace, "x") ==
                 std::vector<std::string>({"2=b memory written", "1=a memory base written"}),
             boost::test_tools::per_element());
  must(eraser.commit());
  must(reader.commit());
  must(db.checkpoint());
  const auto after = told(db, keyspace, "x");
  BOOST_TEST((after.empty() || after.front() == "3=erased memory written"));
  BOOST_TEST(outcome(db.versions(keyspace, "")) == "key_empty");
}

BOOST_AUTO_TEST_CASE(an_abandoned_database_recovers_what_was_committed) {
  const TempDirectory directory;
  {
    auto db = must(Database::open(directory.path() / "db", test::small_options()));
    const Keyspace keyspace = must(db.find_keyspace(default_keyspace_name));
    put(db, keyspace, "x", "a");
    db.abandon();
  }
  auto db = must(Database::open(directory.path() / "db", test::small_options()));
  const Keyspace keyspace = must(db.find_keyspace(default_keyspace_name));
  BOOST_TEST(db.stats().checkpoint.value == 0u);
  auto txn = must(db.begin());
  BOOST_TEST(must(txn.get(keyspace, "x")).value_or("absent") == "a");
}

BOOST_AUTO_TEST_CASE(a_sync_that_was_told_to_fail_fails_the_database_once_and_for_good) {
  const TempDirectory directory;
  {
    auto db = must(Database::open(directory.path() / "db", test::small_options()));
    const Keyspace keyspace = must(db.find_keyspace(default_keyspace_name));
    put(db, keyspace, "x", "a");
    db.fail_next_sync();
    auto txn = must(db.begin());
    must(txn.put(keyspace, "x", "b"));
    BOOST_TEST(outcome(txn.commit()) == "commit_outcome_unknown");
    auto later = must(db.begin());
    BOOST_TEST(outcome(later.put(keyspace, "x", "c")) == "database_failed");
    db.abandon();
  }
  auto db = must(Database::open(directory.path() / "db", test::small_options()));
  const Keyspace keyspace = must(db.find_keyspace(default_keyspace_name));
  put(db, keyspace, "y", "d");
  auto txn = must(db.begin());
  const std::string x(must(txn.get(keyspace, "x")).value_or("absent"));
  BOOST_TEST((x == "a" || x == "b"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde
