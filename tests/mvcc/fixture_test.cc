// The fixture of all other suites: that it keeps, reopens and loses what it should.
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;

BOOST_AUTO_TEST_SUITE(fixture)

BOOST_AUTO_TEST_CASE(what_was_committed_is_there_after_a_close_and_after_a_kill) {
  TempDatabase db;
  db.put("a", "1");
  db.reopen();
  BOOST_TEST(text(db.contents()) == "a=1");
  db.put("b", "2");
  db.kill_and_reopen();
  BOOST_TEST(text(db.contents()) == "a=1 b=2");
  db.erase("a");
  db.checkpoint();
  db.reclaim();
  db.kill_and_reopen();
  BOOST_TEST(text(db.contents()) == "b=2");
}

BOOST_AUTO_TEST_CASE(the_directory_goes_with_the_database) {
  std::filesystem::path where;
  {
    TempDatabase db;
    where = db.directory();
    BOOST_TEST(std::filesystem::exists(where));
  }
  BOOST_TEST(!std::filesystem::exists(where.parent_path()));
}

BOOST_AUTO_TEST_SUITE_END()
