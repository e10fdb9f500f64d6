#include "lab/play/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

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

namespace isolde::lab {
namespace {

// Untouched pages cost nothing; an engine call with its observers takes a few kilobytes.
constexpr std::size_t stack_bytes = std::size_t{1} << 20;
constexpr std::size_t guard_bytes = std::size_t{1} << 16;  // a page or more of any machine

}  // namespace

Fiber::Fiber() {
  stack_ = ::mmap(nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack_ == MAP_FAILED) throw std::bad_alloc();
  ::mprotect(stack_, guard_bytes, PROT_NONE);
  own_.bottom = static_cast<std::byte*>(stack_) + guard_bytes;
  own_.size = stack_bytes;
  ::getcontext(&own_.context);
  own_.context.uc_stack.ss_sp = const_cast<void*>(own_.bottom);
  own_.context.uc_stack.ss_size = stack_bytes;
  own_.context.uc_link = nullptr;
  // makecontext passes ints.
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  ::makecontext(&own_.context, reinterpret_cast<void (*)()>(&Fiber::entry), 2,
                static_cast<unsigned>(std::uint64_t{self} >> 32), static_cast<unsigned>(self));
#ifdef ISOLDE_FIBERS_UNDER_TSAN
  own_.tsan = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#ifdef ISOLDE_FIBERS_UNDER_TSAN
  __tsan_destroy_fiber(own_.tsan);
#endif
#ifdef ISOLDE_FIBERS_UNDER_ASAN
  __asan_unpoison_memory_region(own_.bottom, own_.size);  // its first frame never returned
#endif
  ::munmap(stack_, guard_bytes + stack_bytes);
}

void Fiber::entry(unsigned high, unsigned low) {
  const std::uint64_t self = std::uint64_t{high} << 32 | low;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): makecontext() passes ints
  reinterpret_cast<Fiber*>(static_cast<std::uintptr_t>(self))->work();
}

void Fiber::work() {
  arrive(own_, owner_);
  for (;;) {
    (*job_)();
    job_ = nullptr;
    leave();
  }
}

void Fiber::run(const std::function<void()>& job) {
  job_ = &job;
  resume();
}

void Fiber::resume() {
#ifdef ISOLDE_FIBERS_UNDER_TSAN
  owner_.tsan = __tsan_get_current_fiber();
#endif
  go(owner_, own_);
}

void Fiber::leave() { go(own_, owner_); }

void Fiber::go(Side& from, Side& to) {
#ifdef ISOLDE_FIBERS_UNDER_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
#endif
#ifdef ISOLDE_FIBERS_UNDER_TSAN
  __tsan_switch_to_fiber(to.tsan, 0);
#endif
  ::swapcontext(&from.context, &to.context);
  arrive(from, to);
}

void Fiber::arrive([[maybe_unused]] Side& at, [[maybe_unused]] Side& came_from) {
#ifdef ISOLDE_FIBERS_UNDER_ASAN
  __sanitizer_finish_switch_fiber(at.fake_stack, &came_from.bottom, &came_from.size);
#endif
}

}  // namespace isolde::lab
