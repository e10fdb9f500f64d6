// The commit log as its users see it: commits come back, failures are what was promised.

#include "engine/log/commit_log.h"

#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <string>

#include "tests/engine/log_fixture.h"

namespace isolde::engine {
namespace {

using test::FaultFileSystem;

struct Log {
  explicit Log(LogOptions options = small_segments()) {
    log = std::move(open_log(files, 0, fresh_log(options)).value().log);
  }
  // Closes and opens again, as after the end of the process.
  OpenedLog reopen(std::uint64_t base_at = 0, LogOptions options = small_segments()) {
    log.reset();
    return open_log(files, base_at, options).value();
  }
  FaultFileSystem files;
  std::unique_ptr<CommitLog> log;
};

Entries entries_from(std::uint64_t first, std::uint64_t last, std::size_t bytes = 40) {
  Entries entries;
  for (std::uint64_t at = first; at <= last; ++at) entries[at] = entry_of(at, bytes);
  return entries;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(commit_log)

BOOST_FIXTURE_TEST_CASE(what_was_persisted_is_replayed, Log) {
  for (int i = 0; i < 10; ++i) BOOST_REQUIRE(commit(*log));
  BOOST_TEST(log->durable().value == 10);
  const OpenedLog again = reopen();
  BOOST_TEST((again.replayed == entries_from(1, 10)));
  BOOST_TEST(again.dense);
  BOOST_TEST(again.log->appended().value == 10);
  BOOST_TEST(again.log->durable().value == 10);
}

BOOST_FIXTURE_TEST_CASE(a_fresh_log_is_empty_and_can_be_reopened_empty, Log) {
  for (int i = 0; i < 3; ++i) {
    OpenedLog again = reopen();
    BOOST_TEST(again.replayed.empty());
    BOOST_TEST(again.log->durable().value == 0);
    log = std::move(again.log);
  }
}

BOOST_FIXTURE_TEST_CASE(commits_that_the_base_has_are_not_replayed, Log) {
  for (int i = 0; i < 10; ++i) BOOST_REQUIRE(append(*log, entry_of(log->appended().value + 1)));
  BOOST_REQUIRE(log->persist(log->appended()));  // one record: the base is in its middle
  OpenedLog again = reopen(4);
  BOOST_TEST((again.replayed == entries_from(5, 10)));
  log = std::move(again.log);
  BOOST_REQUIRE(commit(*log));
  again = reopen(11);
  BOOST_TEST(again.replayed.empty());
  BOOST_TEST(again.log->durable().value == 11);
}

BOOST_FIXTURE_TEST_CASE(life_goes_on_after_each_reopening, Log) {
  for (std::uint64_t epoch = 1; epoch <= 20; ++epoch) {
    BOOST_REQUIRE(commit(*log));
    BOOST_REQUIRE(commit(*log));
    OpenedLog again = reopen();
    BOOST_REQUIRE((again.replayed == entries_from(1, 2 * epoch)));
    log = std::move(again.log);
  }
}

BOOST_FIXTURE_TEST_CASE(entries_of_every_size_come_back, Log) {
  Entries written;
  for (const std::size_t bytes : {0u, 1u, 404u, 405u, 4096u, 4097u, 8000u, 8192u, 9000u, 20000u,
                                  300000u, 3u, 7000u, 7000u, 7000u, 100000u, 100001u, 5u}) {
    const std::uint64_t at = log->appended().value + 1;
    written[at] = std::string(bytes, static_cast<char>('a' + at));
    BOOST_REQUIRE(append(*log, written[at]));
    if (at % 3 == 0) BOOST_REQUIRE(log->persist(Timestamp{at}));
  }
  BOOST_REQUIRE(log->persist(log->appended()));
  BOOST_REQUIRE(log->verify());
  OpenedLog again = reopen();
  BOOST_TEST((again.replayed == written));
  log = std::move(again.log);
  again = reopen();
  BOOST_TEST((again.replayed == written));
}

BOOST_FIXTURE_TEST_CASE(a_group_that_does_not_fit_is_split_over_segments, Log) {
  for (int i = 0; i < 40; ++i) {
    BOOST_REQUIRE(append(*log, entry_of(log->appended().value + 1, 1000)));
  }
  BOOST_REQUIRE(log->persist(log->appended()));
  const auto summary = log->verify();
  BOOST_REQUIRE(summary);
  BOOST_TEST(summary->commits == 40);
  BOOST_TEST(summary->records > 1);
  BOOST_TEST((reopen().replayed == entries_from(1, 40, 1000)));
}

BOOST_FIXTURE_TEST_CASE(one_sync_serves_all_that_was_appended, Log) {
  for (int i = 0; i < 40; ++i) BOOST_REQUIRE(append(*log, "entry"));
  const std::uint64_t before = files.syncs();
  BOOST_REQUIRE(log->persist(Timestamp{1}));
  BOOST_TEST(log->durable().value == 40);
  BOOST_REQUIRE(log->persist(Timestamp{40}));
  BOOST_TEST(files.syncs() == before + 1);
}

BOOST_FIXTURE_TEST_CASE(released_segments_are_used_again, Log) {
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 20; ++i) BOOST_REQUIRE(commit(*log));
    log->release(Timestamp{log->durable().value - 5});
  }
  BOOST_TEST(files.files().size() <= 5);
  BOOST_TEST(log->stats().file_bytes == files.total_bytes());
  OpenedLog again = reopen(990);
  BOOST_TEST((again.replayed == entries_from(991, 1000)));
}

BOOST_FIXTURE_TEST_CASE(live_bytes_count_what_is_not_in_the_base, Log) {
  BOOST_TEST(log->live_bytes() == 0);
  BOOST_REQUIRE(append(*log, std::string(1000, 'x')));
  BOOST_TEST(log->live_bytes() >= 1000);  // before it is written
  BOOST_REQUIRE(log->persist(Timestamp{1}));
  for (int i = 0; i < 99; ++i) BOOST_REQUIRE(commit(*log, 1000));
  const std::uint64_t all = log->live_bytes();
  BOOST_TEST(all >= 100 * 1024);
  BOOST_TEST(all <= 100 * 1200);  // a record takes 1536: what pads it is not counted
  log->release(Timestamp{50});
  BOOST_TEST(log->live_bytes() <= all * 6 / 10);
  BOOST_TEST(log->live_bytes() >= all * 4 / 10);
  log->release(Timestamp{100});
  BOOST_TEST(log->live_bytes() == 0);
  BOOST_TEST(log->stats().live_bytes == 0);
}

BOOST_FIXTURE_TEST_CASE(live_bytes_of_a_replayed_tail_count_too, Log) {
  for (int i = 0; i < 50; ++i) BOOST_REQUIRE(commit(*log, 1000));
  OpenedLog again = reopen(20);
  BOOST_TEST(again.log->live_bytes() >= 30 * 1000);
  again.log->release(Timestamp{50});
  BOOST_TEST(again.log->live_bytes() == 0);
}

BOOST_FIXTURE_TEST_CASE(a_reservation_that_is_dropped_gives_its_space_back, Log) {
  const std::uint64_t before = files.total_bytes();
  for (int i = 0; i < 1000; ++i) BOOST_REQUIRE(log->reserve(1000));
  for (int i = 0; i < 10; ++i) {
    auto reservation = log->reserve(1000).value();
    reservation = log->reserve(500).value();
  }
  BOOST_TEST(files.total_bytes() == before);
}

BOOST_FIXTURE_TEST_CASE(a_reservation_may_be_larger_than_its_entry, Log) {
  Entries written;
  for (std::uint64_t at = 1; at <= 60; ++at) {
    const std::size_t reserved = at % 4 == 0 ? 50000 : at % 4 == 1 ? 6000 : 3000;
    auto reservation = log->reserve(reserved).value();
    written[at] = entry_of(at, at % 7 * 20);
    log->append(Timestamp{at}, written[at], std::move(reservation));
    if (at % 5 == 0) BOOST_REQUIRE(log->persist(Timestamp{at}));
  }
  BOOST_TEST((reopen().replayed == written));
}

BOOST_FIXTURE_TEST_CASE(a_full_disk_is_told_at_the_reservation_and_changes_nothing, Log) {
  files.limit_bytes(files.total_bytes() + 3000);
  std::uint64_t committed = 0;
  for (;;) {
    const auto done = commit(*log, 1000);
    if (!done) {
      BOOST_TEST((done.error().code() == ErrorCode::disk_full));
      break;
    }
    ++committed;
  }
  BOOST_TEST(committed > 0);
  BOOST_TEST(!log->failed());
  BOOST_TEST(log->appended().value == committed);
  BOOST_TEST(files.total_bytes() <= 2 * least_segment_bytes);
  const auto large = log->reserve(100000);
  BOOST_REQUIRE(!large);
  BOOST_TEST((large.error().code() == ErrorCode::disk_full));
  BOOST_TEST((open_log(*files.clone()).value().replayed == entries_from(1, committed, 1000)));
  files.clear_faults();
  BOOST_REQUIRE(commit(*log, 1000));
  BOOST_TEST((reopen().replayed == entries_from(1, committed + 1, 1000)));
}

BOOST_FIXTURE_TEST_CASE(a_released_segment_helps_on_a_full_disk, Log) {
  while (files.files().size() < 3) BOOST_REQUIRE(commit(*log, 1000));
  files.limit_bytes(0);
  for (int i = 0; i < 300; ++i) {
    BOOST_REQUIRE(commit(*log, 1000));
    log->release(log->durable());
  }
}

BOOST_FIXTURE_TEST_CASE(an_io_error_while_a_segment_is_made_does_not_fail_the_log, Log) {
  files.fail_sync(1, EIO);
  const auto refused = log->reserve(100000);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code() == ErrorCode::io_error));
  BOOST_TEST(!log->failed());
  BOOST_REQUIRE(commit(*log, 100000));
  BOOST_TEST((reopen().replayed == entries_from(1, 1, 100000)));
}

