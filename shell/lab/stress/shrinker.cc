#include "lab/stress/shrinker.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "lab/check/checker.h"
#include "lab/stress/draft_of_history.h"

namespace isolde::lab {
namespace {

using Moves = std::vector<std::size_t>;

class Shrinking {
 public:
  Shrinking(Draft draft, const Finding& finding, Trial& trial, const ShrinkOptions& options)
      : draft_(std::move(draft)), finding_(finding), trial_(trial), options_(options) {
    most_plays_ = trial.plays() + options.most_plays;
  }

  Draft run() && {
    std::size_t before = 0;
    do {
      before = size();
      drop_groups([this] { return transactions(); });
      drop_groups([this] { return single_moves(); });
      drop_each([this] { return brackets(); });
      commit_at_once();
      drop_setup();
      simplify_holds();
      if (size() == before) drop_several();
    } while (size() < before && !is_over());
    return std::move(draft_);
  }

 private:
  std::size_t size() const {
    std::size_t holds = 0;
    for (const Draft::Move& move : draft_.moves) holds += move.hold ? move.hold_for : 0;
    return draft_.moves.size() + draft_.setup.size() + holds;
  }
  bool is_over() const {
    return trial_.plays() >= most_plays_ ||
           (options_.go_on && !options_.go_on(draft_.moves.size()));
  }

  bool try_instead(Draft candidate) {
    if (is_over() || !trial_.shows(candidate, finding_)) return false;
    draft_ = std::move(candidate);
    return true;
  }
  bool try_without(Moves moves) {
    std::sort(moves.begin(), moves.end());
    return try_instead(draft_.without(moves));
  }

  std::vector<Moves> transactions() const {
    std::vector<Draft::Span> spans = draft_.transactions();
    std::vector<Moves> groups;
    groups.reserve(spans.size());
    for (Draft::Span& span : spans) groups.push_back(std::move(span.moves));
    return groups;
  }
  std::vector<Moves> single_moves() const {
    std::vector<Moves> groups;
    groups.reserve(draft_.moves.size());
    for (std::size_t move = 0; move < draft_.moves.size(); ++move) groups.push_back({move});
    return groups;
  }
  // Transactions from their begin to their end.
  std::vector<Moves> bracketed() const {
    std::vector<Moves> whole = transactions();
    std::erase_if(whole, [this](const Moves& moves) {
      return !is_begin(draft_.moves[moves.front()].text) ||
             !is_end(draft_.moves[moves.back()].text);
    });
    return whole;
  }
  // The begin and the end of a transaction: what is between them then commits by itself.
  std::vector<Moves> brackets() const {
    std::vector<Moves> groups;
    for (const Moves& moves : bracketed()) groups.push_back({moves.front(), moves.back()});
    return groups;
  }

  // ddmin: halves, quarters, ... and at last each group alone, until nothing more can go.
  template <typename Groups>
  void drop_groups(const Groups& groups_of) {
    std::size_t chunk = groups_of().size() / 2;
    while (chunk > 0 && !is_over()) {
      bool dropped = false;
      // From the end: the late depend on those before, and seldom the other way round.
      std::size_t end = groups_of().size();
      while (end > 0 && !is_over()) {
        const std::vector<Moves> groups = groups_of();
        end = std::min(end, groups.size());
        if (end == 0) break;
        const std::size_t begin = end > chunk ? end - chunk : 0;
        Moves moves;
        for (std::size_t i = begin; i < end; ++i) {
          moves.insert(moves.end(), groups[i].begin(), groups[i].end());
        }
        dropped = try_without(std::move(moves)) || dropped;
        end = begin;
      }
      if (!dropped || chunk > 1) chunk /= 2;
    }
  }

