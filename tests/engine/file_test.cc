// The operating system's files, and their twin that fails on demand.

#include "engine/files/file.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/fault_file_system.h"

namespace isolde::engine {
namespace {

namespace fs = std::filesystem;
using test::Crash;
using test::FaultFileSystem;
using test::Unsynced;

struct TemporaryDirectory {
  TemporaryDirectory() {
    std::string name = (fs::temp_directory_path() / "isolde-file-XXXXXX").string();
    BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~TemporaryDirectory() { fs::remove_all(path); }
  fs::path path;
};

Result<void> write(File& file, std::uint64_t offset, std::string_view bytes) {
  return file.write_at(offset, {&bytes, 1});
}

std::string read(File& file, std::uint64_t offset, std::size_t bytes) {
  std::string buffer(bytes, '\0');
  buffer.resize(file.read_at(offset, buffer).value());
  return buffer;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(file)

BOOST_FIXTURE_TEST_CASE(what_is_written_in_pieces_is_read_as_one, TemporaryDirectory) {
  auto file = posix_file_system().open(path / "a", OpenMode::create_new).value();
  std::vector<std::string> pieces;
  std::string expected;
  for (int i = 0; i < 300; ++i) {  // more than one system call takes, some of them empty
    pieces.emplace_back(static_cast<std::size_t>(i % 7), static_cast<char>('a' + i % 26));
    expected += pieces.back();
  }
  const std::vector<std::string_view> views(pieces.begin(), pieces.end());
  BOOST_REQUIRE(file->write_at(10, views));
  BOOST_REQUIRE(file->write_at(0, {}));
  BOOST_REQUIRE(file->sync_data());
  BOOST_TEST(file->size().value() == 10 + expected.size());
  BOOST_TEST(read(*file, 10, expected.size()) == expected);
}

BOOST_FIXTURE_TEST_CASE(zeros_fill_what_they_are_asked_to_and_no_more, TemporaryDirectory) {
  constexpr std::size_t bytes = 40'000;
  const std::vector<std::pair<std::size_t, std::size_t>> ranges = {
      {0, bytes}, {1, bytes - 1}, {4096, 8192}, {4095, 8193}, {100, 101}, {20'000, 20'000}};
  for (const auto& [from, to] : ranges) {
    auto file = posix_file_system().open(path / std::to_string(from), OpenMode::create_new).value();
    std::string expected(bytes, 'x');
    BOOST_REQUIRE(write(*file, 0, expected));
    BOOST_REQUIRE(file->write_zeros(from, to));
    std::fill(expected.begin() + static_cast<std::ptrdiff_t>(from),
              expected.begin() + static_cast<std::ptrdiff_t>(to), '\0');
    BOOST_TEST(read(*file, 0, bytes + 1) == expected);
  }
}

BOOST_FIXTURE_TEST_CASE(a_read_is_short_only_at_the_end, TemporaryDirectory) {
  auto file = posix_file_system().open(path / "a", OpenMode::create_new).value();
  BOOST_REQUIRE(write(*file, 0, "0123456789"));
  BOOST_TEST(read(*file, 6, 100) == "6789");
  BOOST_TEST(read(*file, 10, 100) == "");
  BOOST_TEST(read(*file, 1000, 100) == "");
}

BOOST_FIXTURE_TEST_CASE(a_file_is_created_once_and_never_by_opening, TemporaryDirectory) {
  FileSystem& files = posix_file_system();
  const auto missing = files.open(path / "a", OpenMode::read_write);
  BOOST_REQUIRE(!missing);
  BOOST_TEST((missing.error().code() == ErrorCode::io_error));
  BOOST_TEST(missing.error().evidence().system_error == ENOENT);
  BOOST_REQUIRE(files.open(path / "a", OpenMode::create_new));
  const auto again = files.open(path / "a", OpenMode::create_new);
  BOOST_REQUIRE(!again);
  BOOST_TEST(again.error().evidence().system_error == EEXIST);
}

BOOST_FIXTURE_TEST_CASE(a_file_opened_for_reading_is_not_written, TemporaryDirectory) {
  FileSystem& files = posix_file_system();
  BOOST_REQUIRE(files.open(path / "a", OpenMode::create_new));
  auto file = files.open(path / "a", OpenMode::read_only).value();
  BOOST_TEST(!write(*file, 0, "x"));
}

BOOST_FIXTURE_TEST_CASE(a_directory_lists_its_regular_files_sorted, TemporaryDirectory) {
  FileSystem& files = posix_file_system();
  BOOST_TEST(files.list(path / "none").value().empty());
  BOOST_REQUIRE(files.create_directory(path / "d"));
  BOOST_REQUIRE(files.create_directory(path / "d"));
  for (const char* name : {"b", "c", "a"}) {
    BOOST_REQUIRE(files.open(path / name, OpenMode::create_new));
  }
  BOOST_REQUIRE(files.sync_directory(path));
  BOOST_REQUIRE(files.remove(path / "c"));
  const std::vector<std::string> expected{"a", "b"};
  BOOST_TEST(files.list(path).value() == expected);
  BOOST_TEST(!files.create_directory(path / "a"));
  BOOST_TEST(!files.list(path / "a"));
  BOOST_TEST(!files.sync_directory(path / "none"));
  BOOST_TEST(!files.remove(path / "c"));
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_reported_as_such) {
  auto file = posix_file_system().open("/dev/full", OpenMode::read_write).value();
  const auto written = write(*file, 512, "x");
  BOOST_REQUIRE(!written);
  BOOST_TEST((written.error().code() == ErrorCode::disk_full));
  BOOST_TEST(written.error().message() ==
             "cannot write /dev/full at byte 512: No space left on device");
  BOOST_TEST(written.error().evidence().file.value() == "/dev/full");
  BOOST_TEST(written.error().evidence().offset.value() == 512);
  BOOST_TEST(written.error().evidence().system_error == ENOSPC);
}

BOOST_AUTO_TEST_CASE(errors_of_the_system_have_the_promised_codes) {
  const auto code = [](int system_error) {
    return file_error("open", "f", 0, system_error).code();
  };
  BOOST_TEST((code(ENOSPC) == ErrorCode::disk_full));
  BOOST_TEST((code(EDQUOT) == ErrorCode::disk_full));
  BOOST_TEST((code(EACCES) == ErrorCode::permission_denied));
  BOOST_TEST((code(EROFS) == ErrorCode::permission_denied));
  BOOST_TEST((code(EIO) == ErrorCode::io_error));
  BOOST_TEST(file_error("open", "f", 0, EACCES).message() == "cannot open f: Permission denied");
}

// The twin must be able to lose what was not synced, or every crash test passes for nothing.
BOOST_AUTO_TEST_CASE(the_twin_loses_what_was_not_synced) {
  FaultFileSystem files;
  BOOST_REQUIRE(files.create_directory("/d"));
  BOOST_REQUIRE(files.sync_directory("/"));
  auto file = files.open("/d/a", OpenMode::create_new).value();
  BOOST_REQUIRE(write(*file, 0, std::string(1024, 'a')));
  BOOST_TEST(files.crash({Unsynced::kept, Unsynced::dropped, 1})->files().empty());
  BOOST_REQUIRE(files.sync_directory("/d"));
  BOOST_TEST(files.crash({})->contents("/d/a") == "");
  BOOST_REQUIRE(file->sync_data());
  BOOST_REQUIRE(write(*file, 0, std::string(1024, 'b')));
  BOOST_TEST(read(*file, 0, 1024) == std::string(1024, 'b'));
  BOOST_TEST(files.crash({})->contents("/d/a") == std::string(1024, 'a'));
  BOOST_TEST(files.crash({Unsynced::kept, Unsynced::dropped, 1})->contents("/d/a") ==
             std::string(1024, 'b'));
  BOOST_REQUIRE(files.remove("/d/a"));
  BOOST_TEST(files.crash({})->contents("/d/a") == std::string(1024, 'a'));
  BOOST_TEST(files.crash({Unsynced::kept, Unsynced::kept, 1})->files().empty());
}

BOOST_AUTO_TEST_CASE(the_twin_reorders_and_tears) {
  FaultFileSystem files;
  BOOST_REQUIRE(files.create_directory("/d"));
  auto file = files.open("/d/a", OpenMode::create_new).value();
  BOOST_REQUIRE(write(*file, 0, std::string(1024, 'a')));
  BOOST_REQUIRE(file->sync_data());
  BOOST_REQUIRE(files.sync_directory("/d"));
  BOOST_REQUIRE(files.sync_directory("/"));
  BOOST_REQUIRE(write(*file, 0, std::string(1024, 'b')));
  bool second_only = false;
  bool torn_inside = false;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto reordered =
        files.crash({Unsynced::reordered, Unsynced::kept, seed})->contents("/d/a");
    second_only |= reordered == std::string(512, 'a') + std::string(512, 'b');
    const auto torn = files.crash({Unsynced::torn, Unsynced::kept, seed})->contents("/d/a");
    const auto changed = torn.find('a');
    torn_inside |= changed != std::string::npos && changed % 512 != 0;
    const auto cut = files.crash({Unsynced::cut, Unsynced::kept, seed})->contents("/d/a");
    BOOST_REQUIRE(cut.find('a') == std::string::npos || cut.find('a') % 512 == 0);
  }
  BOOST_TEST(second_only);
  BOOST_TEST(torn_inside);
}

BOOST_AUTO_TEST_CASE(the_twin_does_not_sync_after_a_failed_sync) {
  bool lost = false;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    FaultFileSystem files(seed);
    BOOST_REQUIRE(files.create_directory("/d"));
    auto file = files.open("/d/a", OpenMode::create_new).value();
    BOOST_REQUIRE(files.sync_directory("/d"));
    BOOST_REQUIRE(files.sync_directory("/"));
    BOOST_REQUIRE(write(*file, 0, std::string(4096, 'a')));
    files.fail_sync(1, EIO);
    BOOST_TEST(!file->sync_data());
    BOOST_REQUIRE(file->sync_data());
    BOOST_TEST(read(*file, 0, 4096) == std::string(4096, 'a'));
    lost |= files.crash({Unsynced::kept, Unsynced::kept, seed})->contents("/d/a") !=
            std::string(4096, 'a');
  }
  BOOST_TEST(lost);
}

BOOST_AUTO_TEST_CASE(the_twin_fails_when_told) {
  FaultFileSystem files;
  BOOST_REQUIRE(files.create_directory("/d"));
  auto file = files.open("/d/a", OpenMode::create_new).value();
  files.fail_write(2, EIO);
  BOOST_TEST(write(*file, 0, "a").has_value());
  BOOST_TEST(!write(*file, 0, "b"));
  BOOST_TEST(read(*file, 0, 1) == "a");
  files.limit_bytes(10);
  const auto full = write(*file, 5, "0123456789");
  BOOST_REQUIRE(!full);
  BOOST_TEST((full.error().code() == ErrorCode::disk_full));
  BOOST_TEST(file->size().value() == 10);
  BOOST_TEST(write(*file, 0, "in place").has_value());
  files.power_off_after(1);
  BOOST_TEST(write(*file, 0, "x").has_value());
  BOOST_TEST(!write(*file, 0, "y"));
  BOOST_TEST(!file->sync_data());
  files.clear_faults();
  BOOST_TEST(read(*file, 0, 1) == "x");
  BOOST_TEST(file->sync_data().has_value());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace isolde::engine
