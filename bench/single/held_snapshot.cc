#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>

#include "bench/engines/subject.h"
#include "bench/run/store.h"
#include "bench/single/measurements.h"
#include "bench/workloads/record.h"

namespace isolde::bench {
namespace {

constexpr std::uint64_t batch = 1000;  // keys updated in one transaction

void must(Reason reason) {
  if (reason != Reason::none) throw CannotRun("an update of a client alone failed");
}

// Every key once, in an order that jumps about.
void update_all(Client& client, const Parameters& work) {
  std::uint64_t stride = work.keys * 618 / 1000 + 1;
  while (std::gcd(stride, work.keys) != 1) ++stride;
  Record record(work.value_bytes, 0);
  for (std::uint64_t first = 0; first < work.keys; first += batch) {
    client.begin(true);
    for (std::uint64_t i = first; i < std::min(first + batch, work.keys); ++i) {
      record.set(static_cast<std::int64_t>(i + work.keys));
      must(client.put(account_key(i * stride % work.keys).view(), record.view()));
    }
    must(client.commit());
  }
}

// What the files grew by.
double growth(const Subject& subject, const Parameters& work,
              const std::filesystem::path& directory, bool held) {
  const Store store = load_store(subject.engine, work, directory);
  const auto megabytes = [&] { return static_cast<double>(allocated_bytes(directory)) / 1e6; };
  const double before = megabytes();
  const auto reader = store.engine->client(subject.mode);
  if (held) {
    reader->begin(false);
    must(reader->get(account_key(0).view()).failed);
  }
  update_all(*store.engine->client(subject.mode), work);
  store.engine->checkpoint();
  const double after = megabytes();
  const EngineCounters counters = store.engine->counters();
  if (held) reader->rollback();
  std::string memory;
  if (counters.version_bytes && counters.old_version_bytes) {
    memory = fmt::format("{} MB of versions in memory, {} MB of them old",
                         *counters.version_bytes >> 20, *counters.old_version_bytes >> 20);
  }
  fmt::print(stdout, "{:<16} {:<10} {:>10.1f} MB -> {:>10.1f} MB   {}\n", subject.name,
             held ? "held" : "none", before, after, memory);
  std::fflush(stdout);
  return after - before;
}

}  // namespace

void measure_held_snapshot(const std::filesystem::path& directory, std::uint64_t keys,
                           const std::vector<std::string>& subjects) {
  Parameters work;
  work.keys = keys;
  fmt::print(stdout,
             "{} keys, each updated once, {} to a transaction, unsynced\n\n"
             "{:<16} {:<10} {}\n",
             keys, batch, "subject", "snapshot", "files before and after");
  std::fflush(stdout);
  for (const std::string& name : subjects) {
    const Subject& subject = *find_subject(name);
    const auto directory_of = [&](const char* what) { return directory / (name + what); };
    const double without = growth(subject, work, directory_of("-none"), false);
    const double with = growth(subject, work, directory_of("-held"), true);
    fmt::print(stdout, "{:<16} growth with a snapshot held: {:.2f} x of that without\n\n", name,
               with / without);
    std::fflush(stdout);
  }
}

}  // namespace isolde::bench
