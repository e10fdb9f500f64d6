#include "engine/files/owner_lock.h"

#include <sys/wait.h>

#include "tests/engine/base_fixture.h"
#include "tests/support/child_process.h"

using namespace isolde;
using namespace isolde::engine;
using namespace isolde::engine::test;

namespace {

// A child that holds the lock until it is told to go.
class Holder {
 public:
  Holder(const std::filesystem::path& directory, bool read_only) {
    int ready[2];
    int leave[2];
    if (::pipe(ready) != 0 || ::pipe(leave) != 0) std::abort();
    std::fflush(nullptr);
    pid_ = ::fork();
    char byte = 0;
    if (pid_ == 0) {
      ::close(leave[1]);
      const Result<OwnerLock> lock = OwnerLock::acquire(directory, read_only);
      byte = lock ? 'y' : 'n';
      if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
      while (::read(leave[0], &byte, 1) > 0) {
      }
      ::_exit(0);
    }
    ::close(ready[1]);
    ::close(leave[0]);
    leave_ = leave[1];
    if (::read(ready[0], &byte, 1) != 1) byte = 'n';
    ::close(ready[0]);
    holds_ = byte == 'y';
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() {
    ::close(leave_);
    ::waitpid(pid_, nullptr, 0);
  }
  bool holds() const { return holds_; }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int leave_ = -1;
  bool holds_ = false;
};

ErrorCode refusal(const std::filesystem::path& directory, bool read_only,
                  const std::string& mentions) {
  Result<OwnerLock> lock = OwnerLock::acquire(directory, read_only);
  BOOST_REQUIRE(!lock);
  BOOST_TEST_MESSAGE(lock.error().to_string());
  BOOST_TEST(lock.error().message().find(mentions) != std::string::npos);
  return lock.error().code();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(owner_lock)

BOOST_AUTO_TEST_CASE(the_owner_writes_its_pid_and_a_second_open_here_is_refused) {
  TempDirectory directory;
  const Result<OwnerLock> lock = OwnerLock::acquire(directory.path(), false);
  BOOST_REQUIRE(lock);
  BOOST_TEST(read_file(directory / "owner") == std::to_string(::getpid()) + "\n");
  for (const bool read_only : {false, true}) {
    BOOST_TEST(
        (refusal(directory.path(), read_only, "in this process") == ErrorCode::database_in_use));
  }
}

BOOST_AUTO_TEST_CASE(another_path_to_the_directory_is_the_same_database) {
  TempDirectory directory;
  std::filesystem::create_directory(directory / "db");
  std::filesystem::create_symlink(directory / "db", directory / "link");
  const Result<OwnerLock> lock = OwnerLock::acquire(directory / "db", false);
  BOOST_REQUIRE(lock);
  BOOST_TEST((refusal(directory / "link", false, "in this process") == ErrorCode::database_in_use));
  // Also with the file taken away.
  std::filesystem::remove(directory / "db/owner");
  BOOST_TEST((refusal(directory / "db", false, "in this process") == ErrorCode::database_in_use));
}

BOOST_AUTO_TEST_CASE(released_by_destruction_assignment_and_not_by_a_move) {
  TempDirectory directory;
  std::filesystem::create_directory(directory / "other");
  {
    Result<OwnerLock> lock = OwnerLock::acquire(directory.path(), false);
    BOOST_REQUIRE(lock);
    OwnerLock moved = std::move(*lock);
    BOOST_TEST((refusal(directory.path(), false, "open") == ErrorCode::database_in_use));
    Result<OwnerLock> other = OwnerLock::acquire(directory / "other", false);
    BOOST_REQUIRE(other);
    moved = std::move(*other);
    BOOST_TEST(OwnerLock::acquire(directory.path(), false).has_value());
    BOOST_TEST((refusal(directory / "other", false, "open") == ErrorCode::database_in_use));
  }
  BOOST_TEST(OwnerLock::acquire(directory / "other", false).has_value());
}

BOOST_AUTO_TEST_CASE(another_process_is_named_by_its_pid) {
  TempDirectory directory;
  {
    Holder holder(directory.path(), false);
    BOOST_REQUIRE(holder.holds());
    for (const bool read_only : {false, true}) {
      BOOST_TEST((refusal(directory.path(), read_only, "process " + std::to_string(holder.pid())) ==
                  ErrorCode::database_in_use));
    }
  }
  BOOST_TEST(OwnerLock::acquire(directory.path(), false).has_value());
}

BOOST_AUTO_TEST_CASE(a_stale_or_senseless_pid_is_no_obstacle) {
  TempDirectory directory;
  for (const char* text : {"", "1\n", "99999999999999999999999999999999999999999999", "no pid"}) {
    write_file(directory / "owner", text);
    const Result<OwnerLock> lock = OwnerLock::acquire(directory.path(), false);
    BOOST_REQUIRE(lock);
    BOOST_TEST(read_file(directory / "owner") == std::to_string(::getpid()) + "\n");
  }
}

BOOST_AUTO_TEST_CASE(readers_share_and_keep_a_writer_out) {
  TempDirectory directory;
  write_file(directory / "owner", "");
  Holder reader(directory.path(), true);
  BOOST_REQUIRE(reader.holds());
  BOOST_TEST((refusal(directory.path(), false, "another process") == ErrorCode::database_in_use));
  BOOST_TEST(OwnerLock::acquire(directory.path(), true).has_value());
  BOOST_TEST(read_file(directory / "owner").empty());
}

BOOST_AUTO_TEST_CASE(a_reader_of_a_bare_copy_writes_nothing) {
  TempDirectory directory;
  const Result<OwnerLock> lock = OwnerLock::acquire(directory.path(), true);
  BOOST_REQUIRE(lock);
  BOOST_TEST(!std::filesystem::exists(directory / "owner"));
  BOOST_TEST((refusal(directory.path(), true, "in this process") == ErrorCode::database_in_use));
}

BOOST_AUTO_TEST_CASE(no_directory_is_no_database) {
  TempDirectory directory;
  BOOST_TEST((refusal(directory / "none", false, "none") == ErrorCode::not_a_database));
  write_file(directory / "file", "");
  BOOST_TEST((refusal(directory / "file", false, "file") == ErrorCode::not_a_database));
}

BOOST_AUTO_TEST_CASE(a_child_has_another_generation_and_does_not_keep_the_lock) {
  TempDirectory directory;
  std::optional<Result<OwnerLock>> lock = OwnerLock::acquire(directory.path(), false);
  BOOST_REQUIRE(*lock);
  const std::uint64_t generation = fork_generation();
  int leave[2];
  int checked[2];
  BOOST_REQUIRE(::pipe(leave) == 0);
  BOOST_REQUIRE(::pipe(checked) == 0);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(leave[1]);
    int verdict = fork_generation() == generation + 1 ? 0 : 1;
    // The parent has it, and the child says so; its own copy of the lock releases nothing.
    const Result<OwnerLock> second = OwnerLock::acquire(directory.path(), false);
    if (second || second.error().code() != ErrorCode::database_in_use) verdict |= 2;
    lock.reset();
    const Result<OwnerLock> third = OwnerLock::acquire(directory.path(), false);
    if (third) verdict |= 4;
    char byte = 0;
    if (::write(checked[1], &byte, 1) != 1) verdict |= 8;
    while (::read(leave[0], &byte, 1) > 0) {
    }
    ::_exit(verdict);
  }
  ::close(leave[0]);
  ::close(checked[1]);
  char byte = 0;
  BOOST_TEST(::read(checked[0], &byte, 1) == 1);
  ::close(checked[0]);
  BOOST_TEST(fork_generation() == generation);
  lock.reset();
  // The child lives and has inherited the descriptor's file: it must not keep the lock.
  for (int i = 0; i < 2; ++i) BOOST_TEST(OwnerLock::acquire(directory.path(), false).has_value());
  lock.emplace(OwnerLock::acquire(directory.path(), false));
  ::close(leave[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  BOOST_TEST(WIFEXITED(status));
  BOOST_TEST(WEXITSTATUS(status) == 0);
}

BOOST_AUTO_TEST_CASE(a_directory_that_may_not_be_written_is_permission_denied) {
  TempDirectory directory;
  std::filesystem::create_directory(directory / "db");
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
  isolde::test::permit(directory / "db", 0755);
  const int verdict = in_child([&] {
    if (!isolde::test::drop_rights()) return 100;
    const Result<OwnerLock> lock = OwnerLock::acquire(directory / "db", false);
    return lock ? 101 : static_cast<int>(lock.error().code());
  });
  BOOST_TEST(verdict == static_cast<int>(ErrorCode::permission_denied));
}

BOOST_AUTO_TEST_SUITE_END()
