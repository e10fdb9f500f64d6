#include "mvcc/ordered_index.h"

#include <bit>

namespace isolde::mvcc {
namespace {

bool before(const Chain& chain, OrderedKey place) noexcept {
  if (chain.keyspace != place.keyspace) return chain.keyspace < place.keyspace;
  return chain.key() < place.key;
}

}  // namespace

unsigned OrderedIndex::draw_height() noexcept {
  // xorshift64*: the heights need no better randomness (Marsaglia 2003, Vigna 2016).
  thread_local std::uint64_t state = 0x9e3779b97f4a7c15u ^ reinterpret_cast<std::uintptr_t>(&state);
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  const std::uint64_t bits = (state * 0x2545f4914f6cdd1du) >> 32;
  const unsigned zeros = static_cast<unsigned>(std::countr_zero(bits | (1u << 30)));
  return 1 + std::min(zeros / 2, max_height - 1);
}

// From the lowest level up to the first at which nothing lies between the finger and `place` (and
// so nothing does above it: each level is a part of the one below), then down again.
void OrderedIndex::move(Finger& finger, OrderedKey place) noexcept {
  const auto leads_on = [&](Chain* at, unsigned level) {
    const Chain* next = link(at, level).load();
    return next != nullptr && before(*next, place);
  };
  unsigned level = finger.is_placed_ ? 0 : max_height;
  finger.is_placed_ = true;
  while (level < max_height && leads_on(finger.before_[level], level)) ++level;
  if (level == 0) return;
  Chain* at = finger.before_[level - 1];
  while (level-- > 0) {
    while (leads_on(at, level)) at = link(at, level).load();
    finger.before_[level] = at;
  }
}

void OrderedIndex::insert(Chain* chain, Finger& finger) noexcept {
  move(finger, {chain->keyspace, chain->key()});
  for (unsigned level = 0; level < chain->height; ++level) {
    Link& before = link(finger.before_[level], level);
    chain->link(level).store(before.load());
    before.store(chain);
  }
}

void OrderedIndex::remove(Chain* chain, Finger& finger) noexcept {
  move(finger, {chain->keyspace, chain->key()});
  for (unsigned level = chain->height; level-- > 0;) {
    Link& before = link(finger.before_[level], level);
    if (before.load() == chain) before.store(chain->link(level).load());
  }
}

const Chain* OrderedIndex::predecessor(OrderedKey place) const noexcept {
  const Chain* at = nullptr;
  for (unsigned level = max_height; level-- > 0;) {
    for (;;) {
      const Chain* next = link(at, level).load();
      if (next == nullptr || !before(*next, place)) break;
      at = next;
    }
  }
  return at;
}

Chain* OrderedIndex::first_at_or_after(OrderedKey place) const noexcept {
  const Chain* at = predecessor(place);
  Chain* next = link(at, 0).load();
  // Between the two loads something may have been inserted before `place`.
  while (next != nullptr && before(*next, place)) next = next->link(0).load();
  return next;
}

Chain* OrderedIndex::last_before(OrderedKey place) const noexcept {
  return const_cast<Chain*>(predecessor(place));
}

}  // namespace isolde::mvcc
