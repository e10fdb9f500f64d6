#include "mvcc/write_set.h"

#include <utility>

namespace isolde::mvcc {

const Write* WriteSet::find(KeyspaceId keyspace, std::string_view key) const {
  if (writes_.empty()) return nullptr;
  const auto found = writes_.find(WriteKeyView{keyspace, key});
  return found == writes_.end() ? nullptr : &found->second;
}

void WriteSet::set(KeyspaceId keyspace, std::string_view key, Write write) {
  const auto found = writes_.find(WriteKeyView{keyspace, key});
  MutexLock lock(latch_);
  // First what may find no memory, so that each mark keeps its write and each write its mark.
  if (undo_wanted_) undo_.push_back({keyspace, std::string(key), std::nullopt});
  if (found == writes_.end()) {
    const std::size_t bytes = key.size() + write.footprint();
    try {
      writes_.emplace(WriteKey{keyspace, std::pmr::string(key, &arena_)}, std::move(write));
    } catch (...) {
      if (undo_wanted_) undo_.pop_back();
      throw;
    }
    bytes_ += bytes;
  } else {
    bytes_ += write.footprint();
    bytes_ -= found->second.footprint();
    if (undo_wanted_) undo_.back().before = std::move(found->second);
    found->second = std::move(write);
  }
  has_writes_.store(true);
}

void WriteSet::clear(bool installed) noexcept {
  if (!has_writes_.load(std::memory_order_relaxed)) {
    undo_wanted_ = false;
    return;
  }
  MutexLock lock(latch_);
  if (installed) {
    for (auto& [key, write] : writes_) static_cast<void>(write.version.release());
  }
  has_writes_.store(false);
  writes_.clear();
  arena_.release();
  undo_.clear();
  undo_wanted_ = false;
  bytes_ = 0;
  // In this order: see forget_ended().
  life_.fetch_add(1);
  commit.store(0);
}

std::size_t WriteSet::mark() noexcept {
  undo_wanted_ = true;
  return undo_.size();
}

void WriteSet::undo_to(std::size_t mark) {
  MutexLock lock(latch_);
  while (undo_.size() > mark) {
    Undo& undo = undo_.back();
    const auto found = writes_.find(WriteKeyView{undo.keyspace, undo.key});
    bytes_ -= found->second.footprint();
    if (undo.before) {
      bytes_ += undo.before->footprint();
      found->second = std::move(*undo.before);
    } else {
      bytes_ -= undo.key.size();
      writes_.erase(found);
    }
    undo_.pop_back();
  }
}

void WriteSet::forget_marks() noexcept {
  undo_.clear();
  undo_wanted_ = false;
}

WriteSet::Copy WriteSet::copy(const Writes::value_type& entry) const {
  const Write& write = entry.second;
  Copy copied;
  copied.key.assign(entry.first.key);
  copied.delta = write.delta;
  copied.sequence = write.sequence;
  // During its commit a sum is being written into the version: its bytes are not ours to read.
  if (!write.delta) {
    if (const auto value = write.version->seen()) copied.value = std::string(*value);
  }
  copied.commit = commit.load();
  copied.writer = writer.load();
  copied.from = this;
  copied.life = life_.load();
  return copied;
}

bool WriteSet::forget_ended(std::vector<Copy>& copies) {
  const auto has_ended = [](Copy& copy) {
    copy.commit = copy.from->commit.load();
    return copy.from->life_.load() != copy.life;
  };
  return std::erase_if(copies, has_ended) > 0;
}

std::optional<WriteSet::Copy> WriteSet::copy_of(KeyspaceId keyspace, std::string_view key) {
  if (!has_writes()) return std::nullopt;
  MutexLock lock(latch_);
  const auto found = writes_.find(WriteKeyView{keyspace, key});
  if (found == writes_.end()) return std::nullopt;
  return copy(*found);
}

void WriteSet::copy_range(KeyspaceId keyspace, std::string_view lower,
                          const std::optional<std::string>& upper, std::vector<Copy>& copies) {
  if (!has_writes()) return;
  MutexLock lock(latch_);
  for (auto at = writes_.lower_bound(WriteKeyView{keyspace, lower}); at != writes_.end(); ++at) {
    if (at->first.keyspace != keyspace || (upper && std::string_view(at->first.key) >= *upper))
      break;
    copies.push_back(copy(*at));
  }
}

}  // namespace isolde::mvcc
