#include "bench/run/plan.h"

#include <fmt/format.h>

#include <algorithm>

namespace isolde::bench {
namespace {

using Names = std::vector<const char*>;

const Names engines = {"isolde-rr-opt", "isolde-ser-opt", "lmdb",          "rocksdb-opt",
                       "rocksdb-pess",  "wiredtiger",     "berkeleydb-si", "sqlite"};
const Names at_odds = {"isolde-rc-pess",  "isolde-rr-opt", "isolde-rr-pess", "isolde-ser-opt",
                       "isolde-ser-pess", "lmdb",          "rocksdb-opt",    "rocksdb-pess",
                       "rocksdb-rc",      "wiredtiger",    "berkeleydb-si",  "berkeleydb-ser",
                       "sqlite"};
const Names two_ways = {"isolde-rr-opt",   "isolde-rr-pess", "isolde-ser-opt",
                        "isolde-ser-pess", "rocksdb-opt",    "rocksdb-pess"};
const Names levels = {"isolde-ru-opt",  "isolde-rc-opt",  "isolde-rr-opt",  "isolde-ser-opt",
                      "isolde-ru-pess", "isolde-rc-pess", "isolde-rr-pess", "isolde-ser-pess"};
const Names base_line = {"isolde-rr-opt", "lmdb"};

class Planner {
 public:
  explicit Planner(const PlanOptions& options) : options_(options) {}

