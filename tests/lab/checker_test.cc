// The checker, on histories written by hand, on small random ones, and on recorded ones.
#include "lab/checker.h"

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "lab/history_reader.h"
#include "lab/history_writer.h"
#include "lab/recorder.h"
#include "lab/verdict_report.h"
#include "tests/lab/history_notation.h"
#include "tests/support/seed.h"
#include "tests/support/temp_database.h"

namespace isolde::lab {
namespace {

using isolde::test::derive;
using isolde::test::scale;
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
    // Writes first: whoever is read from has written.
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

// Sessions that read and write a few keys of a real database, each transaction at a level of its
// own, with everything that the engine offers. Returns what was recorded.
struct RandomRun {
  std::uint64_t seed = 0;
  std::vector<Isolation> levels;
  std::size_t sessions = 4;
  std::size_t transactions = 60;  // of each session
  bool untracked = false;
};

class RandomSession {
 public:
  RandomSession(Database& database, Recorder& recorder, const RandomRun& run, std::size_t number)
      : database_(database),
        keyspace_(*database.find_keyspace("default")),
        recorder_(recorder),
        run_(run),
        name_("S" + std::to_string(number)),
        random_(derive(run.seed, number)) {}

  void play() {
    for (std::size_t i = 0; i < run_.transactions; ++i) {
      auto txn = database_.begin({.isolation = run_.levels[draw(run_.levels.size())]});
      if (!txn) return;
      recorder_.set_session(txn->id(), name_);
      for (std::size_t steps = 1 + draw(5); steps > 0 && txn->active(); --steps) {
        step(*txn);
        std::this_thread::yield();
      }
      if (draw(10) == 0) {
        static_cast<void>(txn->rollback());
      } else {
        static_cast<void>(txn->commit());
      }
    }
  }

 private:
  std::size_t draw(std::size_t below) { return random_() % below; }
  std::string key() { return std::string(1, static_cast<char>('a' + draw(6))); }

  // The outcome does not matter here: whatever happens has to be explained by the history.
  void step(Transaction& txn) {
    const std::string at = key();
    const std::string value = std::to_string(draw(100));
    switch (draw(12)) {
      case 0:
      case 1:
      case 2:
        static_cast<void>(txn.get(keyspace_, at));
        break;
      case 3:
      case 4:
        static_cast<void>(txn.put(keyspace_, at, value));
        break;
      case 5:
        static_cast<void>(txn.erase(keyspace_, at));
        break;
      case 6:
        static_cast<void>(txn.add(keyspace_, at, 1));
        break;
      case 7:
        static_cast<void>(txn.insert(keyspace_, at, value));
        break;
      case 8:
        static_cast<void>(txn.get_for_update(keyspace_, at));
        break;
      case 9:
        scan(txn, at);
        break;
      case 10:
        walk(txn, at);
        break;
      default:
        savepoint(txn, at);
        break;
    }
  }

  void scan(Transaction& txn, const std::string& from) {
    ScanOptions options;
    options.reverse = draw(2) == 0;
    if (draw(2) == 0) options.limit = draw(3);
    static_cast<void>(txn.scan(keyspace_, KeyRange::between(from, "e"), options,
                               [](std::string_view, std::string_view) {}));
  }

  void walk(Transaction& txn, const std::string& from) {
    auto cursor = txn.cursor(keyspace_, KeyRange::from(from));
    if (!cursor) return;
    for (std::size_t i = draw(3); i > 0; --i) {
      const auto entry = cursor->next();
      if (!entry || !*entry) return;
      if (draw(2) == 0) static_cast<void>(txn.get(keyspace_, key()));
    }
  }

  void savepoint(Transaction& txn, const std::string& at) {
    static_cast<void>(txn.put(keyspace_, at, "1"));
    auto mark = txn.savepoint();
    static_cast<void>(txn.put(keyspace_, key(), "2"));
    std::this_thread::yield();
    if (mark && draw(2) == 0) static_cast<void>(txn.rollback_to(*mark));
  }

