// The recorder and the checker on the real engine: sessions at random on threads of their own, at
// all levels, in both locking modes. What was promised is kept; what is weaker shows that it is;
// what is falsified is found out.
#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "lab/check/checker.h"
#include "lab/history/recorder.h"
#include "tests/lab/history_notation.h"
#include "tests/support/seed.h"
#include "tests/support/temp_database.h"

namespace isolde::lab {
namespace {

using isolde::test::derive;
using isolde::test::scale;
using isolde::test::seed;

// Sessions that read and write a few keys of a real database, each transaction at a level of its
// own, with everything that the engine offers. Returns what was recorded.
struct RandomRun {
  std::uint64_t seed = 0;
  std::vector<Isolation> levels;
  std::vector<Locking> lockings = {Locking::optimistic, Locking::pessimistic};
  std::size_t sessions = 4;
  std::size_t transactions = 60;  // of each session
};

class RandomSession {
 public:
  RandomSession(isolde::test::TempDatabase& database, Recorder& recorder, const RandomRun& run,
                std::size_t number)
      : database_(database.db()),
        keyspace_(database.keyspace()),
        recorder_(recorder),
        run_(run),
        name_("S" + std::to_string(number)),
        random_(derive(run.seed, number)) {}

  void play() {
    for (std::size_t i = 0; i < run_.transactions; ++i) {
      TransactionOptions options;
      options.isolation = run_.levels[draw(run_.levels.size())];
      options.locking = run_.lockings[draw(run_.lockings.size())];
      auto txn = database_.begin(options);
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
    switch (draw(13)) {
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
        if (draw(2) == 0) {
          static_cast<void>(txn.add(keyspace_, at, 1));
        } else {
          static_cast<void>(txn.add_and_get(keyspace_, at, 1));
        }
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
        static_cast<void>(txn.get_for_share(keyspace_, at));
        break;
      case 11:
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

// One database for run after run: each begins on what the one before has left, some of it in the
// base and some in memory, and checkpoints and reclaim go on beside the sessions.
class RecordedRuns {
 public:
  RecordedRuns() : database_(options()) {
    database_.put("a", "1");
    database_.checkpoint();
    database_.reclaim();
  }

  History play(const RandomRun& run) {
    const auto recorder = std::make_shared<Recorder>();
    database_->add_observer(recorder);
    std::vector<std::thread> threads;
    threads.reserve(run.sessions);
    for (std::size_t i = 0; i < run.sessions; ++i) {
      threads.emplace_back(
          [this, &recorder, &run, i] { RandomSession(database_, *recorder, run, i).play(); });
    }
    for (std::size_t i = 0; i < run.transactions / 10; ++i) {
      std::this_thread::yield();
      database_.checkpoint();
      database_.reclaim();
    }
    for (std::thread& thread : threads) thread.join();
    database_->remove_observer(recorder);
    return recorder->history();
  }

 private:
  static Options options() {
    Options options = isolde::test::small_options();
    options.durability = Durability::none();
    return options;
  }

  isolde::test::TempDatabase database_;
};

History recorded(const RandomRun& run) { return RecordedRuns().play(run); }

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

const std::vector<Isolation> any_level(all_isolations.begin(), all_isolations.end());
constexpr std::array both_lockings{Locking::optimistic, Locking::pessimistic};

BOOST_AUTO_TEST_SUITE(stress_recorded)

// Optimists and pessimists mixed.
BOOST_AUTO_TEST_CASE(serializable_runs_are_strictly_serializable) {
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

BOOST_AUTO_TEST_CASE(long_runs_of_mixed_levels_keep_the_promise_of_each) {
  const std::uint64_t start = seed();
  for (std::size_t round = 0; round < 12 * scale(); ++round) {
    const Verdict verdict = check(recorded({derive(start, round), any_level}));
    BOOST_TEST(test::promises(verdict) == "kept",
               "ISOLDE_SEED=" << start << " round " << round << ": " << broken_text(verdict));
  }
}

// Short ones begin anew so often that each meets the others at other moments.
BOOST_AUTO_TEST_CASE(thousands_of_short_runs_of_mixed_levels_keep_the_promise_of_each) {
  const std::uint64_t start = seed();
  RecordedRuns runs;
  std::size_t committed = 0;
  std::size_t aborted = 0;
  std::size_t serializable = 0;
  const std::size_t count = isolde::test::rounds(4000);
  for (std::size_t round = 0; round < count; ++round) {
    const bool strict = round % 2 == 0;
    const Verdict verdict =
        check(runs.play({derive(start, round),
                         strict ? std::vector{Isolation::serializable} : any_level,
                         {Locking::optimistic, Locking::pessimistic},
                         3,
                         5}));
    committed += verdict.committed;
    aborted += verdict.aborted;
    serializable += verdict.serializable ? 1 : 0;
    if (test::promises(verdict) != "kept" || (strict && !verdict.strictly_serializable)) {
      BOOST_FAIL("ISOLDE_SEED=" << start << " round " << round << ": " << broken_text(verdict));
    }
  }
  BOOST_TEST_MESSAGE(count << " runs, " << committed << " committed, " << aborted << " aborted, "
                           << serializable << " serializable");
  BOOST_TEST(committed > count);
  BOOST_TEST(aborted > count / 10);
}

BOOST_AUTO_TEST_CASE(runs_of_one_level_show_what_it_admits_and_nothing_else) {
  const std::uint64_t start = seed();
  for (const Locking locking : both_lockings) {
    for (const Isolation level : all_isolations) {
      bool found = false;
      for (std::size_t round = 0; round < 6 * scale(); ++round) {
        const History history = recorded({derive(start, round), {level}, {locking}});
        const Verdict verdict = check(history);
        BOOST_TEST((verdict.strongest && *verdict.strongest >= level),
                   "ISOLDE_SEED=" << start << " at " << name(level) << " round " << round << ": "
                                  << broken_text(verdict));
        for (const Phenomenon phenomenon : verdict.phenomena()) {
          BOOST_TEST((phenomenon != Phenomenon::stale_read),
                     "ISOLDE_SEED=" << start << " at " << name(level) << " round " << round << ": "
                                    << broken_text(verdict));
        }
        found = found || !verdict.anomalies.empty();
      }
      BOOST_TEST(found == (level != Isolation::serializable), name(level) << name(locking));
    }
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

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
