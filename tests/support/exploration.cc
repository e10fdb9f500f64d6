#include "tests/support/exploration.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <unordered_map>
#include <utility>

#include "engine/yield_point.h"

#if defined(__SANITIZE_ADDRESS__)
#define ISOLDE_FIBERS_UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ISOLDE_FIBERS_UNDER_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define ISOLDE_FIBERS_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ISOLDE_FIBERS_UNDER_TSAN 1
#endif
#endif

#ifdef ISOLDE_FIBERS_UNDER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef ISOLDE_FIBERS_UNDER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace isolde::test {
namespace {

constexpr std::size_t stack_bytes = std::size_t{1} << 20;
constexpr std::size_t most_actors = 8;
constexpr std::size_t parts = 16;
constexpr std::string_view blocked_prefix = "blocked: ";
constexpr const char* between_operations = "between operations";

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t mixed = a * 0x9e3779b97f4a7c15 + b + 0x7f4a7c15;  // splitmix64
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

std::uint64_t hash_of(std::string_view text) { return std::hash<std::string_view>{}(text); }

// A stack to run on. One that stands for the thread's own has no memory of its own.
class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber() {
    if (stack_ == nullptr) return;
#ifdef ISOLDE_FIBERS_UNDER_TSAN
    __tsan_destroy_fiber(tsan_);
#endif
#ifdef ISOLDE_FIBERS_UNDER_ASAN
    __asan_unpoison_memory_region(stack_, stack_bytes);  // its frames never returned
#endif
    ::munmap(stack_, stack_bytes);
  }

  void adopt_this_thread() {
#ifdef ISOLDE_FIBERS_UNDER_TSAN
    tsan_ = __tsan_get_current_fiber();
#endif
  }
  // `entry` never returns.
  void create(void (*entry)()) {
    stack_ = ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack_ == MAP_FAILED) std::abort();
    ::getcontext(&context_);
    context_.uc_stack.ss_sp = stack_;
    context_.uc_stack.ss_size = stack_bytes;
    context_.uc_link = nullptr;
    ::makecontext(&context_, entry, 0);
    bottom_ = stack_;
    size_ = stack_bytes;
#ifdef ISOLDE_FIBERS_UNDER_TSAN
    tsan_ = __tsan_create_fiber(0);
#endif
  }

  void switch_to(Fiber& other) {
#ifdef ISOLDE_FIBERS_UNDER_ASAN
    __sanitizer_start_switch_fiber(&fake_stack_, other.bottom_, other.size_);
#endif
#ifdef ISOLDE_FIBERS_UNDER_TSAN
    __tsan_switch_to_fiber(other.tsan_, 0);
#endif
    other.came_from_ = this;
    ::swapcontext(&context_, &other.context_);
    arrived();
  }
  // First thing on a stack after a switch to it.
  void arrived() {
#ifdef ISOLDE_FIBERS_UNDER_ASAN
    const void* bottom = nullptr;
    std::size_t size = 0;
    __sanitizer_finish_switch_fiber(fake_stack_, &bottom, &size);
    came_from_->bottom_ = bottom;
    came_from_->size_ = size;
#endif
  }

 private:
  ucontext_t context_{};
  void* stack_ = nullptr;
  const void* bottom_ = nullptr;
  std::size_t size_ = 0;
  Fiber* came_from_ = nullptr;
  [[maybe_unused]] void* fake_stack_ = nullptr;  // AddressSanitizer only
  [[maybe_unused]] void* tsan_ = nullptr;
};

// A point of a schedule where more than one actor could go on.
struct Choice {
  std::uint8_t chosen;
  std::uint8_t rest;  // as bits: still to be tried instead
};

class Explorer {
 public:
  explicit Explorer(const Exploration& exploration) : exploration_(exploration) {}
  Explored run();

  static Explorer* current;

  void at(const char* place);

