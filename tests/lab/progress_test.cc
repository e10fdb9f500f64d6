// When progress is told, and what is left of it.
#include "lab/text/progress.h"

#include <boost/test/unit_test.hpp>
#include <string>

namespace isolde::lab {
namespace {

using namespace std::chrono_literals;

const Progress::Clock::time_point start = Progress::Clock::now();

BOOST_AUTO_TEST_SUITE(progress)

BOOST_AUTO_TEST_CASE(on_a_terminal_it_is_told_in_place_and_nothing_of_it_stays) {
  std::string written;
  Progress::Target target;
  target.write = [&](std::string_view text) { written += text; };
  target.columns = [] { return std::size_t{10}; };
  Progress progress(target, start);
  progress.clear();
  BOOST_TEST(written == "");
  BOOST_TEST(!progress.is_due(start + 99ms));
  BOOST_TEST(progress.is_due(start + 100ms));
  progress.tell("one", start + 100ms);
  BOOST_TEST(!progress.is_due(start + 199ms));
  BOOST_TEST(progress.is_due(start + 200ms));
  progress.tell("two", start + 200ms);
  progress.clear();
  progress.clear();
  BOOST_TEST(written == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K");
}

BOOST_AUTO_TEST_CASE(on_a_terminal_it_takes_no_second_line_however_narrow_that_is) {
  std::string written;
  std::size_t columns = 10;
  Progress::Target target;
  target.write = [&](std::string_view text) { written = text; };
  target.columns = [&] { return columns; };
  Progress progress(target, start);
  progress.tell("0123456789");
  BOOST_TEST(written == "\r\x1b[K012345678");
  progress.tell("日本語日本語");
  BOOST_TEST(written == "\r\x1b[K日本語日");
  columns = 4;
  progress.tell("0123456789");
  BOOST_TEST(written == "\r\x1b[K012");
  columns = 0;
  progress.tell("0123456789");
  BOOST_TEST(written == "\r\x1b[K");
}

BOOST_AUTO_TEST_CASE(elsewhere_it_is_a_line_each_half_minute) {
  std::string written;
  Progress::Target target;
  target.write = [&](std::string_view text) { written += text; };
  {
    Progress progress(target, start);
    BOOST_TEST(!progress.is_due(start + 29s));
    BOOST_TEST(progress.is_due(start + 30s));
    progress.tell("one", start + 30s);
    BOOST_TEST(!progress.is_due(start + 59s));
    progress.tell("two", start + 60s);
  }
  BOOST_TEST(written == "one\ntwo\n");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