// I8. Which of the two it was must not matter.
BOOST_AUTO_TEST_CASE(a_failed_write_or_sync_fails_the_log_for_good) {
  for (const bool in_sync : {false, true}) {
    Log fixture;
    CommitLog& log = *fixture.log;
    for (int i = 0; i < 5; ++i) BOOST_REQUIRE(commit(log));
    auto reservation = log.reserve(10).value();
    if (in_sync) {
      fixture.files.fail_sync(1, EIO);
    } else {
      fixture.files.short_write(1, EIO);
    }
    const auto doubtful = commit(log);
    BOOST_REQUIRE(!doubtful);
    BOOST_TEST((doubtful.error().code() == ErrorCode::commit_outcome_unknown));
    BOOST_TEST(doubtful.error().message().find("Input/output error") != std::string::npos);
    BOOST_TEST(doubtful.error().evidence().system_error == EIO);
    BOOST_TEST(log.failed());
    BOOST_TEST((log.failure().code() == ErrorCode::database_failed));
    BOOST_TEST(log.durable().value == 5);
    const auto refused = log.reserve(10);
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code() == ErrorCode::database_failed));
    BOOST_TEST(refused.error().message().find(in_sync ? "cannot sync" : "cannot write") !=
               std::string::npos);
    // One that had its reservation already is in doubt too; what was durable stays so.
    log.append(Timestamp{7}, "late", std::move(reservation));
    const std::uint64_t operations = fixture.files.operations();
    BOOST_TEST((log.persist(Timestamp{7}).error().code() == ErrorCode::commit_outcome_unknown));
    BOOST_TEST(log.persist(Timestamp{5}).has_value());
    BOOST_TEST(fixture.files.operations() == operations);  // never tried again
    const OpenedLog again = fixture.reopen();
    BOOST_TEST(again.dense);
    BOOST_TEST(again.replayed.size() >= 5);
    BOOST_TEST(again.replayed.size() <= 6);
  }
}

