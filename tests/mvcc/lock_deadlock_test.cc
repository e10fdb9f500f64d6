// Deadlocks: found when the wait that closes them begins, in cycles of any length and of any kind
// of edge; never one that is none; one victim by the policy, told everything; the others go on.
#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "tests/mvcc/stage.h"
#include "tests/support/temp_database.h"

using namespace isolde;
using namespace isolde::test;

namespace {

constexpr auto rc = Isolation::read_committed;
constexpr auto ser = Isolation::serializable;

Options options_with(VictimPolicy policy, DeadlockStrategy strategy = DeadlockStrategy::detect) {
  Options options = small_options();
  options.durability = Durability::none();
  options.deadlock_victim = policy;
  options.deadlock_strategy = strategy;
  options.lock_timeout = no_lock_timeout;
  return options;
}

// Transactions on a stage, begun in order, with labels "T0", "T1", ...
class Cast {
 public:
  explicit Cast(std::size_t count, Options options = options_with(VictimPolicy::youngest),
                Isolation level = rc, const std::vector<int>& priorities = {})
      : db(options), stage(std::make_shared<Stage>(count)), errors(count) {
    db->add_observer(stage);
    for (std::size_t who = 0; who < count; ++who) {
      TransactionOptions begin;
      begin.isolation = level;
      begin.locking = Locking::pessimistic;
      begin.label = "T" + std::to_string(who);
      if (who < priorities.size()) begin.priority = priorities[who];
      txns.push_back(must(db->begin(begin)));
    }
  }
  ~Cast() {
    for (std::size_t who = 0; who < txns.size(); ++who) rollback(who);
    db->remove_observer(stage);
    for (const std::string& fault : stage->faults()) BOOST_ERROR(fault);
    BOOST_TEST(db->stats().locks_held == 0u);
    BOOST_TEST(db->stats().lock_waiters == 0u);
  }

  // True if it did not have to wait.
  template <typename Work>
  bool play(std::size_t who, Work work) {
    stage->run(who, [this, who, work] {
      const auto result = work(txns[who]);
      if (!result) errors[who] = result.error();
    });
    return !stage->is_blocked(who);
  }
  bool put(std::size_t who, const std::string& key) {
    return play(who, [this, key](Transaction& txn) { return txn.put(db.keyspace(), key, "1"); });
  }
  bool share(std::size_t who, const std::string& key) {
    return play(who,
                [this, key](Transaction& txn) { return txn.get_for_share(db.keyspace(), key); });
  }
  bool scan(std::size_t who, KeyRange range) {
    return play(who, [this, range](Transaction& txn) {
      return txn.scan(db.keyspace(), range, [](std::string_view, std::string_view) {});
    });
  }
  bool commit(std::size_t who) {
    return play(who, [](Transaction& txn) { return txn.commit(); });
  }
  // Waits until a session has done all it was told, however long its timeout.
  void finish(std::size_t who) {
    std::promise<void> done;
    stage->run(who, [&] { done.set_value(); });
    done.get_future().wait();
  }
  bool rollback(std::size_t who) {
    return play(who, [](Transaction& txn) { return txn.rollback(); });
  }
  std::string code(std::size_t who) const {
    return errors[who] ? std::string(name(errors[who]->code())) : "none";
  }
  std::vector<std::size_t> victims() const {
    std::vector<std::size_t> found;
    for (std::size_t who = 0; who < errors.size(); ++who) {
      if (code(who) == "deadlock") found.push_back(who);
    }
    return found;
  }

