// A database of its own for each test: small, in a temporary directory, sound at the end.
#pragma once

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isolde/isolde.h"

namespace isolde {

// Boost finds these by the types' namespace.
inline std::ostream& boost_test_print_type(std::ostream& out, ErrorCode code) {
  return out << name(code);
}
inline std::ostream& boost_test_print_type(std::ostream& out, Timestamp at) {
  return out << at.value;
}
inline std::ostream& boost_test_print_type(std::ostream& out, TransactionId id) {
  return out << 'T' << id.value;
}

namespace mvcc {
class DatabaseCore;
}

}  // namespace isolde

namespace isolde::test {

// What a keyspace holds.
using Contents = std::map<std::string, std::string>;

// Removed with all that is in it at the end.
class TempDirectory {
 public:
  TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory();
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// "ok", or the name of the error's code: what most tests compare. From any thread.
template <typename T>
std::string outcome(const Result<T>& result) {
  return result ? "ok" : std::string(name(result.error().code()));
}

// The same with the whole message. (Boost builds messages whether or not they are needed.)
template <typename T>
std::string message_of(const Result<T>& result) {
  return result ? "ok" : result.error().to_string();
}

// The value of what has to succeed. Main thread only.
template <typename T>
T must(Result<T> result) {
  BOOST_REQUIRE_MESSAGE(result.has_value(), message_of(result));
  return std::move(*result);
}
inline void must(const Result<void>& result) {
  BOOST_REQUIRE_MESSAGE(result.has_value(), message_of(result));
}

// Small segments and maps, nothing in the background: checkpoints and reclaim when the test says.
Options small_options();

// Main thread only, but for db(), core() and keyspace() once it is open.
//
// Destroying it verifies the store, and that a transaction, the base and a second opening agree on
// what is in it; then closes and removes it. Transactions must have ended by then: declare them
// after it.
class TempDatabase {
 public:
  explicit TempDatabase(Options options = small_options());
  TempDatabase(const TempDatabase&) = delete;
  TempDatabase& operator=(const TempDatabase&) = delete;
  ~TempDatabase();

  Database& db() { return *db_; }
  Database* operator->() { return &*db_; }
  mvcc::DatabaseCore& core();
  const Keyspace& keyspace() const { return *keyspace_; }  // "default"
  std::filesystem::path directory() const { return directory_.path() / "db"; }
  const Options& options() const { return options_; }

  Transaction begin(Isolation isolation = Isolation::repeatable_read, std::string label = {});
  // One committed write each, in the default keyspace.
  Timestamp put(std::string_view key, std::string_view value);
  Timestamp erase(std::string_view key);
  // What a new transaction sees.
  std::optional<std::string> get(std::string_view key);
  Contents contents() { return contents(keyspace()); }
  Contents contents(const Keyspace& keyspace);

  void checkpoint();
  // One run of the reclaimer: prunes, drops, frees, keeps max_version_memory.
  void reclaim();

  // Closes it, and opens it again.
  void reopen();
  void reopen(const Options& options);
  // The same as if the process had been killed in between.
  void kill_and_reopen();
  // For tests that look at the closed files, or that end with a failed database: nothing is
  // verified at the end unless it is opened again.
  void close();
  void abandon();
  void open();

 private:
  void verify_and_remove();

  Options options_;
  TempDirectory directory_;
  std::optional<Database> db_;
  std::optional<Keyspace> keyspace_;
};

// What the transaction itself sees of a keyspace.
Contents contents(Transaction& transaction, const Keyspace& keyspace);
std::optional<std::string> get(Transaction& transaction, const Keyspace& keyspace,
                               std::string_view key);
// "absent" for nothing: for comparisons that Boost can print.
inline std::string text(const std::optional<std::string>& value) {
  return value ? *value : "absent";
}
std::string text(const Contents& contents);  // "a=1 b=2"

}  // namespace isolde::test
