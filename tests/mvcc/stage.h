// Sessions on threads of their own, stepped by one that always knows who is blocked: without a
// clock, from the events of waiting alone.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "isolde/isolde.h"

namespace isolde::test {

// Register it as an observer of the database. Thread safety: run() by one thread.
class Stage : public Observer {
 public:
  explicit Stage(std::size_t sessions);
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;
  ~Stage() override;

  // Appends work to what the session has to do, and waits until every session has done all it had,
  // or is blocked. Work of a blocked session is done once it is woken.
  void run(std::size_t session, std::function<void()> work);
  bool is_blocked(std::size_t session);
  // Events of waiting that broke their contract, in words.
  std::vector<std::string> faults();

  void on_block(const EventTransaction& txn, const BlockEvent& event) override;
  void on_wake(const EventTransaction& txn, WakeReason reason) override;
  void on_resume(const EventTransaction& txn) override;
  void on_deadlock(const DeadlockReport& report) override;

  // What was heard since they were last taken: "block A X", "wake A granted", "resume A",
  // "deadlock B", by labels.
  std::vector<std::string> take_events();

 private:
  struct Session {
    std::deque<std::function<void()>> work;
    bool is_running = false;
    bool is_blocked = false;
    bool was_woken = false;  // and has not resumed
    std::condition_variable wanted;
    std::thread thread;
  };
  void serve(std::size_t session);
  bool is_settled() const;

  std::mutex mutex_;
  std::condition_variable settled_;
  std::deque<Session> sessions_;
  std::map<TransactionId, std::size_t> waiters_;
  std::vector<std::string> faults_;
  std::vector<std::string> events_;
  bool stopping_ = false;
};

}  // namespace isolde::test