 private:
  enum class State : std::uint8_t { ready, blocked, done };
  struct Actor {
    std::string name;
    std::function<void()> body;
    State state = State::ready;
    bool retries = false;  // blocked, but another actor has gone on since
    std::string_view place = "start";
    std::uint64_t history = 0;
  };
  static constexpr std::size_t no_actor = ~std::size_t{0};

  static void entry();
  void play();
  void account(std::string_view next);
  void look_at_contents();
  void go_on();
  std::size_t choose();
  bool time_passes();
  std::size_t draw_from(std::uint8_t able);
  std::size_t continue_with(std::size_t actor);
  std::uint8_t candidates() const;
  bool seen_before();
  bool backtrack();
  std::string story() const;
  void fail(std::string what);

  const Exploration& exploration_;
  Explored explored_;

  std::array<Fiber, most_actors> fibers_;
  std::size_t fibers_made_ = 0;
  Fiber main_;
  std::vector<Actor> actors_;
  std::size_t running_ = no_actor;

  std::vector<Choice> path_;
  std::size_t depth_ = 0;                    // of the choice that comes next
  unsigned preempted_ = 0;                   // so far in this schedule
  bool known_ = false;                       // it has met a state that was explored from before
  std::array<std::uint64_t, parts> part_{};  // of the shared state, as a hash
  unsigned contents_ = 0;                    // as bits: parts that can be seen as a whole
  std::unordered_map<std::uint64_t, unsigned> seen_;  // state -> fewest preemptions
  std::vector<std::pair<std::size_t, std::string_view>> trace_;
  std::mt19937_64 random_;
  std::vector<std::size_t> ranks_;  // of the actors, the first first
};

Explorer* Explorer::current = nullptr;

void hook(const char* place) {
  if (Explorer::current != nullptr) Explorer::current->at(place);
}

void Explorer::entry() {
  Explorer& self = *current;
  self.fibers_[self.running_].arrived();
  for (;;) {
    Explorer& explorer = *current;
    Actor& actor = explorer.actors_[explorer.running_];
    try {
      actor.body();
    } catch (const std::exception& error) {
      explorer.fail(actor.name + " threw " + error.what());
    }
    actor.state = State::done;
    explorer.account("end");
    explorer.go_on();
  }
}

// The running actor has reached a place.
void Explorer::at(const char* place) {
  if (running_ == no_actor) return;
  const std::string_view name(place);
  const bool blocked = name.substr(0, blocked_prefix.size()) == blocked_prefix;
  if (!blocked && exploration_.ignored && exploration_.ignored(name)) return;
  Actor& actor = actors_[running_];
  // Tried again in vain: nothing has happened.
  const bool in_vain = blocked && actor.place == name;
  if (!in_vain) account(name);
  actor.state = blocked ? State::blocked : State::ready;
  actor.retries = false;
  actor.place = name;
  go_on();
}

// Books the piece of code that the running actor has just left behind.
void Explorer::account(std::string_view next) {
  ++explored_.steps;
  Actor& actor = actors_[running_];
  trace_.emplace_back(running_, next);
  for (std::size_t other = 0; other < actors_.size(); ++other) {
    if (other != running_) actors_[other].retries = true;
  }
  if (!exploration_.footprint) return;
  const Footprint touched = exploration_.footprint(actor.place);
  std::uint64_t history = mix(mix(actor.history, hash_of(actor.place)), running_);
  for (std::size_t part = 0; part < parts; ++part) {
    if (((touched.reads | touched.writes) >> part & 1) != 0) history = mix(history, part_[part]);
  }
  actor.history = mix(history, hash_of(next));
  for (unsigned part = 0; part < parts; ++part) {
    if ((contents_ >> part & 1) != 0) {
      part_[part] = *exploration_.content(part);
    } else if ((touched.writes >> part & 1) != 0) {
      part_[part] = mix(part_[part], actor.history);
    }
  }
}

