// Elle's histories, in and out.

#include <boost/test/unit_test.hpp>
#include <string>
#include <variant>

#include "lab/check/checker.h"
#include "lab/check/edn_writer.h"
#include "lab/history/history_format.h"
#include "tests/lab/history_notation.h"

namespace isolde::lab {
namespace {

std::string outcome(const std::string& text) {
  const auto parsed = parse_history(text);
  const auto* fault = std::get_if<InputFault>(&parsed);
  if (fault == nullptr) return "ok";
  return std::to_string(fault->line) + ":" + std::to_string(fault->column) + ": " + fault->message;
}

Verdict verdict_of(const std::string& text) {
  const auto parsed = parse_history(text);
  if (const auto* fault = std::get_if<InputFault>(&parsed)) {
    BOOST_FAIL(fault->line << ":" << fault->column << ": " << fault->message);
  }
  return check(std::get<History>(parsed));
}

std::string names(const Verdict& verdict) {
  std::string text;
  for (const Phenomenon phenomenon : verdict.phenomena()) {
    text += (text.empty() ? "" : " ") + std::string(name(phenomenon));
  }
  return text;
}

// Two processes at the same time.
std::string two(const std::string& a, const std::string& a_done, const std::string& b,
                const std::string& b_done) {
  return "{:process 0 :type :invoke :f :txn :value " + a +
         "}\n{:process 1 :type :invoke :f :txn :value " + b +
         "}\n{:process 0 :type :ok :f :txn :value " + a_done +
         "}\n{:process 1 :type :ok, :f :txn, :value " + b_done + "}\n";
}

BOOST_AUTO_TEST_SUITE(edn)

BOOST_AUTO_TEST_CASE(list_append_takes_its_order_from_the_lists) {
  // Each reads x before the other's append of it.
  const Verdict skew =
      verdict_of(two("[[:r :x nil] [:append :y 1]]", "[[:r :x []] [:append :y 1]]",
                     "[[:r :y nil] [:append :x 1]]", "[[:r :y []] [:append :x 1]]") +
                 "{:process 2 :type :invoke :f :txn :value [[:r :x nil] [:r :y nil]]}\n"
                 "{:process 2 :type :ok :f :txn :value [[:r :x [1]] [:r :y [1]]]}\n");
  BOOST_TEST(names(skew) == "write-skew");
  BOOST_TEST((skew.strongest == Isolation::repeatable_read));
  const Verdict fine =
      verdict_of(two("[[:r :x nil] [:append :y 1]]", "[[:r :x []] [:append :y 1]]",
                     "[[:r :y nil] [:append :x 1]]", "[[:r :y [1]] [:append :x 1]]"));
  BOOST_TEST(fine.strictly_serializable);
}

BOOST_AUTO_TEST_CASE(an_append_that_nobody_read_comes_after_those_that_were) {
  const Verdict lost =
      verdict_of(two("[[:r :x nil] [:append :x 1]]", "[[:r :x []] [:append :x 1]]",
                     "[[:r :x nil] [:append :x 2]]", "[[:r :x []] [:append :x 2]]") +
                 "{:process 2 :type :invoke :f :txn :value [[:r :x nil]]}\n"
                 "{:process 2 :type :ok :f :txn :value [[:r :x [1]]]}\n");
  BOOST_TEST(names(lost) == "lost-update");
}

BOOST_AUTO_TEST_CASE(a_read_below_own_appends_is_a_read_of_what_others_had_appended) {
  const Verdict fine =
      verdict_of(two("[[:append :x 1]]", "[[:append :x 1]]", "[[:append :x 2] [:r :x nil]]",
                     "[[:append :x 2] [:r :x [1 2]]]"));
  BOOST_TEST(fine.strictly_serializable);
}

BOOST_AUTO_TEST_CASE(lists_that_contradict_each_other_are_dirty_writes) {
  const Verdict verdict = verdict_of(
      two("[[:append :x 1]]", "[[:append :x 1]]", "[[:append :x 2]]", "[[:append :x 2]]") +
      two("[[:r :x nil]]", "[[:r :x [1 2]]]", "[[:r :x nil]]", "[[:r :x [2 1]]]"));
  BOOST_TEST(names(verdict).starts_with("dirty-write"));
}

BOOST_AUTO_TEST_CASE(failed_appends_must_not_be_read) {
  const std::string fail =
      "{:process 0 :type :invoke :f :txn :value [[:append :x 1]]}\n"
      "{:process 0 :type :fail :f :txn :value [[:append :x 1]]}\n";
  const std::string read =
      "{:process 1 :type :invoke :f :txn :value [[:append :x 2] [:r :x nil]]}\n"
      "{:process 1 :type :ok :f :txn :value [[:append :x 2] [:r :x [1 2]]]}\n";
  BOOST_TEST(names(verdict_of(fail + read)) == "aborted-read");
  // What is in doubt has happened, if it was read.
  std::string info = fail;
  info.replace(info.find(":fail"), 5, ":info");
  BOOST_TEST(verdict_of(info + read).strictly_serializable);
}

BOOST_AUTO_TEST_CASE(registers_are_ordered_by_who_read_and_then_wrote) {
  const Verdict lost = verdict_of(two("[[:r :x nil] [:w :x 1]]", "[[:r :x nil] [:w :x 1]]",
                                      "[[:r :x nil] [:w :x 2]]", "[[:r :x nil] [:w :x 2]]"));
  BOOST_TEST(names(lost) == "lost-update");
  BOOST_TEST((lost.strongest == Isolation::read_committed));
  const Verdict flow = verdict_of(two("[[:w :x 1] [:r :y nil]]", "[[:w :x 1] [:r :y 1]]",
                                      "[[:w :y 1] [:r :x nil]]", "[[:w :y 1] [:r :x 1]]"));
  BOOST_TEST(names(flow) == "circular-information-flow");
}

BOOST_AUTO_TEST_CASE(the_nemesis_and_comments_are_passed_over) {
  BOOST_TEST(
      outcome("; a comment\n\n{:process :nemesis, :type :info, :f :start, :value nil}\n"
              "#jepsen.history.Op{:process 0 :type :invoke :f :txn :value [[:r 5 nil]] :index 0}\n"
              "{:process 0 :type :ok :f :txn :value [[:r 5 nil]] :time 17 :index 1}\n") == "ok");
}

BOOST_AUTO_TEST_CASE(faults_name_their_place) {
  const std::string invoke = "{:process 0 :type :invoke :f :txn :value [[:r :x nil]]}\n";
  BOOST_TEST(outcome("{:process 0 :type :ok :f :txn :value [[:r :x nil]]}") ==
             "1:11: process 0 has invoked nothing that this could complete");
  BOOST_TEST(outcome(invoke + invoke) ==
             "2:11: process 0 has not completed what it invoked before");
  BOOST_TEST(outcome(invoke + "{:process 0 :type :ok :f :txn :value [[:r :x [7]]]}") ==
             "2:47: 7 was never written to x");
  BOOST_TEST(outcome(invoke + "{:process 0 :type :okay :f :txn :value []}") ==
             "2:19: expected :invoke, :ok, :fail or :info");
  BOOST_TEST(outcome(invoke + "{:process 0 :type :ok :f :txn :value [[:r :y nil]]}") ==
             "2:38: this is not the transaction that the process invoked");
  BOOST_TEST(outcome("{:process 0 :type :invoke :f :txn :value [[:cas :x 1]]}") ==
             "1:44: expected :r, :w or :append");
  BOOST_TEST(outcome("{:process 0 :type :invoke :f :read :value nil}") ==
             "1:30: only transactions (:f :txn) can be judged");
  BOOST_TEST(outcome("{:process 0 :type :invoke :f :txn :value [[:append :x 1] [:append :x 1]]}")
                 .starts_with("1:70: 1 is written to x a second time"));
  BOOST_TEST(outcome("{:process 0 :type :invoke :f :txn :value [[:append :x 1] [:w :x 2]]}") ==
             "1:59: :append and :w do not go together in one history");
  BOOST_TEST(outcome("{:process 0 :type") == "1:1: this has no '}' at its end");
  BOOST_TEST(outcome("{:process 0 :type :invoke} {}") ==
             "1:28: something follows the value; one map a line is expected");
  BOOST_TEST(outcome("{:value " + std::string(100, '[') + "}").find("nested too deep") !=
             std::string::npos);
}

// Our own histories, exported and judged again: the same names wherever Elle's form can say it.
BOOST_AUTO_TEST_CASE(exported_histories_get_the_same_verdict) {
  std::size_t compared = 0;
  for (const test::Entry& entry : test::entries()) {
    const History history = test::history_of(entry.repaired);
    BOOST_TEST_CONTEXT(entry.name) {
      BOOST_TEST(verdict_of(to_edn(history, EdnKind::list_append)).serializable);
      BOOST_TEST(verdict_of(to_edn(history, EdnKind::rw_register)).serializable);
    }
    if (entry.file != "repeatable_read.txt") continue;
    ++compared;
    const std::string text = to_edn(test::history_of(entry.history), EdnKind::list_append);
    BOOST_TEST_CONTEXT(entry.name << "\n" << text) { BOOST_TEST(!verdict_of(text).serializable); }
  }
  BOOST_TEST(compared > 5U);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
