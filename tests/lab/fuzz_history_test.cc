// The reader of histories and the checker behind it, on what chance makes of good histories.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "lab/check/checker.h"
#include "lab/check/edn_writer.h"
#include "lab/history/history.h"
#include "lab/history/history_format.h"
#include "lab/history/history_writer.h"
#include "tests/lab/history_notation.h"
#include "tests/support/seed.h"

namespace isolde::lab {
namespace {

BOOST_AUTO_TEST_SUITE(fuzz_history)

// Mutations of good histories in both formats: each is either refused at a place that exists, or
// read and judged; nothing crashes.
BOOST_AUTO_TEST_CASE(mutated_histories_are_refused_or_judged) {
  const std::uint64_t start = isolde::test::seed();
  std::vector<std::string> originals;
  for (const test::Entry& entry : test::entries()) {
    originals.push_back(test::json_lines_of(entry.history));
    originals.push_back(to_edn(test::history_of(entry.history), EdnKind::list_append));
    originals.push_back(to_edn(test::history_of(entry.repaired), EdnKind::rw_register));
  }
  const std::string alphabet =
      "{}[]\",:0123456789\\ \n\xff\x01"
      "abctxnfromreadwrite";
  std::size_t judged = 0;
  std::size_t refused = 0;
  isolde::test::Fuzzing fuzzing(20'000);
  for (; fuzzing.goes_on(); fuzzing.next()) {
    std::mt19937_64 random(isolde::test::derive(start, fuzzing.round()));
    std::string text = originals[random() % originals.size()];
    for (std::size_t n = 1 + random() % 3; n > 0 && !text.empty(); --n) {
      const std::size_t at = random() % text.size();
      switch (random() % 5) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
          break;
        case 2:
          text.erase(at, 1 + random() % 8);
          break;
        case 3: {  // a line goes
          const std::size_t end = text.find('\n', at);
          if (end != std::string::npos) text.erase(at, end - at);
          break;
        }
        default: {  // one number becomes another
          const std::size_t digit = text.find_first_of("0123456789", at);
          if (digit != std::string::npos) text[digit] = static_cast<char>('0' + random() % 10);
          break;
        }
      }
    }
    const auto parsed = parse_history(text);
    if (const auto* fault = std::get_if<InputFault>(&parsed)) {
      ++refused;
      const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
      if (fault->line < 1 || fault->line > lines || fault->column < 1 || fault->message.empty()) {
        BOOST_FAIL("ISOLDE_SEED=" << start << " round " << fuzzing.round() << ": " << fault->line
                                  << ":" << fault->column << ": " << fault->message);
      }
    } else {
      ++judged;
      static_cast<void>(check(std::get<History>(parsed)));
    }
  }
  BOOST_TEST(judged > fuzzing.round() / 200);
  BOOST_TEST(refused > fuzzing.round() / 200);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
