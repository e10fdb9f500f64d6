// The locks of one transaction, and what it waits for.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/wait_word.h"
#include "isolde/locks.h"
#include "isolde/observer.h"
#include "isolde/types.h"
#include "mvcc/interval_tree.h"

namespace isolde::mvcc {

class LockOwner;
struct KeyLock;

// A lock that is held on a key.
struct Grant {
  LockOwner* owner = nullptr;  // null: the place in its KeyLock is free
  KeyLock* on = nullptr;
  Grant* next = nullptr;  // of the key
  Grant** link = nullptr;
  Grant* next_of_owner = nullptr;
  LockMode mode = LockMode::shared;
};

// A key that is locked or waited for; the key's bytes follow the struct. Nearly always one
// transaction holds it: its grant is inside.
struct KeyLock {
  KeyLock* hash_next = nullptr;
  std::uint64_t hash = 0;
  KeyLock* left = nullptr;  // of the tree; until it is in there, the list of those to be put in
  KeyLock* right = nullptr;
  Grant* grants = nullptr;
  LockOwner* first_waiter = nullptr;
  Grant first;
  KeyspaceId keyspace;
  std::uint16_t key_bytes = 0;
  std::uint16_t capacity = 0;
  bool in_tree = false;

  std::string_view key() const noexcept {
    return {reinterpret_cast<const char*>(this + 1), key_bytes};
  }
  Span span() const noexcept { return Span::of_key(keyspace, key()); }
  std::uint64_t priority() const noexcept { return hash * 0x9e3779b97f4a7c15u; }

  static KeyLock* create(std::size_t key_bytes);
  void assign(KeyspaceId keyspace, std::string_view key, std::uint64_t hash) noexcept;
  struct Delete {
    void operator()(KeyLock* lock) const noexcept;
  };
};
using KeyLockPtr = std::unique_ptr<KeyLock, KeyLock::Delete>;

// A range with its gaps that one transaction holds or waits for.
struct RangeLock {
  RangeLock* left = nullptr;
  RangeLock* right = nullptr;
  RangeLock* furthest = nullptr;
  LockOwner* owner = nullptr;
  RangeLock* next_of_owner = nullptr;
  std::uint64_t random = 0;
  KeyspaceId keyspace;
  LockMode mode = LockMode::shared;
  bool waiting = false;
  std::string lower;
  std::optional<std::string> upper;

  Span span() const noexcept {
    if (!upper) return {keyspace, lower, {}, Span::End::infinite};
    return {keyspace, lower, *upper, Span::End::open};
  }
  std::uint64_t priority() const noexcept { return random; }
  // For `random`: never the same twice, whichever threads draw. (Equal ones make a tree a list.)
  static std::uint64_t draw() noexcept;
};

// What a waiter asked for, and how that ends.
struct LockRequest {
  enum class Outcome : std::uint8_t { none, granted, deadlock, cancelled, lock_timeout };

  bool waiting = false;  // in a queue
  Outcome outcome = Outcome::none;
  LockMode mode = LockMode::exclusive;
  KeyLock* key = nullptr;             // one of the two
  RangeLock* range = nullptr;         // in the tree; the request's own
  std::uint64_t sequence = 0;         // order of arrival among all requests
  std::vector<std::uint64_t> passed;  // requests that came earlier and are behind it (W2)
  std::chrono::steady_clock::time_point since;
  LockOwner* next = nullptr;  // of the key's queue
  bool told = false;          // on_block was called, so on_wake has to be
};

// Belongs to a transaction's core, and serves one transaction after the other.
//
// Thread safety: who it is (the first group) changes only while it holds nothing and waits for
// nothing, and may be read by whoever finds it in the lock table, under the table's mutex. The
// second group is the table's, under its mutex. The third is as said.
class LockOwner {
 public:
  LockOwner() = default;
  LockOwner(const LockOwner&) = delete;
  LockOwner& operator=(const LockOwner&) = delete;
  ~LockOwner();

  TransactionId id;
  std::string_view label;
  Isolation isolation = Isolation::repeatable_read;
  Locking locking = Locking::optimistic;
  std::uint64_t begun = 0;  // order of begin
  int priority = 0;

  TransactionRef reference() const { return {id, std::string(label)}; }
  EventTransaction event() const { return {id, label, isolation, locking}; }

 private:
  friend class LockTable;
  friend class WaitsForGraph;

  // Under the table's mutex.
  bool holds_something() const noexcept { return grants_ != nullptr || ranges_ != nullptr; }
  Grant* grants_ = nullptr;
  RangeLock* ranges_ = nullptr;
  std::size_t count_ = 0;
  LockRequest request_;
  LockOwner* prior_waiter_ = nullptr;  // all that wait, in the order of arrival
  LockOwner* next_waiter_ = nullptr;
  std::unique_ptr<DeadlockReport> report_;  // why it was chosen
  std::uint64_t search_ = 0;                // the last search that came by
  bool is_left_out_ = false;                // of searches: as good as gone
  LockOwner* reached_from_ = nullptr;
  LockOwner* search_next_ = nullptr;
  LockOwner* candidate_next_ = nullptr;
  bool is_candidate_ = false;
  LockOwner* wake_next_ = nullptr;

  // Whether the observers have been told that it is blocked.
  enum class Announcement : std::uint8_t {
    pending,
    made,       // or there is none to be made
    overtaken,  // its wait has ended before: it tells of that itself, too
  };
  // The waiter sleeps on it until `signalled_`; who ends its wait, until the announcement.
  WaitWord word_;
  std::atomic<bool> signalled_{false};
  std::atomic<Announcement> announcement_{Announcement::made};

  // Its thread's, and while it waits the table's: kept for its next lock, so that nothing is
  // allocated under the mutex, and nothing at all in small transactions.
  KeyLock* spares_ = nullptr;
  std::size_t spare_count_ = 0;
  std::unique_ptr<Grant> spare_grant_;

 public:
  // Keys written so far; by its thread, read by anyone.
  std::atomic<std::size_t> writes{0};
  // The id of the transaction that must not go on: it was cancelled, or wounded by an older one,
  // which is over once it holds no locks. Ids, so that a late one never hits the transaction that
  // uses this owner next; and `doomed` only grows, so that it does not undo what came after it.
  std::atomic<std::uint64_t> doomed{0};
  std::atomic<std::uint64_t> wounded{0};
  bool is_doomed(std::uint64_t transaction) const noexcept {
    return doomed.load() == transaction || wounded.load() == transaction;
  }
};

}  // namespace isolde::mvcc
