// Garbage for the parser: mutated scripts, spliced scripts, and random bytes. An error with its
// place or a script, but never a crash. ISOLDE_TEST_SCALE=20 is about a minute.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "lab/script/command_registry.h"
#include "lab/script/parse_script.h"
#include "lab/script/script.h"
#include "lab/script/shipped_scripts.h"
#include "lab/text/text.h"
#include "tests/support/seed.h"

namespace isolde::lab {
namespace {

class Garbage {
 public:
  explicit Garbage(std::uint64_t seed) : random_(seed) {
    for (const ShippedScript& shipped : shipped_scripts()) seeds_.emplace_back(shipped.text);
    seeds_.push_back(unusual_script());
    for (const CommandSpec& spec : command_registry()) {
      words_.emplace_back(spec.word);
      words_.emplace_back(spec.example);
    }
    for (const char* word : {"setup",
                             "session",
                             "schedule",
                             "final",
                             "exactly",
                             "empty",
                             "invariant",
                             "outcomes",
                             "verdict",
                             "includes",
                             "not",
                             "serializable",
                             "explore",
                             "blocked",
                             "by",
                             "until",
                             "then",
                             "on",
                             "with",
                             "skipped",
                             "absent",
                             "if",
                             "in",
                             "where value",
                             "limit",
                             "reverse",
                             "for update",
                             "skip locked",
                             "nowait",
                             "timeout",
                             "rr",
                             "optimistic",
                             "$a1",
                             "$a1.key",
                             "$a1+$b1",
                             "a1:",
                             "=>",
                             "@",
                             "|",
                             ";",
                             "=",
                             "<=",
                             "(",
                             ")",
                             "..",
                             "*",
                             "9223372036854775807",
                             "-9223372036854775808",
                             "50ms"}) {
      words_.emplace_back(word);
    }
  }

  std::string next() {
    const std::size_t kind = random_() % 10;
    if (kind == 0) return bytes(random_() % 400);
    if (kind == 1) return words(random_() % 80);
    std::string text = seeds_[random_() % seeds_.size()];
    if (kind == 2) text = spliced(text, seeds_[random_() % seeds_.size()]);
    for (std::size_t edits = 1 + random_() % 8; edits > 0; --edits) mutate(text);
    return text;
  }

 private:
  // What the shipped scripts do not use.
  static std::string unusual_script() {
    return "setup\n  put \"a\\x00b\" 1; keyspace ks; in ks add n 5\nsession A\n"
           "  a1: begin ser pessimistic read only timeout 50ms\n"
           "  a2: open c scan a..b where value != 3 reverse limit 2 for share skip locked\n"
           "  a3: next c => blocked by B until b1 then k=v k2=v2 @ ser | rr optimistic\n"
           "              => lock_timeout on a..b with B @ ru\n"
           "  a4: if $a3 != absent cas $a3.key $a3 $a3+1; close c; savepoint s; rollback to s\n"
           "session B\n  b1: wait A; retry; checkpoint => skipped\n"
           "schedule a1 a2\n  a3 a4 b1\nfinal exactly empty\n"
           "invariant (sum a* > 3 or not in ks count * = 0) and x=absent\n"
           "outcomes deadlock=1 ok=2\nverdict includes dirty-read\nverdict not serializable\n"
           "explore interleavings=70 write-skew=6 @ rr\n";
  }

  std::string bytes(std::size_t count) {
    std::string text(count, '\0');
    for (char& c : text) c = static_cast<char>(random_());
    return text;
  }

  std::string words(std::size_t count) {
    std::string text;
    for (; count > 0; --count) {
      text += words_[random_() % words_.size()];
      text += random_() % 5 == 0 ? '\n' : ' ';
    }
    return text;
  }

  std::string spliced(const std::string& one, const std::string& other) {
    const std::size_t at = random_() % other.size();
    return one.substr(0, random_() % one.size()) + other.substr(at);
  }

  void mutate(std::string& text) {
    static const std::string special =
        std::string("\"\\;=<>|()#@$*.!:+- \t\n\r\xff\x80\xe2") + '\0';
    if (text.empty()) return;
    const std::size_t where = random_() % text.size();
    const std::size_t length = std::min<std::size_t>(random_() % 12, text.size() - where);
    switch (random_() % 5) {
      case 0:
        text.erase(where, length);
        break;
      case 1:
        text.insert(where, 1, special[random_() % special.size()]);
        break;
      case 2:
        text.insert(where, ' ' + words_[random_() % words_.size()] + ' ');
        break;
      case 3:
        text.insert(where, text.substr(random_() % text.size(), random_() % 60));
        break;
      default:
        text[where] = static_cast<char>(random_());
    }
  }

  std::mt19937_64 random_;
  std::vector<std::string> seeds_;
  std::vector<std::string> words_;
};

// Empty if all is well.
std::string complaint_about(const ParsedScript& result) {
  if (result.script.has_value() != result.errors.empty()) return "a script and errors, or neither";
  for (const ScriptError& error : result.errors) {
    const std::size_t lines = std::max<std::size_t>(1, result.source.line_count());
    if (error.place.line < 1 || error.place.line > lines) return "a line that is not there";
    const std::size_t bytes = error.place.line <= result.source.line_count()
                                  ? result.source.line(error.place.line).size()
                                  : 0;
    if (error.place.column < 1 || error.place.column > bytes + 1) return "a column beyond the line";
    if (error.message.empty()) return "an error without a message";
    const std::string shown = render(result.source, error);
    if (!is_utf8(shown)) return "a message that is no UTF-8";
    if (shown.find(std::to_string(error.place.line) + ':') == std::string::npos) return "no place";
  }
  return {};
}

BOOST_AUTO_TEST_SUITE(fuzz_script)

BOOST_AUTO_TEST_CASE(no_garbage_makes_the_parser_fall_over_and_every_error_names_its_place) {
  const std::uint64_t seed = isolde::test::seed();
  Garbage garbage(seed);
  std::size_t scripts = 0;
  isolde::test::Fuzzing fuzzing(60'000);
  for (; fuzzing.goes_on(); fuzzing.next()) {
    const std::string text = garbage.next();
    const ParsedScript result = parse_script("fuzz.iso", text);
    scripts += result.script.has_value() ? 1 : 0;
    const std::string complaint = complaint_about(result);
    if (!complaint.empty()) {
      BOOST_FAIL(complaint << " in round " << fuzzing.round() << " of ISOLDE_SEED=" << seed << ":\n"
                           << printable(text));
    }
  }
  // Some mutants are still scripts, most are not: both ways were taken.
  BOOST_TEST(scripts > fuzzing.round() / 100);
  BOOST_TEST(scripts < fuzzing.round() / 2);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
