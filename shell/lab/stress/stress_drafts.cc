#include "lab/stress/stress_drafts.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "lab/play/inner_places.h"

namespace isolde::lab {
namespace {

using Texts = std::vector<std::string>;

// engine/yield_point.h: where what a thread has done so far and what it will do can be told apart.
constexpr std::array<std::string_view, 9> places_of_commits{
    "commit: before critical section",
    "commit: validated outside",
    "commit: validated",
    "commit: one installed",
    "commit: installed",
    "commit: visible",
    "commit: before private copies go",
    "commit: no chain",
    "commit: base image fetched",
};
constexpr std::array<std::string_view, 10> places_of_reads{
    "read: pending",      "read: before view", "read: view open",     "read: before visible",
    "read: visible read", "read: published",   "read: before lookup", "read: version found",
    "read: no chain",     "scan: merged",
};
constexpr std::array<std::string_view, 5> places_of_upkeep{
    "checkpoint: next chain", "checkpoint: applied",         "reclaim: view taken",
    "reclaim: visible read",  "reclaim: live set collected",
};

constexpr std::array<std::string_view, 4> levels{"ru", "rc", "rr", "ser"};
constexpr std::array<std::string_view, 2> lockings{"optimistic", "pessimistic"};

class Drafting {
 public:
  Drafting(Workload workload, std::mt19937_64& random) : workload_(workload), random_(random) {}

  Draft draft() && {
    choose_mix();
    set_up();
    const std::size_t sessions = 2 + draw(3);
    std::vector<Texts> texts(sessions);
    for (Texts& session : texts) {
      const std::size_t transactions = 1 + draw(2);
      for (std::size_t i = 0; i < transactions; ++i) add_transaction(session);
    }
    weave(texts);
    if (chance(25)) add_old_snapshot(sessions, sessions + 1);
    add_upkeep(sessions);
    add_holds();
    draft_.moves.push_back({sessions + 2, "scan *"});
    if (second_keyspace_) draft_.moves.push_back({sessions + 2, "in other scan *"});
    return std::move(draft_);
  }

 private:
  std::size_t draw(std::size_t below) { return random_() % below; }
  bool chance(std::size_t percent) { return draw(100) < percent; }
  template <typename Choices>
  auto one_of(const Choices& choices) {
    return choices[draw(choices.size())];
  }

  // Most plays are of one level, which is where its promise is the strictest.
  void choose_mix() {
    mixed_levels_ = chance(30);
    mixed_lockings_ = chance(40);
    level_ = chance(50) ? "ser" : one_of(levels);
    locking_ = one_of(lockings);
    few_values_ = chance(35);
    second_keyspace_ = chance(10);
  }

  std::string begin() {
    return fmt::format("begin {} {}", mixed_levels_ ? one_of(levels) : level_,
                       mixed_lockings_ ? one_of(lockings) : locking_);
  }

  // The same again and again, so that a key may be set to what it was; or never twice.
  std::string value() {
    if (few_values_) return std::to_string(1 + draw(2));
    return std::to_string(++values_);
  }

  std::string key(std::string_view prefix, std::size_t count) {
    return fmt::format("{}{}", prefix, 1 + draw(count));
  }

  std::string somewhere(std::string text) {
    if (second_keyspace_ && chance(40)) return "in other " + text;
    return text;
  }

  std::string_view locking_read() {
    if (!chance(20)) return "";
    return chance(70) ? " for update" : " for share";
  }

  void set_up() {
    if (second_keyspace_) draft_.setup.emplace_back("keyspace other");
    const auto put = [this](std::string_view prefix, std::size_t count) {
      for (std::size_t i = 1; i <= count; ++i) {
        if (chance(70)) draft_.setup.push_back(fmt::format("put {}{} {}", prefix, i, value()));
      }
    };
    if (workload_ == Workload::predicate || workload_ == Workload::queue) {
      put("p/", 3);
    } else {
      put("x", 3);
    }
    if (chance(30)) draft_.setup.emplace_back("checkpoint");
  }

  Texts body() {
    switch (workload_) {
      case Workload::list_append:
        return list_append();
      case Workload::rw_register:
      case Workload::durability:
        return rw_register();
      case Workload::bank:
        return bank();
      case Workload::long_fork:
        return long_fork();
      case Workload::predicate:
        return predicate();
      case Workload::queue:
        return queue();
    }
    return {};
  }

