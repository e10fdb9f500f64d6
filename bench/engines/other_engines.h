// The engines beside Isolde; each stands in the file of its name, none of which has a header.
#pragma once

#include <memory>
#include <string>

#include "bench/engines/engine.h"

namespace isolde::bench {

std::unique_ptr<Engine> open_lmdb(const EngineOptions& options);
std::unique_ptr<Engine> open_rocksdb(const EngineOptions& options);
std::unique_ptr<Engine> open_rocksdb_optimistic(const EngineOptions& options);
std::unique_ptr<Engine> open_wiredtiger(const EngineOptions& options);
std::unique_ptr<Engine> open_berkeleydb(const EngineOptions& options);
std::unique_ptr<Engine> open_sqlite(const EngineOptions& options);
std::string lmdb_version();
std::string rocksdb_version();
std::string wiredtiger_version();
std::string berkeleydb_version();
std::string sqlite_version();

}  // namespace isolde::bench
