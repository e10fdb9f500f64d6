#include "bench/engines/subject.h"

#include <algorithm>

#include "bench/engines/isolde_engine.h"
#include "bench/engines/other_engines.h"

namespace isolde::bench {
namespace {

struct EngineKind {
  std::string name;
  std::unique_ptr<Engine> (*open)(const EngineOptions&);
  std::string (*version)();
};

std::unique_ptr<Engine> open_isolde_engine(const EngineOptions& options) {
  return open_isolde(options);
}

// What this build has, and what it lacks.
class Engines {
 public:
  Engines() {
    kinds.push_back(
        {"isolde", open_isolde_engine, [] { return std::string(ISOLDE_BENCH_VERSION); }});
    add_isolde_subjects();
    kinds.push_back({"lmdb", open_lmdb, lmdb_version});
    subjects.push_back({"lmdb", "lmdb", "", "serializable: one writer at a time"});
#ifdef ISOLDE_BENCH_ROCKSDB
    kinds.push_back({"rocksdb", open_rocksdb, rocksdb_version});
    kinds.push_back({"rocksdb-optimistic", open_rocksdb_optimistic, rocksdb_version});
    subjects.push_back({"rocksdb-pess", "rocksdb", "snapshot", "snapshot, locks (TransactionDB)"});
    subjects.push_back({"rocksdb-rc", "rocksdb", "rc", "read committed, locks (TransactionDB)"});
    subjects.push_back({"rocksdb-opt", "rocksdb-optimistic", "snapshot",
                        "snapshot, validated (OptimisticTransactionDB)"});
#else
    lack("rocksdb", "librocksdb-dev");
#endif
#ifdef ISOLDE_BENCH_WIREDTIGER
    kinds.push_back({"wiredtiger", open_wiredtiger, wiredtiger_version});
    subjects.push_back({"wiredtiger", "wiredtiger", "", "snapshot"});
#else
    lack("wiredtiger", "libwiredtiger-dev");
#endif
#ifdef ISOLDE_BENCH_BERKELEYDB
    kinds.push_back({"berkeleydb", open_berkeleydb, berkeleydb_version});
    subjects.push_back({"berkeleydb-si", "berkeleydb", "snapshot", "snapshot (DB_MULTIVERSION)"});
    subjects.push_back(
        {"berkeleydb-ser", "berkeleydb", "serializable", "serializable, page locks"});
#else
    lack("berkeleydb", "libdb5.3-dev");
#endif
#ifdef ISOLDE_BENCH_SQLITE
    kinds.push_back({"sqlite", open_sqlite, sqlite_version});
    subjects.push_back({"sqlite", "sqlite", "", "serializable: one writer at a time (WAL)"});
#else
    lack("sqlite", "libsqlite3-dev");
#endif
  }

  const EngineKind* find(std::string_view name) const {
    const auto found = std::find_if(kinds.begin(), kinds.end(),
                                    [&](const EngineKind& one) { return one.name == name; });
    return found == kinds.end() ? nullptr : &*found;
  }

  std::vector<EngineKind> kinds;
  std::vector<Subject> subjects;
  std::vector<std::pair<std::string, std::string>> missing;

 private:
  void add_isolde_subjects() {
    const std::pair<const char*, const char*> levels[] = {{"ru", "read uncommitted"},
                                                          {"rc", "read committed"},
                                                          {"rr", "repeatable read (snapshot)"},
                                                          {"ser", "serializable"}};
    for (const auto& [level, promise] : levels) {
      for (const char* locking : {"opt", "pess"}) {
        const std::string mode = std::string(level).append("-").append(locking);
        subjects.push_back({"isolde-" + mode, "isolde", mode, promise});
      }
    }
  }
  [[maybe_unused]] void lack(const std::string& engine, const std::string& package) {
    missing.emplace_back(engine, "not in this build: Debian's " + package + " was not found");
  }
};

const Engines& engines() {
  static const Engines all;
  return all;
}

}  // namespace

const std::vector<Subject>& all_subjects() { return engines().subjects; }

const std::vector<std::pair<std::string, std::string>>& missing_engines() {
  return engines().missing;
}

const Subject* find_subject(std::string_view name) {
  const auto& all = all_subjects();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Subject& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::string engine_version(const std::string& engine) {
  const EngineKind* const kind = engines().find(engine);
  return kind == nullptr ? "unknown" : kind->version();
}

std::unique_ptr<Engine> open_engine(const std::string& engine, const EngineOptions& options) {
  const EngineKind* const kind = engines().find(engine);
  if (kind == nullptr) throw CannotRun("this build has no engine '" + engine + "'");
  return kind->open(options);
}

}  // namespace isolde::bench
