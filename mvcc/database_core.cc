#include "mvcc/database_core.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "mvcc/transaction_core.h"
#include "mvcc/transaction_errors.h"

namespace isolde::mvcc {
namespace {

constexpr std::string_view log_directory = "log";
// Every byte of a segment is written when it is made.
constexpr std::size_t largest_segment_bytes = std::size_t{4} << 30;
// Room for the manifest; what comes later makes the map grow.
constexpr std::size_t smallest_map_bytes = std::size_t{1} << 20;

std::optional<Error> check_options(const Options& options) {
  const auto refuse = [](std::string_view what) {
    return Error(ErrorCode::invalid_argument, std::string(what));
  };
  if (options.durability.kind == Durability::Kind::periodic &&
      options.durability.interval.count() <= 0) {
    return refuse("Options::durability: a periodic interval must be positive");
  }
  if (options.log_segment_bytes < 4096 || options.log_segment_bytes > largest_segment_bytes) {
    return refuse("Options::log_segment_bytes must be from 4096 bytes to 4 GiB");
  }
  if (options.max_keyspaces == 0) return refuse("Options::max_keyspaces must be at least 1");
  if (options.checkpoint_log_bytes == 0) {
    return refuse("Options::checkpoint_log_bytes must be positive");
  }
  if (options.max_transaction_bytes == 0) {
    return refuse("Options::max_transaction_bytes must be positive");
  }
  if (options.lock_timeout.count() < 0) return bad_lock_timeout();
  if (options.max_locks_per_transaction == 0) {
    return refuse("Options::max_locks_per_transaction must be at least 1");
  }
  return std::nullopt;
}

}  // namespace

DatabaseCore::DatabaseCore(std::filesystem::path directory, const Options& options,
                           engine::FileSystem& files)
    : directory_(std::move(directory)),
      options_(options),
      files_(files),
      fork_generation_(engine::fork_generation()) {}

Result<std::unique_ptr<DatabaseCore>> DatabaseCore::open(const std::filesystem::path& directory,
                                                         const Options& options,
                                                         engine::FileSystem& files) {
  if (auto error = check_options(options)) return *error;
  auto core = std::unique_ptr<DatabaseCore>(new DatabaseCore(directory, options, files));
  if (auto opened = core->open_parts(); !opened) {
    core->abandon();
    return opened.error();
  }
  return core;
}

Result<void> DatabaseCore::open_parts() {
  const bool create = options_.create_if_missing && !options_.read_only;
  if (auto ready = engine::Base::prepare_directory(directory_, create); !ready) return ready;
  auto owner = engine::OwnerLock::acquire(directory_, options_.read_only);
  if (!owner) return owner.error();
  owner_.emplace(std::move(*owner));

  engine::BaseOptions base_options;
  base_options.initial_map_bytes = std::max(options_.initial_map_bytes, smallest_map_bytes);
  base_options.max_keyspaces = options_.max_keyspaces;
  base_options.read_only = options_.read_only;
  base_options.create_if_missing = create;
  auto base = engine::Base::open(directory_, base_options);
  if (!base) return base.error();
  base_ = std::move(*base);
  for (const engine::KeyspaceInfo& keyspace : base_->keyspaces()) {
    keyspaces_.create(keyspace.id, keyspace.name, 0);
  }
  keyspaces_.skip_ids_below(base_->next_keyspace_id());

  engine::LogOptions log_options;
  log_options.segment_bytes = options_.log_segment_bytes;
  log_options.read_only = options_.read_only;
  log_options.sync = options_.durability.kind != Durability::Kind::none;
  log_options.fresh = base_->is_fresh();
  bool replayed = false;
  auto log = engine::CommitLog::open(files_, directory_ / log_directory, log_options,
                                     base_->database_id(), base_->at(),
                                     [&](Timestamp at, std::string_view entry) -> Result<void> {
                                       // A base that others changed is no ground for our log (L5).
                                       if (base_->has_foreign_write()) {
                                         return base_->foreign_write_error();
                                       }
                                       replayed = true;
                                       last_replayed_ = at;
                                       return replay(at, entry);
                                     });
  if (!log) return log.error();
  log_ = std::move(*log);
  if (auto settled = settle_base(); !settled) return settled;
  if (!options_.read_only) {
    if (auto noted = base_->note_log_begun(); !noted) return noted;
  }

  const Timestamp at = replayed ? last_replayed_ : base_->at();
  registry_ = std::make_shared<SnapshotRegistry>(*base_);
  LockLimits limits;
  limits.locks_per_owner = options_.max_locks_per_transaction;
  limits.strategy = options_.deadlock_strategy;
  limits.victim = options_.deadlock_victim;
  locks_ = std::make_unique<LockTable>(wait_teller_, limits);
  pipeline_ = std::make_unique<CommitPipeline>(store_, keyspaces_, *log_, at);
  reclaimer_ = std::make_unique<Reclaimer>(store_, *registry_, *pipeline_, *log_, *base_,
                                           options_.max_version_memory);
  checkpointer_ =
      std::make_unique<Checkpointer>(store_, keyspaces_, *registry_, *reclaimer_, *base_, *log_);
  background_ =
      std::make_unique<Background>(options_, *log_, *pipeline_, *checkpointer_, *reclaimer_);
  open_ = true;
  return {};
}

// What the base had left open until the log was read.
Result<void> DatabaseCore::settle_base() {
  if (options_.read_only) return {};
  if (base_->has_foreign_write()) {
    if (auto accepted = base_->accept_foreign_write(); !accepted) return accepted;
    for (const engine::KeyspaceInfo& keyspace : base_->keyspaces()) {
      keyspaces_.create(keyspace.id, keyspace.name, 0);
    }
    keyspaces_.skip_ids_below(base_->next_keyspace_id());
  }
  for (const engine::KeyspaceInfo& load : base_->unclaimed_loads()) {
    if (keyspaces_.state(load.id) != nullptr) continue;
    if (auto discarded = base_->discard_load(load.id); !discarded) return discarded;
  }
  return {};
}

// No snapshot lives across a restart, so a replayed chain needs no base image: every snapshot to
// come is above all of its versions. All of them are kept until pruned: the first checkpoint may
// have to take smaller steps.
Result<void> DatabaseCore::replay(Timestamp at, std::string_view entry) {
  engine::CommitRecordReader reader(entry);
  for (;;) {
    auto next = reader.next();
    if (!next) return next.error();
    if (!*next) return {};
    const engine::Change& change = **next;
    switch (change.kind) {
      case engine::ChangeKind::create_keyspace:
        keyspaces_.create(change.keyspace, change.key, at.value);
        continue;
      case engine::ChangeKind::drop_keyspace:
        keyspaces_.drop(change.keyspace, at.value);
        continue;
      case engine::ChangeKind::put:
      case engine::ChangeKind::erase:
        break;
    }
    const bool erased = change.kind == engine::ChangeKind::erase;
    VersionPtr version(Version::create(erased ? std::nullopt : std::optional(change.value)));
    version->commit = at.value;
    const std::uint64_t hash = VersionStore::hash(change.keyspace, change.key);
    if (Chain* chain = store_.find(change.keyspace, change.key, hash)) {
      store_.install_version(*chain, version.release());
    } else {
      ChainPtr fresh(Chain::create(change.keyspace, change.key, hash, OrderedIndex::draw_height()));
      fresh->newest.store(version.release());
      store_.install_chain(std::move(fresh));
    }
  }
}

DatabaseCore::~DatabaseCore() {
  if (open_) static_cast<void>(close());
}

void DatabaseCore::require_no_transactions() const {
  registry_->for_each([&](const Slot& slot) {
    if ((slot.gate.load() & Slot::claimed) == 0 || (slot.core && !slot.core->active())) return;
    const std::string label = slot.core ? slot.core->label() : std::string();
    std::fprintf(stderr,
                 "isolde: the database %s is closed while a transaction %s is open; end it first\n",
                 directory_.c_str(), isolde::quoted(label).c_str());
    std::abort();
  });
}

// A handle may outlive its transaction's end, and then the database.
void DatabaseCore::leave_slots_to_handles() noexcept {
  registry_->for_each([&](Slot& slot) {
    slot.cursor.close();
    slot.view.close();
    if (slot.core) slot.core->forget_observers();
    if ((slot.gate.load() & Slot::claimed) == 0 || !slot.core || slot.core->active()) return;
    slot.core->id();  // while there is someone to ask
    slot.home = registry_;
  });
}

Result<void> DatabaseCore::close() {
  if (!open_) return {};
  // First: a checkpoint in the background has a slot, as transactions have.
  background_->stop();
  require_no_transactions();
  Result<void> outcome;
  if (!options_.read_only && !log_->failed()) {
    outcome = log_->persist(log_->appended());
    if (outcome) outcome = checkpointer_->run();
  }
  abandon();
  return outcome;
}

void DatabaseCore::abandon() noexcept {
  open_ = false;
  if (background_) background_->stop();
  background_.reset();
  checkpointer_.reset();
  reclaimer_.reset();
  pipeline_.reset();
  locks_.reset();
  if (registry_) leave_slots_to_handles();
  registry_.reset();
  log_.reset();
  base_.reset();
  owner_.reset();
}

Error DatabaseCore::inherited() const {
  Evidence evidence;
  evidence.file = directory_.string();
  return {ErrorCode::database_in_use,
          "the database " + directory_.string() +
              " belongs to the process that this one was forked from; open it after the fork, in "
              "one of them",
          std::move(evidence)};
}

Result<TransactionCore*> DatabaseCore::begin(const TransactionOptions& options) {
  if (options.lock_timeout && options.lock_timeout->count() < 0) return bad_lock_timeout();
  if (is_inherited()) return inherited();
  Slot* slot = registry_->claim();
  if (slot == nullptr) return too_many_transactions();
  // A slot that no handle gives back would be lost for ever.
  struct GiveBack {
    Slot* slot;
    ~GiveBack() {
      if (slot == nullptr) return;
      if (slot->core && slot->core->active()) {
        slot->core->finish();
      } else {
        SnapshotRegistry::release(*slot);
      }
    }
  } give_back{slot};
  if (!slot->core) {
    slot->core = std::make_unique<TransactionCore>(*this, *slot);
    slot->published_core.store(slot->core.get());
  }
  slot->core->start(options);
  give_back.slot = nullptr;
  return slot->core.get();
}

Result<void> DatabaseCore::backup(const std::filesystem::path& directory) {
  if (is_inherited()) return inherited();
  std::error_code error;
  if (std::filesystem::exists(directory, error) &&
      !(std::filesystem::is_directory(directory, error) &&
        std::filesystem::is_empty(directory, error))) {
    Evidence evidence;
    evidence.file = directory.string();
    return Error(ErrorCode::already_exists,
                 directory.string() + " is not an empty directory; back up into a new one",
                 std::move(evidence));
  }
  if (log_->failed()) return log_->failure();
  // Complete, or refused: what is only in the log gets into the base by a checkpoint alone.
  if (options_.read_only && pipeline_->visible() > base_->at().value) {
    Evidence evidence;
    evidence.file = directory_.string();
    return Error(ErrorCode::read_only,
                 directory_.string() +
                     " holds commits that are in its log only, and was opened read-only: open it "
                     "for writing once, then back it up",
                 std::move(evidence));
  }
  if (!options_.read_only) {
    if (auto carried = carry_into_base(); !carried) return carried;
  }
  if (auto ready = engine::Base::prepare_directory(directory, true); !ready) return ready;
  return checkpointer_->exclusive([&]() -> Result<void> {
    auto at = base_->copy_to(directory);
    if (!at) return at.error();
    // The copy begins a log of its own, at what it is at.
    engine::LogOptions options;
    options.segment_bytes = 4096;
    options.fresh = true;
    auto log = engine::CommitLog::open(engine::posix_file_system(), directory / log_directory,
                                       options, base_->database_id(), *at,
                                       [](Timestamp, std::string_view) { return Result<void>(); });
    if (!log) return log.error();
    return {};
  });
}

Result<VerifyReport> DatabaseCore::verify() {
  if (is_inherited()) return inherited();
  return checkpointer_->exclusive([&]() -> Result<VerifyReport> {
    auto base = base_->verify();
    if (!base) return base.error();
    auto log = log_->verify();
    if (!log) return log.error();
    VerifyReport report;
    report.keyspaces = base->keyspaces;
    report.keys = base->keys;
    report.bytes = base->bytes;
    report.log_records = log->records;
    report.log_commits = log->commits;
    report.checkpoint = base_->at();
    return report;
  });
}

Result<void> DatabaseCore::wait_for_room() { return background_->wait_for_room(); }

void DatabaseCore::add_observer(std::shared_ptr<Observer> observer) {
  MutexLock lock(observers_mutex_);
  auto observers = observers_ ? Observers(*observers_) : Observers();
  observers.push_back(std::move(observer));
  observers_ = std::make_shared<const Observers>(std::move(observers));
  observers_version_.fetch_add(1);
  observed_.store(true);
}

void DatabaseCore::remove_observer(const std::shared_ptr<Observer>& observer) {
  MutexLock lock(observers_mutex_);
  auto observers = observers_ ? Observers(*observers_) : Observers();
  std::erase(observers, observer);
  observed_.store(!observers.empty());
  observers_ = std::make_shared<const Observers>(std::move(observers));
  observers_version_.fetch_add(1);
}

bool DatabaseCore::cancel(TransactionId id) {
  bool found = false;
  registry_->for_each([&](Slot& slot) {
    TransactionCore* core = slot.published_core.load();
    if (core != nullptr && id.value != 0 && core->id_if_known() == id) found = core->cancel(id);
  });
  return found;
}

void DatabaseCore::WaitTeller::on_block(const LockOwner& waiter, const BlockEvent& event) {
  database_.notify([&](Observer& observer) { observer.on_block(waiter.event(), event); });
}
void DatabaseCore::WaitTeller::on_wake(const LockOwner& waiter, WakeReason reason) {
  database_.notify([&](Observer& observer) { observer.on_wake(waiter.event(), reason); });
}
void DatabaseCore::WaitTeller::on_sleep(const LockOwner& waiter) {
  database_.notify([&](Observer& observer) { observer.on_sleep(waiter.event()); });
}

void DatabaseCore::WaitTeller::on_resume(const LockOwner& waiter) {
  database_.notify([&](Observer& observer) { observer.on_resume(waiter.event()); });
}
void DatabaseCore::WaitTeller::on_deadlock(const DeadlockReport& report) {
  database_.notify([&](Observer& observer) { observer.on_deadlock(report); });
}
std::string DatabaseCore::WaitTeller::keyspace_name(KeyspaceId id) const {
  return database_.keyspaces_.name_of(id);
}

void DatabaseCore::notify(const std::function<void(Observer&)>& event) const {
  const auto list = observers();
  if (!list) return;
  for (const auto& observer : *list) event(*observer);
}

std::shared_ptr<const DatabaseCore::Observers> DatabaseCore::observers() const {
  MutexLock lock(observers_mutex_);
  return observers_;
}

}  // namespace isolde::mvcc
