// RocksDB's transactions, configured as "Setup Options and Basic Tuning" of its wiki advises, with
// a block cache that holds the data.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/optimistic_transaction_db.h>
#include <rocksdb/utilities/transaction.h>
#include <rocksdb/utilities/transaction_db.h>
#include <rocksdb/version.h>

#include <chrono>
#include <thread>

#include "bench/engines/other_engines.h"

namespace isolde::bench {
namespace {

rocksdb::Slice slice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view view(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

[[noreturn]] void refuse(const rocksdb::Status& status) {
  throw CannotRun("rocksdb: " + status.ToString());
}

void check(const rocksdb::Status& status) {
  if (!status.ok()) refuse(status);
}

Reason reason_of(const rocksdb::Status& status) {
  if (status.ok()) return Reason::none;
  if (status.IsBusy()) {
    return status.IsDeadlock() ? Reason::deadlock : Reason::write_conflict;
  }
  if (status.IsTryAgain()) return Reason::write_conflict;
  if (status.IsTimedOut()) return Reason::lock_timeout;
  refuse(status);
}

class RocksClient : public Client {
 public:
  // One of the databases is null.
  RocksClient(rocksdb::TransactionDB* locking, rocksdb::OptimisticTransactionDB* optimistic,
              bool snapshot, bool synced)
      : locking_(locking), optimistic_(optimistic), snapshot_(snapshot), synced_(synced) {
    locking_options_.set_snapshot = snapshot;
    locking_options_.deadlock_detect = true;
    optimistic_options_.set_snapshot = snapshot;
  }

  void begin(bool writes) override {
    // A transaction that wrote nothing would be synced like any other.
    write_.sync = synced_ && writes;
    write_.disableWAL = !writes;
    // The object is used again, as its documentation advises.
    txn_.reset(locking_ != nullptr
                   ? locking_->BeginTransaction(write_, locking_options_, txn_.release())
                   : optimistic_->BeginTransaction(write_, optimistic_options_, txn_.release()));
    read_.snapshot = snapshot_ ? txn_->GetSnapshot() : nullptr;
  }

  Read get(std::string_view key) override {
    value_.Reset();
    return read_of(txn_->Get(read_, database()->DefaultColumnFamily(), slice(key), &value_));
  }
  Read get_for_update(std::string_view key) override {
    value_.Reset();
    return read_of(
        txn_->GetForUpdate(read_, database()->DefaultColumnFamily(), slice(key), &value_));
  }
  Reason put(std::string_view key, std::string_view value) override {
    return reason_of(txn_->Put(slice(key), slice(value)));
  }
  Reason erase(std::string_view key) override { return reason_of(txn_->Delete(slice(key))); }

  Reason scan(std::string_view from, std::string_view to, std::size_t limit,
              const Visit& visit) override {
    rocksdb::ReadOptions options = read_;
    const rocksdb::Slice bound = slice(to);
    options.iterate_upper_bound = &bound;
    const std::unique_ptr<rocksdb::Iterator> at(txn_->GetIterator(options));
    for (at->Seek(slice(from)); limit > 0 && at->Valid(); at->Next(), --limit) {
      visit(view(at->key()), view(at->value()));
    }
    return reason_of(at->status());
  }

  Reason commit() override { return reason_of(txn_->Commit()); }
  void rollback() noexcept override { txn_->Rollback(); }

 private:
  rocksdb::DB* database() const {
    return locking_ != nullptr ? static_cast<rocksdb::DB*>(locking_) : optimistic_;
  }
  Read read_of(const rocksdb::Status& status) {
    if (status.IsNotFound()) return {};
    if (const Reason failed = reason_of(status); failed != Reason::none) return {failed, {}};
    return {Reason::none, view(value_)};
  }

  rocksdb::TransactionDB* locking_;
  rocksdb::OptimisticTransactionDB* optimistic_;
  bool snapshot_;
  bool synced_;
  rocksdb::WriteOptions write_;
  rocksdb::ReadOptions read_;
  rocksdb::TransactionOptions locking_options_;
  rocksdb::OptimisticTransactionOptions optimistic_options_;
  std::unique_ptr<rocksdb::Transaction> txn_;
  rocksdb::PinnableSlice value_;
};

class RocksEngine : public Engine {
 public:
  RocksEngine(const EngineOptions& options, bool optimistic) : options_(options) {
    rocksdb::Options database;
    database.create_if_missing = true;
    database.level_compaction_dynamic_level_bytes = true;
    database.max_background_jobs = 6;
    database.bytes_per_sync = 1 << 20;
    database.compaction_pri = rocksdb::kMinOverlappingRatio;
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = rocksdb::NewLRUCache(options.cache_bytes());
    table.block_size = 16 << 10;
    table.cache_index_and_filter_blocks = true;
    table.pin_l0_filter_and_index_blocks_in_cache = true;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
    table.format_version = 5;
    database.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    if (optimistic) {
      check(rocksdb::OptimisticTransactionDB::Open(database, options.directory, &optimistic_));
    } else {
      check(rocksdb::TransactionDB::Open(database, {}, options.directory, &locking_));
    }
  }
  ~RocksEngine() override {
    delete locking_;
    delete optimistic_;
  }

  std::string configuration() const override {
    return "WriteOptions::sync=" + std::string(options_.synced == Synced::yes ? "true" : "false") +
           ", block cache " + std::to_string(options_.cache_bytes() >> 20) +
           " MiB, 16 KiB blocks, bloom filter of 10 bits, dynamic level bytes, 6 background jobs";
  }

  void load(const EntrySource& source) override {
    rocksdb::WriteOptions unlogged;
    unlogged.disableWAL = true;
    rocksdb::WriteBatch batch;
    std::string key;
    std::string value;
    bool more = true;
    while (more) {
      more = source(key, value);
      if (more) check(batch.Put(key, value));
      if (batch.GetDataSize() > (std::size_t{4} << 20) || !more) {
        check(database()->Write(unlogged, &batch));
        batch.Clear();
      }
    }
    check(database()->Flush({}));
    settle();
  }

  std::unique_ptr<Client> client(std::string_view mode) override {
    return std::make_unique<RocksClient>(locking_, optimistic_, mode == "snapshot",
                                         options_.synced == Synced::yes);
  }

  void settle() override {
    for (int i = 0; i < 10'000 && is_busy(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  rocksdb::DB* database() const {
    return locking_ != nullptr ? static_cast<rocksdb::DB*>(locking_) : optimistic_;
  }
  bool is_busy() const {
    for (const char* const name :
         {"rocksdb.num-running-compactions", "rocksdb.num-running-flushes",
          "rocksdb.compaction-pending", "rocksdb.mem-table-flush-pending"}) {
      std::uint64_t count = 0;
      if (database()->GetIntProperty(name, &count) && count != 0) return true;
    }
    return false;
  }

  EngineOptions options_;
  rocksdb::TransactionDB* locking_ = nullptr;
  rocksdb::OptimisticTransactionDB* optimistic_ = nullptr;
};

}  // namespace

std::unique_ptr<Engine> open_rocksdb(const EngineOptions& options) {
  return std::make_unique<RocksEngine>(options, false);
}

std::unique_ptr<Engine> open_rocksdb_optimistic(const EngineOptions& options) {
  return std::make_unique<RocksEngine>(options, true);
}

std::string rocksdb_version() { return rocksdb::GetRocksVersionAsString(); }

}  // namespace isolde::bench
