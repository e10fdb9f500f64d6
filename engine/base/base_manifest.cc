#include "engine/base/base_manifest.h"

#include <array>
#include <functional>

namespace isolde::engine {
namespace {

constexpr std::string_view format_key = "format";
constexpr std::string_view identity_key = "database";
constexpr std::string_view at_key = "at";
constexpr std::string_view stamp_key = "transaction";
constexpr std::string_view next_key = "next";
constexpr std::string_view log_key = "log";
constexpr std::string_view name_prefix = "name/";

// Little-endian, whatever the machine.
template <typename Integer>
std::string encode(Integer value) {
  std::string bytes;
  for (std::size_t i = 0; i < sizeof(Integer); ++i) {
    bytes += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i));
  }
  return bytes;
}

template <typename Integer>
std::optional<Integer> decode(std::string_view bytes) {
  if (bytes.size() != sizeof(Integer)) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(Integer); ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  return static_cast<Integer>(value);
}

int write_record(MDB_txn* transaction, MDB_dbi meta, std::string_view key, std::string_view value) {
  MDB_val k = to_lmdb(key);
  MDB_val v = to_lmdb(value);
  return mdb_put(transaction, meta, &k, &v, 0);
}

template <typename Integer>
Result<Integer> read_number(MDB_txn* transaction, MDB_dbi meta, std::string_view key,
                            const std::filesystem::path& file) {
  MDB_val k = to_lmdb(key);
  MDB_val v{};
  const int code = mdb_get(transaction, meta, &k, &v);
  const std::optional<Integer> number =
      code == MDB_SUCCESS ? decode<Integer>(from_lmdb(v)) : std::nullopt;
  if (number) return *number;
  if (code != MDB_SUCCESS && code != MDB_NOTFOUND) {
    return lmdb_error(code, "read the manifest of", file);
  }
  return corrupt_base("its manifest has no valid record '" + std::string(key) + "'", file);
}

std::optional<NamedDatabase> decode_named(std::string_view bytes) {
  if (bytes.size() != 1 + sizeof(std::uint32_t)) return std::nullopt;
  const auto kind = static_cast<unsigned char>(bytes[0]);
  if (kind < 1 || kind > 4) return std::nullopt;
  return NamedDatabase{static_cast<NamedKind>(kind),
                       KeyspaceId{*decode<std::uint32_t>(bytes.substr(1))}, 0};
}

Result<void> read_names(MDB_txn* transaction, MDB_dbi meta, const std::filesystem::path& file,
                        Manifest& manifest) {
  MDB_cursor* opened = nullptr;
  int code = mdb_cursor_open(transaction, meta, &opened);
  if (code != MDB_SUCCESS) return lmdb_error(code, "read the manifest of", file);
  const LmdbCursor cursor(opened);
  MDB_val key = to_lmdb(name_prefix);
  MDB_val value{};
  for (code = mdb_cursor_get(cursor.get(), &key, &value, MDB_SET_RANGE); code == MDB_SUCCESS;
       code = mdb_cursor_get(cursor.get(), &key, &value, MDB_NEXT)) {
    const std::string_view record = from_lmdb(key);
    if (record.substr(0, name_prefix.size()) != name_prefix) break;
    const std::string_view name = record.substr(name_prefix.size());
    const std::optional<NamedDatabase> named = decode_named(from_lmdb(value));
    if (!named || bad_keyspace_name(name) || named->id >= manifest.next_keyspace_id) {
      return corrupt_base(
          "the manifest's record of keyspace " + isolde::quoted(name) + " is malformed", file);
    }
    manifest.named.emplace(name, *named);
  }
  if (code != MDB_SUCCESS && code != MDB_NOTFOUND) {
    return lmdb_error(code, "read the manifest of", file);
  }
  return {};
}

}  // namespace

