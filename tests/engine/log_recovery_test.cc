// What recovery makes of what it finds: a torn tail, or corruption with file and offset (L2, L3).

#include "engine/log/log_recovery.h"

#include <xxhash.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <string>

#include "tests/engine/log_fixture.h"

namespace isolde::engine {
namespace {

using test::FaultFileSystem;

// A log with `count` commits, each in a record of its own, closed.
std::unique_ptr<FaultFileSystem> log_of(std::uint64_t count, std::size_t entry_bytes = 40,
                                        std::uint64_t released = 0,
                                        std::uint64_t database_id = test_database) {
  auto files = std::make_unique<FaultFileSystem>();
  auto log = open_log(*files, 0, fresh_log(), database_id).value().log;
  for (std::uint64_t i = 0; i < count; ++i) {
    commit(*log, entry_bytes).value();
    if (i + 1 == released) log->release(Timestamp{released});
  }
  return files;
}

void damage(FaultFileSystem& files, const RecordHeader& record) {
  files.overwrite(segment_path(record.segment), record.offset + record_header_bytes + 3, "#");
}

Error expect_corruption(FileSystem& files, std::uint64_t base_at = 0) {
  const auto opened = open_log(files, base_at);
  BOOST_REQUIRE(!opened);
  BOOST_TEST((opened.error().code() == ErrorCode::corruption));
  BOOST_TEST(opened.error().evidence().file.has_value());
  BOOST_TEST(opened.error().evidence().offset.has_value());
  BOOST_TEST_MESSAGE(opened.error().message());
  return opened.error();
}

void expect_at(const Error& error, std::uint64_t segment, std::uint64_t offset) {
  BOOST_TEST(error.evidence().file.value() == segment_path(segment));
  BOOST_TEST(error.evidence().offset.value() == offset);
}

bool says(const Error& error, std::string_view text) {
  return error.message().find(text) != std::string::npos;
}

// Where the newest epoch begins.
RecordHeader newest_epoch(const FaultFileSystem& files) {
  RecordHeader newest;
  for (const auto& path : files.files()) {
    for (const RecordHeader& record : records_in(files.contents(path))) {
      if (record.kind == RecordKind::epoch && record.epoch >= newest.epoch) newest = record;
    }
  }
  return newest;
}

// Writes a record with a right checksum over `header`.
void forge(FaultFileSystem& files, RecordHeader header, std::string_view payload) {
  const EncodedHeader bytes = encode_header(header, {&payload, 1});
  files.overwrite(segment_path(header.segment), header.offset,
                  std::string(bytes.data(), bytes.size()).append(payload));
}

// The record `bytes` with the checksum that the format lays down: over all but itself.
std::string reseal(std::string bytes) {
  const std::string covered = bytes.substr(0, 24) + bytes.substr(32);
  const XXH64_hash_t checksum = XXH3_64bits(covered.data(), covered.size());
  for (int i = 0; i < 8; ++i) bytes[24 + i] = static_cast<char>(checksum >> (8 * i));
  return bytes;
}

std::string one_entry(std::string_view entry) {
  const auto prefix = encode_entry_prefix(entry.size());
  return std::string(prefix.data(), prefix.size()).append(entry);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(log_recovery)

// --- A torn tail is cut off -----------------------------------------------------------------

BOOST_AUTO_TEST_CASE(the_last_record_damaged_is_a_torn_tail) {
  const auto files = log_of(5);
  damage(*files, record_of(*files, 5));
  const auto opened = open_log(*files);
  BOOST_REQUIRE(opened);
  BOOST_TEST(opened->replayed.size() == 4);
  BOOST_TEST(opened->log->durable().value == 4);
  // The timestamp is given again, and the old record never joins on.
  BOOST_REQUIRE(commit(*opened->log, 100));
  const auto again = open_log(*files);
  BOOST_TEST(again->replayed.at(5) == entry_of(5, 100));
}

BOOST_AUTO_TEST_CASE(every_sector_of_the_last_record_may_be_torn) {
  const auto whole = log_of(3, 3000);
  const RecordHeader last = record_of(*whole, 3);
  for (std::uint64_t offset = 0; offset < last.length; offset += 512) {
    const auto files = whole->clone();
    files->overwrite(segment_path(last.segment), last.offset + offset, std::string(512, '\0'));
    const auto opened = open_log(*files);
    BOOST_REQUIRE(opened);
    BOOST_TEST(opened->replayed.size() == 2);
  }
}

BOOST_AUTO_TEST_CASE(a_log_with_all_commits_torn_is_empty_but_for_what_was_claimed) {
  const auto files = log_of(1);
  damage(*files, record_of(*files, 1));
  BOOST_TEST(open_log(*files)->replayed.empty());
}

// --- Damage to what was on disk is corruption ---------------------------------------------------

BOOST_AUTO_TEST_CASE(a_damaged_record_before_a_valid_one_is_corruption) {
  for (std::uint64_t at = 1; at <= 4; ++at) {
    const auto files = log_of(5);
    const RecordHeader record = record_of(*files, at);
    damage(*files, record);
    const Error error = expect_corruption(*files);
    expect_at(error, record.segment, record.offset);
    BOOST_TEST(says(error, "commit " + std::to_string(at)));
  }
}

BOOST_AUTO_TEST_CASE(a_record_wiped_out_before_a_valid_one_is_corruption) {
  const auto files = log_of(5);
  const RecordHeader record = record_of(*files, 3);
  files->overwrite(segment_path(record.segment), record.offset, std::string(512, '\0'));
  expect_at(expect_corruption(*files), record.segment, record.offset);
}

BOOST_AUTO_TEST_CASE(a_wiped_first_record_is_corruption_if_a_later_one_is_valid) {
  const auto files = log_of(2);
  const RecordHeader record = record_of(*files, 1);
  files->overwrite(segment_path(record.segment), record.offset, std::string(512, '\0'));
  expect_at(expect_corruption(*files), record.segment, first_record_offset);
}

BOOST_AUTO_TEST_CASE(damage_to_what_the_base_has_is_no_matter) {
  for (const std::uint64_t base_at : {3u, 4u, 5u}) {
    const auto files = log_of(5);
    damage(*files, record_of(*files, 3));
    const auto opened = open_log(*files, base_at);
    BOOST_REQUIRE(opened);
    BOOST_TEST(opened->replayed.size() == 5 - base_at);
    BOOST_TEST(opened->dense);
  }
}

BOOST_AUTO_TEST_CASE(damage_far_behind_the_torn_end_of_a_life_that_is_over_is_no_matter) {
  const auto files = log_of(5);
  const RecordHeader old = record_of(*files, 2);
  BOOST_REQUIRE(open_log(*files));
  for (const auto& path : files->files()) {
    if (path == segment_path(old.segment)) damage(*files, old);
  }
  BOOST_TEST(open_log(*files)->replayed.size() == 5);
}

BOOST_AUTO_TEST_CASE(a_rewritten_commit_that_is_damaged_is_corruption) {
  const auto files = log_of(5);
  BOOST_REQUIRE(open_log(*files));
  const RecordHeader record = record_of(*files, 3);
  BOOST_REQUIRE((record.kind == RecordKind::rewritten));
  damage(*files, record);
  // Even the last of them: the beginning of the epoch says that they were on disk.
  expect_at(expect_corruption(*files), record.segment, record.offset);
}

BOOST_AUTO_TEST_CASE(a_record_that_does_not_follow_its_predecessor_is_corruption) {
  const auto files = log_of(5);
  RecordHeader record = record_of(*files, 4);
  record.predecessor ^= 1;
  forge(*files, record, one_entry(entry_of(4)));
  expect_at(expect_corruption(*files), record.segment, record.offset);
}

BOOST_AUTO_TEST_CASE(a_base_older_than_the_log_is_corruption) {
  const auto files = log_of(100, 1000, 80);
  BOOST_REQUIRE(open_log(*files, 90));  // the new epoch begins with commit 91
  const Error error = expect_corruption(*files, 50);
  BOOST_TEST(says(error, "the base is older"));
}

// --- Missing, truncated, overwritten and foreign files -----------------------------------------

BOOST_AUTO_TEST_CASE(no_log_where_one_is_expected_is_corruption_with_a_remedy) {
  FaultFileSystem files;
  const Error error = expect_corruption(files);
  BOOST_TEST(says(error, "no log files"));
  BOOST_TEST(says(error, "put them back"));
  BOOST_TEST(files.files().empty());
  BOOST_TEST(files.operations() == 0);
}

BOOST_AUTO_TEST_CASE(every_truncation_of_a_live_file_is_corruption) {
  const auto whole = log_of(5);
  const auto path = segment_path(record_of(*whole, 1).segment);
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{100}, std::uint64_t{5000},
                                    std::uint64_t{first_record_offset}, std::uint64_t{9000},
                                    std::uint64_t{least_segment_bytes - 1}}) {
    const auto files = whole->clone();
    files->truncate(path, bytes);
    const Error error = expect_corruption(*files);
    BOOST_TEST(error.evidence().file.value() == path);
    if (bytes > 512) BOOST_TEST(says(error, "truncated"));
  }
}

BOOST_AUTO_TEST_CASE(any_file_that_holds_live_commits_is_missed) {
  const auto whole = log_of(60, 1000);
  const auto paths = whole->files();
  BOOST_REQUIRE(paths.size() > 3);
  for (const auto& path : paths) {
    bool live = false;
    for (const auto& record : records_in(whole->contents(path))) live |= record.last > 0;
    if (!live) continue;
    const auto files = whole->clone();
    files->erase(path);
    static_cast<void>(expect_corruption(*files));
    const auto emptied = whole->clone();
    emptied->truncate(path, 0);
    static_cast<void>(expect_corruption(*emptied));
  }
}

// Right after a switch nothing but the beginning of the epoch knows of the file in use.
BOOST_AUTO_TEST_CASE(the_file_in_use_is_missed_though_no_record_tells_of_it) {
  FaultFileSystem files;
  auto log = open_log(files, 0, fresh_log()).value().log;
  std::uint64_t segment = 0;
  while (segment < 3) {
    commit(*log, 1000).value();
    const RecordHeader record = record_of(files, log->durable().value);
    segment = record.segment;
    // The first commit in it is the last of all: no claim but its own.
    if (segment == 3) BOOST_REQUIRE(record.offset == first_record_offset);
  }
  log.reset();
  files.erase(segment_path(segment));
  const Error error = expect_corruption(files);
  expect_at(error, segment, 0);
  BOOST_TEST(says(error, "missing"));
}

BOOST_AUTO_TEST_CASE(an_overwritten_file_is_corruption) {
  const auto files = log_of(5);
  const auto path = segment_path(record_of(*files, 1).segment);
  files->put(path, std::string(least_segment_bytes, 'z'));
  const Error error = expect_corruption(*files);
  BOOST_TEST(says(error, "do not hold the beginning"));
}

BOOST_AUTO_TEST_CASE(a_foreign_log_is_corruption_that_names_it) {
  const auto files = log_of(5);
  const auto foreign = log_of(7, 40, 0, 0xbad);
  const auto path = foreign->files().front();
  files->put(path, foreign->contents(path));
  const Error error = expect_corruption(*files);
  BOOST_TEST(says(error, "another database"));
  BOOST_TEST(error.evidence().file.value() == path);
}

BOOST_AUTO_TEST_CASE(a_foreign_file_beside_the_log_is_found_under_any_name) {
  const auto files = log_of(5);
  const auto foreign = log_of(7, 40, 0, 0xbad);
  files->put(segment_path(77), foreign->contents(foreign->files().front()));
  const Error error = expect_corruption(*files);
  BOOST_TEST(says(error, "another database"));
  BOOST_TEST(error.evidence().file.value() == segment_path(77));
}

BOOST_AUTO_TEST_CASE(a_renamed_file_is_corruption_that_says_so) {
  const auto files = log_of(5);
  const auto path = files->files().front();
  files->put(segment_path(9), files->contents(path));
  files->erase(path);
  const Error error = expect_corruption(*files);
  BOOST_TEST(says(error, path.filename().string()));
}

BOOST_AUTO_TEST_CASE(a_foreign_log_is_refused_for_a_fresh_database_too) {
  const auto foreign = log_of(7, 40, 0, 0xbad);
  const auto opened = open_log(*foreign, 0, fresh_log());
  BOOST_REQUIRE(!opened);
  BOOST_TEST((opened.error().code() == ErrorCode::corruption));
}

BOOST_AUTO_TEST_CASE(other_files_are_left_alone) {
  const auto files = log_of(5);
  files->put(log_directory / "notes.txt", "mine");
  files->put(log_directory / "1.log", "mine too");
  BOOST_REQUIRE(open_log(*files));
  BOOST_TEST(files->contents(log_directory / "notes.txt") == "mine");
  BOOST_TEST(files->contents(log_directory / "1.log") == "mine too");
}

BOOST_AUTO_TEST_CASE(a_newer_format_is_told_from_damage) {
  const auto files = log_of(5);
  const RecordHeader record = record_of(*files, 3);
  const auto path = segment_path(record.segment);
  std::string contents = files->contents(path);
  contents[record.offset + 8] = 2;
  files->put(path, contents);
  BOOST_TEST((open_log(*files).error().code() == ErrorCode::corruption));  // its checksum is wrong
  // The layout up to the checksum and what that covers are promised for every version.
  std::string bytes = contents.substr(record.offset, record.length);
  const RecordHeader newer = probe_record(bytes).header;
  BOOST_TEST(newer.first == 3);
  files->overwrite(path, record.offset, reseal(bytes));
  const auto opened = open_log(*files);
  BOOST_REQUIRE(!opened);
  BOOST_TEST((opened.error().code() == ErrorCode::format_unsupported));
  BOOST_TEST(opened.error().evidence().offset.value() == record.offset);
}

// --- The beginning of an epoch -----------------------------------------------------------------

BOOST_AUTO_TEST_CASE(a_damaged_beginning_is_corruption_if_commits_followed_it) {
  const auto files = log_of(5);
  BOOST_REQUIRE(commit(*open_log(*files).value().log));
  const RecordHeader epoch = newest_epoch(*files);
  damage(*files, epoch);
  const Error error = expect_corruption(*files);
  BOOST_TEST(says(error, "epoch " + std::to_string(epoch.epoch)));
}

// A crash while the new epoch was written: the old one is whole.
BOOST_AUTO_TEST_CASE(a_beginning_that_was_cut_short_is_no_matter) {
  const auto files = log_of(5);
  const auto old = files->clone();
  BOOST_REQUIRE(open_log(*files));
  const RecordHeader epoch = newest_epoch(*files);
  for (const auto& path : old->files()) files->put(path, old->contents(path));
  damage(*files, epoch);
  const auto opened = open_log(*files);
  BOOST_REQUIRE(opened);
  BOOST_TEST(opened->replayed.size() == 5);
  BOOST_REQUIRE(commit(*opened->log));
  BOOST_TEST(open_log(*files)->replayed.size() == 6);
}

// The same, but the old epoch's files are gone: then the beginning had been on disk.
BOOST_AUTO_TEST_CASE(a_damaged_beginning_without_the_life_before_is_corruption) {
  const auto files = log_of(5);
  BOOST_REQUIRE(open_log(*files));
  const RecordHeader epoch = newest_epoch(*files);
  for (const auto& path : files->files()) {
    if (path != segment_path(epoch.segment)) files->erase(path);
  }
  damage(*files, epoch);
  static_cast<void>(expect_corruption(*files));
}

BOOST_AUTO_TEST_CASE(either_of_the_two_beginnings_will_do) {
  for (const std::uint64_t place : {0u, 1u}) {
    const auto files = log_of(60, 1000);  // several segments: both slots are written
    const RecordHeader epoch = newest_epoch(*files);
    files->overwrite(segment_path(epoch.segment), place * epoch_place_bytes,
                     std::string(512, '\0'));
    const auto opened = open_log(*files);
    BOOST_REQUIRE(opened);
    BOOST_TEST(opened->replayed.size() == 60);
  }
}

// --- Leftovers ---------------------------------------------------------------------------------

BOOST_AUTO_TEST_CASE(leftovers_of_earlier_lives_never_join) {
  // Every epoch gives the same timestamps to other entries; segments are used again.
  FaultFileSystem files;
  auto log = open_log(files, 0, fresh_log()).value().log;
  for (std::uint64_t epoch = 0; epoch < 12; ++epoch) {
    for (int i = 0; i < 20; ++i) {
      append(*log, entry_of(log->appended().value + 1 + 1000 * epoch, 900)).value();
      BOOST_REQUIRE(log->persist(log->appended()));
    }
    log.reset();
    // The last commits are torn off, and given anew by the next epoch.
    const std::uint64_t last = open_log(*files.clone(), epoch * 19)->log->durable().value;
    damage(files, record_of(files, last));
    auto opened = open_log(files, epoch * 19);
    BOOST_REQUIRE(opened);
    BOOST_TEST(opened->dense);
    BOOST_REQUIRE(opened->log->durable().value == last - 1);
    for (const auto& [at, entry] : opened->replayed) {
      BOOST_REQUIRE(entry == entry_of(at + 1000 * epoch, 900));
    }
    log = std::move(opened->log);
    log->release(log->durable());
    BOOST_REQUIRE(log->durable().value == (epoch + 1) * 19);
  }
}

// A user's value may hold a log. Where its record was partly written over, it must mean nothing.
BOOST_AUTO_TEST_CASE(a_log_inside_a_value_means_nothing) {
  const auto foreign = log_of(3, 40, 0, 0xbad);
  const std::string image = foreign->contents(foreign->files().front());
  for (std::size_t shift = 0; shift < 512; shift += 4) {
    FaultFileSystem files;
    LogOptions options = small_segments();
    options.segment_bytes = 64 << 10;
    auto log = open_log(files, 0, fresh_log(options)).value().log;
    BOOST_REQUIRE(append(*log, std::string(shift, ' ') + image));
    BOOST_REQUIRE(log->persist(Timestamp{1}));
    const RecordHeader record = record_of(files, 1);
    damage(files, record);  // a torn tail: its content lies open
    log.reset();
    const auto opened = open_log(files, 0, options);
    BOOST_REQUIRE(opened);
    BOOST_REQUIRE(opened->replayed.empty());
  }
}

// A later record that survived a crash which the one before did not: without syncs that happens,
// and then no record claims anything.
BOOST_AUTO_TEST_CASE(without_sync_a_gap_is_a_torn_tail) {
  FaultFileSystem files;
  LogOptions options = fresh_log();
  options.sync = false;
  auto log = open_log(files, 0, options).value().log;
  for (int i = 0; i < 30; ++i) BOOST_REQUIRE(commit(*log, 900));
  log.reset();
  damage(files, record_of(files, 4));
  const auto opened = open_log(files);
  BOOST_REQUIRE(opened);
  BOOST_TEST(opened->replayed.size() == 3);
}

BOOST_AUTO_TEST_CASE(what_was_replayed_counts_as_on_disk_without_sync_too) {
  const auto files = log_of(5);
  LogOptions options = small_segments();
  options.sync = false;
  BOOST_REQUIRE(commit(*open_log(*files, 0, options).value().log));
  damage(*files, record_of(*files, 2));
  static_cast<void>(expect_corruption(*files));
}

BOOST_AUTO_TEST_CASE(a_record_whose_payload_does_not_hold_its_commits_is_corruption) {
  const auto files = log_of(1);
  RecordHeader record = record_of(*files, 1);
  record.last = 2;
  forge(*files, record, one_entry(entry_of(1)));
  expect_at(expect_corruption(*files), record.segment, record.offset);
  record.last = 1;
  forge(*files, record, one_entry(entry_of(1)) + one_entry("more"));
  expect_at(expect_corruption(*files), record.segment, record.offset);
}

BOOST_AUTO_TEST_CASE(an_io_error_while_reading_is_no_corruption) {
  const auto files = log_of(5);
  for (std::uint64_t nth = 1;; ++nth) {
    files->fail_read(nth, EIO);
    const std::uint64_t before = files->reads();
    const auto opened = open_log(*files);
    if (files->reads() - before < nth) break;
    BOOST_REQUIRE(!opened);
    BOOST_TEST((opened.error().code() == ErrorCode::io_error));
    files->clear_faults();
    BOOST_REQUIRE(nth < 100);
  }
  files->clear_faults();
  BOOST_TEST(open_log(*files)->replayed.size() == 5);
}

// Whatever is damaged: the log opens with a beginning of what was written, or says what is wrong.
BOOST_AUTO_TEST_CASE(no_damaged_byte_is_ever_replayed) {
  const auto whole = log_of(40, 700);
  for (const auto& path : whole->files()) {
    const std::uint64_t bytes = whole->contents(path).size();
    for (std::uint64_t offset = 0; offset < bytes; offset += 61) {
      const auto files = whole->clone();
      files->overwrite(path, offset, "\x55");
      const auto opened = open_log(*files);
      if (!opened) {
        BOOST_REQUIRE((opened.error().code() == ErrorCode::corruption));
        continue;
      }
      BOOST_REQUIRE(opened->replayed.size() >= 39);
      for (const auto& [at, entry] : opened->replayed) BOOST_REQUIRE(entry == entry_of(at, 700));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace isolde::engine
