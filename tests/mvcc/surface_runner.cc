#include "tests/mvcc/surface_runner.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <iostream>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "engine/yield_point.h"
#include "tests/mvcc/surface_actor.h"
#include "tests/mvcc/surface_judge.h"
#include "tests/mvcc/surface_world.h"
#include "tests/support/exploration.h"
#include "tests/support/seed.h"

namespace isolde::test::surface {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned run_seconds = sanitized ? 120 : 30;  // a run that takes longer hangs
constexpr unsigned sleep_seconds = sanitized ? 10 : 3;  // all asleep for so long: for ever
constexpr std::size_t runs_of_a_child = 200;

// One run, from a new database to the last copy that is compared.
class Run {
 public:
  Run(const Plan& plan, Trace& trace) : plan_(plan), trace_(trace), world_(plan, trace) {}

  std::optional<std::string> play() {
    if (auto opened = world_.open(); !opened) return "open: " + opened.error().to_string();
    {
      Actor setup(world_, "setup");
      setup.play(plan_.setup);
    }
    timeline_.newest = 0;
    for (const Phase& phase : plan_.phases) {
      play_phase(phase);
      if (auto wrong = settle(phase.reopening)) return wrong;
      trace_.line("--- opened again");
    }
    return std::nullopt;
  }

 private:
  void play_phase(const Phase& phase) {
    std::vector<std::unique_ptr<Actor>> actors;
    for (std::size_t i = 0; i < phase.actors.size(); ++i) {
      actors.push_back(std::make_unique<Actor>(world_, std::string(1, "ABCDEFGH"[i])));
    }
    for (auto& actor : actors) {
      std::vector<Actor*> others;
      for (auto& other : actors) {
        if (other != actor) others.push_back(other.get());
      }
      actor->set_others(std::move(others));
    }
    trace_.line("---");
    if (plan_.threads) {
      in_threads(phase, actors);
    } else {
      by_schedule(phase, actors);
    }
    for (auto& actor : actors) {
      for (Transaction& over : actor->take_finished()) outliving_.push_back(std::move(over));
    }
  }

  static void in_threads(const Phase& phase, std::vector<std::unique_ptr<Actor>>& actors) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < actors.size(); ++i) {
      threads.emplace_back([&, i] { actors[i]->play(phase.actors[i]); });
    }
    for (std::thread& thread : threads) thread.join();
  }

  void by_schedule(const Phase& phase, std::vector<std::unique_ptr<Actor>>& actors) {
    Exploration exploration;
    exploration.begin = [&] {
      std::vector<Exploration::Actor> cast;
      for (std::size_t i = 0; i < actors.size(); ++i) {
        cast.push_back({actors[i]->name(), [&, i] { actors[i]->play(phase.actors[i]); }});
      }
      return cast;
    };
    exploration.judge = [] { return std::optional<std::string>(); };
    exploration.draw = Exploration::Draw{plan_.schedule + world_.session(), plan_.stay_percent,
                                         plan_.stay_between_percent, plan_.by_rank};
    exploration.switched = [&](std::size_t actor, std::string_view place) {
      trace_.gave_way(actors[actor]->name(), place);
      if (!place.starts_with("blocked")) asleep_since_.reset();
    };
    exploration.all_sleep = [&] { return sleep(); };
    exploration.most_schedules = 1;
    const Explored explored = explore(exploration);
    if (explored.failure) world_.fault(*explored.failure);
  }

  // Every wait ends: what ends none is told, with who waits for whom. The stacks of those who sleep
  // cannot be unwound.
  bool sleep() {
    if (!asleep_since_) asleep_since_ = Clock::now();
    if (Clock::now() - *asleep_since_ < std::chrono::seconds(sleep_seconds)) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      return true;
    }
#ifdef ISOLDE_YIELD_POINTS
    yield_hook.store(nullptr);
