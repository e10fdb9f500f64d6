// Memory that runs out when a test says so: the operator new of this test binary.
#pragma once

#include <cstdint>
#include <functional>

namespace isolde::test {

// While it lives the `nth` allocation of its thread (1: the next one) fails, and no other.
class FailingAllocation {
 public:
  explicit FailingAllocation(std::uint64_t nth) noexcept;
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
  ~FailingAllocation();
  // Whether it came to that.
  bool has_failed() const noexcept;
};

// Does the work again and again, until it needs fewer allocations than fail: with the first one
// failing, then the second. `begin` makes a world, `work` is what is watched, `end` judges it.
// Returns how many failed.
std::uint64_t fail_each_allocation(const std::function<void()>& begin,
                                   const std::function<void()>& work,
                                   const std::function<void(bool failed)>& end);

// While it lives one allocation in so many fails in every thread but its own.
class FailingElsewhere {
 public:
  explicit FailingElsewhere(std::uint64_t one_in) noexcept;
  FailingElsewhere(const FailingElsewhere&) = delete;
  FailingElsewhere& operator=(const FailingElsewhere&) = delete;
  ~FailingElsewhere();
  std::uint64_t failed() const noexcept;
};

}  // namespace isolde::test