  // What only together can go: one that waits for a lock and the one that holds it, say. Two or
  // three moves, brackets or transactions at once: a few thousand plays of a small draft.
  void drop_several() {
    constexpr std::size_t short_enough = 8;
    constexpr std::size_t few_enough_for_two = 60;
    constexpr std::size_t few_enough_for_three = 30;
    if (draft_.moves.size() <= short_enough) return;
    std::vector<Moves> pieces = single_moves();
    for (const auto& larger : {brackets(), transactions()}) {
      pieces.insert(pieces.end(), larger.begin(), larger.end());
    }
    if (pieces.size() > few_enough_for_two) return;
    for (std::size_t a = pieces.size(); a-- > 0;) {
      for (std::size_t b = a; b-- > 0;) {
        if (try_without(joined(pieces[a], pieces[b]))) return;
      }
    }
    if (pieces.size() > few_enough_for_three) return;
    for (std::size_t a = pieces.size(); a-- > 0;) {
      for (std::size_t b = a; b-- > 0;) {
        const Moves two = joined(pieces[a], pieces[b]);
        for (std::size_t c = b; c-- > 0;) {
          if (try_without(joined(two, pieces[c]))) return;
        }
      }
    }
  }
  static Moves joined(const Moves& some, const Moves& more) {
    std::set<std::size_t> all(some.begin(), some.end());
    all.insert(more.begin(), more.end());
    return {all.begin(), all.end()};
  }

  template <typename Groups>
  void drop_each(const Groups& groups_of) {
    for (std::size_t i = groups_of().size(); i-- > 0;) {
      std::vector<Moves> groups = groups_of();
      if (i < groups.size()) try_without(std::move(groups[i]));
    }
  }

  // Without its brackets, and where its end was: for others it happened there.
  void commit_at_once() {
    for (std::size_t i = bracketed().size(); i-- > 0;) {
      const std::vector<Moves> all = bracketed();
      if (i >= all.size()) continue;
      const Moves& own = all[i];
      Draft candidate = draft_.without(own);
      // Where the last one was, now that those before it are gone.
      auto place =
          candidate.moves.begin() + static_cast<std::ptrdiff_t>(own.back() - (own.size() - 1));
      for (std::size_t inner = 1; inner + 1 < own.size(); ++inner) {
        place = candidate.moves.insert(place, draft_.moves[own[inner]]) + 1;
      }
      try_instead(std::move(candidate));
    }
  }

  void drop_setup() {
    for (std::size_t i = draft_.setup.size(); i-- > 0;) {
      Draft candidate = draft_;
      candidate.setup.erase(candidate.setup.begin() + static_cast<std::ptrdiff_t>(i));
      try_instead(std::move(candidate));
    }
  }

  void simplify_holds() {
    for (std::size_t i = 0; i < draft_.moves.size(); ++i) {
      if (!draft_.moves[i].hold) continue;
      Draft candidate = draft_;
      candidate.moves[i].hold.reset();
      if (try_instead(std::move(candidate))) continue;
      while (draft_.moves[i].hold_for > 1) {
        candidate = draft_;
        --candidate.moves[i].hold_for;
        if (!try_instead(std::move(candidate))) break;
      }
    }
  }