BOOST_FIXTURE_TEST_CASE(a_full_disk_in_the_middle_of_a_write_fails_the_log, Log) {
  BOOST_REQUIRE(commit(*log));
  files.short_write(1, ENOSPC);  // a copy-on-write file system can run out in place
  BOOST_TEST((commit(*log).error().code() == ErrorCode::commit_outcome_unknown));
  BOOST_TEST(log->failed());
}

BOOST_FIXTURE_TEST_CASE(a_failure_while_segments_are_switched_fails_the_log, Log) {
  while (files.files().size() < 2) BOOST_REQUIRE(commit(*log, 1000));
  std::uint64_t committed = log->durable().value;
  bool failed = false;
  for (int i = 0; i < 20 && !failed; ++i) {
    auto reservation = log->reserve(1000).value();
    files.fail_sync(2, EIO);  // one sync is for the record; two are a switch
    log->append(Timestamp{committed + 1}, entry_of(committed + 1, 1000), std::move(reservation));
    failed = !log->persist(Timestamp{committed + 1});
    committed += failed ? 0 : 1;
    files.clear_faults();
  }
  BOOST_TEST(failed);
  const OpenedLog again = reopen();
  BOOST_TEST(again.replayed.size() >= committed);
}

BOOST_FIXTURE_TEST_CASE(what_can_not_be_removed_is_removed_later, Log) {
  for (int i = 0; i < 200; ++i) BOOST_REQUIRE(commit(*log, 1000));
  BOOST_REQUIRE(commit(*log, 100000));
  BOOST_REQUIRE(commit(*log, 1000));
  while (files.files().size() < 10) BOOST_REQUIRE(commit(*log, 1000));
  const std::uint64_t before = files.total_bytes();
  // A segment of its own stays in use until the next one is.
  for (int i = 0; i < 40; ++i) BOOST_REQUIRE(commit(*log, 1000));
  files.fail_remove(1, EIO);
  log->release(log->durable());
  BOOST_TEST(log->stats().file_bytes == files.total_bytes());
  log->release(log->durable());
  BOOST_TEST(log->stats().file_bytes == files.total_bytes());
  BOOST_TEST(files.total_bytes() < before);
  BOOST_TEST(reopen(log->durable().value).replayed.empty());
}

