#include "engine/base/base_state.h"

#include <sys/mman.h>
#include <sys/stat.h>

namespace isolde::engine {

Base::Base(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Base::~Base() = default;

std::uint64_t Base::database_id() const noexcept { return state_->database_id; }
bool Base::has_foreign_write() const noexcept { return state_->foreign.load(); }
Error Base::foreign_write_error() const { return foreign_writer(*state_); }
bool Base::is_fresh() const noexcept { return state_->fresh; }
Timestamp Base::at() const noexcept {
  return Timestamp{state_->at.load(std::memory_order_acquire)};
}
BaseVersion Base::version() const noexcept {
  return BaseVersion{state_->version.load(std::memory_order_acquire)};
}

std::vector<KeyspaceInfo> Base::keyspaces() const {
  std::vector<KeyspaceInfo> infos;
  MutexLock lock(state_->mutex);
  for (const auto& [name, named] : state_->manifest.named) {
    if (named.kind == NamedKind::keyspace) infos.push_back({named.id, name});
  }
  return infos;
}

KeyspaceId Base::next_keyspace_id() const noexcept {
  MutexLock lock(state_->mutex);
  return state_->manifest.next_keyspace_id;
}

std::size_t Base::map_bytes() const noexcept {
  MDB_envinfo info{};
  mdb_env_info(state_->environment.get(), &info);
  return info.me_mapsize;
}

std::uint64_t Base::file_bytes() const noexcept {
  int descriptor = -1;
  struct stat status {};
  if (mdb_env_get_fd(state_->environment.get(), &descriptor) != MDB_SUCCESS ||
      ::fstat(descriptor, &status) != 0) {
    return 0;
  }
  return static_cast<std::uint64_t>(status.st_size);
}

// LMDB unmaps first and maps then; if that fails it is left without a map. So the space is tried
// out before.
Result<void> grow_map_of(Base::State& state) {
  MDB_envinfo info{};
  mdb_env_info(state.environment.get(), &info);
  const std::size_t bytes = info.me_mapsize * 2;
  void* trial =
      ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (trial == MAP_FAILED) return lmdb_error(ENOMEM, "grow the map of", state.file);
  ::munmap(trial, bytes);
  const int code = mdb_env_set_mapsize(state.environment.get(), bytes);
  if (code == MDB_SUCCESS) return {};
  if (code == ENOMEM) state.unmapped.store(true, std::memory_order_relaxed);
  return lmdb_error(code, "grow the map of", state.file);
}

Result<void> Base::grow_map() { return grow_map_of(*state_); }

Error Base::read_error(int failure) const { return lmdb_error(failure, "read", state_->file); }

Error foreign_writer(const Base::State& state) {
  Evidence evidence;
  evidence.file = state.file.string();
  return {ErrorCode::corruption,
          "another program has written to " + state.file.string() +
              " behind Isolde's log; restore it from a backup, or write through Isolde only",
          std::move(evidence)};
}

}  // namespace isolde::engine
