// LMDB's codes in our words, phrased once; and owners of what LMDB hands out. Private to the
// engine.
#pragma once

#include <lmdb.h>

#include <filesystem>
#include <memory>
#include <string_view>

#include "isolde/error.h"

namespace isolde::engine {

// The error for LMDB's code `code` (or errno) met while doing something to `file`. `doing` is a
// verb in the infinitive with its object ("read the manifest of").
Error lmdb_error(int code, std::string_view doing, const std::filesystem::path& file);

// What the owner of a damaged file reads: the sentence ends in the remedy.
Error corrupt_base(std::string_view what, const std::filesystem::path& file);

struct EnvironmentCloser {
  void operator()(MDB_env* environment) const noexcept { mdb_env_close(environment); }
};
using Environment = std::unique_ptr<MDB_env, EnvironmentCloser>;

struct TransactionAborter {
  void operator()(MDB_txn* transaction) const noexcept { mdb_txn_abort(transaction); }
};
// Aborts unless release()d to mdb_txn_commit, which frees it in every case.
using LmdbTransaction = std::unique_ptr<MDB_txn, TransactionAborter>;

struct CursorCloser {
  void operator()(MDB_cursor* cursor) const noexcept { mdb_cursor_close(cursor); }
};
using LmdbCursor = std::unique_ptr<MDB_cursor, CursorCloser>;

inline MDB_val to_lmdb(std::string_view bytes) noexcept {
  return {bytes.size(), const_cast<char*>(bytes.data())};
}
inline std::string_view from_lmdb(const MDB_val& bytes) noexcept {
  return {static_cast<const char*>(bytes.mv_data), bytes.mv_size};
}

}  // namespace isolde::engine