  Draft draft_;
  const Finding& finding_;
  Trial& trial_;
  const ShrinkOptions& options_;
  std::size_t most_plays_ = 0;
};

// Sets of transactions, each of which shows the finding, the smallest first: some cannot be told as
// steps where others can.
std::vector<std::set<std::uint32_t>> culprits(const History& history, const Finding& finding) {
  constexpr std::size_t most = 8;
  std::map<TransactionId, std::uint32_t> indexes;
  for (std::uint32_t i = 0; i < history.transactions.size(); ++i) {
    indexes[TransactionId{history.transactions[i].id}] = i;
  }
  std::vector<std::set<std::uint32_t>> sets;
  const auto add = [&](const std::vector<TransactionId>& ids) {
    std::set<std::uint32_t> found;
    for (const TransactionId id : ids) {
      if (const auto index = indexes.find(id); index != indexes.end()) found.insert(index->second);
    }
    sets.push_back(std::move(found));
  };
  const Verdict verdict = check(history);
  for (const BrokenPromise& broken : verdict.broken_promises) {
    const bool wanted =
        finding.kind == Finding::Kind::promise && finding_name(verdict, broken) == finding.name;
    if (wanted) add(broken.told_of);
  }
  for (const Anomaly& anomaly : verdict.anomalies) {
    const bool wanted =
        finding.kind == Finding::Kind::anomaly && name(anomaly.phenomenon) == finding.name;
    if (wanted) add(anomaly.transactions);
  }
  std::stable_sort(sets.begin(), sets.end(),
                   [](const auto& a, const auto& b) { return a.size() < b.size(); });
  if (sets.size() > most) sets.resize(most);
  return sets;
}

// The finding; else another broken promise of the same level: which cycle shows it depends on who
// else is there.
std::optional<Finding> shown_of(std::vector<Finding> found, const Finding& finding) {
  const auto level = [](const Finding& promise) {
    return std::string_view(promise.name).substr(0, promise.name.find(':'));
  };
  std::optional<Finding> second;
  for (Finding& each : found) {
    if (each.is_like(finding)) return std::move(each);
    const bool alike = each.kind == Finding::Kind::promise && each.kind == finding.kind &&
                       level(each) == level(finding);
    if (alike && !second) second = std::move(each);
  }
  return second;
}

// Those that they read from, and those that wrote or read the same keys while they ran.
std::set<std::uint32_t> with_neighbours(const History& history,
                                        const std::set<std::uint32_t>& some) {
  std::set<std::uint32_t> keys;
  std::set<std::uint32_t> all = some;
  std::uint64_t begin = ~std::uint64_t{0};
  std::uint64_t end = 0;
  for (const std::uint32_t index : some) {
    const HistoryTransaction& txn = history.transactions[index];
    begin = std::min(begin, txn.began_at);
    end = std::max(end, txn.ended_at);
    for (const HistoryOperation& operation : txn.operations) {
      using Kind = HistoryOperation::Kind;
      if (operation.kind != Kind::read && operation.kind != Kind::write) continue;
      keys.insert(operation.target);
      if (operation.kind == Kind::read && !operation.version.is_base()) {
        all.insert(operation.version.writer);
      }
    }
  }
  for (std::uint32_t i = 0; i < history.transactions.size(); ++i) {
    const HistoryTransaction& txn = history.transactions[i];
    if (txn.ended_at < begin || txn.began_at > end) continue;
    const bool touches = std::any_of(txn.operations.begin(), txn.operations.end(),
                                     [&](const HistoryOperation& operation) {
                                       return operation.kind == HistoryOperation::Kind::write &&
                                              keys.count(operation.target) != 0;
                                     });
    if (touches) all.insert(i);
  }
  return all;
}

}  // namespace

Shrunken shrink(Draft draft, const Finding& finding, Trial& trial, const ShrinkOptions& options) {
  Shrunken shrunken{Shrinking(std::move(draft), finding, trial, options).run(), finding};
  // Told with the transactions and sessions that are left.
  for (Finding& left : trial.play(shrunken.draft)) {
    if (left.is_like(finding)) shrunken.finding = std::move(left);
  }
  return shrunken;
}

std::optional<Shrunken> shrink(const History& history, const Finding& finding, Trial& trial,
                               const ShrinkOptions& options) {
  constexpr std::size_t most_transactions = 300;
  constexpr int most_rounds = 6;
  std::vector<std::set<std::uint32_t>> candidates = culprits(history, finding);
  for (int round = 0; round < most_rounds && !candidates.empty(); ++round) {
    for (const std::set<std::uint32_t>& chosen : candidates) {
      for (const Retelling retelling : {Retelling{false, false}, Retelling{true, false},
                                        Retelling{false, true}, Retelling{true, true}}) {
        Draft draft = draft_of(history, chosen, retelling);
        if (options.go_on && !options.go_on(draft.moves.size())) return std::nullopt;
        if (const auto shown = shown_of(trial.play(draft), finding)) {
          return shrink(std::move(draft), *shown, trial, options);
        }
      }
    }
    std::erase_if(candidates, [&](std::set<std::uint32_t>& chosen) {
      std::set<std::uint32_t> more = with_neighbours(history, chosen);
      const bool is_last = more.size() == chosen.size() || more.size() > most_transactions;
      chosen = std::move(more);
      return is_last;
    });
  }
  return std::nullopt;
}

std::string to_script(const Shrunken& shrunken, std::string_view origin) {
  return shrunken.draft.to_script(fmt::format("{} {}", origin, shrunken.finding.text),
                                  {shrunken.finding.expectation()});
}

}  // namespace isolde::lab
