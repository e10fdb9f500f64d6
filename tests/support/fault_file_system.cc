#include "tests/support/fault_file_system.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

namespace isolde::test {

namespace fs = std::filesystem;
using engine::file_error;
using engine::OpenMode;

class FaultFile final : public engine::File {
 public:
  FaultFile(FaultFileSystem& files, std::shared_ptr<FaultFileSystem::Node> node, fs::path path,
            bool writable)
      : files_(files), node_(std::move(node)), path_(std::move(path)), writable_(writable) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) override {
    const std::lock_guard lock(files_.mutex_);
    ++files_.reads_;
    if (files_.read_fault_.strikes()) {
      return file_error("read", path_, offset, files_.read_fault_.system_error);
    }
    if (offset >= node_->cached.size()) return std::size_t{0};
    const std::size_t bytes = std::min<std::size_t>(
        buffer.size(), node_->cached.size() - static_cast<std::size_t>(offset));
    std::memcpy(buffer.data(), node_->cached.data() + offset, bytes);
    return bytes;
  }

  Result<void> write_at(std::uint64_t offset, std::span<const std::string_view> pieces) override {
    const std::lock_guard lock(files_.mutex_);
    const int failure = writable_ ? files_.write(*node_, offset, pieces) : EBADF;
    if (failure != 0) return file_error("write", path_, offset, failure);
    return {};
  }

  Result<void> sync_data() override {
    const std::lock_guard lock(files_.mutex_);
    const int failure = files_.sync(*node_);
    if (failure != 0) return file_error("sync", path_, 0, failure);
    return {};
  }

  Result<std::uint64_t> size() override {
    const std::lock_guard lock(files_.mutex_);
    return std::uint64_t{node_->cached.size()};
  }

 private:
  FaultFileSystem& files_;
  std::shared_ptr<FaultFileSystem::Node> node_;
  fs::path path_;
  bool writable_;
};

FaultFileSystem::FaultFileSystem(std::uint64_t seed) : random_(seed) { clear_faults(); }
FaultFileSystem::~FaultFileSystem() = default;

int FaultFileSystem::begin_operation() {
  if (operations_left_ == 0) return EIO;
  --operations_left_;
  ++operations_;
  return 0;
}

Result<std::unique_ptr<engine::File>> FaultFileSystem::open(const fs::path& path, OpenMode mode) {
  const std::lock_guard lock(mutex_);
  auto found = names_.find(path);
  if (mode == OpenMode::create_new) {
    if (const int failure = begin_operation(); failure != 0) {
      return file_error("create", path, 0, failure);
    }
    if (create_fault_.strikes()) return file_error("create", path, 0, create_fault_.system_error);
    if (found != names_.end()) return file_error("create", path, 0, EEXIST);
    if (!directories_.contains(path.parent_path())) return file_error("create", path, 0, ENOENT);
    found = names_.emplace(path, std::make_shared<Node>()).first;
  }
  if (found == names_.end()) return file_error("open", path, 0, ENOENT);
  return std::unique_ptr<engine::File>(
      std::make_unique<FaultFile>(*this, found->second, path, mode != OpenMode::read_only));
}

Result<void> FaultFileSystem::remove(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  if (const int failure = begin_operation(); failure != 0) {
    return file_error("remove", path, 0, failure);
  }
  if (remove_fault_.strikes()) return file_error("remove", path, 0, remove_fault_.system_error);
  if (names_.erase(path) == 0) return file_error("remove", path, 0, ENOENT);
  return {};
}

