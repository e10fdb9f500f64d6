// The orders of the steps of several sessions: how many there are, each one's number, those that a
// partial order allows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

namespace isolde::lab {

// How many steps each session has done, as one number. Counts saturate at the greatest number.
class Orders {
 public:
  static constexpr std::uint64_t too_many = ~std::uint64_t{0};

  // `steps`: how many each session has. Of very many, only all() and random() work.
  explicit Orders(std::vector<std::size_t> steps);

  const std::vector<std::size_t>& steps() const noexcept { return steps_; }
  std::size_t length() const noexcept { return length_; }
  // All of them.
  std::uint64_t all() const noexcept { return all_; }
  // Whether the rest works.
  bool are_countable() const noexcept { return !left_.empty(); }

  // `slots`: which session each slot of an order belongs to. `before(i, j)` for i < j: slot i has
  // to stay ahead of slot j. How many orders keep that. Precondition: are_countable().
  std::uint64_t count_like(const std::vector<std::size_t>& slots,
                           const std::function<bool(std::size_t, std::size_t)>& before) const;
  // Calls visit with the number of each of them, counted from 0 among all() orders.
  void for_each_like(const std::vector<std::size_t>& slots,
                     const std::function<bool(std::size_t, std::size_t)>& before,
                     const std::function<void(std::uint64_t)>& visit) const;

  // An order drawn evenly from all of them: the session of each slot.
  std::vector<std::size_t> random(std::mt19937_64& source) const;

 private:
  class Extensions;

  std::vector<std::size_t> steps_;
  std::size_t length_ = 0;
  std::uint64_t all_ = 1;
  std::vector<std::size_t> radix_;   // by session
  std::vector<std::uint64_t> left_;  // by place: orders of what is still to be done
};

}  // namespace isolde::lab
