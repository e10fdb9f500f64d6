#include "tests/mvcc/schedules.h"

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

void keep_up(TempDatabase& db) {
  db.checkpoint();
  db.reclaim();
}

}  // namespace

Run play(TempDatabase& db, const Schedule& schedule, const std::vector<TransactionOptions>& options,
         const std::vector<std::size_t>& order, Upkeep upkeep) {
  reset(db, schedule.setup);
  if (upkeep != Upkeep::none) keep_up(db);
  Run run;
  run.order = order;
  run.sessions.resize(schedule.sessions.size());
  for (std::size_t position = 0; position < order.size(); ++position) {
    const std::size_t who = order[position];
    Session& session = run.sessions[who];
    if (!session.txn) {
      session.db = &db;
      session.options = options.at(who);
      session.txn.emplace(must(db->begin(session.options)));
    }
    const Step& step = schedule.sessions[who].at(session.results.size());
    const bool ended = session.committed;
    session.results.push_back(step(session));
    session.positions.push_back(position);
    if (session.committed && !ended) session.ended_at = position;
    if (upkeep == Upkeep::between_steps) keep_up(db);
  }
  for (Session& session : run.sessions) {
    session.cursor.reset();
    if (session.txn && session.txn->active()) must(session.txn->rollback());
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
