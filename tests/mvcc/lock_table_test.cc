// The lock table alone, against the simplest one that could be right: a list of what everybody
// holds and waits for, looked through from end to end at every step.
#include "mvcc/lock_table.h"

#include <malloc.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "mvcc/version_store.h"
#include "tests/support/seed.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;
using mvcc::LockAsk;
using mvcc::LockOwner;
using mvcc::LockTable;

namespace {

constexpr KeyspaceId keyspace{1};
constexpr LockMode shared = LockMode::shared;
constexpr LockMode exclusive = LockMode::exclusive;
using Kind = LockTable::Answer::Kind;

struct Unobserved : mvcc::LockListener {
  bool is_observed() const noexcept override { return false; }
  void on_block(const LockOwner&, const BlockEvent&) override {}
  void on_wake(const LockOwner&, WakeReason) override {}
  void on_resume(const LockOwner&) override {}
  void on_deadlock(const DeadlockReport&) override {}
  std::string keyspace_name(KeyspaceId) const override { return "default"; }
};

struct Place {
  std::string lower;
  std::optional<std::string> upper;  // of a range
  bool is_range = false;

  static Place of_key(std::string key) { return {std::move(key), {}, false}; }
  static Place of_range(std::string lower, std::optional<std::string> upper) {
    return {std::move(lower), std::move(upper), true};
  }
  // Keys are one letter, bounds too.
  bool covers(char key) const {
    if (!is_range) return lower[0] == key;
    return key >= lower[0] && (!upper || key < (*upper)[0]);
  }
};

LockAsk ask_for(const Place& place, KeyRange& range, LockMode mode) {
  LockAsk ask;
  ask.keyspace = keyspace;
  ask.mode = mode;
  if (place.is_range) {
    range = {place.lower, place.upper};
    ask.range = &range;
  } else {
    ask.key = place.lower;
    ask.hash = mvcc::VersionStore::hash(keyspace, place.lower);
  }
  return ask;
}

// Who holds what, letter by letter ('a' to 'j', and the gaps behind them up to 'j' as "a+").
class Reference {
 public:
  struct Request {
    std::size_t owner;
    Place place;
    LockMode mode;
    std::set<std::size_t> passed;  // serial numbers
    std::size_t serial;
  };

  explicit Reference(std::size_t owners) : holds_(owners) {}

  // Points are the letters and the gaps between them: what two places have in common.
  static std::set<int> points(const Place& place) {
    std::set<int> found;
    for (int point = 0; point < 20; ++point) {
      const char letter = static_cast<char>('a' + point / 2);
      const bool is_gap = point % 2 == 1;
      if (!place.is_range && is_gap) continue;
      if (place.covers(letter)) found.insert(point);
    }
    return found;
  }
  static bool overlap(const Place& a, const Place& b) {
    const std::set<int> left = points(a);
    const std::set<int> right = points(b);
    return std::any_of(left.begin(), left.end(), [&](int p) { return right.count(p) != 0; });
  }
  static bool conflict(LockMode a, LockMode b) { return a == exclusive || b == exclusive; }

  bool holds_against(std::size_t owner, const Place& place, LockMode mode) const {
    return std::any_of(holds_[owner].begin(), holds_[owner].end(), [&](const auto& held) {
      return conflict(held.second, mode) && overlap(held.first, place);
    });
  }
  bool covers(std::size_t owner, const Place& place, LockMode mode) const {
    return std::any_of(holds_[owner].begin(), holds_[owner].end(), [&](const auto& held) {
      if (held.second < mode) return false;
      if (!held.first.is_range) return !place.is_range && held.first.lower == place.lower;
      if (!place.is_range) return held.first.covers(place.lower[0]);
      return held.first.lower <= place.lower &&
             (!held.first.upper || (place.upper && *place.upper <= *held.first.upper));
    });
  }
  bool is_ahead(const Request& a, const Request& b) const {
    return a.serial < b.serial ? b.passed.count(a.serial) == 0 : a.passed.count(b.serial) != 0;
  }
  std::set<std::size_t> blockers(const Request& request) const {
    std::set<std::size_t> found;
    for (std::size_t other = 0; other < holds_.size(); ++other) {
      if (other != request.owner && holds_against(other, request.place, request.mode)) {
        found.insert(other);
      }
    }
    for (const Request& other : queue_) {
      if (other.owner != request.owner && conflict(other.mode, request.mode) &&
          overlap(other.place, request.place) && is_ahead(other, request)) {
        found.insert(other.owner);
      }
    }
    return found;
  }
  const Request* waiting(std::size_t owner) const {
    for (const Request& request : queue_) {
      if (request.owner == owner) return &request;
    }
    return nullptr;
  }
  bool reaches(std::size_t from, std::size_t to) const {
    std::set<std::size_t> seen{from};
    std::vector<std::size_t> left{from};
    while (!left.empty()) {
      const std::size_t at = left.back();
      left.pop_back();
      const Request* request = waiting(at);
      if (request == nullptr) continue;
      for (const std::size_t next : blockers(*request)) {
        if (next == to) return true;
        if (seen.insert(next).second) left.push_back(next);
      }
    }
    return false;
  }