Result<std::vector<std::string>> FaultFileSystem::list(const fs::path& directory) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [path, node] : names_) {
    if (path.parent_path() == directory) names.push_back(path.filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> FaultFileSystem::create_directory(const fs::path& directory) {
  const std::lock_guard lock(mutex_);
  if (const int failure = begin_operation(); failure != 0) {
    return file_error("create", directory, 0, failure);
  }
  directories_.insert(directory);
  return {};
}

Result<void> FaultFileSystem::sync_directory(const fs::path& directory) {
  const std::lock_guard lock(mutex_);
  if (const int failure = begin_operation(); failure != 0) {
    return file_error("sync", directory, 0, failure);
  }
  ++syncs_;
  if (sync_fault_.strikes()) return file_error("sync", directory, 0, sync_fault_.system_error);
  std::erase_if(names_on_disk_,
                [&](const auto& entry) { return entry.first.parent_path() == directory; });
  for (const auto& [path, node] : names_) {
    if (path.parent_path() == directory) names_on_disk_.emplace(path, node);
  }
  for (const fs::path& path : directories_) {
    if (path.parent_path() == directory) directories_on_disk_.insert(path);
  }
  return {};
}

int FaultFileSystem::write(Node& node, std::uint64_t offset,
                           std::span<const std::string_view> pieces) {
  if (const int failure = begin_operation(); failure != 0) return failure;
  ++writes_;
  Write write{offset, {}};
  for (const std::string_view piece : pieces) write.bytes += piece;
  int failure = 0;
  if (write_fault_.strikes()) {
    failure = write_fault_.system_error;
    if (!write_fault_is_short_) return failure;
    write.bytes.resize(static_cast<std::size_t>(random_() % (write.bytes.size() + 1)));
  }
  std::uint64_t used = 0;
  for (const auto& [path, named] : names_) used += named->cached.size();
  const std::uint64_t end = offset + write.bytes.size();
  if (end > node.cached.size() && used + (end - node.cached.size()) > limit_bytes_) {
    const std::uint64_t left = limit_bytes_ > used ? limit_bytes_ - used : 0;
    const std::uint64_t fits = std::max<std::uint64_t>(node.cached.size() + left, offset) - offset;
    write.bytes.resize(static_cast<std::size_t>(fits));
    failure = ENOSPC;
  }
  apply(node.cached, write, 0, write.bytes.size());
  node.unsynced.push_back(std::move(write));
  return failure;
}

int FaultFileSystem::sync(Node& node) {
  if (const int failure = begin_operation(); failure != 0) return failure;
  ++syncs_;
  if (sync_fault_.strikes()) {
    // The kernel drops the marks of the pages that it could not write: no later sync tries again.
    apply_all(node.disk, node.unsynced, Unsynced::scrambled, random_);
    node.unsynced.clear();
    return sync_fault_.system_error;
  }
  apply_all(node.disk, node.unsynced, Unsynced::kept, random_);
  node.unsynced.clear();
  return 0;
}

void FaultFileSystem::apply(std::string& disk, const Write& write, std::size_t from,
                            std::size_t to) {
  if (from >= to) return;
  const auto end = static_cast<std::size_t>(write.offset) + to;
  if (disk.size() < end) disk.resize(end);
  std::memcpy(disk.data() + write.offset + from, write.bytes.data() + from, to - from);
}

void FaultFileSystem::apply_all(std::string& disk, const std::vector<Write>& writes, Unsynced how,
                                std::mt19937_64& random) {
  std::size_t total = 0;
  for (const Write& write : writes) total += write.bytes.size();
  std::size_t budget = std::numeric_limits<std::size_t>::max();
  if (how == Unsynced::dropped) budget = 0;
  if (how == Unsynced::cut || how == Unsynced::torn) {
    budget = static_cast<std::size_t>(random() % (total + 1));
  }
  const bool by_sector = how == Unsynced::reordered || how == Unsynced::scrambled;
  // All chances, not only even ones: nearly nothing and nearly everything are worth trying too.
  const std::uint64_t chance = random() % 101;
  for (const Write& write : writes) {
    const std::size_t bytes = std::min(write.bytes.size(), budget);
    budget -= bytes;
    if (!by_sector) {
      const std::size_t torn = (write.offset + bytes) % sector_bytes;
      const bool at_end = bytes == write.bytes.size();
      apply(disk, write, 0,
            how == Unsynced::cut && !at_end ? bytes - std::min(bytes, torn) : bytes);
      continue;
    }
    for (std::size_t from = 0; from < bytes;) {
      const std::size_t in_sector = sector_bytes - (write.offset + from) % sector_bytes;
      std::size_t to = std::min(bytes, from + in_sector);
      const std::size_t next = to;
      if (random() % 100 < chance) {
        if (how == Unsynced::scrambled && random() % 4 == 0) {
          const std::size_t middle = from + random() % (to - from);
          if (random() % 2 == 0) {
            to = middle;
          } else {
            from = middle;
          }
        }
        apply(disk, write, from, to);
      }
      from = next;
    }
  }
}

std::unique_ptr<FaultFileSystem> FaultFileSystem::crash(const Crash& crash) const {
  const std::lock_guard lock(mutex_);
  std::mt19937_64 random(crash.seed);
  auto after = std::make_unique<FaultFileSystem>(crash.seed);
  // Whether a change of a name that was not synced reached the disk.
  const auto reached = [&] {
    if (crash.names == Unsynced::dropped) return false;
    return crash.names == Unsynced::kept || random() % 2 == 0;
  };
  for (const fs::path& directory : directories_) {
    if (directories_on_disk_.contains(directory) || reached()) {
      after->directories_.insert(directory);
    }
  }
  std::set<fs::path> paths;
  for (const auto& [path, node] : names_) paths.insert(path);
  for (const auto& [path, node] : names_on_disk_) paths.insert(path);
  const auto named = [](const Names& names, const fs::path& path) {
    const auto found = names.find(path);
    return found != names.end() ? found->second : nullptr;
  };
  for (const fs::path& path : paths) {
    auto node = named(names_on_disk_, path);
    if (const auto cached = named(names_, path); cached != node && reached()) node = cached;
    if (!node || !after->directories_.contains(path.parent_path())) continue;
    auto copy = std::make_shared<Node>();
    copy->disk = node->disk;
    apply_all(copy->disk, node->unsynced, crash.writes, random);
    copy->cached = copy->disk;
    after->names_.emplace(path, std::move(copy));
  }
  after->names_on_disk_ = after->names_;
  after->directories_on_disk_ = after->directories_;
  return after;
}

std::unique_ptr<FaultFileSystem> FaultFileSystem::clone() const {
  const std::lock_guard lock(mutex_);
  auto copy = std::make_unique<FaultFileSystem>(random_());
  std::map<const Node*, std::shared_ptr<Node>> nodes;
  const auto copied = [&](const Names& names) {
    Names result;
    for (const auto& [path, node] : names) {
      auto& target = nodes[node.get()];
      if (!target) target = std::make_shared<Node>(*node);
      result.emplace(path, target);
    }
    return result;
  };
  copy->names_ = copied(names_);
  copy->names_on_disk_ = copied(names_on_disk_);
  copy->directories_ = directories_;
  copy->directories_on_disk_ = directories_on_disk_;
  return copy;
}

void FaultFileSystem::fail_write(std::uint64_t nth, int system_error) {
  const std::lock_guard lock(mutex_);
  write_fault_ = {nth, system_error};
  write_fault_is_short_ = false;
}

void FaultFileSystem::short_write(std::uint64_t nth, int system_error) {
  const std::lock_guard lock(mutex_);
  write_fault_ = {nth, system_error};
  write_fault_is_short_ = true;
}

void FaultFileSystem::fail_sync(std::uint64_t nth, int system_error) {
  const std::lock_guard lock(mutex_);
  sync_fault_ = {nth, system_error};
}

void FaultFileSystem::fail_create(std::uint64_t nth, int system_error) {
  const std::lock_guard lock(mutex_);
  create_fault_ = {nth, system_error};
}

void FaultFileSystem::fail_remove(std::uint64_t nth, int system_error) {
  const std::lock_guard lock(mutex_);
  remove_fault_ = {nth, system_error};
}

void FaultFileSystem::fail_read(std::uint64_t nth, int system_error) {
  const std::lock_guard lock(mutex_);
  read_fault_ = {nth, system_error};
}

void FaultFileSystem::limit_bytes(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  limit_bytes_ = bytes;
}

void FaultFileSystem::power_off_after(std::uint64_t operations) {
  const std::lock_guard lock(mutex_);
  operations_left_ = operations;
}

void FaultFileSystem::clear_faults() {
  const std::lock_guard lock(mutex_);
  write_fault_ = sync_fault_ = create_fault_ = remove_fault_ = read_fault_ = {};
  limit_bytes_ = operations_left_ = std::numeric_limits<std::uint64_t>::max();
}

std::uint64_t FaultFileSystem::operations() const {
  const std::lock_guard lock(mutex_);
  return operations_;
}

std::uint64_t FaultFileSystem::reads() const {
  const std::lock_guard lock(mutex_);
  return reads_;
}

std::uint64_t FaultFileSystem::writes() const {
  const std::lock_guard lock(mutex_);
  return writes_;
}

std::uint64_t FaultFileSystem::syncs() const {
  const std::lock_guard lock(mutex_);
  return syncs_;
}

std::uint64_t FaultFileSystem::total_bytes() const {
  const std::lock_guard lock(mutex_);
  std::uint64_t bytes = 0;
  for (const auto& [path, node] : names_) bytes += node->cached.size();
  return bytes;
}

std::string FaultFileSystem::contents(const fs::path& path) const {
  const std::lock_guard lock(mutex_);
  return names_.at(path)->cached;
}

void FaultFileSystem::put(const fs::path& path, std::string contents) {
  const std::lock_guard lock(mutex_);
  auto node = std::make_shared<Node>();
  node->cached = node->disk = std::move(contents);
  names_[path] = names_on_disk_[path] = std::move(node);
}

void FaultFileSystem::overwrite(const fs::path& path, std::uint64_t offset,
                                std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  Node& node = *names_.at(path);
  const Write write{offset, std::string(bytes)};
  apply(node.cached, write, 0, bytes.size());
  apply(node.disk, write, 0, bytes.size());
}

void FaultFileSystem::truncate(const fs::path& path, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  Node& node = *names_.at(path);
  node.cached.resize(static_cast<std::size_t>(bytes));
  node.disk.resize(static_cast<std::size_t>(bytes));
}

void FaultFileSystem::erase(const fs::path& path) {
  const std::lock_guard lock(mutex_);
  names_.erase(path);
  names_on_disk_.erase(path);
}

std::vector<fs::path> FaultFileSystem::files() const {
  const std::lock_guard lock(mutex_);
  std::vector<fs::path> paths;
  for (const auto& [path, node] : names_) paths.push_back(path);
  return paths;
}

}  // namespace isolde::test