BOOST_FIXTURE_TEST_CASE(without_sync_nothing_is_synced_and_a_process_crash_loses_nothing, Log) {
  LogOptions options = small_segments();
  options.sync = false;
  log = reopen(0, options).log;
  const std::uint64_t before = files.syncs();
  for (int i = 0; i < 5; ++i) BOOST_REQUIRE(commit(*log));
  BOOST_TEST(log->durable().value == 5);
  BOOST_TEST(files.syncs() == before);
  BOOST_TEST((reopen().replayed == entries_from(1, 5)));
}

BOOST_FIXTURE_TEST_CASE(read_only_replays_and_writes_nothing, Log) {
  for (int i = 0; i < 5; ++i) BOOST_REQUIRE(commit(*log));
  LogOptions options = small_segments();
  options.read_only = true;
  const std::uint64_t before = files.operations();
  const OpenedLog again = reopen(2, options);
  BOOST_TEST((again.replayed == entries_from(3, 5)));
  BOOST_TEST(again.log->durable().value == 5);
  BOOST_TEST(again.log->persist(Timestamp{5}).has_value());
  BOOST_TEST((again.log->reserve(1).error().code() == ErrorCode::read_only));
  BOOST_TEST(files.operations() == before);
}

BOOST_FIXTURE_TEST_CASE(the_replay_can_be_refused_and_the_log_stays_as_it_was, Log) {
  for (int i = 0; i < 5; ++i) BOOST_REQUIRE(commit(*log));
  log.reset();
  const auto before = files.files();
  const auto refused =
      CommitLog::open(files, log_directory, small_segments(), test_database, Timestamp{0},
                      [](Timestamp at, std::string_view) -> Result<void> {
                        if (at.value < 3) return {};
                        return Error(ErrorCode::out_of_memory, "no more");
                      });
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code() == ErrorCode::out_of_memory));
  BOOST_TEST((files.files() == before));
  BOOST_TEST((reopen().replayed == entries_from(1, 5)));
}

BOOST_FIXTURE_TEST_CASE(a_large_tail_is_rewritten_whole, Log) {
  for (int i = 0; i < 500; ++i) BOOST_REQUIRE(commit(*log, 2000));
  OpenedLog again = reopen();
  BOOST_TEST((again.replayed == entries_from(1, 500, 2000)));
  BOOST_TEST(again.dense);
  log = std::move(again.log);
  for (int i = 0; i < 10; ++i) BOOST_REQUIRE(commit(*log, 2000));
  log->release(Timestamp{490});
  again = reopen(490);
  BOOST_TEST((again.replayed == entries_from(491, 510, 2000)));
}

