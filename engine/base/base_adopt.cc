#include "engine/base/base_adopt.h"

#include <algorithm>
#include <map>
#include <set>

#include "isolde/keyspace.h"

namespace isolde::engine {
namespace {

Error not_adoptable(const std::filesystem::path& file, const std::string& why) {
  Evidence evidence;
  evidence.file = file.string();
  return {ErrorCode::invalid_argument,
          file.string() + " can't be adopted: " + why + "; nothing was changed",
          std::move(evidence)};
}

// The first plain record at or after `key`; false at the end. Named databases are records, too.
class PlainRecords {
 public:
  PlainRecords(MDB_cursor* cursor, const PageFile::MainTree& main) : cursor_(cursor) {
    for (const NamedTree& named : main.named) names_.insert(named.name);
    names_.emplace(default_keyspace_name);  // may just have been made
  }

  // LMDB's code. The record is copied: writing moves the pages it lies on.
  int next(std::string& key, std::string& value) {
    MDB_val k = to_lmdb(key);
    MDB_val v{};
    int code = mdb_cursor_get(cursor_, &k, &v, key.empty() ? MDB_FIRST : MDB_SET_RANGE);
    while (code == MDB_SUCCESS && names_.count(from_lmdb(k)) != 0) {
      code = mdb_cursor_get(cursor_, &k, &v, MDB_NEXT);
    }
    if (code != MDB_SUCCESS) return code;
    key = from_lmdb(k);
    value = from_lmdb(v);
    return code;
  }

 private:
  MDB_cursor* cursor_;
  std::set<std::string, std::less<>> names_;
};

}  // namespace

Result<void> check_adoptable(const PageRoots& roots, const PageFile::MainTree& main,
                             const std::filesystem::path& file, std::size_t max_keyspaces) {
  if (const std::string_view flag = special_flag_name(roots.main.flags); !flag.empty()) {
    return not_adoptable(file, "its unnamed database has the flag " + std::string(flag));
  }
  for (const NamedTree& named : main.named) {
    if (named.name == meta_name) continue;
    if (const std::string_view flag = special_flag_name(named.tree.flags); !flag.empty()) {
      return not_adoptable(file, "its database " + isolde::quoted(named.name) + " has the flag " +
                                     std::string(flag));
    }
    if (const auto problem = bad_keyspace_name(named.name)) {
      return not_adoptable(
          file, "the name of its database " + isolde::quoted(named.name) + ' ' + *problem);
    }
  }
  if (main.named.size() > max_keyspaces) {
    return not_adoptable(file, "it has " + std::to_string(main.named.size()) +
                                   " named databases, and max_keyspaces is " +
                                   std::to_string(max_keyspaces));
  }
  return {};
}

void fit_manifest(const PageFile::MainTree& main, Manifest& manifest) {
  std::set<std::string_view> present;
  for (const NamedTree& named : main.named) {
    if (named.name != meta_name) present.insert(named.name);
  }
  for (auto entry = manifest.named.begin(); entry != manifest.named.end();) {
    entry = present.count(entry->first) == 0 ? manifest.named.erase(entry) : std::next(entry);
  }
  present.insert(default_keyspace_name);
  for (const std::string_view name : present) {
    const auto [entry, is_new] = manifest.named.try_emplace(std::string(name));
    const bool wanted =
        is_new || (name == default_keyspace_name && entry->second.kind != NamedKind::keyspace);
    if (!wanted) continue;
    entry->second.kind = NamedKind::keyspace;
    entry->second.id = manifest.next_keyspace_id;
    ++manifest.next_keyspace_id.value;
  }
}

namespace {

// Plain records whose keys are names that we need for databases: LMDB has one place for either.
int take_out_of_the_way(MDB_txn* transaction, MDB_dbi unnamed, const PageFile::MainTree& main,
                        std::map<std::string, std::string>& taken) {
  for (const std::string_view name : {default_keyspace_name, std::string_view(meta_name)}) {
    const bool is_database =
        std::any_of(main.named.begin(), main.named.end(),
                    [&](const NamedTree& named) { return named.name == name; });
    if (is_database) continue;
    MDB_val key = to_lmdb(name);
    MDB_val value{};
    int code = mdb_get(transaction, unnamed, &key, &value);
    if (code == MDB_NOTFOUND) continue;
    if (code == MDB_SUCCESS) {
      taken.emplace(name, from_lmdb(value));
      code = mdb_del(transaction, unnamed, &key, nullptr);
    }
    if (code != MDB_SUCCESS) return code;
  }
  return MDB_SUCCESS;
}

Result<int> add_record(MDB_txn* transaction, MDB_dbi target, std::string_view key,
                       std::string_view value, const std::filesystem::path& file) {
  MDB_val k = to_lmdb(key);
  MDB_val v = to_lmdb(value);
  const int code = mdb_put(transaction, target, &k, &v, MDB_NOOVERWRITE);
  if (code != MDB_KEYEXIST) return code;
  return not_adoptable(
      file, "key " + isolde::quoted(key) + " is both in the unnamed database and in 'default'");
}

}  // namespace

Result<int> move_plain_records(MDB_txn* transaction, const PageFile::MainTree& main,
                               const std::filesystem::path& file) {
  MDB_dbi unnamed = 0;
  MDB_dbi target = 0;
  std::map<std::string, std::string> taken;
  int code = mdb_dbi_open(transaction, nullptr, 0, &unnamed);
  if (code == MDB_SUCCESS) code = take_out_of_the_way(transaction, unnamed, main, taken);
  if (code == MDB_SUCCESS) {
    code = mdb_dbi_open(transaction, default_keyspace_name.data(), MDB_CREATE, &target);
  }
  MDB_cursor* opened = nullptr;
  if (code == MDB_SUCCESS) code = mdb_cursor_open(transaction, unnamed, &opened);
  if (code != MDB_SUCCESS) return code;
  const LmdbCursor cursor(opened);

  for (const auto& [key, value] : taken) {
    Result<int> added = add_record(transaction, target, key, value, file);
    if (!added || *added != MDB_SUCCESS) return added;
  }
  PlainRecords records(cursor.get(), main);
  std::string key;
  std::string value;
  while ((code = records.next(key, value)) == MDB_SUCCESS) {
    Result<int> added = add_record(transaction, target, key, value, file);
    if (!added || *added != MDB_SUCCESS) return added;
    code = mdb_cursor_del(cursor.get(), 0);
    if (code != MDB_SUCCESS) return code;
  }
  return code == MDB_NOTFOUND ? MDB_SUCCESS : code;
}

}  // namespace isolde::engine
