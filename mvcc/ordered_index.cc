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

std::array<OrderedIndex::Link*, OrderedIndex::max_height> OrderedIndex::links_before(
    OrderedKey place) noexcept {
  std::array<Link*, max_height> links{};
  Chain* at = nullptr;
  for (unsigned level = max_height; level-- > 0;) {
    for (;;) {
      Link& link = at == nullptr ? head_[level] : at->link(level);
      Chain* next = link.load();
      if (next == nullptr || !before(*next, place)) {
        links[level] = &link;
        break;
      }
      at = next;
    }
  }
  return links;
}

void OrderedIndex::insert(Chain* chain) noexcept {
  const auto links = links_before({chain->keyspace, chain->key()});
  for (unsigned level = 0; level < chain->height; ++level) {
    chain->link(level).store(links[level]->load());
    links[level]->store(chain);
  }
}

void OrderedIndex::remove(Chain* chain) noexcept {
  const auto links = links_before({chain->keyspace, chain->key()});
  for (unsigned level = chain->height; level-- > 0;) {
    if (links[level]->load() == chain) links[level]->store(chain->link(level).load());
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
