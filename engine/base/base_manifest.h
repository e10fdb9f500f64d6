// The base's manifest: what the reserved named database `isolde:meta` says. Layout:
// engine/README.md. Private to the base.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/lmdb_error.h"
#include "engine/commit_record.h"
#include "isolde/result.h"
#include "isolde/types.h"

namespace isolde::engine {

inline constexpr const char* meta_name = "isolde:meta";
inline constexpr std::string_view reserved_prefix = "isolde:";
inline constexpr std::uint32_t format_version = 1;

// What a named LMDB database is to us.
enum class NamedKind : std::uint8_t {
  keyspace = 1,
  loading = 2,  // bulk load began: to be thrown away
  loaded = 3,   // bulk load ended: waits for the commit that creates the keyspace
  dropped = 4,  // empty, kept for its LMDB handle only (see Base::free_handles)
};

struct NamedDatabase {
  NamedKind kind = NamedKind::dropped;
  KeyspaceId id;
  MDB_dbi handle = 0;  // in memory only
};

struct Manifest {
  std::uint64_t database_id = 0;
  Timestamp at;
  std::uint64_t transaction = 0;  // the LMDB transaction that wrote this: ours, the last
  KeyspaceId next_keyspace_id{1};
  bool log_begun = false;  // from then on a missing log is damage
  std::map<std::string, NamedDatabase, std::less<>> named;
};

// Reads it. Errors: corruption, format_unsupported.
Result<Manifest> read_manifest(MDB_txn* transaction, MDB_dbi meta,
                               const std::filesystem::path& file);

// These write one record each and return LMDB's code.
int write_identity(MDB_txn* transaction, MDB_dbi meta, std::uint64_t database_id);
int write_at(MDB_txn* transaction, MDB_dbi meta, Timestamp at);
int write_stamp(MDB_txn* transaction, MDB_dbi meta);  // the transaction's own number
int write_log_begun(MDB_txn* transaction, MDB_dbi meta);
int write_next_keyspace_id(MDB_txn* transaction, MDB_dbi meta, KeyspaceId next);
int write_named(MDB_txn* transaction, MDB_dbi meta, std::string_view name,
                const NamedDatabase& named);
int erase_named(MDB_txn* transaction, MDB_dbi meta, std::string_view name);

// Why `name` can't name a keyspace; nothing if it can.
std::optional<std::string> bad_keyspace_name(std::string_view name);

}  // namespace isolde::engine
