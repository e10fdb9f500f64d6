#include "bench/isolde_store.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <utility>

namespace isolde::bench {
namespace {

[[noreturn]] void give_up(const char* doing, const Error& error) {
  std::fprintf(stderr, "isolde_bench: isolde: %s: %s\n", doing, error.to_string().c_str());
  std::exit(1);
}

template <typename T>
void check(const Result<T>& result, const char* doing) {
  if (!result) give_up(doing, result.error());
}

Options options_of(StoreKind kind) {
  Options options;
  if (kind == StoreKind::unsynced) options.durability = Durability::none();
  if (kind == StoreKind::chains) {
    // No checkpoint may take the chains away while they are measured.
    options.durability = Durability::none();
    options.checkpoint_log_bytes = std::size_t{1} << 30;
  }
  return options;
}

Database opened(const std::filesystem::path& directory, StoreKind kind) {
  auto database = Database::open(directory, options_of(kind));
  check(database, "open");
  return std::move(*database);
}

constexpr std::string_view keyspace_name = "accounts";

}  // namespace

IsoldeStore::IsoldeStore(const std::filesystem::path& directory, StoreKind kind, std::uint64_t keys)
    : database_(opened(directory, kind)), keyspace_(KeyspaceId{}, keyspace_name), keys_(keys) {
  load();
  if (kind == StoreKind::chains) make_chains();
}

void IsoldeStore::load() {
  std::uint64_t number = 0;
  Key key(0);
  Value value(0);
  const auto source = [&]() -> Result<std::optional<Entry>> {
    if (number == keys_) return std::optional<Entry>();
    key = Key(number);
    value = Value(number);
    ++number;
    return std::optional<Entry>(Entry{key.view(), value.view()});
  };
  check(database_.bulk_load(keyspace_name, source), "bulk load");
  auto keyspace = database_.find_keyspace(keyspace_name);
  check(keyspace, "find keyspace");
  keyspace_ = *keyspace;
}

void IsoldeStore::make_chains() {
  const std::uint64_t wanted = std::min<std::uint64_t>(100'000, keys_ / 2);
  Picker picker(keys_, 1);
  const Workload anywhere{"chains", Operation::update, 1, StoreKind::chains};
  while (database_.stats().chains < wanted) {
    check(database_.transact([&](Transaction& txn) -> Result<void> {
      for (int i = 0; i < 1000; ++i) {
        const Key key = picker.one(anywhere);
        auto put = txn.put(keyspace_, key.view(), Value(picker.below(keys_)).view());
        if (!put) return put;
      }
      return {};
    }),
          "update");
  }
}

void IsoldeStore::update_all(const Sweep& sweep, bool held) {
  auto reader = database_.begin();
  check(reader, "begin");
  if (held) check(reader->get(keyspace_, Key(0).view()), "get");
  for (std::uint64_t first = 0; first < keys_; first += Sweep::batch) {
    check(database_.transact([&](Transaction& txn) -> Result<void> {
      for (std::uint64_t i = first; i < std::min(first + Sweep::batch, keys_); ++i) {
        auto put = txn.put(keyspace_, Key(sweep.at(i)).view(), Value(i + keys_).view());
        if (!put) return put;
      }
      return {};
    }),
          "update");
  }
  check(database_.checkpoint(), "checkpoint");
  const Stats stats = database_.stats();
  memory_ = std::to_string(stats.version_bytes >> 20) + " MB of versions in memory, " +
            std::to_string(stats.old_version_bytes >> 20) + " MB of them old";
  check(reader->rollback(), "rollback");
}

std::uint64_t IsoldeStore::file_bytes() const {
  const Stats stats = database_.stats();
  return stats.base_file_bytes + stats.log_file_bytes;
}

void IsoldeStore::add_observer(std::shared_ptr<Observer> observer) {
  database_.add_observer(std::move(observer));
}

void IsoldeStore::remove_observer(const std::shared_ptr<Observer>& observer) {
  database_.remove_observer(observer);
}

void IsoldeStore::settle() {
  // Checkpoints begin when the log is full enough; one that began has ended when it is not.
  while (database_.stats().log_live_bytes >= database_.options().checkpoint_log_bytes) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

IsoldeClient::IsoldeClient(IsoldeStore& store, const Workload& work, std::uint64_t seed)
    : store_(store), work_(work), picker_(store.keys(), seed) {
  switch (work.mode) {
    case Mode::repeatable_read:
    case Mode::repeatable_read_pessimistic:
      options_.isolation = Isolation::repeatable_read;
      break;
    case Mode::read_committed_for_update:
    case Mode::read_committed_pessimistic:
      options_.isolation = Isolation::read_committed;
      break;
    case Mode::serializable:
    case Mode::serializable_pessimistic:
      options_.isolation = Isolation::serializable;
      break;
  }
  if (work.mode >= Mode::read_committed_pessimistic) options_.locking = Locking::pessimistic;
  for_update_ = work.mode == Mode::read_committed_for_update ||
                work.mode == Mode::read_committed_pessimistic ||
                work.mode == Mode::serializable_pessimistic;
}

void IsoldeClient::step() {
  switch (work_.operation) {
    case Operation::empty: {
      auto txn = store_.database_.begin(options_);
      check(txn, "begin");
      check(txn->commit(), "commit");
      break;
    }
    case Operation::read:
      read();
      break;
    case Operation::scan:
      scan();
      break;
    case Operation::lock:
      lock();
      break;
    case Operation::update:
      update();
      return;
    case Operation::transfer:
      transfer();
      return;
  }
  ++attempts_;
  ++committed_;
}

void IsoldeClient::read() {
  auto txn = store_.database_.begin(options_);
  check(txn, "begin");
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < work_.count; ++i) {
    const auto value = txn->get(store_.keyspace_, picker_.one(work_).view());
    check(value, "get");
    sum += touch(value->value());
  }
  benchmark::DoNotOptimize(sum);
  check(txn->commit(), "commit");
}

void IsoldeClient::scan() {
  auto txn = store_.database_.begin(options_);
  check(txn, "begin");
  std::uint64_t sum = 0;
  ScanOptions scan;
  scan.limit = work_.count;
  const auto add = [&sum](std::string_view key, std::string_view value) {
    sum += touch(key) + touch(value);
  };
  const Key start = picker_.start(work_.count);
  check(txn->scan(store_.keyspace_, KeyRange::from(start.view()), scan, add), "scan");
  benchmark::DoNotOptimize(sum);
  check(txn->commit(), "commit");
}

void IsoldeClient::lock() {
  auto txn = store_.database_.begin(options_);
  check(txn, "begin");
  const auto value = txn->get_for_update(store_.keyspace_, picker_.one(work_).view());
  check(value, "get for update");
  benchmark::DoNotOptimize(touch(value->value()));
  check(txn->commit(), "commit");
}

// A client of a writing workload counts what transact() had to repeat, and what it gave up.
void IsoldeClient::update() {
  const Key key = picker_.one(work_);
  const Result<void> done = store_.database_.transact(options_, [&](Transaction& txn) {
    ++attempts_;
    auto value = get_for_write(txn, key);
    if (!value) return Result<void>(value.error());
    value->add(1);
    return txn.put(store_.keyspace_, key.view(), value->view());
  });
  if (done) {
    ++committed_;
  } else if (!is_retryable(done.error().code())) {
    give_up("update", done.error());
  }
}

void IsoldeClient::transfer() {
  const auto keys = picker_.two(work_);
  const Result<void> done = store_.database_.transact(options_, [&](Transaction& txn) {
    ++attempts_;
    auto from = get_for_write(txn, keys.first);
    if (!from) return Result<void>(from.error());
    auto to = get_for_write(txn, keys.second);
    if (!to) return Result<void>(to.error());
    from->add(-1);
    to->add(1);
    auto put = txn.put(store_.keyspace_, keys.first.view(), from->view());
    if (!put) return put;
    return txn.put(store_.keyspace_, keys.second.view(), to->view());
  });
  if (done) {
    ++committed_;
  } else if (!is_retryable(done.error().code())) {
    give_up("transfer", done.error());
  }
}

Result<Value> IsoldeClient::get_for_write(Transaction& txn, const Key& key) {
  const auto value = for_update_ ? txn.get_for_update(store_.keyspace_, key.view())
                                 : txn.get(store_.keyspace_, key.view());
  if (!value) return value.error();
  return Value(value->value());
}

}  // namespace isolde::bench
