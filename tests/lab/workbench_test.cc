// The interactive shell without its terminal, where Ctrl-C comes exactly when it shall.
#include "lab/workbench/workbench.h"

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <map>
#include <string>

#include "lab/play/playground.h"

namespace isolde::lab {
namespace {

class ScriptedHost final : public Host {
 public:
  void show(std::string_view text, bool) override { shown += text; }
  Waited wait(std::optional<std::chrono::milliseconds>) override { return Waited::interrupted; }
  void woken() override {}
  // Ctrl-C is hit once this has been asked so many times.
  bool interrupted() const override { return left > 0 && --left == 0; }
  Result<std::string> read(const std::string& file) override { return files[file]; }
  Result<void> write(const std::string& file, std::string_view text) override {
    files[file] = text;
    return {};
  }

  std::string take() { return std::exchange(shown, {}); }

  std::string shown;
  std::map<std::string, std::string> files;
  mutable std::atomic<int> left{0};
};

struct Desk {
  Desk() {
    Workbench::Setting setting;
    setting.directory = directory.path() / "db";
    setting.database.durability = Durability::none();
    setting.database.lock_timeout = no_lock_timeout;
    bench.emplace(setting, ScreenStyle{}, host);
    BOOST_REQUIRE(bench->open());
    for (const char* line : {"put a 1; put b 2; put c 3; put d 4", "begin", "put e 5"}) type(line);
    host.take();
  }
  std::string type(std::string_view line) {
    bench->execute(line);
    return host.take();
  }

  ScriptedHost host;
  TemporaryDirectory directory = TemporaryDirectory::create("isolde-workbench-test-").value();
  std::optional<Workbench> bench;
};

BOOST_AUTO_TEST_SUITE(workbench)

BOOST_AUTO_TEST_CASE(a_scan_that_is_interrupted_ends_its_transaction_and_not_the_shell) {
  for (const std::string command : {"scan *", "count *", "sum *", "scan * where value = 9"}) {
    Desk desk;
    desk.host.left = 3;
    BOOST_TEST(desk.type(command) == "A: cancelled\n   interrupted\n", command);
    BOOST_TEST(desk.bench->prompt() == "A[rr optimistic aborted]> ");
    BOOST_TEST(desk.type("get e").find("transaction_finished") != std::string::npos);
    BOOST_TEST(desk.type("rollback; get e") == "A: rollback → ok\nA: get e → absent\n");
    BOOST_TEST(desk.type("save mine.iso").find("was cancelled by hand") != std::string::npos);
  }
}

BOOST_AUTO_TEST_CASE(outside_a_transaction_only_the_scan_is_lost) {
  Desk desk;
  desk.type("commit");
  desk.host.left = 3;
  BOOST_TEST(desk.type("scan *") == "A: cancelled\n   interrupted\n");
  BOOST_TEST(desk.type("count *") == "A: 5\n");
}

BOOST_AUTO_TEST_CASE(a_file_that_is_interrupted_ends_between_its_lines) {
  Desk desk;
  desk.host.files["steps"] = "get a\nget b\nget c\n";
  desk.host.left = 2;
  BOOST_TEST(desk.type("source steps") ==
             "A[rr optimistic open]> get a\nA: 1\nsteps: interrupted at line 2\n");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