  // Queues it; the caller settles deadlocks, then calls grant().
  void ask(std::size_t owner, const Place& place, LockMode mode) {
    if (covers(owner, place, mode)) return;
    Request request{owner, place, mode, {}, ++serial_};
    for (const Request& other : queue_) {
      if (!conflict(other.mode, mode) || !overlap(other.place, place)) continue;
      if (reaches(other.owner, owner)) request.passed.insert(other.serial);
    }
    queue_.push_back(request);
  }
  void grant() {
    for (bool changed = true; std::exchange(changed, false);) {
      for (std::size_t at = 0; at < queue_.size(); ++at) {
        if (!blockers(queue_[at]).empty()) continue;
        holds_[queue_[at].owner].push_back({queue_[at].place, queue_[at].mode});
        queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(at));
        changed = true;
        break;
      }
    }
  }
  void leave_queue(std::size_t owner) {
    std::erase_if(queue_, [&](const Request& request) { return request.owner == owner; });
  }
  void release(std::size_t owner) { holds_[owner].clear(); }

  // Who holds each point, and in which mode; and who waits.
  std::string picture() const {
    std::string text;
    for (int point = 0; point < 20; ++point) {
      for (std::size_t owner = 0; owner < holds_.size(); ++owner) {
        std::optional<LockMode> mode;
        for (const auto& [place, held] : holds_[owner]) {
          if (points(place).count(point) != 0) mode = std::max(mode.value_or(held), held);
        }
        if (mode)
          text += std::to_string(point) + ":" + std::to_string(owner) +
                  (*mode == exclusive ? "X " : "S ");
      }
    }
    std::set<std::size_t> waiters;
    for (const Request& request : queue_) waiters.insert(request.owner);
    for (const std::size_t owner : waiters) text += "waits " + std::to_string(owner) + " ";
    return text;
  }

  std::vector<std::vector<std::pair<Place, LockMode>>> holds_;

 private:
  std::vector<Request> queue_;
  std::size_t serial_ = 0;
};

// The same picture of the real one.
std::string picture_of(LockTable& table, std::size_t owners) {
  Reference shown(owners);
  const LockState state = table.state();
  for (const HeldLock& held : state.held) {
    const Place place = held.target.key
                            ? Place::of_key(*held.target.key)
                            : Place::of_range(held.target.range->lower, held.target.range->upper);
    shown.holds_[held.holder.id.value - 1].push_back({place, held.mode});
  }
  std::string text = shown.picture();
  std::set<std::size_t> waiters;
  for (const AwaitedLock& wait : state.awaited) waiters.insert(wait.waiter.id.value - 1);
  for (const std::size_t owner : waiters) text += "waits " + std::to_string(owner) + " ";
  return text;
}

struct World {
  Unobserved listener;
  LockTable table;
  std::deque<LockOwner> owners;