  Texts list_append() {
    Texts texts;
    for (std::size_t i = 1 + draw(2); i > 0; --i) {
      const std::string list = key("x", 2);
      texts.push_back(fmt::format("get {}{}", list, locking_read()));
      if (chance(80)) texts.push_back(fmt::format("put {} {}", list, value()));
    }
    return texts;
  }

  Texts rw_register() {
    Texts texts;
    for (std::size_t i = 1 + draw(4); i > 0; --i) {
      const std::string register_key = key("x", 3);
      const std::size_t kind = draw(10);
      if (kind < 5) {
        texts.push_back(somewhere(fmt::format("get {}{}", register_key, locking_read())));
      } else if (kind < 8) {
        texts.push_back(somewhere(fmt::format("put {} {}", register_key, value())));
      } else if (kind == 8) {
        texts.push_back(somewhere(fmt::format("del {}", register_key)));
      } else {
        texts.push_back(somewhere(fmt::format("cas {} {} {}", register_key, value(), value())));
      }
    }
    return texts;
  }

  Texts bank() {
    if (chance(30)) return {"sum x*"};
    const std::size_t from = 1 + draw(3);
    const std::size_t to = 1 + (from + draw(2)) % 3;
    if (chance(30)) {
      const std::string_view word = from == 1 ? "add_and_get" : "add";
      return {fmt::format("{} x{} -1", word, from), fmt::format("{} x{} 1", word, to)};
    }
    const std::string_view how = locking_read();
    return {fmt::format("get x{}{}", from, how), fmt::format("get x{}{}", to, how),
            fmt::format("put x{} {}", from, value()), fmt::format("put x{} {}", to, value())};
  }

  Texts long_fork() {
    if (chance(50)) return {fmt::format("put {} {}", key("x", 2), value())};
    Texts texts{"get x1", "get x2"};
    if (chance(50)) std::swap(texts[0], texts[1]);
    return texts;
  }

  Texts predicate() {
    constexpr std::array<std::string_view, 4> ranges{"p/*", "*", "p/1..p/3", "p/2..p/9"};
    Texts texts;
    if (chance(85)) {
      texts.push_back(
          fmt::format("{} {}{}", chance(50) ? "count" : "scan", one_of(ranges), locking_read()));
    }
    if (chance(10)) {
      texts = {"open c scan p/*", "next c", "next c"};
    }
    const std::size_t kind = draw(4);
    if (kind == 0) texts.push_back(fmt::format("insert {} {}", key("p/", 5), value()));
    if (kind == 1) texts.push_back(fmt::format("del {}", key("p/", 5)));
    if (kind == 2) texts.push_back(fmt::format("put {} {}", key("p/", 5), value()));
    if (chance(25)) texts.push_back(fmt::format("get {}", key("p/", 5)));
    return texts;
  }

  Texts queue() {
    if (chance(30)) return {fmt::format("insert {} {}", key("p/", 6), value())};
    Texts texts{fmt::format("scan p/* limit {}{}", 1 + draw(2), chance(50) ? " for update" : "")};
    texts.push_back(fmt::format("del {}", key("p/", 3)));
    return texts;
  }

  void add_transaction(Texts& session) {
    Texts texts = body();
    if (chance(10)) {
      texts.emplace_back("savepoint s");
      texts.push_back(fmt::format("put x1 {}", value()));
      texts.emplace_back("rollback to s");
    }
    session.push_back(begin());
    std::move(texts.begin(), texts.end(), std::back_inserter(session));
    session.emplace_back(chance(8) ? "rollback" : "commit");
    if (chance(10)) session.emplace_back("retry");
  }

