#include "bench/report/targets.h"

#include <algorithm>

namespace isolde::bench {
namespace {

const CellResult* find_cell(const RunResult& run, std::string_view section,
                            std::string_view label) {
  for (const SectionResult& one : run.sections) {
    if (one.section.id != section) continue;
    for (const CellResult& cell : one.cells) {
      if (cell.cell.label == label) return &cell;
    }
  }
  return nullptr;
}

Standing standing_of(const Target& target) {
  const double sign = target.at_most ? -1 : 1;
  if (sign * target.measured >= sign * target.goal) return Standing::goal;
  return sign * target.measured >= sign * target.least ? Standing::least : Standing::missed;
}

class Judge {
 public:
  explicit Judge(const RunResult& run) : run_(run) {}

  // Rate of `subject` over that of `other`; without `other`, over that of the best engine that is
  // neither Isolde nor raw LMDB.
  void ratio(std::string what, std::string_view section, std::string_view label,
             std::string_view subject, std::string_view other, double least, double goal) {
    Target target{std::move(what), {}, 0, least, goal, false, "x", Standing::not_measured};
    const CellResult* const cell = find_cell(run_, section, label);
    const Figures* const mine = cell == nullptr ? nullptr : cell->of(subject);
    const Figures* const theirs = cell == nullptr ? nullptr
                                  : other.empty() ? best_other(*cell)
                                                  : cell->of(other);
    if (theirs != nullptr) {
      target.against = other.empty()     ? "best other: " + theirs->subject->name
                       : other == "lmdb" ? "raw LMDB"
                                         : theirs->subject->name;
    } else {
      target.against = other.empty() ? "best other engine" : other == "lmdb" ? "raw LMDB" : other;
    }
    if (mine != nullptr && theirs != nullptr) {
      target.measured = median_ratio(*mine, *theirs);
      target.standing = standing_of(target);
    }
    all_.push_back(std::move(target));
  }

  // The cost of `subject` over that of `other`.
  void cost(std::string what, std::string_view section, std::string_view label,
            std::string_view subject, std::string_view other, double least, double goal) {
    Target target{std::move(what),       std::string(other), 0, least, goal, true, "x",
                  Standing::not_measured};
    const CellResult* const cell = find_cell(run_, section, label);
    const Figures* const mine = cell == nullptr ? nullptr : cell->of(subject);
    const Figures* const theirs = cell == nullptr ? nullptr : cell->of(other);
    if (mine != nullptr && theirs != nullptr) {
      target.measured = median_ratio(*theirs, *mine);
      target.standing = standing_of(target);
    }
    all_.push_back(std::move(target));
  }

  // One figure of one subject.
  template <typename Measure>
  void figure(std::string what, std::string against, std::string_view section,
              std::string_view label, std::string_view subject, const char* unit, double least,
              double goal, Measure measure) {
    Target target{std::move(what),       std::move(against), 0, least, goal, true, unit,
                  Standing::not_measured};
    const CellResult* const cell = find_cell(run_, section, label);
    const Figures* const mine = cell == nullptr ? nullptr : cell->of(subject);
    if (mine != nullptr) {
      target.measured = measure(*cell, *mine);
      if (target.measured >= 0) target.standing = standing_of(target);
    }
    all_.push_back(std::move(target));
  }

  std::vector<Target> take() { return std::move(all_); }

 private:
  static const Figures* best_other(const CellResult& cell) {
    const Figures* best = nullptr;
    for (const Figures& one : cell.figures) {
      if (one.subject->engine == "isolde" || one.subject->engine == "lmdb" || one.turns.empty()) {
        continue;
      }
      if (best == nullptr || one.rate() > best->rate()) best = &one;
    }
    return best;
  }

