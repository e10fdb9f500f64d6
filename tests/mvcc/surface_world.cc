#include "tests/mvcc/surface_world.h"

#include <algorithm>
#include <cstring>
#include <system_error>

#include "mvcc/database_core.h"

namespace isolde::test::surface {
namespace {

// Looks at all that events say, and remembers nothing.
class Listener : public Observer {
 public:
  void on_read(const EventTransaction& self, const ReadEvent& event) override {
    touch(self.label.size() + event.key.size() + event.keyspace.size());
    if (event.version.value) touch(event.version.value->size());
  }
  void on_scan(const EventTransaction&, const ScanEvent& event) override {
    touch(event.observed.lower.size() + event.yielded);
  }
  void on_write(const EventTransaction&, const WriteEvent& event) override {
    touch(event.key.size() + (event.value ? event.value->size() : 0));
  }
  void on_abort(const EventTransaction&, const Error* cause) override {
    if (cause != nullptr) touch(cause->message().size());
  }
  void on_block(const EventTransaction&, const BlockEvent& event) override {
    touch(event.waits_for.size());
  }
  void on_deadlock(const DeadlockReport& report) override { touch(report.cycle.size()); }

 private:
  void touch(std::size_t bytes) { seen_.fetch_add(bytes, std::memory_order_relaxed); }
  std::atomic<std::size_t> seen_{0};
};

}  // namespace

void Trace::clear(std::uint64_t run) {
  const std::lock_guard lock(mutex_);
  memory_.run = run;
  memory_.used = memory_.failure_used = 0;
  last_actor_.clear();
  in_flight_.clear();
  slept_at_.clear();
}

void Trace::append(std::string_view text) {
  const std::size_t room = most_bytes - memory_.used;
  const std::size_t bytes = std::min(room, text.size());
  std::memcpy(memory_.text + memory_.used, text.data(), bytes);
  memory_.used += bytes;
}

void Trace::line(std::string_view text) {
  const std::lock_guard lock(mutex_);
  last_actor_.clear();
  append("\n  ");
  append(text);
}

void Trace::begun(const std::string& actor, const std::string& what) {
  const std::lock_guard lock(mutex_);
  in_flight_[actor] = what;
  last_actor_ = actor;
  append("\n  " + actor + ": " + what);
}

void Trace::ended(const std::string& actor, const std::string& outcome) {
  const std::lock_guard lock(mutex_);
  if (last_actor_ != actor) append("\n  " + actor + ": ... " + in_flight_[actor]);
  append(" -> " + outcome);
  last_actor_.clear();
  in_flight_.erase(actor);
  slept_at_.erase(actor);
}

void Trace::gave_way(const std::string& actor, std::string_view place) {
  const std::lock_guard lock(mutex_);
  const auto found = in_flight_.find(actor);
  if (found == in_flight_.end()) return;
  // One that sleeps looks again and again.
  const bool again = slept_at_[actor] == place;
  slept_at_[actor] = place.starts_with("blocked") ? place : "";
  if (again) return;
  if (last_actor_ != actor) append("\n  " + actor + ": ... " + in_flight_[actor]);
  append(" @ " + std::string(place));
  last_actor_.clear();
}

void Trace::fail(std::string_view text) {
  const std::lock_guard lock(mutex_);
  const std::size_t bytes = std::min(most_bytes, text.size());
  std::memcpy(memory_.failure, text.data(), bytes);
  memory_.failure_used = bytes;
}

World::World(const Plan& plan, Trace& trace)
    : plan_(plan), trace_(trace), files_(std::make_unique<FaultFileSystem>(plan.seed)) {
  std::filesystem::create_directory(directory());
}

World::~World() {
  if (db_) DatabaseInternals::abandon(std::move(*db_));
}

std::filesystem::path World::fresh_directory() {
  const std::lock_guard lock(mutex_);
  return directory_.path() / ("copy" + std::to_string(++directories_));
}

std::uint64_t World::visible() {
  const std::uint64_t visible = DatabaseInternals::core(*db_).pipeline().visible();
  std::uint64_t known = newest_visible_.load();
  while (known < visible && !newest_visible_.compare_exchange_weak(known, visible)) {
  }
  return visible;
}
std::uint64_t World::durable() { return db_->stats().durable.value; }

void World::acknowledge(std::uint64_t commit) {
  std::uint64_t known = acknowledged_.load();
  while (known < commit && !acknowledged_.compare_exchange_weak(known, commit)) {
  }
}

Moment World::begin_moment() {
  Moment moment;
  moment.span.from = stamp();
  moment.acknowledged = acknowledged();
  moment.visible_before = visible();
  return moment;
}

void World::end_moment(Moment& moment) {
  moment.visible_after = visible();
  moment.span.to = stamp();
}

std::string World::name_of(std::size_t keyspace) {
  return keyspace == 0 ? std::string(default_keyspace_name) : "k" + std::to_string(keyspace);
}

// Mostly the newest of that name; now and then an earlier one, which may have been dropped.
std::optional<Keyspace> World::handle(std::size_t keyspace, std::uint64_t dice) {
  const std::lock_guard lock(mutex_);
  std::vector<Keyspace> of_name;
  for (const Keyspace& known : handles_) {
    if (known.name() == name_of(keyspace)) of_name.push_back(known);
  }
  if (of_name.empty()) return std::nullopt;
  return dice % 8 == 0 ? of_name[dice / 8 % of_name.size()] : of_name.back();
}

void World::note_handle(const Keyspace& keyspace) {
  const std::lock_guard lock(mutex_);
  const auto known = std::find_if(handles_.begin(), handles_.end(),
                                  [&](const Keyspace& one) { return one.id() == keyspace.id(); });
  if (known == handles_.end()) handles_.push_back(keyspace);
}

TransactionRecord& World::add_transaction() {
  const std::lock_guard lock(mutex_);
  auto& added = history_.transactions.emplace_back(std::make_unique<TransactionRecord>());
  added->number = history_.transactions.size();
  added->session = session_;
  return *added;
}

void World::add(CatalogueCall call) {
  const std::lock_guard lock(mutex_);
  call.session = session_;
  history_.catalogue.push_back(std::move(call));
}

void World::add(VersionsCall call) {
  const std::lock_guard lock(mutex_);
  history_.versions.push_back(std::move(call));
}

void World::fault(const std::string& what) {
  const std::lock_guard lock(mutex_);
  history_.faults.push_back(what);
}

void World::arm_faults() {
  const std::lock_guard lock(mutex_);
  if (history_.faults_armed == never) history_.faults_armed = stamp();
  faults_armed_.store(true);
}

void World::announce(TransactionRecord& txn) {
  const std::lock_guard lock(mutex_);
  announced_.push_back(&txn);
}

TransactionRecord* World::announced(std::uint64_t dice) {
  const std::lock_guard lock(mutex_);
  if (announced_.empty()) return nullptr;
  // Mostly a late one, which may live.
  const std::size_t among = std::min<std::size_t>(announced_.size(), 4);
  return announced_[announced_.size() - 1 - dice % among];
}

void World::note_cancel(TransactionRecord& txn, std::uint64_t asked, std::uint64_t done) {
  const std::lock_guard lock(mutex_);
  txn.cancel_asked = std::min(txn.cancel_asked, asked);
  txn.cancel_done = std::min(txn.cancel_done, done);
}

void World::take_crash_image(std::uint64_t dice) {
  TakenCopy taken;
  taken.copy.kind = dice % 4 == 0 ? Copy::Kind::kill : Copy::Kind::crash;
  const std::filesystem::path path = fresh_directory();
  taken.copy.directory = path.string();
  taken.copy.moment = begin_moment();
  taken.copy.durable = durable();
  if (taken.copy.kind == Copy::Kind::kill) {
    taken.files = files_->clone();
  } else {
    Crash crash;
    crash.writes = static_cast<Unsynced>(dice / 4 % 6);
    crash.names = dice / 32 % 2 == 0 ? Unsynced::kept : Unsynced::dropped;
    crash.seed = dice;
    taken.files = files_->crash(crash);
  }
  std::filesystem::create_directory(path);
  std::filesystem::copy_file(directory() / "data.mdb", path / "data.mdb");
  end_moment(taken.copy.moment);
  const std::lock_guard lock(mutex_);
  copies_.push_back(std::move(taken));
}

void World::note_backup(Copy copy) {
  const std::lock_guard lock(mutex_);
  copies_.push_back({std::move(copy), nullptr});
}

Result<void> World::open() {
  auto opened = DatabaseInternals::open(directory(), plan_.options, *files_);
  if (!opened) return opened.error();
  db_.emplace(std::move(*opened));
  ++session_;
  history_ = {};
  copies_.clear();
  announced_.clear();
  faults_armed_ = false;
  newest_visible_ = 0;
  acknowledged_ = visible();
  if (plan_.observed) {
    observer_ = std::make_shared<Listener>();
    db_->add_observer(observer_);
  }
  handles_.clear();
  for (const Keyspace& keyspace : db_->keyspaces()) handles_.push_back(keyspace);
  return {};
}

Keyspaces World::keyspaces() {
  Keyspaces known;
  const mvcc::KeyspaceTable& table = DatabaseInternals::core(*db_).keyspaces();
  for (std::uint32_t id = 0; id < 64; ++id) {
    const mvcc::KeyspaceState* state = table.state(KeyspaceId{id});
    if (state == nullptr) continue;
    const std::uint64_t dropped = state->dropped.load();
    known.lives.push_back({id, state->handle.name(), state->created,
                           dropped == mvcc::KeyspaceState::never ? never : dropped,
                           state->loaded != 0});
  }
  return known;
}

Result<World::Contents> World::contents(Database& db) {
  Contents found;
  TransactionOptions options;
  options.read_only = true;
  auto txn = db.begin(options);
  if (!txn) return txn.error();
  for (const Keyspace& keyspace : db.keyspaces()) {
    auto& entries = found.keyspaces[keyspace.name()];
    auto scanned = txn->scan(
        keyspace, KeyRange::all(),
        [&](std::string_view key, std::string_view value) { entries.emplace(key, value); });
    if (!scanned) return scanned.error();
  }
  found.at = db.stats().visible.value;
  found.failed = db.stats().failed;
  auto verified = db.verify();
  if (!verified && !found.failed) return verified.error();
  return found;
}

Result<void> World::end_session(Reopening how) {
  // A fault that has not struck yet would strike there.
  if (how == Reopening::close && !faults_are_armed()) {
    auto closed = db_->close();
    db_.reset();
    return closed;
  }
  std::unique_ptr<FaultFileSystem> left;
  if (how != Reopening::crash) {
    left = files_->clone();
  } else {
    Crash crash;
    crash.seed = plan_.seed;
    crash.writes = static_cast<Unsynced>(plan_.seed % 6);
    left = files_->crash(crash);
  }
  left->clear_faults();
  DatabaseInternals::abandon(std::move(*db_));
  db_.reset();
  files_ = std::move(left);
  return {};
}

Result<World::Contents> World::contents_of(TakenCopy& taken) {
  Options options = plan_.options;
  options.background_work = false;
  const std::filesystem::path path = taken.copy.directory;
  if (!taken.files) {
    auto db = Database::open(path, options);
    if (!db) return db.error();
    auto found = contents(*db);
    DatabaseInternals::abandon(std::move(*db));
    return found;
  }
  // The log knows its files by the paths that they had: the image takes the place of the original.
  taken.files->clear_faults();
  const std::filesystem::path original = directory();
  const std::filesystem::path aside = directory_.path() / "aside";
  std::filesystem::rename(original, aside);
  std::filesystem::rename(path, original);
  auto db = DatabaseInternals::open(original, options, *taken.files);
  Result<Contents> found = db ? contents(*db) : Result<Contents>(db.error());
  if (db) DatabaseInternals::abandon(std::move(*db));
  std::filesystem::rename(original, path);
  std::filesystem::rename(aside, original);
  return found;
}

}  // namespace isolde::test::surface
