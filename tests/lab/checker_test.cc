// The checker, on histories written by hand and on small random ones. (On recorded ones:
// stress_recorded_test.cc.)
#include "lab/check/checker.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "lab/check/verdict_report.h"
#include "lab/history/history_format.h"
#include "lab/history/history_writer.h"
#include "tests/lab/history_notation.h"
#include "tests/support/seed.h"

namespace isolde::lab {
namespace {

using isolde::test::derive;
using isolde::test::seed;

std::string joined(std::vector<std::string> parts) {
  std::sort(parts.begin(), parts.end());
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

std::string anomalies_of(const Verdict& verdict) {
  std::vector<std::string> spelled;
  for (const Anomaly& anomaly : verdict.anomalies) spelled.push_back(test::spelled(anomaly));
  return joined(spelled);
}

BOOST_AUTO_TEST_SUITE(checker)

BOOST_AUTO_TEST_CASE(hand_written_histories_are_rejected_by_name_and_cycle) {
  const auto entries = test::entries();
  BOOST_TEST(entries.size() >= 40U);
  std::set<Phenomenon> covered;
  for (const test::Entry& entry : entries) {
    BOOST_TEST_CONTEXT(entry.file << ": " << entry.name) {
      const Verdict verdict = check(test::history_of(entry.history));
      BOOST_TEST(anomalies_of(verdict) == joined(entry.anomalies));
      BOOST_TEST(test::strongest(verdict) == entry.strongest);
      if (!entry.promises.empty()) BOOST_TEST(test::promises(verdict) == entry.promises);
      BOOST_TEST((!verdict.strictly_serializable || !verdict.broken_promises.empty()));
      for (const Phenomenon phenomenon : verdict.phenomena()) covered.insert(phenomenon);
    }
  }
  for (const Phenomenon phenomenon : all_phenomena) {
    BOOST_TEST(covered.count(phenomenon) == 1U, name(phenomenon) << " has no history");
  }
}

BOOST_AUTO_TEST_CASE(repaired_twins_of_the_hand_written_histories_are_accepted) {
  for (const test::Entry& entry : test::entries()) {
    BOOST_TEST_CONTEXT(entry.file << ": " << entry.name) {
      BOOST_REQUIRE(!entry.repaired.empty());
      const Verdict verdict = check(test::history_of(entry.repaired));
      BOOST_TEST(anomalies_of(verdict) == "");
      BOOST_TEST(verdict.strictly_serializable);
      BOOST_TEST(test::promises(verdict) == "kept");
      BOOST_TEST(test::strongest(verdict) == "ser");
    }
  }
}

BOOST_AUTO_TEST_CASE(verdicts_survive_being_written_and_read_again) {
  for (const test::Entry& entry : test::entries()) {
    const History history = test::history_of(entry.history);
    auto again = parse_history(to_json_lines(history));
    BOOST_REQUIRE(std::holds_alternative<History>(again));
    BOOST_TEST(verdict_json(check(std::get<History>(again)), Isolation::serializable) ==
               verdict_json(check(history), Isolation::serializable));
  }
}

// A random small history in the notation's terms, and whether some order of its transactions
// explains it: each read sees the last write of its key before it in that order (its own first).
struct SmallHistory {
  struct Operation {
    bool write = false;
    int key = 0;
    int from = 0;  // read: 0 or a transaction
  };
  std::vector<std::vector<Operation>> transactions;

  std::string notation(const std::map<int, std::vector<int>>& versions) const {
    std::string text;
    for (std::size_t t = 0; t < transactions.size(); ++t) text += "b" + std::to_string(t + 1) + " ";
    // Writes first: a transaction that is read from has written.
    for (std::size_t t = 0; t < transactions.size(); ++t) {
      for (const Operation& each : transactions[t]) {
        text += (each.write ? "w" : "r") + std::to_string(t + 1) + "(" + char('a' + each.key) + ")";
        if (!each.write) text += "=" + std::to_string(each.from);
        text += " ";
      }
    }
    for (std::size_t t = 0; t < transactions.size(); ++t) text += "c" + std::to_string(t + 1) + " ";
    for (const auto& [key, writers] : versions) {
      text += "o(" + std::string(1, char('a' + key)) + ")=";
      for (std::size_t i = 0; i < writers.size(); ++i) {
        text += (i == 0 ? "" : ",") + std::to_string(writers[i]);
      }
      text += " ";
    }
    return text;
  }

  // `versions`: the order of the writers of each key must be that one, too.
  bool explains(const std::vector<int>& order,
                const std::map<int, std::vector<int>>& versions) const {
    std::map<int, int> last;
    std::map<int, std::vector<int>> written;
    for (const int t : order) {
      std::map<int, int> own;
      for (const Operation& each : transactions[static_cast<std::size_t>(t)]) {
        if (each.write) {
          own[each.key] = t + 1;
        } else if (own.count(each.key) == 0 && last[each.key] != each.from) {
          return false;
        }
      }
      for (const auto& [key, writer] : own) {
        last[key] = writer;
        written[key].push_back(writer);
      }
    }
    return written == versions;
  }

  bool has_order(const std::map<int, std::vector<int>>& versions) const {
    std::vector<int> order(transactions.size());
    std::iota(order.begin(), order.end(), 0);
    do {
      if (explains(order, versions)) return true;
    } while (std::next_permutation(order.begin(), order.end()));
    return false;
  }
};

SmallHistory random_small(std::mt19937_64& random, std::map<int, std::vector<int>>& versions) {
  const auto draw = [&](int below) {
    return static_cast<int>(random() % static_cast<unsigned>(below));
  };
  SmallHistory history;
  const int count = 2 + draw(4);
  const int keys = 1 + draw(3);
  history.transactions.resize(static_cast<std::size_t>(count));
  for (int t = 0; t < count; ++t) {
    std::set<int> wrote;
    for (int i = 1 + draw(4); i > 0; --i) {
      const int key = draw(keys);
      // One write a key and transaction, and no read behind it: reads of others are what counts.
      const bool write = draw(2) == 0 && wrote.insert(key).second;
      if (!write && wrote.count(key) != 0) continue;
      history.transactions[static_cast<std::size_t>(t)].push_back({write, key, 0});
      if (write) versions[key].push_back(t + 1);
    }
  }
  for (auto& [key, writers] : versions) std::shuffle(writers.begin(), writers.end(), random);
  for (int t = 0; t < count; ++t) {
    for (auto& each : history.transactions[static_cast<std::size_t>(t)]) {
      if (each.write) continue;
      std::vector<int> candidates{0};
      for (const int writer : versions[each.key]) {
        if (writer != t + 1) candidates.push_back(writer);
      }
      each.from = candidates[static_cast<std::size_t>(draw(static_cast<int>(candidates.size())))];
    }
  }
  for (auto entry = versions.begin(); entry != versions.end();) {
    entry = entry->second.empty() ? versions.erase(entry) : std::next(entry);
  }
  return history;
}

BOOST_AUTO_TEST_CASE(serializable_means_that_an_order_of_the_transactions_exists) {
  const std::uint64_t start = seed();
  std::size_t serializable = 0;
  const std::size_t rounds = isolde::test::rounds(6000);
  for (std::size_t round = 0; round < rounds; ++round) {
    std::mt19937_64 random(derive(start, round));
    std::map<int, std::vector<int>> versions;
    const SmallHistory small = random_small(random, versions);
    const std::string notation = small.notation(versions);
    const Verdict verdict = check(test::history_of(notation));
    const bool expected = small.has_order(versions);
    if (expected) ++serializable;
    if (verdict.serializable != expected || verdict.anomalies.empty() != expected) {
      BOOST_FAIL("ISOLDE_SEED=" << start << " round " << round << ": " << notation << "expected "
                                << expected << ", " << anomalies_of(verdict));
    }
  }
  // Both sides have to be well represented for this to mean something.
  BOOST_TEST(serializable > rounds / 20);
  BOOST_TEST(serializable < rounds - rounds / 20);
}

BOOST_AUTO_TEST_CASE(a_large_knot_of_cycles_is_told_in_part) {
  // All read x as it was, then wrote it: every two of them lost an update.
  std::string notation;
  constexpr int count = 300;
  for (int t = 1; t <= count; ++t) notation += "r" + std::to_string(t) + "(x)=0 ";
  for (int t = 1; t <= count; ++t) {
    notation += "w" + std::to_string(t) + "(x) c" + std::to_string(t) + " ";
  }
  const Verdict verdict = check(test::history_of(notation));
  BOOST_TEST(verdict.more_anomalies);
  BOOST_TEST((verdict.phenomena() == std::vector{Phenomenon::lost_update}));
  BOOST_TEST(test::strongest(verdict) == "rc");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
