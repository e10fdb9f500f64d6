#include "mvcc/lock_table.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>

#include "engine/yield_point.h"

namespace isolde::mvcc {
namespace {

constexpr std::size_t spares_kept = 16;

}  // namespace

KeyLock* KeyLock::create(std::size_t key_bytes) {
  const std::size_t capacity = (key_bytes + 15) / 16 * 16;
  auto* lock = new (::operator new(sizeof(KeyLock) + capacity)) KeyLock;
  lock->capacity = static_cast<std::uint16_t>(capacity);
  return lock;
}

void KeyLock::assign(KeyspaceId in, std::string_view key_text, std::uint64_t key_hash) noexcept {
  hash = key_hash;
  keyspace = in;
  key_bytes = static_cast<std::uint16_t>(key_text.size());
  in_tree = false;
  std::memcpy(reinterpret_cast<char*>(this + 1), key_text.data(), key_text.size());
}

void KeyLock::Delete::operator()(KeyLock* lock) const noexcept {
  lock->~KeyLock();
  ::operator delete(lock);
}

// Steele, Lea, Flood 2014 (SplitMix).
std::uint64_t RangeLock::draw() noexcept {
  constexpr std::uint64_t golden = 0x9e3779b97f4a7c15u;
  static std::atomic<std::uint64_t> drawn{0};
  std::uint64_t mixed = drawn.fetch_add(golden, std::memory_order_relaxed);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
  return mixed ^ (mixed >> 31);
}

LockOwner::~LockOwner() {
  while (spares_ != nullptr) KeyLock::Delete()(std::exchange(spares_, spares_->hash_next));
}

Span LockAsk::span() const {
  if (range == nullptr) return Span::of_key(keyspace, key);
  if (!range->upper) return {keyspace, range->lower, {}, Span::End::infinite};
  return {keyspace, range->lower, *range->upper, Span::End::open};
}

void LockTable::FreeBuckets::operator()(KeyLock** buckets) const noexcept { std::free(buckets); }

LockTable::LockTable(LockListener& listener, const LockLimits& limits)
    : listener_(listener),
      limits_(limits),
      buckets_(static_cast<KeyLock**>(std::calloc(bucket_count, sizeof(void*)))) {
  if (!buckets_) throw std::bad_alloc();
  ring_.reserve(remembered_deadlocks);
}

// What is left belongs to transactions of a database that was abandoned in the middle.
LockTable::~LockTable() {
  std::vector<KeyLock*> left;
  merge_pending();
  keys_.for_each([&](KeyLock& key) { left.push_back(&key); });
  for (KeyLock* key : left) {
    for (Grant* grant = key->grants; grant != nullptr;) {
      Grant* next = grant->next;
      if (grant != &key->first) delete grant;
      grant = next;
    }
    KeyLock::Delete()(key);
  }
  std::vector<RangeLock*> ranges;
  ranges_.for_each([&](RangeLock& range) { ranges.push_back(&range); });
  for (RangeLock* range : ranges) delete range;
}

bool LockTable::is_ahead(const LockRequest& a, const LockRequest& b) noexcept {
  const auto has_passed = [](const LockRequest& one, const LockRequest& other) {
    return std::find(one.passed.begin(), one.passed.end(), other.sequence) != one.passed.end();
  };
  return a.sequence < b.sequence ? !has_passed(b, a) : has_passed(a, b);
}

void LockTable::reserve_spares(LockOwner& owner, const LockAsk& ask) {
  if (ask.range == nullptr &&
      (owner.spares_ == nullptr || owner.spares_->capacity < ask.key.size())) {
    KeyLock* made = KeyLock::create(ask.key.size());
    made->hash_next = owner.spares_;
    owner.spares_ = made;
    ++owner.spare_count_;
  }
  if (!owner.spare_grant_) owner.spare_grant_ = std::make_unique<Grant>();
}

void LockTable::keep_or_free(LockOwner& owner, KeyLock* freed) noexcept {
  while (freed != nullptr) {
    KeyLock* lock = std::exchange(freed, freed->hash_next);
    if (owner.spare_count_ >= spares_kept) {
      KeyLock::Delete()(lock);
      continue;
    }
    lock->hash_next = owner.spares_;
    owner.spares_ = lock;
    ++owner.spare_count_;
  }
}

KeyLock* LockTable::find(const LockAsk& ask) const noexcept {
  for (KeyLock* lock = buckets_[ask.hash & (bucket_count - 1)]; lock != nullptr;
       lock = lock->hash_next) {
    if (lock->hash == ask.hash && lock->keyspace == ask.keyspace && lock->key() == ask.key) {
      return lock;
    }
  }
  return nullptr;
}

KeyLock& LockTable::add_key(LockOwner& owner, const LockAsk& ask) noexcept {
  KeyLock& lock = *std::exchange(owner.spares_, owner.spares_->hash_next);
  --owner.spare_count_;
  lock.assign(ask.keyspace, ask.key, ask.hash);
  KeyLock*& bucket = buckets_[ask.hash & (bucket_count - 1)];
  lock.hash_next = std::exchange(bucket, &lock);
  if (pending_count_ == most_pending) {
    lock.in_tree = true;
    keys_.insert(lock);
    return lock;
  }
  ++pending_count_;
  lock.left = nullptr;
  lock.right = std::exchange(pending_, &lock);
  if (lock.right != nullptr) lock.right->left = &lock;
  return lock;
}

void LockTable::remove_if_idle(KeyLock& key) noexcept {
  if (key.grants != nullptr || key.first_waiter != nullptr) return;
  KeyLock** link = &buckets_[key.hash & (bucket_count - 1)];
  while (*link != &key) link = &(*link)->hash_next;
  *link = key.hash_next;
  if (key.in_tree) {
    keys_.erase(key);
  } else {
    --pending_count_;
    (key.left != nullptr ? key.left->right : pending_) = key.right;
    if (key.right != nullptr) key.right->left = key.left;
  }
  key.hash_next = std::exchange(freed_, &key);
}

void LockTable::merge_pending() noexcept {
  while (pending_ != nullptr) {
    KeyLock& key = *std::exchange(pending_, pending_->right);
    key.in_tree = true;
    keys_.insert(key);
  }
  pending_count_ = 0;
}

// Re-entrance: a lock on the key itself, or a range around it, that is as strong.
bool LockTable::is_covered(const LockOwner& owner, const LockAsk& ask, const KeyLock* key) const {
  for (const Grant* grant = key != nullptr ? key->grants : nullptr; grant != nullptr;
       grant = grant->next) {
    if (grant->owner == &owner) {
      if (grant->mode >= ask.mode) return true;
      break;
    }
  }
  if (owner.ranges_ == nullptr) return false;
  const Span span = ask.span();
  return !ranges_.for_each_overlap(span, [&](const RangeLock& range) {
    return range.owner != &owner || range.waiting || range.mode < ask.mode ||
           !range.span().contains(span);
  });
}

// What stands in the way of a request.
struct LockTable::Obstacles {
  bool any = false;
  std::vector<std::uint64_t> passed;  // waiters that do not, though they came first
};

// W2. A request passes a waiter that waits for the requester: it can't be served before the
// requester has ended anyway, and waiting behind it would be a deadlock that need not be.
//   T1  holds S on x
//   T2  waits for X on x, for T1
//   T1  asks for X on x: behind T2 it would wait for itself
// Here those that wait for it directly, which most do; the others are found by a search, once the
// request is queued: pass_waiters().
LockTable::Obstacles LockTable::find_obstacles(LockOwner& owner, const LockAsk& ask,
                                               const KeyLock* key) {
  Obstacles obstacles;
  std::vector<LockOwner*> ahead;
  for_each_conflict(owner, ask.span(), key, ask.mode, ask.range != nullptr,
                    [&](LockOwner& other, LockMode, bool is_waiting) {
                      if (is_waiting) {
                        ahead.push_back(&other);
                      } else {
                        obstacles.any = true;
                      }
                      return true;
                    });
  const bool holds_something = owner.holds_something();
  for (LockOwner* waiter : ahead) {
    bool passes = false;
    if (holds_something) {
      for_each_blocker(*waiter, [&](const LockOwner& blocker, LockMode, bool) {
        passes = &blocker == &owner;
        return !passes;
      });
    }
    if (passes) {
      obstacles.passed.push_back(waiter->request_.sequence);
    } else {
      obstacles.any = true;
    }
  }
  return obstacles;
}

// W2, of those that wait for the requester through others:
//   T1  holds S on x                      T1  holds S on x, T2 S on y
//   T2  waits for X on x, for T1          T3  waits for X on x, for T1
//   T3  waits for S on x, behind T2       T4  waits for X on y, for T2
//   T1  asks for X on x: behind T3 it     T2  waits for S on x, behind T3
//       would wait for itself             T1  asks for S on y: behind T4 it would wait for itself
void LockTable::pass_waiters(LockOwner& owner) {
  while (const LockOwner* waiter = graph_.find_ahead(owner)) {
    owner.request_.passed.push_back(waiter->request_.sequence);
  }
}

LockTable::Answer LockTable::request(LockOwner& owner, const LockAsk& ask, bool may_wait) {
  reserve_spares(owner, ask);
  std::unique_ptr<RangeLock> range;
  if (ask.range != nullptr) {
    range = std::make_unique<RangeLock>();
    range->owner = &owner;
    range->random = RangeLock::draw();
    range->keyspace = ask.keyspace;
    range->mode = ask.mode;
    range->lower = ask.range->lower;
    range->upper = ask.range->upper;
  }
  Answer answer;
  KeyLock* freed = nullptr;
  std::exception_ptr failure;
  {
    MutexLock lock(mutex_);
    if (owner.is_doomed(owner.id.value)) {
      answer.kind = owner.report_ ? Answer::Kind::deadlock : Answer::Kind::cancelled;
      answer.report = std::move(owner.report_);
      return answer;
    }
    KeyLock* key = ask.range == nullptr ? find(ask) : nullptr;
    if (is_covered(owner, ask, key)) return answer;
    if (owner.count_ >= limits_.locks_per_owner && !widens_own(owner, key, range.get())) {
      answer.kind = Answer::Kind::too_many;
      return answer;
    }
    Obstacles obstacles = find_obstacles(owner, ask, key);
    if (!obstacles.any) {
      if (range) {
        grant_range(owner, std::move(range));
      } else {
        grant_key(owner, key != nullptr ? *key : add_key(owner, ask), ask.mode);
      }
      return answer;
    }
    enqueue(owner, ask, key, std::move(range), std::move(obstacles.passed));
    try {
      if (owner.request_.told) answer.target = target_of(ask.span(), ask.range != nullptr);
      // Nobody can be waiting for one who holds nothing. (One search tells nearly always that there
      // is no cycle, and so nothing to pass either.)
      const bool is_awaited =
          owner.holds_something() &&
          (limits_.strategy != DeadlockStrategy::detect || graph_.reaches(owner, owner));
      if (is_awaited) pass_waiters(owner);
      if (!is_blocked(owner)) {
        add_candidate(owner, candidates_);
      } else if (may_wait && limits_.strategy != DeadlockStrategy::no_wait) {
        judge_wait(owner, answer, is_awaited);
      } else {
        answer.waits_for = edges(owner);
        end_wait(owner, LockRequest::Outcome::none);
        answer.kind = may_wait ? Answer::Kind::deadlock : Answer::Kind::unavailable;
      }
    } catch (...) {
      failure = std::current_exception();
      if (owner.request_.waiting) end_wait(owner, LockRequest::Outcome::none);
    }
    grant_candidates(&owner, answer.aftermath);
    if (answer.kind == Answer::Kind::waits && !owner.request_.waiting) {
      answer.kind = Answer::Kind::granted;
    }
    freed = take_freed();
  }
  keep_or_free(owner, freed);
  if (failure) {
    // Out of memory. Whoever was chosen before must hear of it all the same.
    deliver(answer.aftermath.wakes);
    std::rethrow_exception(failure);
  }
  return answer;
}

void LockTable::enqueue(LockOwner& owner, const LockAsk& ask, KeyLock* key,
                        std::unique_ptr<RangeLock> range, std::vector<std::uint64_t> passed) {
  LockRequest& request = owner.request_;
  request.outcome = LockRequest::Outcome::none;
  request.mode = ask.mode;
  request.sequence = ++sequence_;
  request.passed = std::move(passed);
  request.since = std::chrono::steady_clock::now();
  request.next = nullptr;
  request.key = nullptr;
  request.range = nullptr;
  request.told = listener_.is_observed();
  owner.announcement_.store(request.told ? LockOwner::Announcement::pending
                                         : LockOwner::Announcement::made);
  owner.signalled_.store(false);
  if (range) {
    range->waiting = true;
    request.range = range.release();
    ranges_.insert(*request.range);
  } else {
    request.key = key != nullptr ? key : &add_key(owner, ask);
    LockOwner** link = &request.key->first_waiter;
    while (*link != nullptr) link = &(*link)->request_.next;
    *link = &owner;
  }
  request.waiting = true;
  owner.next_waiter_ = nullptr;
  owner.prior_waiter_ = std::exchange(last_waiter_, &owner);
  (owner.prior_waiter_ != nullptr ? owner.prior_waiter_->next_waiter_ : first_waiter_) = &owner;
  ++waiters_;
}

void LockTable::dequeue(LockOwner& owner) noexcept {
  LockRequest& request = owner.request_;
  request.waiting = false;
  if (request.key != nullptr) {
    LockOwner** link = &request.key->first_waiter;
    while (*link != &owner) link = &(*link)->request_.next;
    *link = request.next;
  } else {
    ranges_.erase(*request.range);
  }
  (owner.prior_waiter_ != nullptr ? owner.prior_waiter_->next_waiter_ : first_waiter_) =
      owner.next_waiter_;
  (owner.next_waiter_ != nullptr ? owner.next_waiter_->prior_waiter_ : last_waiter_) =
      owner.prior_waiter_;
  --waiters_;
}

void LockTable::end_wait(LockOwner& owner, LockRequest::Outcome outcome) noexcept {
  LockRequest& request = owner.request_;
  dequeue(owner);
  request.outcome = outcome;
  if (waiters_ > 0) add_candidates(span_of(request), request.key, request.key == nullptr);
  if (request.key != nullptr) remove_if_idle(*request.key);
  delete std::exchange(request.range, nullptr);
  request.key = nullptr;
}

void LockTable::grant_key(LockOwner& owner, KeyLock& key, LockMode mode) noexcept {
  for (Grant* grant = key.grants; grant != nullptr; grant = grant->next) {
    if (grant->owner != &owner) continue;
    grant->mode = std::max(grant->mode, mode);
    return;
  }
  Grant* grant = key.first.owner == nullptr ? &key.first : owner.spare_grant_.release();
  grant->owner = &owner;
  grant->on = &key;
  grant->mode = mode;
  grant->next = key.grants;
  if (grant->next != nullptr) grant->next->link = &grant->next;
  grant->link = &key.grants;
  key.grants = grant;
  grant->next_of_owner = std::exchange(owner.grants_, grant);
  ++owner.count_;
  ++held_;
}

// Among the last few of the owner's ranges: one that touches another.
RangeLock* LockTable::touching(const LockOwner& owner, const RangeLock& range) noexcept {
  constexpr int looked_at = 4;
  int looked = 0;
  for (RangeLock* own = owner.ranges_; own != nullptr && looked < looked_at;
       own = own->next_of_owner, ++looked) {
    const bool begins_within = !own->upper || range.lower <= *own->upper;
    const bool ends_within = !range.upper || own->lower <= *range.upper;
    if (own->keyspace == range.keyspace && own->mode == range.mode && begins_within &&
        ends_within) {
      return own;
    }
  }
  return nullptr;
}

// True if a request adds to a lock that the owner has, and none to their number.
bool LockTable::widens_own(const LockOwner& owner, const KeyLock* key, const RangeLock* range) {
  if (range != nullptr) return touching(owner, *range) != nullptr;
  const Grant* grant = key != nullptr ? key->grants : nullptr;
  while (grant != nullptr && grant->owner != &owner) grant = grant->next;
  return grant != nullptr;
}

// Grows a range that the owner has, if the new one touches it: who walks a keyspace with a cursor
// holds one range and not one for each step.
void LockTable::grant_range(LockOwner& owner, std::unique_ptr<RangeLock> range) noexcept {
  range->waiting = false;
  if (RangeLock* own = touching(owner, *range)) {
    ranges_.erase(*own);
    if (range->lower < own->lower) own->lower.swap(range->lower);
    if (own->upper && (!range->upper || *own->upper < *range->upper)) own->upper.swap(range->upper);
    ranges_.insert(*own);
    return;
  }
  range->next_of_owner = owner.ranges_;
  owner.ranges_ = range.release();
  ranges_.insert(*owner.ranges_);
  ++owner.count_;
  ++held_;
}

void LockTable::add_candidate(LockOwner& waiter, LockOwner*& candidates) noexcept {
  if (std::exchange(waiter.is_candidate_, true)) return;
  waiter.candidate_next_ = std::exchange(candidates, &waiter);
}

// Those who wait on places that overlap: some of them may have no blocker any more.
void LockTable::add_candidates(const Span& span, const KeyLock* key, bool is_range) noexcept {
  LockOwner* candidates = candidates_;
  const auto of_key = [&](const KeyLock& lock) {
    for (LockOwner* waiter = lock.first_waiter; waiter != nullptr; waiter = waiter->request_.next) {
      add_candidate(*waiter, candidates);
    }
    return true;
  };
  if (key != nullptr) of_key(*key);
  if (is_range) {
    merge_pending();
    keys_.for_each_overlap(span, of_key);
  }
  ranges_.for_each_overlap(span, [&](const RangeLock& range) {
    if (range.waiting) add_candidate(*range.owner, candidates);
    return true;
  });
  candidates_ = candidates;
}

bool LockTable::is_blocked(const LockOwner& waiter) noexcept {
  bool found = false;
  for_each_blocker(waiter, [&](const LockOwner&, LockMode, bool) {
    found = true;
    return false;
  });
  return found;
}

void LockTable::grant_candidates(const LockOwner* requester, Aftermath& aftermath) noexcept {
  while (candidates_ != nullptr) {
    LockOwner& waiter = *std::exchange(candidates_, candidates_->candidate_next_);
    waiter.is_candidate_ = false;
    if (!waiter.request_.waiting) continue;
    if (is_blocked(waiter)) continue;
    LockRequest& request = waiter.request_;
    dequeue(waiter);
    request.outcome = LockRequest::Outcome::granted;
    if (request.key != nullptr) {
      grant_key(waiter, *request.key, request.mode);
    } else {
      grant_range(waiter, std::unique_ptr<RangeLock>(std::exchange(request.range, nullptr)));
    }
    request.key = nullptr;
    if (&waiter == requester) continue;
    waiter.wake_next_ = std::exchange(aftermath.wakes, &waiter);
  }
}

void LockTable::release_grant(Grant& grant) noexcept {
  LockOwner& owner = *grant.owner;
  KeyLock& key = *grant.on;
  owner.grants_ = grant.next_of_owner;
  *grant.link = grant.next;
  if (grant.next != nullptr) grant.next->link = grant.link;
  --held_;
  if (&grant == &key.first) {
    grant.owner = nullptr;
  } else if (!owner.spare_grant_) {
    owner.spare_grant_.reset(&grant);
  } else {
    delete &grant;
  }
  if (waiters_ > 0) add_candidates(key.span(), &key, false);
  remove_if_idle(key);
}

// In pieces, so that a million locks do not keep everybody waiting; who gets one early sees nothing
// that is not visible already (C4).
void LockTable::release_all(LockOwner& owner) noexcept {
  for (bool done = false; !done;) {
    Aftermath aftermath;
    KeyLock* freed = nullptr;
    {
      MutexLock lock(mutex_);
      std::size_t released = 0;
      for (; owner.grants_ != nullptr && released < released_at_once; ++released) {
        release_grant(*owner.grants_);
      }
      for (; owner.ranges_ != nullptr && released < released_at_once; ++released) {
        const std::unique_ptr<RangeLock> range(
            std::exchange(owner.ranges_, owner.ranges_->next_of_owner));
        ranges_.erase(*range);
        --held_;
        if (waiters_ > 0) add_candidates(range->span(), nullptr, true);
      }
      grant_candidates(nullptr, aftermath);
      freed = take_freed();
      done = owner.grants_ == nullptr && owner.ranges_ == nullptr;
      if (done) {
        owner.count_ = 0;
        // An optimist that only gave its locks back may go on: nobody needs them any more.
        owner.report_.reset();
        owner.wounded.store(0);
      }
    }
    ISOLDE_YIELD("locks: released");
    deliver(aftermath.wakes);
    keep_or_free(owner, freed);
  }
}

}  // namespace isolde::mvcc