  TempDatabase db;
  std::shared_ptr<Stage> stage;
  std::vector<Transaction> txns;
  std::vector<std::optional<Error>> errors;
};

std::string key(std::size_t number) { return "k" + std::to_string(number); }

// Each has its key and wants the next one's; the last closes the cycle.
void close_cycle(Cast& cast, std::size_t length) {
  for (std::size_t who = 0; who < length; ++who) BOOST_TEST(cast.put(who, key(who)));
  for (std::size_t who = 0; who + 1 < length; ++who) BOOST_TEST(!cast.put(who, key(who + 1)));
  cast.put(length - 1, key(0));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(lock_deadlock)

BOOST_AUTO_TEST_CASE(cycles_of_two_three_ten_and_a_hundred_have_one_victim_each) {
  for (const std::size_t length : {2u, 3u, 10u, 100u}) {
    Cast cast(length);
    close_cycle(cast, length);
    BOOST_TEST(cast.victims() == std::vector<std::size_t>{length - 1},
               boost::test_tools::per_element());
    const Error& error = *cast.errors[length - 1];
    BOOST_REQUIRE(error.evidence().cycle.size() == length);
    for (std::size_t at = 0; at < length; ++at) {
      const LockWaitEdge& edge = error.evidence().cycle[at];
      const LockWaitEdge& next = error.evidence().cycle[(at + 1) % length];
      BOOST_TEST(edge.holder.id == next.waiter.id);
      BOOST_TEST(edge.target.key.value_or("") == "k" + edge.holder.label.substr(1));
      BOOST_TEST(!edge.queued);
    }
    // The others go on, one after the other.
    for (std::size_t who = length - 1; who-- > 0;) {
      BOOST_TEST(!cast.stage->is_blocked(who));
      BOOST_TEST(cast.commit(who));
      BOOST_TEST(cast.code(who) == "none");
    }
    BOOST_TEST(cast.db->stats().deadlocks == 1u);
  }
}

// Trap 5.
BOOST_AUTO_TEST_CASE(trap_5_upgrade_by_two_holders_is_a_deadlock_and_by_the_only_one_none) {
  {
    Cast cast(2);
    BOOST_TEST(cast.share(0, "a"));
    BOOST_TEST(cast.put(0, "a"));
    BOOST_TEST(!cast.share(1, "a"));
    BOOST_TEST(cast.commit(0));
    BOOST_TEST(cast.victims().empty());
  }
  Cast cast(2);
  BOOST_TEST(cast.share(0, "a"));
  BOOST_TEST(cast.share(1, "a"));
  BOOST_TEST(!cast.put(0, "a"));
  cast.put(1, "a");
  BOOST_TEST(cast.code(1) == "deadlock");
  BOOST_TEST(!cast.stage->is_blocked(0));
  BOOST_TEST(cast.code(0) == "none");
}

// Trap 10: it does not give up at any depth, and it knows the edges that the queue makes.
BOOST_AUTO_TEST_CASE(trap_10_a_waiter_behind_an_incompatible_waiter_is_part_of_the_graph) {
  Cast cast(3);
  BOOST_TEST(cast.share(0, "x"));
  BOOST_TEST(!cast.put(1, "x"));
  BOOST_TEST(cast.put(2, "y"));
  BOOST_TEST(!cast.share(2, "x"));  // goes with T0's lock, but T1 came first
  BOOST_TEST(cast.put(0, "y"));     // T0 -> T2 -> T1 -> T0; T2 is the youngest, and gives y
  BOOST_TEST(cast.victims() == std::vector<std::size_t>{2}, boost::test_tools::per_element());
  const auto& cycle = cast.errors[2]->evidence().cycle;
  BOOST_REQUIRE(cycle.size() == 3u);
  BOOST_TEST(std::count_if(cycle.begin(), cycle.end(),
                           [](const LockWaitEdge& edge) { return edge.queued; }) == 1);
}

BOOST_AUTO_TEST_CASE(a_long_chain_that_is_no_cycle_is_no_deadlock) {
  constexpr std::size_t length = 60;
  Cast cast(length);
  for (std::size_t who = 0; who < length; ++who) BOOST_TEST(cast.put(who, key(who)));
  for (std::size_t who = 0; who + 1 < length; ++who) BOOST_TEST(!cast.put(who, key(who + 1)));
  BOOST_TEST(cast.db->stats().deadlocks == 0u);
  for (std::size_t who = length; who-- > 0;) {
    BOOST_TEST(cast.commit(who));
  }
  BOOST_TEST(cast.victims().empty());
}

BOOST_AUTO_TEST_CASE(ranges_are_part_of_the_graph) {
  Cast cast(2, options_with(VictimPolicy::youngest), ser);
  BOOST_TEST(cast.scan(0, KeyRange::between("a", "c")));
  BOOST_TEST(cast.scan(1, KeyRange::between("x", "z")));
  BOOST_TEST(!cast.put(0, "y"));
  cast.put(1, "b");
  BOOST_TEST(cast.code(1) == "deadlock");
  const auto& cycle = cast.errors[1]->evidence().cycle;
  BOOST_REQUIRE(cycle.size() == 2u);
  for (const LockWaitEdge& edge : cycle) {
    BOOST_TEST((edge.mode == LockMode::exclusive));
    BOOST_TEST((edge.holder_mode == LockMode::shared));
  }
}

BOOST_AUTO_TEST_CASE(a_range_that_waits_for_a_key_is_part_of_the_graph) {
  Cast cast(2, options_with(VictimPolicy::youngest), ser);
  BOOST_TEST(cast.put(0, "a"));
  BOOST_TEST(cast.put(1, "x"));
  BOOST_TEST(!cast.scan(0, KeyRange::from("m")));
  cast.scan(1, KeyRange::between("", "c"));
  BOOST_TEST(cast.code(1) == "deadlock");
  BOOST_REQUIRE(cast.errors[1]->evidence().range.has_value());
  BOOST_TEST(cast.errors[1]->evidence().range->upper.value_or("") == "c");
}

// Two who have scanned a range and then want to change all of it, each for the other's shared lock.
BOOST_AUTO_TEST_CASE(two_upgrades_of_a_range_are_a_deadlock_and_one_is_none) {
  ScanOptions for_update;
  for_update.mode = ReadMode::for_update;
  const auto upgrade = [&](Cast& cast, std::size_t who) {
    return cast.play(who, [&](Transaction& txn) {
      return txn.scan(cast.db.keyspace(), KeyRange::between("a", "c"), for_update,
                      [](std::string_view, std::string_view) {});
    });
  };
  {
    Cast cast(2, options_with(VictimPolicy::youngest), ser);
    BOOST_TEST(cast.scan(0, KeyRange::between("a", "c")));
    BOOST_TEST(upgrade(cast, 0));
    BOOST_TEST(!cast.scan(1, KeyRange::between("b", "d")));
    BOOST_TEST(cast.commit(0));
    BOOST_TEST(cast.victims().empty());
  }
  Cast cast(2, options_with(VictimPolicy::youngest), ser);
  BOOST_TEST(cast.scan(0, KeyRange::between("a", "c")));
  BOOST_TEST(cast.scan(1, KeyRange::between("b", "d")));
  BOOST_TEST(!upgrade(cast, 0));
  upgrade(cast, 1);
  BOOST_TEST(cast.victims() == std::vector<std::size_t>{1}, boost::test_tools::per_element());
  BOOST_TEST(!cast.stage->is_blocked(0));
}

// T1 gives up what it waits for, but nothing that it has: T0 waits for it as for anybody, and the
// cycle that would have been is none.
BOOST_AUTO_TEST_CASE(a_timeout_that_comes_first_leaves_no_cycle_to_be_found) {
  Cast cast(2);
  must(cast.txns[1].set_lock_timeout(std::chrono::milliseconds(1)));
  BOOST_TEST(cast.put(0, key(0)));
  BOOST_TEST(cast.put(1, key(1)));
  cast.put(1, key(0));
  cast.finish(1);
  BOOST_TEST(cast.code(1) == "lock_timeout");
  BOOST_TEST(!cast.put(0, key(1)));
  BOOST_TEST(cast.victims().empty());
  BOOST_TEST(cast.db->stats().deadlocks == 0u);
  BOOST_TEST(cast.commit(1));
  BOOST_TEST(!cast.stage->is_blocked(0));
  BOOST_TEST(cast.code(0) == "none");
}

// T2's request closes a cycle with T0 and one with T1: neither can go on until both are broken.
BOOST_AUTO_TEST_CASE(all_cycles_that_one_request_closes_are_broken) {
  for (const VictimPolicy policy : {VictimPolicy::oldest, VictimPolicy::youngest}) {
    Cast cast(3, options_with(policy));
    BOOST_TEST(cast.share(0, "x"));
    BOOST_TEST(cast.share(1, "x"));
    BOOST_TEST(cast.put(2, "y"));
    BOOST_TEST(!cast.share(0, "y"));
    BOOST_TEST(!cast.share(1, "y"));
    cast.put(2, "x");
    BOOST_TEST(!cast.stage->is_blocked(2));
    if (policy == VictimPolicy::oldest) {
      BOOST_TEST(cast.victims() == (std::vector<std::size_t>{0, 1}),
                 boost::test_tools::per_element());
      BOOST_TEST(cast.db->stats().deadlocks == 2u);
    } else {
      // Its own end breaks both, so nobody else has to pay.
      BOOST_TEST(cast.victims() == std::vector<std::size_t>{2}, boost::test_tools::per_element());
    }
  }
}

BOOST_AUTO_TEST_CASE(the_policy_chooses_the_victim_and_says_why) {
  struct Expectation {
    VictimPolicy policy;
    std::size_t victim;
    std::string why;
  };
  for (const auto& [policy, victim, why] :
       std::vector<Expectation>{{VictimPolicy::youngest, 2, "began last"},
                                {VictimPolicy::oldest, 0, "began first"},
                                {VictimPolicy::requester, 1, "closed the cycle"},
                                {VictimPolicy::fewest_writes, 2, "fewest keys (1)"},
                                {VictimPolicy::lowest_priority, 0, "lowest priority (-7)"}}) {
    Cast cast(3, options_with(policy), rc, {-7, 0, 5});
    for (std::size_t who = 0; who < 3; ++who) BOOST_TEST(cast.put(who, key(who)));
    for (std::size_t who : {0u, 0u, 1u}) {
      BOOST_TEST(cast.put(who, "more" + std::to_string(who)));
    }
    BOOST_TEST(!cast.put(2, key(0)));
    BOOST_TEST(!cast.put(0, key(1)));
    cast.put(1, key(2));
    BOOST_TEST(cast.victims() == std::vector<std::size_t>{victim},
               boost::test_tools::per_element());
    const std::string reason = cast.errors[victim]->evidence().reason;
    BOOST_TEST(reason.find(why) != std::string::npos, reason);
    BOOST_TEST(reason.find(std::string(name(policy))) != std::string::npos, reason);
  }
}

// What was rolled back to a savepoint is not written any more, though its locks are still held.
BOOST_AUTO_TEST_CASE(writes_that_were_undone_do_not_count_for_the_victim) {
  Cast cast(2, options_with(VictimPolicy::fewest_writes));
  BOOST_TEST(cast.put(0, key(0)));
  const Savepoint before = must(cast.txns[1].savepoint());
  for (const std::string& more : {key(1), std::string("m"), std::string("n")}) {
    BOOST_TEST(cast.put(1, more));
  }
  must(cast.txns[1].rollback_to(before));
  BOOST_TEST(!cast.put(1, key(0)));
  BOOST_TEST(cast.put(0, key(1)));
  BOOST_TEST(cast.victims() == std::vector<std::size_t>{1}, boost::test_tools::per_element());
  BOOST_TEST(cast.errors[1]->evidence().reason.find("fewest keys (0)") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_last_64_deadlocks_are_remembered) {
  Cast cast(2);
  const std::shared_ptr<Stage> stage = cast.stage;
  for (int round = 0; round < 70; ++round) {
    for (Transaction& txn : cast.txns) {
      TransactionOptions options;
      options.isolation = rc;
      options.locking = Locking::pessimistic;
      options.label = "T" + std::to_string(&txn - cast.txns.data()) + "." + std::to_string(round);
      txn = must(cast.db->begin(options));
    }
    close_cycle(cast, 2);
    for (std::size_t who = 0; who < 2; ++who) cast.rollback(who);
  }
  const std::vector<DeadlockReport> reports = cast.db->deadlocks();
  BOOST_REQUIRE(reports.size() == 64u);
  for (std::size_t at = 0; at < reports.size(); ++at) {
    BOOST_TEST(reports[at].victim.label == "T1." + std::to_string(at + 6));
  }
  const std::string text = to_text(reports.back());
  BOOST_TEST(text.find("deadlock of 2") != std::string::npos, text);
  BOOST_TEST(text.find("waits for key 'k1'") != std::string::npos, text);
  const std::string dot = to_dot(reports.back());
  BOOST_TEST(dot.find("digraph") == 0u, dot);
  BOOST_TEST(dot.find("->") != std::string::npos, dot);
}

BOOST_AUTO_TEST_CASE(no_wait_lets_nobody_wait) {
  Cast cast(2, options_with(VictimPolicy::youngest, DeadlockStrategy::no_wait));
  BOOST_TEST(cast.put(0, "a"));
  BOOST_TEST(cast.put(1, "a"));
  BOOST_TEST(cast.code(1) == "deadlock");
  BOOST_TEST(cast.errors[1]->evidence().culprit->label == "T0");
  BOOST_TEST(!cast.txns[1].active());
  BOOST_TEST(cast.db->deadlocks().empty());
}

BOOST_AUTO_TEST_CASE(wound_wait_lets_the_older_one_through_and_the_younger_one_wait) {
  Cast cast(3, options_with(VictimPolicy::youngest, DeadlockStrategy::wound_wait));
  BOOST_TEST(cast.put(0, "a"));
  BOOST_TEST(cast.put(1, "b"));
  BOOST_TEST(cast.put(2, "c"));
  BOOST_TEST(!cast.put(2, "a"));  // younger: waits
  BOOST_TEST(cast.code(2) == "none");
  cast.put(1, "c");  // older than T2, which is wounded while it waits
  BOOST_TEST(cast.code(2) == "deadlock");
  BOOST_TEST(!cast.stage->is_blocked(1));
  BOOST_TEST(!cast.put(0, "b"));  // T1 is wounded, and learns of it when it does something
  cast.put(1, "d");
  BOOST_TEST(cast.code(1) == "deadlock");
  BOOST_TEST(cast.errors[1]->evidence().culprit->label == "T0");
  BOOST_TEST(!cast.stage->is_blocked(0));
  BOOST_TEST(cast.code(0) == "none");
  BOOST_TEST(cast.commit(0));
}

BOOST_AUTO_TEST_CASE(with_timeouts_only_a_timeout_breaks_the_cycle) {
  Options options = options_with(VictimPolicy::youngest, DeadlockStrategy::timeout_only);
  Cast cast(2, options);
  must(cast.txns[1].set_lock_timeout(std::chrono::milliseconds(5)));
  close_cycle(cast, 2);
  // Nothing else can happen: T1 gives up, keeps what it has, and commits.
  cast.commit(1);
  cast.finish(1);
  BOOST_TEST(cast.code(1) == "lock_timeout");
  BOOST_TEST(cast.errors[1]->evidence().culprit->label == "T0");
  BOOST_TEST(!cast.stage->is_blocked(0));
  BOOST_TEST(cast.code(0) == "none");
  BOOST_TEST(cast.db->deadlocks().empty());
}

BOOST_AUTO_TEST_SUITE_END()
