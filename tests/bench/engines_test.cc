// The engines as the workloads see them: the same answers from each, so that none is measured doing
// less than the others.
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <map>

#include "bench/engines/subject.h"
#include "bench/run/turn.h"

namespace isolde::bench {
namespace {

class Directory {
 public:
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "engines.XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw CannotRun("no directory");
    path_ = pattern;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::map<std::string, std::string> scanned(Client& client, const std::string& from,
                                           std::size_t limit) {
  std::map<std::string, std::string> found;
  auto note = [&](std::string_view key, std::string_view value) { found.emplace(key, value); };
  BOOST_TEST((client.scan(from, "z", limit, note) == Reason::none));
  return found;
}

void load_letters(Engine& engine) {
  engine.load([at = 'a'](std::string& key, std::string& value) mutable {
    if (at == 'f') return false;
    key = std::string(1, at);
    value = std::string(20, at++);
    return true;
  });
}

BOOST_AUTO_TEST_SUITE(engines)

BOOST_AUTO_TEST_CASE(every_subject_reads_writes_scans_and_rolls_back_alike) {
  for (const Subject& subject : all_subjects()) {
    BOOST_TEST_CONTEXT(subject.name) {
      const Directory directory;
      const auto engine = open_engine(subject.engine, {directory.path(), Synced::no, true, 1000});
      load_letters(*engine);
      const auto client = engine->client(subject.mode);
      client->begin(true);
      BOOST_TEST((client->get("c").value == std::string(20, 'c')));
      BOOST_TEST((client->get_for_update("b").value == std::string(20, 'b')));
      BOOST_TEST(!client->get("x").value.has_value());
      BOOST_TEST((client->put("b", "changed") == Reason::none));
      BOOST_TEST((client->erase("d") == Reason::none));
      BOOST_TEST((client->erase("x") == Reason::none));
      BOOST_TEST((client->get("b").value == "changed"));
      BOOST_TEST((client->commit() == Reason::none));

      client->begin(true);
      BOOST_TEST((client->put("a", "never") == Reason::none));
      client->rollback();

      client->begin(false);
      const auto found = scanned(*client, "a", 100);
      const std::map<std::string, std::string> expected = {{"a", std::string(20, 'a')},
                                                           {"b", "changed"},
                                                           {"c", std::string(20, 'c')},
                                                           {"e", std::string(20, 'e')}};
      BOOST_TEST((found == expected));
      BOOST_TEST(scanned(*client, "bb", 2).size() == 2U);
      BOOST_TEST(scanned(*client, "bb", 2).begin()->first == "c");
      BOOST_TEST((client->commit() == Reason::none));
    }
  }
}

BOOST_AUTO_TEST_CASE(every_subject_claims_a_job_and_none_twice) {
  for (const Subject& subject : all_subjects()) {
    BOOST_TEST_CONTEXT(subject.name) {
      const Directory directory;
      const auto engine = open_engine(subject.engine, {directory.path(), Synced::no, true, 1000});
      load_letters(*engine);
      const auto client = engine->client(subject.mode);
      std::map<std::string, int> claimed;
      for (int i = 0; i < 6; ++i) {
        client->begin(true);
        std::string key;
        BOOST_TEST((client->claim("a", "z", static_cast<std::uint64_t>(i), key) == Reason::none));
        BOOST_TEST(key.empty() == (i == 5));
        if (!key.empty()) BOOST_TEST((client->erase(key) == Reason::none));
        BOOST_TEST((client->commit() == Reason::none));
        if (!key.empty()) ++claimed[key];
      }
      BOOST_TEST(claimed.size() == 5U);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_check_finds_an_update_that_was_lost) {
  Parameters work;
  work.keys = 10;
  for (const std::string_view workload : {"rmw", "smallbank", "job-queue", "rate-limiter"}) {
    BOOST_TEST_CONTEXT(workload) {
      work.workload = workload;
      const Directory directory;
      const auto [dataset, engine] = load_store("isolde", work, directory.path());
      const auto client = engine->client("rr-opt");
      BOOST_TEST(dataset->check(*client) == "");
      {
        // Says that it committed, though its writes were rolled back.
        const auto task = dataset->task(work, 0, 1);
        for (int i = 0; i < 20; ++i) {
          client->begin(task->draw());
          BOOST_TEST((task->attempt(*client) == Reason::none));
          client->rollback();
          task->committed();
        }
      }
      BOOST_TEST(dataset->check(*client) != "");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_turn_counts_what_it_commits_and_the_data_agrees) {
  Parameters work;
  work.workload = "transfer";
  work.keys = 100;
  work.hot = 2;
  work.clients = 4;
  for (const char* const mode : {"rc-pess", "rr-opt", "ser-opt", "ser-pess"}) {
    BOOST_TEST_CONTEXT(mode) {
      const Directory directory;
      const Store store = load_store("isolde", work, directory.path());
      const TurnResult turn = take_turn(store, work, mode, 0.05, 3);
      BOOST_TEST(turn.committed > 0U);
      BOOST_TEST(turn.attempts >= turn.committed);
      BOOST_TEST(turn.latency.count() == turn.committed);
      BOOST_TEST(turn.memory_bytes > 0U);
      BOOST_TEST(store.dataset->check(*store.engine->client(mode)) == "");
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::bench