  explicit World(std::size_t count = 8, mvcc::LockLimits limits = {})
      : table(listener, limits), owners(count) {
    for (std::size_t owner = 0; owner < count; ++owner) {
      owners[owner].id = TransactionId{owner + 1};
      owners[owner].begun = owner + 1;
      owners[owner].locking = Locking::pessimistic;
    }
  }
  ~World() {
    for (std::size_t round = 0; round < 2; ++round) {
      for (LockOwner& owner : owners) {
        table.cancel(owner, owner.id);
        table.release_all(owner);
      }
    }
  }
  LockTable::Answer ask(std::size_t owner, const Place& place, LockMode mode,
                        bool may_wait = true) {
    KeyRange range;
    auto answer = table.request(owners[owner], ask_for(place, range, mode), may_wait);
    table.settle(answer.aftermath);
    return answer;
  }
  Kind key(std::size_t owner, const std::string& name, LockMode mode, bool may_wait = true) {
    return ask(owner, Place::of_key(name), mode, may_wait).kind;
  }
  bool waits(std::size_t owner) {
    const LockState state = table.state();
    return std::any_of(state.awaited.begin(), state.awaited.end(),
                       [&](const AwaitedLock& wait) { return wait.waiter.id == owners[owner].id; });
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(lock_table)

BOOST_AUTO_TEST_CASE(shared_locks_go_together_and_exclusive_ones_with_nobodys) {
  World world;
  BOOST_TEST((world.key(0, "a", shared) == Kind::granted));
  BOOST_TEST((world.key(1, "a", shared) == Kind::granted));
  BOOST_TEST((world.key(2, "a", exclusive, false) == Kind::unavailable));
  BOOST_TEST((world.key(2, "b", exclusive) == Kind::granted));
  BOOST_TEST((world.key(0, "b", shared, false) == Kind::unavailable));
}

BOOST_AUTO_TEST_CASE(a_lock_is_re_entrant_and_grows) {
  World world;
  for (int round = 0; round < 2; ++round) {
    BOOST_TEST((world.key(0, "a", shared) == Kind::granted));
    BOOST_TEST((world.key(0, "a", exclusive) == Kind::granted));
  }
  BOOST_TEST(world.table.counts().held == 1u);
  BOOST_TEST((world.key(1, "a", shared, false) == Kind::unavailable));
}

BOOST_AUTO_TEST_CASE(readers_do_not_overtake_a_writer_that_waits) {
  World world;
  BOOST_TEST((world.key(0, "a", shared) == Kind::granted));
  BOOST_TEST((world.key(1, "a", exclusive) == Kind::waits));
  BOOST_TEST((world.key(2, "a", shared) == Kind::waits));
  world.table.release_all(world.owners[0]);
  BOOST_TEST(!world.waits(1));
  BOOST_TEST(world.waits(2));
  world.table.release_all(world.owners[1]);
  BOOST_TEST(!world.waits(2));
}

// W2: the widening holder goes before those who wait for it, through others too.
BOOST_AUTO_TEST_CASE(an_upgrade_passes_the_queue_that_waits_for_it) {
  World world;
  BOOST_TEST((world.key(0, "a", shared) == Kind::granted));
  BOOST_TEST((world.key(1, "a", exclusive) == Kind::waits));
  BOOST_TEST((world.key(2, "a", shared) == Kind::waits));
  BOOST_TEST((world.key(0, "a", exclusive) == Kind::granted));
  BOOST_TEST(world.table.counts().deadlocks == 0u);
}

BOOST_AUTO_TEST_CASE(an_upgrade_that_waits_for_another_reader_is_ahead_of_the_queue) {
  World world;
  BOOST_TEST((world.key(0, "a", shared) == Kind::granted));
  BOOST_TEST((world.key(3, "a", shared) == Kind::granted));
  BOOST_TEST((world.key(1, "a", exclusive) == Kind::waits));
  BOOST_TEST((world.key(2, "a", shared) == Kind::waits));
  BOOST_TEST((world.key(0, "a", exclusive) == Kind::waits));
  world.table.release_all(world.owners[3]);
  BOOST_TEST(!world.waits(0));
  BOOST_TEST(world.waits(1));
  BOOST_TEST(world.waits(2));
  BOOST_TEST(world.table.counts().deadlocks == 0u);
}

// W2, of those who wait for the requester through others. Two readers have x and y, two writers
// wait for them, and each reader asks for the other's key: a long fork, and no deadlock.
BOOST_AUTO_TEST_CASE(a_request_passes_who_waits_for_it_through_others) {
  for (const DeadlockStrategy strategy :
       {DeadlockStrategy::detect, DeadlockStrategy::wound_wait, DeadlockStrategy::timeout_only}) {
    for (const bool may_wait : {true, false}) {
      mvcc::LockLimits limits;
      limits.strategy = strategy;
      World world(5, limits);
      BOOST_TEST((world.key(0, "x", shared) == Kind::granted));
      BOOST_TEST((world.key(2, "y", shared) == Kind::granted));
      BOOST_TEST((world.key(1, "x", exclusive) == Kind::waits));
      BOOST_TEST((world.key(3, "y", exclusive) == Kind::waits));
      BOOST_TEST((world.key(2, "x", shared) == Kind::waits));  // nobody waits for it through 1
      BOOST_TEST((world.key(4, "y", shared) == Kind::waits));  // a stranger
      BOOST_TEST((world.key(0, "y", shared, may_wait) == Kind::granted));
      BOOST_TEST(world.table.counts().deadlocks == 0u);
      world.table.release_all(world.owners[0]);
      BOOST_TEST(!world.waits(1));
      world.table.release_all(world.owners[1]);
      BOOST_TEST(!world.waits(2));
      BOOST_TEST(world.waits(3));
      BOOST_TEST(world.waits(4));
      world.table.release_all(world.owners[2]);
      BOOST_TEST(!world.waits(3));
      BOOST_TEST(world.waits(4));
    }
  }
}

// One that has to wait for a holder is ahead of them all the same.
BOOST_AUTO_TEST_CASE(who_waits_for_a_holder_passes_who_waits_for_it_through_others) {
  World world(5);
  const Place range = Place::of_range("y", std::nullopt);
  BOOST_TEST((world.key(0, "x", shared) == Kind::granted));
  BOOST_TEST((world.key(2, "y", shared) == Kind::granted));
  BOOST_TEST((world.key(4, "z", exclusive) == Kind::granted));
  BOOST_TEST((world.key(1, "x", exclusive) == Kind::waits));
  BOOST_TEST((world.ask(3, range, exclusive).kind == Kind::waits));
  BOOST_TEST((world.key(2, "x", shared) == Kind::waits));
  BOOST_TEST((world.ask(0, range, shared).kind == Kind::waits));  // for 4, and not for 3
  world.table.release_all(world.owners[4]);
  BOOST_TEST(!world.waits(0));
  BOOST_TEST(world.waits(3));
  BOOST_TEST(world.table.counts().deadlocks == 0u);
}

BOOST_AUTO_TEST_CASE(a_range_stops_what_falls_into_its_gaps_and_nothing_else) {
  World world;
  BOOST_TEST((world.ask(0, Place::of_range("b", "d"), shared).kind == Kind::granted));
  for (const auto& [key, expected] :
       std::vector<std::pair<std::string, Kind>>{{"a", Kind::granted},
                                                 {"azzz", Kind::granted},
                                                 {"b", Kind::unavailable},
                                                 {"c", Kind::unavailable},
                                                 {"czzz", Kind::unavailable},
                                                 {"d", Kind::granted}}) {
    BOOST_TEST((world.key(1, key, exclusive, false) == expected), key);
    BOOST_TEST((world.key(2, key + "'", shared, false) == Kind::granted), key);
  }
  BOOST_TEST((world.ask(3, Place::of_range("c", std::nullopt), exclusive, false).kind ==
              Kind::unavailable));
  BOOST_TEST((world.ask(3, Place::of_range("c", std::nullopt), shared, false).kind ==
              Kind::unavailable));  // d is locked exclusively
  BOOST_TEST((world.ask(3, Place::of_range("b", "d"), shared, false).kind == Kind::granted));
}

// Who walks a keyspace with a cursor holds one range.
BOOST_AUTO_TEST_CASE(ranges_that_touch_are_one_lock) {
  mvcc::LockLimits limits;
  limits.locks_per_owner = 2;
  World world(2, limits);
  for (char at = 'a'; at < 'j'; ++at) {
    const std::string lower(1, at);
    const std::string upper(1, static_cast<char>(at + 1));
    BOOST_TEST((world.ask(0, Place::of_range(lower, upper), shared).kind == Kind::granted));
  }
  BOOST_TEST(world.table.counts().held == 1u);
  BOOST_TEST((world.key(0, "z", shared) == Kind::granted));
  BOOST_TEST((world.key(0, "y", shared) == Kind::too_many));
  BOOST_TEST((world.key(0, "z", exclusive) == Kind::granted));  // none more
  BOOST_TEST((world.ask(0, Place::of_range("j", "k"), shared).kind == Kind::granted));
  BOOST_TEST((world.key(1, "e", exclusive, false) == Kind::unavailable));
}

BOOST_AUTO_TEST_CASE(it_does_what_the_simplest_one_would_do) {
  const std::uint64_t seed = test::seed();
  BOOST_TEST_MESSAGE("ISOLDE_SEED=" << seed);
  std::mt19937_64 random(seed);
  const auto draw = [&](std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
  };
  std::size_t deadlocks = 0;
  for (std::size_t run = 0; run < 60 * test::scale(); ++run) {
    constexpr std::size_t count = 8;
    mvcc::LockLimits limits;
    limits.victim = VictimPolicy::requester;
    World world(count, limits);
    Reference reference(count);
    std::string story;
    for (std::size_t step = 0; step < 120; ++step) {
      const std::size_t owner = draw(count);
      const std::string name = std::to_string(owner);
      const bool is_waiting = world.waits(owner);
      if (is_waiting || draw(6) == 0) {
        story += name + " ends; ";
        world.table.cancel(world.owners[owner], world.owners[owner].id);
        world.owners[owner].doomed.store(0);
        reference.leave_queue(owner);
        reference.grant();
        if (!is_waiting || draw(2) == 0) {
          world.table.release_all(world.owners[owner]);
          reference.release(owner);
          reference.grant();
        }
      } else {
        const char first = static_cast<char>('a' + draw(8));
        Place place = Place::of_key(std::string(1, first));
        if (draw(3) == 0) {
          const char last = static_cast<char>(first + 1 + draw(3));
          place =
              Place::of_range(std::string(1, first),
                              draw(6) == 0 ? std::nullopt : std::optional(std::string(1, last)));
        }
        const LockMode mode = draw(2) == 0 ? shared : exclusive;
        story += name + (mode == shared ? " S " : " X ") + place.lower +
                 (place.is_range ? ".." + place.upper.value_or("") : "") + "; ";
        const Kind kind = world.ask(owner, place, mode).kind;
        reference.ask(owner, place, mode);
        // The requester is the victim of every cycle: there is one exactly if it reaches itself.
        const bool is_deadlock = reference.reaches(owner, owner);
        BOOST_REQUIRE_MESSAGE((kind == Kind::deadlock) == is_deadlock, story);
        if (is_deadlock) {
          ++deadlocks;
          reference.leave_queue(owner);
          reference.grant();
          world.table.release_all(world.owners[owner]);
          reference.release(owner);
        }
        reference.grant();
        BOOST_REQUIRE_MESSAGE((kind == Kind::waits) == (reference.waiting(owner) != nullptr),
                              story);
      }
      const std::string expected = reference.picture();
      const std::string found = picture_of(world.table, count);
      BOOST_REQUIRE_MESSAGE(found == expected,
                            story << "\nis       " << found << "\nshould be " << expected);
    }
    // Whoever does not wait ends, until all have: nobody is left waiting.
    for (bool any_waits = true; std::exchange(any_waits, false);) {
      std::vector<std::size_t> running;
      for (std::size_t owner = 0; owner < count; ++owner) {
        if (world.waits(owner)) {
          any_waits = true;
        } else {
          running.push_back(owner);
        }
      }
      BOOST_REQUIRE_MESSAGE(!running.empty(), story << "all wait for each other");
      for (const std::size_t owner : running) world.table.release_all(world.owners[owner]);
    }
    BOOST_REQUIRE_MESSAGE(world.table.counts().held == 0u, story << "locks are left");
  }
  BOOST_TEST(deadlocks > 0u);
}

// Ids tell one transaction of an owner from the next. The cancellation of one that has ended in the
// meantime comes late:
//   Canceller  finds T5 alive
//   T5         ends; T9 begins in its place, and is cancelled
//   Canceller  goes on
BOOST_AUTO_TEST_CASE(a_late_cancellation_does_not_undo_the_next_one) {
  World world(2);
  LockOwner& owner = world.owners[0];
  owner.id = TransactionId{9};
  world.table.cancel(owner, TransactionId{9});
  world.table.cancel(owner, TransactionId{5});
  BOOST_TEST((world.key(0, "a", shared) == Kind::cancelled));
  owner.id = TransactionId{12};
  BOOST_TEST((world.key(0, "a", shared) == Kind::granted));
}

// An optimist whose commit timed out has given its locks back and may try again. That an older one
// wounded it in between, to get these locks, is over then.
BOOST_AUTO_TEST_CASE(who_has_given_back_what_it_was_wounded_for_goes_on) {
  mvcc::LockLimits limits;
  limits.strategy = DeadlockStrategy::wound_wait;
  World world(2, limits);
  BOOST_TEST((world.key(1, "a", exclusive) == Kind::granted));
  BOOST_TEST((world.key(0, "a", exclusive) == Kind::waits));
  BOOST_TEST(world.owners[1].is_doomed(2));
  world.table.release_all(world.owners[1]);
  BOOST_TEST(!world.waits(0));
  BOOST_TEST(!world.owners[1].is_doomed(2));
  BOOST_TEST((world.key(1, "b", exclusive) == Kind::granted));
}

BOOST_AUTO_TEST_CASE(who_is_wounded_and_then_cancelled_hears_of_the_deadlock) {
  mvcc::LockLimits limits;
  limits.strategy = DeadlockStrategy::wound_wait;
  World world(2, limits);
  BOOST_TEST((world.key(1, "a", exclusive) == Kind::granted));
  BOOST_TEST((world.key(0, "a", exclusive) == Kind::waits));
  world.table.cancel(world.owners[1], world.owners[1].id);
  const LockTable::Answer answer = world.ask(1, Place::of_key("b"), exclusive);
  BOOST_TEST((answer.kind == Kind::deadlock));
  BOOST_REQUIRE(answer.report);
  BOOST_TEST(answer.report->victim.id == world.owners[1].id);
  world.table.release_all(world.owners[1]);
  BOOST_TEST((world.key(1, "b", exclusive) == Kind::cancelled));
}

// What is taken from the heap in all, as the allocator counts it.
std::size_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

BOOST_AUTO_TEST_CASE(a_million_locks_take_200_MB_at_most_and_are_released_at_once) {
  const std::size_t before = heap_bytes();
  World world(2);
  const std::size_t count = sanitized ? 20'000 : 1'000'000;
  for (std::size_t n = 0; n < count; ++n) {
    // 16 bytes, as in the benchmarks.
    const std::string name = std::to_string(1'000'000'000'000'000 + n);
    BOOST_REQUIRE((world.key(0, name, exclusive) == Kind::granted));
  }
  const std::size_t taken = heap_bytes() - before;
  BOOST_TEST_MESSAGE(taken / count << " bytes a lock");
  BOOST_TEST(world.table.counts().held == count);
  if (!sanitized) {
    BOOST_TEST(taken <= 200'000'000u);
    BOOST_TEST(taken >= 16 * count, "the allocator was not asked");
  }
  // A range of another finds them in order, whatever it is; it does not have to see to it first.
  BOOST_TEST(world.table.counts().pending <= 1024u);
  BOOST_TEST((world.ask(1, Place::of_range("x", std::nullopt), shared).kind == Kind::granted));
  BOOST_TEST((world.ask(1, Place::of_range("1", "2"), shared, false).kind == Kind::unavailable));
  BOOST_TEST((world.key(1, "1000000000000007", shared) == Kind::waits));
  world.table.release_all(world.owners[0]);
  BOOST_TEST(!world.waits(1));
  BOOST_TEST(world.table.counts().held == 2u);
  if (!sanitized) BOOST_TEST(heap_bytes() - before < 20'000'000u);
}

BOOST_AUTO_TEST_SUITE_END()