void Explorer::look_at_contents() {
  part_ = {};
  contents_ = 0;
  if (!exploration_.content) return;
  for (unsigned part = 0; part < parts; ++part) {
    const auto content = exploration_.content(part);
    if (!content) continue;
    part_[part] = *content;
    contents_ |= 1u << part;
  }
}

// Hands over to the next actor.
void Explorer::go_on() {
  const std::size_t self = running_;
  const std::size_t next = choose();
  if (next == self) return;
  if (exploration_.switched && self != no_actor) exploration_.switched(self, actors_[self].place);
  Fiber& from = self == no_actor ? main_ : fibers_[self];
  running_ = next;
  from.switch_to(next == no_actor ? main_ : fibers_[next]);
}

std::uint8_t Explorer::candidates() const {
  std::uint8_t found = 0;
  for (std::size_t i = 0; i < actors_.size(); ++i) {
    const Actor& actor = actors_[i];
    if (actor.state == State::ready || (actor.state == State::blocked && actor.retries)) {
      found = static_cast<std::uint8_t>(found | 1u << i);
    }
  }
  return found;
}

std::size_t Explorer::continue_with(std::size_t actor) {
  const bool current_could = running_ != no_actor && (candidates() >> running_ & 1) != 0 &&
                             actors_[running_].state == State::ready;
  if (current_could && actor != running_) ++preempted_;
  return actor;
}

// All who are not done sleep. What they wait for may come with time.
bool Explorer::time_passes() {
  if (!exploration_.all_sleep) return false;
  bool asleep = false;
  for (Actor& actor : actors_) {
    if (actor.state != State::blocked) continue;
    asleep = actor.retries = true;
  }
  return asleep && exploration_.all_sleep();
}

std::size_t Explorer::draw_from(std::uint8_t able) {
  const auto& draw = *exploration_.draw;
  unsigned stay_percent = 0;
  if (running_ != no_actor) {
    const bool between = actors_[running_].place == between_operations;
    stay_percent = between ? draw.stay_between_percent
                           : draw.stay_percent[running_ % draw.stay_percent.size()];
  }
  // Never for certain: it may try again and again what only another can make possible.
  const bool stays = random_() % 100 < std::min(stay_percent, 99u);
  if (draw.by_rank) {
    if (!stays && running_ != no_actor) {
      std::stable_partition(ranks_.begin(), ranks_.end(),
                            [&](std::size_t actor) { return actor != running_; });
    }
    return *std::find_if(ranks_.begin(), ranks_.end(),
                         [&](std::size_t actor) { return (able >> actor & 1) != 0; });
  }
  const bool may_stay = running_ != no_actor && (able >> running_ & 1) != 0 &&
                        actors_[running_].state == State::ready;
  if (may_stay && stays) return running_;
  auto left = random_() % static_cast<unsigned>(__builtin_popcount(able));
  for (; left > 0; --left) able = static_cast<std::uint8_t>(able & (able - 1));
  return static_cast<std::size_t>(__builtin_ctz(able));
}

std::size_t Explorer::choose() {
  std::uint8_t able = candidates();
  if (able == 0 && time_passes()) able = candidates();
  if (able == 0) {
    for (const Actor& actor : actors_) {
      if (actor.state == State::done) continue;
      // Their stacks hold what can't be unwound: there is no way on.
      std::fprintf(stderr, "deadlock in a deterministic schedule:\n%s", story().c_str());
      std::abort();
    }
    return no_actor;
  }
  if (exploration_.draw) return draw_from(able);
  const bool current_can = running_ != no_actor && (able >> running_ & 1) != 0;
  const std::size_t first = current_can ? running_ : static_cast<std::size_t>(__builtin_ctz(able));
  if (__builtin_popcount(able) == 1) return continue_with(first);
  if (depth_ < path_.size()) return continue_with(path_[depth_++].chosen);
  if (known_ || seen_before()) {
    known_ = true;
    return continue_with(first);
  }
  const bool free = !current_can || actors_[running_].state != State::ready;
  const bool may_switch =
      free || !exploration_.preemptions || preempted_ < *exploration_.preemptions;
  const auto rest = static_cast<std::uint8_t>(may_switch ? able & ~(1u << first) : 0);
  path_.push_back({static_cast<std::uint8_t>(first), rest});
  ++depth_;
  return continue_with(first);
}

