#include "tests/mvcc/schedules.h"

#include <atomic>

namespace isolde::test {
namespace {

void reset(TempDatabase& db, const Contents& setup) {
  Transaction txn = db.begin(Isolation::read_committed);
  for (const auto& [key, value] : db.contents()) {
    if (setup.count(key) == 0) must(txn.erase(db.keyspace(), key));
  }
  for (const auto& [key, value] : setup) must(txn.put(db.keyspace(), key, value));
  must(txn.commit());
}

// In the session's thread.
void take(Session& session, const Step& step, std::atomic<std::size_t>& clock) {
  session.positions.push_back(clock++);
  if (!session.txn) {
    auto begun = (*session.db)->begin(session.options);
    if (begun) session.txn.emplace(std::move(*begun));
    if (!session.txn) {
      session.results.push_back(session.note(begun));
      return;
    }
  }
  const bool ended = session.committed;
  session.results.push_back(step(session));
  if (session.committed && !ended) session.ended_at = clock++;
}

void keep_up(TempDatabase& db) {
  db.checkpoint();
  db.reclaim();
}

}  // namespace

Run play(TempDatabase& db, const Schedule& schedule, const std::vector<TransactionOptions>& options,
         const std::vector<std::size_t>& order, Upkeep upkeep, Stage* stage) {
  reset(db, schedule.setup);
  if (upkeep != Upkeep::none) keep_up(db);
  Run run;
  run.order = order;
  run.sessions.resize(schedule.sessions.size());
  for (std::size_t who = 0; who < run.sessions.size(); ++who) {
    run.sessions[who].db = &db;
    run.sessions[who].options = options.at(who);
  }
  std::atomic<std::size_t> clock{0};
  std::vector<std::size_t> issued(run.sessions.size());
  const auto on_its_thread = [&](std::size_t who, const std::function<void()>& work) {
    if (stage != nullptr) {
      stage->run(who, work);
    } else {
      work();
    }
  };
  for (const std::size_t who : order) {
    Session& session = run.sessions[who];
    const Step& step = schedule.sessions[who].at(issued[who]++);
    on_its_thread(who, [&session, &step, &clock] { take(session, step, clock); });
    if (stage != nullptr) session.blocked.resize(issued[who], stage->is_blocked(who));
    if (upkeep == Upkeep::between_steps) keep_up(db);
  }
  for (std::size_t who = 0; who < run.sessions.size(); ++who) {
    Session& session = run.sessions[who];
    on_its_thread(who, [&session] {
      session.cursor.reset();
      if (session.txn && session.txn->active()) session.note(session.txn->rollback());
    });
  }
  for (std::size_t who = 0; stage != nullptr && who < run.sessions.size(); ++who) {
    // Its work refers to this run.
    BOOST_REQUIRE_MESSAGE(!stage->is_blocked(who), "blocked for ever: " << db->locks().to_text());
  }
  run.final = db.contents();
  return run;
}

std::string Run::story() const {
  std::string told;
  std::vector<std::size_t> next(sessions.size());
  for (const std::size_t who : order) {
    told += std::string(1, static_cast<char>('A' + who)) + std::to_string(next[who] + 1) + "[" +
            sessions[who].results.at(next[who]) + "] ";
    ++next[who];
  }
  return told + "final " + text(final);
}

namespace {

void interleave(std::vector<std::size_t>& left, std::vector<std::size_t>& order,
                const std::function<void(const std::vector<std::size_t>&)>& visit) {
  bool done = true;
  for (std::size_t session = 0; session < left.size(); ++session) {
    if (left[session] == 0) continue;
    done = false;
    --left[session];
    order.push_back(session);
    interleave(left, order, visit);
    order.pop_back();
    ++left[session];
  }
  if (done) visit(order);
}

}  // namespace

void each_interleaving(const std::vector<std::size_t>& steps,
                       const std::function<void(const std::vector<std::size_t>&)>& visit) {
  std::vector<std::size_t> left = steps;
  std::vector<std::size_t> order;
  interleave(left, order, visit);
}

}  // namespace isolde::test
