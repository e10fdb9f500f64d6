#include "tests/mvcc/failing_allocations.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

thread_local std::uint64_t countdown = 0;  // 0: none fails
thread_local bool did_fail = false;
thread_local bool is_spared = false;
std::atomic<std::uint64_t> one_in_so_many{0};
std::atomic<std::uint64_t> allocated_elsewhere{0};
std::atomic<std::uint64_t> failed_elsewhere{0};

bool is_to_fail() noexcept {
  if (countdown != 0 && --countdown == 0) {
    did_fail = true;
    return true;
  }
  const std::uint64_t one_in = one_in_so_many.load(std::memory_order_relaxed);
  if (one_in == 0 || is_spared) return false;
  if (allocated_elsewhere.fetch_add(1) % one_in != one_in - 1) return false;
  failed_elsewhere.fetch_add(1);
  return true;
}

void* allocate_or_not(std::size_t bytes, std::size_t alignment) noexcept {
  if (is_to_fail()) return nullptr;
  if (alignment <= alignof(std::max_align_t)) return std::malloc(bytes == 0 ? 1 : bytes);
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  void* memory = allocate_or_not(bytes, alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

std::size_t bytes_of(std::align_val_t alignment) { return static_cast<std::size_t>(alignment); }

}  // namespace

// The whole family: in a sanitizer's runtime none of them goes through another.
using Align = std::align_val_t;
using Nothrow = std::nothrow_t;
void* operator new(std::size_t bytes) { return allocate(bytes, 1); }
void* operator new[](std::size_t bytes) { return allocate(bytes, 1); }
void* operator new(std::size_t bytes, Align align) { return allocate(bytes, bytes_of(align)); }
void* operator new[](std::size_t bytes, Align align) { return allocate(bytes, bytes_of(align)); }
void* operator new(std::size_t bytes, const Nothrow&) noexcept { return allocate_or_not(bytes, 1); }
void* operator new[](std::size_t bytes, const Nothrow&) noexcept {
  return allocate_or_not(bytes, 1);
}
void* operator new(std::size_t bytes, Align align, const Nothrow&) noexcept {
  return allocate_or_not(bytes, bytes_of(align));
}
void* operator new[](std::size_t bytes, Align align, const Nothrow&) noexcept {
  return allocate_or_not(bytes, bytes_of(align));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, Align) noexcept { std::free(memory); }
void operator delete[](void* memory, Align) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, Align) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, Align) noexcept { std::free(memory); }
void operator delete(void* memory, const Nothrow&) noexcept { std::free(memory); }
void operator delete[](void* memory, const Nothrow&) noexcept { std::free(memory); }
void operator delete(void* memory, Align, const Nothrow&) noexcept { std::free(memory); }
void operator delete[](void* memory, Align, const Nothrow&) noexcept { std::free(memory); }

namespace isolde::test {

FailingAllocation::FailingAllocation(std::uint64_t nth) noexcept {
  did_fail = false;
  countdown = nth;
}
FailingAllocation::~FailingAllocation() { countdown = 0; }
bool FailingAllocation::has_failed() const noexcept { return did_fail; }

std::uint64_t fail_each_allocation(const std::function<void()>& begin,
                                   const std::function<void()>& work,
                                   const std::function<void(bool failed)>& end) {
  for (std::uint64_t nth = 1;; ++nth) {
    begin();
    bool failed = false;
    {
      const FailingAllocation failing(nth);
      work();
      failed = failing.has_failed();
    }
    end(failed);
    if (!failed) return nth - 1;
  }
}

FailingElsewhere::FailingElsewhere(std::uint64_t one_in) noexcept {
  is_spared = true;
  failed_elsewhere.store(0);
  one_in_so_many.store(one_in);
}
FailingElsewhere::~FailingElsewhere() {
  one_in_so_many.store(0);
  is_spared = false;
}
std::uint64_t FailingElsewhere::failed() const noexcept { return failed_elsewhere.load(); }

}  // namespace isolde::test