BOOST_FIXTURE_TEST_CASE(opening_leaves_few_files, Log) {
  for (int i = 0; i < 500; ++i) BOOST_REQUIRE(commit(*log, 2000));
  for (int i = 0; i < 10; ++i) {
    log = reopen().log;
    BOOST_REQUIRE(commit(*log, 2000));
  }
  BOOST_TEST(files.files().size() <= 6);
}

BOOST_FIXTURE_TEST_CASE(verify_counts_what_is_live, Log) {
  BOOST_TEST(log->verify()->commits == 0);
  for (int i = 0; i < 60; ++i) BOOST_REQUIRE(commit(*log, 1000));
  BOOST_TEST(log->verify()->commits == 60);
  BOOST_TEST(log->verify()->records == 60);
  log->release(Timestamp{45});
  BOOST_TEST(log->verify()->commits == 15);
  log = reopen(45).log;
  BOOST_TEST(log->verify()->commits == 15);
}

BOOST_FIXTURE_TEST_CASE(verify_finds_damage_with_file_and_offset, Log) {
  for (int i = 0; i < 60; ++i) BOOST_REQUIRE(commit(*log, 1000));
  const RecordHeader record = record_of(files, 33);
  files.overwrite(segment_path(record.segment), record.offset + 300, "x");
  const auto damaged = log->verify();
  BOOST_REQUIRE(!damaged);
  BOOST_TEST((damaged.error().code() == ErrorCode::corruption));
  BOOST_TEST(damaged.error().evidence().file.value() == segment_path(record.segment));
  BOOST_TEST(damaged.error().evidence().offset.value() == record.offset);
}

BOOST_FIXTURE_TEST_CASE(verify_finds_a_damaged_beginning, Log) {
  BOOST_REQUIRE(commit(*log));
  files.overwrite(segment_path(1), 100, "x");
  files.overwrite(segment_path(1), epoch_place_bytes, "x");
  const auto damaged = log->verify();
  BOOST_REQUIRE(!damaged);
  BOOST_TEST(damaged.error().evidence().file.value() == segment_path(1));
}

BOOST_FIXTURE_TEST_CASE(verify_reads_a_read_only_log_too, Log) {
  for (int i = 0; i < 60; ++i) BOOST_REQUIRE(commit(*log, 1000));
  LogOptions options = small_segments();
  options.read_only = true;
  const OpenedLog again = reopen(10, options);
  BOOST_TEST(again.log->verify()->commits == 50);
  const RecordHeader record = record_of(files, 33);
  files.overwrite(segment_path(record.segment), record.offset + 300, "x");
  BOOST_TEST((again.log->verify().error().code() == ErrorCode::corruption));
}

BOOST_FIXTURE_TEST_CASE(an_entry_beyond_all_bounds_is_refused, Log) {
  const auto refused = log->reserve(std::size_t{1} << 31);
  BOOST_REQUIRE(!refused);
  BOOST_TEST((refused.error().code() == ErrorCode::transaction_too_large));
}

BOOST_AUTO_TEST_CASE(the_log_works_on_real_files) {
  std::string name = (std::filesystem::temp_directory_path() / "isolde-log-XXXXXX").string();
  BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
  const std::filesystem::path directory = std::filesystem::path(name) / "log";
  FileSystem& files = posix_file_system();
  for (int epoch = 0; epoch < 3; ++epoch) {
    LogOptions options = small_segments();
    options.fresh = epoch == 0;
    Entries replayed;
    auto log = CommitLog::open(files, directory, options, test_database, Timestamp{0},
                               [&](Timestamp at, std::string_view entry) -> Result<void> {
                                 replayed[at.value] = std::string(entry);
                                 return {};
                               });
    BOOST_REQUIRE(log);
    BOOST_TEST((replayed == entries_from(1, static_cast<std::uint64_t>(epoch) * 30, 3000)));
    for (int i = 0; i < 30; ++i) BOOST_REQUIRE(commit(**log, 3000));
    BOOST_TEST((*log)->verify()->commits == 30u * (static_cast<unsigned>(epoch) + 1));
  }
  std::filesystem::remove_all(name);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace isolde::engine
