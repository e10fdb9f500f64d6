// What a run is shown as: text, tables, JSON, and a page that an XML parser takes.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/report/page.h"
#include "bench/report/plot.h"
#include "bench/report/targets.h"

namespace isolde::bench {
namespace {

// What is wrong with the nesting of tags and the escaping of text; empty if nothing is. Enough of
// XML for what the page uses: no comments, no CDATA, one <!DOCTYPE>, one style sheet.
std::string flaw(const std::string& page) {
  std::vector<std::string> open;
  std::size_t at = 0;
  while (at < page.size()) {
    const char c = page[at];
    if (c == '&') {
      const auto end = page.find(';', at);
      const std::string entity = page.substr(at, end - at + 1);
      if (entity != "&amp;" && entity != "&lt;" && entity != "&gt;" && entity != "&quot;") {
        return "bad entity " + page.substr(at, 20);
      }
    }
    if (c != '<') {
      ++at;
      continue;
    }
    const auto end = page.find('>', at);
    if (end == std::string::npos) return "a tag does not end";
    const std::string tag = page.substr(at + 1, end - at - 1);
    at = end + 1;
    if (tag.empty() || tag.find('<') != std::string::npos) return "bad tag <" + tag;
    if (tag.front() == '!' || tag.back() == '/') continue;
    if (std::count(tag.begin(), tag.end(), '"') % 2 != 0) return "bad quotes in <" + tag;
    if (tag.front() == '/') {
      if (open.empty() || open.back() != tag.substr(1)) return "no <" + tag.substr(1) + "> is open";
      open.pop_back();
    } else {
      open.push_back(tag.substr(0, tag.find(' ')));
    }
  }
  return open.empty() ? std::string() : "<" + open.back() + "> is not closed";
}

TurnResult turn(double rate, std::uint64_t failed) {
  TurnResult result;
  result.seconds = 2;
  result.committed = static_cast<std::uint64_t>(rate * 2);
  result.attempts = result.committed + failed;
  result.aborts[static_cast<std::size_t>(Reason::deadlock)] = failed;
  result.slot_seconds = 0.5;
  for (std::uint64_t i = 1; i <= 1000; ++i) result.latency.record(i * 1000);
  return result;
}

// Two clients' numbers on an axis; kinds beside it; one subject that could not run.
Report sample() {
  Report report{"isolde_bench \"x\" <y> & z", 7, {}, {}};
  report.machine.processor = "A <fast> & \"quiet\" one";
  report.run.configurations["lmdb, synced"] = "MDB_NOTLS & <all>";
  const Subject* const isolde = find_subject("isolde-rr-opt");
  const Subject* const lmdb = find_subject("lmdb");
  for (const char* const id : {"overhead", "clients", "sustained"}) {
    Section section{id,
                    "A <title> & more",
                    "Why?",
                    "As n \"grows\".",
                    id == std::string("clients") ? "clients" : "",
                    true,
                    {}};
    SectionResult result{section, {}};
    for (const unsigned clients : {1U, 16U}) {
      Cell cell;
      cell.label = "rmw1 durable, " + std::to_string(clients) + " clients";
      if (clients == 1) cell.label = "rmw1 durable, 1 client";
      if (id == std::string("overhead")) cell.label = "read1, 2 clients";
      cell.x = clients;
      cell.work.clients = clients;
      cell.work.synced = Synced::yes;
      cell.subjects = {isolde, lmdb};
      cell.seconds = 2;
      cell.repetitions = 3;
      CellResult measured{cell, {}};
      measured.figures.push_back({isolde, {turn(900, 5), turn(1000, 0), turn(1200, 1)}, {}});
      if (clients == 1) {
        measured.figures.push_back({lmdb, {turn(1000, 0), turn(1000, 0), turn(1000, 0)}, {}});
      } else {
        measured.figures.push_back({lmdb, {}, "no <space> & \"more\""});
      }
      result.cells.push_back(std::move(measured));
    }
    report.run.sections.push_back(std::move(result));
  }
  return report;
}

BOOST_AUTO_TEST_SUITE(report)

BOOST_AUTO_TEST_CASE(the_test_of_pages_finds_flaws) {
  BOOST_TEST(flaw("<p>a &amp; b</p>").empty());
  BOOST_TEST(!flaw("<p>a & b</p>").empty());
  BOOST_TEST(!flaw("<p><b></p></b>").empty());
  BOOST_TEST(!flaw("<p>").empty());
  BOOST_TEST(!flaw("</p>").empty());
}

BOOST_AUTO_TEST_CASE(the_page_is_well_formed_whatever_it_tells) {
  const std::string page = as_page(sample());
  BOOST_TEST(flaw(page) == "");
  BOOST_TEST(page.find("no &lt;space&gt; &amp; &quot;more&quot;") != std::string::npos);
  BOOST_TEST(page.find("<svg") != std::string::npos);
  BOOST_TEST(page.find("nan") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_page_of_a_run_without_figures_is_well_formed) {
  Report report = sample();
  for (SectionResult& section : report.run.sections) {
    for (CellResult& cell : section.cells) {
      for (Figures& one : cell.figures) one = {one.subject, {}, "it could not run"};
    }
  }
  BOOST_TEST(flaw(as_page(report)) == "");
  BOOST_TEST(as_text(report).find("it could not run") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(json_and_csv_hold_what_was_measured) {
  const Report report = sample();
  const auto json = nlohmann::json::parse(as_json(report));
  const auto& figures = json["sections"][1]["cells"][0]["subjects"];
  BOOST_TEST(figures[0]["subject"] == "isolde-rr-opt");
  BOOST_TEST(figures[0]["median"].get<double>() == 1000);
  BOOST_TEST(figures[0]["turns"][0]["aborts"]["deadlock"].get<int>() == 5);
  BOOST_TEST(json["sections"][1]["cells"][1]["subjects"][1]["problem"] == "no <space> & \"more\"");
  BOOST_TEST(json["command"] == report.command);
  const std::string csv = as_csv(report);
  BOOST_TEST(std::count(csv.begin(), csv.end(), '\n') == 1 + 3 * 2 * 2);
  BOOST_TEST(csv.find("\"no <space> & \"\"more\"\"\"") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(targets_are_judged_by_the_median_of_the_turns_ratios) {
  const auto targets = judge_targets(sample().run);
  const auto find = [&](const std::string& what) {
    return *std::find_if(targets.begin(), targets.end(),
                         [&](const Target& one) { return one.what == what; });
  };
  BOOST_TEST(find("read1").measured == 1.0);  // 0.9, 1, 1.2
  BOOST_TEST((find("read1").standing == Standing::goal));
  BOOST_TEST((find("read10").standing == Standing::not_measured));
  // Only raw LMDB is beside it: there is no other engine.
  BOOST_TEST((find("rmw1 durable, 1 client").standing == Standing::not_measured));
  BOOST_TEST((find("longest stall of a durable commit").standing == Standing::goal));
}

BOOST_AUTO_TEST_CASE(a_plot_stays_inside_its_frame) {
  Plot plot{"A & B", "x", "y", true, false, {}};
  plot.series.push_back({"one", 0, {{1, 0, 0, 0}, {1000, 5e6, 4e6, 6e6}}});
  plot.series.push_back({"single", 1, {{10, 3, 3, 3}}});
  const std::string svg = line_plot(plot);
  BOOST_TEST(flaw(svg) == "");
  BOOST_TEST(svg.find("A &amp; B") != std::string::npos);
  BOOST_TEST(line_plot(Plot{}).empty());
  BOOST_TEST(bar_plot("nothing", {{"none", {}}}).empty());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::bench
