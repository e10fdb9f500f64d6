// The catalogue: every entry is complete, and plays as its header says, in every cell.
#include "lab/script/catalogue.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lab/explore/catalogue_page.h"
#include "lab/script/phenomenon.h"
#include "lab/script/shipped_scripts.h"
#include "tests/lab/plays.h"

namespace isolde::lab {
namespace {

const std::vector<CatalogueEntry>& entries() {
  static const std::vector<CatalogueEntry> all = catalogue();
  return all;
}

Play played(const CatalogueEntry& entry, std::size_t schedule, const Cell& cell) {
  static const auto playground = Playground::temporary();
  auto result = play(entry.script, schedule, cell, *playground);
  if (const auto* failure = std::get_if<PlayFailure>(&result)) {
    BOOST_FAIL(failure->error.to_string());
  }
  return std::move(std::get<Play>(result));
}

// What the first play of an entry shows, and what its last one does. "" is a play without anomaly
// where no session waited or failed: what goes wrong there, no level can see.
struct Lesson {
  std::string first;
  std::string last;
};

const std::map<std::string, Lesson>& lessons() {
  static const std::map<std::string, Lesson> table{
      {"dirty-write", {"serializable", "B waits"}},
      {"aborted-read", {"aborted-read", "serializable"}},
      {"intermediate-read", {"intermediate-read", "serializable"}},
      {"circular-information-flow", {"circular-information-flow", "B: serialization_failure"}},
      {"observed-transaction-vanishes", {"observed-transaction-vanishes", "serializable"}},
      {"fuzzy-read", {"fuzzy-read", "B waits"}},
      {"phantom", {"phantom", "B waits"}},
      {"predicate-many-preceders", {"predicate-many-preceders", "serializable"}},
      {"lost-update", {"lost-update", "A waits; B: deadlock"}},
      {"cursor-lost-update", {"cursor-lost-update", "A: write_conflict"}},
      {"read-skew", {"read-skew", "B waits"}},
      {"long-fork", {"long-fork", "serializable"}},
      {"write-skew", {"write-skew", "A waits; B: deadlock"}},
      {"predicate-write-skew", {"predicate-write-skew", "A waits; B: deadlock"}},
      {"read-only-anomaly",
       {"read-only-anomaly",
        "Deposit waits; Statement waits; Withdrawal waits; Statement: deadlock"}},
      {"stale-read", {"serializable", "serializable"}},
      {"deadlock-by-upgrade", {"A waits; B: deadlock", "A waits; B: deadlock"}},
      {"deadlock-of-three", {"A waits; B waits; C: deadlock", "A waits; B waits; C: deadlock"}},
      {"deadlock-of-two", {"A waits; B: deadlock", "B: write_conflict"}},
      {"deadlock-through-a-range", {"A waits; B: deadlock", "A waits; B: deadlock"}},
      {"bank-transfer", {"lost-update", "B waits"}},
      {"on-call-doctors", {"write-skew", "B waits"}},
      {"double-booking", {"predicate-write-skew", "B waits"}},
      {"inventory-oversell", {"lost-update", "B waits"}},
      {"version-column", {"serializable", "B waits"}},
      {"unique-username", {"lost-update", "B waits"}},
      {"rate-limiter", {"lost-update", "B waits"}},
      {"job-queue", {"lost-update", "serializable"}},
      {"job-lease", {"read-skew", "Ben waits"}},
      {"idempotent-payment", {"serializable", "Again waits"}},
      {"webhook-outbox", {"serializable", "serializable"}},
      {"report-while-money-moves", {"read-skew", "serializable"}},
      {"stale-cache", {"read-skew", "Writer waits"}},
      {"batch-closing", {"read-only-anomaly", "Close waits; Report waits"}},
      {"opposite-transfers", {"A waits; B: deadlock", "B: write_conflict"}},
      {"cursor-pagination", {"phantom", "serializable"}},
  };
  return table;
}

std::string errors_of(std::string_view header) {
  const std::string script = "# Title: a story.\n\n" + std::string(header) +
                             "\nsession A\n  a1: get x\n# One.\nschedule a1\n";
  const ParsedEntry parsed = parse_entry("test.iso", script);
  std::string text;
  for (const ScriptError& error : parsed.errors) text += render(parsed.source, error);
  return text;
}

constexpr std::string_view whole_header =
    "# group: deadlock\n# question: Why?\n# play: 1 @ rc; 1 @ ser pessimistic\n"
    "# notice: it\n#   goes on\n# prevented: so\n# costs: little\n# tolerate: never\n"
    "# try: isolde demo\n";

std::string without(std::string_view line) {
  std::string header(whole_header);
  const std::size_t at = header.find(line);
  return header.erase(at, header.find('\n', at) + 1 - at);
}

BOOST_AUTO_TEST_SUITE(catalogue)

BOOST_AUTO_TEST_CASE(every_script_that_ships_is_an_entry) {
  std::set<std::string> names;
  std::map<CatalogueGroup, std::size_t> groups;
  for (const ShippedScript& script : shipped_scripts()) {
    const ParsedEntry parsed = parse_entry(std::string(script.name), std::string(script.text));
    for (const ScriptError& error : parsed.errors) BOOST_ERROR(render(parsed.source, error));
    if (!parsed.entry) continue;
    names.insert(parsed.entry->name);
    ++groups[parsed.entry->group];
    BOOST_TEST_INFO(parsed.entry->name);
    BOOST_TEST(parsed.entry->question.ends_with('?'));
    BOOST_TEST(parsed.entry->try_next.starts_with("isolde "));
  }
  for (const auto& [name, lesson] : lessons()) BOOST_TEST(names.count(name) == 1u, name);
  BOOST_TEST(names.size() == lessons().size());
  BOOST_TEST(groups[CatalogueGroup::phenomenon] == all_phenomena.size());
  BOOST_TEST(groups[CatalogueGroup::deadlock] == 4u);
  BOOST_TEST(groups[CatalogueGroup::production] == 16u);
}

BOOST_AUTO_TEST_CASE(phenomena_come_first_in_the_order_of_the_matrix) {
  for (std::size_t i = 0; i < all_phenomena.size(); ++i) {
    BOOST_TEST(entries().at(i).name == name(all_phenomena[i]));
  }
  BOOST_TEST(bool(entries().back().group == CatalogueGroup::production));
}

BOOST_AUTO_TEST_CASE(every_entry_meets_its_expectations_in_every_cell) {
  for (const CatalogueEntry& entry : entries()) {
    for (std::size_t schedule = 0; schedule < entry.script.schedules.size(); ++schedule) {
      for (std::size_t i = 0; i < CellSet::cell_count; ++i) {
        const Play run = played(entry, schedule, Cell::at(i));
        BOOST_TEST_CONTEXT(entry.name << ", schedule " << schedule + 1 << ", "
                                      << Cell::at(i).to_string()) {
          // The checker's verdict is expected in every cell, and no level's promise was broken.
          BOOST_TEST(std::any_of(run.checks.begin(), run.checks.end(),
                                 [](const Check& check) { return check.what == "verdict"; }));
          BOOST_TEST(run.verdict.broken_promises.empty());
          for (const Check& check : run.checks) {
            BOOST_TEST(check.passed,
                       check.what << ": expected " << check.expected << ", but " << check.actual);
          }
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(the_first_play_shows_what_goes_wrong_and_the_last_one_what_prevents_it) {
  for (const CatalogueEntry& entry : entries()) {
    const auto found = lessons().find(entry.name);
    BOOST_REQUIRE(found != lessons().end());
    const CataloguePlay& first = entry.plays.front();
    const CataloguePlay& last = entry.plays.back();
    BOOST_TEST_INFO(entry.name);
    BOOST_TEST(summary(played(entry, first.schedule, first.cell)) == found->second.first);
    BOOST_TEST(summary(played(entry, last.schedule, last.cell)) == found->second.last);
  }
}

BOOST_AUTO_TEST_CASE(a_header_is_read_with_its_continuations) {
  const ParsedEntry parsed =
      parse_entry("a-name.iso", "# A title (so): a story.\n\n" + std::string(whole_header) +
                                    "\nsession A\n  a1: get x\n# One\n# thing.\nschedule a1\n");
  BOOST_REQUIRE(parsed.entry.has_value());
  BOOST_TEST(parsed.entry->name == "a-name");
  BOOST_TEST(parsed.entry->title == "A title (so)");
  BOOST_TEST(parsed.entry->notice == "it goes on");
  BOOST_TEST(parsed.entry->schedule_title(0) == "One thing.");
  BOOST_REQUIRE(parsed.entry->plays.size() == 2u);
  BOOST_TEST(parsed.entry->plays[1].cell.to_string() == "serializable pessimistic");
  // The story is what `isolde run` shows, and the sections are no part of it.
  BOOST_TEST(parsed.entry->script.story.size() == 1u);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_with_a_header_is_pointed_at) {
  BOOST_TEST(errors_of(whole_header) == "");
  const std::string plays = "# play: 1 @ rc; 1 @ ser pessimistic\n";
  const auto with_plays = [&](const std::string& text) {
    std::string header(whole_header);
    return header.replace(header.find(plays), plays.size(), "# play: " + text + "\n");
  };
  const std::vector<std::pair<std::string, std::string>> table{
      {without("# costs"), "the header has no section '# costs: ...'"},
      {without("# play"), "the header has no section '# play: ...'"},
      {std::string(whole_header) + "# cost: none\n", "test.iso:12:1: expected a section"},
      {std::string(whole_header) + "# just words\n", "test.iso:12:1: expected a section"},
      {std::string(whole_header) + "# costs: more\n", "there is a section costs already"},
      {with_plays("2 @ rc"), "of schedules that the script has"},
      {with_plays("1 rc"), "expected plays like '1 @ rc; 2 @ rc pessimistic'"},
      {with_plays("1 @ pessimistic"), "expected a level after @"},
      {with_plays("1 @ rc 2 @ rr"), "expected ; between plays"},
  };
  for (const auto& [header, message] : table) {
    const std::string errors = errors_of(header);
    BOOST_TEST(errors.find(message) != std::string::npos, message << " is not in: " << errors);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
