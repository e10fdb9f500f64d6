#include "tests/mvcc/explore_world.h"

#include <cstdlib>
#include <filesystem>
#include <tuple>
#include <utility>

#include "engine/base/base.h"
#include "mvcc/database_core.h"
#include "tests/support/seed.h"

namespace isolde::test {
namespace {

constexpr const char* keys_of_the_world[] = {"a", "b"};

Options world_options(std::size_t max_version_memory) {
  Options options = small_options();
  options.durability = Durability::none();
  options.max_version_memory = max_version_memory;
  return options;
}

const KeyRange whole_range{"a", "c"};

bool keeps_snapshot(const Transaction& txn) {
  return txn.isolation() >= Isolation::repeatable_read;
}

bool is_conflict(ErrorCode code) {
  return code == ErrorCode::write_conflict || code == ErrorCode::serialization_failure ||
         code == ErrorCode::snapshot_too_old;
}

}  // namespace

TmpfsForFiles::TmpfsForFiles() {
  if (const char* given = std::getenv("TMPDIR")) before = given;
  std::error_code error;
  if (std::filesystem::is_directory("/dev/shm", error)) ::setenv("TMPDIR", "/dev/shm", 1);
}
TmpfsForFiles::~TmpfsForFiles() {
  if (before) {
    ::setenv("TMPDIR", before->c_str(), 1);
  } else {
    ::unsetenv("TMPDIR");
  }
}

ExploreWorld::ExploreWorld(std::size_t max_version_memory) {
  const TmpfsForFiles files;
  db_ = std::make_unique<TempDatabase>(world_options(max_version_memory));
}
ExploreWorld::~ExploreWorld() { holder_.reset(); }

void ExploreWorld::abandon() {
  holder_.reset();
  db_->abandon();
}

std::uint64_t ExploreWorld::visible() { return db_->core().pipeline().visible(); }

Transaction ExploreWorld::begin(Isolation level) {
  TransactionOptions options;
  options.isolation = level;
  return (*db_)->begin(options).value();
}

// A place of its own, so that the others' reading need not count as reading the clock.
std::uint64_t ExploreWorld::moment() {
  yield_here("moment");
  return visible();
}

std::string ExploreWorld::next_value() { return std::to_string(1'000'000 + ++values_made_); }

void ExploreWorld::complain(std::string what) {
  if (!complaint_) complaint_ = std::move(what);
}

// No chain, no view, nothing retired.
void ExploreWorld::settle() {
  auto& core = db_->core();
  static_cast<void>(core.checkpointer().run());
  for (int tries = 0; tries < 4 && core.store().chains() > 0; ++tries) core.reclaimer().run();
  core.reclaimer().run();
  if (core.store().chains() > 0) complain("chains are left though nothing holds them");
}

void ExploreWorld::write_alone(const std::string& key, Value value) {
  Transaction txn = begin(Isolation::read_committed);
  const auto written =
      value ? txn.put(db_->keyspace(), key, *value) : txn.erase(db_->keyspace(), key);
  const auto committed = txn.commit();
  if (!written || !committed) complain("the world could not be set up: " + message_of(committed));
  initial_[key] = std::move(value);
}

// The order in which slots are handed out goes round and round: to the same place each time, since
// whoever looks at them all does so in the order of the table.
void ExploreWorld::line_slots_up() {
  auto& registry = db_->core().registry();
  mvcc::Slot* held = registry.claim();
  for (;;) {
    mvcc::Slot* next = registry.claim();
    mvcc::SnapshotRegistry::release(*std::exchange(held, next));
    if (next->index == 0) break;
  }
  mvcc::SnapshotRegistry::release(*held);
}

void ExploreWorld::reset(Start start) {
  holder_.reset();
  line_slots_up();
  complaint_.reset();
  commits_.clear();
  seen_.clear();
  write_alone("a", start == Start::absent ? Value() : next_value());
  write_alone("b", next_value());
  settle();
  commits_[visible()].writes = initial_;
  if (start == Start::old_view || start == Start::old_reader) {
    Transaction txn = begin(Isolation::repeatable_read);
    static_cast<void>(txn.get(db_->keyspace(), "a"));
    if (start == Start::old_reader) holder_.emplace(std::move(txn));
  }
  if (start != Start::in_base && start != Start::absent) write_alone("a", next_value());
  if (start != Start::in_base && start != Start::absent && start != Start::in_chain) {
    static_cast<void>(db_->core().checkpointer().run());
  }
  base_line_ = visible();
  commits_[base_line_].writes = initial_;
  base_version_ = db_->core().base().version().value;
  gates_.clear();
  db_->core().registry().for_each([&](mvcc::Slot& slot) { gates_.push_back(slot.gate.load()); });
}

ExploreWorld::Value ExploreWorld::value_at(const std::string& key, std::uint64_t at) const {
  for (auto commit = commits_.upper_bound(at); commit != commits_.begin();) {
    --commit;
    if (const auto sum = commit->second.sums.find(key); sum != commit->second.sums.end()) {
      const Value below = value_at(key, commit->first - 1);
      return std::to_string((below ? std::stoi(*below) : 0) + sum->second);
    }
    const auto found = commit->second.writes.find(key);
    if (found != commit->second.writes.end()) return found->second;
  }
  return std::nullopt;
}

// Reading.

bool ExploreWorld::note(const char* who, Transaction& txn, std::uint64_t from, const Error* error,
                        std::map<std::string, Value> values) {
  if (error != nullptr) {
    const bool may_be_given_up = db_->options().max_version_memory == 0;
    if (error->code() != ErrorCode::snapshot_too_old || !may_be_given_up) {
      complain(std::string(who) + " failed: " + error->to_string());
    }
    return false;
  }
  Seen seen{who, from, from, std::move(values)};
  if (const auto snapshot = txn.snapshot()) {
    seen.from = seen.to = snapshot->value;
  } else {
    seen.to = moment();
    seen.dirty = txn.isolation() == Isolation::read_uncommitted;
  }
  seen_.push_back(std::move(seen));
  return true;
}

bool ExploreWorld::look(const char* who, Transaction& txn, const std::string& key) {
  const std::uint64_t from = keeps_snapshot(txn) ? 0 : moment();
  const auto got = txn.get(db_->keyspace(), key);
  if (!got) return note(who, txn, from, &got.error(), {});
  return note(who, txn, from, nullptr, {{key, *got ? Value(**got) : Value()}});
}

bool ExploreWorld::look_at_range(const char* who, Transaction& txn) {
  const std::uint64_t from = keeps_snapshot(txn) ? 0 : moment();
  std::map<std::string, Value> values{{"a", std::nullopt}, {"b", std::nullopt}};
  const auto scanned =
      txn.scan(db_->keyspace(), whole_range, [&](std::string_view key, std::string_view value) {
        values[std::string(key)] = std::string(value);
      });
  if (!scanned) return note(who, txn, from, &scanned.error(), {});
  return note(who, txn, from, nullptr, std::move(values));
}

ExploreWorld::Body ExploreWorld::read_snapshot(unsigned gets) {
  return [this, gets] {
    Transaction txn = begin(Isolation::repeatable_read);
    for (unsigned i = 0; i < gets; ++i) {
      if (!look("a get", txn, "a")) return;
    }
    look_at_range("the scan", txn);
  };
}

ExploreWorld::Body ExploreWorld::read_committed() {
  return [this] {
    Transaction txn = begin(Isolation::read_committed);
    if (look("a get at read committed", txn, "a")) look("the next get", txn, "a");
  };
}

ExploreWorld::Body ExploreWorld::scan_committed() {
  return [this] {
    Transaction txn = begin(Isolation::read_committed);
    look_at_range("a scan at read committed", txn);
  };
}

ExploreWorld::Body ExploreWorld::old_reader() {
  return [this] {
    if (look("the old reader's get", *holder_, "a")) look_at_range("its scan", *holder_);
  };
}

ExploreWorld::Body ExploreWorld::read_uncommitted() {
  return [this] {
    Transaction txn = begin(Isolation::read_uncommitted);
    if (look("a dirty get", txn, "a") && look("the next dirty get", txn, "a")) {
      look_at_range("a dirty scan", txn);
    }
  };
}

ExploreWorld::Body ExploreWorld::cursors() {
  return [this] {
    Transaction txn = begin(Isolation::read_committed);
    struct Open {
      Cursor cursor;
      std::uint64_t from;
      std::uint64_t to;
      std::map<std::string, Value> values;
    };
    std::vector<Open> open;
    for (int i = 0; i < 2; ++i) {
      const std::uint64_t from = moment();
      auto cursor = txn.cursor(db_->keyspace(), whole_range);
      if (!cursor) return complain("a cursor failed: " + cursor.error().to_string());
      open.push_back({std::move(*cursor), from, moment(), {{"a", {}}, {"b", {}}}});
      yield_here("between cursors");
    }
    for (Open& one : open) {
      for (;;) {
        auto entry = one.cursor.next();
        if (!entry) {
          static_cast<void>(note("a cursor", txn, one.from, &entry.error(), {}));
          return;
        }
        if (!*entry) break;
        one.values[std::string((*entry)->key)] = std::string((*entry)->value);
      }
      seen_.push_back({"a cursor", one.from, one.to, one.values});
    }
  };
}

// Writing.

void ExploreWorld::finish(Transaction& txn, Commit commit) {
  if (const auto snapshot = txn.snapshot()) commit.snapshot = snapshot->value;
  const auto committed = txn.commit();
  if (committed) {
    if (!commits_.emplace(committed->value, std::move(commit)).second) {
      complain("two commits at " + std::to_string(committed->value));
    }
  } else if (!is_conflict(committed.error().code())) {
    complain("a commit failed: " + committed.error().to_string());
  }
}

ExploreWorld::Body ExploreWorld::put(Isolation level, std::string keys) {
  return [this, level, keys = std::move(keys)] {
    Transaction txn = begin(level);
    Commit commit;
    for (const char name : keys) {
      const std::string key(1, name);
      if (level == Isolation::serializable && !look("the writer's get", txn, key)) return;
      const std::string value = next_value();
      const auto done = txn.put(db_->keyspace(), key, value);
      if (!done) return static_cast<void>(note("a put", txn, 0, &done.error(), {}));
      commit.writes[key] = value;
      if (level >= Isolation::repeatable_read) commit.unchanged.push_back(key);
    }
    finish(txn, std::move(commit));
  };
}

ExploreWorld::Body ExploreWorld::insert(Isolation level) {
  return [this, level] {
    Transaction txn = begin(level);
    const std::string value = next_value();
    const auto done = txn.insert(db_->keyspace(), "a", value);
    if (!done && done.error().code() == ErrorCode::already_exists) return;
    if (!done) return static_cast<void>(note("an insert", txn, 0, &done.error(), {}));
    Commit commit;
    commit.writes["a"] = value;
    commit.absent.push_back("a");
    finish(txn, std::move(commit));
  };
}

ExploreWorld::Body ExploreWorld::erase(Isolation level) {
  return [this, level] {
    Transaction txn = begin(level);
    const auto done = txn.erase(db_->keyspace(), "a");
    if (!done) return static_cast<void>(note("an erase", txn, 0, &done.error(), {}));
    Commit commit;
    commit.writes["a"] = std::nullopt;
    if (level == Isolation::repeatable_read) commit.unchanged.push_back("a");
    finish(txn, std::move(commit));
  };
}

ExploreWorld::Body ExploreWorld::add(Isolation level) {
  return [this, level] {
    Transaction txn = begin(level);
    const auto done = txn.add(db_->keyspace(), "a", 1);
    if (!done) return static_cast<void>(note("an add", txn, 0, &done.error(), {}));
    Commit commit;
    commit.sums["a"] = 1;
    if (level == Isolation::repeatable_read) commit.unchanged.push_back("a");
    finish(txn, std::move(commit));
  };
}

ExploreWorld::Body ExploreWorld::scan_and_put() {
  return [this] {
    Transaction txn = begin(Isolation::serializable);
    if (!look_at_range("the writer's scan", txn)) return;
    const std::string value = next_value();
    const auto done = txn.put(db_->keyspace(), "b", value);
    if (!done) return static_cast<void>(note("a put", txn, 0, &done.error(), {}));
    Commit commit;
    commit.writes["b"] = value;
    commit.unchanged = {"a", "b"};
    finish(txn, std::move(commit));
  };
}

// The background's work.

ExploreWorld::Body ExploreWorld::checkpoint() {
  return [this] {
    yield_here("checkpoint");
    const auto done = db_->core().checkpointer().run();
    if (!done) complain("a checkpoint failed: " + done.error().to_string());
  };
}

ExploreWorld::Body ExploreWorld::reclaim() {
  return [this] {
    yield_here("reclaim");
    db_->core().reclaimer().run();
  };
}

ExploreWorld::Body ExploreWorld::in_turn(std::vector<Body> bodies) {
  return [bodies = std::move(bodies)] {
    for (std::size_t i = 0; i < bodies.size(); ++i) {
      if (i > 0) yield_here("next");
      bodies[i]();
    }
  };
}

// Judging.

std::optional<std::string> ExploreWorld::judge() {
  holder_.reset();
  if (complaint_) return complaint_;
  if (auto wrong = judge_commits()) return wrong;
  if (auto wrong = judge_reads()) return wrong;
  return judge_store();
}

std::optional<std::string> ExploreWorld::judge_commits() const {
  std::uint64_t expected = base_line_;
  for (auto commit = commits_.find(base_line_); commit != commits_.end(); ++commit) {
    if (commit->first != expected++) return "a commit's timestamp leaves a gap (I5)";
    for (const std::string& key : commit->second.absent) {
      if (value_at(key, commit->first - 1)) return "inserted though it was there: " + key;
    }
    for (auto before = commits_.upper_bound(commit->second.snapshot); before != commit; ++before) {
      for (const std::string& key : commit->second.unchanged) {
        if (before->second.writes.count(key) == 0 && before->second.sums.count(key) == 0) continue;
        return "lost update of " + key + ": commit " + std::to_string(commit->first) +
               " has snapshot " + std::to_string(commit->second.snapshot) + ", and " +
               std::to_string(before->first) + " came between";
      }
    }
  }
  return std::nullopt;
}

bool ExploreWorld::is_possible(const Seen& seen, std::uint64_t at) const {
  for (const auto& [key, value] : seen.values) {
    const Value committed = value_at(key, at);
    bool possible = value == committed;
    for (auto later = commits_.upper_bound(at); seen.dirty && later != commits_.end(); ++later) {
      const auto& [writes, sums] = std::tie(later->second.writes, later->second.sums);
      if (writes.count(key) != 0) possible = possible || value == writes.at(key);
      if (sums.count(key) != 0) {
        const int below = committed ? std::stoi(*committed) : 0;
        possible = possible || value == std::to_string(below + sums.at(key));
      }
    }
    if (!possible) return false;
  }
  return true;
}

std::optional<std::string> ExploreWorld::judge_reads() const {
  for (const Seen& seen : seen_) {
    bool possible = false;
    for (std::uint64_t at = seen.from; at <= seen.to && !possible; ++at) {
      possible = is_possible(seen, at);
    }
    if (possible) continue;
    std::string what = seen.who + " saw";
    for (const auto& [key, value] : seen.values) {
      what += " " + key + "=" + text(value) + " (right: " + text(value_at(key, seen.from)) + ")";
    }
    return what + " at " + std::to_string(seen.from) + ".." + std::to_string(seen.to);
  }
  return std::nullopt;
}

std::optional<std::string> ExploreWorld::judge_store() {
  auto& core = db_->core();
  engine::BaseView view;
  if (auto open = view.renew(core.base()); !open) return open.error().to_string();
  const std::uint64_t base_at = core.base().at().value;
  Transaction txn = begin(Isolation::read_committed);
  for (const std::string key : keys_of_the_world) {
    const auto found = view.get(db_->keyspace().id(), key);
    const Value in_base = found.status == engine::BaseLookup::Status::found
                              ? Value(std::string(found.value))
                              : Value();
    if (in_base != value_at(key, base_at)) {
      return "the base at " + std::to_string(base_at) + " has " + key + "=" + text(in_base) +
             ", right is " + text(value_at(key, base_at));
    }
    const Value now = get(txn, db_->keyspace(), key);
    if (now != value_at(key, visible())) {
      return "at the end " + key + "=" + text(now) + ", right is " + text(value_at(key, visible()));
    }
    initial_[key] = now;
  }
  return std::nullopt;
}

// The parts of the shared state.
namespace {

constexpr std::uint16_t chains = 1;
constexpr std::uint16_t order = 2;       // the index by key, and what is not yet in it
constexpr std::uint16_t memory = 4;      // what is freed
constexpr std::uint16_t section = 8;     // the critical section of commits
constexpr std::uint16_t reclaimer = 16;  // what its mutex guards
constexpr std::uint16_t taken_views = 32;
constexpr std::uint16_t clock = 64;  // visible, durable
constexpr std::uint16_t base = 128;
// Of the slots: what only the background looks at ...
constexpr std::uint16_t gates = 256;
constexpr std::uint16_t busy = 512;  // the gates without their counts
constexpr std::uint16_t snapshots = 1024;
constexpr std::uint16_t views = 2048;
// ... and what it does to them.
constexpr std::uint16_t marks = 4096;  // being taken, given up

std::uint64_t scrambled(std::uint64_t a, std::uint64_t b) { return derive(a, b); }

// The same of one pair after another, most of which are like the one before: idle slots.
class Scrambler {
 public:
  std::uint64_t operator()(std::uint64_t a, std::uint64_t b) {
    if (a != a_ || b != b_) {
      a_ = a;
      b_ = b;
      result_ = scrambled(a, b);
    }
    return result_;
  }

