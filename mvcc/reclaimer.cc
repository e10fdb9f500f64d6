#include "mvcc/reclaimer.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "engine/yield_point.h"
#include "mvcc/planted_fault.h"

namespace isolde::mvcc {
namespace {

constexpr int chains_in_a_slice = 256;
constexpr int tries_while_pending = 64;
constexpr std::uint64_t fewest_superseded_worth_a_pass = 1024;
constexpr std::uint64_t few_chains = 4096;
constexpr std::uint64_t most_garbage_bytes = std::uint64_t{16} << 20;

// True if a deterministic test runs the threads: turns that change nothing only make it long.
bool is_under_test() noexcept {
#ifdef ISOLDE_YIELD_POINTS
  return yield_hook.load(std::memory_order_relaxed) != nullptr;
#else
  return false;
#endif
}

// Room for so many more, grown as if they were put in one by one.
template <typename T>
void make_room(std::vector<T>& vector, std::size_t more) {
  if (vector.capacity() - vector.size() >= more) return;
  vector.reserve(std::max(vector.size() + more, 2 * vector.capacity()));
}

// True if a live snapshot sees the version: s with version <= s < the next newer one.
bool is_seen(const LiveSet& live, std::uint64_t commit, std::uint64_t next_newer) {
  const auto first = std::lower_bound(live.snapshots.begin(), live.snapshots.end(), commit);
  return first != live.snapshots.end() && *first < next_newer;
}

}  // namespace

Reclaimer::Reclaimer(VersionStore& store, SnapshotRegistry& registry, CommitPipeline& pipeline,
                     engine::CommitLog& log, engine::Base& base, std::size_t max_version_memory)
    : store_(store),
      registry_(registry),
      pipeline_(pipeline),
      log_(log),
      base_(base),
      max_version_memory_(max_version_memory) {
  reached_.push_back({base.version().value, base.at().value});
}

Reclaimer::~Reclaimer() {
  for (Retired& retired : retired_) destroy(retired);
  destroy(open_);
}

void Reclaimer::spoil(Retired& retired) noexcept {
  const auto overwrite = [](Version& version) {
    std::memset(const_cast<char*>(version.value().data()), '~', version.size);
  };
  for (Version* version : retired.versions) overwrite(*version);
  for (Chain* chain : retired.chains) overwrite(*chain->newest.load());
}

void Reclaimer::destroy(Retired& retired) noexcept {
  for (Version* version : retired.versions) Version::destroy(version);
  for (Chain* chain : retired.chains) DestroyChain{}(chain);
}

bool Reclaimer::is_worth_a_pass() const noexcept {
  if (pass_wanted_.load(std::memory_order_relaxed)) return true;
  // A pass visits every chain: let at least a quarter as many versions be superseded in between,
  // and as many as there are chains if they are no great burden until then.
  const std::uint64_t superseded =
      store_.superseded() - superseded_at_last_pass_.load(std::memory_order_relaxed);
  const std::uint64_t chains = store_.chains();
  if (superseded >= std::max(fewest_superseded_worth_a_pass, chains)) return true;
  const std::uint64_t old_bytes = store_.old_bytes();
  if (old_bytes > max_version_memory_) return true;
  return superseded >= std::max(fewest_superseded_worth_a_pass, chains / 4) &&
         old_bytes >=
             old_bytes_after_last_pass_.load(std::memory_order_relaxed) + most_garbage_bytes;
}

bool Reclaimer::has_news() {
  MutexLock lock(mutex_);
  if (!retired_.empty()) free_retired();
  if (store_.chains() == 0) return false;
  LiveSet live;
  std::uint64_t durable = 0;
  if (!collect(live, durable)) return true;
  const bool news =
      live.snapshots.front() != oldest_at_last_pass_ || live.oldest_view != view_at_last_pass_;
  // Beside commits the oldest snapshot changes all the time, and a pass costs going over all chains
  // (and putting the new ones in order): let there be something that it may be good for.
  const std::uint64_t superseded = store_.superseded();
  const bool quiet = std::exchange(superseded_at_last_look_, superseded) == superseded;
  const std::uint64_t chains = store_.chains();
  if (!news || (chains > few_chains && left_at_last_pass_ < chains / 16 && !quiet)) return false;
  oldest_at_last_pass_ = live.snapshots.front();
  view_at_last_pass_ = live.oldest_view;
  return true;
}

void Reclaimer::run() noexcept {
  try {
    pass();
    ISOLDE_YIELD("reclaim: pass done");
    // A pass that had to stop for a pending slot says nothing about what the oldest snapshot pins.
    while (!pass_wanted_.load(std::memory_order_relaxed) && enforce_memory_limit()) pass();
  } catch (const std::bad_alloc&) {
    pass_wanted_.store(true, std::memory_order_relaxed);
  }
}

// Only a snapshot below what is durable pins anything that could go.
bool Reclaimer::enforce_memory_limit() {
  if (store_.old_bytes() <= max_version_memory_) return false;
  const auto oldest = registry_.oldest();
  if (oldest.slot == nullptr || oldest.snapshot >= log_.durable().value) return false;
  return SnapshotRegistry::mark_too_old(oldest);
}

void Reclaimer::pass() {
  superseded_at_last_pass_.store(store_.superseded(), std::memory_order_relaxed);
  pass_wanted_.store(false, std::memory_order_relaxed);
  registry_.take_idle_views(false);
  store_.merge_pending();
  std::string key;
  KeyspaceId keyspace{0};
  std::uint64_t held = 0;
  for (;;) {
    ISOLDE_YIELD("reclaim: before slice");
    MutexLock lock(mutex_);
    const bool more = slice(key, keyspace, held);
    free_retired();
    if (!more) break;
  }
  old_bytes_after_last_pass_.store(store_.old_bytes(), std::memory_order_relaxed);
  MutexLock lock(mutex_);
  left_at_last_pass_ = held + store_.versions() - std::min(store_.versions(), store_.chains());
  seal_retired();
  free_retired();
}

bool Reclaimer::collect(LiveSet& live, std::uint64_t& durable) {
  for (int tries = 0; tries < tries_while_pending; ++tries) {
    live = {};
    const auto read_visible = [&] {
      const std::uint64_t visible = pipeline_.visible();
      durable = std::min(log_.durable().value, visible);
      live.snapshots.insert(live.snapshots.begin(), {durable, visible});
      ISOLDE_YIELD("reclaim: visible read");
    };
    if (!is_planted(PlantedFault::visible_after_slots)) read_visible();
    live.snapshots.insert(live.snapshots.end(), steps_.begin(), steps_.end());
    registry_.collect(live);
    if (is_planted(PlantedFault::visible_after_slots)) {
      ISOLDE_YIELD("reclaim: slots seen");
      read_visible();
    }
    if (!live.pending || is_planted(PlantedFault::pending_ignored)) return true;
    ISOLDE_YIELD("reclaim: pending");
    if (is_under_test()) return false;
    std::this_thread::yield();
  }
  return false;
}

// The newest commit that every live view of the base has (I3).
std::uint64_t Reclaimer::base_reaches(const LiveSet& live) const {
  std::uint64_t at = 0;
  for (const Reached& reached : reached_) {
    if (reached.version <= live.oldest_view) at = reached.at;
  }
  return at;
}

bool Reclaimer::slice(std::string& key, KeyspaceId& keyspace, std::uint64_t& held) {
  LiveSet live;
  std::uint64_t durable = 0;
  if (!collect(live, durable)) {
    pass_wanted_.store(true, std::memory_order_relaxed);
    return false;
  }
  ISOLDE_YIELD("reclaim: live set collected");
  const std::uint64_t in_every_view =
      is_planted(PlantedFault::dropped_under_views) ? reached_.back().at : base_reaches(live);
  const std::uint64_t in_base = reached_.back().at;
  const std::uint64_t oldest = live.snapshots.front();
  if (is_planted(PlantedFault::reclaimed_too_early)) live.snapshots = {live.snapshots.back()};
  std::vector<Candidate> candidates;
  ChainWalk walk(store_.order().first_at_or_after({keyspace, key}));
  for (int n = 0; walk.at() != nullptr && n < chains_in_a_slice; ++n, walk.step()) {
    Chain& chain = *walk.at();
    prune(chain, live, durable);
    Version* newest = chain.newest.load();
    if (newest->commit <= in_every_view && newest->commit <= oldest) {
      candidates.push_back({&chain, newest});
    } else if (newest->commit <= in_base) {
      ++held;
    }
  }
  const bool more = walk.at() != nullptr;
  if (more) {
    key = walk.at()->key();
    keyspace = walk.at()->keyspace;
  }
  if (!candidates.empty()) drop(candidates);
  return more;
}

void Reclaimer::prune(Chain& chain, const LiveSet& live, std::uint64_t durable) {
  const std::uint64_t all_above = std::min(durable, live.keep_above);
  Version* kept = chain.newest.load();
  while (Version* version = kept->older.load()) {
    if (version->commit > all_above || is_seen(live, version->commit, kept->commit)) {
      kept = version;
      continue;
    }
    // First the place to note it: what is unlinked and not noted is never freed.
    make_room(open_.versions, 1);
    ISOLDE_YIELD("reclaim: before unlink");
    // The unlinked version keeps its own link: a reader who stands on it goes on (R5).
    kept->older.store(version->older.load());
    store_.forget_version(*version, true);
    open_.versions.push_back(version);
  }
}

void Reclaimer::drop(const std::vector<Candidate>& candidates) {
  ISOLDE_YIELD("reclaim: before drop");
  std::vector<Chain*> dropped;
  dropped.reserve(candidates.size());
  make_room(open_.chains, candidates.size());
  for (const Candidate& candidate : candidates) store_.expect_unlink(*candidate.chain);
  {
    MutexLock lock(pipeline_.mutex());
    for (const Candidate& candidate : candidates) {
      // Installed to since it was looked at: no longer what the base has.
      const bool unchanged = candidate.chain->newest.load() == candidate.newest;
      if (unchanged || is_planted(PlantedFault::drop_not_rechecked)) {
        dropped.push_back(candidate.chain);
      }
    }
    store_.unlink(dropped);
  }
  // Nobody installs to what is unlinked.
  for (Chain* chain : dropped) {
    const Version* newest = chain->newest.load();
    for (const Version* version = newest; version != nullptr; version = version->older.load()) {
      store_.forget_version(*version, version != newest);
    }
    open_.chains.push_back(chain);
  }
}

// From here on no new reader can reach what is open: those inside an operation now are the last.
void Reclaimer::seal_retired() {
  if (open_.versions.empty() && open_.chains.empty()) return;
  ISOLDE_YIELD("reclaim: before seal");
  open_.busy = registry_.busy_slots();
  if (is_planted(PlantedFault::freed_at_once)) spoil(open_);
  retired_.emplace_back();
  retired_.back() = std::exchange(open_, {});
}

void Reclaimer::free_retired() {
  if (!retired_.empty()) ISOLDE_YIELD("reclaim: before free");
  while (!retired_.empty() && SnapshotRegistry::all_left(retired_.front().busy)) {
    destroy(retired_.front());
    retired_.pop_front();
  }
  if (open_.versions.size() + open_.chains.size() >= 16'384) seal_retired();
}

std::vector<std::uint64_t> Reclaimer::begin_checkpoint(
    const std::function<std::uint64_t()>& highest) {
  MutexLock lock(mutex_);
  const std::uint64_t from = base_.at().value;
  steps_.reserve(64);  // at most as many as a timestamp has bits
  for (std::uint64_t to = highest(); to > from; to = from + (to - from) / 2) {
    steps_.push_back(to);
  }
  if (is_planted(PlantedFault::step_not_registered)) return std::exchange(steps_, {});
  return steps_;
}

void Reclaimer::give_up_checkpoint() noexcept {
  MutexLock lock(mutex_);
  steps_.clear();
  pass_wanted_.store(true, std::memory_order_relaxed);
}

void Reclaimer::note_base_version() {
  MutexLock lock(mutex_);
  reached_.push_back({base_.version().value, base_.at().value});
}

void Reclaimer::end_checkpoint() {
  MutexLock lock(mutex_);
  steps_.clear();
  reached_.push_back({base_.version().value, base_.at().value});
  // Versions older than what any view still shows say no more than the first that is left.
  const LiveSet live = [&] {
    LiveSet set;
    registry_.collect(set);
    return set;
  }();
  ISOLDE_YIELD("checkpoint: views seen");
  while (reached_.size() > 2 && reached_[1].version <= live.oldest_view && !live.pending) {
    reached_.pop_front();
  }
  pass_wanted_.store(true, std::memory_order_relaxed);
}

}  // namespace isolde::mvcc