  const RunResult& run_;
  std::vector<Target> all_;
};

double nanoseconds_beyond_lmdb(const CellResult& cell, const Figures& isolde) {
  const Figures* const lmdb = cell.of("lmdb");
  if (lmdb == nullptr || isolde.rate() <= 0 || lmdb->rate() <= 0) return -1;
  return std::max(0.0, 1e9 / isolde.rate() - 1e9 / lmdb->rate());
}

void judge_reads(Judge& judge) {
  for (const char* const name : {"read1", "read10"}) {
    const std::string label(name);
    judge.ratio(label, "overhead", label + ", 2 clients", "isolde-rr-opt", "lmdb", 0.85, 0.95);
  }
  judge.ratio("scan100", "overhead", "scan100, 2 clients", "isolde-rr-opt", "lmdb", 0.7, 0.85);
  for (const char* const name : {"read1", "read10", "scan100"}) {
    const std::string label = std::string(name) + ", 100k chains";
    judge.ratio(label, "overhead", label, "isolde-rr-opt", "lmdb", 0.6, 0.8);
  }
  judge.figure("begin + get + commit, beyond raw renew + get + reset", "raw LMDB", "overhead",
               "read1, 1 client", "isolde-rr-opt", "ns", 300, 100, nanoseconds_beyond_lmdb);
}

void judge_writes(Judge& judge) {
  judge.ratio("rmw1 durable, 1 client", "clients", "rmw1 durable, 1 client", "isolde-rr-opt", "", 1,
              1.2);
  judge.ratio("rmw1 durable, 16 clients", "clients", "rmw1 durable, 16 clients", "isolde-rr-opt",
              "", 1.6, 2);
  judge.ratio("rmw1 durable, 64 clients", "clients", "rmw1 durable, 64 clients", "isolde-rr-opt",
              "", 2, 3);
  judge.ratio("rmw1 no sync, sustained with checkpoints", "sustained", "rmw1 no sync, 2 clients",
              "isolde-rr-opt", "", 1, 1.5);
  const char* const hot = "transfer durable hot=10, 16 clients";
  const auto failures = [](const CellResult&, const Figures& one) { return 100 * one.failed(); };
  for (const char* const subject : {"isolde-rc-pess", "isolde-ser-pess"}) {
    const std::string name = std::string(hot) + ", " + (subject + 7);
    judge.ratio(name, "contention", hot, subject, "", 5, 8);
    judge.figure(name + ": failures", "", "contention", hot, subject, "%", 1, 1, failures);
  }
  judge.ratio(std::string(hot) + ", rr-opt", "contention", hot, "isolde-rr-opt", "", 3, 5);
}

void judge_the_rest(Judge& judge) {
  for (const char* const label : {"mix, 2 clients", "rmw1, 2 clients"}) {
    const std::string name(label);
    judge.cost("serializable instead of repeatable read, " + name, "levels", label,
               "isolde-ser-opt", "isolde-rr-opt", 1.3, 1.1);
    judge.cost("pessimistic instead of optimistic, " + name, "levels", label, "isolde-rr-pess",
               "isolde-rr-opt", 1.3, 1.15);
  }
  const char* const minute = "rmw1 durable, 16 clients";
  judge.figure("p99 with checkpoints, of that without", "", "sustained", minute, "isolde-rr-opt",
               "ms", 0, 0, [](const CellResult&, const Figures& one) {
                 return static_cast<double>(one.latency().quantile(0.99)) / 1e6;
               });
  judge.figure("longest stall of a durable commit", "", "sustained", minute, "isolde-rr-opt", "ms",
               100, 50, [](const CellResult&, const Figures& one) {
                 return static_cast<double>(one.latency().maximum()) / 1e6;
               });
}

// p99 with checkpoints is judged against the cell beside it, whose figure becomes the bound.
void settle_p99(const RunResult& run, std::vector<Target>& all) {
  const CellResult* const without =
      find_cell(run, "sustained", "rmw1 durable, 16 clients, no checkpoints");
  const Figures* const figures = without == nullptr ? nullptr : without->of("isolde-rr-opt");
  for (Target& target : all) {
    if (target.what != "p99 with checkpoints, of that without") continue;
    const double bound =
        figures == nullptr ? 0 : static_cast<double>(figures->latency().quantile(0.99)) / 1e6;
    if (bound <= 0) {
      target.standing = Standing::not_measured;
      continue;
    }
    target.measured /= bound;
    target.unit = "x";
    target.least = 3;
    target.goal = 3;
    if (target.standing != Standing::not_measured) target.standing = standing_of(target);
  }
}

}  // namespace

std::vector<Target> judge_targets(const RunResult& run) {
  Judge judge(run);
  judge_reads(judge);
  judge_writes(judge);
  judge_the_rest(judge);
  std::vector<Target> all = judge.take();
  settle_p99(run, all);
  return all;
}

bool any_measured(const std::vector<Target>& targets) {
  return std::any_of(targets.begin(), targets.end(),
                     [](const Target& one) { return one.standing != Standing::not_measured; });
}

std::string_view name(Standing standing) {
  switch (standing) {
    case Standing::goal:
      return "goal";
    case Standing::least:
      return "least";
    case Standing::missed:
      return "MISSED";
    case Standing::not_measured:
      break;
  }
  return "not measured";
}

}  // namespace isolde::bench