  // A random order that leaves each session's own as it is; now and then one session goes on for a
  // while.
  void weave(const std::vector<Texts>& texts) {
    std::vector<std::size_t> next(texts.size());
    std::vector<std::size_t> left;
    left.reserve(texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) left.push_back(i);
    const std::size_t stays = draw(80);
    std::size_t at = draw(left.size());
    while (!left.empty()) {
      if (at >= left.size() || !chance(stays)) at = draw(left.size());
      const std::size_t session = left[at];
      draft_.moves.push_back({session, texts[session][next[session]++]});
      if (next[session] == texts[session].size()) {
        left.erase(left.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
  }

  void insert(std::size_t place, std::size_t session, std::string text) {
    draft_.moves.insert(draft_.moves.begin() + static_cast<std::ptrdiff_t>(place),
                        {session, std::move(text)});
  }

  void insert_somewhere(std::size_t session, std::string text) {
    insert(draw(draft_.moves.size() + 1), session, std::move(text));
  }

  // Behind the end of some transaction, if one ends there: what was seen until then has just been
  // superseded.
  void insert_behind_an_end(std::size_t from, std::size_t session, std::string text) {
    std::vector<std::size_t> ends;
    for (std::size_t i = from; i < draft_.moves.size(); ++i) {
      if (is_end(draft_.moves[i].text)) ends.push_back(i);
    }
    if (ends.empty()) return insert_somewhere(session, std::move(text));
    insert(one_of(ends) + 1, session, std::move(text));
  }

  // A session that reads early and again at last, while others commit and versions are reclaimed:
  // those that only an old snapshot still sees are the ones to lose.
  void add_old_snapshot(std::size_t upkeep, std::size_t session) {
    const bool serializable = chance(50);
    const std::size_t begin = draw(1 + draft_.moves.size() / 2);
    const std::string first = workload_ == Workload::predicate || workload_ == Workload::queue
                                  ? key("p/", 3)
                                  : key("x", 3);
    insert(begin, session,
           serializable ? "begin ser optimistic" : "begin rr " + std::string(one_of(lockings)));
    insert(begin + 1, session, chance(70) ? "get " + first : "scan *");
    insert_behind_an_end(begin + 2, upkeep, "checkpoint");
    draft_.moves.push_back({session, chance(70) ? "scan *" : "get " + first});
    if (chance(50)) draft_.moves.push_back({session, "put " + first + ' ' + value()});
    draft_.moves.push_back({session, "commit"});
  }

  void add_upkeep(std::size_t session) {
    if (chance(50)) {
      for (std::size_t i = 1 + draw(3); i > 0; --i) {
        if (chance(50)) {
          insert_behind_an_end(0, session, "checkpoint");
        } else {
          insert_somewhere(session, "checkpoint");
        }
      }
    }
    if (workload_ == Workload::durability) insert_somewhere(session, "fail next-sync");
  }

  // Most of what can go wrong between two threads goes wrong while one of them commits.
  std::size_t some_commit() {
    std::vector<std::size_t> commits;
    for (std::size_t i = 0; i < draft_.moves.size(); ++i) {
      if (draft_.moves[i].text == "commit") commits.push_back(i);
    }
    return commits.empty() ? draw(draft_.moves.size()) : one_of(commits);
  }

  void add_holds() {
    if (!has_inner_places() || !chance(40)) return;
    for (std::size_t i = 1 + draw(2); i > 0; --i) {
      Draft::Move& move = draft_.moves[chance(50) ? draw(draft_.moves.size()) : some_commit()];
      const std::string_view text = move.text;
      if (is_begin(text)) continue;
      const bool commits = is_end(text) || chance(10);
      move.hold = text == "checkpoint" ? one_of(places_of_upkeep)
                  : commits            ? one_of(places_of_commits)
                                       : one_of(places_of_reads);
      move.hold_for = 1 + draw(5);
    }
  }

  const Workload workload_;
  std::mt19937_64& random_;
  Draft draft_;
  bool mixed_levels_ = false;
  bool mixed_lockings_ = false;
  bool few_values_ = false;
  bool second_keyspace_ = false;
  std::string_view level_;
  std::string_view locking_;
  std::size_t values_ = 100;
};

constexpr std::array<std::pair<Workload, std::string_view>, all_workloads.size()> names{{
    {Workload::list_append, "list-append"},
    {Workload::rw_register, "rw-register"},
    {Workload::bank, "bank"},
    {Workload::long_fork, "long-fork"},
    {Workload::predicate, "predicate"},
    {Workload::queue, "queue"},
    {Workload::durability, "durability"},
}};

}  // namespace

std::string_view name(Workload workload) noexcept {
  for (const auto& [known, text] : names) {
    if (known == workload) return text;
  }
  return {};
}

std::optional<Workload> workload_from_name(std::string_view text) noexcept {
  for (const auto& [workload, known] : names) {
    if (known == text) return workload;
  }
  return std::nullopt;
}

Draft stress_draft(Workload workload, std::mt19937_64& random) {
  return Drafting(workload, random).draft();
}

}  // namespace isolde::lab