#endif
    trace_.fail("all sleep for ever: " + world_.db().locks().to_text());
    ::_exit(1);
  }

  // The end of a session: what is there, what is left, what the copies hold.
  std::optional<std::string> settle(Reopening how) {
    world_.files().clear_faults();
    auto end = World::contents(world_.db());
    if (!end) return "at the end: " + end.error().to_string();
    const Keyspaces keyspaces = world_.keyspaces();
    world_.history().newest_visible = world_.newest_visible();
    Judge judge(plan_, timeline_, world_.history());
    if (how == Reopening::crash) judge.note_crash();
    if (auto wrong = judge.judge(keyspaces, *end)) return wrong;
    const bool closes = how == Reopening::close && !world_.faults_are_armed();
    if (auto ended = world_.end_session(how); !ended) {
      return "close: " + ended.error().to_string();
    }
    use_outliving();
    for (World::TakenCopy& taken : world_.copies()) {
      if (auto wrong = judge.judge(Found{&taken.copy, world_.contents_of(taken)})) return wrong;
    }
    // The judge's history is the session's: it is looked at before the next one begins.
    auto history = std::move(world_.history());
    world_.history() = {};
    Judge again(plan_, timeline_, history);
    if (how == Reopening::crash) again.note_crash();
    if (auto opened = world_.open(); !opened) return "open: " + opened.error().to_string();
    const Found found{nullptr, World::contents(world_.db())};
    if (auto wrong = again.judge(found)) return wrong;
    if (closes && found.contents->at != timeline_.newest) return "close has lost commits";
    timeline_.cut(found.contents->at);
    return std::nullopt;
  }

  // A handle whose transaction is over may outlive its database.
  void use_outliving() {
    for (Transaction& over : outliving_) {
      if (over.active() || over.commit() || !over.rollback()) world_.fault("it is not over");
      static_cast<void>(over.id());
      static_cast<void>(over.label());
      static_cast<void>(over.get(Keyspace(KeyspaceId{1}, "default"), "a"));
      over.cancel();
    }
    outliving_.clear();
  }

  const Plan& plan_;
  Trace& trace_;
  World world_;
  Timeline timeline_;
  std::vector<Transaction> outliving_;
  std::optional<Clock::time_point> asleep_since_;
};

class Runner {
 public:
  Runner() {
    void* mapped = ::mmap(nullptr, sizeof(Trace::Memory), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) std::abort();
    memory_ = static_cast<Trace::Memory*>(mapped);
  }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  ~Runner() { ::munmap(memory_, sizeof(Trace::Memory)); }

  // Plays plans in a child until one fails or `next` has none. Returns what failed.
  std::optional<std::string> in_child(const std::function<const Plan*()>& next) {
    std::cout.flush();
    std::fflush(nullptr);
    memory_->failure_used = 0;
    const pid_t child = ::fork();
    if (child < 0) std::abort();
    if (child == 0) be_the_child(next);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (memory_->failure_used != 0) return std::string(memory_->failure, memory_->failure_used);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
    const std::string last = ", after: " + last_line();
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) return "it hangs" + last;
    if (WIFSIGNALED(status)) {
      return "it dies of " + std::string(::strsignal(WTERMSIG(status))) + last;
    }
    return "it exits with " + std::to_string(WEXITSTATUS(status)) + last;
  }

  std::uint64_t last_number() const { return memory_->run; }
  std::string trace() const { return {memory_->text, memory_->used}; }

 private:
  [[noreturn]] void be_the_child(const std::function<const Plan*()>& next) {
    for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM}) {
      std::signal(number, SIG_DFL);
    }
    Trace trace(*memory_);
    while (const Plan* plan = next()) {
      trace.clear(plan->number);
      ::alarm(run_seconds);
      auto wrong = [&] { return Run(*plan, trace).play(); }();
      if (!wrong) continue;
      trace.fail(*wrong);
      ::_exit(1);
    }
    ::_exit(0);
  }

  std::string last_line() const {
    const std::string all = trace();
    const std::size_t at = all.rfind('\n');
    return at == std::string::npos ? all : all.substr(at + 1);
  }

  Trace::Memory* memory_;
};

// The same complaint, whatever its numbers, keys and names: its first long words.
std::string kind_of(const std::string& what) {
  std::string kind;
  std::string word;
  for (const char c : what + " ") {
    if ((c >= 'a' && c <= 'z') || c == '_') {
      word += c;
      continue;
    }
    if (word.size() > 2 && word != "reverse") kind += word + " ";
    word.clear();
  }
  return kind.substr(0, 45);
}

// Leaves steps out while it fails still in the same way, trying several schedules each time.
class Shrinker {
 public:
  Shrinker(Runner& runner, Plan plan, const std::string& what, std::chrono::seconds time)
      : runner_(runner), plan_(std::move(plan)), what_(what), kind_(kind_of(what)), time_(time) {}

  void shrink() {
    const auto deadline = Clock::now() + time_;
    bool smaller = true;
    if (!again(plan_, deadline)) return;
    while (smaller && Clock::now() < deadline) {
      smaller = false;
      for (std::size_t chunk : {8, 4, 2, 1}) smaller = leave_out(chunk, deadline) || smaller;
    }
  }
  const Plan& plan() const { return plan_; }
  const std::string& what() const { return what_; }
  const std::string& trace() const { return trace_; }

