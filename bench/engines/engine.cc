#include "bench/engines/engine.h"

#include <algorithm>

namespace isolde::suite {
namespace {

std::vector<Subject> make_subjects() {
  std::vector<Subject> all;
  const std::pair<const char*, const char*> levels[] = {{"ru", "read uncommitted"},
                                                        {"rc", "read committed"},
                                                        {"rr", "repeatable read (snapshot)"},
                                                        {"ser", "serializable"}};
  for (const auto& [level, promise] : levels) {
    for (const char* locking : {"opt", "pess"}) {
      std::string mode = level;
      mode.append("-").append(locking);
      std::string subject = "isolde-";
      subject.append(mode);
      all.push_back({std::move(subject), "isolde", std::move(mode), promise});
    }
  }
  all.push_back({"lmdb", "lmdb", "", "serializable: one writer at a time"});
#ifdef ISOLDE_SUITE_ROCKSDB
  all.push_back({"rocksdb-pess", "rocksdb", "snapshot", "snapshot, locks (TransactionDB)"});
  all.push_back({"rocksdb-rc", "rocksdb", "rc", "read committed, locks (TransactionDB)"});
  all.push_back({"rocksdb-opt", "rocksdb-optimistic", "snapshot",
                 "snapshot, validated (OptimisticTransactionDB)"});
#endif
#ifdef ISOLDE_SUITE_WIREDTIGER
  all.push_back({"wiredtiger", "wiredtiger", "", "snapshot"});
#endif
#ifdef ISOLDE_SUITE_BERKELEYDB
  all.push_back({"berkeleydb-si", "berkeleydb", "snapshot", "snapshot (DB_MULTIVERSION)"});
  all.push_back({"berkeleydb-ser", "berkeleydb", "serializable", "serializable, page locks"});
#endif
#ifdef ISOLDE_SUITE_SQLITE
  all.push_back({"sqlite", "sqlite", "", "serializable: one writer at a time (WAL)"});
#endif
  return all;
}

std::vector<std::pair<std::string, std::string>> make_missing() {
  std::vector<std::pair<std::string, std::string>> missing;
#ifndef ISOLDE_SUITE_ROCKSDB
  missing.emplace_back("rocksdb", "not in this build: Debian's librocksdb-dev was not found");
#endif
#ifndef ISOLDE_SUITE_WIREDTIGER
  missing.emplace_back("wiredtiger", "not in this build: Debian's libwiredtiger-dev was not found");
#endif
#ifndef ISOLDE_SUITE_BERKELEYDB
  missing.emplace_back("berkeleydb", "not in this build: Debian's libdb5.3-dev was not found");
#endif
#ifndef ISOLDE_SUITE_SQLITE
  missing.emplace_back("sqlite", "not in this build: Debian's libsqlite3-dev was not found");
#endif
  return missing;
}

}  // namespace

std::string_view name(Reason reason) {
  constexpr std::array<std::string_view, reason_count> names = {
      "none",         "write_conflict", "serialization_failure", "deadlock",
      "lock_timeout", "busy",           "snapshot_too_old"};
  return names.at(static_cast<std::size_t>(reason));
}

Reason Client::claim(std::string_view from, std::string_view to, std::uint64_t hint,
                     std::string& key) {
  std::vector<std::string> seen;
  seen.reserve(8);
  auto note = [&](std::string_view found, std::string_view) { seen.emplace_back(found); };
  key.clear();
  if (const Reason failed = scan(from, to, 8, note); failed != Reason::none) return failed;
  if (seen.empty()) return Reason::none;
  key = seen[hint % seen.size()];
  const Read read = get_for_update(key);
  if (read.failed != Reason::none) return read.failed;
  // Locked and read anew: somebody else was quicker. The scan is worth nothing then.
  if (!read.value) return Reason::write_conflict;
  return Reason::none;
}

std::size_t EngineOptions::cache_bytes() const {
  return std::clamp(4 * data_bytes, std::size_t{256} << 20, std::size_t{4} << 30);
}

const std::vector<Subject>& all_subjects() {
  static const std::vector<Subject> all = make_subjects();
  return all;
}

const std::vector<std::pair<std::string, std::string>>& missing_engines() {
  static const std::vector<std::pair<std::string, std::string>> missing = make_missing();
  return missing;
}

const Subject* find_subject(std::string_view name) {
  const auto& all = all_subjects();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Subject& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::string engine_version(const std::string& engine) {
  if (engine == "isolde") return ISOLDE_SUITE_VERSION;
  if (engine == "lmdb") return lmdb_version();
#ifdef ISOLDE_SUITE_ROCKSDB
  if (engine == "rocksdb" || engine == "rocksdb-optimistic") return rocksdb_version();
#endif
#ifdef ISOLDE_SUITE_WIREDTIGER
  if (engine == "wiredtiger") return wiredtiger_version();
#endif
#ifdef ISOLDE_SUITE_BERKELEYDB
  if (engine == "berkeleydb") return berkeleydb_version();
#endif
#ifdef ISOLDE_SUITE_SQLITE
  if (engine == "sqlite") return sqlite_version();
#endif
  return "unknown";
}

std::unique_ptr<Engine> open_engine(const std::string& engine, const EngineOptions& options) {
  if (engine == "isolde") return open_isolde(options);
  if (engine == "lmdb") return open_lmdb(options);
#ifdef ISOLDE_SUITE_ROCKSDB
  if (engine == "rocksdb") return open_rocksdb(options, false);
  if (engine == "rocksdb-optimistic") return open_rocksdb(options, true);
#endif
#ifdef ISOLDE_SUITE_WIREDTIGER
  if (engine == "wiredtiger") return open_wiredtiger(options);
#endif
#ifdef ISOLDE_SUITE_BERKELEYDB
  if (engine == "berkeleydb") return open_berkeleydb(options);
#endif
#ifdef ISOLDE_SUITE_SQLITE
  if (engine == "sqlite") return open_sqlite(options);
#endif
  throw CannotRun("this build has no engine '" + engine + "'");
}

}  // namespace isolde::suite
