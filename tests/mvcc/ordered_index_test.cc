// The chains in key order: put in and taken out in runs, against a set that is looked at whole.
#include "mvcc/ordered_index.h"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "mvcc/version_store.h"
#include "tests/support/seed.h"

using namespace isolde;
using mvcc::Chain;
using mvcc::ChainPtr;
using mvcc::OrderedIndex;
using mvcc::VersionStore;

namespace {

using Place = std::pair<std::uint32_t, std::string>;  // a keyspace, a key

ChainPtr chain_at(const Place& place) {
  const KeyspaceId keyspace{place.first};
  ChainPtr chain(Chain::create(keyspace, place.second, VersionStore::hash(keyspace, place.second),
                               OrderedIndex::draw_height()));
  chain->newest.store(mvcc::Version::create("value"));
  return chain;
}

Place place_of(const Chain& chain) { return {chain.keyspace.value, std::string(chain.key())}; }

// Few letters, one of them NUL, and often the same beginning: keys that are beginnings of others.
Place drawn(std::mt19937_64& random) {
  Place place{static_cast<std::uint32_t>(1 + random() % 3), random() % 2 == 0 ? "common/" : ""};
  for (std::size_t length = 1 + random() % 12; length > 0; --length) {
    place.second += std::string_view("\0ab\xff", 4)[random() % 4];
  }
  return place;
}

std::vector<Place> in_order(const OrderedIndex& index) {
  std::vector<Place> places;
  for (const Chain* chain = index.first(); chain != nullptr; chain = chain->link(0).load()) {
    places.push_back(place_of(*chain));
  }
  return places;
}

template <typename Map>
std::vector<Place> places_of(const Map& chains) {
  std::vector<Place> places;
  places.reserve(chains.size());
  for (const auto& [place, chain] : chains) places.push_back(place);
  return places;
}

// Searches go down from the highest level: they meet what was left at any of them.
template <typename Map>
bool finds_all(const OrderedIndex& index, const Map& chains, const Place& place) {
  const mvcc::OrderedKey key{KeyspaceId{place.first}, place.second};
  const auto after = chains.lower_bound(place);
  const Chain* next = index.first_at_or_after(key);
  const Chain* last = index.last_before(key);
  const bool next_right =
      after == chains.end() ? next == nullptr : next != nullptr && place_of(*next) == after->first;
  const bool last_right = after == chains.begin()
                              ? last == nullptr
                              : last != nullptr && place_of(*last) == std::prev(after)->first;
  return next_right && last_right;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ordered_index)

BOOST_AUTO_TEST_CASE(runs_of_chains_go_in_and_out_in_any_mix) {
  std::mt19937_64 random(test::seed());
  OrderedIndex index;
  std::map<Place, ChainPtr> chains;
  for (std::size_t round = 0; round < test::rounds(300); ++round) {
    std::map<Place, ChainPtr> run;
    for (std::size_t i = random() % 200; i > 0; --i) {
      const Place place = drawn(random);
      if (!chains.contains(place)) run.try_emplace(place, chain_at(place));
    }
    OrderedIndex::Finger inserting;
    for (const auto& [place, chain] : run) index.insert(chain.get(), inserting);
    chains.merge(run);

    std::map<Place, ChainPtr> removed;
    const std::uint64_t share = 1 + random() % 4;
    OrderedIndex::Finger removing;
    for (auto at = chains.begin(); at != chains.end();) {
      const auto chain = at++;
      if (random() % 4 >= share) continue;
      index.remove(chain->second.get(), removing);
      removed.insert(chains.extract(chain));
    }
    BOOST_REQUIRE(in_order(index) == places_of(chains));
    for (int i = 0; i < 50; ++i) BOOST_REQUIRE(finds_all(index, chains, drawn(random)));
  }
}

BOOST_AUTO_TEST_CASE(new_chains_of_all_keyspaces_come_into_key_order) {
  std::mt19937_64 random(test::seed());
  for (std::size_t round = 0; round < test::rounds(40); ++round) {
    VersionStore store;
    std::map<Place, Chain*> chains;
    // Some that are put in one by one, some that are sorted, into what was there before.
    for (const std::size_t count : {random() % 40, random() % 1'000, random() % 40}) {
      for (std::size_t i = 0; i < count; ++i) {
        const Place place = drawn(random);
        if (chains.contains(place)) continue;
        ChainPtr chain = chain_at(place);
        chains.emplace(place, chain.get());
        store.install_chain(std::move(chain));
      }
      store.merge_pending();
      BOOST_REQUIRE(in_order(store.order()) == places_of(chains));
    }
    for (int i = 0; i < 50; ++i) BOOST_REQUIRE(finds_all(store.order(), chains, drawn(random)));
  }
}

BOOST_AUTO_TEST_CASE(more_new_chains_than_are_sorted_at_once_come_into_key_order) {
  VersionStore store;
  constexpr std::uint64_t count = 150'000;
  const auto key = [](std::uint64_t number) {
    std::string digits = std::to_string(number);
    return std::string(20 - digits.size(), '0') + digits;
  };
  for (std::uint64_t i = 0; i < count; ++i) {
    store.install_chain(chain_at({1, key(i * 7'919 % count)}));
  }
  store.merge_pending();
  std::uint64_t number = 0;
  bool ordered = true;
  for (const Chain* chain = store.order().first(); chain != nullptr;
       chain = chain->link(0).load()) {
    ordered = ordered && chain->key() == key(number++);
  }
  BOOST_TEST(ordered);
  BOOST_TEST(number == count);
}

BOOST_AUTO_TEST_CASE(chains_are_unlinked_from_both_orders_together) {
  std::mt19937_64 random(test::seed());
  VersionStore store;
  std::map<Place, Chain*> chains;
  for (int i = 0; i < 500; ++i) {
    const Place place = drawn(random);
    if (chains.contains(place)) continue;
    ChainPtr chain = chain_at(place);
    chains.emplace(place, chain.get());
    store.install_chain(std::move(chain));
  }
  store.merge_pending();
  std::vector<Chain*> unlinked;
  for (auto at = chains.begin(); at != chains.end();) {
    if (random() % 2 == 0) {
      unlinked.push_back(at->second);
      at = chains.erase(at);
    } else {
      ++at;
    }
  }
  const std::uint64_t epoch = store.unlink_epoch();
  store.unlink(unlinked);
  BOOST_TEST(store.unlink_epoch() == epoch + unlinked.size());
  BOOST_TEST(store.chains() == chains.size());
  BOOST_TEST((in_order(store.order()) == places_of(chains)));
  for (const auto& [place, chain] : chains) {
    BOOST_TEST(store.find(KeyspaceId{place.first}, place.second, chain->hash) == chain);
  }
  for (Chain* chain : unlinked) {
    BOOST_TEST(chain->dropped);
    BOOST_TEST(store.find(chain->keyspace, chain->key(), chain->hash) == nullptr);
    mvcc::DestroyChain{}(chain);
  }
}

BOOST_AUTO_TEST_SUITE_END()
