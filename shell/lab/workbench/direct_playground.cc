#include "lab/workbench/direct_playground.h"

#include <limits>
#include <utility>

namespace isolde::lab {

Result<void> DirectPlayground::open(const std::filesystem::path& directory,
                                    const Options& options) {
  auto opened = Database::open(directory, options);
  if (!opened) return opened.error();
  database_ = std::move(*opened);
  return {};
}

Result<void> DirectPlayground::close() {
  if (!database_) return {};
  auto closed = database_->close();
  database_.reset();
  return closed;
}

void DirectPlayground::abandon() noexcept {
  if (!database_) return;
  database_->abandon();
  database_.reset();
}

Result<Keyspace> DirectPlayground::find(std::string_view name) {
  return database_->find_keyspace(name);
}

Result<void> DirectPlayground::create(std::string_view name) {
  auto created = database_->keyspace(name);
  return created ? Result<void>() : Result<void>(created.error());
}

Result<State> DirectPlayground::state() {
  auto all = state_up_to(std::numeric_limits<std::size_t>::max());
  if (!all) return all.error();
  return std::move(**all);
}

Result<std::optional<State>> DirectPlayground::state_up_to(std::size_t records) {
  State state;
  auto txn = database_->begin({.isolation = Isolation::repeatable_read, .read_only = true});
  if (!txn) return txn.error();
  for (const Keyspace& keyspace : database_->keyspaces()) {
    auto scanned = txn->scan(keyspace, KeyRange::all(),
                             [&](std::string_view key, std::string_view value) -> bool {
                               state.emplace(std::pair(keyspace.name(), std::string(key)), value);
                               return state.size() <= records;
                             });
    if (!scanned) return scanned.error();
    if (state.size() > records) return std::optional<State>();
  }
  if (auto ended = txn->rollback(); !ended) return ended.error();
  return std::optional<State>(std::move(state));
}

}  // namespace isolde::lab
