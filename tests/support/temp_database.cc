#include "tests/support/temp_database.h"

#include <unistd.h>

#include <boost/test/execution_monitor.hpp>
#include <cstdlib>

#include "mvcc/database_core.h"

namespace isolde::test {

TempDirectory::TempDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "isolde-mvcc-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) std::abort();
  path_ = pattern;
}

TempDirectory::~TempDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Options small_options() {
  Options options;
  options.log_segment_bytes = std::size_t{64} << 10;
  options.initial_map_bytes = std::size_t{64} << 20;
  options.background_work = false;
  return options;
}

TempDatabase::TempDatabase(Options options) : options_(options) { open(); }

TempDatabase::~TempDatabase() {
  if (!db_) return;
  try {
    verify_and_remove();
  } catch (const boost::execution_aborted&) {
    // A failed BOOST_REQUIRE, which Boost has counted.
  }
}

void TempDatabase::verify_and_remove() {
  const auto report = db_->verify();
  BOOST_TEST(report.has_value(), message_of(report));
  // A failed log (I8) leaves more in memory than a second opening may find.
  if (db_->stats().failed || options_.read_only) {
    abandon();
    return;
  }
  std::map<std::string, Contents> before;
  for (const Keyspace& keyspace : db_->keyspaces()) before[keyspace.name()] = contents(keyspace);
  const Result<void> closed = db_->close();
  BOOST_TEST(closed.has_value(), message_of(closed));
  db_.reset();
  auto reopened = Database::open(directory(), options_);
  BOOST_TEST(reopened.has_value(), message_of(reopened));
  if (!reopened) return;
  db_.emplace(std::move(*reopened));
  std::map<std::string, Contents> after;
  for (const Keyspace& keyspace : db_->keyspaces()) after[keyspace.name()] = contents(keyspace);
  BOOST_TEST((before == after), "a second opening finds something else");
  const auto verified = db_->verify();
  BOOST_TEST(verified.has_value(), message_of(verified));
}

mvcc::DatabaseCore& TempDatabase::core() { return DatabaseInternals::core(*db_); }

void TempDatabase::open() {
  db_.emplace(must(Database::open(directory(), options_)));
  keyspace_.emplace(must(db_->find_keyspace(default_keyspace_name)));
}

void TempDatabase::close() {
  must(db_->close());
  db_.reset();
}

void TempDatabase::abandon() {
  DatabaseInternals::abandon(std::move(*db_));
  db_.reset();
}

void TempDatabase::reopen() {
  close();
  open();
}

void TempDatabase::reopen(const Options& options) {
  close();
  options_ = options;
  open();
}

void TempDatabase::kill_and_reopen() {
  abandon();
  open();
}

Transaction TempDatabase::begin(Isolation isolation, std::string label) {
  TransactionOptions options;
  options.isolation = isolation;
  options.label = std::move(label);
  return must(db_->begin(options));
}

Timestamp TempDatabase::put(std::string_view key, std::string_view value) {
  Transaction txn = begin(Isolation::read_committed);
  must(txn.put(keyspace(), key, value));
  return must(txn.commit());
}

Timestamp TempDatabase::erase(std::string_view key) {
  Transaction txn = begin(Isolation::read_committed);
  must(txn.erase(keyspace(), key));
  return must(txn.commit());
}

std::optional<std::string> TempDatabase::get(std::string_view key) {
  Transaction txn = begin();
  return test::get(txn, keyspace(), key);
}

Contents TempDatabase::contents(const Keyspace& keyspace) {
  Transaction txn = begin();
  return test::contents(txn, keyspace);
}

void TempDatabase::checkpoint() { must(db_->checkpoint()); }

void TempDatabase::reclaim() { core().reclaimer().run(); }

Contents contents(Transaction& transaction, const Keyspace& keyspace) {
  Contents found;
  must(transaction.scan(keyspace, KeyRange::all(),
                        [&](std::string_view key, std::string_view value) {
                          found.emplace_hint(found.end(), key, value);
                        }));
  return found;
}

std::optional<std::string> get(Transaction& transaction, const Keyspace& keyspace,
                               std::string_view key) {
  const auto value = must(transaction.get(keyspace, key));
  if (!value) return std::nullopt;
  return std::string(*value);
}

std::string text(const Contents& contents) {
  std::string joined;
  for (const auto& [key, value] : contents) {
    if (!joined.empty()) joined += ' ';
    joined.append(key).append(1, '=').append(value);
  }
  return joined;
}

}  // namespace isolde::test
