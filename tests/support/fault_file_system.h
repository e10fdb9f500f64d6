// A file system in memory that fails, tears, reorders and forgets on demand.
//
// It keeps apart what programs see (the page cache) and what a crash of the machine leaves (the
// disk): writes reach the disk by sync_data, names by sync_directory; before that, a crash may keep
// or lose each sector of a write and each name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/files/file.h"

namespace isolde::test {

// What happens to writes that were not synced when the machine goes down.
enum class Unsynced {
  dropped,
  kept,
  reordered,  // each sector of each write by itself
  cut,        // those up to some sector, in order
  torn,       // those up to some byte, in order
  scrambled,  // reordered, and sectors torn inside
};

struct Crash {
  Unsynced writes = Unsynced::dropped;
  Unsynced names = Unsynced::dropped;  // dropped, kept, or (all others) each by itself
  std::uint64_t seed = 0;
};

// Thread safety: all methods may be called concurrently.
class FaultFileSystem final : public engine::FileSystem {
 public:
  static constexpr std::size_t sector_bytes = 512;

  explicit FaultFileSystem(std::uint64_t seed = 0);
  ~FaultFileSystem() override;

  Result<std::unique_ptr<engine::File>> open(const std::filesystem::path& path,
                                             engine::OpenMode mode) override;
  Result<void> remove(const std::filesystem::path& path) override;
  Result<std::vector<std::string>> list(const std::filesystem::path& directory) override;
  Result<void> create_directory(const std::filesystem::path& directory) override;
  Result<void> sync_directory(const std::filesystem::path& directory) override;

  // The file system after a crash of the machine at this moment. Its disk holds all that it has.
  std::unique_ptr<FaultFileSystem> crash(const Crash& crash) const;
  // After a crash of the process only: the page cache survives, and so does the difference.
  std::unique_ptr<FaultFileSystem> clone() const;

  // Faults. Each counts from now on; `nth` = 1 is the next one.
  void fail_write(std::uint64_t nth, int system_error);   // nothing of it is written
  void short_write(std::uint64_t nth, int system_error);  // some of it is
  // The sync fails, and what was to be synced is on disk in part: later syncs do not help.
  void fail_sync(std::uint64_t nth, int system_error);
  void fail_create(std::uint64_t nth, int system_error);
  void fail_remove(std::uint64_t nth, int system_error);
  void fail_read(std::uint64_t nth, int system_error);
  // Writes that make the files larger than this, together, find the disk full.
  void limit_bytes(std::uint64_t bytes);
  // The power goes off after so many more changing operations: all later ones fail, and do nothing.
  void power_off_after(std::uint64_t operations);
  void clear_faults();

  // Changing operations so far: create, write, sync, remove, and those on directories.
  std::uint64_t operations() const;
  std::uint64_t reads() const;
  std::uint64_t writes() const;
  std::uint64_t syncs() const;
  std::uint64_t total_bytes() const;

  // Damage, in the page cache and on disk alike.
  std::string contents(const std::filesystem::path& path) const;
  void put(const std::filesystem::path& path, std::string contents);
  void overwrite(const std::filesystem::path& path, std::uint64_t offset, std::string_view bytes);
  void truncate(const std::filesystem::path& path, std::uint64_t bytes);
  void erase(const std::filesystem::path& path);
  std::vector<std::filesystem::path> files() const;

 private:
  friend class FaultFile;

  struct Write {
    std::uint64_t offset;
    std::string bytes;
  };
  struct Node {
    std::string cached;
    std::string disk;
    std::vector<Write> unsynced;
  };
  using Names = std::map<std::filesystem::path, std::shared_ptr<Node>>;
  struct Fault {
    std::uint64_t in = 0;  // 0: none
    int system_error = 0;
    // Counts one operation: is it the one to fail?
    bool strikes() { return in > 0 && --in == 0; }
  };

  // The error that an operation that changes something ends with, 0 for none.
  int begin_operation();
  int write(Node& node, std::uint64_t offset, std::span<const std::string_view> pieces);
  int sync(Node& node);
  static void apply(std::string& disk, const Write& write, std::size_t from, std::size_t to);
  static void apply_all(std::string& disk, const std::vector<Write>& writes, Unsynced how,
                        std::mt19937_64& random);

  mutable std::mutex mutex_;
  Names names_;
  Names names_on_disk_;
  std::set<std::filesystem::path> directories_;
  std::set<std::filesystem::path> directories_on_disk_;
  mutable std::mt19937_64 random_;
  Fault write_fault_;
  bool write_fault_is_short_ = false;
  Fault sync_fault_;
  Fault create_fault_;
  Fault remove_fault_;
  Fault read_fault_;
  std::uint64_t limit_bytes_;
  std::uint64_t operations_left_;
  std::uint64_t operations_ = 0;
  std::uint64_t reads_ = 0;
  std::uint64_t writes_ = 0;
  std::uint64_t syncs_ = 0;
};

}  // namespace isolde::test
