// Taking over LMDB files that others wrote. Private to the base.
#pragma once

#include "engine/base/base_manifest.h"
#include "engine/base/base_pages.h"

namespace isolde::engine {

// Refuses what can't be a keyspace: databases with special flags, names we can't hold, too many.
// Errors: invalid_argument, naming the database and the flag.
Result<void> check_adoptable(const PageRoots& roots, const PageFile::MainTree& main,
                             const std::filesystem::path& file, std::size_t max_keyspaces);

// Makes `manifest` fit the named databases: new ones become keyspaces, missing ones go. There is
// always a keyspace "default".
void fit_manifest(const PageFile::MainTree& main, Manifest& manifest);

// Moves the plain records of the unnamed database to the named database "default", in
// `transaction`. Returns LMDB's code; invalid_argument if a key is in both.
Result<int> move_plain_records(MDB_txn* transaction, const PageFile::MainTree& main,
                               const std::filesystem::path& file);

}  // namespace isolde::engine
