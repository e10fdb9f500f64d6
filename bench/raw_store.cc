#include "bench/raw_store.h"

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>

namespace isolde::bench {
namespace {

void check(int code, const char* doing) {
  if (code == MDB_SUCCESS) return;
  std::fprintf(stderr, "isolde_bench: raw LMDB: %s: %s\n", doing, mdb_strerror(code));
  std::exit(1);
}

MDB_val val_of(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }

std::string_view view_of(const MDB_val& val) {
  return {static_cast<const char*>(val.mv_data), val.mv_size};
}

}  // namespace

RawStore::RawStore(const std::filesystem::path& directory, StoreKind kind, std::uint64_t keys)
    : directory_(directory), keys_(keys) {
  std::filesystem::create_directories(directory);
  check(mdb_env_create(&env_), "create");
  check(mdb_env_set_mapsize(env_, std::size_t{16} << 30), "map size");
  const unsigned flags = MDB_NOTLS | (kind == StoreKind::unsynced ? MDB_NOSYNC : 0U);
  check(mdb_env_open(env_, directory.c_str(), flags, 0644), "open");
  load();
}

RawStore::~RawStore() { mdb_env_close(env_); }

void RawStore::load() {
  constexpr std::uint64_t batch = 100'000;
  for (std::uint64_t first = 0; first < keys_; first += batch) {
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn), "begin");
    check(mdb_dbi_open(txn, nullptr, 0, &dbi_), "database");
    for (std::uint64_t i = first; i < std::min(first + batch, keys_); ++i) {
      const Key key(i);
      const Value value(i);
      MDB_val key_val = val_of(key.view());
      MDB_val value_val = val_of(value.view());
      check(mdb_put(txn, dbi_, &key_val, &value_val, MDB_APPEND), "append");
    }
    check(mdb_txn_commit(txn), "commit");
  }
}

void RawStore::update_all(const Sweep& sweep, bool held) {
  MDB_txn* reader = nullptr;
  if (held) check(mdb_txn_begin(env_, nullptr, MDB_RDONLY, &reader), "begin");
  for (std::uint64_t first = 0; first < keys_; first += Sweep::batch) {
    MDB_txn* txn = nullptr;
    check(mdb_txn_begin(env_, nullptr, 0, &txn), "begin");
    for (std::uint64_t i = first; i < std::min(first + Sweep::batch, keys_); ++i) {
      const Key key(sweep.at(i));
      const Value value(i + keys_);
      MDB_val key_val = val_of(key.view());
      MDB_val value_val = val_of(value.view());
      check(mdb_put(txn, dbi_, &key_val, &value_val, 0), "put");
    }
    check(mdb_txn_commit(txn), "commit");
  }
  settle();
  if (reader != nullptr) mdb_txn_abort(reader);
}

std::uint64_t RawStore::file_bytes() const {
  return std::filesystem::file_size(directory_ / "data.mdb");
}

void RawStore::settle() { check(mdb_env_sync(env_, 1), "sync"); }

RawClient::RawClient(RawStore& store, const Workload& work, std::uint64_t seed)
    : store_(store), work_(work), picker_(store.keys(), seed) {
  if (work.writes()) return;
  check(mdb_txn_begin(store_.env_, nullptr, MDB_RDONLY, &reader_), "begin");
  if (work.operation == Operation::scan) {
    check(mdb_cursor_open(reader_, store_.dbi_, &cursor_), "cursor");
  }
  mdb_txn_reset(reader_);
}

RawClient::~RawClient() {
  if (cursor_ != nullptr) mdb_cursor_close(cursor_);
  if (reader_ != nullptr) mdb_txn_abort(reader_);
}

void RawClient::step() {
  switch (work_.operation) {
    case Operation::empty:
      check(mdb_txn_renew(reader_), "renew");
      mdb_txn_reset(reader_);
      break;
    case Operation::lock:  // nothing to lock: its one writer is alone
    case Operation::read:
      read();
      break;
    case Operation::scan:
      scan();
      break;
    case Operation::update:
      update();
      break;
    case Operation::transfer:
      transfer();
      break;
  }
  ++steps_;
}

std::string_view RawClient::get(MDB_txn* txn, const Key& key) {
  MDB_val key_val = val_of(key.view());
  MDB_val found;
  check(mdb_get(txn, store_.dbi_, &key_val, &found), "get");
  return view_of(found);
}

void RawClient::put(MDB_txn* txn, const Key& key, const Value& value) {
  MDB_val key_val = val_of(key.view());
  MDB_val value_val = val_of(value.view());
  check(mdb_put(txn, store_.dbi_, &key_val, &value_val, 0), "put");
}

void RawClient::read() {
  check(mdb_txn_renew(reader_), "renew");
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < work_.count; ++i) sum += touch(get(reader_, picker_.one(work_)));
  benchmark::DoNotOptimize(sum);
  mdb_txn_reset(reader_);
}

void RawClient::scan() {
  check(mdb_txn_renew(reader_), "renew");
  check(mdb_cursor_renew(reader_, cursor_), "renew cursor");
  const Key start = picker_.start(work_.count);
  MDB_val key_val = val_of(start.view());
  MDB_val found;
  std::uint64_t sum = 0;
  int code = mdb_cursor_get(cursor_, &key_val, &found, MDB_SET_RANGE);
  for (std::uint64_t i = 0; code == MDB_SUCCESS && i < work_.count; ++i) {
    sum += touch(view_of(key_val)) + touch(view_of(found));
    if (i + 1 < work_.count) code = mdb_cursor_get(cursor_, &key_val, &found, MDB_NEXT);
  }
  if (code != MDB_NOTFOUND) check(code, "scan");
  benchmark::DoNotOptimize(sum);
  mdb_txn_reset(reader_);
}

void RawClient::update() {
  MDB_txn* txn = nullptr;
  check(mdb_txn_begin(store_.env_, nullptr, 0, &txn), "begin");
  const Key key = picker_.one(work_);
  Value value(get(txn, key));
  value.add(1);
  put(txn, key, value);
  check(mdb_txn_commit(txn), "commit");
}

void RawClient::transfer() {
  MDB_txn* txn = nullptr;
  check(mdb_txn_begin(store_.env_, nullptr, 0, &txn), "begin");
  const auto [first, second] = picker_.two(work_);
  Value from(get(txn, first));
  Value to(get(txn, second));
  from.add(-1);
  to.add(1);
  put(txn, first, from);
  put(txn, second, to);
  check(mdb_txn_commit(txn), "commit");
}

}  // namespace isolde::bench
