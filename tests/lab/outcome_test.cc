// Operands, comparisons, spelling, and expectations against outcomes.
#include "lab/script/outcome.h"

#include <boost/test/unit_test.hpp>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "lab/script/operand.h"
#include "lab/script/token.h"
#include "lab/text/text.h"
#include "tests/support/seed.h"

namespace isolde::lab {
namespace {

std::string evaluated(const std::string& text, const Bindings& bindings) {
  TokenStream tokens(text, 1);
  const Token token = tokens.expect_word("an operand");
  const Operand operand = Operand::parse(tokens, token);
  BOOST_REQUIRE(!tokens.failure());
  auto value = evaluate(operand, bindings);
  return value ? *value : std::string(name(value.error().code()));
}

bool accepts(const std::string& expectation, const Outcome& outcome,
             const Bindings& bindings = {}) {
  TokenStream tokens(expectation, 1);
  const StepExpectation parsed = StepExpectation::parse(tokens);
  BOOST_TEST_INFO(expectation);
  BOOST_REQUIRE(!tokens.failure());
  return matches(parsed.outcome, outcome, bindings);
}

Error conflict(const std::string& key, const std::string& culprit) {
  Evidence evidence;
  evidence.key = key;
  evidence.culprit = TransactionRef{{7}, culprit};
  return {ErrorCode::write_conflict, "conflict", evidence};
}

BOOST_AUTO_TEST_SUITE(outcome)

BOOST_AUTO_TEST_CASE(integers_add_texts_join_and_nothing_else_is_guessed) {
  const std::string most = std::to_string(std::numeric_limits<std::int64_t>::max());
  const Bindings bindings{{"n", std::int64_t{5}},
                          {"t", std::string("5.2-1")},
                          {"i", std::string("-3")},
                          {"no", Absent{}},
                          {"e", Entries{}},
                          {"max", most},
                          {"s", Entries{{"k1", "v1"}, {"k2", "v2"}}}};
  BOOST_TEST(evaluated("$n", bindings) == "5");
  BOOST_TEST(evaluated("$n+10", bindings) == "15");
  BOOST_TEST(evaluated("$n-10", bindings) == "-5");
  BOOST_TEST(evaluated("$n+$i", bindings) == "2");
  BOOST_TEST(evaluated("$t+\"+deb12\"", bindings) == "5.2-1+deb12");
  BOOST_TEST(evaluated("$t-1", bindings) == "invalid_argument");
  BOOST_TEST(evaluated("$s", bindings) == "v1");
  BOOST_TEST(evaluated("$s.key", bindings) == "k1");
  BOOST_TEST(evaluated("$n.key", bindings) == "invalid_argument");
  BOOST_TEST(evaluated("$e.key", bindings) == "invalid_argument");
  BOOST_TEST(evaluated("$no", bindings) == "invalid_argument");
  BOOST_TEST(evaluated("$no+1", bindings) == "invalid_argument");
  BOOST_TEST(evaluated("$never", bindings) == "invalid_argument");
  BOOST_TEST(evaluated("$max+1", bindings) == "invalid_argument");
  BOOST_TEST(evaluated("\"$n\"", bindings) == "$n");
}

BOOST_AUTO_TEST_CASE(comparison_is_numeric_between_integers_else_by_bytes) {
  using std::string;
  BOOST_TEST(compare(string("9"), Comparison::lt, string("10")));
  BOOST_TEST(compare(string("9"), Comparison::gt, string("10a")));
  BOOST_TEST(compare(string("010"), Comparison::eq, string("10")));
  BOOST_TEST(compare(string("a"), Comparison::le, string("a")));
  BOOST_TEST(compare(string("\xff"), Comparison::gt, string("a")));
  BOOST_TEST(compare(std::nullopt, Comparison::eq, std::nullopt));
  BOOST_TEST(compare(std::nullopt, Comparison::ne, string("")));
  BOOST_TEST(!compare(std::nullopt, Comparison::lt, string("1")));
}

BOOST_AUTO_TEST_CASE(an_expectation_accepts_exactly_what_it_says) {
  const Outcome value = Outcome::of(std::string("5"));
  const Outcome number = Outcome::of(std::int64_t{5});
  const Outcome entries = Outcome::of(Entries{{"a", "1"}, {"b", "2"}});
  BOOST_TEST(accepts("5", value));
  BOOST_TEST(accepts("5", number));
  BOOST_TEST(accepts("$x+2", number, {{"x", std::int64_t{3}}}));
  BOOST_TEST(!accepts("$x+2", number));
  BOOST_TEST(!accepts("6", value));
  BOOST_TEST(!accepts("\"ok\"", value));
  BOOST_TEST(accepts("ok", value));
  BOOST_TEST(accepts("ok", Outcome::of({})));
  BOOST_TEST(!accepts("ok", Outcome::skip()));
  BOOST_TEST(accepts("absent", Outcome::of(Absent{})));
  BOOST_TEST(!accepts("absent", Outcome::of(std::string("absent"))));
  BOOST_TEST(accepts("\"absent\"", Outcome::of(std::string("absent"))));
  BOOST_TEST(accepts("empty", Outcome::of(Entries{})));
  BOOST_TEST(!accepts("empty", Outcome::of(std::string())));
  BOOST_TEST(accepts("\"\"", Outcome::of(std::string())));
  BOOST_TEST(accepts("a=1 b=2", entries));
  BOOST_TEST(!accepts("a=1", entries));
  BOOST_TEST(!accepts("b=2 a=1", entries));
  BOOST_TEST(accepts("skipped", Outcome::skip()));
  BOOST_TEST(!accepts("skipped", value));
}

BOOST_AUTO_TEST_CASE(an_expected_error_may_name_key_range_and_session) {
  const Outcome failed = Outcome::failed(conflict("x", "A"));
  BOOST_TEST(accepts("write_conflict", failed));
  BOOST_TEST(accepts("write_conflict on x with A", failed));
  BOOST_TEST(!accepts("write_conflict on y", failed));
  BOOST_TEST(!accepts("write_conflict with B", failed));
  BOOST_TEST(!accepts("write_conflict on x*", failed));
  BOOST_TEST(!accepts("serialization_failure", failed));
  BOOST_TEST(!accepts("ok", failed));
  Evidence evidence;
  evidence.range = EvidenceRange{"a", "c"};
  const Outcome ranged = Outcome::failed(Error(ErrorCode::serialization_failure, "", evidence));
  BOOST_TEST(accepts("serialization_failure on a..c", ranged));
  BOOST_TEST(!accepts("serialization_failure on a..d", ranged));
}

BOOST_AUTO_TEST_CASE(ranges_are_spelled_as_scripts_write_them) {
  BOOST_TEST(spelled(EvidenceRange{"", std::nullopt}) == "*");
  BOOST_TEST(spelled(EvidenceRange{"lib", "lic"}) == "lib*");
  BOOST_TEST(spelled(EvidenceRange{"a", "c"}) == "a..c");
  BOOST_TEST(spelled(EvidenceRange{"a", std::nullopt}) == "a..");
  BOOST_TEST(spelled(EvidenceRange{"", "c"}) == "..c");
}

// What an outcome is spelled as, an expectation reads back as exactly that outcome.
BOOST_AUTO_TEST_CASE(any_bytes_survive_being_spelled_and_read) {
  const std::uint64_t seed = isolde::test::seed();
  BOOST_TEST_CONTEXT("ISOLDE_SEED=" << seed) {
    std::mt19937_64 random(seed);
    std::vector<std::string> samples{"",
                                     "ok",
                                     "absent",
                                     "empty",
                                     "a b",
                                     "a..b",
                                     "p*",
                                     "$x",
                                     "#",
                                     "@",
                                     "k=v",
                                     "\"",
                                     "\\",
                                     "漢字",
                                     "deadlock",
                                     "!=",
                                     "on",
                                     "a;b",
                                     std::string("\0", 1),
                                     "\xff\xfe",
                                     "\xe2\x80\xae",
                                     "-1",
                                     "in"};
    for (std::size_t round = 0; round < 2000 * isolde::test::scale(); ++round) {
      std::string bytes(random() % 12, '\0');
      for (char& c : bytes) c = static_cast<char>(random());
      samples.push_back(std::move(bytes));
    }
    for (const std::string& bytes : samples) {
      const Outcome outcome = Outcome::of(bytes);
      BOOST_TEST_INFO(to_script(outcome));
      BOOST_REQUIRE(accepts(to_script(outcome), outcome));
      const Outcome entry = Outcome::of(Entries{{bytes, bytes}});
      BOOST_REQUIRE(accepts(to_script(entry), entry));
      BOOST_REQUIRE(is_utf8(to_script(outcome)));
    }
  }
}

BOOST_AUTO_TEST_CASE(text_is_measured_in_columns_and_wrapped_at_spaces) {
  BOOST_TEST(display_width("abc") == 3u);
  BOOST_TEST(display_width("漢字") == 4u);
  BOOST_TEST(display_width("e\xcc\x81") == 1u);  // e and a combining accent
  const std::vector<std::string> lines = wrapped("one two three fourteen-letters", 9);
  BOOST_TEST(lines == std::vector<std::string>({"one two", "three", "fourteen-", "letters"}),
             boost::test_tools::per_element());
  BOOST_TEST(wrapped("", 10).size() == 1u);
  BOOST_TEST(!is_utf8("\xc0\x80"));
  BOOST_TEST(!is_utf8("\xed\xa0\x80"));
  BOOST_TEST(is_utf8("\xf0\x9f\x98\x80"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