  Database& database_;
  Keyspace keyspace_;
  Recorder& recorder_;
  const RandomRun& run_;
  std::string name_;
  std::mt19937_64 random_;
};

History recorded(const RandomRun& run) {
  Options options = isolde::test::small_options();
  options.durability = Durability::none();
  isolde::test::TempDatabase database(options);
  const auto recorder = std::make_shared<Recorder>();
  // Some of the base is there before, some is written while recording and carried there later.
  database.put("a", "1");
  database.checkpoint();
  database.reclaim();
  database->add_observer(recorder);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < run.sessions; ++i) {
    threads.emplace_back([&, i] { RandomSession(database.db(), *recorder, run, i).play(); });
  }
  for (int i = 0; i < 5; ++i) {
    std::this_thread::yield();
    database.checkpoint();
    database.reclaim();
  }
  for (std::thread& thread : threads) thread.join();
  database->remove_observer(recorder);
  return recorder->history();
}

constexpr std::array all_isolations{Isolation::read_uncommitted, Isolation::read_committed,
                                    Isolation::repeatable_read, Isolation::serializable};

std::string broken_text(const Verdict& verdict) {
  std::string text;
  for (const BrokenPromise& broken : verdict.broken_promises) {
    text += std::string(name(broken.level)) + ": " + broken.text + "\n";
  }
  for (const Anomaly& anomaly : verdict.anomalies) {
    text += std::string(name(anomaly.phenomenon)) + ": " + anomaly.text + "\n";
  }
  return text;
}

BOOST_AUTO_TEST_CASE(recorded_serializable_runs_are_strictly_serializable) {
  const std::uint64_t start = seed();
  for (std::size_t round = 0; round < 8 * scale(); ++round) {
    const History history = recorded({derive(start, round), {Isolation::serializable}});
    const Verdict verdict = check(history);
    BOOST_TEST(verdict.strictly_serializable,
               "ISOLDE_SEED=" << start << " round " << round << ": " << broken_text(verdict));
    BOOST_TEST(test::promises(verdict) == "kept", broken_text(verdict));
    BOOST_TEST(verdict.committed > 50U);
  }
}

BOOST_AUTO_TEST_CASE(recorded_runs_of_mixed_levels_keep_the_promise_of_each) {
  const std::uint64_t start = seed();
  for (std::size_t round = 0; round < 12 * scale(); ++round) {
    const History history =
        recorded({derive(start, round), {all_isolations.begin(), all_isolations.end()}});
    const Verdict verdict = check(history);
    BOOST_TEST(test::promises(verdict) == "kept",
               "ISOLDE_SEED=" << start << " round " << round << ": " << broken_text(verdict));
  }
}

BOOST_AUTO_TEST_CASE(recorded_runs_of_one_level_show_what_it_admits_and_nothing_else) {
  const std::uint64_t start = seed();
  for (const Isolation level : all_isolations) {
    bool found = false;
    for (std::size_t round = 0; round < 6 * scale(); ++round) {
      const History history = recorded({derive(start, round), {level}});
      const Verdict verdict = check(history);
      BOOST_TEST((verdict.strongest && *verdict.strongest >= level),
                 "ISOLDE_SEED=" << start << " at " << name(level) << " round " << round << ": "
                                << broken_text(verdict));
      for (const Phenomenon phenomenon : verdict.phenomena()) {
        BOOST_TEST((phenomenon != Phenomenon::stale_read));
      }
      found = found || !verdict.anomalies.empty();
    }
    BOOST_TEST(found == (level != Isolation::serializable), name(level));
  }
}

// A read that may be made one of another version.
struct Swap {
  std::uint32_t transaction;
  std::uint32_t operation;
};

BOOST_AUTO_TEST_CASE(corrupted_recordings_of_serializable_runs_are_rejected) {
  const std::uint64_t start = seed();
  std::size_t tried = 0;
  for (std::size_t round = 0; round < 3 * scale(); ++round) {
    const History history = recorded({derive(start, round), {Isolation::serializable}});
    // The versions of each key, in the order of their commits.
    std::map<std::uint32_t, std::vector<std::pair<std::uint64_t, std::uint32_t>>> versions;
    std::vector<Swap> swaps;
    for (std::uint32_t t = 0; t < history.transactions.size(); ++t) {
      const HistoryTransaction& transaction = history.transactions[t];
      if (transaction.end != HistoryEnd::committed) continue;
      std::set<std::uint32_t> wrote;
      bool undo = false;
      for (std::uint32_t i = 0; i < transaction.operations.size(); ++i) {
        const HistoryOperation& operation = transaction.operations[i];
        undo = undo || operation.kind == HistoryOperation::Kind::undo;
        if (operation.kind == HistoryOperation::Kind::write) wrote.insert(operation.target);
        const bool read = operation.kind == HistoryOperation::Kind::read;
        if (read && !operation.yielded && operation.version.writer != t) swaps.push_back({t, i});
      }
      if (undo) continue;
      for (const std::uint32_t key : wrote) versions[key].emplace_back(transaction.timestamp, t);
    }
    for (auto& [key, list] : versions) std::sort(list.begin(), list.end());
    std::mt19937_64 random(derive(start, 1000 + round));
    for (std::size_t i = 0; i < 100 && !swaps.empty(); ++i) {
      const Swap swap = swaps[random() % swaps.size()];
      History corrupted = history;
      HistoryTransaction& reader = corrupted.transactions[swap.transaction];
      HistoryOperation& operation = reader.operations[swap.operation];
      // A version from which at least two acknowledged ones separate it is stale beyond doubt.
      const auto& list = versions[operation.target];
      std::vector<std::uint32_t> stale;
      for (std::size_t v = 0; v + 1 < list.size(); ++v) {
        const HistoryTransaction& next = history.transactions[list[v + 1].second];
        if (next.ended_at < reader.began_at && list[v].second != swap.transaction) {
          stale.push_back(list[v].second);
        }
      }
      if (stale.empty()) continue;
      operation.version = {stale[random() % stale.size()], 0};
      ++tried;
      const Verdict verdict = check(corrupted);
      BOOST_TEST(!verdict.strictly_serializable, "ISOLDE_SEED=" << start << " round " << round);
      BOOST_TEST(!verdict.anomalies.empty());
      BOOST_TEST(!verdict.broken_promises.empty());
    }
  }
  BOOST_TEST(tried > 50U);
}

BOOST_AUTO_TEST_CASE(recordings_of_the_engine_without_one_of_its_commits_are_rejected) {
  const std::uint64_t start = seed();
  const History history = recorded({start, {Isolation::serializable}});
  std::set<std::uint32_t> read_from;
  for (const HistoryTransaction& transaction : history.transactions) {
    if (transaction.end != HistoryEnd::committed) continue;
    for (const HistoryOperation& operation : transaction.operations) {
      const bool read = operation.kind == HistoryOperation::Kind::read;
      if (read && !operation.version.is_base()) read_from.insert(operation.version.writer);
    }
  }
  BOOST_TEST(!read_from.empty());
  for (const std::uint32_t writer : read_from) {
    const bool by_others = std::any_of(
        history.transactions.begin(), history.transactions.end(), [&](const auto& transaction) {
          return &transaction != &history.transactions[writer] &&
                 transaction.end == HistoryEnd::committed &&
                 std::any_of(transaction.operations.begin(), transaction.operations.end(),
                             [&](const HistoryOperation& operation) {
                               return operation.kind == HistoryOperation::Kind::read &&
                                      operation.version.writer == writer;
                             });
        });
    if (!by_others) continue;
    History corrupted = history;
    corrupted.transactions[writer].end = HistoryEnd::aborted;
    const Verdict verdict = check(corrupted);
    const auto found = verdict.phenomena();
    BOOST_TEST(std::count(found.begin(), found.end(), Phenomenon::aborted_read) == 1);
  }
}

BOOST_AUTO_TEST_CASE(a_large_knot_of_cycles_is_told_in_part) {
  // Everybody read x as it was, then wrote it: every two of them lost an update.
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
