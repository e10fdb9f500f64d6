#include "tests/support/crash_world.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "mvcc/database_core.h"
#include "tests/support/seed.h"

namespace isolde::test {
namespace {

namespace fs = std::filesystem;

class WatchedFile final : public engine::File {
 public:
  explicit WatchedFile(std::unique_ptr<engine::File> file) : file_(std::move(file)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) override {
    return file_->read_at(offset, buffer);
  }
  Result<void> write_at(std::uint64_t offset, std::span<const std::string_view> pieces) override {
    auto done = file_->write_at(offset, pieces);
    SeededSchedule::pass("file: written");
    return done;
  }
  Result<void> sync_data() override {
    SeededSchedule::pass("file: before sync");
    auto done = file_->sync_data();
    SeededSchedule::pass("file: synced");
    return done;
  }
  Result<std::uint64_t> size() override { return file_->size(); }

 private:
  std::unique_ptr<engine::File> file_;
};

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// LMDB writes a commit's pages, syncs, then writes one of the two pages at the beginning: with
// those from before, the file is what a crash in between leaves.
void write_half_committed(const fs::path& path, const fs::path& before, const fs::path& after) {
  const auto heads = static_cast<std::size_t>(2 * ::sysconf(_SC_PAGESIZE));
  write_file(path, read_file(before).substr(0, heads) + read_file(after).substr(heads));
}

}  // namespace

Result<std::unique_ptr<engine::File>> WatchedFileSystem::open(const fs::path& path,
                                                              engine::OpenMode mode) {
  auto file = files_->open(path, mode);
  if (mode == engine::OpenMode::create_new) SeededSchedule::pass("file: created");
  if (!file) return file.error();
  return std::unique_ptr<engine::File>(std::make_unique<WatchedFile>(std::move(*file)));
}

Result<void> WatchedFileSystem::remove(const fs::path& path) {
  auto done = files_->remove(path);
  SeededSchedule::pass("file: removed");
  return done;
}

Result<std::vector<std::string>> WatchedFileSystem::list(const fs::path& directory) {
  return files_->list(directory);
}

Result<void> WatchedFileSystem::create_directory(const fs::path& directory) {
  return files_->create_directory(directory);
}

Result<void> WatchedFileSystem::sync_directory(const fs::path& directory) {
  auto done = files_->sync_directory(directory);
  SeededSchedule::pass("file: directory synced");
  return done;
}

FastDirectory::FastDirectory() {
  const fs::path memory = "/dev/shm";
  const fs::path parent =
      ::access(memory.c_str(), W_OK | X_OK) == 0 ? memory : fs::temp_directory_path();
  std::string pattern = (parent / "isolde-crash-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) std::abort();
  path_ = pattern;
}

FastDirectory::~FastDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

CrashWorld::CrashWorld(const WorldPlan& plan)
    : plan_(plan),
      random_(plan.seed),
      files_(std::make_unique<WatchedFileSystem>(std::make_unique<FaultFileSystem>(plan.seed))) {}

Options CrashWorld::options() const {
  Options options;
  options.durability = plan_.durability;
  options.log_segment_bytes = 4096;  // the least: many of them
  options.initial_map_bytes = std::size_t{1} << 20;
  options.max_keyspaces = 16;
  options.background_work = false;
  return options;
}

std::string CrashWorld::live() {
  images_.clear();
  std::optional<Database> opened;
  std::string trouble =
      open_and_compare(*files_, history_, least_, most_, derive(plan_.seed, tags_), opened);
  if (!trouble.empty()) return trouble;
  history_.truncate(DatabaseInternals::core(*opened).log().durable().value);
  db_ = std::move(opened);
  const std::uint64_t begun_at = history_.last();
  if (plan_.faults) plan_.faults(files_->faults());
  run_sessions();
  const std::uint64_t appended = DatabaseInternals::core(*db_).log().appended().value;
  take_image("the end of its life");
  DatabaseInternals::abandon(std::move(*db_));
  db_.reset();
  if (!complaints_.empty()) return complaints_.front();
  return resolve(begun_at, appended);
}

void CrashWorld::run_sessions() {
  ledger_ = {};
  ledger_.visible_of_session.assign(plan_.sessions, 0);
  base_copies_.clear();
  places_ = 0;
  complaints_.clear();
  std::vector<CrashSession> sessions;
  std::vector<std::function<void()>> bodies;
  for (std::size_t i = 0; i < plan_.sessions; ++i) {
    CrashSession::Plan plan;
    plan.number = i;
    plan.seed = random_();
    plan.steps = plan_.steps;
    plan.may_fail = static_cast<bool>(plan_.faults);
    sessions.emplace_back(*db_, ledger_, plan, tags_, complaints_);
  }
  bodies.reserve(sessions.size());
  for (CrashSession& session : sessions) bodies.emplace_back([&session] { session.run(); });
  constexpr unsigned switch_percent = 30;
  SeededSchedule schedule(random_(), switch_percent);
  schedule.watch([this](std::string_view place) { watch(place); });
  schedule.run(bodies);
}

void CrashWorld::watch(std::string_view place) {
  mvcc::DatabaseCore& core = DatabaseInternals::core(*db_);
  if (place == "commit: visible") {
    ledger_.visible_of_session[SeededSchedule::self()] = core.pipeline().visible();
  }
  if (place.starts_with("blocked: ")) return;
  if (place == "checkpoint: registered") copy_of_base();
  const bool at_disk = place.starts_with("file: ") || place.starts_with("log: ");
  const bool at_checkpoint = place.starts_with("checkpoint: ") && place != "checkpoint: next chain";
  const unsigned chance = at_checkpoint ? 40 : at_disk ? 6 : 1;
  ++places_;
  if (images_.size() < plan_.images && random_() % 100 < chance) take_image(place);
}

void CrashWorld::take_image(std::string_view place) {
  mvcc::DatabaseCore& core = DatabaseInternals::core(*db_);
  CrashImage image;
  image.files = files_->faults().clone();
  const BaseCopy& base = copy_of_base();
  image.base = base.file;
  image.checkpoint = base.at;
  image.appended = core.log().appended().value;
  image.durable = core.log().durable().value;
  image.acknowledged = ledger_.acknowledged.size();
  image.place = place;
  const auto before = base_copies_.find(core.base().version().value - 1);
  if (place == "checkpoint: applied" && before != base_copies_.end() && random_() % 2 == 0) {
    const fs::path half = image.base.string() + ".half";
    write_half_committed(half, before->second.file, base.file);
    image.base = half;
    image.checkpoint = before->second.at;
    image.place += ", half written";
  }
  images_.push_back(std::move(image));
}

const CrashWorld::BaseCopy& CrashWorld::copy_of_base() {
  const engine::Base& base = DatabaseInternals::core(*db_).base();
  BaseCopy& copy = base_copies_[base.version().value];
  if (copy.file.empty()) {
    copy.file = directory_.path() / ("base-" + std::to_string(++base_copies_made_));
    copy.at = base.at().value;
    write_file(copy.file, read_file(data_file()));
  }
  return copy;
}

// Which commit had which number: those of data are known, those of keyspaces were made by one
// session, so they are the others, in order.
std::string CrashWorld::resolve(std::uint64_t begun_at, std::uint64_t appended) {
  std::vector<std::uint64_t> of_keyspaces;
  for (std::uint64_t commit = begun_at + 1; commit <= appended; ++commit) {
    const auto data = ledger_.data_commits.find(commit);
    if (data != ledger_.data_commits.end()) {
      history_.append(data->second);
    } else if (of_keyspaces.size() < ledger_.keyspace_commits.size()) {
      history_.append({ledger_.keyspace_commits[of_keyspaces.size()]});
      of_keyspaces.push_back(commit);
    } else {
      return "commit " + std::to_string(commit) + " was made by no session";
    }
  }
  if (of_keyspaces.size() != ledger_.keyspace_commits.size()) {
    return "a change of keyspaces has no commit";
  }
  for (CrashImage& image : images_) {
    std::uint64_t promised = begun_at;
    for (std::size_t i = 0; i < image.acknowledged; ++i) {
      const CrashLedger::Acknowledged& answer = ledger_.acknowledged[i];
      std::uint64_t commit = answer.commit;
      if (answer.keyspace_commit > 0) commit = of_keyspaces[answer.keyspace_commit - 1];
      if (!answer.tag.empty()) {
        const auto writer = ledger_.commit_of_tag.find(answer.tag);
        commit = writer != ledger_.commit_of_tag.end() ? writer->second : 0;
      }
      promised = std::max(promised, commit);
    }
    switch (plan_.durability.kind) {
      case Durability::Kind::sync:
        if (promised > image.durable) return "acknowledged, and not durable";
        image.process = image.machine = promised;
        break;
      case Durability::Kind::periodic:
        image.process = image.machine = image.durable;
        break;
      case Durability::Kind::none:
        image.process = promised;
        image.machine = image.checkpoint;
        break;
    }
  }
  return {};
}

void CrashWorld::restore(const CrashImage& image) const {
  write_file(data_file(), read_file(image.base));
}

std::string CrashWorld::base_is_exact(const CrashImage& image) {
  restore(image);
  engine::BaseOptions read_only;
  read_only.read_only = true;
  read_only.initial_map_bytes = options().initial_map_bytes;
  auto base = engine::Base::open(directory(), read_only);
  if (!base) return base.error().to_string();
  if ((*base)->at().value != image.checkpoint) return "the base is at another commit";
  DatabaseContents found;
  engine::BaseView view;
  if (auto opened = view.renew(**base); !opened) return opened.error().to_string();
  for (const engine::KeyspaceInfo& keyspace : (*base)->keyspaces()) {
    Contents& contents = found[keyspace.name];
    engine::BaseCursor cursor;
    if (auto bound = cursor.bind(view, keyspace.id); !bound) return bound.error().to_string();
    for (auto at = cursor.seek(""); at.status == engine::BaseLookup::Status::found;
         at = cursor.next()) {
      contents.emplace(at.key, at.value);
    }
  }
  return first_difference(found, history_.at(image.checkpoint));
}

void CrashWorld::continue_from(const CrashImage& image, const Crash& crash, bool process) {
  restore(image);
  files_ = std::make_unique<WatchedFileSystem>(process ? image.files->clone()
                                                       : image.files->crash(crash));
  files_->faults().clear_faults();
  least_ = promised(image, process);
  most_ = image.appended;
}

std::string CrashWorld::open_and_compare(engine::FileSystem& files, const CommitHistory& history,
                                         std::uint64_t least, std::uint64_t most,
                                         std::uint64_t seed, std::optional<Database>& db) {
  constexpr std::array levels{Isolation::read_uncommitted, Isolation::read_committed,
                              Isolation::repeatable_read, Isolation::serializable};
  ++recoveries_;
  auto opened = DatabaseInternals::open(directory(), options(), files);
  if (!opened) return "it does not open: " + opened.error().to_string();
  const Stats stats = opened->stats();
  std::string trouble;
  const std::uint64_t found = stats.visible.value;
  if (found < least) {
    trouble = "lost: commit " + std::to_string(least) +
              " was acknowledged, the last one found is " + std::to_string(found);
  } else if (found > most) {
    trouble = "commit " + std::to_string(found) + " was found, the last one made is " +
              std::to_string(most);
  } else if (stats.durable != stats.visible) {
    trouble = "recovered, but not durable (L3)";
  } else {
    auto contents = read_everything(*opened, levels[seed % levels.size()]);
    trouble =
        contents ? first_difference(*contents, history.at(found)) : contents.error().to_string();
    if (!trouble.empty()) trouble = "at commit " + std::to_string(found) + ": " + trouble;
  }
  if (trouble.empty() && seed % 8 == 0) {
    if (const auto sound = opened->verify(); !sound) trouble = sound.error().to_string();
  }
  if (trouble.empty()) {
    db = std::move(*opened);
  } else {
    DatabaseInternals::abandon(std::move(*opened));
  }
  return trouble;
}

std::string CrashWorld::commit_more(Database& db, CommitHistory& history, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto keyspace = db.find_keyspace(default_keyspace_name);
  const std::uint64_t count = 1 + random() % 3;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (random() % 4 == 0) {
      if (auto done = db.checkpoint(); !done) return done.error().to_string();
    }
    const std::string value(random() % 10 == 0 ? 5000 : random() % 40, 'm');
    auto txn = db.begin();
    if (!txn) return txn.error().to_string();
    const std::string key = "more" + std::to_string(random() % 3);
    if (auto put = txn->put(*keyspace, key, value); !put) return put.error().to_string();
    auto committed = txn->commit();
    if (!committed) return committed.error().to_string();
    history.append({{CommittedChange::Kind::put, keyspace->name(), key, value}});
    if (committed->value != history.last()) return "a timestamp was given twice, or left out";
  }
  return {};
}

std::string CrashWorld::describe(const CrashImage& image) {
  return "crash at \"" + image.place + "\", base at " + std::to_string(image.checkpoint) +
         ", durable " + std::to_string(image.durable) + ", appended " +
         std::to_string(image.appended) + ", promised " + std::to_string(image.machine) + " and " +
         std::to_string(image.process);
}

std::string CrashWorld::survives(const CrashImage& image, const Crash& crash, bool process,
                                 std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto next_crash = [&] {
    constexpr std::array how{Unsynced::dropped, Unsynced::kept, Unsynced::reordered,
                             Unsynced::cut,     Unsynced::torn, Unsynced::scrambled};
    return Crash{how[random() % how.size()], how[random() % 3], random()};
  };
  restore(image);
  auto files = process ? image.files->clone() : image.files->crash(crash);
  files->clear_faults();
  std::uint64_t least = promised(image, process);
  const std::uint64_t crashed_before = crashed_recoveries_;
  std::optional<Database> db;
  for (unsigned chance = 3; random() % chance == 0; chance += 2) {
    // The power goes off during recovery, or soon after it.
    files->power_off_after(random() % 14);
    auto opened = DatabaseInternals::open(directory(), options(), *files);
    if (opened) DatabaseInternals::abandon(std::move(*opened));
    if (!opened && opened.error().code() != ErrorCode::io_error) {
      return "recovery without power: " + opened.error().to_string();
    }
    files = files->crash(next_crash());
    least = promised(image, false);
    ++crashed_recoveries_;
  }
  CommitHistory history = history_;
  std::string trouble = open_and_compare(*files, history, least, image.appended, random(), db);
  if (!trouble.empty()) {
    return (crashed_recoveries_ > crashed_before ? "recovery cut short, then " : "") + trouble;
  }
  history.truncate(db->stats().visible.value);
  trouble = commit_more(*db, history, random());
  DatabaseInternals::abandon(std::move(*db));
  if (!trouble.empty()) return "after recovery: " + trouble;
  if (plan_.durability.kind != Durability::Kind::sync) return {};
  files = files->crash(next_crash());
  trouble = open_and_compare(*files, history, history.last(), history.last(), random(), db);
  if (!trouble.empty()) return "after a second crash: " + trouble;
  DatabaseInternals::abandon(std::move(*db));
  return {};
}

}  // namespace isolde::test
