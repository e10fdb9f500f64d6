// What a Base holds, shared by its source files. Private to the base.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>

#include "engine/base/base.h"
#include "engine/base/base_handles.h"
#include "engine/base/base_manifest.h"
#include "engine/base/lmdb_error.h"
#include "engine/mutex.h"

namespace isolde::engine {

// Thread safety: the atomics and the handle table are read by everyone, the rest of the
// manifest under the mutex; all is written by one thread at a time (see Base), the manifest under
// the mutex then too.
//
// Invariants:
//   version <= newest_possible <= version + 1. The latter is raised just before an LMDB commit, the
//   former after it, so a view beyond newest_possible was committed by a stranger.
//   An entry of `handles` is right for every version up to newest_possible.
//   A handle is closed only with no view open (see Base::free_handles), so a view's handles stay
//   its own.
struct Base::State {
  State(std::filesystem::path directory_path, const BaseOptions& open_options)
      : directory(std::move(directory_path)), file(directory / "data.mdb"), options(open_options) {}

  const std::filesystem::path directory;
  const std::filesystem::path file;
  const BaseOptions options;

  Environment environment;
  unsigned max_handles = 0;
  MDB_dbi meta = 0;
  std::uint64_t database_id = 0;
  bool fresh = false;
  std::atomic<bool> foreign{false};
  std::atomic<bool> unmapped{false};  // a failed grow_map() left LMDB without its map

  // Read by every renewal, written by checkpoints only: on a line of its own.
  alignas(64) std::atomic<std::uint64_t> version{0};
  std::atomic<std::uint64_t> newest_possible{0};
  std::atomic<std::uint64_t> at{0};

  alignas(64) HandleTable handles;

  mutable Mutex mutex;  // leaf: held for copies of the manifest, never across I/O
  Manifest manifest ISOLDE_GUARDED_BY(mutex);

  Manifest copy_of_manifest() const ISOLDE_EXCLUDES(mutex) {
    MutexLock lock(mutex);
    return manifest;
  }
  void install(Manifest next) ISOLDE_EXCLUDES(mutex) {
    MutexLock lock(mutex);
    manifest = std::move(next);
  }
};

// The error for a base that a stranger has written to while we had it open, or behind our log.
Error foreign_writer(const Base::State& state);

// Base::grow_map.
Result<void> grow_map_of(Base::State& state);

// An environment with options.initial_map_bytes of map, or as much as the address space allows.
// `path`: the directory, or with MDB_NOSUBDIR the file.
Result<Environment> open_environment(const std::filesystem::path& path, unsigned flags,
                                     const BaseOptions& options, unsigned handles,
                                     std::uint64_t file_bytes);

// fsync of a file, or of a directory (`flags` of open(2)).
Result<void> sync_path(const std::filesystem::path& path, int flags);

// One LMDB write transaction of ours. Aborts unless committed.
class WriteTransaction {
 public:
  // Errors: corruption if a stranger has written; LMDB's.
  static Result<WriteTransaction> begin(Base::State& state);

  MDB_txn* get() const noexcept { return transaction_.get(); }
  std::uint64_t number() const noexcept { return number_; }

  // Stamps and commits it durably, and publishes its number as the version. Returns LMDB's code.
  int commit();
  void abort() noexcept { transaction_.reset(); }

 private:
  WriteTransaction(Base::State& state, LmdbTransaction transaction) noexcept
      : state_(&state), transaction_(std::move(transaction)) {
    number_ = mdb_txn_id(transaction_.get());
  }

  Base::State* state_;
  LmdbTransaction transaction_;
  std::uint64_t number_ = 0;
};

}  // namespace isolde::engine
