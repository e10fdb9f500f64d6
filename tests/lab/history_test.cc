// The reader and the writer of histories: what is refused and where.
#include "lab/history/history.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <variant>
#include <vector>

#include "lab/history/history_format.h"
#include "lab/history/history_writer.h"
#include "tests/lab/history_notation.h"

namespace isolde::lab {
namespace {

// "line:column: message", or "ok".
std::string outcome(const std::string& text) {
  const auto parsed = parse_history(text);
  const auto* fault = std::get_if<InputFault>(&parsed);
  if (fault == nullptr) return "ok";
  return std::to_string(fault->line) + ":" + std::to_string(fault->column) + ": " + fault->message;
}

const std::string begin_1 = R"({"event":"begin","txn":1})"
                            "\n";

BOOST_AUTO_TEST_SUITE(history)

BOOST_AUTO_TEST_CASE(faults_name_their_place) {
  BOOST_TEST(outcome(begin_1 + R"({"event":"raed","txn":1,"key":"x","from":0})") ==
             "2:10: unknown event raed; did you mean read?");
  BOOST_TEST(outcome(begin_1 + R"({"event":"read","txn":1,"key":"x","from":0,"form":2})") ==
             "2:44: unknown field form; did you mean from?");
  BOOST_TEST(outcome(begin_1 + R"({"event":"read","txn":1,"key":"x"})") ==
             "2:1: a read needs \"from\"");
  BOOST_TEST(outcome(begin_1 + R"({"event":"write","txn":1,"key":"x","from":0})") ==
             "2:43: \"from\" means nothing in a write");
  BOOST_TEST(outcome(R"({"event":"commit","txn":7})") == "1:25: T7 has not begun");
  BOOST_TEST(outcome(begin_1 + begin_1) == "2:24: T1 has begun in line 1 already");
  BOOST_TEST(outcome(begin_1 + R"({"event":"commit","txn":1})"
                               "\n"
                               R"({"event":"abort","txn":1})") == "3:24: T1 has ended in line 2");
  BOOST_TEST(outcome(R"({"event":"begin","txn":0})") ==
             "1:24: 0 is what was there before the history");
  BOOST_TEST(outcome(R"({"event":"begin","txn":1,"level":"snapshoot"})") ==
             "1:34: unknown level snapshoot");
  BOOST_TEST(outcome(begin_1 + R"({"event":"write","txn":1,"key":"x","kind":"erse"})") ==
             "2:43: unknown kind erse; did you mean erase?");
  BOOST_TEST(outcome(begin_1 + R"({"event":"undo","txn":1,"count":1})") ==
             "2:33: T1 has 0 writes to undo");
  BOOST_TEST(outcome(R"({"event":"history","version":2})") ==
             "1:30: version 2 of the format is not known; 1 is");
  BOOST_TEST(
      outcome(
          begin_1 +
          R"({"event":"scan","txn":1,"lower":"a","upper":"c","yield":[{"key":"d","from":0}]})") ==
      "2:58: this key is not in the range");
}

BOOST_AUTO_TEST_CASE(a_read_of_what_was_never_written_is_refused) {
  const std::string two = begin_1 + R"({"event":"begin","txn":2})"
                                    "\n";
  BOOST_TEST(outcome(two + R"({"event":"read","txn":1,"key":"x","from":2})") ==
             "3:42: T2 never wrote x");
  BOOST_TEST(outcome(begin_1 + R"({"event":"read","txn":1,"key":"x","from":9})") ==
             "2:42: T9 has not begun");
  const std::string write = R"({"event":"write","txn":2,"key":"x"})"
                            "\n";
  BOOST_TEST(outcome(two + write + R"({"event":"read","txn":1,"key":"x","from":2,"write":3})") ==
             "4:42: T2 wrote x 1 time, not 3");
  // A reader at read uncommitted may be noted before the write that it saw.
  BOOST_TEST(outcome(two +
                     R"({"event":"read","txn":1,"key":"x","from":2})"
                     "\n" +
                     write) == "ok");
}

BOOST_AUTO_TEST_CASE(malformed_json_is_refused_where_it_is) {
  BOOST_TEST(outcome(R"({"event":"begin","txn":1)") ==
             "1:25: the line ends where ',' was expected");
  BOOST_TEST(outcome(R"({"event":"begin" "txn":1})") == "1:18: expected ',', found '\"'");
  BOOST_TEST(outcome(R"({"event":"begin","txn":-1})") ==
             "1:24: expected a whole number, 0 or more");
  BOOST_TEST(outcome(R"({"event":"begin","txn":1.5})") ==
             "1:24: expected a whole number, 0 or more");
  BOOST_TEST(outcome(R"({"event":"begin","txn":99999999999999999999})") ==
             "1:24: this number is too large");
  BOOST_TEST(outcome(R"({"event":"beg)") == "1:10: this string does not end");
  BOOST_TEST(outcome(R"({"event":"\q"})") == "1:11: \\q means nothing in a string");
  BOOST_TEST(outcome(R"({"event":"\ud800"})") == "1:11: half a surrogate pair");
  BOOST_TEST(outcome(begin_1 + "\xe9") == "2:1: expected '{', found byte \\xe9");
  BOOST_TEST(outcome(begin_1 + "[1]") == "2:1: expected '{', found '['");
  BOOST_TEST(outcome(begin_1 + R"({"event":"commit","txn":1} x)") ==
             "2:28: something follows the end of the object");
  BOOST_TEST(outcome(R"({"event":"begin","event":"begin"})") == "1:18: a second field event");
}

BOOST_AUTO_TEST_CASE(binary_garbage_is_refused) {
  std::string garbage;
  for (int i = 1; i < 256; ++i) garbage.push_back(static_cast<char>(i));
  BOOST_TEST(outcome(garbage).starts_with("1:1: expected '{'"));
  BOOST_TEST(outcome(begin_1 + R"({"event":"read","txn":1,"key":")" + "\xff\xfe" + R"(","from":0})")
                 .starts_with("2:32: not UTF-8"));
  BOOST_TEST(outcome(std::string(100, '\0')).starts_with("1:1: "));
}

BOOST_AUTO_TEST_CASE(a_line_of_ten_megabytes_is_refused) {
  const std::string line =
      R"({"event":"begin","txn":1,"label":")" + std::string(10 << 20, 'x') + "\"}";
  const std::string wanted = "2:8388608: a line of " + std::to_string(line.size()) + " bytes";
  BOOST_TEST(outcome("\n" + line).starts_with(wanted));
}

BOOST_AUTO_TEST_CASE(timestamps_are_given_by_all_or_none) {
  BOOST_TEST(outcome(begin_1 + R"({"event":"begin","txn":2})"
                               "\n"
                               R"({"event":"write","txn":1,"key":"x"})"
                               "\n"
                               R"({"event":"write","txn":2,"key":"x"})"
                               "\n"
                               R"({"event":"commit","txn":1})"
                               "\n"
                               R"({"event":"commit","txn":2,"ts":4})") ==
             "5:1: T1 committed writes without a timestamp (\"ts\"), others have one");
}

BOOST_AUTO_TEST_CASE(any_bytes_survive_as_keys_labels_and_sessions) {
  HistoryBuilder builder;
  std::string all;
  for (int i = 0; i < 256; ++i) all.push_back(static_cast<char>(i));
  for (const std::string& bytes : {all, std::string("\"\\\n\x7f"), std::string("h\xc3\xa4")}) {
    HistoryTransaction& txn = builder.transaction(builder.add(builder.history.keys.size() + 1));
    txn.label = bytes;
    txn.session = bytes;
    txn.end = HistoryEnd::committed;
    txn.ended_at = txn.began_at = txn.id;
    HistoryOperation write;
    write.kind = HistoryOperation::Kind::write;
    write.target = builder.key("ks", bytes);
    txn.operations.push_back(write);
  }
  auto again = parse_history(to_json_lines(builder.history));
  BOOST_REQUIRE(std::holds_alternative<History>(again));
  const History& read = std::get<History>(again);
  BOOST_REQUIRE_EQUAL(read.keys.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    BOOST_TEST((read.keys[i].key == builder.history.keys[i].key));
    BOOST_TEST((read.transactions[i].label == read.keys[i].key));
    BOOST_TEST((read.transactions[i].session == read.keys[i].key));
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
