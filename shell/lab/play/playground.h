// Where scripts are played: a temporary database, or scratch keyspaces in an existing one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "isolde/database.h"
#include "lab/script/predicate.h"

namespace isolde::lab {

// A directory of its own, removed at the end with all in it.
class TemporaryDirectory {
 public:
  static Result<TemporaryDirectory> create(std::string_view prefix);

  TemporaryDirectory(TemporaryDirectory&& other) noexcept;
  TemporaryDirectory& operator=(TemporaryDirectory&& other) noexcept;
  ~TemporaryDirectory();

  const std::filesystem::path& path() const noexcept { return path_; }
  // The error as every run tells it: its paths begin inside the directory, whose name is another
  // each time.
  Error seen_from_here(const Error& error) const;

 private:
  explicit TemporaryDirectory(std::filesystem::path path) : path_(std::move(path)) {}
  void remove() noexcept;

  std::filesystem::path path_;
};

// Gives each run of a schedule the keyspaces that the script names, fresh. The script knows them by
// its own names ("default", ...), whatever they are called in the database.
//
// Not thread-safe. All transactions must have ended before restart() and destruction.
class Playground {
 public:
  virtual ~Playground() = default;

  // Makes everything as before the script's setup.
  virtual Result<void> restart() = 0;
  // From the next restart on the database makes syncs, for a script that lets one fail. Nothing in
  // a user's database: it does as it was opened.
  virtual void want_syncs(bool /*wanted*/) {}
  virtual Database& database() = 0;
  // A keyspace by the script's name. Errors: keyspace_not_found.
  virtual Result<Keyspace> find(std::string_view name) = 0;
  virtual Result<void> create(std::string_view name) = 0;
  // The script's name of a keyspace of the database, for evidence; its own name if it has none.
  virtual std::string script_name(std::string_view database_name) const {
    return std::string(database_name);
  }
  // An error of the database, as every run of the script tells it.
  virtual Error told(const Error& error) const { return error; }
  // All that is committed now.
  virtual Result<State> state() = 0;
  // What was there before setup: empty, or a copy of real data. Shown only where it has changed.
  virtual const State& origin() const;

  // Each run gets a new database in a temporary directory.
  static std::unique_ptr<Playground> temporary();
  // Runs play in scratch keyspaces of `database`; the script's default one begins as a copy of
  // `copy_of`, if named. Everything else in the database stays untouched, and the scratch ones are
  // dropped at the end. `database` must outlive the playground. Errors: keyspace_not_found.
  static Result<std::unique_ptr<Playground>> inside(Database& database,
                                                    const std::optional<std::string>& copy_of);
};

}  // namespace isolde::lab
