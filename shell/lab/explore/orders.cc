#include "lab/explore/orders.h"

#include <numeric>
#include <optional>
#include <utility>

namespace isolde::lab {
namespace {

constexpr std::size_t most_places = std::size_t{1} << 20;

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? Orders::too_many : sum;
}

}  // namespace

Orders::Orders(std::vector<std::size_t> steps) : steps_(std::move(steps)) {
  length_ = std::accumulate(steps_.begin(), steps_.end(), std::size_t{0});
  // As a product of binomials, each kept exact as long as it fits.
  std::size_t placed = 0;
  for (const std::size_t count : steps_) {
    for (std::size_t i = 1; i <= count; ++i) {
      // all_ * placed / i is whole; what i shares with neither of the two is 1.
      const std::uint64_t shared = std::gcd(all_, std::uint64_t{i});
      const std::uint64_t factor = ++placed / (i / shared);
      if (all_ == too_many || __builtin_mul_overflow(all_ / shared, factor, &all_)) all_ = too_many;
    }
  }
  std::size_t places = 1;
  for (const std::size_t count : steps_) {
    radix_.push_back(places);
    if (__builtin_mul_overflow(places, count + 1, &places) || places > most_places) {
      radix_.clear();
      return;
    }
  }
  // From the end backwards: nothing left to do is one order.
  left_.assign(places, 0);
  left_[places - 1] = 1;
  for (std::size_t place = places - 1; place-- > 0;) {
    for (std::size_t session = 0; session < steps_.size(); ++session) {
      const std::size_t done = place / radix_[session] % (steps_[session] + 1);
      if (done == steps_[session]) continue;
      left_[place] = saturating_add(left_[place], left_[place + radix_[session]]);
    }
  }
}

// The orders that a partial order allows, place by place.
class Orders::Extensions {
 public:
  Extensions(const Orders& orders, const std::vector<std::size_t>& slots,
             const std::function<bool(std::size_t, std::size_t)>& before)
      : orders_(orders), done_(orders.steps_.size(), 0) {
    const std::size_t sessions = orders.steps_.size();
    std::vector<std::size_t> nth(sessions, 0);
    needs_.resize(sessions);
    for (std::size_t j = 0; j < slots.size(); ++j) {
      // Before this step, how many steps each other session must have done.
      std::vector<std::size_t> needed(sessions, 0);
      std::vector<std::size_t> seen(sessions, 0);
      for (std::size_t i = 0; i < j; ++i) {
        ++seen[slots[i]];
        if (slots[i] != slots[j] && before(i, j)) needed[slots[i]] = seen[slots[i]];
      }
      needs_[slots[j]].push_back(std::move(needed));
    }
  }

  std::uint64_t count() {
    counted_.assign(orders_.left_.size(), std::nullopt);
    return count_from(0);
  }

  void visit(const std::function<void(std::uint64_t)>& told) { visit_from(0, 0, told); }

 private:
  bool can_go(std::size_t session) const {
    if (done_[session] == needs_[session].size()) return false;
    const std::vector<std::size_t>& needed = needs_[session][done_[session]];
    for (std::size_t other = 0; other < done_.size(); ++other) {
      if (done_[other] < needed[other]) return false;
    }
    return true;
  }

  std::uint64_t count_from(std::size_t place) {
    if (place == orders_.left_.size() - 1) return 1;
    if (counted_[place]) return *counted_[place];
    std::uint64_t sum = 0;
    for (std::size_t session = 0; session < done_.size(); ++session) {
      if (!can_go(session)) continue;
      ++done_[session];
      sum = saturating_add(sum, count_from(place + orders_.radix_[session]));
      --done_[session];
    }
    counted_[place] = sum;
    return sum;
  }

  void visit_from(std::size_t place, std::uint64_t number,
                  const std::function<void(std::uint64_t)>& told) {
    if (place == orders_.left_.size() - 1) {
      told(number);
      return;
    }
    for (std::size_t session = 0; session < done_.size(); ++session) {
      if (done_[session] == orders_.steps_[session]) continue;
      const std::size_t next = place + orders_.radix_[session];
      if (can_go(session)) {
        ++done_[session];
        visit_from(next, number, told);
        --done_[session];
      }
      number += orders_.left_[next];
    }
  }

  const Orders& orders_;
  // By session, by step: how many steps of each session come first.
  std::vector<std::vector<std::vector<std::size_t>>> needs_;
  std::vector<std::size_t> done_;  // by session
  std::vector<std::optional<std::uint64_t>> counted_;
};

std::uint64_t Orders::count_like(
    const std::vector<std::size_t>& slots,
    const std::function<bool(std::size_t, std::size_t)>& before) const {
  return Extensions(*this, slots, before).count();
}

void Orders::for_each_like(const std::vector<std::size_t>& slots,
                           const std::function<bool(std::size_t, std::size_t)>& before,
                           const std::function<void(std::uint64_t)>& visit) const {
  Extensions(*this, slots, before).visit(visit);
}

std::vector<std::size_t> Orders::random(std::mt19937_64& source) const {
  std::vector<std::size_t> slots;
  slots.reserve(length_);
  for (std::size_t session = 0; session < steps_.size(); ++session) {
    slots.insert(slots.end(), steps_[session], session);
  }
  // Not std::shuffle: what it does with a seed is the library's choice.
  for (std::size_t i = slots.size(); i > 1; --i) std::swap(slots[i - 1], slots[source() % i]);
  return slots;
}

}  // namespace isolde::lab
