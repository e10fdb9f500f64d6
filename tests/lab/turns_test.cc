// Both carriers of turns, with an engine that is played by the test: it says which session blocks,
// and which is woken.
#include "lab/play/turns.h"

#include <boost/test/unit_test.hpp>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "lab/play/fiber_turns.h"
#include "lab/play/thread_turns.h"

namespace isolde::lab {
namespace {

using State = Turns::State;
using Carriers = std::tuple<ThreadTurns, FiberTurns>;

template <typename Carrier>
struct With {
  explicit With(const std::vector<std::string>& names) {
    for (const std::string& name : names) turns.add(name);
  }
  Carrier turns;
};

// A lock wait as the engine would tell of it. Each session's transaction has the session's number,
// plus one, for its id.
class FakeEngine {
 public:
  explicit FakeEngine(Turns& turns) : turns_(turns) {}

  // In a job of `waiter`.
  void wait(std::size_t waiter, const std::vector<std::string>& holders) {
    const LockTarget target{"default", "x", std::nullopt};
    std::vector<LockWaitEdge> edges;
    for (const std::string& holder : holders) {
      LockWaitEdge edge;
      edge.holder.label = holder;
      edges.push_back(edge);
    }
    turns_.on_block(transaction(waiter), {target, LockMode::exclusive, edges});
    turns_.on_sleep(transaction(waiter));
    turns_.on_resume(transaction(waiter));
  }
  // In the thread that ends the wait.
  void wake(std::size_t waiter) { turns_.on_wake(transaction(waiter), WakeReason::granted); }

