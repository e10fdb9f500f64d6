// Files that are damaged, foreign, short or forbidden: each its error, never a signal.
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "tests/engine/base_fixture.h"
#include "tests/support/child_process.h"

using namespace isolde;
using namespace isolde::engine;
using namespace isolde::engine::test;

namespace {

constexpr std::size_t page = 4096;

// A base of a few hundred pages with a few keyspaces, long values and free pages.
void fill(const std::filesystem::path& directory) {
  auto base = open_base(directory);
  Changes changes;
  for (std::uint32_t id = 2; id < 6; ++id) changes.create(KeyspaceId{id}, std::to_string(id));
  for (std::uint32_t id = 2; id < 6; ++id) {
    for (int i = 1000; i < 1500; ++i) {
      changes.put(KeyspaceId{id}, std::to_string(i), std::string(i % 50 == 0 ? 9000 : 60, 'v'));
    }
  }
  apply(*base, 1, changes);
  Changes drop;
  drop.drop(KeyspaceId{3}, "3").put(KeyspaceId{2}, "a", "1");
  apply(*base, 2, drop);
}

// Opens, reads everything, verifies, writes: what a user would do with a damaged file. All in a
// child: the exit code tells how far it came.
// (Not 1 or 66, by which sanitizers exit.)
enum Outcome : int { refused_at_open = 10, found_by_verify = 11, sound = 12, wrong_code = 13 };

bool is_fine(int outcome) { return outcome >= refused_at_open && outcome < wrong_code; }

bool is_damage(const Error& error, const std::filesystem::path& directory) {
  return (error.code() == ErrorCode::corruption || error.code() == ErrorCode::not_a_database ||
          error.code() == ErrorCode::format_unsupported ||
          error.code() == ErrorCode::invalid_argument) &&
         error.message().find(directory.string()) != std::string::npos;
}

int use(const std::filesystem::path& directory) {
  return in_child([&]() -> int {
    Result<std::unique_ptr<Base>> base = Base::open(directory, small_options());
    if (!base) return is_damage(base.error(), directory) ? refused_at_open : wrong_code;
    if ((*base)->has_foreign_write()) return found_by_verify;
    Result<BaseSummary> summary = (*base)->verify();
    if (!summary) return is_damage(summary.error(), directory) ? found_by_verify : wrong_code;
    BaseView view;
    if (!view.renew(**base)) return wrong_code;
    for (const KeyspaceInfo& info : (*base)->keyspaces()) {
      BaseCursor cursor;
      if (!cursor.bind(view, info.id)) return wrong_code;
      for (auto at = cursor.seek(""); at.status == BaseLookup::Status::found; at = cursor.next()) {
        if (view.get(info.id, at.key).status != BaseLookup::Status::found) return wrong_code;
      }
    }
    Changes changes;
    changes.put(default_id, "written", std::string(50'000, 'w'));
    return (*base)->apply(Timestamp{3}, changes) ? sound : wrong_code;
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(base_damage)

BOOST_AUTO_TEST_CASE(a_sound_base_is_sound) {
  TempDirectory directory;
  fill(directory.path());
  BOOST_TEST(use(directory.path()) == sound);
}

BOOST_AUTO_TEST_CASE(what_is_no_base_is_called_so) {
  TempDirectory directory;
  BaseOptions existing = small_options();
  existing.create_if_missing = false;
  BOOST_TEST((open_failure(directory / "missing", existing) == ErrorCode::not_a_database));
  BOOST_TEST(!std::filesystem::exists(directory / "missing"));
  BOOST_TEST((open_failure(directory.path(), existing) == ErrorCode::not_a_database));
  BaseOptions reading = small_options();
  reading.read_only = true;
  BOOST_TEST((open_failure(directory.path(), reading) == ErrorCode::not_a_database));
  write_file(directory / "file", "text");
  BOOST_TEST((open_failure(directory / "file") == ErrorCode::not_a_database));
  std::filesystem::create_directories(directory / "odd/data.mdb");
  BOOST_TEST((open_failure(directory / "odd") == ErrorCode::not_a_database));
  std::filesystem::create_directory(directory / "db");
  for (const std::string& bytes :
       {std::string(), std::string("x"), std::string("a text file\n"), std::string(page, '\0'),
        std::string(3 * page, '\0'), std::string(100 * page, '\xff')}) {
    write_file(directory / "db/data.mdb", bytes);
    BOOST_TEST((open_failure(directory / "db") == ErrorCode::not_a_database));
    BOOST_TEST((read_file(directory / "db/data.mdb") == bytes));
  }
}

BOOST_AUTO_TEST_CASE(a_parent_that_is_missing_is_not_created) {
  TempDirectory directory;
  Result<std::unique_ptr<Base>> base = Base::open(directory / "a/b", small_options());
  BOOST_REQUIRE(!base);
  BOOST_TEST((base.error().code() == ErrorCode::io_error));
  BOOST_TEST(base.error().message().find("a/b cannot be created: the directory") !=
             std::string::npos);
  BOOST_TEST(!std::filesystem::exists(directory / "a"));
}

BOOST_AUTO_TEST_CASE(a_crash_while_creating_leaves_no_obstacle) {
  TempDirectory directory;
  write_file(directory / "data.mdb.new", std::string(10'000, 'x'));
  BOOST_TEST(open_base(directory.path())->is_fresh());
  BOOST_TEST(!std::filesystem::exists(directory / "data.mdb.new"));
}

BOOST_AUTO_TEST_CASE(other_formats_are_told_apart) {
  TempDirectory directory;
  fill(directory.path());
  std::string bytes = read_file(directory / "data.mdb");
  // LMDB's format version of both meta pages.
  bytes[20] = bytes[page + 20] = 2;
  write_file(directory / "data.mdb", bytes);
  BOOST_TEST((open_failure(directory.path()) == ErrorCode::format_unsupported));
  // Ours.
  bytes[20] = bytes[page + 20] = 1;
  write_file(directory / "data.mdb", bytes);
  Outsider(directory.path()).put("isolde:meta", {{"format", std::string("\2\0\0\0", 4)}});
  BOOST_TEST((open_failure(directory.path()) == ErrorCode::format_unsupported));
  for (const char* record : {"format", "database", "at", "transaction", "next", "name/2"}) {
    TempDirectory damaged;
    std::filesystem::create_directory(damaged / "db");
    fill(damaged / "db");
    Outsider(damaged / "db").put("isolde:meta", {{record, "?"}});
    BOOST_TEST((open_failure(damaged / "db") == ErrorCode::corruption), record);
  }
}

BOOST_AUTO_TEST_CASE(a_truncated_file_is_damage_wherever_it_ends) {
  TempDirectory whole;
  fill(whole.path());
  const std::string bytes = read_file(whole / "data.mdb");
  TempDirectory directory;
  const std::size_t step = bytes.size() / 40 / test_scale() + 1;
  std::map<int, int> outcomes;
  for (std::size_t size = 0; size < bytes.size(); size += step) {
    write_file(directory / "data.mdb", bytes.substr(0, size));
    std::filesystem::remove(directory / "lock.mdb");
    const int outcome = use(directory.path());
    BOOST_TEST(outcome == refused_at_open, "truncated to " << size << ": " << outcome);
  }
}

BOOST_AUTO_TEST_CASE(no_flipped_bit_of_the_meta_pages_is_fatal) {
  TempDirectory whole;
  fill(whole.path());
  const std::string bytes = read_file(whole / "data.mdb");
  std::mt19937_64 random(seed_for("no_flipped_bit_of_the_meta_pages_is_fatal"));
  TempDirectory directory;
  std::map<int, int> outcomes;
  for (int round = 0; round < 200 * test_scale(); ++round) {
    std::string damaged = bytes;
    const std::size_t at = (round % 2) * page + random() % 152;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
    write_file(directory / "data.mdb", damaged);
    std::filesystem::remove(directory / "lock.mdb");
    const int outcome = use(directory.path());
    ++outcomes[outcome];
    BOOST_TEST(is_fine(outcome), "bit flip at " << at << ": " << outcome);
  }
  BOOST_TEST(outcomes[refused_at_open] > 0);
}

BOOST_AUTO_TEST_CASE(no_overwritten_page_gets_past_verify_unless_it_is_harmless) {
  TempDirectory whole;
  fill(whole.path());
  const std::string bytes = read_file(whole / "data.mdb");
  std::mt19937_64 random(seed_for("no_overwritten_page_gets_past_verify_unless_it_is_harmless"));
  TempDirectory directory;
  std::map<int, int> outcomes;
  for (int round = 0; round < 200 * test_scale(); ++round) {
    std::string damaged = bytes;
    const std::size_t at = random() % (bytes.size() - 64);
    const std::size_t count = round % 3 == 0 ? 1 : (round % 3 == 1 ? 16 : page);
    for (std::size_t i = at; i < std::min(at + count, damaged.size()); ++i) {
      damaged[i] = round % 2 == 0 ? static_cast<char>(random()) : '\0';
    }
    write_file(directory / "data.mdb", damaged);
    std::filesystem::remove(directory / "lock.mdb");
    const int outcome = use(directory.path());
    ++outcomes[outcome];
    BOOST_TEST(is_fine(outcome), count << " bytes at " << at << ": " << outcome);
  }
  BOOST_TEST(outcomes[found_by_verify] > 0);
}

BOOST_AUTO_TEST_CASE(a_page_of_another_place_is_damage) {
  TempDirectory directory;
  fill(directory.path());
  std::string bytes = read_file(directory / "data.mdb");
  int found = 0;
  for (std::size_t number = 10; number + 1 < bytes.size() / page; number += 7) {
    std::string damaged = bytes;
    damaged.replace(number * page, page, bytes.substr((number + 1) * page, page));
    write_file(directory / "data.mdb", damaged);
    std::filesystem::remove(directory / "lock.mdb");
    const int outcome = use(directory.path());
    BOOST_TEST(is_fine(outcome));
    found += outcome < sound ? 1 : 0;
  }
  BOOST_TEST(found > 0);
}

BOOST_AUTO_TEST_CASE(pages_that_nobody_lists_are_no_damage_and_can_be_copied) {
  TempDirectory directory;
  fill(directory / "db");
  std::string bytes = read_file(directory / "db/data.mdb");
  // One page more in both meta pages than there is: LMDB leaves such files itself.
  for (const std::size_t meta : {std::size_t{0}, page}) {
    std::uint64_t last = 0;
    std::memcpy(&last, bytes.data() + meta + 136, sizeof last);
    ++last;
    std::memcpy(bytes.data() + meta + 136, &last, sizeof last);
  }
  write_file(directory / "db/data.mdb", bytes);
  auto base = open_base(directory / "db");
  BOOST_TEST(base->verify().has_value());
  std::filesystem::create_directory(directory / "copy");
  Result<Timestamp> at = base->copy_to(directory / "copy");
  BOOST_REQUIRE_MESSAGE(at, text_of(at));
  auto copy = open_base(directory / "copy");
  BOOST_TEST(copy->at().value == 2u);
  BOOST_TEST(!copy->has_foreign_write());
}

BOOST_AUTO_TEST_CASE(a_keyspace_that_is_missing_is_corruption) {
  TempDirectory directory;
  fill(directory.path());
  // A stranger that also forges the stamp: transaction 5 or so, one byte, little-endian.
  std::uint64_t stamp = 0;
  {
    auto base = open_base(directory.path());
    stamp = base->version().value;
  }
  {
    Outsider outsider(directory.path());
    outsider.drop("2");
    outsider.put("isolde:meta", {{"transaction", std::string(1, static_cast<char>(stamp + 2)) +
                                                     std::string(7, '\0')}});
  }
  BOOST_TEST((open_failure(directory.path()) == ErrorCode::corruption));
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_reported_and_changes_nothing) {
  TempDirectory directory;
  fill(directory.path());
  const int verdict = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    auto base = open_base(directory.path());
    const rlimit limit{base->file_bytes() + 20 * page, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 100;
    Changes large;
    for (int i = 1000; i < 3000; ++i)
      large.put(default_id, std::to_string(i), std::string(500, 'v'));
    Result<ApplyOutcome> outcome = base->apply(Timestamp{3}, large);
    if (outcome || outcome.error().code() != ErrorCode::disk_full) return 101;
    if (base->at().value != 2 || !contents(*base, default_id).empty()) return 102;
    Result<std::uint64_t> loaded = base->load(
        KeyspaceId{20}, "loaded",
        [n = 0, key = std::string(), value = std::string(1000, 'v')]() mutable {
          key = std::to_string(1'000'000 + n++);
          using Entry = std::pair<std::string_view, std::string_view>;
          return Result<std::optional<Entry>>(std::optional<Entry>(Entry(key, value)));
        },
        [] { return Result<void>(); });
    if (loaded || loaded.error().code() != ErrorCode::disk_full) return 103;
    std::filesystem::create_directory(directory / "copy");
    const rlimit tiny{20 * page, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &tiny) != 0) return 104;
    Result<Timestamp> copied = base->copy_to(directory / "copy");
    if (copied || copied.error().code() != ErrorCode::disk_full) return 105;
    if (std::filesystem::exists(directory / "copy/data.mdb")) return 106;
    // Space comes back, and all goes on.
    const rlimit enough{RLIM_INFINITY, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_FSIZE, &enough) != 0) return 107;
    if (!base->apply(Timestamp{3}, large) || !base->verify()) return 108;
    return 0;
  });
  BOOST_TEST(verdict == 0);
  auto base = open_base(directory.path());
  BOOST_TEST(base->at().value == 3u);
  BOOST_TEST(base->verify().has_value());
}

BOOST_AUTO_TEST_CASE(what_may_not_be_read_or_written_is_permission_denied) {
  using isolde::test::permit;
  TempDirectory directory;
  fill(directory / "db");
  permit(directory.path(), 0755);
  permit(directory / "db", 0755);
  const auto as_nobody = [&](bool read_only, const char* name) {
    return in_child([&] {
      if (!isolde::test::drop_rights()) return 100;
      BaseOptions options = small_options();
      options.read_only = read_only;
      Result<std::unique_ptr<Base>> base = Base::open(directory / name, options);
      if (!base) return static_cast<int>(base.error().code());
      return contents(**base, KeyspaceId{2}).size() == 501 ? 101 : 102;
    });
  };
  const int denied = static_cast<int>(ErrorCode::permission_denied);
  permit(directory / "db/data.mdb", 0644);
  BOOST_TEST(as_nobody(false, "db") == denied);
  BOOST_TEST(as_nobody(true, "db") == 101);
  permit(directory / "db", 0777);
  std::filesystem::remove(directory / "db/lock.mdb");
  permit(directory / "db", 0755);
  BOOST_TEST(as_nobody(true, "db") == 101);
  BOOST_TEST(as_nobody(false, "new") == denied);
  permit(directory / "db/data.mdb", 0600);
  BOOST_TEST(as_nobody(true, "db") == denied);
  permit(directory / "db", 0700);
  BOOST_TEST(as_nobody(true, "db") == denied);
  permit(directory / "db", 0777);
  permit(directory.path(), 0777);
}

BOOST_AUTO_TEST_CASE(reading_only_changes_no_byte) {
  TempDirectory directory;
  fill(directory.path());
  const std::string before = read_file(directory / "data.mdb");
  BaseOptions options = small_options();
  options.read_only = true;
  {
    auto base = open_base(directory.path(), options);
    BOOST_TEST(contents(*base, KeyspaceId{2}).size() == 501u);
    BOOST_TEST(base->verify().has_value());
    Changes changes;
    changes.put(default_id, "a", "1");
    BOOST_TEST(!base->apply(Timestamp{3}, changes).has_value());
  }
  BOOST_TEST((read_file(directory / "data.mdb") == before));
}

BOOST_AUTO_TEST_SUITE_END()
