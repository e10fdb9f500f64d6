// A database as it is, for sessions that work on it directly.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "lab/play/playground.h"

namespace isolde::lab {

// The playground of the interactive shell: one database, opened and closed from outside, whose
// keyspaces have their own names. Not thread-safe.
class DirectPlayground final : public Playground {
 public:
  Result<void> open(const std::filesystem::path& directory, const Options& options);
  bool is_open() const noexcept { return database_.has_value(); }
  Result<void> close();
  // As Database::abandon().
  void abandon() noexcept;

  Result<void> restart() override { return {}; }  // it is what it is
  Database& database() override { return *database_; }
  Result<Keyspace> find(std::string_view name) override;
  Result<void> create(std::string_view name) override;
  Result<State> state() override;
  // All that is committed, unless it is more than so many records.
  Result<std::optional<State>> state_up_to(std::size_t records);

 private:
  std::optional<Database> database_;
};

}  // namespace isolde::lab