 private:
  static EventTransaction transaction(std::size_t session) {
    return {TransactionId{session + 1}, "", Isolation::serializable, Locking::pessimistic};
  }
  Turns& turns_;
};

BOOST_AUTO_TEST_SUITE(turns)

BOOST_AUTO_TEST_CASE_TEMPLATE(a_job_runs_to_its_end_before_run_returns, Carrier, Carriers) {
  With<Carrier> with({"A", "B"});
  Turns& turns = with.turns;
  int done = 0;
  BOOST_TEST(bool(turns.run(0, [&] { ++done; }) == State::idle));
  BOOST_TEST(bool(turns.run(1, [&] { ++done; }) == State::idle));
  BOOST_TEST(bool(turns.run(0, [&] { ++done; }) == State::idle));
  BOOST_TEST(done == 3);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_session_that_blocks_gives_its_turn_back_and_says_for_whom_it_waits,
                              Carrier, Carriers) {
  With<Carrier> with({"A", "B", "C"});
  Turns& turns = with.turns;
  FakeEngine engine(turns);
  BOOST_TEST(bool(turns.run(1, [&] {
    engine.wait(1, {"C", "A", "no session"});
  }) == State::blocked));
  BOOST_TEST(turns.blockers(1) == std::vector<std::string>({"A", "C"}),
             boost::test_tools::per_element());
  BOOST_TEST(!turns.next_woken().has_value());
  turns.run(0, [&] { engine.wake(1); });
  BOOST_TEST(turns.next_woken().value() == 1u);
  BOOST_TEST(bool(turns.resume(1) == State::idle));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(the_woken_go_on_one_by_one_whoever_has_been_blocked_for_longest_first,
                              Carrier, Carriers) {
  for (int round = 0; round < 200; ++round) {
    With<Carrier> with({"A", "B", "C", "D"});
    Turns& turns = with.turns;
    FakeEngine engine(turns);
    std::string order;
    for (const std::size_t session : {3, 1, 2}) {
      turns.run(session, [&, session] {
        engine.wait(session, {"A"});
        order += "ABCD"[session];
      });
    }
    turns.run(0, [&] {
      for (const std::size_t session : {2, 3, 1}) engine.wake(session);
      order += "A";  // its operation is not over yet
    });
    BOOST_TEST(order == "A");
    while (const auto woken = turns.next_woken()) turns.resume(*woken);
    BOOST_REQUIRE(order == "ADBC");
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_session_may_block_again_after_it_was_woken, Carrier, Carriers) {
  With<Carrier> with({"A", "B"});
  Turns& turns = with.turns;
  FakeEngine engine(turns);
  turns.run(1, [&] {
    engine.wait(1, {"A"});
    engine.wait(1, {"A"});
  });
  for (const State after : {State::blocked, State::idle}) {
    turns.run(0, [&] { engine.wake(1); });
    BOOST_TEST(bool(turns.resume(turns.next_woken().value()) == after));
  }
}

BOOST_AUTO_TEST_CASE(an_engine_that_lets_the_woken_run_is_held_up_behind_the_operation) {
  With<ThreadTurns> with({"A", "B"});
  Turns& turns = with.turns;
  FakeEngine engine(turns);
  bool went_on = false;
  turns.run(1, [&] {
    engine.wait(1, {"A"});
    turns.pause();
    went_on = true;
  });
  turns.run(0, [&] { engine.wake(1); });
  BOOST_TEST(!went_on);
  turns.resume(turns.next_woken().value());
  BOOST_TEST(went_on);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(waiting_for_a_session_ends_when_the_conductor_says_so, Carrier,
                              Carriers) {
  With<Carrier> with({"A", "B", "C"});
  Turns& turns = with.turns;
  FakeEngine engine(turns);
  BOOST_TEST(bool(turns.run(2, [&] { turns.wait_for("B"); }) == State::idle));  // B is not blocked
  turns.run(1, [&] { engine.wait(1, {"A"}); });
  BOOST_TEST(bool(turns.run(2, [&] { turns.wait_for("B"); }) == State::blocked));
  BOOST_TEST(turns.waits_for_session(2));
  BOOST_TEST(turns.standing(2).other == 1u);
  BOOST_TEST(turns.blockers(2) == std::vector<std::string>({"B"}),
             boost::test_tools::per_element());
  turns.run(0, [&] { engine.wake(1); });
  turns.resume(turns.next_woken().value());
  BOOST_TEST(bool(turns.state(2) == State::blocked));
  turns.end_wait(2);
  BOOST_TEST(bool(turns.resume(turns.next_woken().value()) == State::idle));
}

BOOST_AUTO_TEST_CASE(a_wake_by_time_alone_is_waited_for) {
  With<ThreadTurns> with({"A"});
  Turns& turns = with.turns;
  FakeEngine engine(turns);
  turns.run(0, [&] { engine.wait(0, {"A"}); });
  std::thread clock([&] { engine.wake(0); });
  BOOST_TEST(turns.let_time_pass(0) == 0u);
  BOOST_TEST(turns.is_idle(0));
  clock.join();
}

// The engine may say that the requester blocks before it says that the victim is woken.
BOOST_AUTO_TEST_CASE(who_blocks_by_closing_a_cycle_keeps_the_turn_until_its_victim_is_woken) {
  for (int round = 0; round < 200; ++round) {
    With<ThreadTurns> with({"A", "B"});
    Turns& turns = with.turns;
    FakeEngine engine(turns);
    turns.run(1, [&] { engine.wait(1, {"A"}); });
    std::thread rest;  // what the engine does in A's thread after on_block
    const State state = turns.run(0, [&] {
      DeadlockReport report;
      report.victim = {TransactionId{2}, "B"};
      turns.on_deadlock(report);
      rest = std::thread([&] { engine.wake(1); });
      engine.wait(0, {"B"});
    });
    BOOST_REQUIRE(bool(state == State::blocked));
    BOOST_REQUIRE(turns.next_woken().value_or(9) == 1u);
    rest.join();
    turns.resume(1);
    turns.run(1, [&] { engine.wake(0); });
    turns.resume(turns.next_woken().value());
  }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(a_deadlock_is_kept_for_its_victim, Carrier, Carriers) {
  With<Carrier> with({"A", "B"});
  Turns& turns = with.turns;
  DeadlockReport report;
  report.victim.label = "B";
  report.reason = "it began last";
  turns.on_deadlock(report);
  BOOST_TEST(!turns.take_deadlock(0).has_value());
  BOOST_TEST(turns.take_deadlock(1).value().reason == "it began last");
  BOOST_TEST(!turns.take_deadlock(1).has_value());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace isolde::lab