 private:
  bool again(const Plan& plan, Clock::time_point deadline) {
    constexpr std::size_t tries = 60;
    for (std::size_t next = 0; next < tries && Clock::now() < deadline; ++next) {
      Plan candidate = plan;
      const auto found = runner_.in_child([&]() -> const Plan* {
        if (next == tries || Clock::now() > deadline) return nullptr;
        if (next > 0) candidate.schedule = derive(plan.schedule, next);
        candidate.number = next++;
        return &candidate;
      });
      if (!found) return false;
      next = runner_.last_number();
      if (kind_of(*found) != kind_) continue;
      what_ = *found;
      trace_ = runner_.trace();
      schedule_ = next == 0 ? plan.schedule : derive(plan.schedule, next);
      return true;
    }
    return false;
  }

  std::vector<Script*> scripts(Plan& plan) {
    std::vector<Script*> all{&plan.setup};
    for (Phase& phase : plan.phases) {
      for (Script& script : phase.actors) all.push_back(&script);
    }
    return all;
  }

  bool leave_out(std::size_t chunk, Clock::time_point deadline) {
    bool smaller = false;
    if (plan_.phases.size() > 1) {
      Plan candidate = plan_;
      candidate.phases.pop_back();
      smaller = again(candidate, deadline);
      if (smaller) plan_ = std::move(candidate);
    }
    for (std::size_t at = 0; at < scripts(plan_).size(); ++at) {
      for (std::size_t from = 0; from < scripts(plan_)[at]->size();) {
        if (Clock::now() > deadline) return smaller;
        Plan candidate = plan_;
        Script& script = *scripts(candidate)[at];
        const std::size_t to = std::min(from + chunk, script.size());
        script.erase(script.begin() + static_cast<std::ptrdiff_t>(from),
                     script.begin() + static_cast<std::ptrdiff_t>(to));
        if (again(candidate, deadline)) {
          plan_ = std::move(candidate);
          plan_.schedule = schedule_;
          smaller = true;
        } else {
          from = to;
        }
      }
    }
    return smaller;
  }

  Runner& runner_;
  Plan plan_;
  std::string what_;
  std::string kind_;
  std::chrono::seconds time_;
  std::string trace_;
  std::uint64_t schedule_ = 0;  // in which it failed last
};

std::string described(const Plan& plan) {
  constexpr const char* durabilities[] = {"sync", "periodic", "none"};
  return std::string("durability ") +
         durabilities[static_cast<std::size_t>(plan.options.durability.kind)] +
         (plan.observed ? ", observed" : "") + (plan.small_memory ? ", little memory" : "") +
         ", deadlocks: " + std::string(isolde::name(plan.options.deadlock_strategy)) +
         (plan.options.background_work ? ", background work" : "") +
         (plan.by_rank ? ", by rank" : "");
}

}  // namespace

CampaignOutcome run_campaign(const Campaign& campaign) {
  Runner runner;
  CampaignOutcome outcome;
  std::set<std::string> known;
  const std::uint64_t without = left_out();
  const auto start = Clock::now();
  const auto goes_on = [&] {
    if (campaign.time) return Clock::now() - start < *campaign.time;
    return outcome.runs < campaign.runs;
  };
  while (goes_on()) {
    std::size_t played = 0;
    Plan plan;
    const std::size_t first = outcome.runs;
    // A single seed may be given back: the first run is of that seed itself.
    const auto seed_of = [&](std::size_t run) {
      return run == 0 ? campaign.seed : derive(campaign.seed, run);
    };
    const auto wrong = runner.in_child([&]() -> const Plan* {
      if (played == runs_of_a_child || !goes_on()) return nullptr;
      if (!campaign.time && first + played >= campaign.runs) return nullptr;
      plan = draw_plan(seed_of(first + played), campaign.threads, without);
      plan.number = first + played;
      ++played;
      return &plan;
    });
    if (!wrong) {
      outcome.runs += runs_of_a_child;
      continue;
    }
    Find find;
    find.seed = seed_of(runner.last_number());
    find.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    find.what = *wrong;
    find.trace = runner.trace();
    outcome.runs = runner.last_number() + 1;
    if (!known.insert(kind_of(find.what)).second) continue;
    Plan failing = draw_plan(find.seed, campaign.threads, without);
    find.steps = failing.steps();
    find.trace = described(failing) + find.trace;
    if (!campaign.threads) {
      const std::chrono::seconds time(campaign.all_finds ? 8 : sanitized ? 60 : 25);
      Shrinker shrinker(runner, failing, find.what, time);
      shrinker.shrink();
      if (!shrinker.trace().empty()) {
        find.trace += "\n  shrunk to " + std::to_string(shrinker.plan().steps()) + " steps of " +
                      std::to_string(find.steps) + ": " + shrinker.what() + shrinker.trace();
      }
    }
    if (campaign.found) campaign.found(find);
    outcome.finds.push_back(std::move(find));
    if (!campaign.all_finds) break;
  }
  return outcome;
}

}  // namespace isolde::test::surface
