// The paths whose instructions are counted (instructions_test.sh): each runs between a call of a
// hot_path_ function and its return; finish_path() tells the counter where one ends. One thread, no
// background work, keys that are in memory: the same count each time, however busy the machine.
#include <isolde/isolde.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "bench/workloads/record.h"

namespace isolde::bench {
namespace {

constexpr std::uint64_t keys = 1000;
constexpr int times = 200;
constexpr std::uint64_t range_entries = 100;
constexpr std::uint64_t most_keys = 64'000;  // with versions in memory, of what should not matter

template <typename T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "isolde_hot_paths: %s\n", result.error().to_string().c_str());
  std::_Exit(1);
}

void must(const Result<void>& result) {
  if (result) return;
  std::fprintf(stderr, "isolde_hot_paths: %s\n", result.error().to_string().c_str());
  std::_Exit(1);
}

// What key `number` is loaded with.
Record record_of(std::uint64_t number) {
  constexpr std::size_t value_bytes = 100;
  return {value_bytes, static_cast<std::int64_t>(number)};
}

struct Bench {
  Database& db;
  const Keyspace& keyspace;
  TransactionOptions options;
};

}  // namespace

// Outside the unnamed namespace, and never inlined: callgrind finds them by their names.
[[gnu::noinline]] void hot_path_get(const Bench& bench, std::uint64_t number) {
  Transaction txn = must(bench.db.begin(bench.options));
  touch(must(txn.get(bench.keyspace, account_key(number).view())).value());
  must(txn.commit());
}

[[gnu::noinline]] void hot_path_put(const Bench& bench, Record& record, std::uint64_t number) {
  Transaction txn = must(bench.db.begin(bench.options));
  record.set(static_cast<std::int64_t>(number + 1));
  must(txn.put(bench.keyspace, account_key(number).view(), record.view()));
  must(txn.commit());
}

[[gnu::noinline]] void hot_path_scan(const Bench& bench) {
  Transaction txn = must(bench.db.begin(bench.options));
  std::uint64_t sum = 0;
  must(txn.scan(bench.keyspace, KeyRange::all(),
                [&sum](std::string_view key, std::string_view) { sum += key.size(); }));
  must(txn.commit());
  if (sum != keys * sizeof(Key)) std::abort();
}

[[gnu::noinline]] void hot_path_lock(const Bench& bench, std::uint64_t number) {
  Transaction txn = must(bench.db.begin(bench.options));
  must(txn.get_for_update(bench.keyspace, account_key(number).view()));
  must(txn.commit());
}

// The commit alone: what it observed is validated against what was committed since.
[[gnu::noinline]] void hot_path_validate(Transaction& txn) { must(txn.commit()); }

[[gnu::noinline]] void finish_path(const char* name, int count) {
  std::printf("%s %d\n", name, count);
}

namespace {

void load(Database& db) {
  std::uint64_t number = 0;
  Key key = account_key(0);
  Record value = record_of(0);
  must(db.bulk_load("accounts", [&]() -> Result<std::optional<Entry>> {
    if (number == keys) return std::optional<Entry>();
    key = account_key(number);
    value = record_of(number++);
    return std::optional<Entry>(Entry{key.view(), value.view()});
  }));
}

void validate_ranges(const Bench& bench) {
  TransactionOptions serializable = bench.options;
  serializable.isolation = Isolation::serializable;
  for (std::uint64_t i = 0; i < times; ++i) {
    Transaction reader = must(bench.db.begin(serializable));
    ScanOptions scan;
    scan.limit = range_entries;
    must(reader.scan(bench.keyspace, KeyRange::from(account_key(i).view()), scan,
                     [](std::string_view, std::string_view) {}));
    must(reader.put(bench.keyspace, account_key(keys - 1).view(), record_of(i).view()));
    Transaction other = must(bench.db.begin(bench.options));  // beyond the range
    must(other.put(bench.keyspace, account_key(keys - 2).view(), record_of(i).view()));
    must(other.commit());
    hot_path_validate(reader);
  }
}

// Updates of single keys by so many clients at once, each of keys of its own.
void update_by(const Bench& bench, std::uint64_t clients) {
  std::vector<std::thread> threads;
  for (std::uint64_t client = 0; client < clients; ++client) {
    threads.emplace_back([&bench, client, clients] {
      Record record = record_of(0);
      for (std::uint64_t i = 0; i < times / clients; ++i) {
        hot_path_put(bench, record, i * clients + client);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// The commits that should need as much inside the critical section, whatever grows around them.
void grow(Database& db, const Bench& bench) {
  update_by(bench, 1);  // the first versions of these keys
  for (const std::uint64_t clients : {1, 4, 20}) {
    finish_path("between", 0);
    update_by(bench, clients);
    finish_path((std::to_string(clients) + "-client").c_str(), times);
  }
  for (std::uint64_t number = times, next = 2 * times; number < most_keys; next = number * 8) {
    while (number < std::min(next, most_keys)) {
      must(db.transact([&](Transaction& txn) -> Result<void> {
        for (int i = 0; i < 1000 && number < most_keys; ++i, ++number) {
          auto put = txn.put(bench.keyspace, account_key(number).view(), record_of(number).view());
          if (!put) return put;
        }
        return {};
      }));
    }
    finish_path("between", 0);
    update_by(bench, 1);
    finish_path((std::to_string(number) + "-keys").c_str(), times);
  }
}

Options options_for_counting() {
  Options options;
  options.durability = Durability::none();
  options.background_work = false;
  options.initial_map_bytes = std::size_t{256} << 20;  // valgrind can't map terabytes
  return options;
}

int run(const std::filesystem::path& directory, bool growth) {
  Database db = must(Database::open(directory, options_for_counting()));
  load(db);
  const Keyspace keyspace = must(db.find_keyspace("accounts"));
  const Bench bench{db, keyspace, {}};
  if (growth) {
    grow(db, bench);
    must(db.close());
    return 0;
  }
  const auto stride = [](int i) { return static_cast<std::uint64_t>(i) * 7 % keys; };

  for (int i = 0; i < times; ++i) hot_path_get(bench, stride(i));
  finish_path("begin+get+commit", times);
  hot_path_scan(bench);
  finish_path("scan step", static_cast<int>(keys));
  Bench locking = bench;
  locking.options.locking = Locking::pessimistic;
  for (int i = 0; i < times; ++i) hot_path_lock(locking, stride(i));
  finish_path("lock+unlock", times);
  Record record = record_of(0);
  for (int i = 0; i < times; ++i) hot_path_put(bench, record, stride(i));
  finish_path("put+commit", times);
  validate_ranges(bench);
  finish_path("range validation", times);
  must(db.close());
  return 0;
}

}  // namespace
}  // namespace isolde::bench

// isolde_hot_paths: the paths that have budgets. isolde_hot_paths growth: one commit, while the
// keys and the clients grow.
int main(int argc, char**) {
  std::string pattern = (std::filesystem::temp_directory_path() / "hot_paths.XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return 1;
  const int status = isolde::bench::run(pattern, argc > 1);
  std::filesystem::remove_all(pattern);
  return status;
}
