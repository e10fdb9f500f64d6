// A database whose machine goes down: its log in a file system in memory, which knows what a crash
// leaves, its base in a real directory (LMDB syncs it itself, L4).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/isolde.h"
#include "tests/support/commit_history.h"
#include "tests/support/crash_session.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/seeded_schedule.h"

namespace isolde::test {

// Hands everything on, and tells the SeededSchedule of each operation that changes something,
// before and after it.
class WatchedFileSystem final : public engine::FileSystem {
 public:
  explicit WatchedFileSystem(std::unique_ptr<FaultFileSystem> files) : files_(std::move(files)) {}

  FaultFileSystem& faults() { return *files_; }
  const FaultFileSystem& faults() const { return *files_; }

  Result<std::unique_ptr<engine::File>> open(const std::filesystem::path& path,
                                             engine::OpenMode mode) override;
  Result<void> remove(const std::filesystem::path& path) override;
  Result<std::vector<std::string>> list(const std::filesystem::path& directory) override;
  Result<void> create_directory(const std::filesystem::path& directory) override;
  Result<void> sync_directory(const std::filesystem::path& directory) override;

 private:
  std::unique_ptr<FaultFileSystem> files_;
};

// A directory in memory if the machine has such (/dev/shm): LMDB's syncs cost nothing there.
class FastDirectory {
 public:
  FastDirectory();
  FastDirectory(const FastDirectory&) = delete;
  FastDirectory& operator=(const FastDirectory&) = delete;
  ~FastDirectory();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// What stood on disk and in the page cache at one moment, and what it had been promised then.
struct CrashImage {
  std::unique_ptr<FaultFileSystem> files;
  std::filesystem::path base;    // a copy of data.mdb
  std::uint64_t appended = 0;    // commits that had begun to be written, at most
  std::uint64_t durable = 0;     // the log's own claim
  std::uint64_t checkpoint = 0;  // what the base is at
  std::uint64_t process = 0;     // must survive the process
  std::uint64_t machine = 0;     // must survive the machine
  std::size_t acknowledged = 0;  // acknowledgements before it, until they are resolved
  std::string place;
};

struct WorldPlan {
  std::uint64_t seed = 0;
  std::size_t sessions = 3;
  std::size_t steps = 14;  // of each session and life
  Durability durability = Durability::sync();
  std::size_t images = 12;  // of each life
  // Injected into the life that runs: called before its sessions begin.
  std::function<void(FaultFileSystem&)> faults;
};

// One database through many lives. Single-threaded but for live().
class CrashWorld {
 public:
  explicit CrashWorld(const WorldPlan& plan);

  // Opens it, lets the sessions work in turns, and gives it up as a killed process would. The
  // images taken on the way are in images(). Returns what went wrong, empty if nothing did.
  std::string live();
  const std::vector<CrashImage>& images() const { return images_; }

  // Opens the database from an image after a crash of the kind given, compares it with the model,
  // commits more, crashes it again, and compares again. Returns what went wrong, empty if nothing
  // did. `process`: only the process was killed.
  std::string survives(const CrashImage& image, const Crash& crash, bool process,
                       std::uint64_t seed);
  // An image's figures, for messages.
  static std::string describe(const CrashImage& image);

  // Compares an image's base with the model: it is exactly the committed state at a checkpoint, for
  // any LMDB reader. Returns what went wrong, empty if nothing did.
  std::string base_is_exact(const CrashImage& image);

  // The next life begins with what an image leaves.
  void continue_from(const CrashImage& image, const Crash& crash, bool process);

  std::uint64_t commits() const { return history_.last(); }
  std::uint64_t recoveries() const { return recoveries_; }
  std::uint64_t crashed_recoveries() const { return crashed_recoveries_; }

 private:
  Options options() const;
  std::uint64_t promised(const CrashImage& image, bool process) const {
    return process ? image.process : image.machine;
  }
  std::filesystem::path directory() const { return directory_.path() / "db"; }
  std::filesystem::path data_file() const { return directory() / "data.mdb"; }
  void watch(std::string_view place);
  void take_image(std::string_view place);
  struct BaseCopy {
    std::filesystem::path file;
    std::uint64_t at = 0;
  };
  const BaseCopy& copy_of_base();
  std::string resolve(std::uint64_t begun_at, std::uint64_t appended);
  void run_sessions();
  void restore(const CrashImage& image) const;
  std::string open_and_compare(engine::FileSystem& files, const CommitHistory& history,
                               std::uint64_t least, std::uint64_t most, std::uint64_t seed,
                               std::optional<Database>& db);
  std::string commit_more(Database& db, CommitHistory& history, std::uint64_t seed);

  WorldPlan plan_;
  std::mt19937_64 random_;
  FastDirectory directory_;
  std::unique_ptr<WatchedFileSystem> files_;
  CommitHistory history_;
  std::uint64_t recoveries_ = 0;
  std::uint64_t crashed_recoveries_ = 0;
  std::uint64_t tags_ = 0;
  std::uint64_t least_ = 0;  // what the next life has to find
  std::uint64_t most_ = 0;

  // Of the life that runs; touched in turns.
  std::optional<Database> db_;
  CrashLedger ledger_;
  std::vector<std::string> complaints_;
  std::vector<CrashImage> images_;
  std::map<std::uint64_t, BaseCopy> base_copies_;  // by LMDB's transaction number
  std::uint64_t base_copies_made_ = 0;
  std::uint64_t places_ = 0;
};

}  // namespace isolde::test