bool Explorer::seen_before() {
  if (!exploration_.footprint) return false;
  std::uint64_t state = exploration_.preemptions ? running_ : 0;
  for (const Actor& actor : actors_) state = mix(state, actor.history);
  for (const std::uint64_t part : part_) state = mix(state, part);
  const auto [found, is_new] = seen_.try_emplace(state, preempted_);
  if (is_new) {
    ++explored_.states;
    return false;
  }
  if (found->second <= preempted_) return true;
  found->second = preempted_;
  return false;
}

void Explorer::fail(std::string what) {
  if (explored_.failure) return;
  explored_.failure = std::move(what) + "\nafter this schedule:\n" + story();
}

std::string Explorer::story() const {
  std::string text;
  std::size_t before = no_actor;
  for (const auto& [actor, place] : trace_) {
    if (actor != before)
      text += (before == no_actor ? "  " : "\n  ") + actors_[actor].name + ": ";
    else
      text += ", ";
    text += place;
    before = actor;
  }
  return text + "\n";
}

void Explorer::play() {
  auto cast = exploration_.begin();
  if (cast.size() > most_actors) std::abort();
  actors_.clear();
  for (auto& actor : cast) {
    actors_.emplace_back();
    actors_.back().name = std::move(actor.name);
    actors_.back().body = std::move(actor.body);
  }
  while (fibers_made_ < actors_.size()) fibers_[fibers_made_++].create(&Explorer::entry);
  trace_.clear();
  if (exploration_.draw) {
    random_.seed(exploration_.draw->seed);
    ranks_.resize(actors_.size());
    std::iota(ranks_.begin(), ranks_.end(), std::size_t{0});
    std::shuffle(ranks_.begin(), ranks_.end(), random_);
  }
  look_at_contents();
  depth_ = 0;
  preempted_ = 0;
  known_ = false;
  running_ = no_actor;
#ifdef ISOLDE_YIELD_POINTS
  yield_hook.store(&hook);
#endif
  go_on();
#ifdef ISOLDE_YIELD_POINTS
  yield_hook.store(nullptr);
#endif
  ++explored_.schedules;
  if (depth_ < path_.size()) fail("the schedule did not repeat itself: the world is not the same");
  if (auto wrong = exploration_.judge()) fail(std::move(*wrong));
}

// To the deepest choice that has something left to try.
bool Explorer::backtrack() {
  while (!path_.empty()) {
    Choice& last = path_.back();
    if (last.rest != 0) {
      last.chosen = static_cast<std::uint8_t>(__builtin_ctz(last.rest));
      last.rest = static_cast<std::uint8_t>(last.rest & (last.rest - 1));
      return true;
    }
    path_.pop_back();
  }
  return false;
}

Explored Explorer::run() {
  current = this;
  main_.adopt_this_thread();
  do {
    if (explored_.schedules == exploration_.most_schedules) {
      current = nullptr;
      return explored_;
    }
    play();
  } while (!explored_.failure && backtrack());
  explored_.exhausted = !explored_.failure;
  current = nullptr;
  return explored_;
}

}  // namespace

Explored& Explored::operator+=(const Explored& other) {
  schedules += other.schedules;
  steps += other.steps;
  states += other.states;
  exhausted = exhausted && other.exhausted;
  if (!failure) failure = other.failure;
  return *this;
}

Explored explore(const Exploration& exploration) {
  return std::make_unique<Explorer>(exploration)->run();
}

void yield_here(const char* place) { hook(place); }
void yield_between_operations() { hook(between_operations); }

}  // namespace isolde::test
