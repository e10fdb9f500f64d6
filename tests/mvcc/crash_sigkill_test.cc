// A process at work is killed at any moment, again and again, on one directory.
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "mvcc/database_core.h"
#include "tests/support/bank.h"
#include "tests/support/crash_world.h"
#include "tests/support/seed.h"

using namespace isolde;
using namespace isolde::test;

namespace {

constexpr unsigned tellers = 4;

// What a teller says once commit() has returned; written by one atomic write.
struct Acknowledgement {
  std::uint32_t teller;
  std::uint32_t number;
};

std::string receipt_name(std::uint64_t round, const Acknowledgement& acknowledged) {
  return std::to_string(round) + '/' + std::to_string(acknowledged.teller) + '/' +
         std::to_string(acknowledged.number);
}

Options bank_options() {
  Options options;
  options.initial_map_bytes = std::size_t{1} << 20;
  options.log_segment_bytes = std::size_t{16} << 10;
  options.checkpoint_log_bytes = std::size_t{8} << 10;  // one checkpoint after the other
  return options;
}

// The child: works until it is killed. Its exit code says what went wrong.
int work(const std::filesystem::path& directory, std::uint64_t round, std::uint64_t seed, int out) {
  auto db = Database::open(directory, bank_options());
  if (!db) return 2;
  auto bank = Bank::open(*db);
  if (!bank) return 3;
  std::vector<std::thread> threads;
  for (std::uint32_t teller = 0; teller < tellers; ++teller) {
    threads.emplace_back([&, teller] {
      std::mt19937_64 random(derive(seed, teller));
      for (Acknowledgement done{teller, 0};; ++done.number) {
        if (!bank->transfer(receipt_name(round, done), random)) ::_exit(4);
        if (::write(out, &done, sizeof done) != static_cast<ssize_t>(sizeof done)) ::_exit(5);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

class Victim {
 public:
  Victim(const std::filesystem::path& directory, std::uint64_t round, std::uint64_t seed) {
    int ends[2];
    BOOST_REQUIRE(::pipe(ends) == 0);
    child_ = ::fork();
    BOOST_REQUIRE(child_ >= 0);
    if (child_ == 0) {
      for (const int number : {SIGSEGV, SIGBUS, SIGABRT}) std::signal(number, SIG_DFL);
      ::close(ends[0]);
      ::_exit(work(directory, round, seed, ends[1]));
    }
    ::close(ends[1]);
    from_ = ends[0];
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  ~Victim() { ::close(from_); }

  // Listens until so many transfers were acknowledged, or for so long, then kills.
  void listen_and_kill(std::size_t acknowledgements, int milliseconds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    while (heard.size() < acknowledgements) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      pollfd readable{from_, POLLIN, 0};
      if (left.count() <= 0 || ::poll(&readable, 1, static_cast<int>(left.count())) == 0) break;
      if (!hear()) break;
    }
    ::kill(child_, SIGKILL);
    // What it had said before it died.
    while (hear()) {
    }
    int status = 0;
    while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
    }
    was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::vector<Acknowledgement> heard;
  bool was_killed = false;
  int exit_code = -1;

 private:
  bool hear() {
    Acknowledgement one{};
    ssize_t got = 0;
    do {
      got = ::read(from_, &one, sizeof one);
    } while (got < 0 && errno == EINTR);
    if (got != static_cast<ssize_t>(sizeof one)) return false;
    heard.push_back(one);
    return true;
  }

  pid_t child_ = -1;
  int from_ = -1;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(crash_sigkill)

BOOST_AUTO_TEST_CASE(a_bank_that_is_killed_at_any_moment_keeps_every_acknowledged_transfer) {
  const std::uint64_t first_seed = seed();
  const std::uint64_t kills = 200 * scale();
  BOOST_TEST_CONTEXT("ISOLDE_SEED=" << first_seed) {
    std::mt19937_64 random(first_seed);
    const FastDirectory directory;
    const auto path = directory.path() / "bank";
    std::vector<std::string> promised;
    std::uint64_t checkpoint = 0;
    for (std::uint64_t round = 0; round < kills; ++round) {
      Victim victim(path, round, random());
      // One in four at a moment of no meaning: in the midst of its recovery, say.
      const bool early = random() % 4 == 0;
      const std::size_t acknowledgements = early ? 1 : 1 + random() % 150;
      victim.listen_and_kill(acknowledgements, early ? static_cast<int>(random() % 8) : 30'000);
      BOOST_REQUIRE_MESSAGE(victim.was_killed,
                            "round " << round << ": it ended by itself, with " << victim.exit_code);
      for (const Acknowledgement& one : victim.heard) promised.push_back(receipt_name(round, one));

      Database db = must(Database::open(path, bank_options()));
      const VerifyReport report = must(db.verify());
      BOOST_REQUIRE(report.checkpoint.value >= checkpoint);
      checkpoint = report.checkpoint.value;
      Bank bank = must(Bank::open(db));
      const Bank::Audit audit = must(bank.audit(Isolation::repeatable_read));
      BOOST_REQUIRE_MESSAGE(audit.wrong.empty(), "round " << round << ": " << audit.wrong);
      // All of this round's, and any of the others: they are in the same trees.
      for (std::size_t i = promised.size(); i-- > 0;) {
        if (promised.size() - i > victim.heard.size() && random() % 16 != 0) continue;
        BOOST_REQUIRE_MESSAGE(
            must(bank.has_receipt(promised[i])),
            "round " << round << ": transfer " << promised[i] << " was acknowledged, and is gone");
      }
      if (random() % 2 == 0) DatabaseInternals::abandon(std::move(db));
    }
    BOOST_TEST_MESSAGE(kills << " kills, " << promised.size() << " transfers acknowledged, at "
                             << checkpoint);
    BOOST_TEST(promised.size() > kills);
    BOOST_TEST(checkpoint > 0u);
  }
}

BOOST_AUTO_TEST_SUITE_END()