  // Those of the named subjects that this build has and the user wants.
  std::vector<const Subject*> subjects(const Names& names) const {
    std::vector<const Subject*> found;
    found.reserve(names.size());
    for (const char* name : names) {
      const Subject* const subject = find_subject(name);
      if (subject == nullptr) continue;
      const auto& wanted = options_.subjects;
      if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), name) == wanted.end())
        continue;
      found.push_back(subject);
    }
    return found;
  }

  Cell cell(std::string label, double x, const Parameters& work, const Names& names) const {
    return {std::move(label), x, work, subjects(names), options_.seconds, options_.repetitions};
  }

  Parameters accounts(std::string_view workload, unsigned clients, unsigned operations = 1) const {
    Parameters work;
    work.workload = workload;
    work.keys = options_.keys;
    work.clients = clients;
    work.operations = operations;
    return work;
  }
  Parameters synced(Parameters work) const {
    work.synced = Synced::yes;
    return work;
  }
  // The points of an axis; a quick look takes the fewer ones.
  template <typename T>
  std::vector<T> points(std::vector<T> all, std::vector<T> few) const {
    return options_.quick ? few : all;
  }

  Section overhead() const {
    Section section{
        "overhead",
        "Beside raw LMDB, and others",
        "What do transactions cost where LMDB alone would do?",
        "Reads near raw LMDB's rate, since most go straight to its tree; writes above it, "
        "since a commit appends to a log instead of copying a path of pages.",
        "",
        false,
        {}};
    for (const unsigned clients : {1U, 2U}) {
      const std::string many = clients == 1 ? ", 1 client" : ", 2 clients";
      section.cells.push_back(cell("read1" + many, 0, accounts("read", clients), engines));
      section.cells.push_back(cell("read10" + many, 0, accounts("read", clients, 10), engines));
      section.cells.push_back(cell("scan100" + many, 0, accounts("scan", clients, 100), engines));
    }
    section.cells.push_back(cell("mix, 2 clients", 0, accounts("mix", 2), engines));
    section.cells.push_back(cell("rmw1 no sync, 2 clients", 0, accounts("rmw", 2), engines));
    for (const auto& [label, workload, count] : {std::tuple{"read1, 100k chains", "read", 1U},
                                                 {"read10, 100k chains", "read", 10U},
                                                 {"scan100, 100k chains", "scan", 100U}}) {
      Parameters work = accounts(workload, 2, count);
      work.chains = true;
      section.cells.push_back(cell(label, 0, work, base_line));
    }
    return section;
  }

  Section clients() const {
    Section section{
        "clients",
        "Durable updates over clients",
        "Does one sync serve many commits?",
        "One client pays a sync for each commit; n clients share them, so the rate grows "
        "with n until the processors, not the disk, are the bound. One writer at a time "
        "(LMDB, SQLite) stays flat.",
        "clients",
        true,
        {}};
    for (const unsigned clients : points<unsigned>({1, 2, 4, 8, 16, 32, 64}, {1, 4, 16, 64})) {
      section.cells.push_back(
          cell(fmt::format("rmw1 durable, {} client{}", clients, clients == 1 ? "" : "s"), clients,
               synced(accounts("rmw", clients)), engines));
    }
    return section;
  }

  Section contention() const {
    Section section{"contention",
                    "Transfers among ten accounts",
                    "What is left of the rate when all clients want the same keys?",
                    "Locks released at visibility keep a hot key moving while its syncs are under "
                    "way; engines that hold locks or block across the sync get one commit a sync.",
                    "",
                    false,
                    {}};
    Parameters work = synced(accounts("transfer", 16));
    work.hot = 10;
    section.cells.push_back(cell("transfer durable hot=10, 16 clients", 0, work, at_odds));
    work = accounts("transfer", 8);
    work.hot = 10;
    section.cells.push_back(cell("transfer no sync hot=10, 8 clients", 0, work, at_odds));
    return section;
  }

  Section skew() const {
    Section section{
        "skew",
        "Optimistic or pessimistic, over skew",
        "From which contention on does locking pay? Sixteen clients, who think for 100 us after "
        "each of four operations: without that, transactions of microseconds hardly meet on "
        "two cores.",
        "Optimistic first: it never waits. As few keys draw most of the work, repeated "
        "attempts cost more than waits, and the curves cross.",
        "Zipfian theta",
        false,
        {}};
    for (const double theta :
         points<double>({0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99}, {0, 0.7, 0.9, 0.99})) {
      Parameters work = accounts("ops", 16, 4);
      work.think_us = 100;
      work.keys = std::min<std::uint64_t>(options_.keys, 1000);
      work.read_share = 0.5;
      work.theta = theta;
      section.cells.push_back(cell(fmt::format("theta {:g}", theta), theta, work, two_ways));
    }
    return section;
  }

  Section read_share() const {
    Section section{"read-share",
                    "Optimistic or pessimistic, over the share of reads",
                    "What do reads cost a level that remembers or locks them?",
                    "Repeatable read speeds up with every read that replaces a write; serializable "
                    "follows it with less slope, for its reads can conflict too.",
                    "share of reads",
                    false,
                    {}};
    for (const double share : points<double>({0, 0.25, 0.5, 0.75, 0.9, 1}, {0, 0.5, 0.9, 1})) {
      Parameters work = accounts("ops", 16, 4);
      work.think_us = 100;
      work.keys = std::min<std::uint64_t>(options_.keys, 1000);
      work.read_share = share;
      work.theta = 0.9;
      section.cells.push_back(cell(fmt::format("{:g}% reads", 100 * share), share, work, two_ways));
    }
    return section;
  }

  Section each_level() const {
    Section section{"levels",
                    "Every level and locking",
                    "What does a stronger promise cost?",
                    "Without contention at most a third; with it, what the level has to refuse or "
                    "to wait for.",
                    "",
                    false,
                    {}};
    section.cells.push_back(cell("mix, 2 clients", 0, accounts("mix", 2), levels));
    section.cells.push_back(cell("rmw1, 2 clients", 0, accounts("rmw", 2), levels));
    section.cells.push_back(cell("transfer, 2 clients", 0, accounts("transfer", 2), levels));
    Parameters work = synced(accounts("transfer", 16));
    work.hot = 10;
    section.cells.push_back(cell("transfer durable hot=10, 16 clients", 0, work, levels));
    return section;
  }

  Section ycsb() const {
    Section section{
        "ycsb",
        "YCSB A to F",
        "The usual comparison: 1 kB rows, Zipfian 0.99, one operation a transaction, no sync.",
        "The more reads, the nearer to raw LMDB; scans cost a merge with what is in "
        "memory.",
        "",
        false,
        {}};
    for (const char* const workload :
         {"ycsb-a", "ycsb-b", "ycsb-c", "ycsb-d", "ycsb-e", "ycsb-f"}) {
      Parameters work = accounts(workload, 2);
      work.keys = std::max<std::uint64_t>(1, options_.keys / 10);
      work.value_bytes = 1000;
      work.theta = 0.99;
      section.cells.push_back(cell(workload, 0, work, engines));
    }
    return section;
  }

  Section smallbank() const {
    Section section{"smallbank",
                    "SmallBank",
                    "Five small transactions of a bank, nine of ten on a hot spot, durable.",
                    "Serializable costs its refusals beside repeatable read; the smaller the hot "
                    "spot, the more.",
                    "",
                    false,
                    {}};
    for (const std::uint64_t hot : {1000U, 100U, 10U}) {
      Parameters work = synced(accounts("smallbank", 16));
      work.keys = std::min<std::uint64_t>(options_.keys, 18'000);
      work.hot = hot;
      section.cells.push_back(cell(fmt::format("hot spot of {}", hot), 0, work, at_odds));
    }
    return section;
  }

  Section applications() const {
    Section section{
        "applications",
        "Out of production",
        "A job queue, a rate limiter, doctors on call, one hot counter, a report beside "
        "transfers; durable.",
        "Where all clients want one key or the head of one queue, locks win; where reads "
        "run beside writers, snapshots do.",
        "",
        false,
        {}};
    Parameters work = synced(accounts("job-queue", 8));
    work.keys = std::min<std::uint64_t>(options_.keys, 1000);
    section.cells.push_back(cell("job queue", 0, work, at_odds));
    work.workload = "rate-limiter";
    work.theta = 0.9;
    section.cells.push_back(cell("rate limiter", 0, work, at_odds));
    work.workload = "on-call";
    work.theta = 0;
    work.keys = 90;
    section.cells.push_back(cell("doctors on call", 0, work, at_odds));
    work = synced(accounts("counter", 8));
    section.cells.push_back(cell("hot counter", 0, work, at_odds));
    work = accounts("long-reader", 3);
    section.cells.push_back(cell("a report beside 2 clients' transfers", 0, work, engines));
    return section;
  }

  Section growth_keys() const {
    Section section{
        "growth-keys",
        "Growth: keys",
        "Does a transaction cost the same on more data?",
        "A tree's depth: logarithmic, with a step where the data leaves the processor's "
        "caches. The ratio to raw LMDB stays.",
        "keys",
        true,
        {}};
    for (const std::uint64_t keys : points<std::uint64_t>({10'000, 100'000, 1'000'000, 10'000'000},
                                                          {1'000, 10'000, 100'000})) {
      if (keys > 10 * options_.keys) continue;
      Parameters work = accounts("ops", 2);
      work.read_share = 0.5;
      work.keys = keys;
      section.cells.push_back(
          cell(fmt::format("{} keys", keys), static_cast<double>(keys), work, base_line));
    }
    return section;
  }

  Section growth_operations() const {
    Section section{
        "growth-operations",
        "Growth: operations in a transaction",
        "Does the cost of an operation depend on how many there are?",
        "Transactions a second fall as 1/n once n operations outweigh begin and commit; "
        "operations a second rise to a plateau.",
        "operations",
        true,
        {}};
    for (const unsigned count : points<unsigned>({1, 10, 100, 1000}, {1, 10, 100, 1000})) {
      Parameters work = accounts("ops", 2, count);
      work.read_share = 0.5;
      section.cells.push_back(
          cell(fmt::format("{} operations", count), count, work,
               {"isolde-rr-opt", "isolde-ser-opt", "isolde-rr-pess", "isolde-ser-pess", "lmdb"}));
    }
    return section;
  }

  Section growth_values() const {
    Section section{
        "growth-values",
        "Growth: size of values",
        "From where on do bytes, not transactions, count?",
        "Flat while a value is small beside a page and a log record's overhead; then as "
        "1/size, by the bytes to copy and write.",
        "bytes of a value",
        true,
        {}};
    for (const std::size_t bytes :
         points<std::size_t>({10, 100, 1'000, 10'000, 100'000}, {10, 1'000, 100'000})) {
      Parameters work = accounts("ops", 2);
      work.read_share = 0.5;
      work.value_bytes = bytes;
      work.keys = std::min<std::uint64_t>(options_.keys,
                                          std::max<std::uint64_t>(100, 200'000'000 / (bytes + 16)));
      if (options_.quick) work.keys = std::min<std::uint64_t>(work.keys, 20'000'000 / (bytes + 16));
      section.cells.push_back(
          cell(fmt::format("{} B", bytes), static_cast<double>(bytes), work, base_line));
    }
    return section;
  }

  Section growth_snapshots() const {
    Section section{
        "growth-snapshots",
        "Growth: snapshots held open",
        "What do readers that never end cost the writers?",
        "Nothing a commit would notice: each snapshot pins at most one version of a key. "
        "Raw LMDB's file grows instead, for no page that a reader might see is reused.",
        "snapshots",
        true,
        {}};
    for (const unsigned count : points<unsigned>({1, 10, 100, 1000}, {1, 100, 1000})) {
      Parameters work = accounts("rmw", 2);
      work.snapshots = count;
      section.cells.push_back(cell(fmt::format("{} snapshots", count), count, work, base_line));
    }
    return section;
  }

  Section sustained() const {
    Section section{"sustained",
                    "A minute with checkpoints",
                    "Do checkpoints stall commits, and does memory stay bounded?",
                    "A p99 within three times of that without checkpoints, no stall above 100 ms; "
                    "memory that swings with the log's size.",
                    "",
                    false,
                    {}};
    Parameters work = synced(accounts("rmw", 16));
    section.cells.push_back(cell("rmw1 durable, 16 clients", 0, work, {"isolde-rr-opt"}));
    work.checkpoints = false;
    section.cells.push_back(
        cell("rmw1 durable, 16 clients, no checkpoints", 0, work, {"isolde-rr-opt"}));
    section.cells.push_back(cell("rmw1 no sync, 2 clients", 0, accounts("rmw", 2),
                                 {"isolde-rr-opt", "lmdb", "rocksdb-opt", "wiredtiger"}));
    for (Cell& cell : section.cells) {
      cell.seconds = options_.sustained_seconds;
      cell.repetitions = 1;
    }
    return section;
  }

 private:
  const PlanOptions& options_;
};

}  // namespace

std::vector<std::string> section_ids() {
  std::vector<std::string> ids;
  const PlanOptions all;
  for (const Section& section : make_plan(all)) ids.push_back(section.id);
  return ids;
}

std::vector<Section> make_plan(const PlanOptions& options) {
  const Planner planner(options);
  std::vector<Section> all;
  for (const auto make :
       {&Planner::overhead, &Planner::clients, &Planner::contention, &Planner::skew,
        &Planner::read_share, &Planner::each_level, &Planner::ycsb, &Planner::smallbank,
        &Planner::applications, &Planner::growth_keys, &Planner::growth_operations,
        &Planner::growth_values, &Planner::growth_snapshots, &Planner::sustained}) {
    Section section = (planner.*make)();
    const auto& wanted = options.sections;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), section.id) == wanted.end()) {
      continue;
    }
    std::erase_if(section.cells, [](const Cell& cell) { return cell.subjects.empty(); });
    if (!section.cells.empty()) all.push_back(std::move(section));
  }
  return all;
}

}  // namespace isolde::bench