Result<Manifest> read_manifest(MDB_txn* transaction, MDB_dbi meta,
                               const std::filesystem::path& file) {
  const auto format = read_number<std::uint32_t>(transaction, meta, format_key, file);
  if (!format) return format.error();
  if (*format != format_version) {
    Evidence evidence;
    evidence.file = file.string();
    return Error(ErrorCode::format_unsupported,
                 file.string() + " has format " + std::to_string(*format) +
                     ", this version of Isolde reads format " + std::to_string(format_version),
                 std::move(evidence));
  }
  const auto identity = read_number<std::uint64_t>(transaction, meta, identity_key, file);
  if (!identity) return identity.error();
  const auto at = read_number<std::uint64_t>(transaction, meta, at_key, file);
  if (!at) return at.error();
  const auto stamp = read_number<std::uint64_t>(transaction, meta, stamp_key, file);
  if (!stamp) return stamp.error();
  const auto next = read_number<std::uint32_t>(transaction, meta, next_key, file);
  if (!next) return next.error();
  if (*next > max_keyspace_ids) {
    return corrupt_base("its manifest has no valid record '" + std::string(next_key) + "'", file);
  }

  Manifest manifest;
  manifest.database_id = *identity;
  manifest.at = Timestamp{*at};
  manifest.transaction = *stamp;
  manifest.next_keyspace_id = KeyspaceId{*next};
  MDB_val key = to_lmdb(log_key);
  MDB_val value{};
  const int code = mdb_get(transaction, meta, &key, &value);
  if (code != MDB_SUCCESS && code != MDB_NOTFOUND) {
    return lmdb_error(code, "read the manifest of", file);
  }
  manifest.log_begun = code == MDB_SUCCESS;
  if (Result<void> names = read_names(transaction, meta, file, manifest); !names) {
    return names.error();
  }
  return manifest;
}

int write_identity(MDB_txn* transaction, MDB_dbi meta, std::uint64_t database_id) {
  const int code = write_record(transaction, meta, format_key, encode(format_version));
  return code != MDB_SUCCESS ? code
                             : write_record(transaction, meta, identity_key, encode(database_id));
}

int write_at(MDB_txn* transaction, MDB_dbi meta, Timestamp at) {
  return write_record(transaction, meta, at_key, encode(at.value));
}

int write_stamp(MDB_txn* transaction, MDB_dbi meta) {
  const std::uint64_t number = mdb_txn_id(transaction);
  return write_record(transaction, meta, stamp_key, encode(number));
}

int write_log_begun(MDB_txn* transaction, MDB_dbi meta) {
  return write_record(transaction, meta, log_key, encode(std::uint8_t{1}));
}

int write_next_keyspace_id(MDB_txn* transaction, MDB_dbi meta, KeyspaceId next) {
  return write_record(transaction, meta, next_key, encode(next.value));
}

int write_named(MDB_txn* transaction, MDB_dbi meta, std::string_view name,
                const NamedDatabase& named) {
  std::string value(1, static_cast<char>(named.kind));
  value += encode(named.id.value);
  return write_record(transaction, meta, std::string(name_prefix).append(name), value);
}

int erase_named(MDB_txn* transaction, MDB_dbi meta, std::string_view name) {
  const std::string key = std::string(name_prefix).append(name);
  MDB_val k = to_lmdb(key);
  const int code = mdb_del(transaction, meta, &k, nullptr);
  return code == MDB_NOTFOUND ? MDB_SUCCESS : code;
}

std::optional<std::string> bad_keyspace_name(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > max_keyspace_name_bytes) {
    return "is longer than " + std::to_string(max_keyspace_name_bytes) + " bytes";
  }
  if (name.find('\0') != std::string_view::npos) return "contains a NUL byte";
  if (name.substr(0, reserved_prefix.size()) == reserved_prefix) {
    return "begins with " + isolde::quoted(reserved_prefix) + ", which is reserved";
  }
  return std::nullopt;
}

}  // namespace isolde::engine
