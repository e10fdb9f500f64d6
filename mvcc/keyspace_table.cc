#include "mvcc/keyspace_table.h"

#include <algorithm>
#include <utility>

namespace isolde::mvcc {

KeyspaceTable::~KeyspaceTable() {
  for (auto& slot : chunks_) {
    Chunk* chunk = slot.load();
    if (chunk == nullptr) continue;
    for (auto& state : *chunk) delete state.load();
    delete chunk;
  }
}

KeyspaceState* KeyspaceTable::mutable_state(KeyspaceId id) const noexcept {
  if (id.value >= max_ids) return nullptr;
  Chunk* chunk = chunks_[id.value / chunk_ids].load();
  return chunk == nullptr ? nullptr : (*chunk)[id.value % chunk_ids].load();
}

const KeyspaceState* KeyspaceTable::state(KeyspaceId id) const noexcept {
  return mutable_state(id);
}

std::optional<Keyspace> KeyspaceTable::find(std::string_view name) const {
  MutexLock lock(mutex_);
  const auto found = names_.find(name);
  if (found == names_.end()) return std::nullopt;
  return found->second;
}

std::vector<Keyspace> KeyspaceTable::list() const {
  MutexLock lock(mutex_);
  std::vector<Keyspace> keyspaces;
  keyspaces.reserve(names_.size());
  for (const auto& [name, keyspace] : names_) keyspaces.push_back(keyspace);
  return keyspaces;
}

std::string KeyspaceTable::name_of(KeyspaceId id) const {
  const KeyspaceState* found = state(id);
  return found == nullptr ? "keyspace " + std::to_string(id.value) : found->handle.name();
}

std::optional<KeyspaceId> KeyspaceTable::reserve_id() noexcept {
  std::uint32_t id = next_id_.load();
  do {
    if (id >= max_ids) return std::nullopt;
  } while (!next_id_.compare_exchange_weak(id, id + 1));
  return KeyspaceId{id};
}

void KeyspaceTable::skip_ids_below(KeyspaceId id) noexcept {
  std::uint32_t next = next_id_.load();
  while (next < id.value && !next_id_.compare_exchange_weak(next, id.value)) {
  }
}

// First all memory that it needs: after a failure nothing has changed.
void KeyspaceTable::create(KeyspaceId id, std::string_view name, std::uint64_t commit, bool loaded,
                           const std::function<void()>& publish) {
  skip_ids_below(KeyspaceId{id.value + 1});
  MutexLock lock(mutex_);
  // Replayed over a base that has it already: harmless.
  if (mutable_state(id) != nullptr) return;
  const Keyspace handle(id, name);
  auto& slot = chunks_[id.value / chunk_ids];
  if (slot.load() == nullptr) slot.store(new Chunk{});
  auto state = std::unique_ptr<KeyspaceState>(
      new KeyspaceState{handle, commit, loaded ? commit : 0, KeyspaceState::never});
  if (commit != 0) changes_.push_back({commit, engine::ChangeKind::create_keyspace, handle, {}});
  try {
    names_.insert_or_assign(std::string(name), handle);
  } catch (...) {
    if (commit != 0) changes_.pop_back();
    throw;
  }
  (*slot.load())[id.value % chunk_ids].store(state.release());
  publish();
}

void KeyspaceTable::drop(KeyspaceId id, std::uint64_t commit) {
  MutexLock lock(mutex_);
  KeyspaceState* state = mutable_state(id);
  if (state == nullptr) return;
  changes_.push_back({commit, engine::ChangeKind::drop_keyspace, state->handle, {}});
  state->dropped.store(commit);
  const auto found = names_.find(state->handle.name());
  if (found != names_.end() && found->second.id() == id) {
    changes_.back().name = names_.extract(found);
  }
}

void KeyspaceTable::for_each_change(std::uint64_t after, std::uint64_t until,
                                    const std::function<bool(const engine::Change&)>& visit) const {
  std::vector<std::pair<engine::ChangeKind, Keyspace>> changes;
  {
    MutexLock lock(mutex_);
    for (const LoggedChange& change : changes_) {
      if (change.commit <= after || change.commit > until) continue;
      changes.emplace_back(change.kind, change.keyspace);
    }
  }
  for (const auto& [kind, keyspace] : changes) {
    if (!visit({kind, keyspace.id(), keyspace.name(), {}})) return;
  }
}

void KeyspaceTable::forget_changes(std::uint64_t until) {
  MutexLock lock(mutex_);
  std::erase_if(changes_, [&](const LoggedChange& change) { return change.commit <= until; });
}

void KeyspaceTable::roll_back(std::uint64_t durable) noexcept {
  MutexLock lock(mutex_);
  while (!changes_.empty() && changes_.back().commit > durable) {
    const Keyspace& keyspace = changes_.back().keyspace;
    KeyspaceState* state = mutable_state(keyspace.id());
    if (changes_.back().kind == engine::ChangeKind::create_keyspace) {
      state->dropped.store(0);  // whoever has the handle is told that it is not there
      if (const auto found = names_.find(keyspace.name()); found != names_.end()) {
        names_.erase(found);
      }
    } else {
      state->dropped.store(KeyspaceState::never);
      if (changes_.back().name) names_.insert(std::move(changes_.back().name));
    }
    changes_.pop_back();
  }
}

}  // namespace isolde::mvcc
