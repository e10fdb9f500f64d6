// Crashes of the machine at every step, in every shape: what was acknowledged is replayed whole and
// in order, what was not comes back only as a continuation of that, or not at all (I6, I7, L2, L3).

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <string>
#include <vector>

#include "tests/engine/log_fixture.h"
#include "tests/support/seed.h"

namespace isolde::engine {
namespace {

using test::Crash;
using test::derive;
using test::FaultFileSystem;
using test::Unsynced;

constexpr std::array all_fates{Unsynced::dropped, Unsynced::kept, Unsynced::reordered,
                               Unsynced::cut,     Unsynced::torn, Unsynced::scrambled};

Crash random_crash(std::mt19937_64& random) {
  Crash crash;
  crash.writes = all_fates[random() % all_fates.size()];
  crash.names = all_fates[random() % 3];
  crash.seed = random();
  return crash;
}

std::size_t random_entry_bytes(std::mt19937_64& random) {
  switch (random() % 12) {
    case 0:
      return random() % 30000;
    case 1:
      return 4090 + random() % 12;
    case 2:
      return 7900 + random() % 400;
    case 3:
      return 0;
    default:
      return random() % 900;
  }
}

// The log, and what a user of it knows: everything appended, what was acknowledged, and where the
// base is. An entry is told by its timestamp and by how often that was given (a torn tail's
// timestamps are given again).
class Model {
 public:
  explicit Model(std::uint64_t seed) : random_(seed) {}

  std::mt19937_64& random() { return random_; }
  CommitLog* log() { return log_.get(); }
  std::uint64_t base_at() const { return base_at_; }
  std::uint64_t acknowledged() const { return acknowledged_; }

  // Opens the log; "" or what is wrong with what was replayed. An empty log is expected until one
  // was opened.
  std::string open(FaultFileSystem& files, bool sync = true) {
    LogOptions options = small_segments();
    options.fresh = !opened_;
    options.sync = sync;
    log_.reset();
    auto opened = open_log(files, base_at_, options);
    if (!opened) return opened.error().to_string();
    opened_ = true;
    if (!opened->dense) return "the replay is not in order";
    const std::uint64_t end =
        opened->replayed.empty() ? base_at_ : opened->replayed.rbegin()->first;
    for (const auto& [at, entry] : opened->replayed) {
      const auto appended = appended_.find(at);
      if (appended == appended_.end()) return "commit " + std::to_string(at) + " is invented";
      if (appended->second != entry) return "commit " + std::to_string(at) + " is not what it was";
    }
    if (end < acknowledged_) {
      return "commit " + std::to_string(end + 1) + " was acknowledged and is lost";
    }
    if (opened->log->durable().value != end) return "durable() is not the last commit";
    log_ = std::move(opened->log);
    appended_.erase(appended_.upper_bound(end), appended_.end());
    acknowledged_ = end;  // from here on it must not be lost any more
    return {};
  }

  // Some commits, until done or the files fail.
  void work(std::size_t steps) {
    for (std::size_t i = 0; i < steps; ++i) {
      const std::uint64_t at = log_->appended().value + 1;
      std::string entry = entry_of(at, random_entry_bytes(random_));
      entry += "#" + std::to_string(random_());
      auto reservation = log_->reserve(entry.size());
      if (!reservation) return;
      appended_[at] = entry;
      log_->append(Timestamp{at}, std::move(entry), *std::move(reservation));
      if (random_() % 3 == 0 && !persist()) return;
      if (random_() % 12 == 0) checkpoint();
    }
  }

  bool persist() {
    const Timestamp at = log_->appended();
    if (!log_->persist(at)) return false;
    acknowledged_ = at.value;
    return true;
  }

  void checkpoint() {
    const std::uint64_t durable = log_->durable().value;
    if (durable > base_at_) base_at_ += random_() % (durable - base_at_ + 1);
    log_->release(Timestamp{base_at_});
  }

  void close() { log_.reset(); }

  // The same knowledge, without a log.
  Model closed_copy() const {
    Model copy(1);
    copy.random_ = random_;
    copy.appended_ = appended_;
    copy.acknowledged_ = acknowledged_;
    copy.base_at_ = base_at_;
    copy.opened_ = opened_;
    return copy;
  }
  void acknowledge_only(std::uint64_t at) { acknowledged_ = std::max(at, base_at_); }