 private:
  std::uint64_t a_ = 0;
  std::uint64_t b_ = 0;
  std::uint64_t result_ = scrambled(0, 0);
};

}  // namespace

// What the pieces of code between yield points touch. Checked against the code by hand; and the
// planted faults are found with it.
Footprint ExploreWorld::footprint(std::string_view place) {
  constexpr std::uint16_t dropping = chains | order | section | reclaimer;
  static const std::map<std::string_view, Footprint> known = {
      // Claims a slot and enters it.
      {"start", {marks, 0}},
      {"next", {marks, 0}},
      {"between cursors", {marks, 0}},
      {"moment", {clock | marks, 0}},
      {"blocked: gate", {marks, 0}},
      {"blocked: mutex",
       {chains | order | section | reclaimer | clock | base | busy | marks,
        chains | order | section | reclaimer}},
      {"read: pending", {base | taken_views | marks, 0}},
      {"read: before view", {base, 0}},
      {"read: view open", {marks, 0}},
      {"read: before visible", {clock, 0}},
      {"read: visible read", {0, 0}},
      {"read: published", {marks, 0}},
      {"read: before lookup", {chains, 0}},
      {"read: version found", {memory | marks, 0}},
      {"read: no chain", {marks, 0}},
      {"read: leaving", {clock | marks, 0}},
      {"scan: merged", {chains | order | memory | marks, 0}},
      {"merge: begin", {order, order}},
      {"merge: chain taken", {order, order}},
      {"commit: waits for room", {marks, 0}},
      {"commit: before lookup", {chains, 0}},
      {"commit: no chain", {0, 0}},
      {"commit: base image fetched", {clock, 0}},
      {"commit: validated outside", {0, 0}},
      {"commit: before critical section", {chains | order | section | clock | marks, section}},
      {"commit: validated", {chains, chains}},
      {"install: chain hashed", {order, order}},
      {"commit: one installed", {chains, chains}},
      {"commit: installed", {0, 0}},
      {"commit: visible", {section | clock, section}},
      {"commit: before private copies go", {0, 0}},
      {"checkpoint", {clock | base | reclaimer, reclaimer}},
      {"checkpoint: registered", {base | marks, 0}},
      {"checkpoint: next chain", {chains | order, 0}},
      {"checkpoint: slice walked", {base, 0}},
      {"checkpoint: applied", {base | busy | reclaimer, reclaimer}},
      {"checkpoint: views seen", {clock | base | reclaimer, reclaimer}},
      {"reclaim", {base | busy | views, 0}},
      {"reclaim: view taken", {base | busy | views, taken_views}},
      {"reclaim: before slice", {clock | reclaimer, reclaimer}},
      {"reclaim: visible read", {busy, 0}},
      {"collect: gate seen", {snapshots, 0}},
      {"collect: snapshot seen", {views | busy, 0}},
      {"reclaim: pending", {reclaimer, reclaimer}},
      {"reclaim: live set collected", {chains | order | reclaimer, reclaimer}},
      {"reclaim: before unlink", {chains | order | reclaimer, chains | reclaimer}},
      {"reclaim: before drop", {dropping, dropping}},
      {"drop: unhashed", {dropping, dropping}},
      {"reclaim: before seal", {reclaimer | gates | memory, reclaimer | memory}},
      {"reclaim: before free", {reclaimer | gates | memory, reclaimer | memory}},
      {"reclaim: pass done", {chains | clock | base | busy | snapshots | views, 0}},
  };
  const auto found = known.find(place);
  return found == known.end() ? Footprint{} : found->second;
}

std::optional<std::uint64_t> ExploreWorld::content(unsigned part) {
  auto& core = db_->core();
  const std::uint64_t mask = std::uint64_t{1} << part;
  if (mask == clock) {
    return scrambled(visible() - base_line_, core.log().durable().value - base_line_);
  }
  if (mask == base) {
    return scrambled(core.base().version().value - base_version_,
                     core.base().at().value - base_line_);
  }
  // Slots of the same content stand for each other: added up.
  const auto sum_of = [&](auto&& word_of) {
    std::uint64_t sum = 0;
    Scrambler of_slot;
    core.registry().for_each([&](const mvcc::Slot& slot) { sum += of_slot(word_of(slot), part); });
    return sum;
  };
  const auto relative = [](std::uint64_t word, std::uint64_t to) {
    return word >= mvcc::too_old ? word : word - to;
  };
  switch (mask) {
    case gates:
      return sum_of([&](const mvcc::Slot& slot) {
        return slot.gate.load() - (slot.index < gates_.size() ? gates_[slot.index] : 0);
      });
    case busy:
      return sum_of(
          [](const mvcc::Slot& slot) { return slot.gate.load() % mvcc::Slot::count_unit; });
    case snapshots: {
      Scrambler of_snapshot;
      return sum_of([&](const mvcc::Slot& slot) {
        return of_snapshot(relative(slot.snapshot.load(), base_line_),
                           relative(slot.pinned.load(), base_line_));
      });
    }
    case views:
      return sum_of([&](const mvcc::Slot& slot) {
        const std::uint64_t version = slot.view_version.load();
        return version == 0 ? 0 : relative(version, base_version_ - 1'000);
      });
    case marks:
      return sum_of([](const mvcc::Slot& slot) {
        return (slot.gate.load() & mvcc::Slot::taken) | (slot.is_too_old() ? 1 : 0);
      });
    default:
      return std::nullopt;
  }
}

Explored interleave(ExploreWorld& world, Start start, const Cast& cast,
                    std::optional<unsigned> preemptions, Pruning pruning) {
  Exploration exploration;
  exploration.begin = [&] {
    world.reset(start);
    std::vector<Exploration::Actor> actors;
    for (const auto& [name, body] : cast) actors.push_back({name, body});
    return actors;
  };
  exploration.judge = [&] { return world.judge(); };
  if (pruning == Pruning::by_state) exploration.footprint = &ExploreWorld::footprint;
  exploration.content = [&](unsigned part) { return world.content(part); };
  exploration.ignored = &ExploreWorld::ignored;
  exploration.preemptions = preemptions;
  return explore(exploration);
}

// The log's own waiting is tested elsewhere; here nobody waits for a disk.
bool ExploreWorld::ignored(std::string_view place) { return place.substr(0, 5) == "log: "; }

}  // namespace isolde::test
