// Schedules on sessions: steps of several transactions, played in every order.
//
// An optimistic step never waits, so that an interleaving is a plain loop on one thread. With
// pessimists each session has a thread (stage.h): the next step is played when every session has
// done its own or is blocked, and what a blocked session was to do it does once it is woken.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/mvcc/stage.h"
#include "tests/support/temp_database.h"

namespace isolde::test {

// One transaction of a run, and what its steps answered.
struct Session {
  TempDatabase* db = nullptr;
  TransactionOptions options;
  std::optional<Transaction> txn;  // begun by its first step
  std::optional<Cursor> cursor;
  std::vector<std::string> results;    // of each step: a value, "absent", entries, "ok", a code
  std::vector<std::size_t> positions;  // of each step in the run: when it began
  std::vector<bool> blocked;           // whether it had to wait
  std::optional<Error> error;          // the last one that says something

  bool committed = false;
  Timestamp commit_at;
  std::size_t ended_at = 0;  // after the commit, if committed

  const std::string& operator[](std::size_t step) const { return results.at(step); }

  // Keeps the error, for evidence.
  template <typename T>
  std::string note(const Result<T>& result) {
    // That it has ended is known from what ended it.
    const bool says_more = !result && result.error().code() != ErrorCode::transaction_finished;
    if (!result && (says_more || !error)) error = result.error();
    return outcome(result);
  }
};

using Step = std::function<std::string(Session&)>;

namespace steps {

inline std::string shown(const Result<std::optional<std::string_view>>& read, Session& session) {
  if (!read) return session.note(read);
  return *read ? std::string(**read) : "absent";
}
inline Step begin() {
  return [](Session&) { return std::string("ok"); };
}
inline Step get(std::string key) {
  return [key](Session& s) { return shown(s.txn->get(s.db->keyspace(), key), s); };
}
inline Step get_for_update(std::string key) {
  return [key](Session& s) { return shown(s.txn->get_for_update(s.db->keyspace(), key), s); };
}
inline Step get_for_share(std::string key) {
  return [key](Session& s) { return shown(s.txn->get_for_share(s.db->keyspace(), key), s); };
}
inline Step put(std::string key, std::string value) {
  return [key, value](Session& s) { return s.note(s.txn->put(s.db->keyspace(), key, value)); };
}
// What an earlier step of the session read, plus `delta`: the write of an application that
// computes.
inline Step put_sum(std::string key, std::size_t step, int delta) {
  return [key, step, delta](Session& s) {
    const std::string& read = s.results.at(step);
    if (read.empty() || !(read[0] == '-' || (read[0] >= '0' && read[0] <= '9'))) return read;
    return s.note(s.txn->put(s.db->keyspace(), key, std::to_string(std::stoi(read) + delta)));
  };
}
inline Step insert(std::string key, std::string value) {
  return [key, value](Session& s) { return s.note(s.txn->insert(s.db->keyspace(), key, value)); };
}
inline Step erase(std::string key) {
  return [key](Session& s) { return s.note(s.txn->erase(s.db->keyspace(), key)); };
}
inline Step add(std::string key, std::int64_t delta) {
  return [key, delta](Session& s) { return s.note(s.txn->add(s.db->keyspace(), key, delta)); };
}
inline Step add_and_get(std::string key, std::int64_t delta) {
  return [key, delta](Session& s) {
    const auto sum = s.txn->add_and_get(s.db->keyspace(), key, delta);
    return sum ? std::to_string(*sum) : s.note(sum);
  };
}
inline Step scan(KeyRange range, ScanOptions options = {}) {
  return [range, options](Session& s) {
    std::string seen;
    const auto count = s.txn->scan(s.db->keyspace(), range, options,
                                   [&](std::string_view key, std::string_view value) {
                                     if (!seen.empty()) seen += ' ';
                                     seen.append(key).append("=").append(value);
                                   });
    return count ? seen : s.note(count);
  };
}
// Opens the session's cursor if there is none, and returns the next entry's value.
inline Step next(KeyRange range, ScanOptions options = {}) {
  return [range, options](Session& s) -> std::string {
    if (!s.cursor) {
      auto opened = s.txn->cursor(s.db->keyspace(), range, options);
      if (!opened) return s.note(opened);
      s.cursor.emplace(std::move(*opened));
    }
    const auto entry = s.cursor->next();
    if (!entry) return s.note(entry);
    return *entry ? std::string((*entry)->value) : "absent";
  };
}
inline Step commit() {
  return [](Session& s) {
    const auto result = s.txn->commit();
    s.committed = result.has_value();
    if (result) s.commit_at = *result;
    return s.note(result);
  };
}
// Commits in the same step: nothing comes between. Answers what `step` did.
inline Step then_commit(Step step) {
  return [step = std::move(step)](Session& s) {
    const std::string result = step(s);
    commit()(s);
    return result;
  };
}
inline Step rollback() {
  return [](Session& s) { return s.note(s.txn->rollback()); };
}

}  // namespace steps

// What happened in one interleaving.
struct Run {
  std::vector<Session> sessions;
  std::vector<std::size_t> order;  // whose step came when
  Contents final;

  const Session& operator[](std::size_t session) const { return sessions.at(session); }
  bool all_committed() const {
    for (const Session& session : sessions) {
      if (!session.committed) return false;
    }
    return true;
  }
  std::string value(const std::string& key) const {
    const auto found = final.find(key);
    return found == final.end() ? "absent" : found->second;
  }
  std::string story() const;  // for messages
};

// A schedule's sessions and what is there before them.
struct Schedule {
  Contents setup;
  std::vector<std::vector<Step>> sessions;
};

// What is done to the store between the steps of a run: readers must not notice.
enum class Upkeep { none, before, between_steps };

// Plays the sessions in one order, from the setup. Sessions that have not ended roll back. With a
// stage (which observes the database) they may block.
Run play(TempDatabase& db, const Schedule& schedule, const std::vector<TransactionOptions>& options,
         const std::vector<std::size_t>& order, Upkeep upkeep = Upkeep::none,
         Stage* stage = nullptr);

// Calls `visit` with each interleaving of sessions that have so many steps.
void each_interleaving(const std::vector<std::size_t>& steps,
                       const std::function<void(const std::vector<std::size_t>&)>& visit);

}  // namespace isolde::test