 private:
  std::mt19937_64 random_;
  std::unique_ptr<CommitLog> log_;
  Entries appended_;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t base_at_ = 0;
  bool opened_ = false;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(crash_log)

// The model must refuse a log that forgets: otherwise the tests below pass for nothing.
BOOST_AUTO_TEST_CASE(the_model_notices_a_lost_and_an_altered_commit) {
  FaultFileSystem files;
  Model model(1);
  BOOST_REQUIRE(model.open(files).empty());
  model.work(10);
  BOOST_REQUIRE(model.persist());
  model.close();
  const auto before = files.clone();
  const RecordHeader last = record_of(files, model.acknowledged());
  files.overwrite(segment_path(last.segment), last.offset + record_header_bytes, "#");
  BOOST_TEST(model.open(files).find("lost") != std::string::npos);
  Model other(2);
  BOOST_REQUIRE(!other.open(*before).empty());
}

// Random work, a crash of a random shape at a random moment, recovery, and on: epochs pile up in
// one set of files.
BOOST_AUTO_TEST_CASE(acknowledged_commits_survive_crashes_of_every_shape) {
  const std::uint64_t seed = test::seed();
  std::size_t images = 0;
  for (std::size_t round = 0; round < test::rounds(400); ++round) {
    const std::uint64_t round_seed = derive(seed, round);
    BOOST_TEST_CONTEXT("ISOLDE_SEED=" << seed << " round " << round) {
      Model model(round_seed);
      auto files = std::make_unique<FaultFileSystem>(round_seed);
      BOOST_REQUIRE_EQUAL(model.open(*files), "");
      for (int epoch = 0; epoch < 6; ++epoch) {
        files->power_off_after(model.random()() % 120);
        model.work(60);
        model.close();
        files = files->crash(random_crash(model.random()));
        BOOST_REQUIRE_EQUAL(model.open(*files), "");
        ++images;
      }
    }
  }
  BOOST_TEST_MESSAGE(images << " crash images");
}

// The crash happens while the log is opened: after each single operation, in every shape, twice
// over (the second recovery finds what the first one left unfinished).
BOOST_AUTO_TEST_CASE(a_crash_at_every_step_of_recovery_leaves_a_log_that_can_be_recovered) {
  const std::uint64_t seed = test::seed();
  for (std::size_t round = 0; round < 6 * test::scale(); ++round) {
    Model model(derive(seed, round));
    FaultFileSystem files;
    BOOST_REQUIRE_EQUAL(model.open(files), "");
    model.work(30 + model.random()() % 30);
    BOOST_REQUIRE(model.persist());
    if (round % 2 == 0) model.checkpoint();
    const auto appended_later = model.random()() % 3;
    for (std::uint64_t i = 0; i < appended_later; ++i) model.work(1);
    model.close();
    for (std::uint64_t step = 0;; ++step) {
      auto stopped = files.clone();
      stopped->power_off_after(step);
      const bool finished = open_log(*stopped, model.base_at()).has_value();
      for (const Unsynced writes : all_fates) {
        for (const Unsynced names : {Unsynced::dropped, Unsynced::kept, Unsynced::reordered}) {
          BOOST_TEST_CONTEXT("ISOLDE_SEED=" << seed << " round " << round << " step " << step
                                            << " writes " << static_cast<int>(writes) << " names "
                                            << static_cast<int>(names)) {
            auto crashed = stopped->crash({writes, names, model.random()()});
            crashed->power_off_after(model.random()() % 12);
            static_cast<void>(open_log(*crashed, model.base_at()));
            crashed = crashed->crash(random_crash(model.random()));
            Model checked = model.closed_copy();
            BOOST_REQUIRE_EQUAL(checked.open(*crashed), "");
          }
        }
      }
      if (finished && stopped->operations() < step) break;
    }
  }
}

// From nothing: until the first open has returned, there may or may not be a log.
BOOST_AUTO_TEST_CASE(a_crash_at_every_step_of_the_first_opening_leaves_no_log_or_a_whole_one) {
  const std::uint64_t seed = test::seed();
  std::mt19937_64 random(seed);
  for (std::uint64_t step = 0;; ++step) {
    FaultFileSystem files;
    files.power_off_after(step);
    const bool finished = open_log(files, 0, fresh_log()).has_value();
    for (int i = 0; i < 50; ++i) {
      const auto crashed = files.crash(random_crash(random));
      if (finished) BOOST_REQUIRE(open_log(*crashed->clone()).has_value());
      const auto opened = open_log(*crashed, 0, fresh_log());
      BOOST_REQUIRE_EQUAL(opened ? "" : opened.error().to_string(), "");
      BOOST_REQUIRE(opened->replayed.empty());
      BOOST_REQUIRE(commit(*opened->log));
    }
    if (finished) break;
  }
}

// After every single file operation of a run with switches, releases and large entries.
BOOST_AUTO_TEST_CASE(a_crash_after_every_operation_of_a_run_loses_nothing) {
  const std::uint64_t seed = test::seed();
  std::mt19937_64 random(seed);
  for (std::size_t round = 0; round < 2 * test::scale(); ++round) {
    const std::uint64_t round_seed = derive(seed, round);
    std::uint64_t total = 0;
    for (std::uint64_t step = 0; step <= total; ++step) {
      FaultFileSystem files;
      Model model(round_seed);
      BOOST_REQUIRE_EQUAL(model.open(files), "");
      if (step > 0) files.power_off_after(step - 1);
      const std::uint64_t before = files.operations();
      model.work(80);
      if (step == 0) total = files.operations() - before;
      model.close();
      for (int i = 0; i < 3; ++i) {
        const Crash crash = random_crash(random);
        BOOST_TEST_CONTEXT("ISOLDE_SEED=" << seed << " round " << round << " step " << step) {
          Model checked = model.closed_copy();
          BOOST_REQUIRE_EQUAL(checked.open(*files.crash(crash)), "");
        }
      }
    }
  }
}

// A sync fails; the kernel forgets what it could not write, yet reads show it. Neither a reopening
// on the spot, nor a crash after that, may lose what was acknowledged, or fail to open.
BOOST_AUTO_TEST_CASE(a_failed_sync_loses_nothing_and_blocks_no_opening) {
  const std::uint64_t seed = test::seed();
  for (std::size_t round = 0; round < test::rounds(300); ++round) {
    const std::uint64_t round_seed = derive(seed, round);
    BOOST_TEST_CONTEXT("ISOLDE_SEED=" << seed << " round " << round) {
      Model model(round_seed);
      auto files = std::make_unique<FaultFileSystem>(round_seed);
      BOOST_REQUIRE_EQUAL(model.open(*files), "");
      for (int epoch = 0; epoch < 4; ++epoch) {
        switch (model.random()() % 4) {
          case 0:
            files->fail_sync(1 + model.random()() % 20, EIO);
            break;
          case 1:
            files->fail_write(1 + model.random()() % 20, EIO);
            break;
          case 2:
            files->short_write(1 + model.random()() % 20, ENOSPC);
            break;
          default:
            files->limit_bytes(files->total_bytes() + model.random()() % 40000);
        }
        model.work(60);
        model.close();
        files->clear_faults();
        if (model.random()() % 2 == 0) {
          // The process goes on with what the page cache shows, and the machine crashes while the
          // log is opened again: nothing that it saw may be taken for durable.
          files->power_off_after(model.random()() % 14);
          static_cast<void>(open_log(*files, model.base_at()));
        }
        if (model.random()() % 4 != 0) files = files->crash(random_crash(model.random()));
        files->clear_faults();
        BOOST_REQUIRE_EQUAL(model.open(*files), "");
      }
    }
  }
}

// Without syncs a crash of the machine may take anything that no checkpoint and no opening had
// secured, but what is left is a beginning, and opens.
BOOST_AUTO_TEST_CASE(without_sync_a_crash_leaves_a_beginning) {
  const std::uint64_t seed = test::seed();
  for (std::size_t round = 0; round < test::rounds(200); ++round) {
    const std::uint64_t round_seed = derive(seed, round);
    BOOST_TEST_CONTEXT("ISOLDE_SEED=" << seed << " round " << round) {
      Model model(round_seed);
      auto files = std::make_unique<FaultFileSystem>(round_seed);
      BOOST_REQUIRE_EQUAL(model.open(*files, false), "");
      for (int epoch = 0; epoch < 4; ++epoch) {
        const std::uint64_t secured = model.acknowledged();
        model.work(60);
        model.close();
        model.acknowledge_only(secured);
        files = files->crash(random_crash(model.random()));
        BOOST_REQUIRE_EQUAL(model.open(*files, false), "");
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace isolde::engine
